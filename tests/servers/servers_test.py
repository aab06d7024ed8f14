#!/usr/bin/env python3
"""Each server that Knot is compared with serves the right bytes, answers as Knot does, and starts and ends in order.

usage: servers_test.py KNOT TRAITS SERVER [FLAG...]

SERVER_TESTS in the environment has flags for unittest, such as "-k reset".

TRAITS are words separated by commas, or -:
  max_conn   takes --max_conn, given here so that each process has a share
  processes  runs as several processes and ends when one of them does
  blocking   a client that reads slowly may hold up others
  helpers    has helpers for what is not in memory, and counts what they load
  fixed      takes files to stay as they were when it first saw them
  preloaded  and finds none that was made after its start, as Knot's own tests do
"""

import concurrent.futures
import contextlib
import os
import random
import re
import resource
import select
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
import unittest

KNOT, TRAITS, *SERVER = sys.argv[1:]
TRAITS = TRAITS.split(",")
PATIENCE = 60  # seconds; only guards against a hang
SIZES = {f"dir00000/class{c}_{f}": int(unit * f)
         for c, unit in enumerate((102.4, 1024, 10240, 102400)) for f in range(1, 10)}
BIG = "dir00000/class3_9"
MORE_THAN_A_SOCKET_HOLDS = 8  # of them: sockets grow to several megabytes
GET = "GET /%s HTTP/1.1\r\nHost: h\r\n\r\n"

# What a client sends before it ends its side; the replies are compared with Knot's.
CONVERSATIONS = {
    "get": b"GET /dir00000/class0_5 HTTP/1.1\r\nHost: h\r\n\r\n",
    "large": b"GET /dir00000/class3_9 HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n",
    "empty": b"GET /empty HTTP/1.1\r\nHost: h\r\n\r\nGET /empty HTTP/1.0\r\n\r\n",
    "type": b"GET /page.html HTTP/1.1\r\nHost: h\r\n\r\n",
    "head": b"HEAD /dir00000/class2_5 HTTP/1.1\r\nHost: h\r\n\r\n" * 2,
    "http_1_0": b"GET /dir00000/class0_5 HTTP/1.0\r\n\r\nGET /dir00000/class0_5 HTTP/1.0\r\n\r\n",
    "http_1_0_kept": b"GET /dir00000/class1_5 HTTP/1.0\r\nConnection: keep-alive\r\n\r\n" * 3,
    "close": b"GET /dir00000/class1_1 HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n" * 2,
    "pipelined": b"".join((GET % name).encode() for name in SIZES) * 2,
    "pipelined_mixed": b"GET /none HTTP/1.1\r\nHost: h\r\n\r\nHEAD /none HTTP/1.1\r\nHost: h\r\n\r\n"
                       b"POST /dir00000 HTTP/1.1\r\nHost: h\r\n\r\nGET /dir00000/class0_1 HTTP/1.1\r\nHost: h\r\n\r\n",
    "empty_lines": b"\r\n\r\nGET /dir00000/class0_1 HTTP/1.1\r\nHost: h\r\n\r\n\r\n",
    "none": b"GET /none HTTP/1.1\r\nHost: h\r\n\r\n" * 2,
    "encoded": b"GET /dir00000/%63lass0_1?x=1 HTTP/1.1\r\nHost: h\r\n\r\nGET /a%2fb HTTP/1.1\r\nHost: h\r\n\r\n",
    "absolute": b"GET http://h/dir00000/class0_1 HTTP/1.1\r\nHost: h\r\n\r\n",
    "directory": b"GET /dir00000?q HTTP/1.1\r\nHost: h\r\n\r\nGET /dir00000/ HTTP/1.1\r\nHost: h\r\n\r\n",
    "index": b"GET / HTTP/1.1\r\nHost: h\r\n\r\n",
    "out_of_root": b"GET /../../etc/passwd HTTP/1.1\r\nHost: h\r\n\r\nGET /link HTTP/1.1\r\nHost: h\r\n\r\n",
    "special": b"GET /fifo HTTP/1.1\r\nHost: h\r\n\r\n",
    "method": b"DELETE /x HTTP/1.1\r\nHost: h\r\n\r\nBREW /x HTTP/1.1\r\nHost: h\r\n\r\n",
    "no_host": b"GET / HTTP/1.1\r\n\r\n",
    "two_hosts": b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    "no_request": b"hello\r\n\r\n",
    "bare_line_feed": b"GET / HTTP/1.1\nHost: h\n\n",
    "folded": b"GET / HTTP/1.1\r\nHost: h\r\nX: a\r\n b\r\n\r\n",
    "bad_escape": b"GET /%zz HTTP/1.1\r\nHost: h\r\n\r\n",
    "version": b"GET / HTTP/2.0\r\nHost: h\r\n\r\n",
    "long_target": b"GET /" + b"a" * 5000 + b" HTTP/1.1\r\nHost: h\r\n\r\n",
    "endless_line": b"GET /" + b"a" * 9000,
    "endless_head": b"GET / HTTP/1.1\r\nHost: h\r\nX: " + b"a" * 9000,
    "half": b"GET / HTTP/1.1\r\nHos",
    "body": b"GET /dir00000/class0_1 HTTP/1.1\r\nHost: h\r\nContent-Length: 20000\r\n\r\n" + b"b" * 20000 +
            b"GET /dir00000/class0_2 HTTP/1.1\r\nHost: h\r\n\r\n",
    "chunked": b"GET /dir00000/class0_1 HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n" +
               b"3\r\nabc\r\n" * 2000 + b"0\r\n\r\n" + b"GET /dir00000/class0_2 HTTP/1.1\r\nHost: h\r\n\r\n",
    "large_body": b"GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 9000000\r\n\r\n",
    "bad_length": b"HEAD / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx",
    "coding": b"GET / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip\r\n\r\n",
    "expect": b"GET /dir00000/class0_1 HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n",
    "bad_after_good": b"GET /dir00000/class1_9 HTTP/1.1\r\nHost: h\r\n\r\n\x00\x01\x02\r\n\r\n",
}


def contents(name):
  return random.Random(name).randbytes(SIZES[name])


def children(pid):
  with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
    return [int(child) for child in file.read().split()]


def sockets(pids):
  """Returns: how many sockets the processes have together. Files that are kept open come and go."""
  found = set()
  for pid in pids:
    for name in os.listdir(f"/proc/{pid}/fd"):
      with contextlib.suppress(FileNotFoundError):
        found.add(os.readlink(f"/proc/{pid}/fd/{name}"))
  return len([name for name in found if name.startswith("socket:")])


def eventually(condition):
  """Waits until `condition` holds; a test that runs into the end fails."""
  end = time.monotonic() + PATIENCE
  while not condition():
    if time.monotonic() > end:
      return False
    time.sleep(0.01)
  return True


class Process:
  """A running server."""

  def __init__(self, command, root, *flags, port=0, limit=None):
    def limited():
      if limit:
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
    self.errors = tempfile.TemporaryFile()
    self.process = subprocess.Popen([*command, *flags, f"--listen=127.0.0.1:{port}", root], stdout=subprocess.PIPE,
                                    stderr=self.errors, text=True, preexec_fn=limited)
    self.said = self.process.stdout.readline()
    found = re.search(r"http://127.0.0.1:(\d+)/", self.said)
    self.port = int(found[1]) if found else None

  def pids(self):
    return [self.process.pid, *children(self.process.pid)]

  def wait(self):
    return self.process.wait(PATIENCE)

  def stop(self):
    self.process.send_signal(signal.SIGTERM)
    return self.wait()

  def error(self):
    self.errors.seek(0)
    return self.errors.read().decode()

  def __enter__(self):
    return self

  def __exit__(self, *_):
    with contextlib.suppress(ProcessLookupError, FileNotFoundError):
      for pid in reversed(self.pids()):
        os.kill(pid, signal.SIGKILL)
    self.process.wait()
    self.process.stdout.close()
    self.errors.close()


class Client:

  def __init__(self, port, receive_buffer=0):
    self.socket = socket.socket()
    self.socket.settimeout(PATIENCE)
    if receive_buffer:
      self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    self.received = b""
    try:
      self.socket.connect(("127.0.0.1", port))
    except OSError:
      self.socket.close()
      raise

  def __enter__(self):
    return self

  def __exit__(self, *_):
    self.socket.close()

  def ask(self, name):
    self.socket.sendall((GET % name).encode())

  def read_head(self):
    while b"\r\n\r\n" not in self.received:
      data = self.socket.recv(65536)
      if not data:
        raise EOFError(self.received)
      self.received += data
    head, _, self.received = self.received.partition(b"\r\n\r\n")
    return head.decode()

  def read(self, step=65536, pause=0.0):
    """Returns: status and body of a reply."""
    head = self.read_head()
    size = int(re.search(r"Content-Length: (\d+)", head)[1])
    parts, have = [self.received[:size]], len(self.received)
    self.received = self.received[size:]
    while have < size:
      data = self.socket.recv(min(step, size - have))
      if not data:
        raise EOFError
      parts.append(data)
      have += len(data)
      if pause:
        time.sleep(pause)
    return int(head.split()[1]), b"".join(parts)

  def get(self, name):
    self.ask(name)
    return self.read()

  def converse(self, data):
    """Sends all, ends its side, and returns everything that comes."""
    with contextlib.suppress(ConnectionError):  # a server that refuses may stop reading
      self.socket.sendall(data)
      self.socket.shutdown(socket.SHUT_WR)
    parts = []
    with contextlib.suppress(ConnectionResetError):
      while part := self.socket.recv(65536):
        parts.append(part)
    return b"".join(parts)

  def reset(self):
    self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    self.socket.close()


class ServerTest(unittest.TestCase):

  @classmethod
  def setUpClass(cls):
    # Not where temporary files may lie in memory for good: what is not in memory matters here.
    cls.directory = tempfile.TemporaryDirectory(dir=os.getcwd())
    cls.root = cls.directory.name
    os.mkdir(f"{cls.root}/dir00000")
    for name in SIZES:
      with open(f"{cls.root}/{name}", "wb") as file:
        file.write(contents(name))
        file.flush()
        os.fsync(file.fileno())
    for name, data in (("empty", b""), ("page.html", b"<p>page</p>"), ("index.html", b"<p>index</p>")):
      with open(f"{cls.root}/{name}", "wb") as file:
        file.write(data)
    os.symlink("/etc/passwd", f"{cls.root}/link")
    os.mkfifo(f"{cls.root}/fifo")

  @classmethod
  def tearDownClass(cls):
    cls.directory.cleanup()

  def start(self, *flags, **keywords):
    server = Process(SERVER, self.root, *flags, **keywords)
    self.addCleanup(server.__exit__)
    self.assertIsNotNone(server.port, server.error())
    return server

  def fails(self, *flags, port=0):
    """Starts a server that cannot serve. Returns: what it says."""
    with Process(SERVER, self.root, *flags, port=port) as server:
      self.assertIn(server.wait(), (1, 2), server.said)
      said = server.error()
    self.assertEqual(len(said.splitlines()), 1, said)
    return said

  def check(self, port, name):
    with Client(port) as client:
      self.assertEqual(client.get(name), (200, contents(name)))

  def test_serves_every_size_to_many_at_once(self):
    server = self.start()

    def browse(seed):
      names = list(SIZES) * 2
      random.Random(seed).shuffle(names)
      with Client(server.port) as client:
        for name in names:
          if client.get(name) != (200, contents(name)):
            return name
      return None

    with concurrent.futures.ThreadPoolExecutor(24) as pool:
      self.assertEqual(list(pool.map(browse, range(24))), [None] * 24)
    self.assertEqual(server.stop(), 0)
    self.assertEqual(server.error(), "")

  def test_answers_as_knot_does(self):
    server = self.start()
    with Process([KNOT], self.root) as knot:
      for name, data in CONVERSATIONS.items():
        with self.subTest(name):
          replies = []
          for port in (knot.port, server.port):
            with Client(port) as client:
              # A tag is weak while its file is young, which it may be for one of them only.
              reply = re.sub(rb"\r\nDate: [^\r]*", b"", client.converse(data))
              replies.append(reply.replace(b"ETag: W/", b"ETag: "))
          self.assertTrue(replies[0] == replies[1], [reply[:400] for reply in replies])

  def test_takes_requests_in_pieces(self):
    server = self.start()
    with Client(server.port) as client:
      for byte in (GET % "dir00000/class1_3").encode():
        client.socket.sendall(bytes([byte]))
        time.sleep(0.0005)
      self.assertEqual(client.read(), (200, contents("dir00000/class1_3")))
      client.socket.sendall((GET % "dir00000/class0_1").encode() * 2 + b"GET /dir0")
      self.assertEqual(client.read(), (200, contents("dir00000/class0_1")))
      self.assertEqual(client.read(), (200, contents("dir00000/class0_1")))
      client.socket.sendall(b"0000/class0_2 HTTP/1.1\r\nHost: h\r\n\r\n")
      self.assertEqual(client.read(), (200, contents("dir00000/class0_2")))

  def test_takes_more_requests_at_once_than_a_buffer_holds(self):
    server = self.start()
    with Client(server.port) as client:
      client.socket.sendall((GET % "dir00000/class0_1").encode() * 600)
      for _ in range(600):
        self.assertEqual(client.read(), (200, contents("dir00000/class0_1")))

  def test_takes_a_request_that_comes_while_the_client_does_not_read(self):
    server = self.start()
    with Client(server.port, receive_buffer=4096) as client:
      client.socket.sendall((GET % BIG).encode() * MORE_THAN_A_SOCKET_HOLDS)
      time.sleep(0.2)
      client.ask("dir00000/class0_1")
      for _ in range(MORE_THAN_A_SOCKET_HOLDS):
        self.assertTrue(client.read() == (200, contents(BIG)))
      self.assertEqual(client.read(), (200, contents("dir00000/class0_1")))

  def test_serves_slow_readers_whole(self):
    server = self.start()
    slow = 2 if "blocking" in TRAITS else 12
    with concurrent.futures.ThreadPoolExecutor(slow) as pool, contextlib.ExitStack() as stack:
      clients = [stack.enter_context(Client(server.port, receive_buffer=4096)) for _ in range(slow)]
      for client in clients:
        client.socket.sendall((GET % BIG).encode() * MORE_THAN_A_SOCKET_HOLDS)

      def read_slowly(client):
        return all(client.read(16384, 0.0002) == (200, contents(BIG)) for _ in range(MORE_THAN_A_SOCKET_HOLDS))

      replies = [pool.submit(read_slowly, client) for client in clients]
      if "blocking" not in TRAITS:
        for _ in range(20):
          self.check(server.port, "dir00000/class1_5")
      for reply in replies:
        self.assertTrue(reply.result())

  def test_survives_clients_that_leave(self):
    server = self.start("--stats")
    self.check(server.port, BIG)
    before = sockets(server.pids())
    for i in range(60):
      client = Client(server.port, receive_buffer=4096)
      if i % 4 == 3:
        client.socket.sendall(b"GET /dir00")
      else:
        for _ in range(8):  # one can fit into the sockets' buffers
          client.ask(BIG)
        client.socket.recv(1 + 3000 * (i % 4))
      client.reset() if i % 2 else client.socket.close()
    self.assertTrue(eventually(lambda: sockets(server.pids()) <= before), "sockets stay open")
    self.check(server.port, BIG)
    self.assertEqual(server.stop(), 0)
    self.assertRegex(server.error(), r"(?m)^cut_short: [1-9]")

  def test_ends_all_processes_in_the_midst_of_replies(self):
    for number in (signal.SIGTERM, signal.SIGINT):
      server = self.start()
      with Client(server.port, receive_buffer=4096) as slow, Client(server.port) as idle:
        slow.ask(BIG)
        slow.socket.recv(1000)
        if "blocking" not in TRAITS:
          idle.get("dir00000/class0_1")
        pids = server.pids()
        server.process.send_signal(number)
        self.assertEqual(server.wait(), 0)
        self.assertEqual(server.error(), "")
      self.assertEqual([pid for pid in pids if os.path.exists(f"/proc/{pid}")], [])
      with self.assertRaises(ConnectionError):
        Client(server.port)

  def test_counts_what_it_did(self):
    server = self.start("--stats")
    before = sockets(server.pids())
    for _ in range(3):
      with Client(server.port) as client:
        self.assertEqual(client.get("dir00000/class1_2")[0], 200)
        self.assertEqual(client.get("none")[0], 404)
    self.assertTrue(eventually(lambda: sockets(server.pids()) == before))  # a reply is counted once it was sent
    self.assertEqual(server.stop(), 0)
    said = dict(line.split(": ") for line in server.error().splitlines())
    self.assertEqual((said["connections"], said["requests"], said["refusals"]), ("3", "6", "3"))

  def test_closes_who_asks_nothing_for_too_long(self):
    server = self.start("--idle_timeout=1", "--stats")
    with Client(server.port) as idle, Client(server.port) as silent:
      idle.get("dir00000/class0_1")
      self.assertEqual(idle.socket.recv(1), b"")
      self.assertEqual(silent.socket.recv(1), b"")
    self.assertEqual(server.stop(), 0)
    self.assertIn("idle_closed: 2\n", server.error())

  def test_refuses_who_takes_too_long_to_ask(self):
    server = self.start("--idle_timeout=3600", "--header_timeout=1")
    with Client(server.port) as first, Client(server.port) as second:
      first.socket.sendall(b"GET / HTT")
      second.get("dir00000/class0_1")
      second.socket.sendall(b"GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\n")
      self.assertIn("408", first.read_head())
      self.assertIn("408", second.read_head())

  def test_gives_up_a_client_that_reads_nothing(self):
    server = self.start("--send_timeout=1", "--stats")
    before = sockets(server.pids())
    with Client(server.port, receive_buffer=4096) as client:
      client.socket.sendall((GET % BIG).encode() * 20)
      self.assertTrue(eventually(lambda: sockets(server.pids()) == before + 1))
      self.assertTrue(eventually(lambda: sockets(server.pids()) == before))
    self.check(server.port, "dir00000/class0_1")

  @unittest.skipIf("fixed" in TRAITS, "looks at a file once")
  def test_a_changed_file_is_seen(self):
    server = self.start()
    with open(f"{self.root}/changing", "wb") as file:
      file.write(b"before")
    with Client(server.port) as client:
      self.assertEqual(client.get("changing"), (200, b"before"))
      with open(f"{self.root}/changing.new", "wb") as file:
        file.write(b"afterwards")
      os.rename(f"{self.root}/changing.new", f"{self.root}/changing")
      self.assertTrue(eventually(lambda: client.get("changing") == (200, b"afterwards")))
      os.remove(f"{self.root}/changing")
      self.assertTrue(eventually(lambda: client.get("changing")[0] == 404))

  def test_a_port_in_use_is_said(self):
    server = self.start()
    self.assertIn(f"cannot listen on 127.0.0.1:{server.port}", self.fails(port=server.port))
    self.check(server.port, "dir00000/class0_1")

  def test_bad_flags_are_said(self):
    self.assertIn("unknown flag --wrong", self.fails("--wrong=1"))
    self.assertIn("--listen=nowhere", self.fails("--listen=nowhere"))
    self.assertIn("--idle_timeout=0", self.fails("--idle_timeout=0"))
    self.assertIn("one directory", self.fails("elsewhere"))
    done = subprocess.run([*SERVER, f"{self.root}/none"], capture_output=True, text=True, check=False)
    self.assertIn(done.returncode, (1, 2))
    self.assertIn(f"cannot serve {self.root}/none", done.stderr)

  def test_help_lists_the_flags(self):
    done = subprocess.run([*SERVER, "--help"], capture_output=True, text=True, check=False)
    self.assertEqual(done.returncode, 0)
    for flag in ("--listen", "--stats"):
      self.assertIn(flag, done.stdout)

  @unittest.skipUnless("max_conn" in TRAITS, "has no such limit")
  def test_serves_no_more_than_max_conn_at_a_time(self):
    server = self.start("--max_conn=16")
    with contextlib.ExitStack() as stack:
      waiting = [stack.enter_context(Client(server.port)) for _ in range(40)]
      for client in waiting:
        client.ask("dir00000/class1_1")
      answered = []

      def answers(count):
        ready, _, _ = select.select([client.socket for client in waiting], [], [], 0.05)
        for client in [client for client in waiting if client.socket in ready]:
          waiting.remove(client)
          answered.append(client)
        return len(answered) >= count

      self.assertTrue(eventually(lambda: answers(16)), f"{len(answered)} are served")
      for _ in range(10):  # time for one too many to be served
        answers(17)
      self.assertEqual(len(answered), 16)
      for client in answered:
        self.assertEqual(client.read(), (200, contents("dir00000/class1_1")))
        client.socket.close()
      for client in waiting[:16]:
        with client:
          self.assertEqual(client.read(), (200, contents("dir00000/class1_1")))
    self.check(server.port, "dir00000/class0_1")

  @unittest.skipUnless("max_conn" in TRAITS, "has no such limit")
  def test_a_max_conn_that_cannot_be_is_said(self):
    self.assertIn("--max_conn=0", self.fails("--max_conn=0"))
    self.assertIn("--max_conn=x", self.fails("--max_conn=x"))

  @unittest.skipUnless("max_conn" in TRAITS, "has no such limit")
  def test_goes_on_where_descriptors_run_out(self):
    with Process(SERVER, self.root, "--max_conn=16", limit=40) as server:
      self.assertIsNone(server.port)  # fewer than connections can need are refused, not run out of
      self.assertIn(server.wait(), (1, 2))
      self.assertIn("open files", server.error())

  @unittest.skipUnless("processes" in TRAITS, "is one process")
  def test_a_process_that_dies_ends_the_server(self):
    server = self.start()
    self.check(server.port, "dir00000/class0_1")
    pids = server.pids()
    os.kill(pids[1], signal.SIGKILL)
    self.assertEqual(server.wait(), 1)
    self.assertIn(f"process {pids[1]} was ended by signal 9", server.error())
    self.assertEqual([pid for pid in pids if os.path.exists(f"/proc/{pid}")], [])

  @unittest.skipUnless("processes" in TRAITS, "is one process")
  def test_no_process_outlives_the_first(self):
    server = self.start()
    pids = server.pids()
    os.kill(pids[0], signal.SIGKILL)
    server.wait()
    self.assertTrue(eventually(lambda: not any(self.runs(pid) for pid in pids)))

  def runs(self, pid):
    try:
      with open(f"/proc/{pid}/stat", encoding="ascii") as file:
        return file.read().rsplit(")", 1)[1].split()[0] not in "ZX"
    except FileNotFoundError:
      return False

  @unittest.skipUnless("helpers" in TRAITS, "has no helpers")
  def test_helpers_load_what_is_not_in_memory(self):
    server = self.start("--stats", "--cache=descriptors")
    names = [name for name in SIZES if "class3" in name]
    for _ in range(2):
      for name in names:
        with open(f"{self.root}/{name}", "rb") as file:
          os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
      with concurrent.futures.ThreadPoolExecutor(9) as pool:
        for done in [pool.submit(self.check, server.port, name) for name in names]:
          done.result()
    self.assertEqual(server.stop(), 0)
    self.assertGreaterEqual(int(re.search(r"helper_loads: (\d+)", server.error())[1]), 9)


if __name__ == "__main__":
  unittest.main(argv=[sys.argv[0], *os.environ.get("SERVER_TESTS", "").split()])
