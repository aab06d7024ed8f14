#!/usr/bin/env python3
"""Profiles a small program on Bobbin. Where perf is denied or missing, that is said and the accounting is there alone.

Usage: end_to_end_test.py PROGRAM
PROGRAM runs on Bobbin and takes the arguments of bench/profile/talkers.cc.
"""

import json
import os
import subprocess
import sys
import tempfile

import profile
import symbol_table

HERE = os.path.dirname(os.path.abspath(__file__))
SECONDS = 1.5


def check(truth, text):
  if not truth:
    sys.exit(f"failed: {text}")


def check_accounting(result):
  own = result["accounting"]
  check(own is not None, f"no accounting: {result['notes']}")
  check(abs(sum(own.values()) - 100) < 0.01, f"shares do not add up: {own}")
  check(all(share >= 0 for share in own.values()), f"a share is negative: {own}")
  check(result["user_switches_per_s"] > 100, f"{result['user_switches_per_s']} switches a second")
  check(result["file_cache_kib"] > 0, "no file cache")


def check_samples(result):
  if result["categories"] is None:
    check("perf" in result["error"], f"no samples, and no word of perf: {result['error']}")
    print(f"not checked, since {result['error']}")
    return
  rows = result["categories"]
  check(list(rows) == symbol_table.KEYS, "other rows")
  check(abs(sum(rows.values()) - 100) < 0.01, f"rows do not add up: {rows}")
  check(result["samples"] > 20, f"only {result['samples']} samples")
  check(rows["user.thread_overhead"] > 1, f"two threads that take turns cost no switching: {rows}")
  check(result["subcategories"]["switching and scheduling"] > 0, f"{result['subcategories']}")
  check(abs(sum(result["thread_overhead"].values()) - rows["user.thread_overhead"]) < 0.01, "halves do not add up")
  check(set(result["accounting_samples"]) == set(symbol_table.SHARES), "other shares")
  check(0 <= result["unsampled"] < 100, f"{result['unsampled']} % without samples")
  check(set(result["accounting_beyond"]) == set(symbol_table.SHARES), "other shares beyond the samples")


def check_command(program):
  with tempfile.TemporaryDirectory() as directory:
    path = os.path.join(directory, "result.json")
    done = subprocess.run([sys.executable, os.path.join(HERE, "profile.py"), f"--json={path}", "--symbols", "--",
                           program, str(SECONDS)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    with open(path, encoding="utf-8") as file:
      result = json.load(file)
  check(done.returncode == (0 if result["error"] is None else 1), f"status {done.returncode}: {done.stdout}")
  check("accounting" in done.stdout, f"the report has no accounting: {done.stdout}")
  check_accounting(result)
  check_samples(result)


def check_running(program):
  child = subprocess.Popen([program, "60"])
  try:
    result = profile.sample(child.pid, SECONDS)
  finally:
    child.kill()
    child.wait()
  check_accounting(result)
  check_samples(result)


def check_without_perf(program):
  child = subprocess.Popen([program, "60"])
  path, os.environ["PATH"] = os.environ["PATH"], "/nonexistent"
  try:
    result = profile.sample(child.pid, 0.5)
  finally:
    os.environ["PATH"] = path
    child.kill()
    child.wait()
  check("not installed" in result["error"] and result["categories"] is None, f"{result['error']}")


def main():
  program = sys.argv[1]
  check_command(program)
  check_running(program)
  check_without_perf(program)


if __name__ == "__main__":
  main()
