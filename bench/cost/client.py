"""A closed-loop HTTP client over keep-alive connections: each connection sends its next request after its reply."""

import select
import socket
import time

import contestants

REQUEST = f"GET /{contestants.SERVED} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()


class ReplyError(Exception):
  """The server closed a connection, answered wrongly, or not in time."""


class Connections:
  """A number of open keep-alive connections to 127.0.0.1:port."""

  def __init__(self, port, count):
    self._port = port
    self._sockets = {}
    self._epoll = select.epoll()
    try:
      for _ in range(count):
        connection = socket.create_connection(("127.0.0.1", port), timeout=10)
        connection.setblocking(False)
        self._sockets[connection.fileno()] = connection
        self._epoll.register(connection, select.EPOLLIN)
    except OSError as error:
      self.close()
      raise ReplyError(f"connection {len(self._sockets) + 1} of {count}: {error}") from error

  def __enter__(self):
    return self

  def __exit__(self, *_):
    self.close()

  def close(self):
    self._epoll.close()
    for connection in self._sockets.values():
      connection.close()

  def request(self, count, timeout=60):
    """Makes `count` requests, every connection one at a time, and waits for the replies."""
    deadline = time.monotonic() + timeout
    unsent = count
    unanswered = 0
    received = {}
    for descriptor, connection in self._sockets.items():
      if unsent == 0:
        break
      connection.send(REQUEST)
      received[descriptor] = b""
      unsent -= 1
      unanswered += 1
    while unanswered:
      events = self._epoll.poll(max(0, deadline - time.monotonic()))
      if not events:
        raise ReplyError(f"no reply to {unanswered} requests after {timeout} s")
      for descriptor, _ in events:
        connection = self._sockets[descriptor]
        try:
          part = connection.recv(65536)
        except OSError as error:
          raise ReplyError(f"a connection broke: {error}") from error
        if not part or descriptor not in received:
          raise ReplyError("the server closed an idle connection" if not part else "a reply to no request")
        received[descriptor] += part
        if not received[descriptor].endswith(contestants.PATTERN):
          continue  # not all of it yet
        if not received[descriptor].startswith(b"HTTP/1.1 200"):
          raise ReplyError(f"wrong reply: {received[descriptor][:60]!r}")
        unanswered -= 1
        received[descriptor] = b""
        if unsent:
          connection.send(REQUEST)
          unsent -= 1
          unanswered += 1
        else:
          del received[descriptor]
