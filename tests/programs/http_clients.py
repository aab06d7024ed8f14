"""Clients of HTTP servers: keep-alive connections held open, and ab."""

import hashlib
import http.client
import re

import support

FEW = 10
MANY = 60


def digest(body):
  return hashlib.sha256(body).hexdigest()[:16]


def ask(connection, path, method="GET", body=None):
  """Sends one request. Returns: its status and what identifies its body."""
  connection.request(method, path, body=body)
  reply = connection.getresponse()
  content = reply.read()
  return [reply.status, len(content), digest(content)]


def connect(run, port):
  return http.client.HTTPConnection(run.address, port, timeout=support.GUARD_SECONDS)


def fetch_at_once(run, port, paths, clients):
  """Has `clients` keep-alive connections ask for each of `paths` at the same time, each from another one on.
  Returns: what each path answered; it is the same for all."""
  def one(index):
    connection = connect(run, port)
    seen = {path: ask(connection, path) for path in paths[index % len(paths):] + paths[:index % len(paths)]}
    connection.close()
    return seen
  seen = support.at_once(clients, one)
  support.check(all(answers == seen[0] for answers in seen), f"clients were answered differently: {seen}")
  return seen[0]


def hold(run, port, path, count):
  """Opens `count` keep-alive connections. Returns: them, each answered once."""
  connections = [connect(run, port) for _ in range(count)]
  for connection in connections:
    ask(connection, path)
  return connections


def grow(run, process, port, path, at_least=0):
  """Checks the kernel threads of `process` with few and with many connections held open, then has all of them
  answered again. Returns: these answers, without repetitions."""
  connections = hold(run, port, path, FEW)
  few = process.threads()
  connections += hold(run, port, path, MANY - FEW)
  many = process.threads()
  run.check_threads(process, few, many, at_least)
  answers = support.at_once(len(connections), lambda index: ask(connections[index], path))
  for connection in connections:
    connection.close()
  return support.unlike(answers)


def ab(run, port, path, requests=2000, concurrency=16, flags=("-k",)):
  """Puts ab's load on the server. Returns: how many requests it completed, and how many of them failed."""
  said = support.client(["ab", "-q", *flags, f"-n{requests}", f"-c{concurrency}", f"http://{run.address}:{port}{path}"])
  failed = re.search(r"Failed requests:\s+(\d+)", said)
  complete = re.search(r"Complete requests:\s+(\d+)", said)
  other = re.search(r"Non-2xx responses:\s+(\d+)", said)
  support.check(complete and failed, f"ab said: {said}")
  return {"complete": int(complete[1]), "failed": int(failed[1]), "not 2xx": int(other[1]) if other else 0}
