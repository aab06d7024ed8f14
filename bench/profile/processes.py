"""What the kernel tells of a tree of processes: context switches, and of the machine: the file cache."""

import os

import samples

SWITCHES = ("voluntary_ctxt_switches:", "nonvoluntary_ctxt_switches:")


class Switches:
  """Counts the context switches of a tree's kernel threads since the first look."""

  def __init__(self, root):
    self.root = root
    self.before = {}
    self.latest = {}
    self.look()
    self.before = dict(self.latest)

  def look(self):
    """Reads the counters anew. What threads did that ended since the last look is missing."""
    for pid in samples.tree_now(self.root):
      try:
        tids = os.listdir(f"/proc/{pid}/task")
      except OSError:
        continue
      for tid in tids:
        counts = switches_of(pid, tid)
        if counts is not None:
          self.latest[pid, tid] = counts

  def counts(self):
    """Returns (voluntary, involuntary) since the first look."""
    return tuple(sum(counts[i] - self.before.get(thread, (0, 0))[i] for thread, counts in self.latest.items())
                 for i in range(2))


def switches_of(pid, tid):
  try:
    with open(f"/proc/{pid}/task/{tid}/status", encoding="ascii", errors="replace") as file:
      lines = [line.split() for line in file if line.startswith(SWITCHES)]
  except OSError:
    return None
  found = dict((name, int(value)) for name, value in lines)
  return tuple(found.get(name, 0) for name in SWITCHES)


def file_cache_kib():
  """The kernel's cache of files' pages and of block devices, KiB; memory without a file is not counted."""
  with open("/proc/meminfo", encoding="ascii") as file:
    sizes = {line.split(":")[0]: int(line.split()[1]) for line in file}
  return sizes["Cached"] + sizes["Buffers"] - sizes.get("Shmem", 0)


def exists(pid):
  try:
    with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
      return file.read().rpartition(")")[2].split()[0] not in ("Z", "X")
  except OSError:
    return False
