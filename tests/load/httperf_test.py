#!/usr/bin/env python3
"""Debian's httperf and `workload run` put the same bytes on the wire for the same session log, and agree on the counts.

usage: httperf_test.py WORKLOAD
"""

import json
import re
import subprocess
import sys
import tempfile
import unittest

import servers

WORKLOAD = sys.argv.pop(1)
SESSIONS = 60


class TheSameLog(unittest.TestCase):

  @classmethod
  def setUpClass(cls):
    cls.directory = tempfile.TemporaryDirectory()
    root = cls.directory.name + "/files"
    subprocess.run([WORKLOAD, "fileset", "--directories=2", root], check=True, capture_output=True)
    cls.log = cls.directory.name + "/log"
    subprocess.run([WORKLOAD, "sessions", f"--sessions={SESSIONS}", "--directories=2", "--off_scale=0.005", "--seed=11",
                    f"--out={cls.log}"], check=True)
    cls.by_httperf, cls.httperf_counts = cls.run_httperf(root)
    cls.by_workload, cls.workload_counts = cls.run_workload(root)

  @classmethod
  def tearDownClass(cls):
    cls.directory.cleanup()

  @classmethod
  def run_httperf(cls, root):
    with servers.Server(root) as server:
      done = subprocess.run(
        ["httperf", "--hog", "--server=127.0.0.1", f"--port={server.port}", f"--wsesslog={SESSIONS},0,{cls.log}",
         "--rate=100", "--timeout=15"], check=True, capture_output=True, text=True, timeout=100)
      said = done.stdout
      total = re.search(r"Total: connections (\d+) requests (\d+) replies (\d+)", said)
      errors = re.search(r"Errors: total (\d+)", said)
      status = re.search(r"Reply status: 1xx=0 2xx=(\d+)", said)
      size = re.search(r"Reply size \[B\]:.*content ([\d.]+)", said)
      return server.connections, (*map(int, total.groups()), int(errors[1]), int(status[1]), float(size[1]))

  @classmethod
  def run_workload(cls, root):
    with servers.Server(root) as server:
      done = subprocess.run(
        [WORKLOAD, "run", f"--target=127.0.0.1:{server.port}", f"--log={cls.log}", f"--sessions={SESSIONS}",
         "--rate=700", "--user_agent=httperf/0.9.0", "--verify=all", "--json=-"],
        check=True, capture_output=True, text=True, timeout=100)
      result = json.loads(done.stdout[done.stdout.index("{"):])
      counts = (result["connections"], result["requests"], result["replies"],
                result["timeouts"] + sum(result["errors"].values()), result["replies"],
                result["bytes"] / result["replies"])
      return server.connections, counts

  def test_puts_the_same_bytes_on_the_wire(self):
    self.assertEqual(len(self.by_httperf), SESSIONS)
    # Threads of the server may note two connections in another order than they came.
    self.assertEqual(sorted(self.by_workload), sorted(self.by_httperf))

  def test_counts_the_same(self):
    self.assertEqual(self.workload_counts[:5], self.httperf_counts[:5])
    self.assertAlmostEqual(self.workload_counts[5], self.httperf_counts[5], delta=0.5)  # httperf rounds

  def test_the_log_is_what_was_asked_for(self):
    with open(self.log, encoding="ascii") as file:
      text = "".join(line for line in file if not line.startswith("#"))
    asked = [[line.split()[0] for line in session.splitlines()] for session in text.strip().split("\n\n")]
    made = [[request.split(b" ")[1].decode() for request in connection] for connection in self.by_workload]
    self.assertEqual(sorted(made), sorted(asked))


if __name__ == "__main__":
  unittest.main()
