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

import groups
import servers

# The paper's machine had 2.0 GB for 3.2 GB of files; a little more, so that small file sets leave room for programs.
PRESSURE_SHARE = 0.625
PRESSURE_ROOM = 64 << 20
EVICT_SECONDS = 2.0  # the helper's turn
EVICT_SHARE = 4  # one file in so many each turn


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
  description = "the whole file set read into the page cache beforehand"
  limits = ()

  def __init__(self, root):
    self._root = root
    self._warm = False

  def prepare(self):
    if not self._warm:
      warm(self._root)
      self._warm = True

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
      version = groups.Limits(*self.limits, hierarchies=hierarchies).version
    except groups.GroupError as error:
      raise RegimeError(str(error)) from error
    self.description = (f"the server in a control group (version {version}) with a memory limit of "
                        f"{limit / 2**20:,.0f} MiB, its page cache included")

  def prepare(self):
    # Pages that another group brought in would be free of charge.
    evict(each_file(self._root))

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

  def prepare(self):
    evict(each_file(self._root))

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
