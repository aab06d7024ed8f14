"""What the tests of packages share."""

import subprocess
import sys


def run(*command, **options):
  """Runs a command to its end. Returns what it printed; ends the test where it fails."""
  done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, **options)
  if done.returncode != 0:
    sys.exit(f"{' '.join(command)}\nended with status {done.returncode}:\n{done.stdout}")
  return done.stdout


def check(condition, message):
  if not condition:
    sys.exit(message)
