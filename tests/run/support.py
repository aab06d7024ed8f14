"""What the tests of `bobbin run` share: the programs they are given, and how they run them."""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import unittest

USER = "user threads\n"
PLAIN = "kernel threads, not preloaded\n"

PATHS = argparse.Namespace()  # the command line


def clean_environment(**more):
  kept = {name: value for name, value in os.environ.items()
          if not name.startswith("BOBBIN") and name not in ("LD_PRELOAD", "LD_LIBRARY_PATH")}
  return dict(kept, **more)


class RunTest(unittest.TestCase):

  def setUp(self):
    self.directory = tempfile.mkdtemp(prefix="bobbin-run-")
    self.addCleanup(shutil.rmtree, self.directory)
    self.environment = clean_environment()

  def file(self, name, text="", mode=0o755):
    path = os.path.join(self.directory, name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as file:
      file.write(text if isinstance(text, bytes) else text.encode())
    os.chmod(path, mode)
    return path

  def copy(self, source, name):
    with open(source, "rb") as file:
      return self.file(name, file.read())

  def patched_probe(self, name, offset, data):
    with open(PATHS.probe, "rb") as file:
      image = bytearray(file.read())
    image[offset:offset + len(data)] = data
    return self.file(name, bytes(image))

  def execute(self, command, **options):
    options.setdefault("env", self.environment)
    return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False, **options)

  def bobbin(self, *arguments, **options):
    return self.execute([PATHS.bobbin, *arguments], **options)

  def run_probe(self, *arguments, flags=(), **options):
    return self.bobbin("run", *flags, PATHS.probe, *arguments, **options)

  def expect(self, done, status=0, output="", errors=""):
    self.assertEqual((done.returncode, done.stdout, done.stderr), (status, output, errors))

  def expect_error(self, done, status, *parts):
    """Checks that it said one line with all these parts, and nothing else."""
    self.assertEqual((done.returncode, done.stdout), (status, ""), done.stderr)
    self.assertTrue(done.stderr.startswith("bobbin: "), done.stderr)
    self.assertEqual(done.stderr.count("\n"), 1, done.stderr)
    for part in parts:
      self.assertIn(part, done.stderr)


def main():
  parser = argparse.ArgumentParser()
  for option in ("bobbin", "library", "probe", "static", "linked"):
    parser.add_argument(f"--{option}", required=True, type=os.path.abspath)
  _, rest = parser.parse_known_args(namespace=PATHS)
  unittest.main(argv=[sys.argv[0], *rest])
