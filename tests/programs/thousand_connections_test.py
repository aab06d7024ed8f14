"""A thousand keep-alive connections to one libmicrohttpd server, a thread each, every one answered several times."""

import resource
import signal

import http_clients
import libmicrohttpd_test
import support

CONNECTIONS = 1000
CLIENTS = 8
ROUNDS = 5


def allow_descriptors():
  """Lets this process, and the server it starts, open a descriptor for each connection. Debian's soft limit is 1024."""
  _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
  resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 4 * CONNECTIONS), hard))


def scenario(run):
  allow_descriptors()
  server, port = libmicrohttpd_test.start(run)
  held = http_clients.hold(run, port, "/", http_clients.FEW)
  few = server.threads()
  held += http_clients.hold(run, port, "/", CONNECTIONS - len(held))
  run.check_threads(server, few, server.threads(), at_least=CONNECTIONS - 2 * http_clients.FEW)

  def ask_some(client):
    answers = []
    for number in range(ROUNDS):
      path = "/file" if number == 1 and client == 0 else "/"
      answers += [http_clients.ask(connection, path) for connection in held[client::CLIENTS]]
    return len(answers), support.unlike(answers)

  answers = support.at_once(CLIENTS, ask_some)
  for connection in held[::2]:
    connection.close()
  rest = [http_clients.ask(connection, "/") for connection in held[1::2]]
  # The other half is open when the server is told to stop.
  return {"answers": answers, "rest": [len(rest), rest[0], all(answer == rest[0] for answer in rest)],
          "exit": server.stop(signal.SIGTERM), "said": server.said()}
