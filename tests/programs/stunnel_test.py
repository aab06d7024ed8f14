"""stunnel: TLS in front of an echo server, a thread for each connection."""

import random
import signal
import socket
import ssl

import support
import tcp_backend

CONFIGURATION = """
foreground = yes
pid =
debug = warning
[echo]
accept = {address}:{port}
connect = {address}:{backend}
cert = {directory}/certificate.pem
key = {directory}/key.pem
"""


def make_certificate(run):
  """Returns: a client's view of TLS that trusts nothing but the certificate made here."""
  support.client(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                  "-days", "2", "-subj", "/CN=stunnel.test", "-addext", "subjectAltName=DNS:stunnel.test",
                  "-keyout", run.path("key.pem"), "-out", run.path("certificate.pem")])
  return ssl.create_default_context(cafile=run.path("certificate.pem"))


def connect(run, port, context):
  plain = socket.create_connection((run.address, port), support.GUARD_SECONDS)
  return context.wrap_socket(plain, server_hostname="stunnel.test")


def sessions(run, port, context, index):
  """Returns: whether each of several sessions, one after another, carried what was sent."""
  same = []
  for size in (1, 1000, 300_000):
    payload = random.Random(index).randbytes(size)
    with connect(run, port, context) as connection:
      same.append([tcp_backend.exchange(connection, payload) == payload, connection.version()])
  return same


def scenario(run):
  context = make_certificate(run)
  port = run.free_port()
  with tcp_backend.echo() as backend:
    configuration = run.write("stunnel.conf", CONFIGURATION.format(
        address=run.address, port=port, backend=backend.port, directory=run.directory))
    server = run.start("/usr/bin/stunnel4", configuration)
    server.wait_until_listening(run.address, port)
    return {
        "sessions": support.at_once(8, lambda index: sessions(run, port, context, index)),
        "held": tcp_backend.hold(run, server, lambda: connect(run, port, context), random.Random(4).randbytes(16_000)),
        "exit": server.stop(signal.SIGTERM),
    }
