"""Shows gdb the user threads of a process that runs on Bobbin, live or in a core file.

gdb knows kernel threads; a user thread that is not running is a control block (runtime/thread.h) and the registers that
the switch left on its stack. The commands, which `help bobbin` lists, read both by the debug information of libbobbin
and change nothing in the process: a parked thread's registers are given to gdb as those of the caller of the selected
kernel thread's innermost frame, which an unwinder makes up. So its own frames are numbered from 1 or more.
"""

import collections
import os
import struct
import time

import gdb
import gdb.unwinder
from gdb.FrameDecorator import FrameDecorator

# What boost::context's jump_fcontext leaves at a suspended context, and what it takes off the stack when it goes back
# to it (jump_x86_64_sysv_elf_gas.S).
SAVED = {"r12": 0x08, "r13": 0x10, "r14": 0x18, "r15": 0x20, "rbx": 0x28, "rbp": 0x30, "rip": 0x38}
SAVED_SIZE = 0x40
# How far jump_fcontext has come.
CHANGES_STACK = bytes.fromhex("4889e04889fc")  # mov %rsp, %rax; mov %rdi, %rsp
STACK_CHANGED = 0x31
ALL_LOADED = 0x61  # the saved registers are off the stack, the return address in r8
JUMP_END = 0x67
CALL_SIZE = 5  # call rel32
RED_ZONE = 128
PAGE = 4096

U64 = (1 << 64) - 1
NEVER = U64
CLOCK_SHIFT = 28  # Clock::kShift
MOST_THREADS = 1 << 20  # ThreadTable::kCapacity: longer than this, the list is damaged

FIRST_USER_ID = 1 << 22  # the kernel gives smaller ones

DESCRIPTOR_WAITS = ("readable", "writable", "accept", "poll", "disk")

Registers = collections.namedtuple("Registers", "values fs_base")
# A parked thread, the kernel thread whose innermost frame it is shown behind, and the number of its own first frame.
Selection = collections.namedtuple("Selection", "registers carrier innermost first_frame")


def memory(address, size):
  return bytes(gdb.selected_inferior().read_memory(address, size))


def saved_at(context):
  """The registers that jump_fcontext left in a context, and the stack pointer behind it, by name."""
  saved = memory(context, SAVED_SIZE)
  values = {name: struct.unpack_from("<Q", saved, offset)[0] for name, offset in SAVED.items()}
  values["rsp"] = context + SAVED_SIZE
  return values


def connection_type():
  connection = gdb.selected_inferior().connection
  return "" if connection is None else connection.type


def is_here():
  """Tells whether the process is alive on this machine."""
  return connection_type() == "native"


def is_core_file():
  return connection_type() == "core"


class cxx_names:
  """Names are C++'s, whatever language the selected frame has."""

  def __enter__(self):
    self.language = gdb.parameter("language")
    gdb.execute("set language c++", False, True)

  def __exit__(self, *_):
    gdb.execute(f"set language {self.language}", False, True)


class Record:
  """Reads fields of one struct of the process; fields of fields are named with dots."""

  layouts = {}  # (type name, path) -> (offset, size); emptied when files are read anew

  def __init__(self, type_name, address):
    self.type = gdb.lookup_type(type_name)
    self.type_name = type_name
    self.address = address
    self.bytes = memory(address, self.type.sizeof)

  def place(self, path):
    key = (self.type_name, path)
    if key not in self.layouts:
      offset, inner = 0, self.type
      for name in path.split("."):
        try:
          field = inner.strip_typedefs()[name]
        except KeyError:
          raise gdb.GdbError(
              f"{self.type_name} has no {path}: these commands belong to another version of libbobbin.") from None
        offset += field.bitpos // 8
        inner = field.type
      self.layouts[key] = (offset, inner.sizeof)
    return self.layouts[key]

  def __getitem__(self, path):
    offset, size = self.place(path)
    return int.from_bytes(self.bytes[offset:offset + size], "little")

  def text(self, path):
    offset, size = self.place(path)
    return self.bytes[offset:offset + size].split(b"\0")[0].decode(errors="replace")


def enumerators(type_name):
  """Values of an enumeration -> its names in words: kParked is "parked"."""
  words = {}
  for field in gdb.lookup_type(type_name).fields():
    words[field.enumval] = field.name.split("::")[-1][1:].lower()
  return words


class Thread:
  """One user thread, as its control block has it."""

  def __init__(self, process, address):
    self.block = Record("bobbin::Thread", address)
    self.address = address
    self.id = self.block["tid"]
    self.name = self.block.text("name")
    self.state = process.states.get(self.block["state"], "?")
    self.waiting = process.waits.get(self.block["waiting"], "?")
    self.argument = self.block["wait_argument"]
    self.scheduler = process.by_address.get(self.block["scheduler"])

  def has_on_stack(self, address):
    return self.block["stack_low"] != 0 and self.block["stack_low"] <= address < self.block["stack_top"]

  def on_alternate_stack(self, address):
    low = self.block["alternate_stack.ss_sp"]
    return low != 0 and low <= address < low + self.block["alternate_stack.ss_size"]


class Scheduler:
  def __init__(self, address):
    self.record = Record("bobbin::Scheduler", address)
    self.address = address
    self.index = self.record["index_"]
    self.carrier = None  # gdb's thread
    self.registers = {}  # of the carrier: rsp rip rax rsi
    self.running = None  # the Thread whose stack the carrier is on; None: no user thread's

  def on_own_stack(self, address):
    idle = Record("bobbin::Thread", self.record["idle_"])
    alternate = self.record["own_alternate_stack.ss_sp"]
    return (idle["stack_low"] <= address < idle["stack_top"] or
            alternate != 0 and alternate <= address < alternate + self.record["own_alternate_stack.ss_size"])


class Process:
  """Everything about the selected process, as it stands still now."""

  def __init__(self):
    if not gdb.selected_inferior().pid or gdb.selected_thread() is None:
      raise gdb.GdbError("There is no process: run one, attach to one, or load a core file.")
    if gdb.selected_thread().is_running():
      raise gdb.GdbError("The process is running: interrupt it first.")
    with cxx_names():
      self.read()

  def read(self):
    Record.layouts.clear()
    try:
      storage = int(gdb.parse_and_eval("(unsigned long)&bobbin::runtime_storage"))
      self.runtime = Record("bobbin::Runtime", storage)
      self.states = enumerators("bobbin::ThreadState")
      self.waits = enumerators("bobbin::Waiting")
    except gdb.MemoryError as error:
      raise gdb.GdbError(f"Bobbin's state cannot be read: {error}") from None
    except gdb.error:
      raise gdb.GdbError(self.why_no_names()) from None
    if not self.runtime["active"]:
      reason = self.runtime["inactive_reason"]
      words = gdb.Value(reason).cast(gdb.lookup_type("char").pointer()).string() if reason else "not started"
      raise gdb.GdbError(f"Bobbin is not active here, threads are kernel threads: {words}.")
    self.jump = int(gdb.parse_and_eval("(unsigned long)&jump_fcontext"))
    offset, _ = self.runtime.place("schedulers")
    count = self.runtime["scheduler_count"]
    addresses = struct.unpack_from(f"<{count}Q", self.runtime.bytes, offset)
    self.schedulers = [Scheduler(address) for address in addresses]
    self.by_address = {scheduler.address: scheduler for scheduler in self.schedulers}
    self.threads = []
    address = self.runtime["threads.all_"]
    while address != 0 and len(self.threads) < MOST_THREADS:
      self.threads.append(Thread(self, address))
      address = self.threads[-1].block["all_next"]
    self.threads.reverse()
    self.find_carriers()

  @staticmethod
  def why_no_names():
    for objfile in gdb.objfiles():
      if os.path.basename(objfile.filename or "").startswith("libbobbin.so"):
        return f"{objfile.filename} has no debug information that fits: its threads cannot be read."
    return "This process does not use Bobbin: there is no libbobbin in it."

  def find_carriers(self):
    """Finds the kernel thread of each scheduler, and whose stack it is on.

    A kernel thread's GS base is its scheduler; unlike its id it is the same in every pid namespace.
    """
    before = gdb.selected_thread()
    with selection_kept():
      for carrier in gdb.selected_inferior().threads():
        # In a core file libthread_db takes user threads for kernel threads; they have no registers.
        if carrier.is_running() or carrier.ptid[1] >= FIRST_USER_ID:
          continue
        carrier.switch()
        scheduler = self.by_address.get(register("gs_base"))
        if scheduler is not None:
          scheduler.carrier = carrier
          scheduler.here = carrier.ptid == before.ptid
          scheduler.registers = {name: register(name) for name in ("rsp", "rip", "rax", "rsi", "rdx")}
          scheduler.running = self.on_stack(scheduler, scheduler.registers["rsp"])

  def on_stack(self, scheduler, sp):
    """The thread that runs, though `current_` may be one ahead: it is set just before a switch."""
    mine = [thread for thread in self.threads if thread.scheduler is scheduler]
    current = next((thread for thread in mine if thread.address == scheduler.record["current_"]), None)
    if current is not None and (current.has_on_stack(sp) or current.on_alternate_stack(sp)):
      return current
    for thread in mine:
      if thread.has_on_stack(sp):
        return thread
    if current is None or scheduler.on_own_stack(sp):
      return current if current is None or scheduler.record["current_"] != scheduler.record["idle_"] else None
    # On a stack with unknown bounds: the main thread's.
    if current.block["stack_low"] == 0:
      return current
    return next((thread for thread in mine if thread.block["stack_low"] == 0), current)

  def find(self, word):
    try:
      number = int(word, 0)
    except ValueError:
      raise gdb.GdbError(f"'{word}' is not the id of a user thread; 'bobbin threads' lists them.") from None
    for thread in self.threads:
      if thread.id == number:
        return thread
    raise gdb.GdbError(f"There is no user thread {number}; 'bobbin threads' lists them.")

  def saved_registers(self, thread):
    """The registers of a thread that is not running. None: it is just being switched and they are not in memory."""
    for scheduler in self.schedulers:
      # A switch hands on the context it left, with whose it is, before that is noted in the control block.
      registers = scheduler.registers
      if thread.address in (registers.get("rsi"), registers.get("rdx")):
        values = self.suspended(registers["rax"])
        if values is not None and (thread.block["stack_low"] == 0 or thread.has_on_stack(registers["rax"])):
          return Registers(values, thread.block["fs_base"])
    values = self.suspended(thread.block["context"])
    return None if values is None else Registers(values, thread.block["fs_base"])

  def suspended(self, context):
    """The registers that a context goes on with, by name; None: this is none."""
    try:
      values = saved_at(context)
      return values if self.is_suspended_at(values["rip"]) else None
    except gdb.MemoryError:
      return None

  def behind_jump(self, scheduler):
    """The registers that a kernel thread inside jump_fcontext, which has no unwind information, returns with.

    None: it is not there.
    """
    at = scheduler.registers["rip"] - self.jump
    if not 0 <= at <= JUMP_END:
      return None
    if memory(self.jump + STACK_CHANGED - len(CHANGES_STACK), len(CHANGES_STACK)) != CHANGES_STACK:
      return None
    sp = scheduler.registers["rsp"]
    if STACK_CHANGED <= at < ALL_LOADED:
      return Registers(saved_at(sp), register("fs_base"))
    values = {name: register(name) for name in SAVED}
    if at < STACK_CHANGED:
      sp += 0 if at == 0 else SAVED["rip"]
      values["rip"] = struct.unpack("<Q", memory(sp, 8))[0]
      values["rsp"] = sp + 8
    else:
      values["rip"] = register("r8")
      values["rsp"] = sp
    return Registers(values, register("fs_base"))

  def stack_pointer(self, thread):
    for scheduler in self.schedulers:
      if scheduler.running is thread:
        return scheduler.registers["rsp"]
    registers = self.saved_registers(thread)
    return None if registers is None else registers.values["rsp"]

  def is_suspended_at(self, rip):
    """Tells whether a context goes on behind a call of jump_fcontext, or at the first instruction of a new thread."""
    if rip < CALL_SIZE:
      return False
    call = memory(rip - CALL_SIZE, CALL_SIZE)
    target = (rip + struct.unpack("<i", call[1:])[0]) & U64
    make = int(gdb.parse_and_eval("(unsigned long)&make_fcontext"))
    return call[0] == 0xe8 and target == self.jump or make < rip < make + 0x40

  def has_not_begun(self, registers):
    make = int(gdb.parse_and_eval("(unsigned long)&make_fcontext"))
    return make < registers.values["rip"] < make + 0x40

  def time_at(self, cycles):
    """Monotonic nanoseconds at a counter reading, as Clock::At; None before the clock is calibrated."""
    multiplier = self.runtime["clock.multiplier_"]
    if multiplier == 0:
      return None
    since = (cycles - self.runtime["clock.base_cycles_"]) * multiplier >> CLOCK_SHIFT
    return self.runtime["clock.base_time_"] + since

  def now(self):
    """Monotonic nanoseconds: this machine's, or the last that a core file or a remote process has a trace of."""
    if is_here():
      return time.clock_gettime_ns(time.CLOCK_MONOTONIC)
    readings = [thread.block["parked_at"] for thread in self.threads]
    for scheduler in self.schedulers:
      readings += [scheduler.record["accounting_.mark_"], scheduler.record["last_poll_"]]
    return self.time_at(max(readings))


def register(name):
  frame = gdb.newest_frame()
  return int(frame.read_register(name).cast(gdb.lookup_type("unsigned long"))) & U64


def select_frame(level):
  frame = gdb.newest_frame()
  while level > 0 and frame.older() is not None:
    frame = frame.older()
    level -= 1
  frame.select()


def innermost(frame):
  """What tells a kernel thread's innermost frame from all others."""
  return tuple(int(frame.read_register(name).cast(gdb.lookup_type("unsigned long"))) & U64 for name in ("rip", "rsp"))


class selection_kept:
  """Leaves what is selected as it was, also after an error or Ctrl-C: gdb's thread and frame, and the user thread."""

  def __enter__(self):
    self.thread = gdb.selected_thread()
    self.level = gdb.selected_frame().level()
    self.user_thread = unwinder.selection

  def __exit__(self, *_):
    unwinder.select(self.user_thread)
    if self.thread.is_valid():
      self.thread.switch()
      select_frame(self.level)


class UserThreadUnwinder(gdb.unwinder.Unwinder):
  """Makes the selected user thread the caller of one kernel thread's frame 0."""

  def __init__(self):
    super().__init__("bobbin")
    self.enabled = False
    self.selection = None

  def select(self, selection):
    if selection == self.selection:
      return
    self.selection = selection
    self.enabled = frame_filter.enabled = selection is not None
    gdb.invalidate_cached_frames()

  def active(self):
    thread = gdb.selected_thread()
    return self.selection is not None and thread is not None and thread.ptid == self.selection.carrier

  def __call__(self, frame):
    # Only the kernel thread's innermost frame has its registers; frame 0 may be inlined in it.
    if not self.active() or self.selection.innermost != innermost(frame):
      return None
    registers = self.selection.registers
    word = gdb.lookup_type("unsigned long")
    # An id below the thread's first frame, or gdb takes the stack for a corrupt one.
    unwound = frame.create_unwind_info(FrameId(gdb.Value(registers.values["rsp"] - 8).cast(word),
                                               gdb.Value(registers.values["rip"]).cast(word)))
    for name, value in registers.values.items():
      unwound.add_saved_register(name, gdb.Value(value).cast(word))
    unwound.add_saved_register("fs_base", gdb.Value(registers.fs_base).cast(gdb.lookup_type("long")))
    return unwound


class FrameId:
  def __init__(self, sp, pc):
    self.sp = sp
    self.pc = pc


class Decorator(FrameDecorator):
  """Names functions as a backtrace without filters does, and the way from libc into Bobbin for what it is."""

  def function(self):
    frame = self.inferior_frame()
    name = frame.name()
    if (name or "").startswith("bobbin_text_entry"):
      return "<system call>"
    return super().function() if name is None or frame.type() == gdb.SIGTRAMP_FRAME else name


class UserThreadFilter:
  """Leaves the kernel thread's frame out of a user thread's backtrace."""

  def __init__(self):
    self.name = "bobbin"
    self.priority = 1000
    self.enabled = False
    gdb.frame_filters[self.name] = self

  def filter(self, frames):
    first = unwinder.selection.first_frame if unwinder.active() else 0
    return (Decorator(frame) for frame in frames if frame.inferior_frame().level() >= first)


frame_filter = UserThreadFilter()
unwinder = UserThreadUnwinder()
gdb.unwinder.register_unwinder(None, unwinder, replace=True)
gdb.events.cont.connect(lambda _: unwinder.select(None))
gdb.events.exited.connect(lambda _: unwinder.select(None))


def enter(process, thread):
  """Selects the thread's innermost frame."""
  unwinder.select(None)
  scheduler = next((s for s in process.schedulers if s.running is thread), None)
  if scheduler is not None:
    scheduler.carrier.switch()
    gdb.newest_frame().select()
    registers = process.behind_jump(scheduler)
    if registers is None:
      return
  else:
    registers = process.saved_registers(thread)
  if registers is None:
    if is_core_file():
      raise gdb.GdbError(f"The stack of user thread {thread.id} is not in this core file: see 'help bobbin core'.")
    raise gdb.GdbError(f"User thread {thread.id} is just being switched; let the process run on a little.")
  if process.has_not_begun(registers):
    raise gdb.GdbError(f"User thread {thread.id} has not run yet: it has no frames.")
  frame = gdb.newest_frame()
  first = 1
  while frame.type() == gdb.INLINE_FRAME:
    frame = frame.older()
    first += 1
  unwinder.select(Selection(registers, gdb.selected_thread().ptid, innermost(frame), first))
  select_frame(first)


def run_in(process, thread, command, from_tty):
  with selection_kept():
    enter(process, thread)
    gdb.execute(command, from_tty)


def duration(nanoseconds):
  if nanoseconds is None:
    return "?"
  seconds = max(nanoseconds, 0) / 1e9
  if seconds < 100:
    return f"{seconds:.3f} s"
  return f"{seconds:.0f} s" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def waits_for(thread):
  if thread.state != "parked":
    return ""
  if thread.waiting in DESCRIPTOR_WAITS:
    return f"{thread.waiting} descriptor {thread.argument}"
  if thread.waiting == "address":
    symbol = gdb.execute(f"info symbol {thread.argument:#x}", False, True).split(" in section")[0]
    return f"address {thread.argument:#x}" + ("" if symbol.startswith("No symbol") else f" <{symbol}>")
  return thread.waiting


def descriptor_target(number):
  """What a descriptor of a live process on this machine is, as /proc has it."""
  try:
    return os.readlink(f"/proc/{gdb.selected_inferior().pid}/fd/{number}")
  except OSError:
    return None


def details(process, thread, now, live):
  """Further lines about one thread."""
  block = thread.block
  deadline = block["timer.deadline"]
  if thread.state == "parked" and deadline != NEVER and now is not None:
    yield f"until {duration(deadline - now)} from now"
  if live and thread.state == "parked" and thread.waiting in DESCRIPTOR_WAITS:
    if target := descriptor_target(thread.argument):
      yield f"descriptor {thread.argument} is {target}"
  if block["stack_low"] != 0:
    sp = process.stack_pointer(thread)
    size = block["stack_top"] - block["stack_low"]
    line = f"stack {block['stack_low']:#x} to {block['stack_top']:#x}, {size // 1024} KiB"
    if sp is not None and thread.has_on_stack(sp):
      line += f", {(block['stack_top'] - sp + 1023) // 1024} KiB in use"
    yield line
  yield f"parks {block['parks']}, blocked signals {block['signal_mask']:#x}, pending {block['pending_signals']:#x}"
  yield f"control block (bobbin::Thread *) {thread.address:#x}, thread pointer {block['fs_base']:#x}"


def list_threads(argument):
  if argument not in ("", "-v"):
    raise gdb.GdbError("Usage: bobbin threads [-v]")
  process = Process()
  now = process.now()
  live = is_here()
  rows = [("", "Id", "Name", "State", "Waits for", "For", "Scheduler")]
  for thread in process.threads:
    scheduler = thread.scheduler
    here = scheduler is not None and scheduler.running is thread and getattr(scheduler, "here", False)
    since = process.time_at(thread.block["parked_at"])
    waited = duration(now - since if now is not None and since is not None else None)
    if not live and waited != "?":
      waited = ">" + waited
    rows.append(("*" if here else "", str(thread.id), thread.name, thread.state, waits_for(thread),
                 waited if thread.state == "parked" else "", "" if scheduler is None else str(scheduler.index)))
  widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
  for row, thread in zip(rows, [None] + process.threads):
    gdb.write(" ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() + "\n")
    if argument == "-v" and thread is not None:
      for line in details(process, thread, now, live):
        gdb.write(f"      {line}\n")


class CoreFile:
  """Puts memory into a core file that has room for it."""

  def __init__(self, path):
    self.file = open(path, "r+b")
    header = self.file.read(64)
    (start,) = struct.unpack_from("<Q", header, 32)
    size, count = struct.unpack_from("<HH", header, 54)
    if count == 0xffff:  # PN_XNUM: the number is in the first section header
      self.file.seek(struct.unpack_from("<Q", header, 40)[0])
      (count,) = struct.unpack_from("<I", self.file.read(64), 44)
    self.file.seek(start)
    table = self.file.read(size * count)
    self.segments = []  # (address, offset in the file, size)
    for at in range(0, len(table), size):
      kind, _, offset, address, _, file_size = struct.unpack_from("<IIQQQQ", table, at)
      if kind == 1:  # PT_LOAD
        self.segments.append((address, offset, file_size))

  def write_pages(self, start, end):
    """Writes the pages that can be read; what the file has no room for is left out."""
    for page in range(start & -PAGE, end, PAGE):
      for address, offset, size in self.segments:
        if address <= page < address + size:
          try:
            content = memory(page, PAGE)
          except gdb.MemoryError:
            break
          self.file.seek(offset + page - address)
          self.file.write(content)
          break


def write_core(path):
  process = Process()
  gdb.execute(f"generate-core-file {path}", False)
  core = CoreFile(path)
  with core.file:
    for thread in process.threads:
      sp = process.stack_pointer(thread)
      if sp is not None and thread.has_on_stack(sp):
        # Above the stack lies the block of the thread's thread-locals, which ends with libc's descriptor.
        core.write_pages(sp - RED_ZONE, max(thread.block["stack_top"], thread.block["fs_base"]) + PAGE)


class BobbinCommand(gdb.Command):
  """Commands for the user threads of a process that runs on Bobbin."""

  def __init__(self):
    super().__init__("bobbin", gdb.COMMAND_STACK, prefix=True)


class ThreadsCommand(gdb.Command):
  """List user threads: id, name, state, what each waits for and for how long, scheduler.
Usage: bobbin threads [-v]

-v adds deadline, what the descriptor is, stack, signals and the control block.
A star marks the one on the selected kernel thread. In a core file, "for how long" counts to
the last reading of the clock that the process made."""

  def __init__(self, name):
    super().__init__(name, gdb.COMMAND_STACK)

  def invoke(self, argument, from_tty):
    list_threads(argument.strip())


class BacktraceCommand(gdb.Command):
  """Print the stack of a user thread, or of all.
Usage: bobbin backtrace ID|all [ARGUMENTS OF backtrace]"""

  def __init__(self):
    super().__init__("bobbin backtrace", gdb.COMMAND_STACK)

  def invoke(self, argument, from_tty):
    which, _, rest = argument.strip().partition(" ")
    if not which:
      raise gdb.GdbError("Usage: bobbin backtrace ID|all [ARGUMENTS OF backtrace]")
    process = Process()
    if which != "all":
      run_in(process, process.find(which), f"backtrace {rest}", from_tty)
      return
    for thread in process.threads:
      gdb.write(f"\nUser thread {thread.id} '{thread.name}' ({thread.state} {waits_for(thread)}".rstrip() + "):\n")
      try:
        run_in(process, thread, f"backtrace {rest}", from_tty)
      except (gdb.error, gdb.GdbError) as error:
        gdb.write(f"{error}\n")


class ThreadCommand(gdb.Command):
  """Run a command in the context of a user thread, or select one.
Usage: bobbin thread ID [COMMAND]
       bobbin thread off

Without COMMAND the thread stays selected until the process goes on or `bobbin thread off`: up, down,
frame, print, info locals and backtrace are about it. The frame below its own stays the kernel thread's."""

  def __init__(self):
    super().__init__("bobbin thread", gdb.COMMAND_STACK)

  def invoke(self, argument, from_tty):
    which, _, command = argument.strip().partition(" ")
    if which == "off":
      unwinder.select(None)
      gdb.newest_frame().select()
      return
    if not which:
      raise gdb.GdbError("Usage: bobbin thread ID [COMMAND], or: bobbin thread off")
    process = Process()
    thread = process.find(which)
    if command.strip():
      run_in(process, thread, command.strip(), from_tty)
      return
    enter(process, thread)
    gdb.execute("frame", from_tty)


class CoreCommand(gdb.Command):
  """Write a core file in which the user threads have their stacks.
Usage: bobbin core [FILE]

gdb's own generate-core-file gives up a mapping at the first byte that it cannot read, and all stacks
lie in one mapping with unreadable guards between them. This command adds what it left out. Core files
that the kernel writes are complete. FILE is core.PID by default."""

  def __init__(self):
    super().__init__("bobbin core", gdb.COMMAND_FILES, gdb.COMPLETE_FILENAME)

  def invoke(self, argument, from_tty):
    write_core(os.path.expanduser(argument.strip()) or f"core.{gdb.selected_inferior().pid}")


# Dispatch lives on SIGSYS; the others are time slices and the interruption of workers.
gdb.execute("handle SIGSYS SIG32 SIG33 nostop noprint pass", False, True)
BobbinCommand()
CoreCommand()
ThreadsCommand("bobbin threads")
ThreadsCommand("info bobbin")
BacktraceCommand()
ThreadCommand()
