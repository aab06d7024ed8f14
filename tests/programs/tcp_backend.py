"""What stands behind a proxy: an echo server and a small web server in this process, on kernel threads."""

import http.server
import socketserver
import threading

import http_clients
import support

PIECE = 32_768  # always has room in a connection's buffers, so that one thread may send all of it, then read


class _Echo(socketserver.BaseRequestHandler):
  def handle(self):
    while data := self.request.recv(65536):
      self.request.sendall(data)


class _Pages(http.server.BaseHTTPRequestHandler):
  """Answers a GET with a body made from the path, a POST with the body it came with."""
  protocol_version = "HTTP/1.1"

  def do_GET(self):  # pylint: disable=invalid-name
    self._answer((self.path + "\n").encode() * int(self.path.rpartition("/")[2]))

  def do_POST(self):  # pylint: disable=invalid-name
    self._answer(self.rfile.read(int(self.headers["Content-Length"])))

  def _answer(self, body):
    self.send_response(200)
    self.send_header("Content-Length", str(len(body)))
    self.end_headers()
    self.wfile.write(body)

  def log_message(self, *unused):  # pylint: disable=arguments-differ
    pass


class Backend:
  """Serves until the `with` ends. `port` is where, on support.own_address()."""

  class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 256

  def __init__(self, handler):
    self.server = self._Server((support.own_address(), 0), handler)
    self.port = self.server.server_address[1]
    self.thread = threading.Thread(target=self.server.serve_forever)

  def __enter__(self):
    self.thread.start()
    return self

  def __exit__(self, *unused):
    self.server.shutdown()
    self.thread.join()
    self.server.server_close()


def echo():
  return Backend(_Echo)


def pages():
  return Backend(_Pages)


def exchange(connection, payload):
  """Sends `payload`, a piece at a time, over a socket connected to an echo server. Returns: what came back of it."""
  got = bytearray()
  for start in range(0, len(payload), PIECE):
    connection.sendall(payload[start:start + PIECE])
    while len(got) < min(len(payload), start + PIECE):
      data = connection.recv(65536)
      support.check(data, f"closed after {len(got)} of {len(payload)} bytes")
      got += data
  return bytes(got)


def hold(run, server, connect, payload):
  """Holds connections that lead to an echo server open, and checks the kernel threads of what is between.

  Returns: whether all of them carried `payload` there and back.
  """
  held = [connect() for _ in range(http_clients.FEW)]
  few = server.threads()
  held += [connect() for _ in range(http_clients.MANY - http_clients.FEW)]
  many = server.threads()
  run.check_threads(server, few, many, at_least=40)
  same = support.at_once(len(held), lambda index: exchange(held[index], payload) == payload)
  for connection in held:
    connection.close()
  return all(same)
