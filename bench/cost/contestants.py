"""The web servers that are compared: how each is configured, started, found ready, and stopped."""

import http.client
import os
import resource
import shutil
import ssl
import subprocess
import sys
import tempfile

sys.path[:0] = [os.path.join(os.path.dirname(os.path.abspath(__file__)), where) for where in ("../common",
                                                                                             "../paper/contestants")]

# pylint: disable=wrong-import-position,unused-import  # others use what is common by this module's name
import debian
import processes
from processes import (ServerError, find_program, free_port, parent_of, process_tree, raise_descriptor_limit,
                       tree_cpu_seconds, tree_memory_bytes)

FILE_COUNT = 1000
SERVED = "page500.html"  # the one file of the thousand that is asked for
PATTERN = bytes(ord("a") + i % 26 for i in range(1024))  # what bench/servers/floor answers, too

# nginx stands twice: with sendfile, as Debian configures it and as suits large files, and without, which is cheaper for
# small ones.
NAMES = ["floor", "knot", "knot-kernel-threads", "nginx", "nginx-no-sendfile", "lighttpd"]
# Those that are measured by TLS, too: of servers that send no file by sendfile then nginx is one, not two.
TLS_NAMES = ["knot", "knot-kernel-threads", "nginx"]


class Site:
  """A temporary directory with the thousand files that are served, and room for servers' own files."""

  def __init__(self):
    self.work = tempfile.mkdtemp(prefix="bobbin-bench-")
    self.root = os.path.join(self.work, "root")
    os.mkdir(self.root)
    for i in range(FILE_COUNT):
      name = f"page{i}.html"
      body = PATTERN if name == SERVED else name.encode().ljust(len(PATTERN), b".")
      with open(os.path.join(self.root, name), "wb") as file:
        file.write(body)

  def __enter__(self):
    return self

  def __exit__(self, *_):
    shutil.rmtree(self.work, ignore_errors=True)

  def certificate(self):
    """Returns the files of a certificate for P-256 and of its key, which are made where there are none."""
    files = [os.path.join(self.work, name) for name in ("cert.pem", "key.pem")]
    if not os.path.exists(files[0]):
      subprocess.run([find_program("openssl"), "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
                      "-nodes", "-subj", "/CN=localhost", "-days", "2", "-out", files[0], "-keyout", files[1]],
                     check=True, capture_output=True)
    return files


class Server(processes.ServerProcess):
  """One running server of those above, verified on entry, too."""

  def __init__(self, name, site, binaries, *, cpu=None, threads=4096, close=False, tls=False, flags=()):
    self._site = site
    self._binaries = binaries
    self._threads = threads
    self._close = close
    self._tls = site.certificate() if tls else None
    self._flags = list(flags)
    self.name = name
    self.port = free_port()
    super().__init__(name, self._arguments(), self.port, os.path.join(site.work, f"{name}.log"), cpu=cpu)

  def _arguments(self):
    descriptors = min(resource.getrlimit(resource.RLIMIT_NOFILE)[0], 65536)
    limits = {"descriptors": descriptors, "connections": min(16384, descriptors * 3 // 4)}
    try:
      if self.name.startswith("nginx"):
        return debian.nginx(self._site.work, self._site.root, self.port, files=2 * FILE_COUNT,
                            sendfile=self.name == "nginx", tls=self._tls, **limits)
      if self.name == "lighttpd":
        limits["connections"] = min(limits["connections"], descriptors // 2)
        return debian.lighttpd(self._site.work, self._site.root, self.port, **limits)
    except (debian.Missing, ValueError) as error:
      raise ServerError(str(error)) from error
    program = os.path.join(self._binaries, self.name)
    if not os.path.exists(program):
      raise ServerError(f"{self.name} is not built ({program})")
    if self.name == "floor":
      return [program, f"--port={self.port}", f"--body_bytes={len(PATTERN)}"] + (["--close"] if self._close else [])
    scheme = "https://" if self._tls else ""
    return [program, self._site.root, f"--listen={scheme}127.0.0.1:{self.port}", f"--threads={self._threads}",
            "--send=auto", "--schedulers=1", "--access_log=off"] + (
                ["--tls=" + ",".join(self._tls)] if self._tls else []) + self._flags

  def _connect(self):
    if self._tls is None:
      return http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
    context = ssl.create_default_context(cafile=self._tls[0])
    context.check_hostname = False
    return http.client.HTTPSConnection("127.0.0.1", self.port, timeout=10, context=context)

  def verify(self):
    try:
      connection = self._connect()
      connection.request("GET", f"/{SERVED}")
      reply = connection.getresponse()
      body = reply.read()
      connection.close()
    except (OSError, http.client.HTTPException) as error:
      self.check_alive()
      raise ServerError(f"{self.name} does not answer: {error!r}: {self.last_words()}") from error
    if reply.status != 200 or body != PATTERN:
      raise ServerError(f"{self.name} answers wrongly: status {reply.status}, {len(body)} bytes")
