#!/usr/bin/env python3
"""The README's program is the one that the packaging test builds. Usage: readme_test.py README.md SOURCE"""

import difflib
import re
import sys


def read(path):
  with open(path, encoding="utf-8") as file:
    return file.read()


def main():
  readme, source = sys.argv[1:]
  expected = read(source)
  blocks = re.findall(r"^```cpp\n(.*?)^```", read(readme), re.MULTILINE | re.DOTALL)
  if expected in blocks:
    return 0
  print(f"{readme} has no ```cpp block equal to {source}; the nearest differs so:")
  nearest = max(blocks, default="", key=lambda block: difflib.SequenceMatcher(None, block, expected).ratio())
  sys.stdout.writelines(difflib.unified_diff(nearest.splitlines(True), expected.splitlines(True), "README", "source"))
  return 1


if __name__ == "__main__":
  sys.exit(main())
