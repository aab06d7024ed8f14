"""The two regimes: the whole file set in the page cache, or less memory than files.

Memory pressure is a control group with a memory limit for the server where the machine grants one: the page cache is
charged to the group that brings it in, so the server's own memory and its files compete, as on the paper's machine of
2 GB for 3.2 GB of files. Where no group can be made, a helper evicts part of the file set steadily.
"""

import contextlib
import os
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../common"))

# pylint: disable=wrong-import-position
import groups
import processes
import servers

# The paper's machine had 2.0 GB for 3.2 GB of files; a little more, so that small file sets leave room for programs.
PRESSURE_SHARE = 0.625
PRESSURE_ROOM = 64 << 20
EVICT_SECONDS = 2.0  # the helper's turn
EVICT_SHARE = 4  # one file in so many each turn


WARM_SECONDS = 20.0  # the file set is read so often: some machines take pages back that are not in use
PIN_SECONDS = 20  # to unlock it
FILL_SECONDS = 120
FILL_SHARE = 0.9  # of the limit, with files, before a server starts: it needs some memory itself
NOT_RESIDENT = 0.01  # of the bytes served: if more came from the disk, the file set was not in the page cache
# Reads the files whose names it is given on its input.
READER = """
import sys
buffer = bytearray(1 << 20)
for path in sys.stdin.read().splitlines():
  with open(path, "rb", buffering=0) as file:
    while file.readinto(buffer):
      pass
"""


class RegimeError(Exception):
  """A regime cannot be had here; the message says why."""


def limit_bytes(set_bytes):
  return int(PRESSURE_SHARE * set_bytes) + PRESSURE_ROOM


def each_file(root):
  for folder, _, names in os.walk(root):
    for name in names:
      yield os.path.join(folder, name)


def size_of(root):
  """Returns (files, bytes) below a directory."""
  count = total = 0
  for path in each_file(root):
    count += 1
    total += os.path.getsize(path)
  return count, total


def available_bytes():
  with open("/proc/meminfo", encoding="ascii") as file:
    for line in file:
      if line.startswith("MemAvailable:"):
        return 1024 * int(line.split()[1])
  return 0


def warm(root):
  """Reads every file, so that the page cache holds it."""
  buffer = bytearray(1 << 20)
  for path in each_file(root):
    with open(path, "rb", buffering=0) as file:
      while file.readinto(buffer):
        pass


def most_wanted(root, size):
  """The files that are asked for most, as many as have this size together: the workload draws directories by Zipf's
  law, in the order of their numbers."""
  found = []
  for path in sorted(each_file(root)):
    size -= os.path.getsize(path)
    if size < 0:
      break
    found.append(path)
  return found


def evict(paths):
  """Tells the kernel that the pages of these files are not needed."""
  for path in paths:
    with contextlib.suppress(OSError):  # removed meanwhile
      descriptor = os.open(path, os.O_RDONLY)
      try:
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
      finally:
        os.close(descriptor)


class Resident:
  """Everything is in the page cache. Nothing is done to a server."""

  name = servers.RESIDENT
  description = ("the whole file set in the page cache beforehand, locked there where the user may lock so much, else "
                 "read again every 20 s")
  limits = ()

  def __init__(self, root):
    self._root = root
    self._warmed = None
    self._holder = None  # locks the files in memory

  def enter(self):
    """After another regime."""
    self._warmed = None
    warm(self._root)
    self._holder = subprocess.Popen(["setpriv", "--pdeathsig", "TERM", sys.executable,
                                     os.path.join(os.path.dirname(os.path.abspath(__file__)), "pin.py"), self._root],
                                    stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True)
    if self._holder.stdout.readline() != b"ready\n":  # a user may lock little; then it is read again and again
      self.leave()

  def prepare(self):
    if self._holder is not None:
      return
    if self._warmed is None or time.monotonic() - self._warmed > WARM_SECONDS:
      warm(self._root)
      self._warmed = time.monotonic()

  def leave(self):
    if self._holder is None:
      return
    self._holder.stdin.close()
    processes.wait_or_kill(self._holder, PIN_SECONDS)
    self._holder.stdout.close()
    self._holder = None

  def disturbed(self, result):
    """Says what was not as the regime has it in a run, or None. Then everything is read anew before the next."""
    disk, served = result.get("disk_mb_s"), result.get("mbps")
    if not disk or not served or disk <= NOT_RESIDENT * served / 8:
      return None
    self._warmed = None
    return f"{disk:.1f} MB/s came from the disk: the file set was not all in the page cache"

  @contextlib.contextmanager
  def around(self):
    """What happens beside a server while it runs."""
    yield


class MemoryGroup:
  """A memory limit on the server. RegimeError where the machine does not grant one."""

  name = servers.PRESSURE

  def __init__(self, root, limit, hierarchies=groups.HIERARCHIES):
    self._root = root
    self.limits = (groups.memory_limit(limit),)
    try:
      self._group = groups.Limits(*self.limits, hierarchies=hierarchies)
    except groups.GroupError as error:
      raise RegimeError(str(error)) from error
    # Those that are asked for most come last, so that they are dropped last.
    self._fill = list(reversed(most_wanted(root, FILL_SHARE * limit)))
    self._others = sorted(set(each_file(root)) - set(self._fill))
    self.description = (f"the server in a control group (version {self._group.version}) with a memory limit of "
                        f"{limit / 2**20:,.0f} MiB, its page cache included; before it starts, the directories that "
                        f"are asked for most are in that cache, up to {100 * FILL_SHARE:.0f}\u202f% of the limit, and "
                        "no others")

  def enter(self):
    # Pages that another group brought in would be free of charge.
    evict(each_file(self._root))
    self._group.keep()

  def prepare(self):
    # What the last server brought in would be there for this one, which is asked for the same. Where the group is not
    # kept, its cache is gone with the last server.
    evict(self._others if self._group.kept else each_file(self._root))

  def leave(self):
    self._group.drop()

  def fill(self):
    """Brings files into the group's cache, once the group is there; what is in it already costs little."""
    with self._group.around() as enter:
      subprocess.run([*enter, sys.executable, "-c", READER], input="\n".join(self._fill).encode(), check=True,
                     timeout=FILL_SECONDS)

  def disturbed(self, _):
    return None

  @contextlib.contextmanager
  def around(self):
    yield


class Eviction:
  """A helper that drops a part of the file set from the page cache, again and again."""

  name = servers.PRESSURE
  limits = ()

  def __init__(self, root, cpu, why):
    self._root = root
    self._cpu = cpu
    self.description = (f"a helper drops one file in {EVICT_SHARE} from the page cache every {EVICT_SECONDS:g} s, in "
                        f"turn, since no control group with a memory limit can be made here ({why})")

  def enter(self):
    evict(each_file(self._root))

  def prepare(self):
    pass

  def leave(self):
    pass

  def disturbed(self, _):
    return None

  @contextlib.contextmanager
  def around(self):
    helper = subprocess.Popen(["setpriv", "--pdeathsig", "TERM", "taskset", "-c", str(self._cpu), sys.executable,
                               os.path.abspath(__file__), self._root], start_new_session=True)
    try:
      yield
    finally:
      helper.terminate()
      helper.wait()


def pressure(root, limit, cpu, hierarchies=groups.HIERARCHIES):
  """The best that the machine grants."""
  try:
    return MemoryGroup(root, limit, hierarchies)
  except RegimeError as error:
    return Eviction(root, cpu, str(error))


def evict_steadily(root):
  paths = sorted(each_file(root))
  turn = 0
  while True:
    evict(paths[turn % EVICT_SHARE::EVICT_SHARE])
    turn += 1
    time.sleep(EVICT_SECONDS)


if __name__ == "__main__":
  evict_steadily(sys.argv[1])
