"""The web servers that are compared: how each is configured, started, found ready, and stopped."""

import http.client
import os
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../paper/contestants"))

# pylint: disable=wrong-import-position
import debian

FILE_COUNT = 1000
SERVED = "page500.html"  # the one file of the thousand that is asked for
PATTERN = bytes(ord("a") + i % 26 for i in range(1024))  # what bench/servers/floor answers, too
START_SECONDS = 20
STOP_SECONDS = 10

# nginx stands twice: with sendfile, as Debian configures it and as suits large files, and without, which is cheaper for
# small ones.
NAMES = ["floor", "knot", "knot-kernel-threads", "nginx", "nginx-no-sendfile", "lighttpd"]


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
  """Finds a system program."""
  try:
    return debian.find_program(name)
  except debian.Missing as error:
    raise ServerError(str(error)) from error


class Site:
  """A temporary directory with the thousand files that are served, and room for servers' own files."""

  def __init__(self):
    self.work = tempfile.mkdtemp(prefix="bobbin-bench-")
    self.root = os.path.join(self.work, "root")
    os.mkdir(self.root)
    for i in range(FILE_COUNT):
      name = f"page{i}.html"
      body = PATTERN if name == SERVED else name.encode().ljust(len(PATTERN), b".")
      with open(os.path.join(self.root, name), "wb") as file:
        file.write(body)

  def __enter__(self):
    return self

  def __exit__(self, *_):
    shutil.rmtree(self.work, ignore_errors=True)


class Server:
  """One running server, used as a context manager: started and verified on entry, stopped on exit."""

  def __init__(self, name, site, binaries, *, cpu=None, threads=4096, close=False, flags=()):
    self.name = name
    self.port = free_port()
    self._site = site
    self._binaries = binaries
    self._cpu = cpu
    self._threads = threads
    self._close = close
    self._flags = list(flags)
    self._process = None
    self._log = None

  @property
  def pid(self):
    return self._process.pid

  def __enter__(self):
    command = self._command()
    if self._cpu is not None:
      command = ["taskset", "-c", str(self._cpu)] + command
    # The kernel ends the server with us, however we end; a session of its own keeps Ctrl-C for us to handle.
    command = ["setpriv", "--pdeathsig", "TERM"] + command
    self._log = open(os.path.join(self._site.work, f"{self.name}.log"), "w+b")
    self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=self._log, stderr=self._log,
                                     start_new_session=True)
    try:
      self._wait_until_listening()
      self._verify()
    except BaseException:
      self.__exit__()
      raise
    return self

  def __exit__(self, *_):
    # Before the parent ends: workers that it leaves behind are ended by id, too.
    family = process_tree(self.pid)
    if self._process.poll() is None:
      self._process.terminate()
      try:
        self._process.wait(STOP_SECONDS)
      except subprocess.TimeoutExpired:
        self._process.kill()
        self._process.wait()
    for pid in family:
      if pid != self.pid and parent_of(pid) is not None:
        try:
          os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
          pass
    self._log.close()

  def check_alive(self):
    if self._process.poll() is not None:
      raise ServerError(f"{self.name} ended with status {self._process.returncode}: {self._last_words()}")

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

  def _command(self):
    descriptors = min(resource.getrlimit(resource.RLIMIT_NOFILE)[0], 65536)
    limits = {"descriptors": descriptors, "connections": min(16384, descriptors * 3 // 4)}
    try:
      if self.name.startswith("nginx"):
        return debian.nginx(self._site.work, self._site.root, self.port, files=2 * FILE_COUNT,
                            sendfile=self.name == "nginx", **limits)
      if self.name == "lighttpd":
        limits["connections"] = min(limits["connections"], descriptors // 2)
        return debian.lighttpd(self._site.work, self._site.root, self.port, **limits)
    except (debian.Missing, ValueError) as error:
      raise ServerError(str(error)) from error
    program = os.path.join(self._binaries, self.name)
    if not os.path.exists(program):
      raise ServerError(f"{self.name} is not built ({program})")
    if self.name == "floor":
      return [program, f"--port={self.port}", f"--body_bytes={len(PATTERN)}"] + (["--close"] if self._close else [])
    return [program, self._site.root, f"--listen=127.0.0.1:{self.port}", f"--threads={self._threads}", "--send=auto",
            "--schedulers=1", "--access_log=off"] + self._flags

  def _last_words(self):
    lines = [line for line in self.log_text().splitlines() if line.strip()]
    return lines[-1].strip() if lines else "(it printed nothing)"

  def _wait_until_listening(self):
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
      self.check_alive()
      try:
        socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
        return
      except OSError:
        time.sleep(0.02)
    raise ServerError(f"{self.name} does not listen after {START_SECONDS} s: {self._last_words()}")

  def _verify(self):
    try:
      connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
      connection.request("GET", f"/{SERVED}")
      reply = connection.getresponse()
      body = reply.read()
      connection.close()
    except (OSError, http.client.HTTPException) as error:
      self.check_alive()
      raise ServerError(f"{self.name} does not answer: {error!r}: {self._last_words()}") from error
    if reply.status != 200 or body != PATTERN:
      raise ServerError(f"{self.name} answers wrongly: status {reply.status}, {len(body)} bytes")


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
