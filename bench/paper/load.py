"""The workload's tool: its file set, its check of a server's replies, and one run of it."""

import contextlib
import json
import os
import select
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../common"))

# pylint: disable=wrong-import-position
import processes

FILES_A_DIRECTORY = 36
DIRECTORY_BYTES = sum(int(102.4 * f) + 1024 * f + 10240 * f + 102400 * f for f in range(1, 10))
DRAIN_SECONDS = 30  # beyond the clients' time-out, for the tool to finish
NEEDED = ("requests", "replies", "timeouts", "errors", "reply_rate", "mbps", "latency_ms", "response_ms",
          "verification", "generator_cpu_seconds", "connections_mean")


class LoadError(Exception):
  """The tool failed; the message says how."""


class Tool:
  """The program `workload`, run on one processor."""

  def __init__(self, binaries, cpu):
    self.path = os.path.join(binaries, "workload")
    self._cpu = cpu

  def make_files(self, root, directories):
    self._finish(["fileset", f"--directories={directories}", root], 3600)

  def check(self, port, directories):
    self._finish(["check", f"--target=127.0.0.1:{port}", f"--directories={directories}"], 300)

  @contextlib.contextmanager
  def run(self, port, run):
    """Starts a run; yields it, to be waited for. Ends it if it is left before."""
    with tempfile.TemporaryDirectory(prefix="bobbin-paper-") as work:
      report = os.path.join(work, "report.json")
      arguments = ["run", f"--target=127.0.0.1:{port}", f"--json={report}"]
      arguments += [f"--{name}={value:g}" if isinstance(value, float) else f"--{name}={value}"
                    for name, value in run.items()]
      with open(os.path.join(work, "progress"), "w+b") as progress:
        process = subprocess.Popen(self._command(arguments), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                   stderr=progress, start_new_session=True)
        try:
          yield Run(process, report, progress.name)
        finally:
          if process.poll() is None:
            process.terminate()
            processes.wait_or_kill(process, 5)
          process.stdout.close()

  def _command(self, arguments):
    return ["setpriv", "--pdeathsig", "TERM", "taskset", "-c", str(self._cpu), self.path] + arguments

  def _finish(self, arguments, seconds):
    try:
      done = subprocess.run(self._command(arguments), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                            stderr=subprocess.STDOUT, check=False, timeout=seconds)
    except subprocess.TimeoutExpired as error:
      raise LoadError(f"workload {arguments[0]} did not end within {seconds} s") from error
    if done.returncode != 0:
      raise LoadError(f"workload {arguments[0]} ended with status {done.returncode}: {last_line(done.stdout)}")


def last_line(data):
  lines = [line for line in data.decode(errors="replace").replace("\r", "\n").splitlines() if line.strip()]
  return lines[-1].strip() if lines else "(it printed nothing)"


class Run:
  """A run of the workload that is under way."""

  def __init__(self, process, report, progress):
    self._process = process
    self._report = report
    self._progress = progress
    self._lines = b""

  def wait_for(self, word, deadline, watch):
    """Waits for the line `word`. `watch` is called a few times a second, and may raise."""
    wanted = word.encode() + b"\n"
    while wanted not in self._lines:
      self._read(deadline, watch, word)

  def finish(self, deadline, watch):
    """Waits for the end. Returns the report."""
    while self._process.poll() is None:
      watch()
      if time.monotonic() > deadline:
        raise LoadError("workload run did not end in time")
      time.sleep(0.02)
    if self._process.returncode != 0:
      raise LoadError(f"workload run ended with status {self._process.returncode}: {self._last_words()}")
    try:
      with open(self._report, encoding="utf-8") as file:
        report = json.load(file)
    except (OSError, ValueError) as error:
      raise LoadError(f"workload run left no report: {error}") from error
    missing = [name for name in NEEDED if name not in report]
    if missing:
      raise LoadError(f"workload run's report lacks {', '.join(missing)}")
    return report

  def _read(self, deadline, watch, word):
    watch()
    if time.monotonic() > deadline:
      raise LoadError(f"workload run did not print '{word}' in time")
    readable, _, _ = select.select([self._process.stdout], [], [], 0.2)
    if not readable:
      return
    data = os.read(self._process.stdout.fileno(), 4096)
    if not data:
      self._process.wait()
      raise LoadError(f"workload run ended before '{word}' with status {self._process.returncode}: "
                      f"{self._last_words()}")
    self._lines += data

  def _last_words(self):
    with open(self._progress, "rb") as file:
      return last_line(file.read())
