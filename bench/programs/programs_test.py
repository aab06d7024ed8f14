#!/usr/bin/env python3
"""Rounds are combined rightly, what is dearer than wanted is told, and children that ended are counted."""

import os
import subprocess
import sys
import unittest

import programs

# pylint: disable=wrong-import-order  # found by what `programs` imports
import contestants


def sample(cpu_us):
  return {"cpu_us": cpu_us, "rate": 1000.0, "utilisation": 1.0, "threads": 3}


def one_round(kernel, bobbin):
  return {"kernel_threads": sample(kernel), "one_scheduler": sample(bobbin)}


class Summarise(unittest.TestCase):

  def test_ratio_is_the_median_of_ratios_within_a_round(self):
    row = programs.summarise([one_round(10.0, 5.0), one_round(20.0, 18.0), one_round(10.0, 12.0)])
    self.assertAlmostEqual(row["ratio"], 0.9)
    self.assertEqual(row["ratio_range"], [0.5, 1.2])
    self.assertEqual(row["kernel_threads"]["cpu_us"], 10.0)
    self.assertEqual(row["one_scheduler"]["cpu_us"], 12.0)

  def test_only_what_is_above_the_limit_is_complained_of(self):
    summary = {"a": {"ratio": 1.05}, "b": {"ratio": 1.11}}
    self.assertEqual(len(programs.complaints(50, summary)), 1)
    self.assertEqual(len(programs.complaints(1000, summary)), 2)
    self.assertEqual(programs.complaints(77, summary), [])


class TreeCpu(unittest.TestCase):

  def test_time_of_a_child_that_ended_is_counted(self):
    spend = "import time\nwhile time.process_time() < 0.3: pass\n"
    parent = ("import subprocess, sys\n"
              f"subprocess.run([sys.executable, '-c', {spend!r}])\n"
              "print(flush=True)\nsys.stdin.read()\n")
    with subprocess.Popen([sys.executable, "-c", parent], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
      process.stdout.readline()
      self.assertGreater(contestants.tree_cpu_seconds(process.pid), 0.25)
      process.stdin.close()

  def test_a_process_that_is_gone_has_none(self):
    child = subprocess.Popen(["true"])
    child.wait()
    self.assertFalse(os.path.exists(f"/proc/{child.pid}"))
    self.assertEqual(contestants.tree_cpu_seconds(child.pid), 0.0)


if __name__ == "__main__":
  unittest.main()
