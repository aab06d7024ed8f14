"""Servers that are measured, as processes: started on a processor, watched, their CPU time and memory read, stopped."""

import os
import re
import resource
import shutil
import signal
import socket
import subprocess
import time

START_SECONDS = 20
STOP_SECONDS = 10


class ServerError(Exception):
  """A server did not start, answered wrongly, or died. The message says which and why."""


def raise_descriptor_limit():
  """Raises the soft limit of descriptors, which servers inherit, to the hard one. Returns it."""
  _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
  resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
  return hard


def free_port():
  with socket.socket() as probe:
    probe.bind(("127.0.0.1", 0))
    return probe.getsockname()[1]


def find_program(name):
  """Finds a system program; servers' own are often outside a user's PATH."""
  found = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
  if found is None:
    raise ServerError(f"{name} is not installed")
  return found


def parent_of(pid):
  try:
    with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
      return int(file.read().rpartition(")")[2].split()[1])
  except OSError:
    return None


def process_tree(root):
  """The ids of a process and all its descendants."""
  children = {}
  for entry in os.listdir("/proc"):
    if entry.isdigit():
      children.setdefault(parent_of(int(entry)), []).append(int(entry))
  tree = [root]
  for pid in tree:
    tree.extend(children.get(pid, []))
  return tree


def tree_cpu_seconds(root):
  """CPU time of a process and all its descendants: all their threads, living and ended, as exact as the scheduler knows
  it, and to the tick that of children which have ended and were waited for."""
  total = 0.0
  for pid in process_tree(root):
    try:
      # The clock of another process, as clock_getcpuclockid(3) encodes it.
      total += time.clock_gettime((~pid << 3) | 2)
      with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
        fields = file.read().rpartition(")")[2].split()
      total += (int(fields[13]) + int(fields[14])) / os.sysconf("SC_CLK_TCK")  # cutime, cstime
    except OSError:
      pass  # ended meanwhile
  return total


def tree_memory_bytes(root):
  """Returns (resident, page tables) over a process and all its descendants."""
  resident = tables = 0
  for pid in process_tree(root):
    try:
      with open(f"/proc/{pid}/status", encoding="utf-8") as file:
        status = file.read()
    except OSError:
      continue  # ended meanwhile
    found = [re.search(rf"^{name}:\s+(\d+) kB", status, re.MULTILINE) for name in ("VmRSS", "VmPTE")]
    if all(found):  # one that has ended and was not waited for has none
      resident += 1024 * int(found[0][1])
      tables += 1024 * int(found[1][1])
  return resident, tables


def tree_disk_read_bytes(root):
  """Bytes that a process and all its living descendants had fetched from the disk; 0 where that may not be read."""
  total = 0
  for pid in process_tree(root):
    try:
      with open(f"/proc/{pid}/io", encoding="utf-8") as file:
        total += int(re.search(r"^read_bytes: (\d+)", file.read(), re.MULTILINE)[1])
    except OSError:
      pass
  return total


def wait_or_kill(process, seconds):
  """Waits for a child that was asked to end; one that does not in time is killed."""
  try:
    process.wait(seconds)
  except subprocess.TimeoutExpired:
    process.kill()
    process.wait()


class ServerProcess:
  """One running server, used as a context manager: started and found listening on entry, stopped on exit.

  `log` is the file its output goes to. `enter` is a command before the server's own, such as one that puts it into a
  control group; it must end by executing its arguments.
  """

  def __init__(self, name, command, port, log, *, cpu=None, enter=(), start_seconds=START_SECONDS):
    self.name = name
    self.port = port
    self._command = list(command)
    self._log_path = log
    self._cpu = cpu
    self._enter = list(enter)
    self._start_seconds = start_seconds
    self._process = None
    self._log = None

  @property
  def pid(self):
    return self._process.pid

  def __enter__(self):
    command = self._enter + self._command
    if self._cpu is not None:
      command = ["taskset", "-c", str(self._cpu)] + command
    # The kernel ends the server with us, however we end; a session of its own keeps Ctrl-C for us to handle.
    command = ["setpriv", "--pdeathsig", "TERM"] + command
    self._log = open(self._log_path, "w+b")
    self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=self._log, stderr=self._log,
                                     start_new_session=True)
    try:
      self._wait_until_listening()
      self.verify()
    except BaseException:
      self.__exit__()
      raise
    return self

  def __exit__(self, *_):
    # Before the parent ends: workers that it leaves behind are ended by id, too.
    family = process_tree(self.pid)
    if self._process.poll() is None:
      self._process.terminate()
      wait_or_kill(self._process, STOP_SECONDS)
    for pid in family:
      if pid != self.pid and parent_of(pid) is not None:
        try:
          os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
          pass
    self._log.close()

  def verify(self):
    """Asks for something and raises ServerError where the answer is wrong. Nothing here: see who derives from this."""

  def check_alive(self):
    if self._process.poll() is not None:
      raise ServerError(f"{self.name} {how_it_ended(self._process.returncode)}: {self.last_words()}")

  def log_text(self):
    self._log.flush()
    with open(self._log.name, encoding="utf-8", errors="replace") as file:
      return file.read()

  def cpu_seconds(self):
    return tree_cpu_seconds(self.pid)

  def statistics(self):
    """Asks Knot for its counters with SIGUSR1. Returns what it printed, or "" where it prints none in time."""
    before = len(self.log_text())
    os.kill(self.pid, signal.SIGUSR1)
    deadline = time.monotonic() + 2
    printed = ""
    while time.monotonic() < deadline:
      time.sleep(0.1)
      text = self.log_text()[before:]
      if text and text == printed:
        break  # nothing more came
      printed = text
    self.check_alive()
    return printed

  def last_words(self):
    lines = [line for line in self.log_text().splitlines() if line.strip()]
    return lines[-1].strip() if lines else "(it printed nothing)"

  def _wait_until_listening(self):
    deadline = time.monotonic() + self._start_seconds
    while time.monotonic() < deadline:
      self.check_alive()
      try:
        socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
        return
      except OSError:
        time.sleep(0.02)
    raise ServerError(f"{self.name} does not listen after {self._start_seconds} s: {self.last_words()}")


def how_it_ended(status):
  if status >= 0:
    return f"ended with status {status}"
  try:
    return f"was ended by {signal.Signals(-status).name}"
  except ValueError:
    return f"was ended by signal {-status}"
