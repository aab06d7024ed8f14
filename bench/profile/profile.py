#!/usr/bin/python3
"""Shows where the CPU time of a program goes: Table 1 of Pariag et al., EuroSys 2007, for any program.

Runs COMMAND, or looks at a process that runs already, with all processes and threads below it, until it ends, until
Ctrl-C, or for --seconds. Samples are taken by perf and sorted by function (bench/profile/symbols.txt). Where the
program runs on Bobbin, Bobbin's own accounting of the same time stands beside them.
"""

import argparse
import contextlib
import json
import math
import os
import signal
import sys
import time

import counters
import processes
import report
import samples
import symbol_table

HZ = 997  # no multiple of what programs and the kernel do regularly
MOST_HZ = 20000
TICK = 0.25  # seconds between looks at what perf does not tell
DEAR_LOOK = 0.02  # seconds: a look that takes longer is taken at the window's ends only
STOP_SECONDS = 10
FUNCTIONS = 25  # kept a row


class ProfileError(Exception):
  """There is nothing to profile. The message says why."""


class Observer:
  """Follows, for one window, what is read of the processes themselves."""

  def __init__(self, root):
    self.root = root
    self.opened = {}  # pid -> Counters
    self.refused = {}  # pid -> why not
    self.first = {}
    self.latest = {}
    self.caches = []
    self.dear = False
    self.start = self.end = None
    self.last_read = None

  def begin(self, from_exec):
    """`from_exec`: the program is only about to start, so its counters count from 0."""
    self.switches = processes.Switches(self.root)
    self.start = time.monotonic()
    self.look()
    if not from_exec:
      self.first = {pid: dict(reading) for pid, reading in self.latest.items()}

  def look(self, last=False):
    started = time.monotonic()
    for pid in samples.tree_now(self.root):
      self.read(pid)
    self.caches.append(processes.file_cache_kib())
    if last or not self.dear:
      self.switches.look()
      self.dear = time.monotonic() - started > DEAR_LOOK
    if processes.exists(self.root):
      self.end = time.monotonic()

  def read(self, pid):
    try:
      if pid not in self.opened:
        self.opened[pid] = counters.Counters(pid)
      reading = self.opened[pid].reading()
      if reading:
        self.latest[pid] = reading
    except counters.CountersError as error:
      self.refused[pid] = str(error)
      if pid in self.opened:
        self.opened.pop(pid).close()

  def scheduler_tids(self):
    return {tid for reading in self.latest.values() for tid in reading}

  def window(self):
    """The counters of the window, {scheduler's kernel thread id: {counter: value}}; {} without Bobbin."""
    result = {}
    for pid, reading in self.latest.items():
      result |= counters.subtract(reading, self.first.get(pid, {}))
    return result

  def close(self):
    for opened in self.opened.values():
      opened.close()


def summarise(observer, sort, lost, hz):
  """The result as --json writes it."""
  seconds = max(observer.end - observer.start, 1e-9)
  voluntary, involuntary = observer.switches.counts()
  window = observer.window()
  own = counters.shares(window) if window else None
  result = {
      "seconds": seconds, "hz": hz, "samples": 0, "lost": lost, "categories": None, "thread_overhead": None,
      "subcategories": None, "functions": None,
      "kernel_switches_per_s": (voluntary + involuntary) / seconds,
      "kernel_switches_voluntary_per_s": voluntary / seconds,
      "kernel_switches_involuntary_per_s": involuntary / seconds,
      "user_switches_per_s": counters.summed(window, "switches") / seconds if window else 0,
      "file_cache_kib": round(sum(observer.caches) / len(observer.caches)),
      "accounting": own, "accounting_samples": None, "accounting_difference": None, "unsampled": None,
      "accounting_beyond": None,
      "counters": {name: counters.summed(window, name) for name in next(iter(window.values()))} if window else None,
      "notes": [],
  }
  if not window and any("does not run on Bobbin" not in why for why in observer.refused.values()):
    result["notes"] += [f"no accounting: {why}" for why in sorted(set(observer.refused.values()))
                        if "does not run on Bobbin" not in why]
  if sort is not None and sort.count > 0:
    add_samples(result, sort, own)
    add_unsampled(result, sort, counters.summed(window, "cpu_nanoseconds") if window else 0)
  return result


def add_samples(result, sort, own):
  def percent(count, whole=sort.count):
    return 100 * count / whole

  result["samples"] = sort.count
  result["categories"] = {key: percent(sort.rows[key]) for key in symbol_table.KEYS}
  result["thread_overhead"] = {half: sum(percent(sort.parts[part]) for part in parts)
                               for half, parts in symbol_table.HALVES.items()}
  result["subcategories"] = {part: percent(sort.parts[part]) for part in symbol_table.PARTS}
  result["functions"] = {key: [[symbol, file, percent(count)]
                               for (symbol, file), count in sort.functions[key].most_common(FUNCTIONS)]
                         for key in symbol_table.KEYS}
  result["unknown"] = {name: percent(count) for name, count in sort.unknown.most_common()}
  whole = sum(sort.shares.values())
  if whole and sort.kernel:  # without the kernel's samples they are shares of something else
    result["accounting_samples"] = {share: percent(sort.shares[share], whole) for share in symbol_table.SHARES}
    if own:
      result["accounting_difference"] = {share: own[share] - result["accounting_samples"][share]
                                         for share in symbol_table.SHARES}
  if sort.kernel == 0:
    result["notes"].append("perf was not allowed to look into the kernel: the table is user space only; run as root")
  elif sort.unnamed > sort.kernel / 2:
    result["notes"].append("the kernel's symbols are hidden (kernel.kptr_restrict), so that its part is not divided "
                           "and stands under others; run as root, or `sysctl kernel.kptr_restrict=0`")


def add_unsampled(result, sort, cpu_nanoseconds):
  """How much of the schedulers' CPU time, by the kernel's clock, no sample stands for, percent; and by how many points
  the accounting lies outside what the samples allow, whatever share that time belongs to."""
  own, sampled = result["accounting"], result["accounting_samples"]
  if not cpu_nanoseconds or not own or not sampled:
    return
  missing = 100 - 100 * sum(sort.shares.values()) / result["hz"] / (cpu_nanoseconds / 1e9)
  result["unsampled"] = missing = max(0.0, missing)
  result["accounting_beyond"] = {}
  for share, value in own.items():
    least = sampled[share] * (1 - missing / 100)
    result["accounting_beyond"][share] = min(value - least, 0.0) + max(value - least - missing, 0.0)


def watch(observer, ended, seconds):
  """Looks now and then until `ended()` says so, `seconds` passed or Ctrl-C came."""
  deadline = observer.start + (math.inf if seconds is None else seconds)
  with contextlib.suppress(KeyboardInterrupt):
    while not ended():
      left = deadline - time.monotonic()
      if left <= 0:
        break
      time.sleep(min(TICK, left))
      observer.look()


def measure(root, seconds, hz, go=None, ended=None):
  """Profiles `root` and what is below it. `go()` is called when sampling has begun. Returns a result."""
  ended = ended or (lambda: not processes.exists(root))
  observer = Observer(root)
  with contextlib.ExitStack() as stack:
    stack.callback(observer.close)
    error, recorder, sort, lost = None, None, None, 0
    try:
      recorder = stack.enter_context(samples.Recorder(root, hz))
    except samples.PerfError as problem:
      error = str(problem)
    observer.begin(from_exec=go is not None)
    if recorder:
      recorder.enable()
    if go:
      go()
    watch(observer, ended, seconds)
    if recorder:
      recorder.disable()
    observer.look(last=True)
    if recorder:
      sort, lost = sort_samples(recorder, root, observer)
  result = summarise(observer, sort, lost, hz)
  if error is None and not result["samples"]:
    error = "there are no samples: the process used no CPU time"
  result["error"] = error
  return result


def sort_samples(recorder, root, observer):
  parser = samples.Parser(root)
  sort = samples.Sorted(symbol_table.SymbolTable())
  schedulers = observer.scheduler_tids()
  for sample in parser.samples(recorder.lines()):
    sort.add(sample, sample.pid in observer.latest, sample.tid in schedulers)
  return sort, parser.lost


def sample(pid, seconds, hz=HZ):
  """Profiles the running process `pid` and all below it for `seconds`.

  Returns: what --json writes. Where perf cannot be had, "categories" is None and "error" says why; the rest is there.
  Raises: ProfileError where there is no such process.
  """
  if not processes.exists(pid):
    raise ProfileError(f"there is no process {pid}")
  return measure(pid, seconds, hz)


class Command:
  """A program that waits, before it begins, until it is let go."""

  def __init__(self, arguments):
    self.name = arguments[0]
    self.status = None
    wait_read, self.gate = os.pipe()
    self.trouble, trouble_write = os.pipe()
    self.pid = os.fork()
    if self.pid == 0:
      self.become(arguments, wait_read, trouble_write)
    os.close(wait_read)
    os.close(trouble_write)

  def become(self, arguments, wait_read, trouble_write):
    try:
      os.close(self.gate)
      os.close(self.trouble)
      if os.read(wait_read, 1):
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        os.execvp(arguments[0], arguments)
    except OSError as error:
      os.write(trouble_write, (error.strerror or str(error)).encode())
    finally:
      os._exit(127)

  def go(self):
    os.write(self.gate, b"!")
    trouble = os.read(self.trouble, 256).decode()  # closed by a successful execve
    if trouble:
      raise ProfileError(f"cannot run {self.name}: {trouble}")

  def ended(self):
    if self.status is None:
      pid, status = os.waitpid(self.pid, os.WNOHANG)
      if pid:
        self.status = os.waitstatus_to_exitcode(status)
    return self.status is not None

  def stop(self):
    """Ends it, if need be. Returns: its exit status, or minus the signal that it died of."""
    for number in (signal.SIGTERM, signal.SIGKILL):
      deadline = time.monotonic() + STOP_SECONDS
      if not self.ended():
        os.kill(self.pid, number)
      while not self.ended() and time.monotonic() < deadline:
        time.sleep(0.02)
    return self.status


def profile_command(arguments, seconds, hz):
  command = Command(arguments)
  try:
    result = measure(command.pid, seconds, hz, command.go, command.ended)
  finally:
    running = command.status is None
    status = command.stop()
  if status not in (0, None) and not (running and status in (-signal.SIGTERM, -signal.SIGINT)):
    result["notes"].append(f"{command.name} ended with status {status}")
  return result


def whole(least, most):
  def parse(text):
    try:
      value = int(text)
    except ValueError:
      raise argparse.ArgumentTypeError("must be a whole number") from None
    if not least <= value <= most:
      raise argparse.ArgumentTypeError(f"must be from {least} to {most}")
    return value
  return parse


def seconds_of(text):
  try:
    value = float(text)
  except ValueError:
    raise argparse.ArgumentTypeError("must be a number of seconds") from None
  if not 0 < value <= 86400:
    raise argparse.ArgumentTypeError("must be above 0 and at most 86400")
  return value


def parse_arguments(argv):
  parser = argparse.ArgumentParser(prog="./dev profile", description=__doc__, allow_abbrev=False,
                                   usage="./dev profile [OPTIONS] -- COMMAND...\n"
                                         "       ./dev profile [OPTIONS] --pid=PID",
                                   formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument("--pid", type=whole(1, 1 << 22), help="look at this process instead of running one")
  parser.add_argument("--seconds", type=seconds_of,
                      help="look for so long; a COMMAND is then ended with SIGTERM (default: until it ends or Ctrl-C)")
  parser.add_argument("--hz", type=whole(1, MOST_HZ), default=HZ,
                      help=f"samples a second and processor (default {HZ})")
  parser.add_argument("--symbols", action="store_true", help="also the functions of each row")
  parser.add_argument("--json", metavar="FILE", help="also write everything there")
  parser.add_argument("command", nargs="*", metavar="COMMAND", help="a program and its arguments")
  args = parser.parse_args(argv)
  if (args.pid is None) == (not args.command):
    parser.error("either a COMMAND or --pid")
  return args


def main(argv=None):
  args = parse_arguments(argv)
  signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
  output = None
  try:
    if args.json:
      output = open(args.json, "w", encoding="utf-8")  # rather now than after the work
    if args.pid:
      result = measure_pid(args)
    else:
      result = profile_command(args.command, args.seconds, args.hz)
  except (ProfileError, samples.PerfError, symbol_table.TableError, OSError) as error:
    print(f"profile: {error}", file=sys.stderr)
    return 1
  if output:
    with output:
      json.dump(result, output, indent=1)
  report.write(result, sys.stdout, args.symbols)
  return 0 if result["error"] is None else 1


def measure_pid(args):
  if not processes.exists(args.pid):
    raise ProfileError(f"there is no process {args.pid}")
  return measure(args.pid, args.seconds, args.hz)


if __name__ == "__main__":
  try:
    sys.exit(main())
  except KeyboardInterrupt:
    sys.exit(130)
