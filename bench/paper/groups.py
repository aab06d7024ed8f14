"""Control groups that limit a server: its memory, its share of a processor. Version 1 or 2, as the machine has them."""

import contextlib
import os
import sys
import time

HIERARCHIES = ("/sys/fs/cgroup/memory", "/sys/fs/cgroup/cpu", "/sys/fs/cgroup/unified", "/sys/fs/cgroup")
PERIOD_US = 10000  # short, so that a server that has used its share does not wait long

ENTER = 'while [ "$1" != -- ]; do echo $$ >"$1/cgroup.procs" || exit 1; shift; done; shift; exec "$@"'


class GroupError(Exception):
  """The machine does not grant a limit; the message says why."""


def memory_limit(size):
  """The ways to write a limit of memory, page cache included: {version: ((file, text), ...)}."""
  return {1: (("memory.limit_in_bytes", str(size)),), 2: (("memory.max", str(size)),)}


def processor_share(share):
  quota = max(1000, int(share * PERIOD_US))
  return {1: (("cpu.cfs_period_us", str(PERIOD_US)), ("cpu.cfs_quota_us", str(quota))),
          2: (("cpu.max", f"{quota} {PERIOD_US}"),)}


def own_group(hierarchy):
  """The path of our own control group below the mount of its hierarchy."""
  name = os.path.basename(hierarchy)
  wanted = name if name in ("memory", "cpu") else ""
  with contextlib.suppress(OSError), open("/proc/self/cgroup", encoding="utf-8") as file:
    for line in file:
      _, controllers, path = line.rstrip("\n").split(":", 2)
      if wanted in controllers.split(","):
        return path if path != "/" else ""
  return ""


class Limits:
  """Some limits, for one server at a time. GroupError where one of them is not granted."""

  def __init__(self, *limits, hierarchies=HIERARCHIES):
    self._folders = {}  # folder: ((file, text), ...)
    self.version = 0
    self.kept = False
    for limit in limits:
      folder, files, self.version = self._find(limit, hierarchies)
      self._folders[folder] = self._folders.get(folder, ()) + files

  @contextlib.contextmanager
  def around(self):
    """Yields the command that a server's own is to follow."""
    made = []
    entered = list(self._folders)
    try:
      for folder, files in self._folders.items():
        if not os.path.isdir(folder):  # else it is kept
          make(folder, files)
          made.append(folder)
      yield ("sh", "-c", ENTER, "sh", *entered, "--") if entered else ()
    finally:
      for folder in made:
        remove(folder)

  def keep(self):
    """Makes the groups and keeps them, and with them the page cache that is charged to them, until drop(). Only where
    each kind of limit has groups of its own, since others join with theirs."""
    if self.version == 1 and not self.kept:
      for folder, files in self._folders.items():
        make(folder, files)
      self.kept = True

  def drop(self):
    if self.kept:
      for folder in self._folders:
        remove(folder)
      self.kept = False

  @staticmethod
  def _find(limit, hierarchies):
    """Tries where the limit is granted. Returns the folder, what to write there, and the version."""
    why = []
    for hierarchy in hierarchies:
      for parent in dict.fromkeys((hierarchy + own_group(hierarchy), hierarchy)):
        folder = os.path.join(parent, f"bobbin-bench-{os.getpid()}")
        for version, files in limit.items():
          try:
            make(folder, files)
            remove(folder)
            return folder, files, version
          except OSError as error:
            why.append(f"{os.path.join(folder, files[-1][0])}: {error.strerror}")
    raise GroupError(why[0] if why else "there are no control groups")


def make(folder, files):
  os.mkdir(folder)
  try:
    for name, text in files:
      # Without O_CREAT, so that only what the kernel offers is written; unbuffered, since its verdict comes with the
      # write.
      descriptor = os.open(os.path.join(folder, name), os.O_WRONLY)
      try:
        os.write(descriptor, text.encode())
      finally:
        os.close(descriptor)
  except OSError:
    os.rmdir(folder)
    raise


def remove(folder):
  for _ in range(100):  # the last process may take a moment to go
    try:
      os.rmdir(folder)
      return
    except OSError:
      time.sleep(0.05)
  print(f"paper: the control group {folder} could not be removed", file=sys.stderr)
