#!/usr/bin/env python3
"""While others attack, by holding more connections than Knot has threads, an ordinary client is served.

usage: attacks_test.py KNOT [UNITTEST ARGUMENTS]

The attackers are slow to send heads or bodies, slow to read, silent, send empty lines, or ask for many ranges; some are
just faster than the least rates ask for. Whoever is turned out comes again at once. Knot's time-outs are made short, so that the test is. Nothing is claimed of how long the ordinary
client waits: only that each of its requests, over new connections and over kept ones, gets its reply. Debian's
slowhttptest does the same in its own ways, where it is installed.
"""

import os
import selectors
import shutil
import socket
import subprocess
import sys
import threading
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "support"))
import knot_process  # noqa: E402  pylint: disable=wrong-import-position
from knot_process import Client, NoReply, Server, eventually, flags_of, pattern  # noqa: E402

KNOT = sys.argv[1]
THREADS = 24
ATTACKERS = 40
SECONDS = 2  # of each attack
LIFE = 3  # seconds after which a slow reader comes anew
FOREVER = 100_000
SMALL = b"small\n"
BIG = pattern(8_000_000, 1)

# What each attacker sends first, and then again and again.
HEAD = b"GET /big HTTP/1.1\r\nHost: h\r\n"
SLOW_HEAD = (HEAD, b"X: y\r\n")
SLOW_BODY = (HEAD + b"Content-Length: 100000\r\n\r\n", b"x")
SLOW_CHUNKS = (HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n")
STEADY_BODY = (HEAD + b"Content-Length: 1000000\r\n\r\n", b"x" * 500)
SLOW_LINES = (b"\r\n", b"\r\n")
SILENT = (b"", b"")
KEPT = (b"GET /small HTTP/1.1\r\nHost: h\r\n\r\n", b"")
STUCK = (HEAD + b"\r\n", b"")
RANGES = (HEAD + b"Range: bytes=0-," + b",".join(b"5-%d" % i for i in range(1200)) + b"\r\n\r\n",) * 2
APART = (HEAD + b"Range: bytes=" + b",".join(b"%d-%d" % (i, i + 400) for i in range(0, 16000, 1000)) + b"\r\n\r\n",) * 2


class Attack:
  """Attackers that hold connections, in a thread of their own."""

  def __init__(self, port, sends, pause, read=None, receive_buffer=None, life=LIFE):
    """Each sends something more, and reads `read` bytes, once in `pause` seconds; None: it reads whatever comes.

    Who does not read it cannot see that it was turned out, so it leaves after `life` seconds and comes again.
    """
    self.port, self.pause, self.read, self.receive_buffer, self.life = port, pause, read, receive_buffer, life
    self.first, self.again = sends
    self.selector = selectors.DefaultSelector()
    self.clients = {}  # and when each came
    self.stopping = threading.Event()
    self.turned_out = 0
    self.thread = threading.Thread(target=self._run)

  def _open(self):
    client = socket.socket()
    if self.receive_buffer:
      client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self.receive_buffer)
    client.setblocking(False)
    client.connect_ex(("127.0.0.1", self.port))
    self.clients[client] = time.monotonic()
    self.selector.register(client, selectors.EVENT_WRITE)

  def _close(self, client):
    if client in self.selector.get_map():
      self.selector.unregister(client)
    self.clients.pop(client, None)
    client.close()
    self.turned_out += 1

  def _ready(self, client, events):
    """Raises: OSError where it was turned out."""
    if events & selectors.EVENT_WRITE:
      client.sendall(self.first)
      if self.read is None:
        self.selector.modify(client, selectors.EVENT_READ)
      else:
        self.selector.unregister(client)
    elif not client.recv(1 << 16):
      raise ConnectionResetError

  def _turn(self, client):
    """Raises: OSError where it was turned out."""
    established = 1  # the first byte of TCP_INFO is the state
    if client.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] != established:
      raise ConnectionResetError
    if self.read is not None and time.monotonic() - self.clients[client] > self.life:
      raise ConnectionResetError
    if self.again:
      client.send(self.again)
    if self.read:
      client.recv(self.read)

  def _for_each(self, steps):
    for client, step in steps:
      try:
        step()
      except BlockingIOError:
        pass
      except OSError:
        self._close(client)

  def _run(self):
    turn = time.monotonic()
    while not self.stopping.is_set():
      while len(self.clients) < ATTACKERS:
        self._open()
      ready = self.selector.select(0.05)
      self._for_each((key.fileobj, lambda k=key, e=events: self._ready(k.fileobj, e)) for key, events in ready)
      if time.monotonic() - turn >= self.pause:
        turn = time.monotonic()
        waiting = {key.fileobj for key in self.selector.get_map().values() if key.events & selectors.EVENT_WRITE}
        self._for_each([(client, lambda c=client: self._turn(c)) for client in self.clients.keys() - waiting])
      elif not ready:
        time.sleep(0.01)  # an empty selector does not wait
    for client in self.clients:
      client.close()

  def __enter__(self):
    self.thread.start()
    return self

  def __exit__(self, *_):
    self.stopping.set()
    self.thread.join()
    self.selector.close()


class Attacks(unittest.TestCase):

  def setUp(self):
    place = knot_process.directory()
    self.root = place.__enter__()
    self.addCleanup(place.__exit__, None, None, None)
    for name, contents in (("small", SMALL), ("big", BIG)):
      with open(f"{self.root}/{name}", "wb") as file:
        file.write(contents)

  def start(self, *flags):
    server = Server(KNOT, self.root, f"--threads={THREADS}", *flags)
    self.addCleanup(server.__exit__)
    return server

  def be_ordinary(self, server, until):
    """Asks until the time has come, over new connections and one that is kept. Returns: how often."""
    count = 0
    kept = None
    while count < 3 or time.monotonic() < until:
      with Client(server.port) as client:
        reply = client.get("/small")
        self.assertEqual((reply.status, reply.body), (200, SMALL))
      # A kept connection may be closed while it waits (RFC 9112, 9.3.1): the client then makes a new one.
      try:
        reply = kept.get("/small") if kept else None
      except NoReply:
        reply = None
      if reply is None:
        kept = Client(server.port)
        self.addCleanup(kept.close)
        reply = kept.get("/small")
      self.assertEqual((reply.status, reply.body), (200, SMALL))
      count += 1
    return count

  def withstand(self, name, sends, *flags, pause=0.3, **options):
    with self.subTest(name):
      server = self.start(*flags)
      before = server.descriptors()
      self.be_ordinary(server, 0)
      # A connection and a file are kept; those of the connections that ended just now are closed a little later.
      self.assertTrue(eventually(lambda: server.descriptors() <= before + 2), server.descriptors())
      baseline = server.descriptors()
      with Attack(server.port, sends, pause, **options) as attack:
        self.assertTrue(eventually(lambda: server.descriptors() >= baseline + THREADS - 2 or attack.turned_out > 100))
        count = self.be_ordinary(server, time.monotonic() + SECONDS)
        memory = server.status("VmRSS")
      print(f"{name}: {count} times served, {attack.turned_out} turned out, {memory >> 20} MiB", flush=True)
      self.assertTrue(server.lives(), server.error())
      self.be_ordinary(server, 0)
      self.assertTrue(eventually(lambda: server.descriptors() <= baseline + 2), server.descriptors())
      self.assertEqual(server.stop(), 0, server.error())

  # Time-outs so long that only making room can help: the attackers send nothing for longer than a second.
  LONG = ("--header_timeout=600", "--idle_timeout=600", "--send_timeout=50", "--make_room_after=1")
  # Nobody makes room: the time-outs alone.
  SHORT = ("--header_timeout=1", "--idle_timeout=1", "--send_timeout=1", "--make_room_after=0")

  def test_silence(self):
    self.withstand("silent", SILENT, *self.LONG, pause=30)
    self.withstand("silent, time-outs", SILENT, *self.SHORT, pause=30)

  def test_kept_connections(self):
    self.withstand("kept", KEPT, *self.LONG, pause=30)
    self.withstand("kept, time-outs", KEPT, *self.SHORT, pause=30)

  def test_slow_heads(self):
    self.withstand("slow heads", SLOW_HEAD, *self.LONG, pause=2)
    self.withstand("slow heads, time-outs", SLOW_HEAD, *self.SHORT)

  def test_slow_bodies(self):
    self.withstand("slow bodies", SLOW_BODY, *self.LONG, pause=2)
    self.withstand("slow bodies, time-outs", SLOW_BODY, *self.SHORT)
    self.withstand("slow chunks, time-outs", SLOW_CHUNKS, *self.SHORT)

  def test_empty_lines(self):
    self.withstand("empty lines", SLOW_LINES, *self.LONG, pause=2)
    self.withstand("empty lines, never silent", SLOW_LINES, *self.LONG, "--crowded_rate=0")

  def test_slow_body_above_the_least_rate(self):
    self.withstand("slow body above the least rate", STEADY_BODY, *self.LONG)

  def test_slow_read_above_the_least_rate(self):
    for send in ("--send=inline", "--send=cache"):
      self.withstand(f"slow read above the least rate, {send}", STUCK, *self.LONG, send, "--cache_mb=200",
                     receive_buffer=2048, read=512, life=FOREVER)

  def test_slow_readers(self):
    self.withstand("readers of nothing", STUCK, *self.SHORT, receive_buffer=2048, read=0)
    if "min_send_rate" in flags_of(KNOT):
      self.withstand("slow readers", STUCK, "--send_timeout=10", "--min_send_rate=100000", receive_buffer=2048,
                     read=512, pause=0.2)

  def test_ranges(self):
    self.withstand("many ranges", RANGES, *self.LONG)
    self.withstand("parts apart", APART, *self.LONG)
    self.withstand("parts apart from memory", APART, *self.LONG, "--send=cache")

  def test_endless_requests(self):
    self.withstand("endless requests", (KEPT[0], KEPT[0]), *self.LONG)
    self.withstand("endless pipelines", (KEPT[0] * 50, KEPT[0] * 50), *self.LONG)

  @unittest.skipUnless(shutil.which("slowhttptest"), "slowhttptest is not installed")
  def test_slowhttptest(self):
    modes = {"slowloris": ["-H", "-i", "1"], "slow body": ["-B", "-i", "1"],
             "range": ["-R", "-a", "5", "-b", "500"], "slow read": ["-X", "-n", "1", "-z", "32", "-w", "10", "-y", "20"]}
    for name, flags in modes.items():
      with self.subTest(name):
        server = self.start("--header_timeout=1", "--idle_timeout=1", "--send_timeout=1", "--make_room_after=1")
        self.be_ordinary(server, 0)
        command = ["slowhttptest", *flags, "-c", str(ATTACKERS), "-r", str(ATTACKERS), "-l", str(SECONDS + 1),
                   "-u", f"http://127.0.0.1:{server.port}/big"]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                              stdin=subprocess.DEVNULL) as attack:
          count = self.be_ordinary(server, time.monotonic() + SECONDS)
          attack.wait(60)
        print(f"slowhttptest, {name}: {count} times served", flush=True)
        self.be_ordinary(server, 0)
        self.assertEqual(server.stop(), 0, server.error())


if __name__ == "__main__":
  unittest.main(argv=[sys.argv[0], *sys.argv[2:]], verbosity=2)
