"""Apache with mpm_worker: a parent and one child of 100 threads, and the single process of -X.

Two listening sockets make it take turns at accepting, under a lock that its processes share. As root its child becomes
www-data, as Debian's does.
"""

import os
import random
import re
import signal

import http_clients
import support

CONFIGURATION = """
ServerName apache.test
ServerRoot {directory}
Listen {address}:{port}
Listen {address}:{second_port}
PidFile {directory}/apache.pid
DefaultRuntimeDir {directory}
ErrorLog {directory}/error.log
LogLevel warn
LoadModule mpm_worker_module /usr/lib/apache2/modules/mod_mpm_worker.so
LoadModule authz_core_module /usr/lib/apache2/modules/mod_authz_core.so
LoadModule mime_module /usr/lib/apache2/modules/mod_mime.so
LoadModule dir_module /usr/lib/apache2/modules/mod_dir.so
TypesConfig /etc/mime.types
DocumentRoot {directory}/documents
StartServers 1
ServerLimit 1
ThreadLimit 100
ThreadsPerChild 100
MaxRequestWorkers 100
MinSpareThreads 1
MaxSpareThreads 100
KeepAlive On
KeepAliveTimeout 600
MaxKeepAliveRequests 0
"""
FILES = {"index.html": 200, "page": 20_000, "big": 2_000_000}
PATHS = ["/", "/page", "/big", "/missing"]


def serving(server, port, run):
  """Returns: the process that answers: the parent's child, or with -X the one there is."""
  support.check(http_clients.ask(http_clients.connect(run, port), "/")[0] == 200, "the first request")
  children = server.children()
  return children[0] if children else server


def logged(run):
  """Returns: the number of each message in the error log, which is started anew."""
  with open(run.path("error.log"), "r+", encoding="utf-8") as file:
    numbers = re.findall(r"\bAH\d+(?=:)", file.read())
    file.truncate(0)
  return numbers


def scenario_of(run, flag, stop):
  port = run.free_port()
  second_port = run.free_port()
  text = CONFIGURATION.format(address=run.address, port=port, second_port=second_port, directory=run.directory)
  if os.geteuid() == 0:
    text += "User www-data\nGroup www-data\n"
  configuration = run.write("apache.conf", text)
  server = run.start("/usr/sbin/apache2", "-f", configuration, flag)
  server.wait_until_listening(run.address, port)
  process = serving(server, port, run)
  return {
      "bodies": http_clients.fetch_at_once(run, port, PATHS, clients=8),
      "second port": http_clients.fetch_at_once(run, second_port, PATHS, clients=4),
      "ab": http_clients.ab(run, port, "/page", requests=2000, concurrency=20),
      "held": http_clients.grow(run, process, port, "/"),
      "exit": server.stop(stop),
      "log": logged(run),
  }


def scenario(run):
  os.chmod(run.directory, 0o755)
  for name, size in FILES.items():
    run.write(os.path.join("documents", name), random.Random(name).randbytes(size // 2).hex())
  return {
      "parent and child, graceful": scenario_of(run, "-DFOREGROUND", signal.SIGWINCH),
      "parent and child": scenario_of(run, "-DFOREGROUND", signal.SIGTERM),
      "single process": scenario_of(run, "-X", signal.SIGTERM),
  }
