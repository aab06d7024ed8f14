"""Measures one point: starts a server, puts the load on it, reads what it cost, stops it."""

import contextlib
import functools
import json
import os
import re
import resource
import select
import shutil
import socket
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "../common"))

# pylint: disable=wrong-import-position
import groups
import hold
import load
import processes
import servers

START_SECONDS = 60  # some read the whole file set first
PROFILE = os.path.normpath(os.path.join(HERE, "../profile"))
HELD_PATH = "/dir00000/class0_5"
FEWER = 5


class PointError(Exception):
  """A point could not be measured; the message says why."""


ERRORS = (PointError, load.LoadError, processes.ServerError, groups.GroupError, OSError, ValueError,
          subprocess.SubprocessError)


class Machine:
  """What points are measured with. `workload` is the tool; `regimes` are the regimes by name."""

  def __init__(self, binaries, root, tool, regimes, settings):
    self.bin = binaries
    self.root = root
    self.tool = tool
    self.regimes = regimes
    self.settings = settings
    self._regime = None  # that of the last server
    self.descriptors = min(resource.getrlimit(resource.RLIMIT_NOFILE)[0], 1 << 20)

  @contextlib.contextmanager
  def server(self, configuration, regime, share=1.0):
    """Runs a server in a regime, on a share of its processor. Yields it as a process."""
    regime = self.regimes[regime]
    self.change_to(regime)
    limits = regime.limits + ((groups.processor_share(share),) if share < 1 else ())
    with self.prepared(configuration) as start:
      regime.prepare()
      with groups.Limits(*limits).around() as enter, regime.around():
        if hasattr(regime, "fill"):
          regime.fill()
        with start(enter=enter) as server:
          yield server

  @contextlib.contextmanager
  def prepared(self, configuration):
    """A folder and a port for a server. Yields what makes the process, given the command to `enter` its groups."""
    # Others, such as Apache's workers, must be able to pass through it.
    work = tempfile.mkdtemp(prefix="bobbin-paper-")
    os.chmod(work, 0o755)
    port = self.settings.port or processes.free_port()
    try:
      self._check_port(port)
      place = servers.Place(self.bin, self.root, port, work, self.descriptors,
                            self.settings.directories * load.FILES_A_DIRECTORY,
                            self.settings.directories * load.DIRECTORY_BYTES >> 20)
      command = self._command(configuration, place)
      yield functools.partial(processes.ServerProcess, configuration.name, command, port, os.path.join(work, "output"),
                              cpu=self.settings.server_cpu, start_seconds=START_SECONDS)
    finally:
      shutil.rmtree(work, ignore_errors=True)

  def change_to(self, regime):
    """Leaves the last regime and enters this one. None: leaves the last."""
    if self._regime is regime:
      return
    if self._regime is not None:
      self._regime.leave()
    self._regime = regime
    if regime is not None:
      regime.enter()

  @staticmethod
  def _command(configuration, place):
    try:
      command = configuration.command(place)
    except ImportError as error:
      raise PointError(f"the configurations of Debian's servers are missing: {error}") from error
    except Exception as error:  # a program that is not installed is told by exceptions of several kinds
      raise PointError(str(error)) from error
    if not os.path.exists(command[0]):
      raise PointError(f"{command[0]} is not built")
    return command

  @staticmethod
  def _check_port(port):
    """Says that a port is in use before a server that may share ports joins another one there."""
    with socket.socket() as probe:
      probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
      try:
        probe.bind(("127.0.0.1", port))
      except OSError as error:
        raise PointError(f"port {port} is in use") from error


def check(machine, point):
  """The right bytes for every size, before anything is measured."""
  with machine.server(point.configuration, point.regime) as server:
    machine.tool.check(server.port, machine.settings.directories)
    server.check_alive()
  return {}


def run_load(machine, point):
  """The load at one rate; once more where the regime was disturbed, such as by files that were not in the cache."""
  for _ in range(2):
    with machine.server(point.configuration, point.regime, point.share) as server:
      result = measure_window(machine, server, point)
    result["disturbed"] = machine.regimes[point.regime].disturbed(result)
    if not result["disturbed"]:
      break
  return result


def run_scaling(machine, point):
  """The load at one rate beside connections that are held open."""
  with machine.server(point.configuration, point.regime, point.share) as server:
    with held(server.port, point.held, machine.settings.generator_cpu) as holder:
      result = measure_window(machine, server, point)
      result["resident_bytes"], result["table_bytes"] = processes.tree_memory_bytes(server.pid)
      result["held"] = point.held
      result["held_closed"] = holder.release()
      return result


def run_memory(machine, point):
  """What a connection that waits for its next request holds: the difference between the same server with all of them
  and with a fifth, so that what a process needs anyhow is in both."""
  few = max(1, point.held // FEWER)
  base = memory_with(machine, fewer(point.configuration), point.regime, few)
  resident, tables = memory_with(machine, point.configuration, point.regime, point.held)
  return {"held": point.held, "resident_bytes": resident, "table_bytes": tables, "base_held": few,
          "base_bytes": sum(base), "bytes_a_connection": (resident + tables - sum(base)) / (point.held - few)}


def memory_with(machine, configuration, regime, count):
  """Returns (resident, page tables) of a server with so many idle connections."""
  with machine.server(configuration, regime) as server:
    with held(server.port, count, machine.settings.generator_cpu) as holder:
      time.sleep(machine.settings.settle)
      found = processes.tree_memory_bytes(server.pid)
      server.check_alive()
      closed = holder.release()
  if closed:
    raise PointError(f"the server closed {closed} of {count} idle connections")
  return found


def fewer(configuration):
  """The same with room for a fifth of the connections: a server may have a thread for each."""
  values = dict(configuration.parameters)
  values[servers.CONNECTIONS] = max(1, values[servers.CONNECTIONS] // FEWER, 2 * values.get(servers.WORKERS, 0))
  return servers.configuration(configuration.family, configuration.processes, **values)


def deadline(settings, point):
  """When a run that begins now must have ended."""
  return time.monotonic() + point.warmup + point.duration + settings.timeout + load.DRAIN_SECONDS


def measure_window(machine, server, point):
  """Runs the load and reads what the server used between its `begin` and `end`."""
  settings = machine.settings
  end = deadline(settings, point)
  with machine.tool.run(server.port, settings.run_flags(point)) as run:
    run.wait_for("begin", end, server.check_alive)
    before = Reading(server.pid)
    with sampled(machine, server, point) as profile:
      run.wait_for("end", end, server.check_alive)
      after = Reading(server.pid)
      report = run.finish(end, server.check_alive)
      profile = profile()
  gone = before.family - after.family
  if gone and point.configuration.family.name != "apache":  # which ends processes as it sees fit
    raise PointError(f"{len(gone)} of {len(before.family)} processes ended during the run: {server.last_words()}")
  return summary(report, before, after, profile)


class Reading:
  """What a server had used at a moment."""

  def __init__(self, pid):
    self.time = time.monotonic()
    self.cpu = processes.tree_cpu_seconds(pid)
    self.disk = processes.tree_disk_read_bytes(pid)
    self.family = frozenset(processes.process_tree(pid))
    self.machine = busy_seconds()


def busy_seconds():
  """CPU time of the whole machine since it started."""
  with open("/proc/stat", encoding="ascii") as file:
    fields = list(map(int, file.readline().split()[1:9]))
  return (sum(fields) - fields[3] - fields[4]) / os.sysconf("SC_CLK_TCK")  # neither idle nor waiting for the disk


def summary(report, before, after, profile):
  """The tool's report, without what is of no use later, and the server's part."""
  result = {name: value for name, value in report.items() if name != "per_second"}
  seconds = after.time - before.time
  cpu = after.cpu - before.cpu
  # Both are of the same window; the report's own count of replies is of requests that began in it.
  replies = report["reply_rate"] * seconds
  result.update({
      "server_cpu_seconds": cpu, "window_seconds": seconds, "server_busy": cpu / seconds if seconds else None,
      "cpu_us": 1e6 * cpu / replies if replies else None,
      "disk_mb_s": (after.disk - before.disk) / seconds / 1e6 if seconds else None,
      "others_busy": max(0.0, after.machine - before.machine - cpu - report["generator_cpu_seconds"]) / seconds
                     if seconds else None,
      "generator_busy": report["generator_cpu_seconds"] / seconds if seconds else None,
  })
  if profile is not None:
    result["profile"] = profile
  return result


# A process of its own, since modules of ./dev profile have names that others have, too.
PROFILER = """
import json, sys
sys.path.insert(0, sys.argv[1])
import profile
json.dump(profile.sample(int(sys.argv[2]), float(sys.argv[3]), int(sys.argv[4])), sys.stdout)
"""


@contextlib.contextmanager
def sampled(machine, server, point):
  """Samples the server by category for most of the window, if the point is to be. Yields a function that waits for the
  result and returns it, or None."""
  if not point.profiled:
    yield lambda: None
    return
  if not os.path.exists(os.path.join(PROFILE, "profile.py")):
    raise PointError(f"{PROFILE}/profile.py is missing, so nothing can be sampled")
  seconds = max(0.5, 0.95 * point.duration - 0.4)
  process = subprocess.Popen(["setpriv", "--pdeathsig", "TERM", "taskset", "-c", str(machine.settings.generator_cpu),
                              sys.executable, "-B", "-c", PROFILER, PROFILE, str(server.pid), str(seconds),
                              str(machine.settings.samples_hz)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                             stderr=subprocess.PIPE, start_new_session=True)

  def result():
    said, trouble = process.communicate(timeout=120 + 10 * seconds)
    if process.returncode != 0:
      raise PointError(f"the profiler ended with status {process.returncode}: {load.last_line(trouble)}")
    found = json.loads(said)
    if not found.get("categories"):
      raise PointError(f"nothing was sampled: {found.get('error')}")
    return {name: value for name, value in found.items() if name != "functions"}

  try:
    yield result
  finally:
    if process.poll() is None:
      process.terminate()
      process.wait()
    process.stdout.close()
    process.stderr.close()


class Holder:
  """The helper that holds connections."""

  def __init__(self, process, parts):
    self._process = process
    self._parts = parts

  def expect(self, seconds):
    """Waits until each part has said one thing. Returns what they said."""
    deadline = time.monotonic() + seconds
    said = b""
    while said.count(b"\n") < self._parts:
      readable, _, _ = select.select([self._process.stdout], [], [], max(0, deadline - time.monotonic()))
      data = os.read(self._process.stdout.fileno(), 4096) if readable else b""
      if not data:
        raise PointError(f"connections could not be held open{': ' + said.decode().strip() if said else ' in time'}")
      said += data
    return said.decode().splitlines()

  def release(self):
    """Closes the connections. Returns how many the server had closed before."""
    self._process.stdin.close()
    said = [(line, re.fullmatch(r"closed (\d+)", line)) for line in self.expect(30)]
    wrong = [line for line, closed in said if not closed]
    if wrong:
      raise PointError(f"the helper that holds connections said {wrong[0]!r}")
    return sum(int(closed[1]) for _, closed in said)


@contextlib.contextmanager
def held(port, count, cpu):
  """Holds so many connections open, after one request each."""
  process = subprocess.Popen(["setpriv", "--pdeathsig", "TERM", "taskset", "-c", str(cpu), sys.executable,
                              os.path.join(HERE, "hold.py"), str(port), str(count), HELD_PATH],
                             stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True)
  try:
    holder = Holder(process, -(-count // hold.MOST_A_PROCESS))
    failed = [line for line in holder.expect(120) if line != "ready"]
    if failed:
      raise PointError(f"{count} connections could not be held open: {failed[0]}")
    yield holder
  finally:
    family = processes.process_tree(process.pid)
    if not process.stdin.closed:
      process.stdin.close()
    processes.wait_or_kill(process, 10)
    process.stdout.close()
    for pid in family:
      with contextlib.suppress(ProcessLookupError):
        if pid != process.pid and processes.parent_of(pid) is not None:
          os.kill(pid, 9)


KINDS = {"check": check, "load": run_load, "profile": run_load, "scaling": run_scaling, "memory": run_memory}
