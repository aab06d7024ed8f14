#!/usr/bin/env python3
"""Debian's servers serve as they are configured here: right bytes of every size over thousands of kept connections."""

import argparse
import contextlib
import os
import resource
import selectors
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest

sys.dont_write_bytecode = True

sys.path.insert(1, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../common"))

# pylint: disable=wrong-import-position
import debian
import processes

CONNECTIONS = 3000
PATIENCE = 60  # seconds without progress
SIZES = {f"/dir0000{d}/class{c}_{f}": int(102.4 * 10 ** c * f) for d in range(2) for c in range(4) for f in range(1, 10)}
BIN = ""


def contents(path, size):
  pattern = (path + "\n").encode() * (4096 // len(path))
  return (pattern * (size // len(pattern) + 1))[:size]


def setUpModule():
  """Makes the file set, and room for the connections."""
  global WORK  # pylint: disable=global-variable-undefined
  WORK = tempfile.mkdtemp(prefix="bobbin-servers-")
  os.chmod(WORK, 0o755)  # Apache's workers are another user
  for path, size in SIZES.items():
    name = WORK + "/root" + path
    os.makedirs(os.path.dirname(name), exist_ok=True)
    with open(name, "wb") as file:
      file.write(contents(path, size))
  _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
  resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def tearDownModule():
  shutil.rmtree(WORK, ignore_errors=True)


class Client:
  """One connection and the reply that it waits for."""

  def __init__(self, port):
    self.socket = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
    self.buffer = bytearray()
    self.path = ""

  def ask(self, path, method="GET"):
    self.path = path
    self.buffer.clear()
    self.socket.sendall(f"{method} {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())

  def take(self):
    """Reads what is there. Returns: whether the reply is whole. Raises AssertionError where it is wrong."""
    received = self.socket.recv(1 << 20)
    assert received, f"{self.path}: closed after {len(self.buffer)} bytes"
    self.buffer += received
    head, end, body = bytes(self.buffer).partition(b"\r\n\r\n")
    if not end:
      return False
    assert head.startswith(b"HTTP/1.1 200 "), head
    assert b"connection: close" not in head.lower(), head
    if len(body) < SIZES[self.path]:
      return False
    assert body == contents(self.path, SIZES[self.path]), f"{self.path}: wrong body of {len(body)} bytes"
    return True


def ask_all(clients, paths, at_once=CONNECTIONS):
  """Asks on each connection for one path, so many at once, and takes all replies."""
  for i in range(0, len(clients), at_once):
    ask_together(clients[i:i + at_once], paths)


def ask_together(clients, paths):
  selector = selectors.DefaultSelector()
  for i, client in enumerate(clients):
    client.ask(paths[i % len(paths)])
    selector.register(client.socket, selectors.EVENT_READ, client)
  while selector.get_map():
    ready = selector.select(PATIENCE)
    assert ready, f"{len(selector.get_map())} replies are missing"
    for key, _ in ready:
      if key.data.take():
        selector.unregister(key.fileobj)
  selector.close()


class Server:
  """A running server, used as a context manager."""

  def __init__(self, name, command, port):
    self.log = open(os.path.join(WORK, name + ".log"), "w+b")  # pylint: disable=consider-using-with
    self.process = subprocess.Popen(["setpriv", "--pdeathsig", "KILL"] + command, stdin=subprocess.DEVNULL,
                                    stdout=self.log, stderr=self.log, start_new_session=True)  # lighttpd signals its group
    self.port = port

  def __enter__(self):
    deadline = time.monotonic() + PATIENCE
    while True:
      assert self.process.poll() is None and time.monotonic() < deadline, self.said()
      try:
        socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE).close()
        return self
      except OSError:
        time.sleep(0.02)

  def __exit__(self, *_):
    with contextlib.suppress(ProcessLookupError):
      os.killpg(self.process.pid, signal.SIGKILL)  # with the workers that a parent left behind
    self.process.wait()
    self.log.close()

  def said(self):
    self.log.seek(0)
    return self.log.read().decode(errors="replace")


class Serving(unittest.TestCase):

  def check_serves(self, name, configure, *, statuses=(0,), at_once=CONNECTIONS, **how):
    """Starts the server, asks for every size on many kept connections, twice, and stops it."""
    port = processes.free_port()
    work = os.path.join(WORK, name)
    os.mkdir(work)
    command = configure(work, WORK + "/root", port, **how)
    with contextlib.ExitStack() as stack:
      server = stack.enter_context(Server(name, command, port))
      clients = [Client(port) for _ in range(CONNECTIONS + 1)]
      for client in clients:
        stack.callback(client.socket.close)
      missing = clients.pop()
      small = [path for path, size in SIZES.items() if size < 2000]
      ask_all(clients[:72], list(SIZES))
      ask_all(clients, small, at_once)
      ask_all(clients, small, at_once)
      missing.ask("/dir00000/class4_1")
      self.assertIn(b" 404 ", missing.socket.recv(4096).split(b"\r\n")[0])
      for client in clients + [missing]:
        client.socket.close()
      server.process.send_signal(signal.SIGTERM)
      self.assertIn(server.process.wait(PATIENCE), statuses, server.said())
      self.assertNotRegex(server.said(), r"(?i)\[(error|alert|crit|emerg)")

  def test_nginx(self):
    for name, how in (("nginx", {}), ("nginx-no-sendfile", {"sendfile": False}), ("nginx-2w", {"workers": 2})):
      with self.subTest(name):
        self.check_serves(name, debian.nginx, descriptors=20000, connections=15000, files=24480, **how)

  def test_lighttpd(self):
    for name, workers in (("lighttpd", 1), ("lighttpd-2w", 2)):
      with self.subTest(name):
        self.check_serves(name, debian.lighttpd, statuses=(0, 1), descriptors=20000, connections=10000,
                          workers=workers)

  def test_h2o(self):
    for name, workers in (("h2o", 1), ("h2o-2w", 2)):
      with self.subTest(name):
        self.check_serves(name, debian.h2o, descriptors=20000, connections=15000, workers=workers)

  def test_apache_event(self):
    for name, workers in (("apache", 1), ("apache-2w", 2)):
      with self.subTest(name):
        self.check_serves(name, debian.apache_event, at_once=200, descriptors=20000, connections=15000,
                          workers=workers)

  def test_go_file_server(self):
    program = os.path.join(BIN, "go_file_server")
    for name, workers in (("go", 1), ("go-2w", 2)):
      with self.subTest(name):
        self.check_serves(name, lambda _, root, port, **how: debian.go_file_server(program, root, port, **how),
                          connections=15000, workers=workers)


class Refusing(unittest.TestCase):

  def test_descriptors_that_leave_none_for_files(self):
    for configure in (debian.nginx, debian.lighttpd, debian.h2o, debian.apache_event):
      with self.subTest(configure.__name__), self.assertRaises(ValueError):
        extra = {"files": 10} if configure is debian.nginx else {}
        configure(WORK, WORK, 80, descriptors=1000, connections=1000, **extra)

  def test_a_program_that_is_not_installed(self):
    with self.assertRaisesRegex(debian.Missing, "apt-get install some-package"):
      debian.find_program("no-such-program-at-all", "some-package")


if __name__ == "__main__":
  parser = argparse.ArgumentParser()
  parser.add_argument("--bin", required=True, help="where this project's programs are")
  args, others = parser.parse_known_args()
  BIN = args.bin
  unittest.main(argv=[sys.argv[0]] + others)
