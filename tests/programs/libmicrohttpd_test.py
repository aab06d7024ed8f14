"""libmicrohttpd with a thread for each connection: keep-alive, files by sendfile, uploads."""

import os
import random
import signal

import http_clients
import support


def start(run):
  """Returns: the server and its port."""
  content = run.write("file", random.Random(1).randbytes(400_000).hex())
  port = run.free_port()
  server = run.start(os.path.join(run.build, "bin/microhttpd_server"), run.address, str(port), content)
  server.wait_until_listening(run.address, port)
  return server, port


def post(run, port, size):
  connection = http_clients.connect(run, port)
  answers = [http_clients.ask(connection, "/", "POST", b"x" * (size + number)) for number in range(4)]
  connection.close()
  return answers


def load(run, port):
  """Returns: what clients saw that came, asked and went."""
  return {
      "bodies": http_clients.fetch_at_once(run, port, ["/", "/file"] * 5, clients=8),
      "posts": support.at_once(8, lambda index: post(run, port, 40_000 * index)),
      "ab": http_clients.ab(run, port, "/", requests=5000, concurrency=32),
      "ab, a connection each": http_clients.ab(run, port, "/file", requests=200, flags=()),
  }


def scenario(run):
  server, port = start(run)
  return {
      **load(run, port),
      "held": http_clients.grow(run, server, port, "/", at_least=40),
      "exit": server.stop(signal.SIGTERM),
      "said": server.said(),
  }
