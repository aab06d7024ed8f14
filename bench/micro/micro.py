#!/usr/bin/env python3
"""Compares what threads cost on Bobbin, on kernel threads and with Boost.Fiber.

Runs the three programs in turn over several rounds on one processor, and prints the medians side by side.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys

# Column title, program, and the flags of bobbin run if it runs under that. The first is what the others are compared
# with.
CONTESTANTS = [
    ("kernel threads", "bench-micro-kernel-threads", None),
    ("Bobbin, linked", "bench-micro", None),
    ("bobbin run", "bench-micro-kernel-threads", []),
    ("dispatch off", "bench-micro-kernel-threads", ["--dispatch=off"]),
    ("Boost.Fiber", "bench-micro-fiber", None),
]

TITLES = {
    "Switch": "switch (sched_yield)",
    "SemaphoreHandOff": "hand-off, semaphore",
    "ConditionHandOff": "hand-off, condition variable",
    "CreateAndJoin": "create and join",
    "Mutex": "mutex, uncontended",
    "PipeHandOff": "park and wake on a pipe",
    "CallInLibcText": "call in libc, with a handler",
    "CallInLibcNotInTable": "call in libc, without one",
    "CallInProgram": "call in the program",
    "CallInProgramWide": "the same, wide registers in use",
    "CallTrapped": "call that cannot be patched",
    "CallLookedAt": "call, only looked at",
}


def run_once(program, flags, args):
  """Runs one program once, under bobbin run if `flags` is not None. Returns {benchmark: nanoseconds an item}."""
  launcher = [] if flags is None else [os.path.join(args.bin, "bobbin"), "run", "--otherwise=refuse", *flags]
  command = ["taskset", "-c", str(args.cpu), *launcher, program, f"--benchmark_min_time={args.seconds}",
             f"--benchmark_filter={args.filter}", "--benchmark_format=json"]
  done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False,
                        timeout=60 + 30 * args.seconds)
  if done.returncode != 0:
    raise RuntimeError(f"exit status {done.returncode}: {done.stderr.strip()[-300:]}")
  if not done.stdout.strip():
    return {}  # the filter matched nothing
  results = {}
  for benchmark in json.loads(done.stdout)["benchmarks"]:
    if benchmark.get("error_occurred") and benchmark["error_message"].startswith("not here:"):
      continue
    if benchmark.get("error_occurred"):
      raise RuntimeError(f"{benchmark['name']}: {benchmark['error_message']}")
    results[benchmark["name"].split("/")[0]] = 1e9 / benchmark["items_per_second"]
  return results


def measure(args):
  """Returns {column: {benchmark: [nanoseconds of each round]}} and whether anything failed."""
  samples = {}
  failed = False
  for _ in range(args.rounds):
    for title, name, flags in CONTESTANTS:
      if samples.get(title, {}) is None:
        continue  # failed in an earlier round
      program = os.path.join(args.bin, name)
      try:
        if not os.path.exists(program):
          raise RuntimeError("not built")
        for benchmark, nanoseconds in run_once(program, flags, args).items():
          samples.setdefault(title, {}).setdefault(benchmark, []).append(nanoseconds)
      except (RuntimeError, OSError, subprocess.TimeoutExpired) as error:
        print(f"micro: {title} ({name}): {error}", file=sys.stderr)
        samples[title] = None
        failed = True
  return samples, failed


def cell(benchmark, value, base):
  """Returns: nanoseconds, and how they compare with the first column's: by how many they are more for a system call, of
  which the call itself is most, else how many times faster."""
  if value is None:
    return "-"
  if base is None or base is value:
    return f"{value:,.1f}"
  compared = f"{value - base:+,.0f}" if benchmark.startswith("Call") else f"{base / value:.1f}x"
  return f"{value:,.1f} ({compared})"


def print_table(samples, rounds):
  medians = {title: {benchmark: statistics.median(values) for benchmark, values in (results or {}).items()}
             for title, results in samples.items()}
  print(f"Nanoseconds each, median of {rounds} rounds, on one processor; in brackets how many times faster than kernel "
        "threads,\nor for a system call how many nanoseconds more.\n")
  print(f"{'':32}" + "".join(f"{title:>18}" for title, *_ in CONTESTANTS))
  first = medians.get(CONTESTANTS[0][0], {})
  for benchmark, label in TITLES.items():
    values = [medians.get(title, {}).get(benchmark) for title, *_ in CONTESTANTS]
    if any(value is not None for value in values):
      base = first.get(benchmark)
      print(f"{label:32}" + "".join(f"{cell(benchmark, value, base):>18}" for value in values))


def main():
  parser = argparse.ArgumentParser(prog="./dev bench micro", description=__doc__,
                                   formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument("--bin", required=True, help=argparse.SUPPRESS)
  parser.add_argument("--rounds", type=int, default=5, help="rounds over all programs (default 5)")
  parser.add_argument("--seconds", type=float, default=0.3, help="least time a measurement (default 0.3)")
  parser.add_argument("--filter", default=".", help="regular expression: " + ", ".join(TITLES))
  parser.add_argument("--cpu", type=int, default=0, help="the processor to run on (default 0)")
  parser.add_argument("--out", metavar="FILE.json", help="also write every sample there")
  args = parser.parse_args()
  if args.rounds < 1 or args.seconds <= 0:
    parser.error("--rounds and --seconds must be positive")

  samples, failed = measure(args)
  print_table(samples, args.rounds)
  if args.out:
    with open(args.out, "w", encoding="utf-8") as file:
      json.dump(samples, file, indent=1)
  return 1 if failed else 0


if __name__ == "__main__":
  try:
    sys.exit(main())
  except KeyboardInterrupt:
    sys.exit(130)
