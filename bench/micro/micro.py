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

# Column title and program. The first is what the others are compared with.
CONTESTANTS = [
    ("kernel threads", "bench-micro-kernel-threads"),
    ("Bobbin", "bench-micro"),
    ("Boost.Fiber", "bench-micro-fiber"),
]

TITLES = {
    "Switch": "switch (sched_yield)",
    "SemaphoreHandOff": "hand-off, semaphore",
    "ConditionHandOff": "hand-off, condition variable",
    "CreateAndJoin": "create and join",
    "Mutex": "mutex, uncontended",
    "PipeHandOff": "park and wake on a pipe",
}


def run_once(program, args):
  """Runs one program once. Returns {benchmark: nanoseconds an item}."""
  command = ["taskset", "-c", str(args.cpu), program, f"--benchmark_min_time={args.seconds}",
             f"--benchmark_filter={args.filter}", "--benchmark_format=json"]
  done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False,
                        timeout=60 + 30 * args.seconds)
  if done.returncode != 0:
    raise RuntimeError(f"exit status {done.returncode}: {done.stderr.strip()[-300:]}")
  if not done.stdout.strip():
    return {}  # the filter matched nothing
  results = {}
  for benchmark in json.loads(done.stdout)["benchmarks"]:
    if benchmark.get("error_occurred"):
      raise RuntimeError(f"{benchmark['name']}: {benchmark['error_message']}")
    results[benchmark["name"].split("/")[0]] = 1e9 / benchmark["items_per_second"]
  return results


def measure(args):
  """Returns {program: {benchmark: [nanoseconds of each round]}} and whether anything failed."""
  samples = {}
  failed = False
  for _ in range(args.rounds):
    for title, name in CONTESTANTS:
      if samples.get(name, {}) is None:
        continue  # failed in an earlier round
      program = os.path.join(args.bin, name)
      try:
        if not os.path.exists(program):
          raise RuntimeError("not built")
        for benchmark, nanoseconds in run_once(program, args).items():
          samples.setdefault(name, {}).setdefault(benchmark, []).append(nanoseconds)
      except (RuntimeError, OSError, subprocess.TimeoutExpired) as error:
        print(f"micro: {title} ({name}): {error}", file=sys.stderr)
        samples[name] = None
        failed = True
  return samples, failed


def print_table(samples, rounds):
  medians = {name: {benchmark: statistics.median(values) for benchmark, values in (results or {}).items()}
             for name, results in samples.items()}
  print(f"Nanoseconds each, median of {rounds} rounds, on one processor; "
        "in brackets how many times faster than kernel threads.\n")
  print(f"{'':30}" + "".join(f"{title:>22}" for title, _ in CONTESTANTS))
  base = medians.get(CONTESTANTS[0][1], {})
  for benchmark, title in TITLES.items():
    if not any(benchmark in results for results in medians.values()):
      continue
    row = f"{title:30}"
    for index, (_, name) in enumerate(CONTESTANTS):
      value = medians.get(name, {}).get(benchmark)
      if value is None:
        row += f"{'-':>22}"
        continue
      ratio = f" ({base[benchmark] / value:.1f}x)" if index > 0 and benchmark in base else ""
      row += f"{value:,.1f}{ratio}".rjust(22)
    print(row)


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
