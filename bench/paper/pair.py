#!/usr/bin/env python3
"""Compares two servers that run beside each other, at the same time, on one processor.

Each has a load of its own, of the same rate, sessions and files. What disturbs the machine disturbs both, so the ratio
of their CPU time a reply repeats to about half a percent, where that of separate runs differs by several. They do take
each other's place in the caches, in turn and alike. In every round both are started anew, the other one first.
"""

import argparse
import contextlib
import dataclasses
import json
import os
import statistics
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "../common"))

# pylint: disable=wrong-import-position
import awake
import experiments
import groups
import load
import measure
import paper
import processes
import regimes
import servers
import settings as settings_module

def make_parser():
  parser = argparse.ArgumentParser(prog="./dev bench pair", description=__doc__,
                                   formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument("--bin", required=True, help=argparse.SUPPRESS)
  parser.add_argument("servers", nargs=2, metavar="SERVER[:N]", help="two of the servers of ./dev bench paper --list, "
                      "with N workers or processes (default: its own); the same one twice tells how far ratios differ "
                      "by chance")
  parser.add_argument("--rate", type=paper.positive, default=10000.0, help="requests/s of each (default 10000)")
  parser.add_argument("--off_scale", type=paper.positive, default=0.2, help="scale of the sessions' off-times: the "
                      "number of open connections is in proportion to it and to the rate (default 0.2)")
  parser.add_argument("--share", type=paper.positive, default=1.0, help="of their processor, for both together: less "
                      "than they need is overload (default 1)")
  parser.add_argument("--connections", type=paper.whole, default=9000, help="that each server has room for (default "
                      "9000)")
  parser.add_argument("--rounds", type=paper.whole, default=4, help="(default 4)")
  parser.add_argument("--duration", type=paper.positive, default=5.0, help="seconds measured (default 5)")
  parser.add_argument("--warmup", type=paper.positive, default=4.0, help="seconds before that (default 4)")
  parser.add_argument("--directories", type=paper.whole, default=40, help="of the file set (default 40)")
  parser.add_argument("--files", metavar="ROOT", help="where the file set is or is made (default: in build/)")
  parser.add_argument("--json", metavar="FILE", help="write every round there")
  return parser


def named(text):
  """Returns (family, workers) for an argument. 0 workers: it has none."""
  name, colon, number = text.partition(":")
  family = servers.BY_NAME.get(name)
  if family is None:
    raise paper.UsageError(f"no server is called {name!r}: {', '.join(servers.BY_NAME)}")
  if not colon:
    return family, family.default
  if not family.default or not number.isdigit() or int(number) < 1:
    raise paper.UsageError(f"{text}: " + ("workers must be 1 or more" if family.default else f"{name} has no workers"))
  return family, int(number)


def configurations(args, descriptors):
  found = []
  for family, workers in map(named, args.servers):
    connections = min(args.connections, servers.most_connections(family, descriptors, workers or 1))
    found.append(servers.configuration(family, servers.processes_for(family, descriptors, connections),
                                       connections=connections, workers=workers,
                                       cache_mb=family.cache[-2] if family.cache else 0))
  return found


class Said:
  """What is told on the way."""

  @staticmethod
  def say(text):
    print(f"pair: {text}", file=sys.stderr, flush=True)


class Pair:
  """Both servers of a round, and their loads."""

  def __init__(self, machine, points, enter):
    self._machine = machine
    self._points = points
    self._enter = enter

  def round(self, number):
    """Returns what each server used, in the order of the command line."""
    order = (0, 1) if number % 2 else (1, 0)
    points = [dataclasses.replace(point, round=number) for point in self._points]
    with contextlib.ExitStack() as stack:
      running, loads = {}, {}
      for i in order:
        start = stack.enter_context(self._machine.prepared(points[i].configuration))
        running[i] = stack.enter_context(start(enter=self._enter))
      for i in order:
        flags = self._machine.settings.run_flags(points[i])
        loads[i] = stack.enter_context(self._machine.tool.run(running[i].port, flags))
      return self._measured(running, loads, measure.deadline(self._machine.settings, points[0]))

  @staticmethod
  def _measured(running, loads, deadline):
    before, after = {}, {}
    for readings, word in ((before, "begin"), (after, "end")):
      for i in (0, 1):
        loads[i].wait_for(word, deadline, running[i].check_alive)
        readings[i] = measure.Reading(running[i].pid)
    return [measure.summary(loads[i].finish(deadline, running[i].check_alive), before[i], after[i], None)
            for i in (0, 1)]


def ratio(result):
  """Of the CPU time a reply, first to second. None where one of them sent nothing."""
  first, second = (server["cpu_us"] for server in result)
  return first / second if first and second else None


def table(names, rounds):
  """The lines that tell what was found."""
  lines = [f"{'':24} {'CPU a reply':>12} {'replies/s':>10} {'connections':>12} {'not served':>11}"]
  for i, name in enumerate(names):
    def median(field, i=i):
      return statistics.median(result[i][field] or 0 for result in rounds)
    failed = sum(result[i]["timeouts"] + sum(result[i]["errors"].values()) for result in rounds)
    lines.append(f"{name:24} {median('cpu_us'):9.2f} us {median('reply_rate'):10,.0f} "
                 f"{median('connections_mean'):12,.0f} {failed:11,}")
  ratios = [found for found in map(ratio, rounds) if found is not None]
  if not ratios:
    return lines + ["no ratio: a server sent no replies"]
  each = " ".join(f"{found:.3f}" for found in ratios)
  return lines + [f"CPU a reply, {names[0]} / {names[1]}: {statistics.median(ratios):.3f} ({each})"]


def run(args):
  for text in args.servers:
    named(text)
  if args.share > 1:
    raise paper.UsageError("--share is more than a processor")
  if len(os.sched_getaffinity(0)) < 2:
    raise paper.UsageError("two processors are needed: one for the servers, one for the loads")
  paper.check_tools(args.bin)
  settings = settings_module.Settings(regimes=(servers.RESIDENT,), directories=args.directories)
  tool = load.Tool(args.bin, settings.generator_cpu)
  root = paper.file_root(args, settings)
  paper.make_files(tool, root, args.directories, Said())
  configured = configurations(args, processes.raise_descriptor_limit())
  points = [experiments.Point("load", c, servers.RESIDENT, args.rate, off_scale=args.off_scale, warmup=args.warmup,
                              duration=args.duration) for c in configured]
  made = paper.make_regimes(settings, root)
  resident = made[servers.RESIDENT]
  machine = measure.Machine(args.bin, root, tool, made, settings)
  limits = (groups.processor_share(args.share),) if args.share < 1 else ()
  rounds = []
  machine.change_to(resident)
  try:
    with awake.Awake(), groups.Limits(*limits).around() as enter, resident.around():
      pair = Pair(machine, points, enter)
      for number in range(1, args.rounds + 1):
        resident.prepare()
        rounds.append(pair.round(number))
        found = ratio(rounds[-1])
        Said.say(f"round {number} of {args.rounds}: {'no replies' if found is None else f'{found:.3f}'}")
  finally:
    machine.change_to(None)
  print("\n".join(table([c.name for c in configured], rounds)))
  if args.json:
    with open(args.json, "w", encoding="utf-8") as file:
      json.dump({"servers": [c.name for c in configured], "flags": settings.run_flags(points[0]), "share": args.share,
                 "rounds": rounds}, file)
  return 0


if __name__ == "__main__":
  paper.main("pair", make_parser(), run, measure.ERRORS + (regimes.RegimeError,))
