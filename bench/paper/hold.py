#!/usr/bin/env python3
"""Holds connections open: hold.py PORT COUNT PATH.

Opens them, makes one request on each, prints `ready`, and keeps them until its standard input ends. A process has few
descriptors and an address few ports, so several processes share the work, each from addresses of its own.
"""

import os
import select
import socket
import sys

MOST_A_PROCESS = 15000
MOST_AN_ADDRESS = 20000  # below the ephemeral ports that Linux has by default
BATCH = 200
SECONDS = 30


def connect(port, source):
  connection = socket.socket()
  connection.setsockopt(socket.IPPROTO_IP, 24, 1)  # IP_BIND_ADDRESS_NO_PORT: the port is chosen for the pair
  connection.bind((source, 0))
  connection.settimeout(SECONDS)
  connection.connect(("127.0.0.1", port))
  return connection


def read_reply(connection):
  """Reads one reply with its body."""
  data = b""
  while b"\r\n\r\n" not in data:
    part = connection.recv(65536)
    if not part:
      raise OSError("the server closed a connection")
    data += part
  head, _, body = data.partition(b"\r\n\r\n")
  if not head.startswith(b"HTTP/1.1 200"):
    raise OSError(f"wrong reply: {head[:60]!r}")
  fields = dict(line.lower().split(b":", 1) for line in head.split(b"\r\n")[1:])
  left = int(fields[b"content-length"]) - len(body)
  while left > 0:
    part = connection.recv(min(left, 65536))
    if not part:
      raise OSError("the server closed a connection")
    left -= len(part)


def open_all(port, count, path, source):
  request = f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
  connections = []
  while len(connections) < count:
    batch = [connect(port, source) for _ in range(min(BATCH, count - len(connections)))]
    for connection in batch:
      connection.sendall(request)
    for connection in batch:
      read_reply(connection)
    connections += batch
  return connections


def count_closed(connections):
  poll = select.poll()
  for connection in connections:
    poll.register(connection, select.POLLIN)
  return len(poll.poll(0))


def say(text):
  """Says a line in one piece, since the parts share standard output."""
  os.write(1, f"{text}\n".encode())


def serve_part(port, count, path, source):
  """One process's part: says how it went on standard output, waits for the end of input, says how many were closed."""
  try:
    connections = open_all(port, count, path, source)
  except (OSError, ValueError, KeyError) as error:
    say(f"failed {error}")
    return 1
  say("ready")
  sys.stdin.read()
  say(f"closed {count_closed(connections)}")
  return 0


def main():
  port, count, path = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
  if len(sys.argv) > 4:
    return serve_part(port, count, path, sys.argv[4])
  parts = [min(MOST_A_PROCESS, count - done) for done in range(0, count, MOST_A_PROCESS)]
  assert MOST_A_PROCESS <= MOST_AN_ADDRESS
  for number, part in enumerate(parts[1:], 1):
    if os.fork() == 0:
      return serve_part(port, part, path, f"127.0.1.{number + 1}")
  return serve_part(port, parts[0], path, "127.0.1.1")


if __name__ == "__main__":
  sys.exit(main())
