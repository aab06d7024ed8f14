#!/usr/bin/env python3
"""Measures the memory that idle keep-alive connections cost a server.

Resident memory (VmRSS) and page tables (VmPTE) of the server with all connections open, less those of the same server
with a handful of threads and no connection: a pre-forked thread counts as part of its connection. What the kernel keeps
for the sockets themselves is not in it; it is the same for every server.
"""

import argparse
import resource
import signal
import sys
import time

import client
import contestants
from cost import positive

SPARE_THREADS = 64
SPARE_DESCRIPTORS = 200


def memory_bytes(server):
  """Returns (resident, page tables) over the server's processes."""
  return contestants.tree_memory_bytes(server.pid)


def start(args, site, threads):
  return contestants.Server(args.server, site, args.bin, threads=threads,
                            flags=args.knot_flag if args.server.startswith("knot") else ())


def measure(args, site):
  """Returns [(when, resident, page tables)], the empty server first."""
  with start(args, site, SPARE_THREADS) as server:
    with client.Connections(server.port, 1) as connections:
      connections.request(100)
    rows = [("few threads, no connection", *memory_bytes(server))]
  with start(args, site, args.connections + SPARE_THREADS) as server:
    rows.append(("all threads, no connection", *memory_bytes(server)))
    with client.Connections(server.port, args.connections) as connections:
      time.sleep(args.settle)
      rows.append(("connected, no request yet", *memory_bytes(server)))
      connections.request(args.connections)
      time.sleep(args.settle)
      rows.append(("after one request each", *memory_bytes(server)))
      connections.request(args.connections)  # proves that all of them are still served
      server.check_alive()
  return rows


def print_report(rows, args):
  print(f"{args.server}: {args.connections:,} idle keep-alive connections\n")
  print(f"  {'':28} {'resident':>11} {'a connection':>14} {'page tables':>13} {'a connection':>14}")
  _, base_resident, base_tables = rows[0]
  for when, resident, tables in rows:
    each = [f"{(value - base) / args.connections / 1024:.2f} KiB"
            for value, base in ((resident, base_resident), (tables, base_tables))]
    if (resident, tables) == (base_resident, base_tables):
      each = ["", ""]
    print(f"  {when:28} {resident / 2**20:7.1f} MiB {each[0]:>14} {tables / 2**20:9.1f} MiB {each[1]:>14}")


def main():
  parser = argparse.ArgumentParser(prog="./dev bench memory", description=__doc__,
                                   formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument("--bin", required=True, help=argparse.SUPPRESS)
  parser.add_argument("--server", choices=contestants.NAMES, default="knot", help="default knot")
  parser.add_argument("--connections", type=positive, default=10000, help="default 10000")
  parser.add_argument("--settle", type=float, default=1.0, help="seconds before each look (default 1)")
  parser.add_argument("--knot_flag", action="append", default=[], metavar="--FLAG=VALUE",
                      help="a further flag for Knot (repeatable; write --knot_flag=--FLAG=VALUE)")
  args = parser.parse_args()
  signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
  limit = contestants.raise_descriptor_limit()
  if limit != resource.RLIM_INFINITY and args.connections + SPARE_DESCRIPTORS > limit:
    parser.error(f"the descriptor limit here is {limit} (ulimit -Hn): "
                 f"at most {limit - SPARE_DESCRIPTORS} connections are possible")

  try:
    with contestants.Site() as site:
      rows = measure(args, site)
  except (contestants.ServerError, client.ReplyError, OSError) as error:
    print(f"memory: {error}", file=sys.stderr)
    return 1
  print_report(rows, args)
  return 0


if __name__ == "__main__":
  try:
    sys.exit(main())
  except KeyboardInterrupt:
    sys.exit(130)
