#!/usr/bin/env python3
"""The Debian package is built, looked into, started from a private directory, installed and purged.

Installing needs root and a system that has no Knot: elsewhere that part is skipped. What is started is the packaged
program with the packaged configuration, in which only the address and the paths are others.
"""

import argparse
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request

from support import check, run

CONTENTS = [
    "./etc/knot/knot.conf",
    "./etc/logrotate.d/knot",
    "./lib/systemd/system/knot.service",
    "./lib/systemd/system/knot.socket",
    "./usr/bin/knot",
    "./usr/lib/knot/libbobbin.so.0",
    "./usr/share/bash-completion/completions/knot",
    "./usr/share/doc/knot/copyright",
    "./usr/share/fish/vendor_completions.d/knot.fish",
    "./usr/share/knot/www/index.html",
    "./usr/share/man/man8/knot.8.gz",
    "./usr/share/zsh/vendor-completions/_knot",
]


def build(args, directory):
  run(args.cmake, "--build", args.build, "--target", "package_files")
  run(args.cpack, "-G", "DEB", "--config", os.path.join(args.build, "CPackConfig.cmake"), "-B", directory)
  packages = [name for name in os.listdir(directory) if name.endswith(".deb")]
  check(len(packages) == 1 and re.fullmatch(r"knot_[0-9.]+_amd64\.deb", packages[0]), f"built: {packages}")
  return os.path.join(directory, packages[0])


def check_contents(package):
  listing = run("dpkg-deb", "--contents", package)
  names = [line.split()[5] for line in listing.splitlines()]
  files = [name for name in names if not name.endswith("/")]
  for name in CONTENTS:
    check(name in files, f"not in the package: {name}\n{listing}")
  strange = [name for name in files if name not in CONTENTS and not name.startswith("./usr/lib/knot/libbobbin.so.0.")]
  check(not strange, f"in the package: {strange}")
  for line in listing.splitlines():
    check(line.split()[1] == "root/root", f"not root's: {line}")
    check(line[0] == "l" or line[8] != "w", f"anybody may write: {line}")
  depends = run("dpkg-deb", "--field", package, "Depends")
  for name in ("libc6", "libstdc++6", "passwd"):
    check(name in depends, f"does not depend on {name}: {depends}")
  check("bobbin" not in depends, f"depends on what it brings: {depends}")


def check_documents(directory):
  """The manual and the completions have every flag; the shells and man take them."""
  knot = os.path.join(directory, "usr/bin/knot")
  flags = re.findall(r"^  --(\w+)", run(knot, "--help"), re.MULTILINE)
  check(len(flags) > 20, f"--help names {flags}")
  manual = os.path.join(directory, "usr/share/man/man8/knot.8.gz")
  source = run("zcat", manual).replace("\\-", "-")
  bash = os.path.join(directory, "usr/share/bash-completion/completions/knot")
  zsh = os.path.join(directory, "usr/share/zsh/vendor-completions/_knot")
  fish = os.path.join(directory, "usr/share/fish/vendor_completions.d/knot.fish")
  for flag in flags:
    check(re.search(rf"^\.BR --{flag}\b", source, re.MULTILINE), f"not in the manual: --{flag}")
    for path, pattern in ((bash, rf"--{flag}\b"), (zsh, rf"--{flag}\b"), (fish, rf" -l {flag}\b")):
      with open(path, encoding="utf-8") as file:
        check(re.search(pattern, file.read()), f"not in {path}: --{flag}")
  if shutil.which("man"):
    warnings = subprocess.run(["man", "--warnings", "-E", "UTF-8", "-l", "-Tutf8", manual], stdout=subprocess.DEVNULL,
                              stderr=subprocess.PIPE, text=True, check=True, env=dict(os.environ, MANWIDTH="100")).stderr
    check(not warnings, f"the manual has mistakes:\n{warnings}")
  words = run("bash", "-c", f"source {bash}; COMP_WORDS=(knot --send = ca) COMP_CWORD=3; _knot; echo ${{COMPREPLY[*]}}")
  check(words.split() == ["cache"], f"bash completes --send=ca as {words}")
  words = run("bash", "-c", f"source {bash}; COMP_WORDS=(knot --thr) COMP_CWORD=1; _knot 2>/dev/null; echo ${{COMPREPLY[*]}}")
  check(words.split() == ["--threads="], f"bash completes --thr as {words}")
  for shell, path in (("zsh", zsh), ("fish", fish)):
    if shutil.which(shell):
      run(shell, "-n", path)


def check_units(directory):
  if shutil.which("systemd-analyze") is None:
    return
  units = os.path.join(directory, "lib/systemd/system")
  for unit in ("knot.service", "knot.socket"):
    # It looks for the program where it will be installed.
    with open(os.path.join(units, unit), encoding="utf-8") as file:
      text = file.read().replace("/usr/bin/knot", os.path.join(directory, "usr/bin/knot"))
    with open(os.path.join(units, unit), "w", encoding="utf-8") as file:
      file.write(text)
  done = subprocess.run(["systemd-analyze", "verify", "--man=no", os.path.join(units, "knot.service"),
                         os.path.join(units, "knot.socket")],
                        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
  wrong = [line for line in done.stdout.splitlines() if "knot." in line]
  check(not wrong, "systemd-analyze verify: " + "\n".join(wrong))


def serve(program, configuration, work, replacements):
  """Starts a program by its packaged configuration, asks for the packaged page, stops it."""
  with open(configuration, encoding="utf-8") as file:
    text = file.read()
  for old, new in replacements.items():
    check(old in text, f"{configuration} does not have {old}")
    text = text.replace(old, new)
  own = os.path.join(work, "knot.conf")
  with open(own, "w", encoding="utf-8") as file:
    file.write(text)
  run(program, f"--config={own}", "-t")
  with subprocess.Popen([program, f"--config={own}"], stdout=subprocess.PIPE, text=True) as server:
    try:
      line = server.stdout.readline()
      check(" serves " in line, f"{program} said: {line}")
      check("user threads" in line, f"not on user threads: {line}")
      address = line.split()[1]
      with urllib.request.urlopen(address, timeout=60) as reply:
        check(b"Knot serves this directory" in reply.read(), "another page is served")
    finally:
      server.send_signal(signal.SIGTERM)
    check(server.wait(60) == 0, f"{program} ended with status {server.returncode}")
  with open(os.path.join(work, "access.log"), encoding="utf-8") as file:
    check('"GET / HTTP/1.1" 200' in file.read(), "the request is not in the log")


def known(*command):
  return subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False).returncode == 0


def check_installation(package, work):
  """Installs, serves by the installed configuration, removes, purges."""
  run("dpkg", "-i", package)
  try:
    check(known("getent", "passwd", "knot"), "there is no user knot")
    check(os.path.isdir("/var/log/knot"), "there is no /var/log/knot")
    run("/usr/bin/knot", "--config=/etc/knot/knot.conf", "-t")
    serve("/usr/bin/knot", "/etc/knot/knot.conf", work,
          {"127.0.0.1:8080": "127.0.0.1:0", "/var/log/knot": work})
    with open("/etc/knot/knot.conf", "a", encoding="utf-8") as file:
      file.write("# changed by the administrator\n")
    run("dpkg", "-i", package, stdin=subprocess.DEVNULL)
    with open("/etc/knot/knot.conf", encoding="utf-8") as file:
      check("administrator" in file.read(), "an upgrade has lost the configuration")
    run("dpkg", "-r", "knot")
    check(os.path.exists("/etc/knot/knot.conf"), "removal has lost the configuration")
    check(not os.path.exists("/usr/bin/knot"), "the program is still there")
  finally:
    run("dpkg", "-P", "knot")
  for path in ("/usr/bin/knot", "/usr/lib/knot", "/etc/knot", "/var/log/knot", "/usr/share/knot", "/etc/logrotate.d/knot",
               "/lib/systemd/system/knot.service", "/etc/systemd/system/multi-user.target.wants/knot.service"):
    check(not os.path.lexists(path), f"left behind: {path}")
  check(not known("getent", "passwd", "knot"), "the user knot was left behind")


def main():
  parser = argparse.ArgumentParser(description=__doc__)
  for option in ("--build", "--cmake", "--cpack"):
    parser.add_argument(option, required=True)
  args = parser.parse_args()
  for name in [name for name in os.environ if name.startswith(("BOBBIN_", "KNOT_"))]:
    del os.environ[name]
  with tempfile.TemporaryDirectory(prefix="knot-package-") as work:
    package = build(args, os.path.join(work, "package"))
    check_contents(package)
    extracted = os.path.join(work, "extracted")
    run("dpkg-deb", "--extract", package, extracted)
    serve(os.path.join(extracted, "usr/bin/knot"), os.path.join(extracted, "etc/knot/knot.conf"), work,
          {"127.0.0.1:8080": "127.0.0.1:0", "/var/log/knot": work, "/usr/share": os.path.join(extracted, "usr/share")})
    check_documents(extracted)
    check_units(extracted)
    os.unlink(os.path.join(work, "access.log"))
    if os.geteuid() != 0 or known("dpkg-query", "-W", "knot") or known("getent", "passwd", "knot"):
      print("not installed: that needs root, and a system without a Knot")
      return
    check_installation(package, work)


if __name__ == "__main__":
  sys.exit(main())
