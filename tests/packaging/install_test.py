#!/usr/bin/env python3
"""Installs into a temporary prefix and builds a consumer outside the tree, by find_package and by pkg-config.

Checks that each consumer really runs on user threads: with 50 open connections the process has only a few kernel
threads, where the same program without Bobbin has more than 50. Everything is linked with --as-needed, as some
distributions do by default, which must not drop a library that the program never names.
"""

import argparse
import os
import re
import shutil
import socket
import subprocess
import tempfile
import time

from support import check, run

CONNECTIONS = 50
MOST_KERNEL_THREADS = 25  # schedulers and workers; far from one a connection

INSTALLED = [
    "bin/bobbin",
    "bin/knot",
    "bin/knot-kernel-threads",
    "include/bobbin/bobbin.h",
    "{lib}/libbobbin.so",
    "{lib}/libbobbin.so.0",
    "{lib}/libbobbin.so.0.1.0-gdb.py",
    "{lib}/cmake/bobbin/bobbin-config.cmake",
    "{lib}/cmake/bobbin/bobbin-config-version.cmake",
    "{lib}/pkgconfig/bobbin.pc",
    "share/doc/bobbin/LICENSE",
]


def check_installed(prefix):
  """Checks that everything was installed. Returns the library directory, relative to the prefix."""
  libraries = [os.path.relpath(directory, prefix) for directory, _, files in os.walk(prefix) if "libbobbin.so" in files]
  check(len(libraries) == 1, f"libbobbin.so was installed {len(libraries)} times")
  for name in INSTALLED:
    path = os.path.join(prefix, name.format(lib=libraries[0]))
    check(os.path.exists(path), f"not installed: {path}")
  return libraries[0]


def needed(program):
  """The libraries that a program was linked with, in order."""
  return re.findall(r"\(NEEDED\).*\[(.*)\]", run("readelf", "-d", program))


def free_port():
  with socket.socket() as probe:
    probe.bind(("127.0.0.1", 0))
    return probe.getsockname()[1]


def connect(port, server):
  deadline = time.monotonic() + 10
  while True:
    try:
      return socket.create_connection(("127.0.0.1", port), timeout=10)
    except OSError:
      check(server.poll() is None, f"{server.args[0]} ended with status {server.returncode}")
      check(time.monotonic() < deadline, f"{server.args[0]} does not listen")
      time.sleep(0.02)


def kernel_threads_while_echoing(program, environment, started_by=()):
  """Has 50 connections echo at the same time. Returns the server's number of kernel threads meanwhile."""
  port = free_port()
  with subprocess.Popen([*started_by, program, str(port)], env=environment) as server:
    try:
      clients = [connect(port, server) for _ in range(CONNECTIONS)]
      for number, client in enumerate(clients):
        client.sendall(b"hello from %d" % number)
      for number, client in enumerate(clients):
        expected = b"hello from %d" % number
        reply = b""
        while len(reply) < len(expected):
          part = client.recv(100)
          check(part, f"{program}: connection {number} was closed")
          reply += part
        check(reply == expected, f"{program}: connection {number} got {reply!r}")
      threads = len(os.listdir(f"/proc/{server.pid}/task"))
      for client in clients:
        client.close()
      return threads
    finally:
      server.kill()


def check_consumer(program, environment):
  libraries = needed(program)
  check("libbobbin.so.0" in libraries, f"{program}: libbobbin was dropped: {libraries}")
  check(libraries.index("libbobbin.so.0") < libraries.index("libc.so.6"), f"{program}: libc comes first: {libraries}")
  threads = kernel_threads_while_echoing(program, environment)
  check(threads <= MOST_KERNEL_THREADS, f"{program}: {threads} kernel threads for {CONNECTIONS} connections")
  print(f"{program}: {threads} kernel threads for {CONNECTIONS} connections")


def main():
  parser = argparse.ArgumentParser(description=__doc__)
  for option in ("--build", "--cmake", "--cxx", "--consumer"):
    parser.add_argument(option, required=True)
  args = parser.parse_args()

  environment = {name: value for name, value in os.environ.items()
                 if not name.startswith("BOBBIN_") and name not in ("LD_LIBRARY_PATH", "LD_PRELOAD")}
  with tempfile.TemporaryDirectory(prefix="bobbin-packaging-") as work:
    prefix = os.path.join(work, "prefix")
    run(args.cmake, "--install", args.build, "--prefix", prefix)
    library_directory = os.path.join(prefix, check_installed(prefix))
    check("[libbobbin.so.0]" in run("readelf", "-d", os.path.join(library_directory, "libbobbin.so")),
          "libbobbin.so: wrong soname")
    run(os.path.join(prefix, "bin/knot"), "--help", env=environment)  # finds the library beside it

    source = os.path.join(work, "echo")
    shutil.copytree(args.consumer, source)
    build = os.path.join(work, "by-find-package")
    run(args.cmake, "-G", "Ninja", "-S", source, "-B", build, f"-DCMAKE_PREFIX_PATH={prefix}",
        f"-DCMAKE_CXX_COMPILER={args.cxx}", "-DCMAKE_EXE_LINKER_FLAGS=-Wl,--as-needed", env=environment)
    run(args.cmake, "--build", build, env=environment)
    run(os.path.join(build, "active"), env=environment)
    check_consumer(os.path.join(build, "echo"), environment)
    threads = kernel_threads_while_echoing(os.path.join(build, "echo-kernel-threads"), environment)
    check(threads > CONNECTIONS, f"without Bobbin there are {threads} kernel threads: this test shows nothing")
    threads = kernel_threads_while_echoing(os.path.join(build, "echo-kernel-threads"), environment,
                                           started_by=[os.path.join(prefix, "bin/bobbin"), "run"])
    check(threads <= MOST_KERNEL_THREADS, f"by bobbin run: {threads} kernel threads for {CONNECTIONS} connections")

    with_pkg_config = dict(environment, PKG_CONFIG_PATH=os.path.join(library_directory, "pkgconfig"))
    flags = run("pkg-config", "--cflags", "--libs", "bobbin", env=with_pkg_config).split()
    program = os.path.join(work, "by-pkg-config")
    run(args.cxx, "-std=c++20", "-Wl,--as-needed", os.path.join(source, "echo.cc"), "-o", program, *flags)
    check_consumer(program, dict(environment, LD_LIBRARY_PATH=library_directory))


if __name__ == "__main__":
  main()
