"""The programs that are measured: how each is started with room for so many connections, and what it is asked.

Their configurations are those of tests/programs, with the limits raised.
"""

import contextlib
import os
import signal
import socket
import struct
import sys

sys.path[:0] = [os.path.join(os.path.dirname(os.path.abspath(__file__)), where) for where in ("../cost",
                                                                                             "../../tests/programs")]

# pylint: disable=wrong-import-position
import apache_test
import contestants
import libmicrohttpd_test
import mariadb_test
import python_http_test
import stunnel_test
import support
import tinyproxy_test

ROOM = 100  # more than the connections: listening sockets, connections that are being closed, the look at start
PAGE = "/" + contestants.SERVED
BODY = contestants.PATTERN


class Served:
  """A program that was started: how to ask it, and how to stop it.

  A reply begins with `head` and ends with `tail`, which comes nowhere else in it. `hello` is what a client sends first
  where the server has spoken before, and `reconnect` is for a program that ends the connection after each reply.
  """

  def __init__(self, server, port, request, tail, *, head=b"HTTP/1.1 200", hello=None, reconnect=False, tls=False,
               stop=signal.SIGTERM):
    self.server = server
    self.port = port
    self.files = {"request": request, "tail": tail, "head": head}
    if hello is not None:
      self.files["hello"] = hello
    self.flags = (["--reconnect"] if reconnect else []) + (["--tls"] if tls else [])
    self.stop = stop


def get(path):
  return f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()


@contextlib.contextmanager
def pinned(cpu):
  """What is started inside runs on processor `cpu`, or wherever this process may where that is None."""
  before = os.sched_getaffinity(0)
  if cpu is not None:
    os.sched_setaffinity(0, {cpu})
  try:
    yield
  finally:
    os.sched_setaffinity(0, before)


def backend(stack, args):
  """Starts a web server on the client's processor, on kernel threads, not measured. Returns: its port; it has PAGE."""
  site = stack.enter_context(contestants.Site())
  with pinned(args.client_cpu):
    return stack.enter_context(contestants.Server("nginx-no-sendfile", site, args.bin)).port


def python_http(run, stack, connections, args):
  del stack, connections, args
  server, port = python_http_test.start(run)
  with open(run.path("small"), "rb") as file:
    return Served(server, port, get("/small"), file.read(), stop=signal.SIGINT)


def libmicrohttpd(run, stack, connections, args):
  del stack, connections, args
  server, port = libmicrohttpd_test.start(run)
  return Served(server, port, get("/"), b"\r\n\r\nan answer\n")


def tinyproxy(run, stack, connections, args):
  port = run.free_port()
  text = tinyproxy_test.CONFIGURATION.format(address=run.address, port=port)
  configuration = run.write("tinyproxy.conf", text + f"MaxClients {connections + ROOM}\n")
  behind = backend(stack, args)
  server = run.start("/usr/bin/tinyproxy", "-d", "-c", configuration)
  server.wait_until_listening(run.address, port)
  return Served(server, port, get(f"http://127.0.0.1:{behind}{PAGE}"), BODY, reconnect=True)


def stunnel(run, stack, connections, args):
  del connections
  stunnel_test.make_certificate(run)
  port = run.free_port()
  behind = backend(stack, args)
  # The backend is on 127.0.0.1, not on the run's own address.
  configuration = run.write("stunnel.conf", stunnel_test.CONFIGURATION.format(
      address=run.address, port=port, backend=behind, directory=run.directory).replace(
          f"connect = {run.address}", "connect = 127.0.0.1"))
  server = run.start("/usr/bin/stunnel4", configuration)
  server.wait_until_listening(run.address, port)
  return Served(server, port, get(PAGE), BODY, tls=True)


def apache(run, stack, connections, args):
  del stack, args
  os.chmod(run.directory, 0o755)
  # Of a file of this second Apache says so in its replies, and of the same file later does not.
  os.utime(run.write("documents/page", BODY.decode()), (0, 0))
  port = run.free_port()
  threads = connections + ROOM
  text = apache_test.CONFIGURATION.format(address=run.address, port=port, second_port=run.free_port(),
                                          directory=run.directory)
  text += (f"ThreadLimit {threads}\nThreadsPerChild {threads}\nMaxRequestWorkers {threads}\n"
           f"MaxSpareThreads {threads}\nListenBacklog 4096\n")
  if os.geteuid() == 0:
    text += "User www-data\nGroup www-data\n"
  server = run.start("/usr/sbin/apache2", "-f", run.write("apache.conf", text), "-DFOREGROUND")
  server.wait_until_listening(run.address, port)
  return Served(server, port, get("/page"), BODY)


def memcached(run, stack, connections, args):
  del stack, args
  port = run.free_port()
  server = run.start("/usr/bin/memcached", "-u", "root", "-l", run.address, "-p", str(port), "-t", "4", "-m", "64",
                     "-c", str(connections + ROOM))
  server.wait_until_listening(run.address, port)
  with socket.create_connection((run.address, port)) as connection:
    connection.sendall(b"set key 0 0 %d\r\n%s\r\n" % (len(BODY), BODY))
    support.check(connection.recv(100) == b"STORED\r\n", "memcached does not store")
  return Served(server, port, b"get key\r\n", b"VALUE key 0 %d\r\n%s\r\nEND\r\n" % (len(BODY), BODY), head=b"")


def sql(statement):
  query = b"\x03" + statement
  return struct.pack("<I", len(query)) + query


# Protocol 4.1, secure connection, plugin names; the user `bench` without a password.
SQL_HELLO_BODY = struct.pack("<IIB23x", 0x88200, 1 << 24, 33) + b"bench\0\0mysql_native_password\0"
SQL_END = b"\xfe\0\0\x02\0"  # ends the columns, then the rows
SQL_HELLO = struct.pack("<I", len(SQL_HELLO_BODY) | 1 << 24) + SQL_HELLO_BODY


def ask_mariadb(run, port, request):
  """Returns: the reply, which is the same each time."""
  with socket.create_connection((run.address, port), support.GUARD_SECONDS) as connection:
    connection.recv(65536)
    connection.sendall(SQL_HELLO)
    welcome = connection.recv(65536)
    support.check(welcome[4:5] == b"\0", f"mariadbd refuses: {welcome}")
    connection.sendall(request)
    reply = b""
    while BODY not in reply or not reply.endswith(SQL_END):
      part = connection.recv(65536)
      support.check(part and len(reply) < 2 * len(BODY), f"mariadbd answers {reply}")
      reply += part
    return reply


def mariadb(run, stack, connections, args):
  del stack, args
  mariadb_test.install(run)
  started = mariadb_test.Mariadb(run, f"--max-connections={connections + ROOM}")
  started.query("create user bench; create database test; grant all on test.* to bench;"
                "create table test.rows (number int primary key, text text) engine=innodb;" +
                "".join(f"insert into test.rows values ({number}, '{BODY.decode()}');" for number in range(100)))
  request = sql(b"select text from test.rows where number = 50")
  return Served(started.server, started.port, request, ask_mariadb(run, started.port, request), head=b"",
                hello=SQL_HELLO)


# In the order of the table. An item is a request, or a statement with MariaDB.
SUBJECTS = {"python_http": python_http, "libmicrohttpd": libmicrohttpd, "tinyproxy": tinyproxy, "stunnel": stunnel,
            "apache": apache, "mariadb": mariadb, "memcached": memcached}
