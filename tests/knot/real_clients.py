#!/usr/bin/env python3
"""Programs that people use as clients and proxies get from Knot what they ask for.

usage: real_clients.py KNOT [UNITTEST ARGUMENTS]

Each program is Debian's; one that is not installed fails its tests. Only where Knot has no TLS are the tests of it left
out.
"""

import contextlib
import filecmp
import http.client
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest

KNOT = sys.argv[1]
PATIENCE = 60  # seconds; only guards against a hang
HAS_TLS = "\n  --tls " in subprocess.run([KNOT, "--help"], capture_output=True, text=True, check=True).stdout
BIG = random.Random(1).randbytes(3_000_000)
TEXT = b"a line of text, and the same over and over again\n" * 1000


def write(path, data):
  os.makedirs(os.path.dirname(path), exist_ok=True)
  with open(path, "wb") as file:
    file.write(data)
  os.utime(path, (784111777, 784111777))


def read(path):
  with open(path, "rb") as file:
    return file.read()


def run(*command, expect=0, **keywords):
  """Runs a program. Returns: what it wrote, both streams together unless `stdout` is given."""
  done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=PATIENCE, check=False,
                        env={**os.environ, "LC_ALL": "C.UTF-8"}, **keywords)
  if done.returncode != expect:
    raise AssertionError(f"{' '.join(command)}: exit {done.returncode}\n{done.stdout.decode(errors='replace')}")
  return done.stdout


def curl(*arguments, **keywords):
  return run("curl", "--silent", "--show-error", *arguments, **keywords)


class Knot:
  """A running server."""

  def __init__(self, root, *flags, port=0, scheme=""):
    self.errors = tempfile.TemporaryFile()
    self.process = subprocess.Popen([KNOT, f"--listen={scheme}127.0.0.1:{port}", *flags, root], stdout=subprocess.PIPE,
                                    stderr=self.errors, text=True)
    said = self.process.stdout.readline()
    found = re.search(r"https?://127\.0\.0\.1:(\d+)/", said)
    if not found:
      raise AssertionError(f"no Knot: {said}{self.stop()}")
    self.port = int(found[1])
    self.url = f"http://127.0.0.1:{self.port}"

  def stop(self):
    """Returns: what it wrote to standard error, its counters with --stats."""
    if self.errors.closed:
      return ""
    if self.process.poll() is None:
      self.process.send_signal(signal.SIGTERM)
    status = self.process.wait(PATIENCE)
    self.errors.seek(0)
    said = self.errors.read().decode()
    self.errors.close()
    self.process.stdout.close()
    if status != 0:
      raise AssertionError(f"Knot: exit {status}: {said}")
    return said


class ClientTest(unittest.TestCase):
  """A directory to serve, and one to put things into."""

  def setUp(self):
    directory = tempfile.TemporaryDirectory()
    self.addCleanup(directory.cleanup)
    self.root = os.path.join(directory.name, "root")
    self.out = os.path.join(directory.name, "out")
    os.mkdir(self.out)
    write(f"{self.root}/index.html", b"<p>index</p>\n")
    write(f"{self.root}/file.txt", b"contents\n")
    write(f"{self.root}/text.txt", TEXT)
    write(f"{self.root}/big.bin", BIG)
    write(f"{self.root}/sub/index.html", b"<p>sub</p>\n")

  def serve(self, *flags, **keywords):
    knot = Knot(self.root, *flags, **keywords)
    self.addCleanup(knot.stop)
    return knot

  def path(self, name):
    return os.path.join(self.out, name)


class Curl(ClientTest):

  def test_gets_the_same_bytes_by_both_versions(self):
    url = self.serve().url
    for version in ("--http1.0", "--http1.1"):
      self.assertEqual(curl(version, f"{url}/big.bin"), BIG)
      self.assertEqual(curl(version, "--write-out", "%{http_version}", f"{url}/file.txt"), b"contents\n1.1")

  def test_keeps_its_connection(self):
    url = self.serve().url
    names = ("file.txt", "none", "big.bin", "sub/", "text.txt")
    arguments = [part for name in names for part in ("--output", "/dev/null", f"{url}/{name}")]
    self.assertEqual(curl("--write-out", "%{num_connects}", *arguments), b"10000")
    self.assertEqual(curl("--head", "--write-out", "%{num_connects}", *arguments), b"10000")

  def test_sees_the_same_head_by_head(self):
    url = self.serve().url
    with_head = curl("--head", f"{url}/big.bin")
    with_get = curl("--dump-header", "-", "--output", "/dev/null", f"{url}/big.bin")
    settled = [re.sub(rb"Date: [^\r]*|W/", b"", head) for head in (with_head, with_get)]
    self.assertEqual(settled[0], settled[1])

  def test_gets_parts(self):
    for send in ("auto", "cache", "inline"):
      url = self.serve(f"--send={send}").url
      self.assertEqual(curl("--range", "1000000-1999999", f"{url}/big.bin"), BIG[1000000:2000000])
      self.assertEqual(curl("--range", "-10", f"{url}/big.bin"), BIG[-10:])
      self.assertEqual(curl("--range", "2999990-", f"{url}/big.bin"), BIG[-10:])
      several = curl("--range", "0-9,1000000-1000009", f"{url}/big.bin")
      self.assertIn(BIG[:10], several)
      self.assertIn(BIG[1000000:1000010], several)
      self.assertEqual(curl("--range", "3000000-", "--output", "/dev/null", "--write-out", "%{http_code}",
                            f"{url}/big.bin"), b"416")

  def test_resumes(self):
    url = self.serve().url
    for have in (0, 1, 1_500_000, 2_999_999):
      with open(self.path("big.bin"), "wb") as file:
        file.write(BIG[:have])
      size = curl("--continue-at", "-", "--output", self.path("big.bin"), "--write-out", "%{size_download}",
                  f"{url}/big.bin")
      self.assertEqual(read(self.path("big.bin")), BIG)
      self.assertEqual(int(size), len(BIG) - have)

  def test_decodes_what_it_accepts(self):
    for coding in ("gzip", "br", "zstd"):
      url = self.serve(f"--compress={coding}").url
      size = curl("--compressed", "--output", self.path("text"), "--write-out", "%{size_download}", f"{url}/text.txt")
      self.assertEqual(read(self.path("text")), TEXT)
      self.assertLess(int(size), len(TEXT) // 10, coding)

  def test_decodes_what_lies_beside(self):
    run("gzip", "--keep", f"{self.root}/text.txt")
    url = self.serve("--precompressed=gzip").url
    self.assertEqual(curl("--compressed", f"{url}/text.txt"), TEXT)
    self.assertEqual(curl("--header", "Accept-Encoding: gzip", f"{url}/text.txt"), read(f"{self.root}/text.txt.gz"))

  def test_is_told_what_it_has(self):
    url = self.serve().url
    write(self.path("have"), b"mine")
    code = ("--write-out", "%{http_code}", "--output", self.path("have"))
    self.assertEqual(curl("--time-cond", self.path("have"), *code, f"{url}/file.txt"), b"304")
    self.assertEqual(curl("--time-cond", "Sun, 06 Nov 1994 08:49:36 GMT", *code, f"{url}/file.txt"), b"200")
    self.assertEqual(read(self.path("have")), b"contents\n")

  def test_compares_entity_tags(self):
    url = self.serve().url
    tag = self.path("tag")
    curl("--etag-save", tag, f"{url}/file.txt")
    code = ("--write-out", "%{http_code}", "--output", "/dev/null")
    # What changed a moment ago has another tag later.
    for _ in range(PATIENCE * 10):
      if curl("--etag-compare", tag, "--etag-save", tag, *code, f"{url}/file.txt") == b"304":
        break
      time.sleep(0.1)
    else:
      self.fail("never not modified")
    write(f"{self.root}/file.txt", b"other contents\n")
    for _ in range(PATIENCE * 10):
      if curl("--etag-compare", tag, *code, f"{url}/file.txt") == b"200":
        break
      time.sleep(0.1)
    else:
      self.fail("a change is never seen")

  def test_follows_to_a_directory(self):
    url = self.serve().url
    self.assertEqual(curl("--location", f"{url}/sub?a=b", "--write-out", "%{url_effective}"),
                     f"<p>sub</p>\n{url}/sub/?a=b".encode())

  def test_gets_many_at_once(self):
    url = self.serve("--threads=20").url
    for number in range(100):
      write(f"{self.root}/many/{number}", str(number).encode() * 1000)
    curl("--parallel", "--parallel-max", "10", "--output", self.path("#1"), f"{url}/many/[0-99]")
    _, differ, missing = filecmp.cmpfiles(f"{self.root}/many", self.out, map(str, range(100)), shallow=False)
    self.assertEqual((differ, missing), ([], []))

  def test_cannot_change_anything(self):
    url = self.serve().url
    code = ("--write-out", "%{http_code}", "--output", "/dev/null")
    self.assertEqual(curl("--data", "a=b", *code, f"{url}/file.txt"), b"405")
    self.assertEqual(curl("--upload-file", f"{self.root}/file.txt", *code, f"{url}/new.txt"), b"405")
    self.assertEqual(curl("--request", "DELETE", *code, f"{url}/file.txt"), b"405")
    # It asks first whether so much may come.
    self.assertEqual(curl("--data-binary", f"@{self.root}/big.bin", *code, f"{url}/file.txt"), b"413")
    self.assertEqual(sorted(os.listdir(self.root)), ["big.bin", "file.txt", "index.html", "sub", "text.txt"])

  def test_gets_nothing_from_outside(self):
    url = self.serve().url
    for target in ("/../../../../etc/passwd", "/%2e%2e/%2e%2e/%2e%2e/%2e%2e/etc/passwd", "/..%2f..%2f..%2fetc/passwd"):
      said = curl("--path-as-is", "--write-out", "%{http_code}", f"{url}{target}")
      self.assertIn(said[-3:], (b"400", b"403", b"404"))
      self.assertNotIn(b"root:", said)


class Wget(ClientTest):

  def make_tree(self):
    """Pages that link to each other, to pictures and to names that need encoding."""
    shutil.rmtree(self.root)
    pick = random.Random(3)
    links = []
    for number in range(40):
      directory = f"{'deep/' * (number % 4)}d{number % 5}"
      links.append(f"{directory}/picture {number}é.png")
      write(f"{self.root}/{links[-1]}", pick.randbytes(pick.randrange(200_000)))
      links.append(f"{directory}/page{number}.html")
    for number, link in enumerate(links):
      if link.endswith(".html"):
        up = "../" * link.count("/")
        page = "".join(f'<a href="{up}{other}">x</a>\n' for other in links[number - 1:number + 3])
        write(f"{self.root}/{link}", page.encode())
    write(f"{self.root}/index.html", "".join(f'<a href="{link}">x</a>\n' for link in links).encode())

  def files(self, directory):
    return {os.path.relpath(os.path.join(parent, name), directory): read(os.path.join(parent, name))
            for parent, _, names in os.walk(directory) for name in names}

  def mirror(self, url):
    return run("wget", "--mirror", "--no-host-directories", "--execute=robots=off", "--restrict-file-names=nocontrol",
               f"--directory-prefix={self.out}", url).decode(errors="replace")

  def test_mirrors_a_tree(self):
    self.make_tree()
    url = self.serve("--compress=gzip").url
    self.mirror(url)
    original, copy = self.files(self.root), self.files(self.out)
    self.assertEqual(sorted(copy), sorted(original))
    self.assertEqual([name for name in original if copy[name] != original[name]], [])
    os.remove(self.path("index.html"))  # of what it has, wget follows no links
    again = self.mirror(url)
    self.assertEqual(again.count("not modified on server"), len(original) - 1, again[:2000])
    self.assertEqual(again.count(" saved ["), 1)

  def test_resumes(self):
    url = self.serve().url
    with open(self.path("big.bin"), "wb") as file:
      file.write(BIG[:1_000_000])
    run("wget", "--continue", f"--directory-prefix={self.out}", f"{url}/big.bin")
    self.assertEqual(read(self.path("big.bin")), BIG)


@unittest.skipUnless(HAS_TLS, "this Knot has no TLS")
class Tls(ClientTest):

  def setUp(self):
    super().setUp()
    key, self.certificate = self.path("key.pem"), self.path("cert.pem")
    run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
        "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-keyout", key, "-out", self.certificate)
    knot = self.serve(f"--tls={self.certificate},{key}", "--threads=60", scheme="https://")
    self.port = knot.port
    self.url = f"https://localhost:{knot.port}"

  def curl(self, *arguments, **keywords):
    return curl("--cacert", self.certificate, *arguments, **keywords)

  def s_client(self, *arguments, request="GET /file.txt HTTP/1.0\r\n\r\n"):
    return run("openssl", "s_client", "-connect", f"127.0.0.1:{self.port}", "-servername", "localhost", "-CAfile",
               self.certificate, "-verify_return_error", "-ign_eof", *arguments, input=request.encode()).decode()

  def test_curl_by_both_versions(self):
    for version in ("1.2", "1.3"):
      flags = (f"--tlsv{version}", "--tls-max", version)
      self.assertEqual(self.curl(*flags, f"{self.url}/big.bin"), BIG)
      self.assertEqual(self.curl(*flags, "--range", "1000000-1999999", f"{self.url}/big.bin"), BIG[1000000:2000000])
      # It offers HTTP/2 first.
      self.assertEqual(self.curl(*flags, "--http2", "--write-out", "%{http_version}", f"{self.url}/file.txt"),
                       b"contents\n1.1")

  def test_curl_is_refused_by_older_versions(self):
    self.curl("--tlsv1.0", "--tls-max", "1.1", "--ciphers", "DEFAULT@SECLEVEL=0", f"{self.url}/file.txt", expect=35)

  def test_curl_keeps_its_connection(self):
    arguments = [part for name in ("file.txt", "none", "big.bin", "sub/") for part in
                 ("--output", "/dev/null", f"{self.url}/{name}")]
    self.assertEqual(self.curl("--write-out", "%{num_connects}", *arguments), b"1000")

  def test_curl_resumes(self):
    with open(self.path("big.bin"), "wb") as file:
      file.write(BIG[:1_500_000])
    self.curl("--continue-at", "-", "--output", self.path("big.bin"), f"{self.url}/big.bin")
    self.assertEqual(read(self.path("big.bin")), BIG)

  def test_wget(self):
    run("wget", f"--ca-certificate={self.certificate}", f"--directory-prefix={self.out}", f"{self.url}/big.bin")
    self.assertEqual(read(self.path("big.bin")), BIG)

  def test_s_client(self):
    for version in ("-tls1_2", "-tls1_3"):
      said = self.s_client(version, "-alpn", "http/1.1")
      self.assertIn("Verify return code: 0 (ok)", said)
      self.assertIn("ALPN protocol: http/1.1", said)
      self.assertIn("HTTP/1.1 200 OK", said)
      self.assertIn("\r\n\r\ncontents\n", said)

  def test_s_client_resumes_its_session(self):
    session = self.path("session")
    for version in ("-tls1_2", "-tls1_3"):
      self.assertIn("New, TLSv1.", self.s_client(version, "-sess_out", session))
      said = self.s_client(version, "-sess_in", session)
      self.assertIn("Reused, TLSv1.", said)
      self.assertIn("\r\n\r\ncontents\n", said)

  def test_load(self):
    # Of 127.0.0.1, which the certificate does not name: these do not look.
    url = f"https://127.0.0.1:{self.port}"
    said = run("h2load", "--h1", "--requests=1000", "--clients=20", f"{url}/file.txt").decode()
    self.assertIn(" 1000 succeeded, 0 failed, 0 errored, 0 timeout", said)
    said = run("wrk", "--threads=1", "--connections=20", "--duration=1s", f"{url}/big.bin").decode()
    self.assertRegex(said, r"\n +[1-9]\d* requests in ")
    self.assertNotIn("Socket errors", said)
    said = run("ab", "-k", "-q", "-n", "200", "-c", "10", f"{url}/big.bin").decode()
    self.assertRegex(said, r"Complete requests: +200\n")
    self.assertRegex(said, r"Failed requests: +0\n")


class Load(ClientTest):

  def test_ab(self):
    url = self.serve("--threads=50").url
    for flags in (["-k"], []):
      for name in ("file.txt", "big.bin"):
        said = run("ab", *flags, "-q", "-n", "500", "-c", "20", f"{url}/{name}").decode()
        self.assertRegex(said, r"Complete requests: +500\n")
        self.assertRegex(said, r"Failed requests: +0\n")
        self.assertNotIn("Non-2xx", said)
        kept = re.search(r"Keep-Alive requests: +(\d+)", said)
        self.assertEqual(int(kept[1]) if kept else 0, 500 if flags else 0)

  def test_wrk(self):
    url = self.serve("--threads=60").url
    for name in ("file.txt", "big.bin"):
      said = run("wrk", "--threads=1", "--connections=50", "--duration=1s", f"{url}/{name}").decode()
      self.assertRegex(said, r"\n +[1-9]\d* requests in ")
      self.assertNotIn("Socket errors", said)
      self.assertNotIn("Non-2xx", said)

  def test_h2load_by_http_1(self):
    url = self.serve("--threads=50").url
    for name, count in (("file.txt", 5000), ("big.bin", 200)):
      for at_once in ("1", "10"):  # one after the other, and pipelined
        said = run("h2load", "--h1", f"--requests={count}", "--clients=20", f"--max-concurrent-streams={at_once}",
                   f"{url}/{name}").decode()
        self.assertIn(f" {count} succeeded, 0 failed, 0 errored, 0 timeout", said)
        # h2load counts a status now and then twice, though the bytes are those of so many replies.
        codes = re.search(r"status codes: (\d+) 2xx, 0 3xx, 0 4xx, 0 5xx", said)
        self.assertGreaterEqual(int(codes[1]) if codes else 0, count, said)


class Haproxy(ClientTest):
  """HAProxy in front of three Knots.

  A Knot that stops closes the connections that wait, and a request may be on its way on one of them. Nobody has begun to
  answer it, so HAProxy may ask again, and another server: `retry-on`, `option redispatch`.
  """

  CONFIGURATION = """
global
  maxconn 200
  stats socket {directory}/haproxy.sock mode 600 level user
defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
  timeout check 10s
  retries 5
  option redispatch 1
  retry-on all-retryable-errors
  http-reuse always
  default-server check inter 50ms fall 2 rise 1
frontend web
  bind fd@{listener}
  default_backend knots
backend knots
  balance roundrobin
  option httpchk HEAD /
{servers}
"""

  def start_proxy(self, ports):
    """Returns: the port of a HAProxy in front of these."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=200)
    servers = "\n".join(f"  server knot{port} 127.0.0.1:{port}" for port in ports)
    configuration = self.path("haproxy.cfg")
    with open(configuration, "w", encoding="ascii") as file:
      file.write(self.CONFIGURATION.format(listener=listener.fileno(), directory=self.out, servers=servers))
    log = open(self.path("haproxy.log"), "wb")
    process = subprocess.Popen(["/usr/sbin/haproxy", "-db", "-f", configuration], pass_fds=[listener.fileno()],
                               stdout=log, stderr=log)
    log.close()

    def stop():
      process.kill()
      process.wait()

    self.addCleanup(stop)
    port = listener.getsockname()[1]
    listener.close()
    return port

  def wait_until_all_are_up(self):
    """Waits until HAProxy has seen that all three serve: whoever replaces the next one before is left with none."""
    end = time.monotonic() + PATIENCE
    while True:
      with socket.socket(socket.AF_UNIX) as control, contextlib.suppress(OSError):
        control.connect(self.path("haproxy.sock"))
        control.sendall(b"show stat\n")
        said = b"".join(iter(lambda: control.recv(65536), b""))
        if len(re.findall(rb"\nknots,knot\d+,[^\n]*,UP,", said)) == 3:
          return
      self.assertLess(time.monotonic(), end, "never")
      time.sleep(0.01)

  def test_no_request_fails_while_each_knot_is_replaced(self):
    knots = [Knot(self.root, "--threads=100", "--stats") for _ in range(3)]
    self.addCleanup(lambda: [knot.stop() for knot in knots])
    port = self.start_proxy([knot.port for knot in knots])
    over = threading.Event()
    failures, counts = [], [0] * 8

    def load(number):
      connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
      names = (("file.txt", b"contents\n"), ("text.txt", TEXT), ("big.bin", BIG))
      while not over.is_set() and not failures:
        name, wanted = names[0 if counts[number] % 20 else counts[number] // 20 % 3]
        try:
          connection.request("GET", f"/{name}")
          reply = connection.getresponse()
          body = reply.read()
        except (OSError, http.client.HTTPException) as error:
          failures.append(f"{name}: {error!r}")
          return
        if reply.status != 200 or body != wanted:
          failures.append(f"{name}: {reply.status}, {len(body)} bytes")
        counts[number] += 1
      connection.close()

    threads = [threading.Thread(target=load, args=(number,)) for number in range(len(counts))]
    for thread in threads:
      thread.start()

    def more_requests(number):
      """Waits until so many more were answered."""
      start, end = sum(counts), time.monotonic() + PATIENCE
      while sum(counts) < start + number and not failures:
        self.assertLess(time.monotonic(), end, read(self.path("haproxy.log")))
        time.sleep(0.01)

    try:
      for _ in range(2):
        for number, knot in enumerate(knots):
          self.wait_until_all_are_up()
          more_requests(300)
          knot.stop()
          more_requests(300)  # by the others
          knots[number] = Knot(self.root, "--threads=100", "--stats", port=knot.port)
      more_requests(1000)
    finally:
      over.set()
      for thread in threads:
        thread.join()
    self.assertEqual(failures, [])
    for knot in knots:
      sent = re.search(r"body_bytes=(\d+)", knot.stop())  # checks are by HEAD, and have none
      self.assertGreater(int(sent[1]), 0, "one got nothing to do after it was replaced")


if __name__ == "__main__":
  unittest.main(argv=[sys.argv[0], *sys.argv[2:]])
