"""Reads Bobbin's counters of a running process from outside, by its memory.

libbobbin exports bobbin_counters_map (runtime/counters_map.cc), which tells where they are. Two readings, subtracted,
are a window. The process is not stopped, and does nothing for it.
"""

import os
import re
import struct
import subprocess

MAGIC = b"bobbin01"
SYMBOL = "bobbin_counters_map"
MAP = struct.Struct("<8sQQQQQQQQ")
SCHEDULERS_MOST = 64
CLOCK_SHIFT = 28  # Clock::kShift


class CountersError(Exception):
  """The counters cannot be read. The message says why."""


class Counters:
  """The counters of one process that runs on Bobbin."""

  def __init__(self, pid):
    self.pid = pid
    self.base, path = find_library(pid)
    try:
      self.memory = open(f"/proc/{pid}/mem", "rb", buffering=0)
    except OSError as error:
      raise CountersError(f"the memory of process {pid} cannot be read ({error.strerror}): run as root") from None
    try:
      (magic, names, name_bytes, self.active, self.count, self.schedulers, self.counters, self.kernel_tid,
       self.multiplier) = MAP.unpack(self.read(self.base + find_symbol(path), MAP.size))
      if magic != MAGIC:
        raise CountersError(f"libbobbin of process {pid} is of another version than ./dev profile")
      self.names = self.read(names, name_bytes).decode().split()
    except BaseException:
      self.memory.close()
      raise

  def read(self, address, size):
    try:
      data = os.pread(self.memory.fileno(), size, address)
    except (OSError, OverflowError) as error:
      raise CountersError(f"process {self.pid} cannot be read: {error}") from None
    if len(data) != size:
      raise CountersError(f"process {self.pid} has ended")
    return data

  def word(self, address, form):
    return struct.unpack(form, self.read(address, struct.calcsize(form)))[0]

  def reading(self):
    """Returns {kernel thread id of a scheduler: {counter: value}}, {} while on kernel threads."""
    if not self.word(self.active, "<?"):
      return {}
    multiplier = self.word(self.multiplier, "<I")
    count = min(self.word(self.count, "<i"), SCHEDULERS_MOST)
    result = {}
    for scheduler in struct.unpack(f"<{count}Q", self.read(self.schedulers, 8 * count)):
      tid = self.word(scheduler + self.kernel_tid, "<i")
      values = struct.unpack(f"<{len(self.names)}Q", self.read(scheduler + self.counters, 8 * len(self.names)))
      result[tid] = dict(zip(self.names, values))
      result[tid]["cpu_nanoseconds"] = cpu_nanoseconds(self.pid, tid)
      result[tid]["cpu_cycles"] = (
          (result[tid]["cpu_nanoseconds"] << CLOCK_SHIFT) // multiplier if multiplier else 0)
      result[tid]["polling_cpu_cycles"] = (
          (result[tid]["polling_time"] << CLOCK_SHIFT) // multiplier if multiplier else 0)
    return result

  def close(self):
    self.memory.close()


def find_library(pid):
  """Returns where libbobbin begins in the process, and a path by which its file can be opened."""
  try:
    with open(f"/proc/{pid}/maps", encoding="utf-8", errors="replace") as maps:
      for line in maps:
        fields = line.split(maxsplit=5)
        if len(fields) == 6 and os.path.basename(fields[5]).startswith("libbobbin.so") and fields[2] == "00000000":
          path = fields[5].strip()
          if path.endswith(" (deleted)"):
            raise CountersError(f"libbobbin of process {pid} was replaced since it started")
          return int(fields[0].split("-")[0], 16), f"/proc/{pid}/root{path}"
  except OSError as error:
    raise CountersError(f"process {pid}: {error.strerror}") from None
  raise CountersError(f"process {pid} does not run on Bobbin")


def find_symbol(path):
  try:
    text = subprocess.run(["nm", "-D", "--defined-only", path], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                          text=True, check=False).stdout
  except OSError:
    raise CountersError("nm is not installed (Debian's package binutils)") from None
  found = re.search(rf"^([0-9a-f]+) \w {SYMBOL}$", text, re.MULTILINE)
  if found is None:
    raise CountersError("this libbobbin is older than ./dev profile and tells nothing of its counters")
  return int(found[1], 16)


def cpu_nanoseconds(pid, tid):
  try:
    with open(f"/proc/{pid}/task/{tid}/schedstat", encoding="ascii") as file:
      return int(file.read().split()[0])
  except (OSError, ValueError, IndexError):
    raise CountersError(f"process {pid} has ended") from None


def subtract(after, before):
  """What happened between two readings; a scheduler that came meanwhile counts from 0."""
  return {tid: {name: value - before.get(tid, {}).get(name, 0) for name, value in values.items()}
          for tid, values in after.items()}


def shares(window):
  """Bobbin's own shares of the CPU of a window, percent, as runtime/statistics.cc has them since the start."""
  total = {"threading": 0, "event": 0, "application": 0}
  for values in window.values():
    others = values["application_cycles"] + values["threading_cycles"] + values["event_cycles"]
    polling = values["polling_cpu_cycles"]
    cpu = values["cpu_cycles"] - polling
    stretch = max(1.0, others / cpu) if cpu > 0 else 1.0
    total["threading"] += values["threading_cycles"]
    total["application"] += values["application_cycles"]
    total["event"] += values["event_cycles"] + min(values["polling_cycles"], polling * stretch)
  everything = sum(total.values())
  return {name: 100 * value / everything for name, value in total.items()} if everything > 0 else None


def summed(window, name):
  return sum(values[name] for values in window.values())
