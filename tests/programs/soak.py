#!/usr/bin/env python3
"""Loads programs under Bobbin for minutes and reports whether descriptors, memory and kernel threads stay flat.

usage: soak.py [--minutes=10] [--mode=one_scheduler|two_schedulers|kernel_threads] [--json=FILE] [--build=DIR] [NAME...]

NAMEs: libmicrohttpd, python_http, mariadb; all of them without. They run at the same time. A program is sampled after
each round, when its clients are gone. Flat means that the most of the last third is not above the most of the third
before it by more than what a sample taken at another moment may differ. Exits 0 when all is flat and every answer was
right. No part of ./dev test.
"""

import argparse
import json
import os
import signal
import sys
import time

import http_clients
import libmicrohttpd_test
import mariadb_test
import python_http_test
import support

HERE = os.path.dirname(os.path.abspath(__file__))
# A connection or two that the server has yet to close.
SLACK = {"descriptors": 4, "resident_kib": 4096, "workers": 8, "schedulers": 0}


class Libmicrohttpd:
  def __init__(self, run):
    self.run = run
    self.server, self.port = libmicrohttpd_test.start(run)
    self.stops_with = signal.SIGTERM

  def round(self):
    libmicrohttpd_test.load(self.run, self.port)


class PythonHttp:
  def __init__(self, run):
    self.run = run
    self.server, self.port = python_http_test.start(run)
    self.stops_with = signal.SIGINT

  def round(self):
    python_http_test.load(self.run, self.port)


class Mariadb:
  def __init__(self, run):
    mariadb_test.install(run)
    self.mariadb = mariadb_test.Mariadb(run)
    self.server = self.mariadb.server
    self.stops_with = signal.SIGTERM

  def round(self):
    mariadb_test.load(self.mariadb)
    self.mariadb.query("drop database test;")


PROGRAMS = {"libmicrohttpd": Libmicrohttpd, "python_http": PythonHttp, "mariadb": Mariadb}


def sample(server):
  threads = server.threads()
  return {"descriptors": server.descriptors(), "resident_kib": server.resident_kib(), "workers": threads.workers,
          "schedulers": threads.schedulers}


def growth(samples):
  """Returns: by how much each value's most in the last third is above its most in the third before."""
  third = len(samples) // 3
  support.check(third > 0, f"only {len(samples)} rounds: too few to compare")
  before, last = samples[-2 * third:-third], samples[-third:]
  return {name: max(one[name] for one in last) - max(one[name] for one in before) for name in samples[0]}


def soak(name, mode, build, minutes):
  """Returns: the report on one program."""
  with support.Run(mode, build) as run:
    program = PROGRAMS[name](run)
    samples = []
    end = time.monotonic() + 60 * minutes
    while time.monotonic() < end:
      program.round()
      samples.append(sample(program.server))
    status = program.server.stop(program.stops_with)
  grown = growth(samples)
  flat = all(grown[value] <= SLACK[value] for value in SLACK)
  if mode.schedulers > 0:
    flat = flat and max(one["schedulers"] for one in samples) <= mode.schedulers
  return {"program": name, "mode": mode.name, "minutes": minutes, "rounds": len(samples), "exit": status, "flat": flat,
          "grown": grown, "first": samples[0], "last": samples[-1]}


def main():
  parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument("names", nargs="*", metavar="NAME", default=[])
  parser.add_argument("--minutes", type=float, default=10)
  parser.add_argument("--mode", default="two_schedulers", choices=sorted(support.MODES))
  parser.add_argument("--json")
  parser.add_argument("--build", default=os.path.join(HERE, "../../build/release"))
  args = parser.parse_args()
  names = args.names or sorted(PROGRAMS)
  for name in names:
    if name not in PROGRAMS:
      parser.error(f"unknown program {name}; programs: {', '.join(sorted(PROGRAMS))}")
  build = os.path.abspath(args.build)
  try:
    reports = support.at_once(
        len(names), lambda index: soak(names[index], support.MODES[args.mode], build, args.minutes))
  except support.Failure as failure:
    print(f"soak: {failure}", file=sys.stderr)
    return 1
  for report in reports:
    print(json.dumps(report))
  if args.json:
    with open(args.json, "w", encoding="utf-8") as file:
      json.dump(reports, file, indent=2)
  return 0 if all(report["flat"] and report["exit"] == 0 for report in reports) else 1


if __name__ == "__main__":
  sys.exit(main())
