"""What the points say: medians over rounds, marks of verification, the best tuning, and the files of results."""

import csv
import json
import os
import statistics

# A difference in throughput below this is none: the CPU time of a request decides.
TIE = 0.02
# Column, where it is in a point's result.
MEASURED = (
    ("reply_rate", ("reply_rate",)), ("mbps", ("mbps",)), ("cpu_us", ("cpu_us",)), ("server_busy", ("server_busy",)),
    ("generator_busy", ("generator_busy",)), ("others_busy", ("others_busy",)), ("requests", ("requests",)),
    ("replies", ("replies",)),
    ("timeouts", ("timeouts",)), ("unfinished", ("unfinished",)), ("client_errors", ("errors", "client")),
    ("generator_limited", ("generator_limited",)), ("connect_errors", ("errors", "connect")),
    ("resets", ("errors", "reset")),
    ("closed", ("errors", "closed")), ("wrong_status", ("errors", "status")), ("wrong_body", ("errors", "wrong_body")),
    ("connections_mean", ("connections_mean",)), ("connections_peak", ("connections_peak",)),
    ("response_mean_ms", ("response_ms", "mean")), ("response_p50_ms", ("response_ms", "p50")),
    ("response_p99_ms", ("response_ms", "p99")), ("response_p99_9_ms", ("response_ms", "p99_9")),
    ("latency_mean_ms", ("latency_ms", "mean")), ("latency_p50_ms", ("latency_ms", "p50")),
    ("latency_p99_ms", ("latency_ms", "p99")), ("latency_p99_9_ms", ("latency_ms", "p99_9")),
    ("disk_mb_s", ("disk_mb_s",)), ("resident_bytes", ("resident_bytes",)), ("table_bytes", ("table_bytes",)),
    ("bytes_a_connection", ("bytes_a_connection",)), ("held_closed", ("held_closed",)),
)
IDENTITY = ("kind", "regime", "server", "family", "connections", "workers", "cache_mb", "rate", "fraction",
            "off_scale", "share", "held", "round", "duration")
OUTCOME = ("status", "verified", "why", "when")
COLUMNS = IDENTITY + OUTCOME + tuple(name for name, _ in MEASURED)


def flat(line):
  """One stored point as a row of the table of results."""
  point = line["point"]
  row = {name: point.get(name) for name in IDENTITY}
  row.update({name: point.get("parameters", {}).get(name) for name in ("connections", "workers", "cache_mb")})
  result = line.get("result") or {}
  verification = result.get("verification")
  row.update({"status": line["status"], "when": line.get("when"), "verified": None, "why": line.get("reason")})
  if verification is not None:
    row["verified"] = bool(verification["passed"])
    row["why"] = "; ".join(verification.get("why", [])) or None
  for name, path in MEASURED:
    value = result
    for part in path:
      value = value.get(part) if isinstance(value, dict) else None
    row[name] = value
  return row


def rows(lines):
  """All points of servers, in the order they were measured."""
  return [flat(line) for line in lines if "server" in line["point"]]


def summarise(lines):
  """Returns one row for each server at each rate: medians over the rounds. A round that failed its verification makes
  the row failed."""
  groups = {}
  for row in rows(lines):
    tuning = row["kind"] == "load" and not row["round"]
    groups.setdefault((row["kind"], row["regime"], row["server"], row["rate"], row["held"], tuning), []).append(row)
  return [median_row(group) for group in groups.values()]


def median_row(group):
  """The median of rounds. A row of failed points alone has the status `failed` and why."""
  done = [row for row in group if row["status"] == "done"]
  merged = dict((done or group)[0])
  merged["rounds"] = len(done)
  merged["first"] = next((row["mbps"] for row in done if row["round"] == 1), None)
  if not done:
    return merged
  for name, _ in MEASURED:
    values = [row[name] for row in done if row[name] is not None]
    merged[name] = statistics.median(values) if values else None
  marks = [row["verified"] for row in done if row["verified"] is not None]
  merged["verified"] = all(marks) if marks else None
  merged["why"] = "; ".join(dict.fromkeys(row["why"] for row in done if row["why"])) or None
  merged["low"], merged["high"] = extremes(done, "mbps")
  return merged


def spread(values):
  """Returns (median, least, most)."""
  return statistics.median(values), min(values), max(values)


def extremes(group, name):
  values = [row[name] for row in group if row[name] is not None]
  return (min(values), max(values)) if values else (None, None)


def loads(summary, regime, kind="load"):
  return [row for row in summary if row["kind"] == kind and row["regime"] == regime and row["status"] == "done"]


def best(summary, regime, names, rate):
  """The name with the highest throughput at one rate, among those that pass verification, if any does; among equals
  the one that takes the least CPU time a request. None: nothing was measured."""
  # Runs that were made for tuning, where there are any: a quick run uses those of the comparison.
  found = {}
  for row in sorted(loads(summary, regime), key=lambda row: -(row["round"] or 0)):
    if row["server"] in names and row["rate"] == rate and row["mbps"] is not None:
      found[row["server"]] = row
  candidates = [row for row in found.values() if row["verified"]] or list(found.values())
  if not candidates:
    return None
  top = max(row["mbps"] for row in candidates)
  equals = [row for row in candidates if row["mbps"] >= (1 - TIE) * top]
  return min(equals, key=lambda row: (row["cpu_us"] or float("inf"), -row["mbps"]))["server"]


def curve(summary, regime, server, comparison=True):
  """The rows of one server by rate. `comparison`: the rounds that compare, else those of tuning, which a comparison's
  fill up."""
  found = {}
  for row in loads(summary, regime):
    if row["server"] != server or (comparison and not row["round"]):
      continue
    if row["rate"] not in found or bool(row["round"]) == comparison:
      found[row["rate"]] = row
  return [found[rate] for rate in sorted(found)]


def peak(rows_of_curve, verified=True):
  """The row with the highest throughput; of those that pass, unless told otherwise. None: there is none."""
  candidates = [row for row in rows_of_curve if row["mbps"] is not None and (row["verified"] or not verified)]
  return max(candidates, key=lambda row: row["mbps"], default=None)


def peaks(summary, regime, names):
  """Returns {server: the highest reply rate of its runs that pass, or None}."""
  found = {}
  for name in names:
    top = peak(curve(summary, regime, name))
    found[name] = top["reply_rate"] if top else None
  return found


def mark(row):
  """How a row is marked wherever it is shown."""
  if row["status"] != "done":
    return "failed"
  if row["verified"] is None:
    return ""
  return "passed" if row["verified"] else "failed verification"


def write_json(path, document):
  with open(path + ".new", "w", encoding="utf-8") as file:
    json.dump(document, file, indent=1)
    file.write("\n")
  os.replace(path + ".new", path)


def write_csv(path, table):
  with open(path + ".new", "w", encoding="utf-8", newline="") as file:
    writer = csv.DictWriter(file, COLUMNS, extrasaction="ignore")
    writer.writeheader()
    writer.writerows(table)
  os.replace(path + ".new", path)
