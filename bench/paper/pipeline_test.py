#!/usr/bin/env python3
"""The command itself, with stand-ins for the servers and for the load: results, resuming, failures, interrupts."""

import csv
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)

# pylint: disable=wrong-import-position
import servers
import settings

OURS = ("knot", "knot-kernel-threads", "userver", "watpipe", "amped", "reuseport", "mmap_pool")


class StandIns(unittest.TestCase):
  """A folder with stand-ins for our programs."""

  def setUp(self):
    self.folder = tempfile.mkdtemp(prefix="paper-test-")
    self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
    self.bin = os.path.join(self.folder, "bin")
    self.out = os.path.join(self.folder, "out")
    os.mkdir(self.bin)
    for name in OURS:
      self.stand_in(name, f'fake_server.py" {name}')
    self.stand_in("workload", 'fake_workload.py"')
    self.log = os.path.join(self.folder, "runs")

  def stand_in(self, name, script):
    path = os.path.join(self.bin, name)
    with open(path, "w", encoding="utf-8") as file:
      file.write(f'#!/bin/sh\nexec "{sys.executable}" "{HERE}/fakes/{script} "$@"\n')
    os.chmod(path, 0o755)

  def runs(self):
    with open(self.log, encoding="utf-8") as file:
      return len(file.readlines())


class Pipeline(StandIns):

  def command(self, *arguments):
    return [sys.executable, os.path.join(HERE, "paper.py"), "--bin", self.bin, "--files",
            os.path.join(self.folder, "files"), "--quick", "--directories=2", "--duration=0.1", "--warmup=0.1",
            *arguments]

  def paper(self, *arguments, **environment):
    return subprocess.run(self.command(f"--out={self.out}", *arguments), capture_output=True, text=True, check=False,
                          env={**os.environ, "FAKE_LOG": self.log, "PYTHONDONTWRITEBYTECODE": "1",
                               "PYTHONPATH": os.path.join(HERE, "fakes/plain"), **environment},
                          timeout=100)

  def read(self, name):
    with open(os.path.join(self.out, name), encoding="utf-8") as file:
      return file.read()

  def test_measures_reports_and_resumes(self):
    done = self.paper("--only", "fig2", "fig7", "scaling", "memory", "--only=knot-nb,userver-nb", "--regime=resident",
                      FAKE_UNVERIFIED="userver")
    self.assertEqual(done.returncode, 0, done.stderr)
    table = list(csv.DictReader(self.read("results.csv").splitlines()))
    document = json.loads(self.read("results.json"))
    self.assertEqual([(row["server"], row["rate"], row["status"]) for row in table],
                     [(row["server"], str(row["rate"]), row["status"]) for row in document["rows"]])
    self.assertEqual({row["kind"] for row in table}, {"check", "load", "scaling", "memory"})
    for row in table:
      if row["kind"] == "load":
        self.assertEqual(row["verified"], str(row["family"] != "userver-nb"))
        self.assertGreater(float(row["cpu_us"]), 0)
    page = self.read("report.html")
    for server in {row["server"] for row in table if row["kind"] in ("load", "memory")}:
      self.assertIn(server, page)
    self.assertIn("class 3 times out too often", page)
    self.assertNotRegex(page, r'(src|href)="(?!#)')
    count = self.runs()
    again = self.paper("--only", "fig2", "fig7", "scaling", "memory", "--only=knot-nb,userver-nb", "--regime=resident")
    self.assertEqual((again.returncode, self.runs()), (0, count), again.stderr)

  def test_a_server_that_dies_fails_alone_and_is_tried_again(self):
    arguments = ("--only=fig7,knot-nb,watpipe", "--regime=resident")
    done = self.paper(*arguments, FAKE_DIES="watpipe")
    self.assertEqual(done.returncode, 1, done.stderr)
    self.assertIn("ended with status 3: the roof fell in", done.stderr)
    page = self.read("report.html")
    self.assertIn("the roof fell in", page)
    self.assertRegex(page, r"<code>watpipe-2K-25p</code>, load, resident")
    statuses = {(row["family"], row["status"]) for row in csv.DictReader(self.read("results.csv").splitlines())
                if row["kind"] == "load"}
    self.assertEqual(statuses, {("knot-nb", "done"), ("watpipe", "failed")})
    count = self.runs()
    self.assertEqual(self.paper(*arguments).returncode, 0)
    self.assertEqual(self.runs(), count + 2)
    self.assertNotIn("the roof fell in", self.read("report.html"))

  def test_a_server_that_does_not_start_is_said_to_be_out(self):
    done = self.paper("--only=fig7,knot-nb,amped", "--regime=resident", FAKE_SILENT="amped")
    self.assertEqual(done.returncode, 1)
    self.assertIn("no such luck", self.read("report.html"))
    kinds = [row["kind"] for row in csv.DictReader(self.read("results.csv").splitlines()) if row["family"] == "amped"]
    self.assertEqual(kinds, ["check"])

  def test_unknown_names_are_told(self):
    done = self.paper("--only=fig9,knot-nb")
    self.assertEqual(done.returncode, 2)
    self.assertRegex(done.stderr, "no figure or server is called 'fig9'; figures: fig1, .*servers: knot-c")
    self.assertFalse(os.path.exists(self.out))

  def test_other_parameters_are_refused(self):
    self.assertEqual(self.paper("--only=memory,knot-nb", "--regime=resident").returncode, 0)
    done = self.paper("--only=memory,knot-nb", "--regime=resident", "--rounds=2")
    self.assertEqual(done.returncode, 2)
    self.assertIn("rounds was 1, now 2", done.stderr)

  def test_a_port_in_use_is_told_and_the_run_ends_with_status_1(self):
    with socket.create_server(("127.0.0.1", 0)) as taken:
      port = taken.getsockname()[1]
      done = self.paper("--only=fig7,knot-nb", "--regime=resident", f"--port={port}")
    self.assertEqual(done.returncode, 1)
    self.assertIn(f"port {port} is in use", done.stderr)
    self.assertEqual(self.paper("--only=fig7,knot-nb", "--regime=resident").returncode, 0)

  def test_a_missing_tool_is_told(self):
    os.remove(os.path.join(self.bin, "workload"))
    done = self.paper("--only=fig7,knot-nb")
    self.assertEqual(done.returncode, 1)
    self.assertIn("the workload's tool is not built", done.stderr)

  def test_an_interrupt_leaves_whole_points_and_no_server(self):
    process = subprocess.Popen(self.command(f"--out={self.out}", "--only=fig7,knot", "--regime=resident"),
                               stderr=subprocess.PIPE, text=True, start_new_session=True,
                               env={**os.environ, "FAKE_LOG": self.log,
                                    "PYTHONPATH": os.path.join(HERE, "fakes/plain")})
    while not (os.path.exists(self.log) and self.runs() > 3):
      self.assertIsNone(process.poll())
      time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    self.assertEqual(process.returncode, 130, said)
    for text in self.read("points.jsonl").splitlines():
      json.loads(text)
    self.assertTrue(os.path.exists(os.path.join(self.out, "report.html")))
    self.assertEqual(orphans(self.folder), [])

  def test_a_plan_measures_nothing(self):
    done = subprocess.run([*self.command("--plan", "--only=knot-nb,fig7"), "--hours=2"], capture_output=True, text=True,
                          check=False)
    self.assertEqual(done.returncode, 0, done.stderr)
    self.assertRegex(done.stdout, r"(?m)^comparison, pressure +\d+ +\d")
    self.assertFalse(os.path.exists(self.log))

  def test_a_budget_that_is_used_up_leaves_a_report(self):
    arguments = ("--only=fig7,knot-nb,userver-nb", "--regime=resident")
    done = self.paper(*arguments, "--hours=0.001")
    self.assertEqual(done.returncode, 0, done.stderr)
    self.assertIn("left out since the budget is used up", done.stderr)
    self.assertIn("</html>", self.read("report.html"))
    done = self.paper(*arguments, "--hours=0.02")
    self.assertEqual(done.returncode, 0, done.stderr)
    self.assertGreater(len([row for row in csv.DictReader(self.read("results.csv").splitlines())
                            if row["kind"] == "load"]), 5)

  def test_a_quick_run_is_not_kept(self):
    done = self.paper("--only=fig7,knot-nb", "--keep")
    self.assertEqual(done.returncode, 2)
    self.assertIn("it is not kept", done.stderr)

  def test_lists_every_name(self):
    done = subprocess.run(self.command("--list"), capture_output=True, text=True, check=False)
    self.assertEqual(done.returncode, 0)
    for name in list(servers.BY_NAME) + list(settings.FIGURES):
      self.assertRegex(done.stdout, rf"(?m)^  {re.escape(name)} ")


def command_of(pid):
  try:
    with open(f"/proc/{pid}/cmdline", "rb") as file:
      return file.read().decode(errors="replace")
  except OSError:
    return ""


def orphans(folder):
  """Processes whose command line names a folder that only one test has."""
  return [pid for pid in os.listdir("/proc") if pid.isdigit() and int(pid) != os.getpid() and folder in command_of(pid)]


class Pairs(StandIns):

  def pair(self, *arguments):
    command = [sys.executable, os.path.join(HERE, "pair.py"), "--bin", self.bin, "--files",
               os.path.join(self.folder, "files"), "--directories=2", "--duration=0.1", "--warmup=0.1", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=100,
                          env={**os.environ, "FAKE_LOG": self.log, "PYTHONDONTWRITEBYTECODE": "1",
                               "PYTHONPATH": os.path.join(HERE, "fakes/plain")})

  def test_two_servers_are_compared_beside_each_other(self):
    results = os.path.join(self.folder, "pair.json")
    done = self.pair("knot-auto:7", "userver-sped", "--rounds=3", f"--json={results}")
    self.assertEqual(done.returncode, 0, done.stderr)
    self.assertRegex(done.stdout, r"CPU a reply, knot-auto-\S+-7w / userver-sped-\S+: \d+\.\d{3} \((\d+\.\d{3} ?){3}\)")
    with open(results, encoding="utf-8") as file:
      document = json.load(file)
    self.assertEqual([len(document["rounds"]), len(document["rounds"][0])], [3, 2])
    self.assertEqual(self.runs(), 6)

  def test_what_cannot_be_is_said(self):
    for arguments, words in ((("knot-auto", "quick"), "no server is called 'quick'"),
                             (("knot-auto", "userver-nb:0"), "userver-nb:0: workers must be 1 or more"),
                             (("knot-auto", "h2o:2"), "h2o has no workers"),
                             (("knot-auto",), "the following arguments are required"),
                             (("knot-auto", "amped", "--share=2"), "--share is more than a processor"),
                             (("knot-auto", "amped", "--rounds=0"), "must be 1 or more")):
      done = self.pair(*arguments)
      self.assertEqual(done.returncode, 2, done.stderr)
      self.assertIn(words, done.stderr)
      self.assertNotIn("Traceback", done.stderr)
    os.remove(os.path.join(self.bin, "amped"))
    done = self.pair("knot-auto", "amped")
    self.assertEqual(done.returncode, 1)
    self.assertIn("pair: ", done.stderr)
    self.assertNotIn("Traceback", done.stderr)


if __name__ == "__main__":
  unittest.main()
