"""MariaDB with InnoDB: several of its own clients at once, a clean restart, and the data still there."""

import os
import signal
import subprocess

import http_clients
import support

CLIENTS = 8
ROWS = 40


def install(run):
  """Makes the system tables, with Debian's own script, on kernel threads."""
  # A directory of its own for temporary tables: a mariadbd that starts deletes those it finds, also another's.
  os.makedirs(run.path("temporary"), exist_ok=True)
  support.client(["/usr/bin/mariadb-install-db", "--no-defaults", "--basedir=/usr", f"--datadir={run.path('data')}",
                  f"--tmpdir={run.path('temporary')}",
                  "--auth-root-authentication-method=normal", "--skip-test-db", "--skip-name-resolve", *as_root()])


def as_root():
  return ["--user=root"] if os.geteuid() == 0 else []


class Mariadb:
  """One mariadbd on the run's data directory, with more options."""

  def __init__(self, run, *options):
    self.port = run.free_port()
    self.run = run
    self.server = run.start(
        "/usr/sbin/mariadbd", "--no-defaults", f"--datadir={run.path('data')}", f"--bind-address={run.address}",
        f"--port={self.port}", f"--socket={run.path('socket')}", f"--pid-file={run.path('pid')}",
        "--skip-name-resolve", "--innodb-buffer-pool-size=32M", "--innodb-log-file-size=16M", "--max-connections=200",
        "--thread-handling=one-thread-per-connection", *options, *as_root())
    self.server.wait_until_listening(run.path("socket"))

  def command(self):
    return ["/usr/bin/mariadb", "--no-defaults", "--protocol=socket", f"--socket={self.run.path('socket')}",
            "--user=root", "--batch", "--skip-column-names", "--unbuffered"]

  def query(self, text):
    return support.client(self.command(), text)


class Session:
  """A client program that stays connected and is asked a question at a time."""

  def __init__(self, mariadb):
    self.process = subprocess.Popen(mariadb.command(), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                    env=support.plain_environment(), text=True)

  def ask(self, query):
    self.process.stdin.write(query + ";\n")
    self.process.stdin.flush()
    return self.process.stdout.readline().strip()

  def close(self):
    self.process.stdin.close()
    self.process.stdout.close()
    support.check(self.process.wait(support.GUARD_SECONDS) == 0, "a client failed")


def work(mariadb, client):
  """Inserts rows, one transaction each, and updates one row that all clients share. Returns: what this client reads."""
  statements = []
  for number in range(ROWS):
    statements.append(f"begin; insert into test.rows values ({client}, {number}, repeat('x', {number * 50}));"
                      "update test.shared set n = n + 1; commit;")
  statements.append(f"select count(*), sum(length(text)) from test.rows where client = {client};")
  return mariadb.query("\n".join(statements)).split()


def load(mariadb):
  """Makes the tables and has clients fill them at once. Returns: what these clients read."""
  mariadb.query("create database test; create table test.rows (client int, number int, text text, "
                "primary key (client, number)) engine=innodb; create table test.shared (n int) engine=innodb;"
                "insert into test.shared values (0);")
  return support.at_once(CLIENTS, lambda client: work(mariadb, client))


def grow(run, mariadb):
  """Checks the kernel threads with few and with many clients connected. Returns: what these were answered."""
  sessions = []
  try:
    sessions += [Session(mariadb) for _ in range(http_clients.FEW)]
    answers = [session.ask("select count(*) from test.rows") for session in sessions]
    few = mariadb.server.threads()
    sessions += [Session(mariadb) for _ in range(http_clients.MANY - http_clients.FEW)]
    answers += [session.ask("select count(*) from test.rows") for session in sessions]
    run.check_threads(mariadb.server, few, mariadb.server.threads(), at_least=40)
  finally:
    for session in sessions:
      session.close()
  return sorted(set(answers))


def scenario(run):
  install(run)
  mariadb = Mariadb(run)
  clients = load(mariadb)
  held = grow(run, mariadb)
  first = mariadb.server.stop(signal.SIGTERM)

  again = Mariadb(run)
  kept = again.query("select count(*), sum(length(text)) from test.rows; select n from test.shared;"
                     "check table test.rows;").split()
  last = again.server.stop(signal.SIGTERM)
  return {"clients": clients, "held": held, "kept": kept, "exit": [first, last],
          "recovered": [server.said().count("crash recovery") for server in run.servers],
          "stopped": [server.said().count("Shutdown complete") for server in run.servers]}
