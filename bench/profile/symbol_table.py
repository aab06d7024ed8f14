"""Sorts functions into the rows of the table by symbols.txt, which tells the format."""

import fnmatch
import os
import re

TABLE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "symbols.txt")

# The rows: key, group, what they are called. Their order is the paper's.
ROWS = [
    ("kernel.networking", "kernel", "networking"),
    ("kernel.memory_management", "kernel", "memory management"),
    ("kernel.file_system", "kernel", "file system"),
    ("kernel.kernel_arch", "kernel", "kernel+arch"),
    ("kernel.poll_overhead", "kernel", "poll overhead"),
    ("kernel.data_copying", "kernel", "data copying"),
    ("kernel.scheduling_overhead", "kernel", "scheduling overhead"),
    ("kernel.others", "kernel", "others"),
    ("driver", "driver or loopback", ""),
    ("user.thread_overhead", "user space", "thread overhead"),
    ("user.event_overhead", "user space", "event overhead"),
    ("user.application", "user space", "application"),
    ("libc", "libc", ""),
    ("other", "other", ""),
]
KEYS = [key for key, _, _ in ROWS]
GROUPS = list(dict.fromkeys(group for _, group, _ in ROWS))

# The halves of thread overhead and their parts. The first half is what the paper calls thread overhead; the second is
# what answers the program's system calls, most of which is libc's and the application's work in servers without Bobbin.
HALVES = {
    "scheduling, switching, synchronization": [
        "switching and scheduling", "parking and futexes", "workers", "threads and stacks", "Pthreads",
        "own locks and queues", "other libraries"],
    "system-call layer": ["ways in", "handlers", "descriptors"],
}
PARTS = [part for parts in HALVES.values() for part in parts]

# Bobbin's own shares.
SHARES = ["threading", "event", "application"]

KERNEL_ROWS = {title: key for key, group, title in ROWS if group == "kernel"} | {"driver": "driver", "other": "other"}
USER_ROWS = {title: key for key, group, title in ROWS if group == "user space"} | {"libc": "libc", "other": "other"}
CALLER = "caller"

SUFFIX = re.compile(r"(\.(isra|part|constprop|cold|llvm|lto_priv)(\.\d+)*|@@?[A-Z]+_[\w.]+)+$")


class TableError(Exception):
  """The table contradicts itself or names what is none. The message says the line."""


def plain(symbol):
  """A function's name without what the compiler or the linker has added."""
  return SUFFIX.sub("", symbol)


class Patterns:
  """Patterns with a value each; the most specific that matches counts."""

  def __init__(self):
    self.exact = {}
    self.globs = []  # (literal beginning, pattern, value), the longest beginning first
    self.known = {}

  def add(self, pattern, value, where):
    if pattern in self.exact or any(pattern == other for _, other, _ in self.globs):
      raise TableError(f"{where}: {pattern} stands there twice")
    if "*" in pattern:
      self.globs.append((pattern[:pattern.index("*")], pattern, value))
      self.globs.sort(key=lambda glob: -len(glob[0]))
    else:
      self.exact[pattern] = value

  def find(self, name):
    if name not in self.known:
      self.known[name] = self.look_up(name)
    return self.known[name]

  def look_up(self, name):
    if name in self.exact:
      return self.exact[name]
    for beginning, pattern, value in self.globs:
      # Brackets are no character classes here: Go's names have them.
      if name.startswith(beginning) and fnmatch.fnmatchcase(name, pattern.replace("[", "[[]")):
        return value
    return None


class SymbolTable:
  def __init__(self, path=TABLE):
    self.sections = []  # (globs of objects, Patterns)
    self.kernel = Patterns()
    self.accounting = Patterns()
    self.objects = {}  # object -> the sections that match it
    with open(path, encoding="utf-8") as file:
      self.read(file.read().splitlines(), os.path.basename(path))

  def read(self, lines, name):
    rows, section, value = None, None, None
    for number, line in enumerate(lines, 1):
      where = f"{name}:{number}"
      if not line.strip() or line.startswith("#"):
        continue
      if line.startswith("["):
        section, rows = self.start_section(line.strip()[1:-1].split())
        value = None
        continue
      if not line.startswith(" "):
        title, _, line = line.partition(":")
        if section is None:
          raise TableError(f"{where}: a row before any section")
        value = self.value_of(title.strip(), rows, where)
      if value is None:
        raise TableError(f"{where}: patterns without a row")
      for pattern in line.split():
        section.add(pattern, value, where)

  def start_section(self, objects):
    if objects == ["kernel"]:
      return self.kernel, KERNEL_ROWS | {CALLER: CALLER}
    if objects == ["accounting"]:
      return self.accounting, {share: share for share in SHARES}
    self.sections.append((objects, Patterns()))
    return self.sections[-1][1], USER_ROWS

  @staticmethod
  def value_of(title, rows, where):
    row, _, part = (piece.strip() for piece in title.partition("/"))
    if row not in rows:
      raise TableError(f"{where}: no row is called {row!r}; rows: {', '.join(rows)}")
    if rows is not USER_ROWS:
      return rows[row]
    if (part != "") != (row == "thread overhead") or (part and part not in PARTS):
      raise TableError(f"{where}: thread overhead, and nothing else, has parts: {', '.join(PARTS)}")
    return rows[row], part or None

  def sort_kernel(self, stack):
    """The row of a sample in the kernel. `stack` holds names of functions, the innermost first. None: unknown."""
    names = [plain(symbol) for symbol in stack]
    row = None
    for index, name in enumerate(names):
      called_by = f"{name}<{names[index + 1]}" if index + 1 < len(names) else name
      row = self.kernel.exact.get(called_by) or self.kernel.find(name)
      if row != CALLER:
        break
    # A helper that nobody of the kernel has called was entered from outside, or the stack is not known.
    return "kernel.kernel_arch" if row == CALLER else row

  def sort_user(self, symbol, file):
    """The row of a sample in user space and its part, if it is thread overhead."""
    if file not in self.objects:
      self.objects[file] = [patterns for globs, patterns in self.sections
                            if any(fnmatch.fnmatchcase(file, glob.replace("[", "[[]")) for glob in globs)]
    for patterns in self.objects[file]:
      found = patterns.find(plain(symbol))
      if found is not None:
        return found
    return "other", None

  def share_of(self, functions):
    """Which of Bobbin's own shares a stack belongs to. `functions` are those of libbobbin, the innermost first."""
    for symbol in functions:
      share = self.accounting.find(plain(symbol))
      if share is not None:
        return share
    return "application"
