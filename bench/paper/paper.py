#!/usr/bin/env python3
"""Compares Knot with event-driven and pipelined servers on the workload of "Comparing the Performance of Web Server
Architectures" (EuroSys 2007): tuning (Figures 1-6), throughput and response times against the request rate (Figures 7
and 8), CPU time by category (Table 1), connection scaling, idle memory; with everything resident and under memory
pressure.

Each point is kept in DIR/points.jsonl at once. The same command again goes on where it stopped, and tries again what
failed. The results are DIR/results.csv, results.json, figures as SVG and PNG, and report.html.
"""

import argparse
import dataclasses
import math
import os
import shutil
import signal
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../common"))

# pylint: disable=wrong-import-position
import awake
import budget
import experiments
import keep
import load
import measure
import processes
import publish
import regimes
import runner
import servers
import settings as settings_module
import store as store_module

SOURCE = os.path.normpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "../.."))
FILE_SET_SPARE = 256 << 20  # left free on the disk beside the file set
DEFAULT_HOURS = 4.0
USAGE_ERROR = 2


class UsageError(Exception):
  """The command line asks for something that there is not."""


def positive(text):
  value = float(text)
  if not value > 0 or math.isinf(value):
    raise argparse.ArgumentTypeError("must be more than 0")
  return value


def whole(text):
  value = int(text)
  if value < 1:
    raise argparse.ArgumentTypeError("must be 1 or more")
  return value


def make_parser():
  parser = argparse.ArgumentParser(prog="./dev bench paper", description=__doc__,
                                   formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument("--bin", required=True, help=argparse.SUPPRESS)
  parser.add_argument("--out", metavar="DIR", help="where results are kept, and found again")
  parser.add_argument("--quick", action="store_true", help="every server and every figure, small, in five minutes")
  parser.add_argument("--only", action="append", nargs="+", default=[], metavar="NAME",
                      help="figures and servers by name, also separated by commas; --list has them (default: all)")
  parser.add_argument("--list", action="store_true", help="list figures and servers and exit")
  parser.add_argument("--regime", choices=servers.REGIMES, help="one regime instead of both")
  parser.add_argument("--plan", action="store_true", help="print the stages with their points and minutes and exit")
  parser.add_argument("--hours", type=positive, help="budget of all runs into DIR (default 4, no bound with --quick or "
                      "--duration): everything is measured once, then rounds of the comparison are added until it ends")
  parser.add_argument("--duration", type=positive, help="seconds a point is measured (default: by --hours; "
                      "--quick 0.8)")
  parser.add_argument("--warmup", type=positive, help="seconds before that (default: by --hours; --quick 0.4)")
  parser.add_argument("--timeout", type=positive, help="seconds a client waits for a reply (default 15; --quick 3)")
  parser.add_argument("--rounds", type=whole, help="rounds of the comparison, at most (default: as the budget "
                      "allows; 3 without one; --quick 1)")
  parser.add_argument("--directories", type=whole, help="of the file set, 4.9 MB each (default 680; --quick 40)")
  parser.add_argument("--files", metavar="ROOT", help="where the file set is or is made (default: in build/)")
  parser.add_argument("--off_scale", type=positive, help="scale of the sessions' off-times (default: calibrated)")
  parser.add_argument("--server_share", type=positive, help="of a processor, for servers (default: calibrated, such "
                      "that the load can overload them)")
  parser.add_argument("--table_rate", type=positive, help="requests/s of Table 1 (default: what all can serve)")
  parser.add_argument("--pressure_mb", type=whole, help="memory limit under pressure, MiB (default: 5/8 of the files)")
  parser.add_argument("--server_cpu", type=int, help="processor of the servers (default 0)")
  parser.add_argument("--generator_cpu", type=int, help="processor of the load (default 1)")
  parser.add_argument("--port", type=whole, help="of the servers (default: a free one for each point)")
  parser.add_argument("--restart", action="store_true", help="begin anew; the old points are kept beside the new")
  parser.add_argument("--report_only", action="store_true", help="measure nothing, write the report anew")
  parser.add_argument("--keep", action="store_true", help="also keep the run in docs/results/, and write what it found "
                      "into README.md and docs/benchmarks.md")
  return parser


def choose(names):
  """Returns (families, figures) for what --only names."""
  wanted = [name for group in names for text in group for name in text.split(",") if name]
  figures = [name for name in wanted if name in settings_module.FIGURES]
  families = [family for name in wanted for family in servers.families_named(name)]
  unknown = [name for name in wanted if name not in figures and not servers.families_named(name)]
  if unknown:
    raise UsageError(f"no figure or server is called {', '.join(map(repr, unknown))}; figures: "
                     f"{', '.join(settings_module.FIGURES)}; servers: {', '.join(servers.BY_NAME)}, or all of one "
                     f"kind: {', '.join(servers.GROUPS)}")
  return experiments.unique(families) or list(servers.FAMILIES), figures or list(settings_module.FIGURES)


def print_list():
  print("figures:")
  for name in settings_module.FIGURES:
    print(f"  {name:24} {publish.TITLES[name]}")
  print("servers:")
  for family in servers.FAMILIES:
    print(f"  {family.name:24} {family.title}")


def make_settings(args):
  chosen = settings_module.QUICK if args.quick else settings_module.Settings()
  given = {name: getattr(args, name) for name in ("duration", "warmup", "timeout", "rounds", "directories", "off_scale",
                                                  "server_share", "table_rate", "pressure_mb", "server_cpu",
                                                  "generator_cpu", "port")}
  chosen = dataclasses.replace(chosen, **{name: value for name, value in given.items() if value is not None})
  if args.regime:
    chosen = dataclasses.replace(chosen, regimes=(args.regime,))
  processors = os.sched_getaffinity(0)
  for name in ("server_cpu", "generator_cpu"):
    if getattr(chosen, name) not in processors:
      raise UsageError(f"--{name}: there is no processor {getattr(chosen, name)} here; two are needed")
  if chosen.server_share > 1:
    raise UsageError("--server_share is more than a processor")
  if chosen.server_cpu == chosen.generator_cpu:
    raise UsageError("--server_cpu and --generator_cpu must differ")
  return chosen


def given_of(args):
  """Settings that follow from a budget, as far as the user gave them."""
  return {name: getattr(args, name) for name in ("duration", "warmup", "rounds") if getattr(args, name) is not None}


def budgeted(plan, args):
  """What fits the budget, as it was found when it was first asked for: the points of one directory are of one kind."""
  if not plan.store.is_done("budget"):
    fitted = budget.fit(plan, args.hours, given_of(args))
    plan.store.add("budget", {"kind": "budget"}, {name: getattr(fitted, name) for name in budget.FOLLOWS})
  stored = {name: tuple(value) if isinstance(value, list) else value
            for name, value in plan.store.result("budget").items()}
  return dataclasses.replace(plan.settings, rounds=args.rounds or budget.MOST_ROUNDS, **stored)


def print_plan(args, settings, families, figures):
  """What would be measured, and how long that would take."""
  plan = experiments.Plan(settings, budget.Unmeasured(), families, figures, processes.raise_descriptor_limit())
  if args.hours:
    fitted = budget.fit(plan, args.hours, given_of(args))
    plan.settings = dataclasses.replace(fitted, rounds=args.rounds or budget.MOST_ROUNDS)
  print("\n".join(budget.table(plan, args.hours)))
  print(f"A point of the comparison is measured for {plan.settings.duration:g} s after {plan.settings.warmup:g} s, one "
        f"of tuning for {plan.settings.tuning_duration or plan.settings.duration:g} s. A file set that is not there "
        "yet takes half a minute more.")


def file_root(args, settings):
  return os.path.abspath(args.files or os.path.join(args.bin, "../../paper", f"files-{settings.directories}"))


def make_files(tool, root, directories, progress):
  """Makes the file set unless it is there."""
  done = os.path.join(root, f".complete-{directories}")
  if os.path.exists(done):
    return
  wanted = directories * load.DIRECTORY_BYTES + FILE_SET_SPARE
  os.makedirs(root, exist_ok=True)
  free = shutil.disk_usage(root).free
  if free < wanted:
    raise load.LoadError(f"the file set needs {wanted / 1e9:.1f} GB, and {root} has {free / 1e9:.1f} GB free; "
                         "--files puts it elsewhere, --directories makes it smaller")
  size = directories * load.DIRECTORY_BYTES
  progress.say(f"making the file set of {directories} directories, {size / 1e9:.2f} GB, in {root}")
  tool.make_files(root, directories)
  with open(done, "w", encoding="utf-8"):
    pass


def make_regimes(settings, root):
  _, size = regimes.size_of(root)
  limit = (settings.pressure_mb << 20) or regimes.limit_bytes(size)
  made = {}
  for name in settings.regimes:
    if name == servers.RESIDENT:
      if size > 0.8 * regimes.available_bytes():
        raise regimes.RegimeError(f"the file set of {size / 1e9:.1f} GB does not fit into this machine's memory; use "
                                  "--directories or --regime=pressure")
      made[name] = regimes.Resident(root)
    else:
      made[name] = regimes.pressure(root, limit, settings.generator_cpu)
  return made


def check_tools(binaries):
  """Says what is missing before anything is measured."""
  for name in ("taskset", "setpriv"):
    processes.find_program(name)
  if not os.path.exists(os.path.join(binaries, "workload")):
    raise load.LoadError(f"the workload's tool is not built ({os.path.join(binaries, 'workload')}): ./dev build")


def recorded(args, settings):
  values = settings.recorded()
  if args.hours:
    # A budget may be raised to go on; what follows from it is kept with the points.
    for name in set(budget.FOLLOWS + ("rounds",)) - given_of(args).keys():
      values.pop(name, None)
    values["budget"] = True
  return values


def measure_all(args, settings, store, families, figures, progress):
  """Runs the plan. Returns the keys of points that failed."""
  clock = budget.Clock(args.hours, store.spent)
  check_tools(args.bin)
  descriptors = processes.raise_descriptor_limit()
  plan = experiments.Plan(settings, store, families, figures, descriptors)
  if args.hours:
    plan.settings = settings = budgeted(plan, args)
    progress.say(f"{settings.duration:g} s a point of the comparison")
  tool = load.Tool(args.bin, settings.generator_cpu)
  root = file_root(args, settings)
  make_files(tool, root, settings.directories, progress)
  made = make_regimes(settings, root)
  with awake.Awake() as kept:
    store.add("environment", {"kind": "environment"},
              publish.environment(sys.argv, {name: regime.description for name, regime in made.items()}, root,
                                  kept.granted))
    machine = measure.Machine(args.bin, root, tool, made, settings)
    work = runner.Runner(plan, machine, progress, clock)
    try:
      work.run()
    finally:
      machine.change_to(None)
      left_out = f", {work.left_out} left out since the budget is used up" if work.left_out else ""
      progress.say(f"{work.measured} points measured, {len(work.failures)} failed{left_out}")
  return work.failures


def keep_run(store, progress):
  if store.parameters.get("quick"):
    raise UsageError("--keep: the differences of a quick run are mostly noise; it is not kept")
  keep.keep(SOURCE, store.points.values(), store.parameters, progress)


def run(args):
  families, figures = choose(args.only)
  if not args.hours and not args.quick and not args.duration:
    args.hours = DEFAULT_HOURS
  if args.list:
    print_list()
    return 0
  if args.keep and args.quick:
    raise UsageError("--keep: the differences of a quick run are mostly noise; it is not kept")
  if args.plan:
    print_plan(args, make_settings(args), families, figures)
    return 0
  if not args.out:
    raise UsageError("where are the results to be kept? --out=DIR")
  settings = make_settings(args)
  progress = runner.Progress()
  parameters = None if args.report_only else recorded(args, settings)
  with store_module.Store(args.out, parameters, args.restart and not args.report_only) as store:
    failures, interrupted = [], None
    try:
      if not args.report_only:
        failures = measure_all(args, settings, store, families, figures, progress)
    except (KeyboardInterrupt, SystemExit, runner.CalibrationError) as error:
      interrupted = error
    publish.publish(args.out, store, progress)
    if args.keep and interrupted is None:
      keep_run(store, progress)
    if isinstance(interrupted, runner.CalibrationError):
      raise interrupted
    if interrupted is not None:
      progress.say("interrupted; the same command goes on from here")
      return 130
  return 1 if failures else 0


def main(name, parser, body, errors):
  """Runs a command to its end. `errors` are told in a line."""
  args = parser.parse_args()
  signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that servers are stopped on the way out
  try:
    sys.exit(body(args))
  except (UsageError, store_module.Different) as error:
    print(f"{name}: {error}", file=sys.stderr)
    sys.exit(USAGE_ERROR)
  except errors as error:
    print(f"{name}: {error}", file=sys.stderr)
    sys.exit(1)
  except KeyboardInterrupt:
    sys.exit(130)


if __name__ == "__main__":
  main("paper", make_parser(), run, (store_module.StoreError, runner.CalibrationError, regimes.RegimeError,
                                     load.LoadError, keep.KeepError, processes.ServerError, OSError))
