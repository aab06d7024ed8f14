#!/usr/bin/env python3
"""The servers that Knot is compared with, each as a whole: right replies, limits, and ends.

A row of SERVERS is a program with flags and what is different about it; every test runs for every row that it suits.
"""

import argparse
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
import unittest

sys.path.insert(1, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../common"))

# pylint: disable=wrong-import-position
import processes

PATIENCE = 30  # seconds without progress
SIZES = {f"/dir00000/class{c}_{f}": int(102.4 * 10 ** c * f) for c in range(4) for f in range(1, 10)}
BIG = "/dir00000/class3_9"
STUCK = 8  # so many replies of BIG do not fit into the buffers of sockets, which on a loopback hold more than one
SMALL = "/dir00000/class0_1"

# name: (program and flags, flag for so many connections, what it does not do)
SERVERS = {
    "watpipe-epoll": (["watpipe", "--writers=4"], "--max_conn={}", set()),
    "watpipe-poll": (["watpipe", "--writers=4", "--events=poll"], "--max_conn={}", set()),
    "watpipe-descriptors": (["watpipe", "--writers=1", "--cache=descriptors"], "--max_conn={}", set()),
    "reuseport": (["reuseport"], "--max_conn={}", set()),
    "reuseport-4w": (["reuseport", "--workers=4"], "--max_conn={}", {"exact limit"}),
    "mmap_pool": (["mmap_pool", "--keep_alive=on"], "--threads={}", set()),
    "mmap_pool-close": (["mmap_pool"], "--threads={}", {"keep-alive"}),
    "go_file_server": (["go_file_server"], "--max_conn={}", {"exact limit", "Knot's replies"}),
}
ROWS = list(SERVERS)
BIN = WORK = ROOT = ""


def contents(path, size):
  pattern = (path + "\n").encode() * (4096 // len(path))
  return (pattern * (size // len(pattern) + 1))[:size]


def setUpModule():
  """Makes the file set."""
  global WORK, ROOT  # pylint: disable=global-statement
  WORK = tempfile.mkdtemp(prefix="bobbin-servers-")
  ROOT = os.path.join(WORK, "root")
  os.makedirs(ROOT + "/dir00000/empty")
  for path, size in SIZES.items():
    with open(ROOT + path, "wb") as file:
      file.write(contents(path, size))
  with open(ROOT + "/dir00000/nothing", "wb"):
    pass


def tearDownModule():
  shutil.rmtree(WORK, ignore_errors=True)


def request(path, method="GET", version="1.1"):
  return f"{method} {path} HTTP/{version}\r\nHost: localhost\r\n\r\n".encode()


class Reply:

  def __init__(self, head, body):
    lines = head.decode().split("\r\n")
    self.status = int(lines[0].split()[1])
    self.fields = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
    self.body = body


class Client:
  """One connection."""

  def __init__(self, port, receive_buffer=None):
    self.socket = socket.socket()
    if receive_buffer is not None:
      self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    self.socket.settimeout(PATIENCE)
    self.socket.connect(("127.0.0.1", port))
    self.buffer = b""

  def close(self):
    self.socket.close()

  def reset(self):
    self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    self.socket.close()

  def send(self, data):
    self.socket.sendall(data)

  def receive(self, head_only=False):
    """Returns: the next reply. Raises EOFError where the connection ends before it is whole."""
    while b"\r\n\r\n" not in self.buffer:
      self._more()
    head, _, rest = self.buffer.partition(b"\r\n\r\n")
    self.buffer = rest
    reply = Reply(head, b"")
    size = 0 if head_only else int(reply.fields["content-length"])
    parts, there = [self.buffer], len(self.buffer)
    while there < size:
      parts.append(self._read())
      there += len(parts[-1])
    whole = b"".join(parts)
    reply.body, self.buffer = whole[:size], whole[size:]
    return reply

  def ask(self, path, method="GET", version="1.1"):
    self.send(request(path, method, version))
    return self.receive(head_only=method == "HEAD")

  def at_end(self):
    """Waits for bytes or the end. Returns: whether it is the end. Raises TimeoutError where neither comes."""
    try:
      return not self.buffer and not self.socket.recv(1)
    except ConnectionResetError:
      return True

  def is_silent(self, seconds):
    self.socket.settimeout(seconds)
    try:
      self.buffer += self.socket.recv(1 << 16)
      return False
    except TimeoutError:
      return True
    finally:
      self.socket.settimeout(PATIENCE)

  def _read(self):
    received = self.socket.recv(1 << 20)
    if not received:
      raise EOFError
    return received

  def _more(self):
    self.buffer += self._read()


class Server:
  """A running server, used as a context manager."""

  def __init__(self, row, connections=40, flags=()):
    command, limit, self.lacks = SERVERS[row]
    self.port = processes.free_port()
    command = [os.path.join(BIN, command[0])] + command[1:] + [limit.format(connections),
                                                               f"--listen=127.0.0.1:{self.port}"]
    self.log = tempfile.TemporaryFile(dir=WORK)  # pylint: disable=consider-using-with
    self.process = subprocess.Popen(["setpriv", "--pdeathsig", "KILL"] + command + list(flags) + [ROOT],
                                    stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)
    self.clients = []

  def __enter__(self):
    deadline = time.monotonic() + PATIENCE
    while b" serv" not in self.said().encode():
      if self.process.poll() is not None or time.monotonic() > deadline:
        said = self.said()
        self.__exit__()
        raise AssertionError("did not start: " + said)
      time.sleep(0.01)
    return self

  def __exit__(self, *_):
    for client in self.clients:
      client.close()
    if self.process.poll() is None:
      self.process.kill()
    self.process.wait()
    self.log.close()

  def connect(self, **how):
    self.clients.append(Client(self.port, **how))
    return self.clients[-1]

  def said(self):
    with open(f"/proc/self/fd/{self.log.fileno()}", encoding="utf-8", errors="replace") as file:
      return file.read()

  def stop(self):
    self.process.send_signal(signal.SIGTERM)
    return self.process.wait(PATIENCE)

  def counters(self):
    """The counters that --stats printed."""
    pairs = (line.split(": ") for line in self.said().splitlines() if line.count(": ") == 1)
    return {name: int(value) for name, value in pairs if value.isdigit()}

  def descriptors(self):
    return len(os.listdir(f"/proc/{self.process.pid}/fd"))


def run(command):
  return subprocess.run([os.path.join(BIN, command[0])] + command[1:], stdin=subprocess.DEVNULL, capture_output=True,
                        text=True, timeout=PATIENCE, check=False)


class EachServer(unittest.TestCase):
  """A test here is run for each row."""

  def rows(self, *needs):
    return [row for row in ROWS if not set(needs) & SERVERS[row][2]]

  def check(self, reply, path):
    self.assertEqual(reply.status, 200)
    self.assertEqual(int(reply.fields["content-length"]), SIZES[path])
    self.assertTrue(reply.body == contents(path, SIZES[path]), f"{path}: wrong bytes")

  def test_right_bytes_of_every_size_on_one_connection(self):
    for row in self.rows("keep-alive"):
      with self.subTest(row), Server(row) as server:
        client = server.connect()
        for path in list(SIZES) * 2:
          reply = client.ask(path)
          self.check(reply, path)
          self.assertNotEqual(reply.fields.get("connection"), "close")

  def test_right_bytes_of_every_size_on_a_connection_each(self):
    for row in ROWS:
      with self.subTest(row), Server(row) as server:
        for path in SIZES:
          client = Client(server.port)
          reply = client.ask(path, version="1.0")
          self.check(reply, path)
          self.assertTrue(client.at_end())
          client.close()

  def test_head_and_empty_files_have_no_body(self):
    for row in ROWS:
      with self.subTest(row), Server(row) as server:
        for path, size in ((BIG, SIZES[BIG]), ("/dir00000/nothing", 0)):
          client = server.connect()
          reply = client.ask(path, "HEAD")
          self.assertEqual((reply.status, reply.fields["content-length"]), (200, str(size)))
          if "keep-alive" in server.lacks:
            self.assertTrue(client.at_end())
            client = server.connect()
          self.check(client.ask(SMALL), SMALL)

  def test_refusals(self):
    for row in self.rows("Knot's replies"):
      with self.subTest(row), Server(row) as server:
        for path, status in (("/dir00001/class0_1", 404), ("/dir00000", 301), ("/dir00000/", 403), ("/%zz", 400)):
          self.assertEqual(server.connect().ask(path).status, status, path)
        self.assertEqual(server.connect().ask("/../root/dir00000/class0_1").status, 400)
        self.assertEqual(server.connect().ask(SMALL, "POST").status, 405)
        client = server.connect()
        client.send(b"no request at all\r\n\r\n")
        reply = client.receive()
        self.assertEqual((reply.status, reply.fields["connection"]), (400, "close"))
        client.socket.shutdown(socket.SHUT_WR)
        self.assertTrue(client.at_end())

  def test_a_connection_is_kept_after_404(self):
    for row in self.rows("keep-alive"):
      with self.subTest(row), Server(row) as server:
        client = server.connect()
        self.assertEqual(client.ask("/dir00000/class9_9").status, 404)
        self.check(client.ask(SMALL), SMALL)

  def test_pipelined_requests_are_answered_in_order(self):
    for row in self.rows("keep-alive"):
      with self.subTest(row), Server(row) as server:
        paths = list(SIZES) * 8  # more than one buffer of requests
        client = server.connect()
        client.send(b"".join(request(path) for path in paths))
        for path in paths:
          self.check(client.receive(), path)
        self.check(client.ask(SMALL), SMALL)

  def test_a_request_may_come_in_pieces(self):
    for row in ROWS:
      with self.subTest(row), Server(row) as server:
        client = server.connect()
        client.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in request(BIG):
          client.send(bytes([byte]))
          time.sleep(0.001)
        self.check(client.receive(), BIG)

  def test_a_client_that_sends_no_more_gets_its_reply(self):
    for row in self.rows("Knot's replies"):
      with self.subTest(row), Server(row) as server:
        for path in (SMALL, BIG):
          client = server.connect()
          client.send(request(path))
          client.socket.shutdown(socket.SHUT_WR)
          self.check(client.receive(), path)
          self.assertTrue(client.at_end())

  def test_a_client_that_sends_no_more_during_a_reply_gets_the_next(self):
    for row in self.rows("Knot's replies", "keep-alive"):
      with self.subTest(row), Server(row, flags=["--idle_timeout=3600"]) as server:
        client = server.connect(receive_buffer=4096)
        client.send(request(BIG) * STUCK)
        client.socket.recv(1, socket.MSG_PEEK)
        self.settle(server, server.descriptors)
        client.send(request(SMALL))
        client.socket.shutdown(socket.SHUT_WR)
        for _ in range(STUCK):
          self.check(client.receive(), BIG)
        self.check(client.receive(), SMALL)
        self.assertTrue(client.at_end())

  def test_connections_above_the_limit_wait(self):
    for row in self.rows("exact limit", "keep-alive"):
      with self.subTest(row), Server(row, connections=5) as server:
        held = [server.connect() for _ in range(5)]
        for client in held:
          self.check(client.ask(SMALL), SMALL)
        late = server.connect()
        late.send(request(SMALL))
        self.assertTrue(late.is_silent(0.3))
        held[2].close()
        self.check(late.receive(), SMALL)
        for client in held[3:]:
          self.check(client.ask(SMALL), SMALL)

  def test_a_client_that_does_not_read_holds_up_nobody(self):
    for row in ROWS:
      with self.subTest(row), Server(row) as server:
        slow = [server.connect(receive_buffer=4096) for _ in range(12)]
        replies = 1 if "keep-alive" in server.lacks else STUCK
        for client in slow:
          client.send(request(BIG) * replies)
        for path in SIZES:
          self.check(server.connect().ask(path) if "keep-alive" in server.lacks else slow_free(server).ask(path), path)
        for client in slow:
          for _ in range(replies):
            self.check(client.receive(), BIG)

  def test_clients_that_go_away_leave_nothing_behind(self):
    for row in ROWS:
      with self.subTest(row), Server(row, connections=20) as server:
        for path in SIZES:  # so that what is cached is
          Client(server.port).ask(path)
        self.settle(server, server.descriptors)
        before = server.descriptors()
        for i in range(60):
          client = Client(server.port, receive_buffer=4096)
          client.send(request(BIG) if i % 3 else request(BIG)[:20])
          if i % 3 == 1:
            client.socket.recv(100)
          client.reset() if i % 2 else client.close()
        self.check(server.connect().ask(SMALL), SMALL)
        server.clients.pop().close()
        deadline = time.monotonic() + PATIENCE
        while server.descriptors() > before and time.monotonic() < deadline:
          time.sleep(0.02)
        self.assertLessEqual(server.descriptors(), before)

  def settle(self, server, value):
    """Waits until a value has not changed for a while."""
    deadline = time.monotonic() + PATIENCE
    last, since = value(), time.monotonic()
    while time.monotonic() < min(deadline, since + 0.5):
      time.sleep(0.02)
      if value() != last:
        last, since = value(), time.monotonic()
    self.assertIsNone(server.process.poll(), server.said())

  def test_many_connections_at_once(self):
    for row in self.rows("keep-alive", "exact limit"):
      with self.subTest(row), Server(row, connections=300, flags=["--stats"]) as server:
        clients = [server.connect() for _ in range(300)]
        paths = [path for path, size in SIZES.items() if size < 20_000]
        for turn in range(5):
          for i, client in enumerate(clients):
            client.send(request(paths[(i + turn) % len(paths)]))
          for i, client in enumerate(clients):
            self.check(client.receive(), paths[(i + turn) % len(paths)])
        self.assertEqual(server.stop(), 0)
        self.assertEqual(server.counters()["requests"], 1500)

  def test_time_outs(self):
    for row in self.rows("Knot's replies"):
      flags = ["--idle_timeout=1", "--header_timeout=1", "--send_timeout=1"]
      with self.subTest(row), Server(row, flags=flags) as server:
        idle, partial, stuck = (server.connect(receive_buffer=4096) for _ in range(3))
        stuck.send(request(BIG) * STUCK)
        partial.send(request(SMALL)[:20])
        self.assertTrue(idle.at_end())
        self.assertEqual(partial.receive().status, 408)
        if "keep-alive" not in server.lacks:
          self.settle(server, server.descriptors)
          time.sleep(2.5)
          with self.assertRaises((EOFError, ConnectionError)):
            for _ in range(STUCK):
              stuck.receive()

  def test_sigterm_ends_with_connections_open_and_counts(self):
    for row in ROWS:
      with self.subTest(row), Server(row, flags=["--stats"]) as server:
        idle, busy = server.connect(), server.connect(receive_buffer=4096)
        busy.send(request(BIG))
        counted = server.connect()
        self.check(counted.ask(SMALL), SMALL)
        if "keep-alive" in server.lacks:  # a reply is counted after it was sent
          self.assertTrue(counted.at_end())
        else:
          self.check(counted.ask(SMALL), SMALL)
        idle.socket.settimeout(PATIENCE)
        self.assertEqual(server.stop(), 0)
        counters = server.counters()
        self.assertGreaterEqual(counters["connections"], 2)
        self.assertGreaterEqual(counters["requests"], 1)

  def test_a_port_in_use_is_said(self):
    for row in ROWS:
      command = SERVERS[row][0]
      with self.subTest(row), Server(row) as server:
        result = run(command + [f"--listen=127.0.0.1:{server.port}", ROOT])
        self.assertIn(result.returncode, (1, 2))
        self.assertRegex(result.stderr, rf"\A.*127.0.0.1:{server.port}.*in use\n\Z")
        self.check(server.connect().ask(SMALL), SMALL)

  def test_mistakes_on_the_command_line_are_said(self):
    for row in ROWS:
      command, limit, _ = SERVERS[row]
      for arguments, said in ((["--no_such_flag", ROOT], "no_such_flag"), ([limit.format(0), ROOT], limit[2:-3]),
                              ([limit.format("many"), ROOT], limit[2:-3]), ([WORK + "/nowhere"], "/nowhere"),
                              ([ROOT, WORK], ""), (["--listen=127.0.0.1:99999", ROOT], "listen")):
        with self.subTest(row, arguments=arguments):
          result = run(command + ["--listen=127.0.0.1:0"] + arguments)
          self.assertIn(result.returncode, (1, 2), result.stderr)
          self.assertIn(said, result.stderr)
          self.assertEqual(result.stdout, "")

  def test_help_names_every_flag(self):
    for row in ROWS:
      command, limit, _ = SERVERS[row]
      with self.subTest(row):
        result = run(command[:1] + ["--help"])
        self.assertEqual(result.returncode, 0)
        for flag in [limit] + command[1:] + ["--listen=", "--stats="]:
          self.assertIn("-" + flag[2:].partition("=")[0], result.stdout + result.stderr)


def slow_free(server):
  """Returns: a new connection; the last one of this kind is closed, so that few are open."""
  if getattr(server, "free", None) is not None:
    server.free.close()
  server.free = server.connect()
  return server.free


class OneServer(unittest.TestCase):

  def test_reuseport_refuses_more_files_than_it_may_preload(self):
    result = run(["reuseport", "--listen=127.0.0.1:0", "--preload_limit=4", ROOT])
    self.assertEqual(result.returncode, 2)
    self.assertRegex(result.stderr, r"\Areuseport: the files have 4 MiB, and --preload_limit is 4;.*\n\Z")

  def test_reuseport_serves_what_it_read_at_start(self):
    path = ROOT + "/dir00000/changing"
    with open(path, "w", encoding="utf-8") as file:
      file.write("before")
    with Server("reuseport") as server:
      os.remove(path)
      self.assertEqual(server.connect().ask("/dir00000/changing").body, b"before")

  def test_mmap_pool_ends_a_connection_after_one_reply(self):
    with Server("mmap_pool-close") as server:
      client = server.connect()
      client.send(request(SMALL) * 2)
      reply = client.receive()
      self.assertTrue(reply.body == contents(SMALL, SIZES[SMALL]))
      self.assertEqual(reply.fields["connection"], "close")
      self.assertTrue(client.at_end())

  def test_mmap_pool_unmaps_what_it_has_no_room_for(self):
    with Server("mmap_pool", connections=2, flags=["--mappings=3", "--stats"]) as server:
      client = server.connect()
      for path in list(SIZES) * 2:
        self.assertTrue(client.ask(path).body == contents(path, SIZES[path]), path)
      self.assertEqual(server.stop(), 0)
      counters = server.counters()
      self.assertEqual(counters["files_mapped"], 72)
      self.assertEqual(counters["files_unmapped"], 69)

  def test_mmap_pool_cuts_a_reply_whose_file_shrank(self):
    path = "/dir00000/shrinking"
    with open(ROOT + path, "wb") as file:
      file.write(contents(path, 100_000))
    with Server("mmap_pool") as server:
      self.assertTrue(server.connect().ask(path).body == contents(path, 100_000))
      os.truncate(ROOT + path, 10_000)
      with self.assertRaises((EOFError, ConnectionError)):
        server.connect().ask(path)
      self.assertEqual(server.connect().ask(SMALL).status, 200)

  def test_watpipe_sees_a_file_that_changes(self):
    path = ROOT + "/dir00000/changing"
    with Server("watpipe-epoll") as server:
      client = server.connect()
      for text in ("one", "three", ""):
        with open(path + ".new", "w", encoding="utf-8") as file:
          file.write(text)
        os.rename(path + ".new", path)
        deadline = time.monotonic() + PATIENCE
        while client.ask("/dir00000/changing").body != text.encode():
          self.assertLess(time.monotonic(), deadline)
          time.sleep(0.05)


if __name__ == "__main__":
  parser = argparse.ArgumentParser()
  parser.add_argument("--bin", required=True, help="where the servers are")
  parser.add_argument("--row", choices=SERVERS, help="one row (default: all)")
  args, others = parser.parse_known_args()
  BIN = args.bin
  ROWS = [args.row] if args.row else ROWS
  unittest.main(argv=[sys.argv[0]] + others)
