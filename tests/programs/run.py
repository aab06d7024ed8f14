#!/usr/bin/env python3
"""Runs the test of one program: once on kernel threads, then under Bobbin, and compares what was seen.

usage: run.py NAME [--mode=one_scheduler|two_schedulers|kernel_threads]... [--runs=N] [--flag=FLAG]... [--build=DIR]

NAME is a module beside this file without its _test: python_http, mariadb, … Without --mode both Bobbin modes run.
--runs repeats each N times against the same run on kernel threads. FLAG is one of bobbin run's, such as --quantum=1.
Exits 0 when every run saw the same.
"""

import argparse
import importlib
import os
import signal
import sys
import time

import support

HERE = os.path.dirname(os.path.abspath(__file__))


def run_once(scenario, mode, build, flags=()):
  with support.Run(mode, build, flags) as run:
    return scenario(run)


def main():
  parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument("name")
  parser.add_argument("--mode", action="append", choices=sorted(support.MODES))
  parser.add_argument("--runs", type=int, default=1)
  parser.add_argument("--flag", action="append", default=[])
  parser.add_argument("--build", default=os.path.join(HERE, "../../build/release"))
  args = parser.parse_args()
  signal.signal(signal.SIGTERM, lambda *unused: sys.exit(1))  # through every `with`
  scenario = importlib.import_module(f"{args.name}_test").scenario
  build = os.path.abspath(args.build)
  modes = args.mode or ["one_scheduler", "two_schedulers"]

  try:
    expected = run_once(scenario, support.KERNEL_THREADS, build)
    print(f"{args.name}: kernel_threads: {expected}", flush=True)
    for mode in modes:
      for number in range(args.runs):
        started = time.monotonic()
        support.compare(expected, run_once(scenario, support.MODES[mode], build, args.flag))
        seconds = time.monotonic() - started
        print(f"{args.name}: {mode}: run {number + 1} of {args.runs}: same, {seconds:.1f} s", flush=True)
  except support.Failure as failure:
    print(f"{args.name}: {failure}", file=sys.stderr)
    return 1
  return 0


if __name__ == "__main__":
  sys.exit(main())
