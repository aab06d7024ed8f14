#!/usr/bin/env python3
"""Measures what a request costs programs that were not built for Bobbin: their CPU time under `bobbin run`, against the
same program on kernel threads.

Each program runs on one processor, its client on the other. In every round each runs on kernel threads, then under
Bobbin, and the ratio is taken within the round. Every reply is compared with what it must be, and a failure puts the
program out.
"""

import argparse
import contextlib
import json
import os
import signal
import statistics
import subprocess
import sys

import subjects

# pylint: disable=wrong-import-order  # found by what `subjects` adds to the path
import contestants
import cost
import support

WANTED = {50: 1.10, 1000: 1.00}  # the most that the ratio may be with so many connections
BOBBIN = support.MODES["one_scheduler"]
MODES = (support.KERNEL_THREADS, BOBBIN)


class Client:
  """The load on a program: its connections are open and answered once when this is made."""

  def __init__(self, run, served, connections, args):
    command = [os.path.join(args.bin, "bench-load"), f"--address={run.address}", f"--port={served.port}",
               f"--connections={connections}", f"--requests={args.requests}", *served.flags]
    for name, content in served.files.items():
      with open(run.path(f"load-{name}"), "wb") as file:
        file.write(content)
      command.append(f"--{name}={run.path(f'load-{name}')}")
    with subjects.pinned(args.client_cpu):
      self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                       env=support.plain_environment(), text=True)
    self._expect_line()

  def __enter__(self):
    return self

  def __exit__(self, *_):
    self._process.stdin.close()
    self._process.wait()
    self._process.stdout.close()
    self._process.stderr.close()

  def make_requests(self):
    """Makes the requests. Returns: the seconds that took."""
    self._process.stdin.write("\n")
    self._process.stdin.flush()
    return float(self._expect_line())

  def _expect_line(self):
    line = self._process.stdout.readline()
    if not line:
      support.check(False, f"the client ended: {self._process.stderr.read().strip()}")
    return line


def kernel_threads(server):
  return sum(support.Process(pid).threads().total for pid in contestants.process_tree(server.pid))


def measure(name, mode, connections, args):
  """Starts the program, opens the connections, measures the requests, stops it. Returns one sample."""
  with support.Run(mode, os.path.dirname(os.path.abspath(args.bin)), args.flag) as run, \
       contextlib.ExitStack() as stack:
    with subjects.pinned(args.server_cpu):
      served = subjects.SUBJECTS[name](run, stack, connections, args)
    server = served.server
    with Client(run, served, connections, args) as client:
      before = contestants.tree_cpu_seconds(server.pid)
      seconds = client.make_requests()
      cpu = contestants.tree_cpu_seconds(server.pid) - before
      threads = kernel_threads(server)
    status = server.stop(served.stop)
    support.check(status == 0, f"it ended with status {status}: {server.said()[-300:]}")
    return {"cpu_us": 1e6 * cpu / args.requests, "rate": args.requests / seconds, "utilisation": cpu / seconds,
            "threads": threads}


def measure_round(name, connections, args):
  """Returns: a sample of each mode by its name, taken one after the other."""
  return {mode.name: measure(name, mode, connections, args) for mode in MODES}


def summarise(rounds):
  """Returns: medians over the rounds, with the ratio of Bobbin to kernel threads within each."""
  ratios = [one[BOBBIN.name]["cpu_us"] / one[support.KERNEL_THREADS.name]["cpu_us"] for one in rounds]
  summary = {mode.name: {key: statistics.median(one[mode.name][key] for one in rounds) for key in rounds[0][mode.name]}
             for mode in MODES}
  summary["ratio"] = statistics.median(ratios)
  summary["ratio_range"] = [min(ratios), max(ratios)]
  return summary


def run_workload(connections, args):
  """Returns: ({program: [the samples of each round]}, {program: why it is out})."""
  rounds = {name: [] for name in args.only}
  failures = {}
  for number in range(args.rounds):
    for name in args.only:
      if name in failures:
        continue
      cost.show_progress(f"{connections:,} connections: round {number + 1} of {args.rounds}, {name}")
      try:
        rounds[name].append(measure_round(name, connections, args))
      except (support.Failure, OSError, subprocess.SubprocessError) as error:
        cost.show_progress("")
        print(f"programs: {connections:,} connections: {name} is out: {error}", file=sys.stderr)
        failures[name] = str(error)
  cost.show_progress("")
  return {name: samples for name, samples in rounds.items() if samples}, failures


def print_table(connections, summary, args):
  print(f"\n{connections:,} connections, {args.requests:,} requests, median of {args.rounds} rounds")
  print(f"  {'':14} {'CPU us/request':^36} {'requests/s':^19} {'threads of the kernel':^21}")
  print(f"  {'':14} {'kernel':>8} {'Bobbin':>8} {'ratio':>6} {'(range)':>11} {'kernel':>9} {'Bobbin':>9} "
        f"{'kernel':>10} {'Bobbin':>10}")
  for name, row in summary.items():
    kernel, bobbin = row[support.KERNEL_THREADS.name], row[BOBBIN.name]
    spread = "({:.2f}-{:.2f})".format(*row["ratio_range"])
    print(f"  {name:14} {kernel['cpu_us']:8.2f} {bobbin['cpu_us']:8.2f} {row['ratio']:5.2f}x {spread:>11} "
          f"{kernel['rate']:9,.0f} {bobbin['rate']:9,.0f} {kernel['threads']:10,.0f} {bobbin['threads']:10,.0f}",
          flush=True)


def complaints(connections, summary):
  limit = WANTED.get(connections)
  return [f"{name}: {row['ratio']:.2f}x with {connections:,} connections; at most {limit:.2f}x is wanted"
          for name, row in summary.items() if limit is not None and row["ratio"] > limit]


def numbers(text):
  return [cost.positive(number) for number in text.split(",")]


def parse_arguments():
  parser = argparse.ArgumentParser(prog="./dev bench programs", description=__doc__,
                                   formatter_class=argparse.RawDescriptionHelpFormatter)
  names = list(subjects.SUBJECTS)
  parser.add_argument("--bin", required=True, help=argparse.SUPPRESS)
  parser.add_argument("--rounds", type=cost.positive, default=5, help="rounds over all programs (default 5)")
  parser.add_argument("--requests", type=cost.positive, default=20000, help="requests a measurement (default 20000)")
  parser.add_argument("--only", type=cost.comma_separated(names), default=names, metavar="NAME,…",
                      help="programs, comma-separated: " + ",".join(names))
  parser.add_argument("--connections", type=numbers, default=[50, 1000], metavar="N,…",
                      help="connections at a time (default 50,1000)")
  parser.add_argument("--flag", action="append", default=[], metavar="--FLAG=VALUE",
                      help="a further flag for bobbin run (repeatable; write --flag=--FLAG=VALUE)")
  parser.add_argument("--server_cpu", type=int, default=0, help="processor of the program (default 0)")
  parser.add_argument("--client_cpu", type=int, default=1,
                      help="processor of the client, and of what stands behind a proxy (default 1)")
  parser.add_argument("--json", metavar="FILE", help="also write every sample there")
  parser.add_argument("--check", action="store_true", help="end with status 1 where the ratio is above " + ", ".join(
      f"{limit:.2f} with {connections:,} connections" for connections, limit in WANTED.items()))
  args = parser.parse_args()
  if (os.cpu_count() or 1) < 2:
    parser.error("two processors are needed: one for the program, one for its client")
  return args


def main():
  args = parse_arguments()
  signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that programs are stopped on the way out
  limit = contestants.raise_descriptor_limit()
  if max(args.connections) + 2 * subjects.ROOM > limit:
    print(f"programs: the descriptor limit here is {limit} (ulimit -Hn)", file=sys.stderr)
    return 1
  report = {}
  status = 0
  for connections in args.connections:
    rounds, failures = run_workload(connections, args)
    summary = {name: summarise(samples) for name, samples in rounds.items()}
    print_table(connections, summary, args)
    missed = complaints(connections, summary)
    print("".join(f"  {complaint}\n" for complaint in missed), end="")
    report[connections] = {"rounds": rounds, "summary": summary, "failures": failures}
    if failures or (args.check and missed):
      status = 1
  if args.json:
    with open(args.json, "w", encoding="utf-8") as file:
      json.dump({"requests": args.requests, "connections": report}, file, indent=1)
  return status


if __name__ == "__main__":
  try:
    sys.exit(main())
  except KeyboardInterrupt:
    sys.exit(130)
