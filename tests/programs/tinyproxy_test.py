"""tinyproxy: a thread for each connection, plain requests and CONNECT tunnels."""

import random
import signal
import socket

import http_clients
import support
import tcp_backend

CONFIGURATION = """
Listen {address}
Port {port}
Timeout 600
MaxClients 100
LogLevel Error
Allow 127.0.0.0/8
"""


def through(run, port, backend, index):
  """Returns: what plain requests through the proxy are answered; tinyproxy ends the connection after each."""
  seen = []
  for size in (0, 1, 50, 40_000):
    connection = http_clients.connect(run, port)
    url = f"http://{run.address}:{backend.port}/{index}/{size}"
    seen.append(http_clients.ask(connection, url))
    connection.close()
    connection = http_clients.connect(run, port)
    seen.append(http_clients.ask(connection, url, "POST", random.Random(size).randbytes(size)))
    connection.close()
  return seen


def tunnel(run, port, backend):
  """Returns: a socket that the proxy has connected to the backend."""
  connection = socket.create_connection((run.address, port), support.GUARD_SECONDS)
  connection.sendall(f"CONNECT {run.address}:{backend.port} HTTP/1.0\r\n\r\n".encode())
  head = b""
  while not head.endswith(b"\r\n\r\n"):
    data = connection.recv(1)
    support.check(data, f"no tunnel: {head}")
    head += data
  support.check(b" 200 " in head.splitlines()[0], f"no tunnel: {head}")
  return connection


def scenario(run):
  port = run.free_port()
  configuration = run.write("tinyproxy.conf", CONFIGURATION.format(address=run.address, port=port))
  server = run.start("/usr/bin/tinyproxy", "-d", "-c", configuration)
  server.wait_until_listening(run.address, port)
  with tcp_backend.pages() as pages, tcp_backend.echo() as echo:
    return {
        "through": support.at_once(10, lambda index: through(run, port, pages, index)),
        "refused": http_clients.ask(http_clients.connect(run, port), f"http://{run.address}:1/")[0],
        "tunnels": tcp_backend.hold(run, server, lambda: tunnel(run, port, echo), random.Random(3).randbytes(200_000)),
        "exit": server.stop(signal.SIGTERM),
    }
