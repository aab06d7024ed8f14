"""Debian's Python: http.server, a thread for each connection."""

import random
import signal

import http_clients

FILES = {"empty": 0, "small": 300, "page": 20_000, "big": 3_000_000}


def start(run):
  """Returns: the server and its port."""
  for name, size in FILES.items():
    run.write(name, random.Random(name).randbytes(size // 2).hex())
  port = run.free_port()
  server = run.start("/usr/bin/python3", "-m", "http.server", "--protocol=HTTP/1.1", f"--bind={run.address}",
                     f"--directory={run.directory}", str(port))
  server.wait_until_listening(run.address, port)
  return server, port


def load(run, port):
  """Returns: what clients saw that came, asked and went."""
  return {
      "bodies": http_clients.fetch_at_once(run, port, [*("/" + name for name in FILES), "/missing"], clients=8),
      "ab": http_clients.ab(run, port, "/page", requests=400, concurrency=8, flags=()),
  }


def scenario(run):
  server, port = start(run)
  return {
      **load(run, port),
      "held": http_clients.grow(run, server, port, "/small", at_least=40),
      "exit": server.stop(signal.SIGINT),
      "said goodbye": "Keyboard interrupt received" in server.said(),
  }
