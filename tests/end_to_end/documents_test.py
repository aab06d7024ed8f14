#!/usr/bin/env python3
"""Serves a tree of documents with every send policy, poller and number of schedulers, and compares every byte.

usage: documents_test.py KNOT DIRECTORY [--files N] [--clients N] [--quick]

DIRECTORY is served as it is; up to N regular files of it (small, large and empty ones among them) and one big file made
for the purpose are fetched over keep-alive connections by several clients at once. --quick leaves out combinations
that differ in nothing but the number of schedulers. Exits 0 when every reply was right and Knot stopped with 0.
"""

import argparse
import http.client
import itertools
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import threading
import urllib.parse

POLICIES = ("auto", "cache", "nonblocking", "blocking", "poll", "inline")
POLLERS = ("epoll", "poll")
SCHEDULERS = (1, 2)
BIG_FILE_BYTES = 5_000_000
GUARD_SECONDS = 60  # a hang, not a speed


def documents(root, limit):
  """Paths below `root` that a server may give out: regular files reached without leaving it."""
  found = []
  for directory, _, names in os.walk(root):
    for name in names:
      path = os.path.join(directory, name)
      if os.path.isfile(path) and not os.path.islink(path) and not name.startswith("."):
        found.append(os.path.relpath(path, root))
  random.Random(1).shuffle(found)
  found.sort(key=lambda path: os.path.getsize(os.path.join(root, path)))
  keep = max(1, len(found) // limit)
  return found[::keep] + found[-3:]


def fetch(port, root, paths, errors):
  try:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=GUARD_SECONDS)
    for path in paths:
      connection.request("GET", "/" + urllib.parse.quote(path))
      reply = connection.getresponse()
      body = reply.read()
      with open(os.path.join(root, path), "rb") as file:
        wanted = file.read()
      if reply.status != 200 or body != wanted:
        errors.append(f"{path}: status {reply.status}, {len(body)} bytes of {len(wanted)}")
        return
    connection.close()
  except (OSError, http.client.HTTPException) as error:
    errors.append(f"{path}: {type(error).__name__}: {error}")


def serve(knot, root, flags, paths, clients):
  """Runs one Knot and its clients. Returns: what was wrong."""
  server = subprocess.Popen([knot, root, "--listen=127.0.0.1:0", "--threads=64", "--stats", *flags],
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
  line = server.stdout.readline()
  match = re.search(r"http://127\.0\.0\.1:(\d+)/", line)
  if not match:
    server.kill()
    return [f"did not start: {line}{server.stderr.read()}"]
  errors = []
  threads = []
  for i in range(clients):
    mine = paths[i:] + paths[:i]
    threads.append(threading.Thread(target=fetch, args=(int(match[1]), root, mine, errors)))
  for thread in threads:
    thread.start()
  for thread in threads:
    thread.join()
  server.send_signal(signal.SIGTERM)
  try:
    _, said = server.communicate(timeout=GUARD_SECONDS)
  except subprocess.TimeoutExpired:
    server.kill()
    return errors + ["did not stop"]
  if server.returncode != 0:
    errors.append(f"exit {server.returncode}: {said}")
  return errors


def main():
  parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument("knot")
  parser.add_argument("directory")
  parser.add_argument("--files", type=int, default=150)
  parser.add_argument("--clients", type=int, default=8)
  parser.add_argument("--quick", action="store_true")
  args = parser.parse_args()
  paths = documents(args.directory, args.files)
  wrong = 0
  passed = 0
  with tempfile.TemporaryDirectory() as made:
    with open(os.path.join(made, "big"), "wb") as file:
      file.write(random.Random(2).randbytes(BIG_FILE_BYTES))
    for policy, poller, schedulers in itertools.product(POLICIES, POLLERS, SCHEDULERS):
      if args.quick and schedulers == 2 and poller == "poll":
        continue
      flags = [f"--send={policy}", f"--poller={poller}", f"--schedulers={schedulers}"]
      errors = serve(args.knot, args.directory, flags, paths, args.clients)
      errors += serve(args.knot, made, flags, ["big"] * 3, args.clients)
      passed += not errors
      wrong += bool(errors)
      for error in errors:
        print(f"{' '.join(flags)}: {error}", file=sys.stderr)
  print(f"{passed} passed, {wrong} failed")
  return 1 if wrong or not passed else 0


if __name__ == "__main__":
  sys.exit(main())
