"""slapd: a thread pool over the mdb backend; entries added and searched by several of its own clients at once."""

import os
import signal
import socket

import http_clients
import support

CONFIGURATION = """
include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/inetorgperson.schema
pidfile {directory}/slapd.pid
argsfile {directory}/slapd.args
modulepath /usr/lib/ldap
moduleload back_mdb
threads 16
database mdb
maxsize 104857600
suffix "dc=test"
rootdn "cn=admin,dc=test"
rootpw secret
directory {directory}/data
dbnosync
index uid eq
"""
ADMIN = ["-x", "-D", "cn=admin,dc=test", "-w", "secret"]
PEOPLE = 25
# An anonymous bind with an id of 1, and its answer.
BIND = bytes.fromhex("300c020101600702010304008000")
BOUND = bytes.fromhex("300c02010161070a010004000400")


def entry(client, number):
  return (f"dn: uid=u{client}-{number},dc=test\nobjectClass: inetOrgPerson\nuid: u{client}-{number}\n"
          f"cn: Person {number}\nsn: of client {client}\n\n")


def work(url, client):
  """Adds entries, searches for them while others do the same, changes one and deletes one.
  Returns: what the searches found."""
  support.client(["ldapadd", "-H", url, *ADMIN], "".join(entry(client, number) for number in range(PEOPLE)))
  support.client(["ldapmodify", "-H", url, *ADMIN],
                 f"dn: uid=u{client}-1,dc=test\nchangetype: modify\nreplace: cn\ncn: Changed\n\n"
                 f"dn: uid=u{client}-2,dc=test\nchangetype: delete\n\n")
  found = support.client(["ldapsearch", "-H", url, "-x", "-LLL", "-b", "dc=test", f"(sn=of client {client})", "cn"])
  one = support.client(["ldapsearch", "-H", url, "-x", "-LLL", "-b", "dc=test", f"(uid=u{client}-3)", "sn"])
  return [found.count("dn: "), found.count("cn: Changed"), one.split("\n")]


def bound(run, port, count):
  """Opens `count` connections, each bound anonymously."""
  connections = []
  for _ in range(count):
    connection = socket.create_connection((run.address, port), support.GUARD_SECONDS)
    bind(connection)
    connections.append(connection)
  return connections


def bind(connection):
  connection.sendall(BIND)
  answer = connection.recv(len(BOUND), socket.MSG_WAITALL)
  support.check(answer == BOUND, f"a bind was answered {answer.hex()}")


def grow(run, server, port):
  connections = bound(run, port, http_clients.FEW)
  few = server.threads()
  connections += bound(run, port, http_clients.MANY - http_clients.FEW)
  run.check_threads(server, few, server.threads())
  support.at_once(len(connections), lambda index: bind(connections[index]))
  for connection in connections:
    connection.close()


def scenario(run):
  os.mkdir(run.path("data"))
  port = run.free_port()
  url = f"ldap://{run.address}:{port}"
  configuration = run.write("slapd.conf", CONFIGURATION.format(directory=run.directory))
  server = run.start("/usr/sbin/slapd", "-d0", "-h", url, "-f", configuration)
  server.wait_until_listening(run.address, port)
  support.client(["ldapadd", "-H", url, *ADMIN],
                 "dn: dc=test\nobjectClass: dcObject\nobjectClass: organization\ndc: test\no: test\n")
  clients = support.at_once(8, lambda client: work(url, client))
  grow(run, server, port)
  everything = support.client(["ldapsearch", "-H", url, "-x", "-LLL", "-b", "dc=test", "-z", "none", "dn"])
  first = server.stop(signal.SIGTERM)

  again = run.start("/usr/sbin/slapd", "-d0", "-h", url, "-f", configuration)
  again.wait_until_listening(run.address, port)
  kept = support.client(["ldapsearch", "-H", url, "-x", "-LLL", "-b", "dc=test", "-z", "none", "dn"])
  return {
      "clients": clients,
      "entries": everything.count("dn: "),
      "kept": sorted(kept.split("\n")) == sorted(everything.split("\n")),
      "exit": [first, again.stop(signal.SIGINT)],
  }
