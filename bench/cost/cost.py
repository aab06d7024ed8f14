#!/usr/bin/env python3
"""Measures what one small request costs a web server: CPU time, against the least that the kernel allows.

Each server runs on one processor with wrk on the other and serves one 1 KiB file of a thousand. All contestants run in
every round, in rotated order, so that what disturbs the machine disturbs all; a ratio is taken within its round. The
least is bench/servers/floor: one recv and one send of a prebuilt reply a request. By TLS the ratio is to nginx.
"""

import argparse
import json
import os
import re
import signal
import statistics
import subprocess
import sys

import contestants  # which knows where what is common lies
import awake  # pylint: disable=wrong-import-order

# Name, what it is called in the table, connections, one request a connection, by TLS.
WORKLOADS = [
    ("keepalive-64", "keep-alive, 64 connections", 64, False, False),
    ("keepalive-2000", "keep-alive, 2,000 connections", 2000, False, False),
    ("close-64", "one request a connection, 64 at a time", 64, True, False),
    ("tls-64", "keep-alive by TLS, 64 connections", 64, False, True),
    ("tls-close-64", "one request a connection by TLS, 64 at a time", 64, True, True),
]

UNITS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0}


class LoadError(Exception):
  """wrk failed, or its requests did."""


def parse_wrk(text):
  """Returns {requests, seconds, p99 (seconds), failures, socket_errors} from what wrk --latency printed."""
  total = re.search(r"^\s*(\d+) requests in ([\d.]+)(us|ms|s|m)\b", text, re.MULTILINE)
  p99 = re.search(r"^\s*99%\s+([\d.]+)(us|ms|s|m)\s*$", text, re.MULTILINE)
  if not total or not p99:
    raise LoadError(f"wrk printed something else: {text.strip()[-300:]!r}")
  failures = re.search(r"Non-2xx or 3xx responses: (\d+)", text)
  errors = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", text)
  return {
      "requests": int(total[1]),
      "seconds": float(total[2]) * UNITS[total[3]],
      "p99": float(p99[1]) * UNITS[p99[2]],
      "failures": int(failures[1]) if failures else 0,
      "socket_errors": sum(map(int, errors.groups())) if errors else 0,
  }


def run_wrk(port, workload, seconds, cpu):
  _, _, connections, close, tls = workload
  command = ["taskset", "-c", str(cpu), contestants.find_program("wrk"), "-t1", f"-c{connections}", f"-d{seconds}s",
             "--latency", "--timeout", "10s"]
  if close:
    command += ["-H", "Connection: close"]
  command.append(f"{'https' if tls else 'http'}://127.0.0.1:{port}/{contestants.SERVED}")
  done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
                        timeout=seconds + 60)
  if done.returncode != 0:
    raise LoadError(f"wrk ended with status {done.returncode}: {done.stdout.strip()[-300:]}")
  return parse_wrk(done.stdout)


def measure(name, site, workload, args):
  """Starts a server, warms it up, measures it. Returns one sample."""
  with contestants.Server(name, site, args.bin, cpu=args.server_cpu, threads=args.threads, close=workload[3],
                          tls=workload[4], flags=args.knot_flag if name.startswith("knot") else ()) as server:
    run_wrk(server.port, workload, 1, args.client_cpu)
    server.check_alive()
    before = server.cpu_seconds()
    load = run_wrk(server.port, workload, args.seconds, args.client_cpu)
    server.check_alive()
    cpu = server.cpu_seconds() - before
    if load["failures"] or not load["requests"]:
      raise LoadError(f"{load['failures']} of {load['requests']} requests failed")
    sample = {
        "cpu_us": 1e6 * cpu / load["requests"],
        "utilisation": cpu / load["seconds"],
        "rate": load["requests"] / load["seconds"],
        "p99_us": 1e6 * load["p99"],
        "socket_errors": load["socket_errors"],
    }
    if name == "knot":
      sample["statistics"] = server.statistics()
    return sample


def run_workload(workload, names, site, args):
  """Returns ({name: {round: sample}}, {name: why it failed})."""
  title = workload[1]
  samples = {name: {} for name in names}
  failures = {}
  for number in range(args.rounds):
    turn = number % len(names)
    for name in names[turn:] + names[:turn]:
      if name in failures:
        continue
      show_progress(f"{title}: round {number + 1} of {args.rounds}, {name}")
      try:
        samples[name][number] = measure(name, site, workload, args)
      except (contestants.ServerError, LoadError, OSError, subprocess.TimeoutExpired) as error:
        show_progress("")
        print(f"cost: {title}: {name} is out: {error}", file=sys.stderr)
        failures[name] = str(error)
  show_progress("")
  return samples, failures


def show_progress(text):
  if sys.stderr.isatty():
    print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)


def summarise(samples, base="floor"):
  """Returns {name: medians over its rounds}, with the ratio to `base` in the same round."""
  least = samples.get(base, {})
  summary = {}
  for name, rounds in samples.items():
    if not rounds:
      continue
    ratios = [sample["cpu_us"] / least[number]["cpu_us"] for number, sample in rounds.items() if number in least]
    summary[name] = {key: statistics.median(sample[key] for sample in rounds.values())
                     for key in ("cpu_us", "utilisation", "rate", "p99_us")}
    summary[name]["ratio"] = statistics.median(ratios) if ratios else None
    summary[name]["ratio_range"] = [min(ratios), max(ratios)] if ratios else None
    summary[name]["socket_errors"] = sum(sample["socket_errors"] for sample in rounds.values())
  return summary


def print_table(title, base, summary, args):
  print(f"\n{title}: 1 KiB, median of {args.rounds} rounds of {args.seconds} s")
  print(f"  {'':20} {'CPU us/request':>14} {'x ' + base:>8} {'(range)':>13} {'requests/s':>11} {'p99 us':>9} {'busy':>6}")
  for name, row in sorted(summary.items(), key=lambda item: item[1]["cpu_us"]):
    ratio = f"{row['ratio']:.2f}" if row["ratio"] else "-"
    spread = "({:.2f}-{:.2f})".format(*row["ratio_range"]) if row["ratio_range"] else ""
    remark = f"   {row['socket_errors']} socket errors" if row["socket_errors"] else ""
    print(f"  {name:20} {row['cpu_us']:14.2f} {ratio:>8} {spread:>13} {row['rate']:11,.0f} {row['p99_us']:9,.0f} "
          f"{row['utilisation']:6.0%}{remark}", flush=True)


def print_knot_shares(samples):
  """Prints the lines about shares of CPU of the last round's statistics, and how many calls a request polls made."""
  rounds = samples.get("knot", {})
  text = rounds[max(rounds)].get("statistics", "") if rounds else ""
  lines = [line for line in text.splitlines() if re.search(r"threading|application", line, re.IGNORECASE)]
  if lines:
    print("\nKnot's own accounting in the last of these rounds:")
    for line in lines:
      print(f"  {line.strip()}")


def comma_separated(allowed):
  def parse(text):
    names = [name for name in text.split(",") if name]
    unknown = [name for name in names if name not in allowed]
    if unknown or not names:
      raise argparse.ArgumentTypeError(f"choose from {', '.join(allowed)}")
    return names
  return parse


def positive(text):
  value = int(text)
  if value < 1:
    raise argparse.ArgumentTypeError("must be at least 1")
  return value


def parse_arguments():
  parser = argparse.ArgumentParser(prog="./dev bench cost", description=__doc__,
                                   formatter_class=argparse.RawDescriptionHelpFormatter)
  workload_names = [name for name, *_ in WORKLOADS]
  parser.add_argument("--bin", required=True, help=argparse.SUPPRESS)
  parser.add_argument("--rounds", type=positive, help="rounds over all contestants (default 5)")
  parser.add_argument("--seconds", type=positive, help="length of one measurement (default 4)")
  parser.add_argument("--quick", action="store_true", help="2 rounds of 2 seconds, unless given")
  parser.add_argument("--only", type=comma_separated(contestants.NAMES), default=contestants.NAMES,
                      help="contestants, comma-separated: " + ",".join(contestants.NAMES))
  parser.add_argument("--workloads", type=comma_separated(workload_names), default=workload_names,
                      help="workloads, comma-separated: " + ",".join(workload_names))
  parser.add_argument("--connections", type=positive,
                      help="one keep-alive workload with this many connections, instead of --workloads")
  parser.add_argument("--threads", type=positive, default=4096, help="Knot's threads (default 4096)")
  parser.add_argument("--knot_flag", action="append", default=[], metavar="--FLAG=VALUE",
                      help="a further flag for both Knots (repeatable; write --knot_flag=--FLAG=VALUE)")
  parser.add_argument("--server_cpu", type=int, default=0, help="processor of the server (default 0)")
  parser.add_argument("--client_cpu", type=int, default=1, help="processor of wrk (default 1)")
  parser.add_argument("--out", metavar="FILE.json", help="also write every sample there")
  args = parser.parse_args()
  args.rounds = args.rounds or (2 if args.quick else 5)
  args.seconds = args.seconds or (2 if args.quick else 4)
  if (os.cpu_count() or 1) < 2:
    parser.error("two processors are needed: one for the server, one for wrk")
  return args


def main():
  args = parse_arguments()
  signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that servers are stopped on the way out
  contestants.raise_descriptor_limit()
  if args.connections:
    workloads = [(f"keepalive-{args.connections}", f"keep-alive, {args.connections:,} connections",
                  args.connections, False, False)]
  else:
    workloads = [workload for workload in WORKLOADS if workload[0] in args.workloads]

  report = {}
  failed = False
  with contestants.Site() as site, awake.Awake():
    for workload in workloads:
      names = [name for name in args.only if not workload[4] or name in contestants.TLS_NAMES]
      if not names:
        continue
      base = "nginx" if workload[4] else "floor"
      samples, failures = run_workload(workload, names, site, args)
      summary = summarise(samples, base)
      print_table(workload[1][0].upper() + workload[1][1:], base, summary, args)
      report[workload[0]] = {"samples": samples, "summary": summary, "failures": failures}
      failed = failed or bool(failures)
  if "keepalive-64" in report:
    print_knot_shares(report["keepalive-64"]["samples"])
  if args.out:
    with open(args.out, "w", encoding="utf-8") as file:
      json.dump(report, file, indent=1)
  return 1 if failed else 0


if __name__ == "__main__":
  try:
    sys.exit(main())
  except KeyboardInterrupt:
    sys.exit(130)
