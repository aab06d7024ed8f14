#!/usr/bin/env python3
"""Each system call that Knot makes while it serves fails with each error that it can return, once and again.

usage: faults_test.py KNOT sanitized|- [UNITTEST ARGUMENTS]

strace makes the calls fail at the kernel's boundary, where Bobbin makes them too: it is attached to a Knot that serves,
and detached again. While it is there each request is answered rightly, or refused, or its connection ends, but nobody
gets wrong bytes. Afterwards everything is answered rightly, and Knot has as many descriptors as before. A further test
does so two hundred times and looks at the memory.

What cannot be tested so: `futex`, since strace fails a wake-up as well as a wait, and a wake-up that fails does not
happen in Linux. A `close` that strace fails does not close, while in Linux it does: those descriptors are counted.
"""

import contextlib
import gzip
import os
import re
import signal
import subprocess
import sys
import threading
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "support"))
import knot_process  # noqa: E402  pylint: disable=wrong-import-position
from knot_process import Client, NoReply, PATIENCE, Server, eventually, pattern  # noqa: E402

KNOT = sys.argv[1]
SANITIZED = sys.argv[2] == "sanitized"
BOBBIN = not KNOT.endswith("-kernel-threads")

SHORT_PATIENCE = 0.3  # seconds, for a reply that a fault may keep from coming

# Errors after which the call is made again, so that it must succeed at some time.
TRIED_AGAIN = {"EINTR", "EAGAIN", "ECONNABORTED", "EPROTO"}

# The calls that fail alike, their errors by their man pages, and flags of a Knot that makes them.
FAULTS = {
    "accept4": ("ECONNABORTED EINTR EMFILE ENFILE ENOBUFS ENOMEM EPERM EPROTO", []),
    "openat2": ("EACCES EAGAIN EINTR EIO ELOOP EMFILE ENAMETOOLONG ENFILE ENODEV ENOENT ENOMEM ENOTDIR ENXIO EOVERFLOW "
                "EPERM EXDEV", []),
    "fstat,newfstatat": ("EIO ENOMEM EOVERFLOW ESTALE", []),
    "pread64,preadv2": ("EAGAIN EINTR EIO EISDIR ENOMEM ESTALE", []),
    "recvfrom": ("ECONNRESET EHOSTUNREACH EINTR ENOMEM ETIMEDOUT", []),
    "sendmsg": ("ECONNRESET EHOSTUNREACH EINTR ENOBUFS ENOMEM EPIPE ETIMEDOUT", []),
    "sendfile": ("ECONNRESET EINTR EINVAL EIO ENOMEM EOVERFLOW EPIPE ETIMEDOUT", []),
    "sendfile,splice,tee": ("EAGAIN EIO ENOMEM EPIPE", ["--send=nonblocking"]),
    "poll,ppoll": ("EINTR ENOMEM", []),
    "epoll_wait,epoll_pwait": ("EINTR", []),
    "epoll_ctl": ("ENOMEM ENOSPC", []),
    "shutdown": ("ENOBUFS ENOTCONN", []),
    "close": ("EINTR EIO ENOSPC", []),
    "getsockopt,setsockopt,fcntl,ioctl": ("ENOBUFS ENOMEM", []),
    "getrandom": ("EINTR ENOSYS", []),
    "rt_sigtimedwait": ("EAGAIN EINTR", []),
    "clone,clone3": ("EAGAIN ENOMEM", ["--spawn=on_demand"]),
    "mmap,mremap,brk,mprotect,munmap": ("ENOMEM", []),
    "mmap,mprotect,clone3": ("ENOMEM", ["--spawn=on_demand"]),
}
# A sanitizer ends the program where it gets no memory.
OF_MEMORY = {faults for faults in FAULTS if faults.startswith("mmap")}
# Calls for whose success a connection may wait; where others fail, its request is answered, or it ends.
WAITED_FOR = {"accept4"} | OF_MEMORY
# With these malloc asks the system for every little piece.
THRIFTLESS = {"GLIBC_TUNABLES": "glibc.malloc.tcache_count=0:glibc.malloc.top_pad=0:glibc.malloc.mmap_threshold=1:"
                                "glibc.malloc.mmap_max=60000:glibc.malloc.trim_threshold=1"}

SMALL = b"small\n"
TEXT = b"a line of text, and one more, and one more\n" * 100
BIG = pattern(1_500_000, 1)


class Strace:
  """strace, attached for a while, that makes calls fail."""

  def __init__(self, pid, injections, log, *flags):
    self.log = log
    calls = ",".join(f"?{call}" for injection in injections for call in injection.split(":")[0].split(","))
    command = ["strace", "-f", "-p", str(pid), "-o", log, "-e", f"trace={calls}", "-e", "signal=none", *flags]
    for injection in injections:
      names, rest = injection.split(":", 1)
      optional = ",".join("?" + name for name in names.split(","))
      command += ["-e", f"inject={optional}:{rest}"]
    # Its own group: what ends the test from a terminal must not leave Knot stopped.
    self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    self.said = self.process.stderr.readline()

  def attached(self):
    return "attached" in self.said

  def injected(self):
    with open(self.log, encoding="latin-1") as file:
      return sum("(INJECTED)" in line for line in file)

  def __enter__(self):
    return self

  def __exit__(self, *_):
    if self.process.poll() is None:
      self.process.send_signal(signal.SIGINT)
    try:
      self.process.wait(PATIENCE)
    finally:
      self.process.stderr.close()


def can_trace():
  """Tells whether strace may look at another process."""
  with subprocess.Popen(["sleep", "60"]) as process, knot_process.directory() as place:
    try:
      with Strace(process.pid, ["getpid:error=EPERM"], place + "/log") as strace:
        return strace.attached()
    except FileNotFoundError:
      return False
    finally:
      process.kill()


class Wrong(AssertionError):
  """Bytes that nobody should get."""


def check(reply, status, body):
  """A reply, whole or cut short, is the one meant or says that something failed."""
  if reply.status == status:
    if not body.startswith(reply.body):
      raise Wrong(f"wrong bytes with status {status}")
    return
  # 404 and 403 answer errors of opening a file that say so.
  if reply.status not in (403, 404, 408, 416, 500, 503):
    raise Wrong(f"status {reply.status}, not {status}")


class Site:
  """A directory to serve, and requests with the replies that are right."""

  def __init__(self, place):
    self.root = place + "/root"
    self.fresh = 0
    os.makedirs(self.root + "/directory")
    for name, contents in (("small", SMALL), ("text.txt", TEXT), ("big", BIG), ("directory/index.html", TEXT)):
      with open(f"{self.root}/{name}", "wb") as file:
        file.write(contents)
    os.symlink("/etc/passwd", self.root + "/out")

  def new_file(self):
    """Returns: the name of a file that no cache holds, and its contents."""
    self.fresh = (self.fresh + 1) % 200
    name, contents = f"fresh{self.fresh}", pattern(5000 + self.fresh, self.fresh)
    with open(f"{self.root}/.{name}", "wb") as file:
      file.write(contents)
    os.rename(f"{self.root}/.{name}", f"{self.root}/{name}")
    return name, contents

  def exchanges(self):
    """Returns: functions that take a connection and raise Wrong or NoReply where a reply is not right."""
    fresh, contents = self.new_file()

    def whole(target, body, status=200, fields=""):
      def ask(client):
        reply = client.get(target, fields)
        check(reply, status, body)
        return reply.status == status and reply.body == body
      return ask

    def kept(client):
      return all([whole("/small", SMALL)(client) for _ in range(3)])

    def pipelined(client):
      client.send(b"GET /small HTTP/1.1\r\nHost: h\r\n\r\nHEAD /big HTTP/1.1\r\nHost: h\r\n\r\n"
                  b"GET /text.txt HTTP/1.1\r\nHost: h\r\n\r\n")
      right = True
      for body, head_only in ((SMALL, False), (b"", True), (TEXT, False)):
        reply = client.read(head_only)
        check(reply, 200, body)
        right = right and reply.status == 200 and reply.body == body
      return right

    def with_body(client):
      client.send(b"GET /small HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nab")
      client.send(b"c\r\n0\r\n\r\nGET /small HTTP/1.1\r\nHost: h\r\n\r\n")
      replies = [client.read(), client.read()]
      for reply in replies:
        check(reply, 200, SMALL)
      return all(reply.body == SMALL for reply in replies)

    def parts(client):
      reply = client.get("/big", "Range: bytes=0-9,1000000-1000009\r\n")
      if reply.status == 206:
        found = re.findall(rb"Content-Range: bytes (\d+)-(\d+)/1500000\r\n\r\n(.{10})\r\n--", reply.body, re.DOTALL)
        if [(int(first), body) for first, _, body in found] != [(0, BIG[:10]), (1000000, BIG[1000000:1000010])]:
          raise Wrong("wrong parts")
      else:
        check(reply, 206, b"")
      return reply.status == 206

    def compressed(client):
      reply = client.get("/text.txt", "Accept-Encoding: gzip\r\n")
      if reply.status == 200 and reply.fields.get("content-encoding") == "gzip":
        if gzip.decompress(reply.body) != TEXT:
          raise Wrong("wrong compressed bytes")
      else:
        check(reply, 200, TEXT)
      return reply.status == 200

    def rude(client):
      client.send(b"GET /big HTTP/1.1\r\nHost: h\r\n\r\n")
      client.reset()
      return True

    def nonsense(client):
      client.send(b"nonsense\r\n\r\n")
      reply = client.read()
      if reply.status not in (400, 408):
        raise Wrong(f"nonsense has status {reply.status}")
      return reply.status == 400

    def refused(status, target):
      def ask(client):
        reply = client.get(target)
        if reply.status not in (status, 403, 404, 500, 503):
          raise Wrong(f"{target} has status {reply.status}")
        return reply.status == status
      return ask

    return [whole("/small", SMALL), whole(f"/{fresh}", contents), whole("/big", BIG), whole("/directory/", TEXT),
            whole("/big", BIG[-1000:], 206, "Range: bytes=-1000\r\n"), kept, pipelined, with_body, parts, compressed,
            rude, nonsense, refused(404, "/none"), refused(403, "/out"), refused(301, "/directory")]


def targets(server):
  """Returns: what each descriptor is of."""
  found = []
  for name in os.listdir(f"/proc/{server.pid}/fd"):
    with contextlib.suppress(FileNotFoundError):
      found.append(os.readlink(f"/proc/{server.pid}/fd/{name}"))
  return found


def descriptors(server):
  """Returns: how many there are, but for new files: where files are sent from descriptors, one of each is kept."""
  return len([target for target in targets(server) if "/root/fresh" not in target]) + spare(server)


def spare(server):
  """Returns: how many descriptors of new files there are for which there is another."""
  fresh = [target for target in targets(server) if "/root/fresh" in target]
  return len(fresh) - len(set(fresh))


class Outcome:
  """What became of some exchanges, each over a connection of its own, at the same time."""

  def __init__(self, site, port, patience):
    self.right = self.missing = self.waiting = 0
    self.wrong = []
    self.lock = threading.Lock()
    exchanges = site.exchanges()
    self.count = len(exchanges)
    threads = [threading.Thread(target=self._run, args=(exchange, port, patience)) for exchange in exchanges]
    for thread in threads:
      thread.start()
    for thread in threads:
      thread.join()

  def _run(self, exchange, port, patience):
    right = waiting = False
    wrong = None
    try:
      with Client(port, patience) as client:
        right = exchange(client)
    except NoReply as ended:
      waiting = ended.timed_out
      if ended.reply:
        wrong = self._of_part(ended.reply)
    except (Wrong, AssertionError, KeyError, ValueError, OSError) as error:
      wrong = f"{type(error).__name__}: {error}"
    with self.lock:
      if wrong:
        self.wrong.append(wrong)
      elif right:
        self.right += 1
      else:
        self.missing += 1
        self.waiting += waiting

  @staticmethod
  def _of_part(reply):
    """Returns: what is wrong with the beginning of a reply, or None."""
    known = (SMALL, TEXT, BIG, BIG[-1000:])
    if reply.status != 200 or "content-encoding" in reply.fields or any(body.startswith(reply.body) for body in known):
      return None
    # Those of new files have their number behind each count.
    return None if re.match(rb"[0-9a-f]{12}", reply.body[:12] or b"0" * 12) else "a reply that was cut has wrong bytes"


class Faults(unittest.TestCase):
  """One test for each of FAULTS, made below."""

  @classmethod
  def setUpClass(cls):
    if not can_trace():
      raise unittest.SkipTest("strace is not there, or may not trace")

  @contextlib.contextmanager
  def serving(self, *flags, environment=None):
    with knot_process.directory() as place:
      site = Site(place)
      with Server(KNOT, site.root, "--threads=24", "--cache_mb=1", "--compress=gzip", "--header_timeout=2",
                  "--idle_timeout=2", "--send_timeout=2", f"--access_log={place}/log", *flags,
                  environment=environment) as server:
        self.settle(site, server)
        self.settle(site, server)
        yield site, server, place
        self.assertTrue(server.lives(), server.error())
        self.assertEqual(server.stop(), 0, server.error())
        self.assertNotIn("Sanitizer", server.error())

  def settle(self, site, server):
    """Everything is right."""
    outcome = Outcome(site, server.port, PATIENCE)
    self.assertTrue(server.lives(), server.error())
    self.assertEqual(outcome.wrong, [])
    self.assertEqual(outcome.right, outcome.count)

  def expect_baseline(self, server, baseline):
    # Connections that ended are closed by their threads a little later.
    if not eventually(lambda: descriptors(server) <= baseline):
      self.fail(f"more than {baseline} descriptors: {targets(server)}")

  def fail_with(self, site, server, place, injection, patience):
    with Strace(server.pid, [injection], place + "/strace") as strace:
      self.assertTrue(strace.attached(), strace.said)
      outcomes = [Outcome(site, server.port, patience) for _ in range(2)]
      self.assertTrue(server.lives(), f"{injection}: {server.error()}")
    for outcome in outcomes:
      self.assertEqual(outcome.wrong, [], injection)
      if patience == PATIENCE:
        self.assertEqual(outcome.waiting, 0, injection)
    return strace.injected()

  def run_faults(self, calls, errors, flags):
    with self.serving(*flags, environment=THRIFTLESS if calls in OF_MEMORY else None) as (site, server, place):
      baseline = descriptors(server)
      injected = 0
      for error in errors.split():
        times = ["1", "1+2"] if error in TRIED_AGAIN else ["1", "1+2", "1+"]
        for when in times:
          injection = f"{calls}:error={error}:when={when}"
          with self.subTest(injection):
            failed = self.fail_with(site, server, place, injection,
                                    SHORT_PATIENCE if calls in WAITED_FOR else PATIENCE)
            injected += failed
            if calls == "close":
              baseline += failed
            self.settle(site, server)
            self.expect_baseline(server, baseline)
      print(f"{calls}: {injected} failed", flush=True)

  def test_silence(self):
    """Where the kernel cannot wait, a client that says nothing holds no thread without an end."""
    with self.serving() as (_, server, place):
      with Strace(server.pid, ["poll,ppoll:error=ENOMEM:when=1+"], place + "/strace") as strace:
        self.assertTrue(strace.attached(), strace.said)
        with Client(server.port) as client, self.assertRaises(NoReply) as ended:
          client.read()
        self.assertFalse(ended.exception.timed_out)

  def test_renames_without_end(self):
    """A path of which the kernel cannot be sure for long is to be asked for later."""
    with self.serving() as (site, server, place):
      name, _ = site.new_file()
      with Strace(server.pid, ["openat2:error=EAGAIN:when=1+"], place + "/strace") as strace:
        self.assertTrue(strace.attached(), strace.said)
        with Client(server.port) as client:
          self.assertEqual(client.get(f"/{name}").status, 503)

  def test_memory(self):
    """Two hundred times, many calls fail; memory stays what it was."""
    if SANITIZED:
      self.skipTest("a sanitizer keeps what was freed")
    injections = ["openat2:error=EMFILE:when=1+5", "fstat,newfstatat:error=ENOMEM:when=2+7",
                  "pread64,preadv2:error=EIO:when=1+3", "recvfrom:error=ECONNRESET:when=3+7",
                  "sendmsg:error=EPIPE:when=2+5", "sendfile:error=EIO:when=1+3", "accept4:error=ECONNABORTED:when=1+3"]
    with self.serving() as (site, server, place):
      baseline = descriptors(server)
      with Strace(server.pid, injections, place + "/strace") as strace:
        self.assertTrue(strace.attached(), strace.said)
        for turn in range(300):
          self.assertEqual(Outcome(site, server.port, SHORT_PATIENCE).wrong, [])
          if turn == 100:
            before = server.status("RssAnon")
      grown = server.status("RssAnon") - before
      print(f"memory: {strace.injected()} failed, {grown} bytes more", flush=True)
      self.assertLess(grown, 1 << 20)
      self.settle(site, server)
      self.expect_baseline(server, baseline)

  def test_log(self):
    """The log cannot be written; requests are answered all the same, and the end is not held up."""
    for error in ("ENOSPC", "EIO", "EDQUOT", "EINTR"):
      with self.subTest(error), self.serving() as (site, server, place):
        # Of the log alone: a runtime wakes its threads with the same call.
        with Strace(server.pid, [f"write,writev:error={error}:when=1+2"], place + "/strace", "-P", place + "/log"):
          self.settle(site, server)
        # Of what failed lines are lost, but not of what follows.
        before = os.path.getsize(place + "/log")
        self.settle(site, server)
        self.assertTrue(eventually(lambda: os.path.getsize(place + "/log") > before))


for names, (all_errors, more_flags) in FAULTS.items():
  if not (SANITIZED and names in OF_MEMORY):
    label = re.sub(r"\W+", "_", names + "".join(more_flags)).strip("_")
    setattr(Faults, "test_" + label,
            lambda self, n=names, e=all_errors, f=more_flags: self.run_faults(n, e, f))

if __name__ == "__main__":
  unittest.main(argv=[sys.argv[0], *sys.argv[3:]], verbosity=2)
