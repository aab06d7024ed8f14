#!/usr/bin/env python3
"""Counts the system calls a keep-alive request costs a server, by name, with strace -c -f.

The connections are open and warm before strace is attached, so that what is counted is requests and nothing else.
"""

import argparse
import os
import re
import signal
import subprocess
import sys
import tempfile
import time

import client
import contestants
from cost import positive

MOST_CALLS = 2.2
# A request needs none of these; more than a stray few mean that each request, or each so many, pays for one.
# Bobbin reads the CPU clock around some polls (decision 0019): some hundred times a second, whatever the requests. Under
# strace, where a second has few requests, that looks like much.
BY_TIME = ("clock_gettime",)
UNWANTED = re.compile(r"epoll_ctl|fcntl|futex|time")
STRAY = 0.01


def parse_strace(text):
  """Returns {name: (calls, errors)} from what strace -c printed."""
  calls = {}
  for line in text.splitlines():
    fields = line.split()
    if len(fields) in (5, 6) and re.fullmatch(r"[\d.]+", fields[0]) and fields[-1] != "total":
      calls[fields[-1]] = (int(fields[3]), int(fields[4]) if len(fields) == 6 else 0)
  return calls


def attach_strace(server):
  """Attaches to all processes and threads of a server. Returns (process, file with its report), once it has."""
  report = tempfile.NamedTemporaryFile("r", prefix="bobbin-strace-", encoding="utf-8")
  command = ["strace", "-c", "-f", "-o", report.name]
  family = contestants.process_tree(server.pid)
  for pid in family:
    command += ["-p", str(pid)]
  strace = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
  deadline = time.monotonic() + 60
  while not all(is_traced(pid) for pid in family):
    if strace.poll() is not None:
      raise contestants.ServerError("strace cannot attach: is tracing permitted here (root, kernel.yama.ptrace_scope)?")
    if time.monotonic() > deadline:
      stop(strace)
      raise contestants.ServerError("strace did not attach to every thread in time")
    time.sleep(0.05)
  return strace, report


def is_traced(pid):
  """Tells whether every thread of a process has a tracer."""
  for task in os.listdir(f"/proc/{pid}/task"):
    try:
      with open(f"/proc/{pid}/task/{task}/status", encoding="utf-8") as file:
        if re.search(r"^TracerPid:\s+0$", file.read(), re.MULTILINE):
          return False
    except FileNotFoundError:
      pass  # ended meanwhile
  return True


def stop(strace):
  strace.send_signal(signal.SIGINT)  # it detaches and writes its report
  try:
    strace.wait(60)
  except subprocess.TimeoutExpired:
    strace.kill()
    strace.wait()


def count_calls(args, site):
  with contestants.Server(args.server, site, args.bin, cpu=args.server_cpu, threads=args.connections + 64,
                          flags=args.knot_flag if args.server.startswith("knot") else ()) as server, \
       client.Connections(server.port, args.connections) as connections:
    connections.request(10 * args.connections)
    strace, report = attach_strace(server)
    with report:
      try:
        connections.request(args.requests, timeout=300)
      finally:
        stop(strace)
      server.check_alive()
      return parse_strace(report.read())


def print_report(calls, args):
  """Returns whether the calls are within what a request may cost."""
  total = sum(count for count, _ in calls.values()) / args.requests
  print(f"{args.server}: {args.requests:,} requests over {args.connections} keep-alive connections\n")
  print(f"  {'system call':16} {'calls':>9} {'errors':>8} {'a request':>11}")
  for name, (count, errors) in sorted(calls.items(), key=lambda item: -item[1][0]):
    print(f"  {name:16} {count:9,} {errors or '':>8} {count / args.requests:11.4f}")
  print(f"  {'total':16} {sum(count for count, _ in calls.values()):9,} {'':>8} {total:11.4f}\n")

  complaints = []
  wanted = total - sum(calls[name][0] for name in BY_TIME if name in calls) / args.requests
  if wanted > MOST_CALLS:
    complaints.append(f"{wanted:.3f} calls a request; at most {MOST_CALLS} are wanted")
  for name, (count, errors) in calls.items():
    if name not in BY_TIME and UNWANTED.search(name) and count > STRAY * args.requests:
      complaints.append(f"{name}: {count / args.requests:.3f} calls a request; none is wanted")
    if errors > STRAY * args.requests:
      complaints.append(f"{name}: {errors / args.requests:.3f} errors (EAGAIN) a request; none is wanted")
  for complaint in complaints:
    print(complaint)
  if not complaints:
    print(f"within the limits: at most {MOST_CALLS} calls a request, none for locks or registration, no EAGAIN; clocks by the "
          "accounting only")
  return not complaints


def main():
  parser = argparse.ArgumentParser(prog="./dev bench syscalls", description=__doc__,
                                   formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument("--bin", required=True, help=argparse.SUPPRESS)
  parser.add_argument("--server", choices=contestants.NAMES, default="knot", help="default knot")
  parser.add_argument("--requests", type=positive, default=20000, help="default 20000")
  parser.add_argument("--connections", type=positive, default=64, help="default 64")
  parser.add_argument("--knot_flag", action="append", default=[], metavar="--FLAG=VALUE",
                      help="a further flag for Knot (repeatable; write --knot_flag=--FLAG=VALUE)")
  parser.add_argument("--server_cpu", type=int, default=0, help="processor of the server (default 0)")
  parser.add_argument("--check", action="store_true", help="end with status 1 where a request costs too many calls")
  args = parser.parse_args()
  signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
  contestants.raise_descriptor_limit()

  try:
    with contestants.Site() as site:
      calls = count_calls(args, site)
  except (contestants.ServerError, client.ReplyError, OSError) as error:
    print(f"syscalls: {error}", file=sys.stderr)
    return 1
  within = print_report(calls, args)
  return 1 if args.check and not within else 0


if __name__ == "__main__":
  try:
    sys.exit(main())
  except KeyboardInterrupt:
    sys.exit(130)
