"""Runs waiting_threads for the tests beside it."""

import argparse
import os
import signal
import subprocess
import sys
import unittest


def arguments():
  parser = argparse.ArgumentParser()
  parser.add_argument("test", nargs="?")
  for name in ("linked", "plain", "library", "script"):
    parser.add_argument(f"--{name}", required=True)
  return parser.parse_args()


class Program:
  """One waiting_threads; `with` waits until each thread is at its wait, and ends it."""

  def __init__(self, command, variables=None, **options):
    self.process = subprocess.Popen(
        command, env={**os.environ, "BOBBIN_SCHEDULERS": "1", **(variables or {})}, stdin=subprocess.PIPE,
        stdout=subprocess.PIPE, text=True, **options)
    self.pid = self.process.pid
    self.ended = False

  def __enter__(self):
    words = self.process.stdout.readline().split()
    if len(words) != 5 or words[0] != "ready":
      self.process.kill()
      raise AssertionError(f"the program did not start: {words}")
    self.pipe, self.listener, self.epoll, self.signal_pipe = words[1:]
    return self

  def end(self):
    """Ends the program's input. Returns: its exit status and what else it wrote."""
    self.ended = True
    output, errors = self.process.communicate(timeout=60)
    return self.process.returncode, output, errors

  def __exit__(self, *_):
    if not self.ended:
      self.process.send_signal(signal.SIGKILL)
      self.process.communicate()


def run(case):
  """Runs the test that the command line names, or all of `case`."""
  case.arguments = arguments()
  names = [case.arguments.test] if case.arguments.test else unittest.TestLoader().getTestCaseNames(case)
  result = unittest.TextTestRunner(verbosity=2).run(unittest.TestSuite(case(name) for name in names))
  sys.exit(not result.wasSuccessful())
