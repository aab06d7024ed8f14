"""Runs a real program on kernel threads or under Bobbin, watches it from outside, and ends it.

A test of a program is a module with one function, scenario(run): it starts the program through `run`, drives it with
real clients, and returns what it saw, as plain values. Each mode must return the same. The number of kernel threads
differs by design, so it is not returned but checked by run.check_threads.

Clients run on kernel threads: nothing here is preloaded into them.
"""

import collections
import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

# Where this runs in the background SIGINT is ignored, and would be by the programs, which are stopped by it.
signal.signal(signal.SIGINT, signal.default_int_handler)

GUARD_SECONDS = 90  # ends a hang; nothing is measured against it

Mode = collections.namedtuple("Mode", "name schedulers")
KERNEL_THREADS = Mode("kernel_threads", 0)
MODES = {mode.name: mode for mode in (KERNEL_THREADS, Mode("one_scheduler", 1), Mode("two_schedulers", 2))}

# `schedulers` is what is left of all threads: the program's own on kernel threads, Bobbin's schedulers under Bobbin.
Threads = collections.namedtuple("Threads", "total workers schedulers")


class Failure(Exception):
  """The program, or Bobbin beneath it, did something wrong."""


def check(condition, message):
  if not condition:
    raise Failure(message)


def plain_environment():
  """This process's environment without anything that would change how a program runs."""
  return {name: value for name, value in os.environ.items()
          if not name.startswith("BOBBIN") and name not in ("LD_LIBRARY_PATH", "LD_PRELOAD")}


def command_in(mode, build, flags, command):
  """Returns: the command line and the environment that run `command` in `mode`, with more flags for bobbin run."""
  environment = plain_environment()
  if mode.schedulers == 0:
    return command, environment
  launcher = os.path.join(build, "bin/bobbin")
  return [launcher, "run", f"--schedulers={mode.schedulers}", "--otherwise=refuse", *flags, *command], environment


def own_address():
  """Returns: a loopback address that no other process here uses.

  A port of it, chosen by the kernel, stays free: clients leave from 127.0.0.1.
  """
  pid = os.getpid()
  return f"127.{1 + (pid >> 16) % 200}.{(pid >> 8) & 255}.{pid & 255}"


def free_port(address):
  with socket.socket() as probe:
    probe.bind((address, 0))
    return probe.getsockname()[1]


def wait_for(condition, what):
  """Asks again until `condition` returns something true, and returns that."""
  deadline = time.monotonic() + GUARD_SECONDS
  while True:
    value = condition()
    if value:
      return value
    check(time.monotonic() < deadline, f"waited in vain: {what}")
    time.sleep(0.01)


def at_once(count, work):
  """Calls work(0) … work(count - 1) on a kernel thread each, at the same time. Returns: their results in order.
  Raises the first failure."""
  results = [None] * count
  failures = []

  def call(index):
    try:
      results[index] = work(index)
    except Exception as error:  # pylint: disable=broad-except  # told to the caller below
      failures.append(error)

  threads = [threading.Thread(target=call, args=(index,)) for index in range(count)]
  for thread in threads:
    thread.start()
  for thread in threads:
    thread.join()
  if failures:
    raise Failure(f"{len(failures)} of {count} failed, first: {failures[0]!r}")
  return results


def unlike(values):
  """Returns: the values without repetitions, in the order in which they first came."""
  return [value for place, value in enumerate(values) if value not in values[:place]]


def client(command, text=None):
  """Runs a client program on kernel threads. Returns: its standard output. Fails with its words if it did."""
  try:
    done = subprocess.run(command, input=text, env=plain_environment(), capture_output=True, text=True,
                          timeout=GUARD_SECONDS, check=False)
  except subprocess.TimeoutExpired:
    raise Failure(f"{' '.join(command)} does not end") from None
  check(done.returncode == 0, f"{' '.join(command)} ended with {done.returncode}: {done.stderr}{done.stdout}")
  return done.stdout


class Process:
  """One process, known by its id, seen through /proc."""

  def __init__(self, pid):
    self.pid = pid

  def _names(self, tasks):
    names = {}
    for task in tasks:
      with contextlib.suppress(OSError):  # it ended meanwhile
        with open(f"/proc/{self.pid}/task/{task}/comm", encoding="utf-8", errors="replace") as file:
          names[task] = file.read().strip()
    return names

  def _has_hardly_run(self, task):
    """Tells whether a thread has had the processor for less than a millisecond: proc(5), schedstat."""
    with contextlib.suppress(OSError):
      with open(f"/proc/{self.pid}/task/{task}/schedstat", encoding="utf-8") as file:
        return int(file.read().split()[0]) < 1_000_000
    return False

  def threads(self):
    tasks = os.listdir(f"/proc/{self.pid}/task")
    for _ in range(20):
      # The kernel's own threads for io_uring are listed among the process's.
      names = {task: name for task, name in self._names(tasks).items() if not name.startswith("iou-")}
      others = [task for task, name in names.items() if not name.startswith("bobbin-")]
      # A worker has its maker's name until it has run and given itself its own.
      if not any(self._has_hardly_run(task) for task in others):
        break
      time.sleep(0.05)
    return Threads(len(names), len(names) - len(others), len(others))

  def descriptors(self):
    return len(os.listdir(f"/proc/{self.pid}/fd"))

  def resident_kib(self):
    return self._status("VmRSS")

  def _status(self, field):
    with open(f"/proc/{self.pid}/status", encoding="utf-8") as file:
      for line in file:
        if line.startswith(field + ":"):
          return int(line.split()[1])
    raise Failure(f"no {field} of process {self.pid}")

  def children(self):
    with open(f"/proc/{self.pid}/task/{self.pid}/children", encoding="utf-8") as file:
      return [Process(int(pid)) for pid in file.read().split()]


class Server(Process):
  """A program that serves until it is told to stop."""

  def __init__(self, process, command, said):
    super().__init__(process.pid)
    self.process = process
    self.command = command
    self._said = said

  def said(self):
    """Returns: what it wrote to standard output and standard error so far."""
    with open(self._said, encoding="utf-8", errors="replace") as file:
      return file.read()

  def running(self):
    return self.process.poll() is None

  def wait_until_listening(self, *address):
    """Waits until a connection to (host, port), or to the path of a unix socket, is taken."""
    def connects():
      check(self.running(), f"{self.command[0]} ended with {self.process.returncode} at start: {self.said()}")
      family = socket.AF_INET if len(address) == 2 else socket.AF_UNIX
      with socket.socket(family) as probe:
        return probe.connect_ex(address if len(address) == 2 else address[0]) == 0
    wait_for(connects, f"{self.command[0]} listens on {address}")

  def stop(self, number=signal.SIGTERM):
    """Sends the signal. Returns: the exit status as the shell's user sees it, negative for a signal."""
    check(self.running(), f"{self.command[0]} ended early with {self.process.returncode}: {self.said()}")
    self.process.send_signal(number)
    return self.wait()

  def wait(self):
    try:
      return self.process.wait(GUARD_SECONDS)
    except subprocess.TimeoutExpired:
      raise Failure(f"{self.command[0]} does not stop: {self.said()}") from None


class Run:
  """One run of a scenario in one mode: where it may write, where it may listen, and what it started."""

  def __init__(self, mode, build, flags=()):
    self.mode = mode
    self.build = build
    self.flags = flags
    self.address = own_address()
    self.directory = tempfile.mkdtemp(prefix="bobbin-programs-")
    self.servers = []

  def __enter__(self):
    return self

  def __exit__(self, kind, error, trace):
    for server in self.servers:
      self._end(server)
      if error is not None:
        status = server.process.returncode
        print(f"--- {' '.join(server.command)}: exit {status}\n{server.said()[-3000:]}", file=sys.stderr)
    shutil.rmtree(self.directory, ignore_errors=True)

  @staticmethod
  def _end(server):
    if server.running():
      with contextlib.suppress(OSError):
        for child in server.children():
          os.kill(child.pid, signal.SIGKILL)
    if server.running():
      server.process.kill()
      server.process.wait()

  def path(self, name):
    return os.path.join(self.directory, name)

  def write(self, name, text):
    """Writes a file into the run's own directory. Returns: its path."""
    path = self.path(name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as file:
      file.write(text)
    return path

  def free_port(self):
    return free_port(self.address)

  def start(self, *command, environment=None):
    """Starts `command` in this run's mode, in the run's own directory."""
    argv, variables = command_in(self.mode, self.build, self.flags, list(command))
    variables.update(environment or {})
    said = self.path(f"said-{len(self.servers)}")
    with open(said, "w", encoding="utf-8") as file:
      # It ends with this process even where that is killed.
      argv = ["setpriv", "--pdeathsig=KILL", "--", *argv]
      process = subprocess.Popen(argv, env=variables, cwd=self.directory, stdin=subprocess.DEVNULL, stdout=file,
                                 stderr=subprocess.STDOUT)
    self.servers.append(Server(process, argv, said))
    return self.servers[-1]

  def check_threads(self, process, few, many, at_least=0):
    """Checks two samples of a process's threads, with few and with many connections open.

    On kernel threads `many` must have `at_least` more, or the sample shows nothing. Under Bobbin all threads that are
    not workers are schedulers, however many connections there are.
    """
    if self.mode.schedulers == 0:
      check(many.total - few.total >= at_least, f"on kernel threads the sample shows nothing: {few}, {many}")
      return
    for seen in (few, many):
      check(1 <= seen.schedulers <= self.mode.schedulers,
            f"process {process.pid} has {seen}, with {self.mode.schedulers} schedulers")


def compare(expected, seen):
  """Fails unless both runs saw the same, naming what differs."""
  keys = sorted(set(expected) | set(seen))
  differ = [f"{key}: on kernel threads {json.dumps(expected.get(key))}, here {json.dumps(seen.get(key))}"
            for key in keys if expected.get(key) != seen.get(key)]
  check(not differ, "\n".join(differ))
