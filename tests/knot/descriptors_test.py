#!/usr/bin/env python3
"""More threads than the limit of open files carries: fewer are made, with a warning, and all those serve.

usage: descriptors_test.py KNOT THREADS

Knot is started with THREADS threads, a limit of as many open files, and no right to raise it.
"""

import os
import re
import resource
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "support"))
import knot_process  # noqa: E402  pylint: disable=wrong-import-position
from knot_process import Client, Server, eventually, pattern  # noqa: E402

SKIPPED = 77  # to CTest
SMALL = b"small\n"
BIG = pattern(200_000, 1)  # is sent from a descriptor


def expect(holds, claim):
  if not holds:
    sys.exit(f"descriptors_test: {claim}")


def raise_limit(count):
  """Raises this process's own limit, since it is the other end of every connection. Returns: what it is then."""
  hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
  try:
    resource.setrlimit(resource.RLIMIT_NOFILE, (count, max(hard, count)))
  except (ValueError, OSError):
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(count, hard), hard))
  return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def ask_all(clients, target, body):
  for client in clients:
    client.send(f"GET {target} HTTP/1.1\r\nHost: h\r\n\r\n".encode())
  for client in clients:
    reply = client.read()
    expect((reply.status, reply.body) == (200, body), f"{target} has status {reply.status}")


def main():
  knot, threads = sys.argv[1], int(sys.argv[2])
  own_limit = raise_limit(threads + 1000)
  with knot_process.directory() as root:
    for name, contents in (("small", SMALL), ("big", BIG)):
      with open(f"{root}/{name}", "wb") as file:
        file.write(contents)
    with Server(knot, root, f"--threads={threads}", "--idle_timeout=600", "--make_room_after=0",
                limit=threads) as server:
      warning = re.search(rf"warning: the limit of {threads} open files is below the \d+ that {threads} connections "
                          r"can need; at most (\d+) are served at a time", server.error())
      expect(warning, f"there is no warning: {server.error()}")
      most = int(warning[1])
      if own_limit < most + 50:
        print("this user may not open as many files")
        return SKIPPED
      expect(f"threads={most} " in server.said, f"the line at start names other threads: {server.said}")

      clients = [Client(server.port) for _ in range(most)]
      ask_all(clients, "/small", SMALL)
      ask_all(clients[:100], "/big", BIG)
      expect(server.descriptors() <= threads, "there are more descriptors than the limit")
      one_more = Client(server.port)
      one_more.send(b"GET /big HTTP/1.1\r\nHost: h\r\n\r\n")  # waits, and is not refused
      clients.pop().close()
      reply = one_more.read()
      expect((reply.status, reply.body) == (200, BIG), "the one that waited is not served")
      for client in [*clients, one_more]:
        client.close()
      expect(eventually(lambda: server.descriptors() < 200), "descriptors are not closed")
      expect("cannot accept" not in server.error(), server.error())
      expect(server.stop() == 0, server.error())
  print(f"{most} of {threads} served at a time")
  return 0


if __name__ == "__main__":
  sys.exit(main())
