"""Stands in for the tool `workload` in tests: takes its subcommands, asks a fake server what it would serve, and
reports that at once. FAKE_LOG names a file that gets a line for each run."""

import json
import os
import sys
import time
import urllib.request

SIZES = [(c, f, int(102.4 * f) if c == 0 else 102 * 10 ** c * f) for c in range(4) for f in range(1, 10)]


def fileset(values, root):
  for number in range(int(values["directories"])):
    folder = os.path.join(root, f"dir{number:05}")
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, "class0_5"), "w", encoding="ascii") as file:
      file.write("x" * 512)


def ask(target, path):
  with urllib.request.urlopen(f"http://{target}{path}", timeout=10) as answer:
    return answer.read()


def spread(value):
  return {"mean": value, "p50": value / 2, "p99": 5 * value, "p99_9": 9 * value, "max": 20 * value}


def report(values, capacity, verified):
  rate, seconds = float(values["rate"]), float(values["duration"])
  replies = min(rate, capacity)
  late = spread(1.0 if rate < capacity else 500.0)
  timeouts = int((rate - replies) * seconds)
  return {
      "offered_rate": rate, "seconds": seconds, "sessions": int(rate * seconds / 8),
      "connections": int(rate * seconds / 8), "connections_peak": int(rate),
      "connections_mean": rate * float(values["off_scale"]) * 2, "requests": int(rate * seconds),
      "replies": int(replies * seconds), "timeouts": timeouts,
      "errors": {"connect": 0, "reset": 0, "closed": 0, "status": 0, "wrong_body": 0},
      "bytes": int(replies * seconds * 14700), "reply_rate": replies, "mbps": replies * 14700 * 8 / 1e6,
      "latency_ms": late, "response_ms": late,
      "per_size": [{"class": c, "file": f, "bytes": b, "requests": 10, "timeouts": 0} for c, f, b in SIZES],
      "verification": {"passed": verified, "why": [] if verified else ["class 3 times out too often"]},
      "generator_cpu_seconds": 0.3 * seconds, "per_second": []}


def run(values):
  target = values["target"]
  capacity, verified = ask(target, "/about").split()
  print("begin", flush=True)
  time.sleep(0.05)  # the reader looks at the server's CPU time meanwhile
  try:
    ask(target, "/work")
    ask(target, "/die")
  except OSError:
    time.sleep(5)  # as the real one: it goes on, whatever the server does
  print("end", flush=True)
  with open(values["json"], "w", encoding="utf-8") as file:
    json.dump(report(values, float(capacity), verified == b"1"), file)
  if "FAKE_LOG" in os.environ:
    with open(os.environ["FAKE_LOG"], "a", encoding="utf-8") as file:
      print(json.dumps(values), file=file)


def main():
  values = dict(argument[2:].split("=", 1) for argument in sys.argv[2:] if argument.startswith("--"))
  if sys.argv[1] == "fileset":
    fileset(values, sys.argv[-1])
  elif sys.argv[1] == "check":
    ask(values["target"], "/dir00000/class0_5")
  else:
    run(values)


if __name__ == "__main__":
  main()
