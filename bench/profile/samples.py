"""Takes samples of a tree of processes with perf and sorts them.

One event is sampled: the time, by a timer a processor (`cpu-clock`), since virtual machines often have no hardware
counters. Each sample carries the stack, of which the innermost function decides about the row; the stack tells who
called a lock, and into which of Bobbin's shares a sample falls.
"""

import collections
import contextlib
import os
import re
import select
import shutil
import subprocess
import tempfile

KERNEL_HALF = 1 << 63
FRAME = re.compile(r"\s+([0-9a-f]+) (.*) \(([^()]*(?: \(deleted\))?)\)$")
FORK = re.compile(r"PERF_RECORD_FORK\((\d+):(\d+)\):\((\d+):(\d+)\)")
LOST = re.compile(r"PERF_RECORD_LOST(?:_SAMPLES)?\D+(\d+)")
HEAD = re.compile(r"\s*(-?\d+)/(-?\d+)\s*$")
START_SECONDS = 30
STOP_SECONDS = 60

# How a stack looks: functions of the kernel, then those of user space, each as (symbol, file), the innermost first.
Sample = collections.namedtuple("Sample", "pid tid kernel user")


class PerfError(Exception):
  """perf is missing, was denied, or failed. The message is one line that says which and what helps."""


def explain(text):
  """One line for what perf printed when it failed."""
  if re.search(r"perf_event_paranoid|[Aa]ccess to performance monitoring|No permission|Permission denied|EACCES|EPERM"
               r"|Operation not permitted", text):
    paranoid = read_number("/proc/sys/kernel/perf_event_paranoid")
    return (f"perf is denied (kernel.perf_event_paranoid is {paranoid}): run as root, or as root "
            "`sysctl kernel.perf_event_paranoid=-1 kernel.kptr_restrict=0`")
  if "No such process" in text:
    return "the process ended before perf could attach"
  lines = [line.strip() for line in text.splitlines() if line.strip()]
  return f"perf failed: {lines[-1]}" if lines else "perf failed and said nothing"


def read_number(path):
  try:
    with open(path, encoding="ascii") as file:
      return int(file.read())
  except (OSError, ValueError):
    return "unknown"


def find_perf():
  perf = shutil.which("perf")
  if perf is None:
    raise PerfError("perf is not installed (Debian's package linux-perf)")
  return perf


class Recorder:
  """`perf record`, started before the samples are wanted: enable() and disable() bound the window."""

  def __init__(self, root, hz):
    """`root` is the process whose tree is wanted. Everything is sampled where that is allowed; see parse()."""
    self.perf = find_perf()
    self.directory = tempfile.mkdtemp(prefix="bobbin-profile-")
    self.data = os.path.join(self.directory, "perf.data")
    self.process = None
    try:
      try:
        self.start(["-a"], hz)
      except PerfError:
        # Without privileges: the threads that there are now, and those that they will make.
        self.start(["-p", ",".join(map(str, tree_now(root)))], hz)
    except BaseException:
      self.close()
      raise

  def start(self, target, hz):
    control_read, self.control = os.pipe()
    self.acknowledged, acknowledge_write = os.pipe()
    self.log = open(os.path.join(self.directory, "log"), "w+", encoding="utf-8", errors="replace")
    self.process = subprocess.Popen(
        [self.perf, "record", "-q", "-g", "-e", "cpu-clock", "-F", str(hz), "-D", "-1", "-m", "512",
         "--control", f"fd:{control_read},{acknowledge_write}", "-o", self.data, *target],
        stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log, pass_fds=(control_read, acknowledge_write),
        start_new_session=True)
    os.close(control_read)
    os.close(acknowledge_write)
    try:
      self.command("ping")
    except PerfError:
      self.end()
      raise

  def command(self, text):
    try:
      os.write(self.control, (text + "\n").encode())
    except BrokenPipeError:
      raise PerfError(self.complaint()) from None
    ready, _, _ = select.select([self.acknowledged], [], [], START_SECONDS)
    if not ready or not os.read(self.acknowledged, 64):
      raise PerfError(self.complaint())

  def complaint(self):
    try:
      self.process.wait(timeout=5)
    except subprocess.TimeoutExpired:
      return "perf does not answer"
    self.log.flush()
    with open(self.log.name, encoding="utf-8", errors="replace") as log:
      return explain(log.read())

  def enable(self):
    self.command("enable")

  def disable(self):
    with contextlib.suppress(PerfError):  # it has ended by itself with the last process
      self.command("disable")

  def end(self):
    if self.process is None:
      return
    if self.process.poll() is None:
      self.process.terminate()
    try:
      self.process.wait(timeout=STOP_SECONDS)
    except subprocess.TimeoutExpired:
      self.process.kill()
      self.process.wait()
    self.process = None
    os.close(self.control)
    os.close(self.acknowledged)
    self.log.close()

  def lines(self):
    """What perf script prints of the samples, line by line. Ends perf record."""
    self.end()
    command = [self.perf, "script", "-i", self.data, "--no-inline", "--show-task-events", "--show-lost-events",
               "-F", "pid,tid,ip,sym,dso"]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                          text=True, errors="replace") as script:
      yield from script.stdout
    if script.returncode != 0:
      raise PerfError(f"perf script ended with status {script.returncode}")

  def close(self):
    self.end()
    shutil.rmtree(self.directory, ignore_errors=True)

  def __enter__(self):
    return self

  def __exit__(self, *_):
    self.close()


def children_of(pid):
  """The processes whose parent is one of the threads of `pid`."""
  found = []
  try:
    for tid in os.listdir(f"/proc/{pid}/task"):
      with open(f"/proc/{pid}/task/{tid}/children", encoding="ascii") as file:
        found += map(int, file.read().split())
  except OSError:
    pass
  return found


def tree_now(root):
  """`root` and all processes below it."""
  tree = [root]
  for pid in tree:
    tree += [child for child in children_of(pid) if child not in tree]
  return tree


class Parser:
  """Reads what Recorder.lines() gives."""

  def __init__(self, root):
    self.tree = {root}  # perf tells of every process in the order in which they were made
    self.lost = 0

  def samples(self, lines):
    """Yields the samples of the tree."""
    pid = tid = None
    kernel, user = [], []
    for line in lines:
      frame = FRAME.match(line) if pid is not None else None
      if frame:
        place = (frame[2].split("+0x")[0], os.path.basename(frame[3].removesuffix(" (deleted)")))
        (kernel if int(frame[1], 16) & KERNEL_HALF else user).append(place)
        continue
      if pid in self.tree and (kernel or user):
        yield Sample(pid, tid, kernel, user)
      pid = None
      kernel, user = [], []
      head = HEAD.match(line)
      if head:
        pid, tid = int(head[1]), int(head[2])
      elif "PERF_RECORD_" in line:
        self.note(line)
    if pid in self.tree and (kernel or user):
      yield Sample(pid, tid, kernel, user)

  def note(self, line):
    fork = FORK.search(line)
    if fork and int(fork[3]) in self.tree:
      self.tree.add(int(fork[1]))
    lost = LOST.search(line)
    if lost:
      self.lost += int(lost[1])


class Sorted:
  """Samples counted by row, part, share and function."""

  def __init__(self, table):
    self.table = table
    self.count = 0
    self.rows = collections.Counter()
    self.parts = collections.Counter()
    self.shares = collections.Counter()
    self.functions = collections.defaultdict(collections.Counter)  # row -> (symbol, file) -> count
    self.unknown = collections.Counter()  # functions of the kernel that the table does not know
    self.unnamed = 0  # samples in the kernel whose function has no name
    self.kernel = 0

  def add(self, sample, on_bobbin=False, on_scheduler=False, times=1):
    """`on_bobbin`: the process has libbobbin; `on_scheduler`: the sample counts for Bobbin's own shares."""
    row, part, function = self.sort(sample, on_bobbin, times)
    self.count += times
    self.rows[row] += times
    self.functions[row][function] += times
    if part:
      self.parts[part] += times
    if on_scheduler:
      functions = [symbol for symbol, file in sample.user if file.startswith("libbobbin.so")]
      self.shares[self.table.share_of(functions)] += times

  def sort(self, sample, on_bobbin, times):
    if not sample.kernel:
      symbol, file = sample.user[0]
      if on_bobbin and file in ("//anon", "[unknown]"):
        file = "stubs"
      return *self.table.sort_user(symbol, file), (symbol, file)
    self.kernel += times
    names = [symbol for symbol, _ in sample.kernel]
    row = self.table.sort_kernel(names)
    if row is None:
      row = "kernel.others"
      if names[0] == "[unknown]":
        self.unnamed += times
      else:
        self.unknown[names[0]] += times
    return row, None, (names[0], "kernel")
