"""The servers that are compared: the parameters each is tuned by, its name in legends, and how it is started.

A family is a server in one form, such as Knot with non-blocking sendfile. With values for its parameters it is a
configuration, named as in the paper: knot-nb-15K-25w is Knot, non-blocking, 15,000 threads, 25 workers. Where one
process could not have the descriptors, the last part is the number of processes that share the threads, each with so
many workers: knot-nb-30K-25w-2p.
"""

import dataclasses
import os
from typing import Callable

CONNECTIONS, WORKERS, CACHE = "connections", "workers", "cache_mb"
PROCESSES = "processes"
IDLE_SECONDS = 3600  # an idle connection is the client's to close, as in the configurations of Debian's servers
MOST_PROCESSES = 4  # that the connections of one server are spread over for want of descriptors
# Room in the cache that Knot and the servers of bench/servers have in common, where its size is not what is tuned: for
# all small files of 680 directories. (The servers' own default, 64, would have them load a sixth of the requests' files.)
CACHE_MB = 256
SPARE_DESCRIPTORS = 1200  # of a process, for files that are open, listening sockets, logs
RESIDENT, PRESSURE = "resident", "pressure"
REGIMES = (RESIDENT, PRESSURE)


@dataclasses.dataclass(frozen=True)
class Place:
  """Where a server is to run: the programs, what it serves, its port, room for its own files."""
  bin: str
  root: str
  port: int
  work: str
  descriptors: int
  files: int
  set_mb: int  # size of the file set

  @property
  def listen(self):
    return f"--listen=127.0.0.1:{self.port}"

  def program(self, name):
    return os.path.join(self.bin, name)


@dataclasses.dataclass(frozen=True)
class Family:
  """A server in one form. `grid` has the numbers of workers that are tried first, smallest first;
  `letter` is what the legend writes after the number of workers."""
  name: str
  group: str  # knot, userver, ...: what --only takes for several families
  title: str  # its architecture, in words
  command: Callable[[Place, dict], list]
  program: str = ""  # of ours; "" for a program of Debian
  arch: str = ""  # as Table 1 has it
  sockets: str = "non-block"
  letter: str = ""
  grid: tuple = ()  # of workers; empty: there is nothing to tune but connections
  default: int = 0  # workers where nothing was tuned
  cache: tuple = ()  # sizes of the cache, MiB
  separate: bool = False  # each worker has a descriptor table of its own
  spread: bool = False  # can be started as several processes, which share its connections out
  most: int = 0  # connections that it can be told to hold; 0: as many as descriptors allow
  descriptors: int = 1  # that it wants for each of them
  tuned: bool = False
  kernel_threads: bool = False  # a kernel thread a connection, so the number is kept lower
  holds_files: bool = False  # it keeps the whole file set in memory of its own: no regime of memory pressure
  figure: str = ""  # of the paper's tuning figures

  def fits(self, regime):
    return regime != PRESSURE or not self.holds_files


@dataclasses.dataclass(frozen=True)
class Configuration:
  family: Family
  parameters: tuple  # of (name, value)
  processes: int = 1  # that share its connections out

  def get(self, name, default=0):
    return dict(self.parameters).get(name, default)

  @property
  def name(self):
    parts = [self.family.name]
    if CONNECTIONS in dict(self.parameters):
      parts.append(thousands(self.get(CONNECTIONS)))
    if WORKERS in dict(self.parameters):
      parts.append(f"{self.get(WORKERS)}{self.family.letter}")
    if CACHE in dict(self.parameters):
      parts.append(f"{self.get(CACHE)}MB")
    if self.processes > 1:
      parts.append(f"{self.processes}p")
    return "-".join(parts)

  def command(self, place):
    return self.family.command(place, {**dict(self.parameters), PROCESSES: self.processes})


def thousands(number):
  return f"{number / 1000:g}K" if number >= 1000 else str(number)


def configuration(family, processes=1, **parameters):
  wanted = (CONNECTIONS, WORKERS, CACHE)
  return Configuration(family, tuple((name, parameters[name]) for name in wanted if parameters.get(name)), processes)


def most_connections(family, descriptors, workers=1):
  """What a configuration can hold at all, by the descriptors that a process may have."""
  each = (descriptors - SPARE_DESCRIPTORS) // family.descriptors
  most = max(1, each * (workers if family.separate else MOST_PROCESSES if family.spread else 1))
  return min(most, family.most or most)


def processes_for(family, descriptors, connections):
  """How many processes a server needs to have so many connections."""
  return -(-connections // max(1, descriptors - SPARE_DESCRIPTORS)) if family.spread else 1


# -- command lines ----------------------------------------------------------------------------------------------------


def knot(send, program="knot"):
  def command(place, values):
    flags = [f"--threads={values[CONNECTIONS]}", f"--send={send}", "--schedulers=1", "--access_log=off", "--stats",
             f"--idle_timeout={IDLE_SECONDS}"]
    if values.get(WORKERS):
      flags.append(f"--workers={values[WORKERS]}")
    if values[PROCESSES] > 1:
      flags.append(f"--processes={values[PROCESSES]}")
    flags.append(f"--cache_mb={values.get(CACHE) or CACHE_MB}")
    return [place.program(program), place.root, place.listen] + flags
  return command


def userver(mode, sendfile, events):
  def command(place, values):
    return [place.program("userver"), place.listen, f"--mode={mode}", f"--processes={values[WORKERS]}",
            f"--max_conn={values[CONNECTIONS]}", f"--sendfile={sendfile}", f"--events={events}",
            f"--cache_mb={CACHE_MB}", f"--idle_timeout={IDLE_SECONDS}", "--stats", place.root]
  return command


def ours(program, workers_flag):
  def command(place, values):
    flags = [f"{workers_flag}={values[WORKERS]}", f"--max_conn={values[CONNECTIONS]}",
             f"--idle_timeout={IDLE_SECONDS}", "--stats"]
    if program == "reuseport":
      flags.append(f"--preload_limit={place.set_mb + 64}")
    else:
      flags.append(f"--cache_mb={CACHE_MB}")
    return [place.program(program), place.listen] + flags + [place.root]
  return command


def mmap_pool(place, values):
  # Without keep-alive a small pool would do, but the workload's connections persist.
  return [place.program("mmap_pool"), place.listen, f"--threads={values[CONNECTIONS]}", "--keep_alive=on",
          f"--idle_timeout={IDLE_SECONDS}", "--stats", place.root]


def debian(name):
  def command(place, values):
    # Imported where it is needed: it belongs to the configurations of Debian's servers.
    from contestants import debian as configurations  # pylint: disable=import-outside-toplevel
    limits = {"connections": values[CONNECTIONS]}
    if name == "go_file_server":
      return configurations.go_file_server(place.program("go_file_server"), place.root, place.port, **limits)
    limits["descriptors"] = place.descriptors
    if name == "nginx":
      limits["files"] = place.files
    if values.get(WORKERS):
      limits["workers"] = values[WORKERS]
    return getattr(configurations, name)(place.work, place.root, place.port, **limits)
  return command


# -- the families -----------------------------------------------------------------------------------------------------


def knot_family(form, send, title, **others):
  return Family(f"knot-{form}", "knot", title, knot(send), program="knot", arch="T/Conn", letter="w", tuned=True,
                spread=True, **others)


def userver_family(name, mode, sendfile, events, title, grid, default, **others):
  return Family(name, "userver", title, userver(mode, sendfile, events), program="userver",
                arch={"sped": "SPED", "symped": "symped", "shared": "s-symped"}[mode], letter="p", grid=grid,
                default=default, sockets="block" if sendfile == "blocking" else "non-block",
                separate=mode != "shared", **others)


def debian_family(name, title, function, workers=0, **others):
  return Family(name, "debian", title, debian(function), arch=others.pop("arch", "events"), letter="p",
                default=workers, **others)


FAMILIES = (
    knot_family("c", "cache", "Knot, files from its own cache", grid=(25, 100), default=100, cache=(10, 100, 1000),
                figure="fig1"),
    knot_family("nb", "nonblocking", "Knot, non-blocking sendfile on workers", grid=(5, 25, 100), default=25,
                figure="fig2"),
    knot_family("b", "blocking", "Knot, blocking sendfile on workers", grid=(25, 100, 200), default=100,
                sockets="block", figure="fig3"),
    knot_family("poll", "poll", "Knot, polled, then sendfile on workers", grid=(5, 25, 100), default=25),
    knot_family("inline", "inline", "Knot, sendfile of resident pages without a worker", grid=(5, 25, 100), default=25),
    knot_family("auto", "auto", "Knot as it comes: small files from memory, larger ones inline", grid=(5, 25, 100),
                default=25),
    Family("knot-kernel-threads", "knot", "Knot's source on kernel threads",
           knot("auto", "knot-kernel-threads"), program="knot-kernel-threads", arch="1:1", sockets="block",
           kernel_threads=True, tuned=True),
    userver_family("userver-sped", "sped", "nonblocking", "poll", "\u00b5server, one process", (), 1),
    userver_family("userver-nb", "symped", "nonblocking", "poll", "\u00b5server SYMPED, non-blocking sendfile",
                   (1, 2, 4, 10), 4, tuned=True, figure="fig4"),
    userver_family("userver-b", "symped", "blocking", "poll", "\u00b5server SYMPED, blocking sendfile", (25, 100, 200),
                   100, tuned=True, figure="fig5"),
    userver_family("userver-shared-nb", "shared", "nonblocking", "poll",
                   "\u00b5server shared-SYMPED, non-blocking sendfile", (4, 10), 10, tuned=True),
    userver_family("userver-shared-b", "shared", "blocking", "poll", "\u00b5server shared-SYMPED, blocking sendfile",
                   (25, 100), 100, tuned=True),
    userver_family("userver-epoll-nb", "symped", "nonblocking", "epoll",
                   "\u00b5server SYMPED, non-blocking sendfile, epoll", (1, 2, 4, 10), 4, tuned=True),
    userver_family("userver-epoll-b", "symped", "blocking", "epoll", "\u00b5server SYMPED, blocking sendfile, epoll",
                   (25, 100), 100, tuned=True),
    userver_family("userver-epoll-shared-nb", "shared", "nonblocking", "epoll",
                   "\u00b5server shared-SYMPED, non-blocking sendfile, epoll", (4, 10), 10, tuned=True),
    Family("watpipe", "watpipe", "WatPipe, a pipeline of four stages", ours("watpipe", "--writers"), program="watpipe",
           arch="SEDA-like", letter="p", grid=(5, 25, 50), default=25, tuned=True, figure="fig6"),
    Family("amped", "amped", "AMPED, events with helpers for the disk", ours("amped", "--helpers"), program="amped",
           arch="AMPED", letter="h", grid=(4, 16, 64), default=16, tuned=True),
    Family("reuseport", "reuseport", "epoll workers, files preloaded", ours("reuseport", "--workers"),
           program="reuseport", arch="epoll", letter="w", grid=(1, 2), default=1, tuned=True, holds_files=True),
    Family("mmap-pool", "mmap-pool", "a kernel thread a connection, mapped files", mmap_pool, program="mmap_pool",
           arch="pool", sockets="block", kernel_threads=True, tuned=True, most=10000),
    debian_family("nginx", "nginx", "nginx", 1),
    debian_family("lighttpd", "lighttpd", "lighttpd", descriptors=2),
    debian_family("h2o", "h2o", "h2o"),
    debian_family("apache", "Apache, event", "apache_event", arch="threads"),
    debian_family("go", "Go net/http", "go_file_server", arch="goroutines"),
)
BY_NAME = {family.name: family for family in FAMILIES}
GROUPS = sorted({family.group for family in FAMILIES})
# What the claim is about: Knot's best against the best of these.
RIVALS = ("userver", "watpipe", "amped")
# Debian's that a user would pick instead; the claim names these.
PICKS = ("nginx", "h2o", "lighttpd", "go")


def families_named(name):
  """The families that a name given by the user means: one, or those of a group. Empty: there is none."""
  if name in BY_NAME:
    return [BY_NAME[name]]
  return [family for family in FAMILIES if family.group == name]
