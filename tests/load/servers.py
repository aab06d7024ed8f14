"""Servers for the tests of the workload: one that serves a file set, and ways to misbehave."""

import contextlib
import socketserver
import threading


def read_request(connection, pending):
  """Returns: (path, the request's bytes, what came behind it), path None at the end of the stream."""
  while b"\r\n\r\n" not in pending:
    data = connection.recv(65536)
    if not data:
      return None, pending, b""
    pending += data
  request, rest = pending.split(b"\r\n\r\n", 1)
  return request.split(b" ")[1].decode(), request + b"\r\n\r\n", rest


def reply_head(length, status="200 OK"):
  return f"HTTP/1.1 {status}\r\nDate: Mon, 01 Jan 2001 00:00:00 GMT\r\nContent-Length: {length}\r\n\r\n".encode()


class Handler(socketserver.BaseRequestHandler):

  def handle(self):
    with contextlib.suppress(ConnectionError):
      self.answer()

  def answer(self):
    with self.server.lock:
      record = []
      self.server.connections.append(record)
    pending = b""
    while True:
      path, request, pending = read_request(self.request, pending)
      if path is None:
        return
      if self.server.contents(path) is None:
        self.request.sendall(reply_head(0, "404 Not Found"))
        continue
      record.append(request)
      with self.server.lock:
        number = self.server.requests
        self.server.requests += 1
      if not self.server.reply(self.request, self.server.contents(path), number):
        return


class Server(socketserver.ThreadingTCPServer):
  """Serves the files under `root`; `reply(socket, contents, number)` sends the reply to the request of that number,
  counted over all connections, and returns whether the connection goes on. Keeps the requests of each connection."""

  daemon_threads = True
  request_queue_size = 1024

  def __init__(self, root, reply=None):
    super().__init__(("127.0.0.1", 0), Handler)
    self.root, self.reply = root, reply or self.right
    self.lock = threading.Lock()
    self.connections = []
    self.requests = 0
    self.files = {}

  @staticmethod
  def right(connection, contents, _number):
    connection.sendall(reply_head(len(contents)) + contents)
    return True

  def contents(self, path):
    if path not in self.files:
      with contextlib.suppress(FileNotFoundError), open(self.root + path, "rb") as file:
        self.files[path] = file.read()
    return self.files.get(path)

  def __enter__(self):
    threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()
    return self

  def __exit__(self, *_):
    self.shutdown()
    self.server_close()

  @property
  def port(self):
    return self.server_address[1]
