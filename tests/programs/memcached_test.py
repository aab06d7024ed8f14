"""memcached: four threads on epoll, several clients speaking its text protocol."""

import random
import signal
import socket

import http_clients
import support


class Client:
  """One connection. Commands are sent and answered one at a time."""

  def __init__(self, run, port):
    self.socket = socket.create_connection((run.address, port), support.GUARD_SECONDS)
    self.file = self.socket.makefile("rwb")

  def ask(self, command, data=None):
    """Returns: the first line of the answer."""
    self.file.write(command.encode() + b"\r\n" + (data + b"\r\n" if data is not None else b""))
    self.file.flush()
    return self.file.readline().decode().strip()

  def get(self, key):
    """Returns: the value, or None."""
    head = self.ask(f"get {key}").split()
    if head == ["END"]:
      return None
    value = self.file.read(int(head[3]) + 2)[:-2]
    support.check(self.file.readline() == b"END\r\n", f"no END after {key}")
    return value

  def close(self):
    self.file.close()
    self.socket.close()


def work(run, port, index):
  """Returns: what one client is told, its own keys and a counter that all share."""
  client = Client(run, port)
  told = []
  for number in range(60):
    value = random.Random(number).randbytes(number * 700)
    told.append(client.ask(f"set key-{index}-{number} 0 0 {len(value)}", value))
    told.append(client.get(f"key-{index}-{number}") == value)
    support.check(client.ask("incr shared 1").isdigit(), "incr")
  told.append(client.ask(f"delete key-{index}-0"))
  told.append(client.get(f"key-{index}-0"))
  client.close()
  return support.unlike(told)


def grow(run, server, port):
  held = [Client(run, port) for _ in range(http_clients.FEW)]
  versions = {client.ask("version") for client in held}
  few = server.threads()
  held += [Client(run, port) for _ in range(http_clients.MANY - http_clients.FEW)]
  versions |= {client.ask("version") for client in held}
  run.check_threads(server, few, server.threads())
  for client in held:
    client.close()
  return sorted(versions)


def scenario(run):
  port = run.free_port()
  server = run.start("/usr/bin/memcached", "-u", "root", "-l", run.address, "-p", str(port), "-t", "4", "-m", "64")
  server.wait_until_listening(run.address, port)
  first = Client(run, port)
  first.ask("set shared 0 0 1", b"0")
  return {
      "clients": support.at_once(10, lambda index: work(run, port, index)),
      "shared": first.get("shared").decode(),
      "held": grow(run, server, port),
      "exit": server.stop(signal.SIGTERM),
      "said": server.said(),
  }
