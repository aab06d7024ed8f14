"""A Knot that runs for a test in Python, and a client that reads its replies strictly."""

import contextlib
import ctypes
import os
import re
import resource
import signal
import socket
import struct
import subprocess
import tempfile
import time

PATIENCE = 30  # seconds; only guards against a hang

CAP_SYS_RESOURCE = 24
PR_CAPBSET_DROP = 24


def eventually(condition, patience=PATIENCE):
  """Waits until `condition` holds. Returns: whether it does."""
  end = time.monotonic() + patience
  while not condition():
    if time.monotonic() > end:
      return False
    time.sleep(0.01)
  return True


def pattern(size, seed):
  """Returns: `size` bytes that differ from place to place."""
  line = b"".join(b"%08x%04x" % (i, seed) for i in range(4096))
  return (line * (size // len(line) + 1))[:size]


class Server:
  """A running Knot. `limit` is its limit of open files, which it cannot raise; `environment` is added to its own."""

  def __init__(self, binary, root, *flags, limit=None, environment=None):
    def before_exec():
      if limit:
        ctypes.CDLL(None).prctl(PR_CAPBSET_DROP, CAP_SYS_RESOURCE, 0, 0, 0)
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
    self.errors = tempfile.TemporaryFile()
    self.process = subprocess.Popen([binary, *flags, "--listen=127.0.0.1:0", root], stdout=subprocess.PIPE,
                                    stderr=self.errors, text=True, preexec_fn=before_exec,
                                    env={**os.environ, **(environment or {})})
    self.said = self.process.stdout.readline()
    found = re.search(r"http://127.0.0.1:(\d+)/", self.said)
    if not found:
      raise RuntimeError(f"Knot does not start: {self.error()}")
    self.port = int(found[1])

  @property
  def pid(self):
    return self.process.pid

  def lives(self):
    return self.process.poll() is None

  def descriptors(self):
    return len(os.listdir(f"/proc/{self.pid}/fd"))

  def status(self, field):
    """Returns: a number of /proc/PID/status; of memory in bytes."""
    with open(f"/proc/{self.pid}/status", encoding="ascii") as file:
      value = re.search(rf"^{field}:\s+(\d+)( kB)?$", file.read(), re.MULTILINE)
    return int(value[1]) * (1024 if value[2] else 1)

  def error(self):
    self.errors.seek(0)
    return self.errors.read().decode()

  def stop(self):
    """Returns: the exit status."""
    self.process.send_signal(signal.SIGTERM)
    return self.process.wait(PATIENCE)

  def __enter__(self):
    return self

  def __exit__(self, *_):
    if self.lives():
      self.process.kill()
    self.process.wait()
    self.process.stdout.close()
    self.errors.close()


class NoReply(Exception):
  """The connection ended, or nothing came for too long, before a whole reply; `reply` is the part that came."""

  def __init__(self, why, reply=None):
    super().__init__(str(why))
    self.timed_out = why.timed_out if isinstance(why, NoReply) else isinstance(why, TimeoutError)
    self.reply = reply


class Reply:
  """What came: `status`, `fields` with names in lower case, `body`."""

  def __init__(self, head):
    lines = head.decode("latin-1").split("\r\n")
    match = re.fullmatch(r"HTTP/1\.1 (\d{3}) [ -~]+", lines[0])
    if not match:
      raise AssertionError(f"not a reply: {head[:200]!r}")
    self.status = int(match[1])
    self.fields = dict((name.lower(), value) for name, value in (line.split(": ", 1) for line in lines[1:]))
    self.body = b""


class Client:
  """One connection."""

  def __init__(self, port, patience=PATIENCE, receive_buffer=None):
    self.socket = socket.socket()
    self.socket.settimeout(patience)
    if receive_buffer:
      self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    self.received = b""
    try:
      self.socket.connect(("127.0.0.1", port))
    except OSError as error:
      self.socket.close()
      raise NoReply(error) from error

  def send(self, data):
    try:
      self.socket.sendall(data)
    except OSError as error:
      raise NoReply(error) from error

  def _fill(self):
    try:
      part = self.socket.recv(1 << 16)
    except OSError as error:
      raise NoReply(error) from error
    if not part:
      raise NoReply("the connection ended")
    self.received += part

  def read(self, head_only=False):
    """Reads one reply. Raises: NoReply."""
    while b"\r\n\r\n" not in self.received:
      self._fill()
    head, self.received = self.received.split(b"\r\n\r\n", 1)
    reply = Reply(head)
    if head_only or reply.status in (204, 304):
      return reply
    length = int(reply.fields["content-length"])
    try:
      while len(self.received) < length:
        self._fill()
    except NoReply as ended:
      reply.body = self.received
      raise NoReply(ended, reply) from ended
    reply.body, self.received = self.received[:length], self.received[length:]
    return reply

  def get(self, target, fields=""):
    self.send(f"GET {target} HTTP/1.1\r\nHost: h\r\n{fields}\r\n".encode())
    return self.read()

  def reset(self):
    """Leaves in the rudest way there is."""
    self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    self.close()

  def close(self):
    self.socket.close()

  def __enter__(self):
    return self

  def __exit__(self, *_):
    self.close()


def flags_of(binary):
  """Returns: the names of the flags that a Knot has."""
  text = subprocess.run([binary, "--help"], capture_output=True, text=True, check=True).stdout
  return set(re.findall(r"^  --(\w+)", text, re.MULTILINE))


@contextlib.contextmanager
def directory():
  """A directory of one's own, as a path without symbolic links."""
  with tempfile.TemporaryDirectory() as name:
    yield os.path.realpath(name)
