"""Stands in for a server of the comparison in tests: fake_server.py NAME ARGUMENTS...

Listens where --listen says, answers any request, tells by /about how much it would serve. FAKE_DIES and FAKE_UNVERIFIED
name the servers that end when asked for /die, and whose runs are to fail verification; FAKE_SILENT those that end at
once.
"""

import os
import selectors
import socket
import sys
import time


def named(variable, name):
  return name in os.environ.get(variable, "").split(",")


def capacity(name, arguments):
  """More workers serve more, up to a point; more connections, too."""
  values = dict(argument[2:].split("=", 1) for argument in arguments if argument.startswith("--") and "=" in argument)
  workers = int(next((values[key] for key in ("workers", "processes", "writers", "helpers") if key in values), 1))
  connections = int(next((values[key] for key in ("threads", "max_conn") if key in values), 1000))
  return 3000 + 10 * min(workers, 25) + min(connections, 10000) / 10 + sum(name.encode()) % 97


def reply(data, name, arguments):
  path = data.split()[1].decode() if len(data.split()) > 1 else "/"
  if path == "/die" and named("FAKE_DIES", name):
    print("the roof fell in", file=sys.stderr, flush=True)
    os._exit(3)
  body = b"x" * 512
  if path == "/work":
    end = time.process_time() + 0.005
    while time.process_time() < end:
      pass
  if path == "/about":
    body = f"{capacity(name, arguments)} {int(not named('FAKE_UNVERIFIED', name))}".encode()
  return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body


def main():
  name, arguments = sys.argv[1], sys.argv[2:]
  if named("FAKE_SILENT", name):
    print("no such luck", file=sys.stderr)
    return 2
  port = int(next(argument for argument in arguments if argument.startswith("--listen=")).rpartition(":")[2])
  listener = socket.create_server(("127.0.0.1", port), backlog=512)
  waiting = selectors.DefaultSelector()
  waiting.register(listener, selectors.EVENT_READ)
  while True:
    for key, _ in waiting.select():
      if key.fileobj is listener:
        connection, _ = listener.accept()
        waiting.register(connection, selectors.EVENT_READ)
        continue
      data = key.fileobj.recv(4096)
      if data:
        key.fileobj.sendall(reply(data, name, arguments))
      else:
        waiting.unregister(key.fileobj)
        key.fileobj.close()


if __name__ == "__main__":
  sys.exit(main())
