"""How a budget of hours is spent: what every figure gets once, and rounds of the comparison while time remains.

The budget is an end that is kept: a point is begun only if it is expected to end in time. It counts over all runs of
one directory, so a run that is resumed has what is left.
"""

import dataclasses
import time

import experiments
import servers

REPORT_SECONDS = 30  # for the figures and the report, after the last point
FIRST_PASS = 0.7  # of the budget is for the first round of everything, at most
MOST_ROUNDS = 50
# What the first round of everything may be, best first; the last one where nothing fits.
EFFORTS = (
    {"warmup": 3.0, "duration": 10.0, "tuning_duration": 5.0},
    {"warmup": 3.0, "duration": 6.0, "tuning_warmup": 2.0, "tuning_duration": 3.0, "whole_matrices": False, "lines": 4,
     "fractions": (0.25, 0.5, 0.75, 1.0, 1.25, 1.5), "line_fractions": (0.5, 1.0, 1.5),
     "fine": (servers.CONNECTIONS, servers.WORKERS, servers.CACHE)},
    {"warmup": 1.5, "duration": 3.0, "tuning_warmup": 1.2, "tuning_duration": 1.8, "whole_matrices": False, "lines": 3,
     "fractions": (0.5, 0.75, 1.0, 1.5), "line_fractions": (0.5, 1.0, 1.5), "scaling": (100, 5000, 15000, 30000),
     "fine": (servers.WORKERS,), "pause": 0.2},
)
FOLLOWS = tuple(dict.fromkeys(name for effort in EFFORTS for name in effort))


class Unmeasured:
  """Stands for a store in which there is nothing yet."""
  points = {}
  changes = 0

  def is_done(self, _):
    return False

  failed = is_done

  def result(self, _):
    return None


class Clock:
  """What is left of a budget. `spent`: seconds of earlier runs. Without hours there is no end."""

  def __init__(self, hours, spent=0.0, now=time.monotonic):
    self._now = now
    self._end = now() + 3600 * hours - spent - REPORT_SECONDS if hours else None

  @property
  def bounded(self):
    return self._end is not None

  def left(self):
    return self._end - self._now() if self.bounded else float("inf")


def first_pass(plan):
  """Returns [(title, points, seconds)] of everything that is measured once, as far as it is known."""
  found, seen = [], set()
  for title, stage in plan.stages():
    if title.startswith("calibration"):
      found.append((title, 0, experiments.CALIBRATION_SECONDS))
      continue
    points = [point for point in experiments.unique(stage()) if point.key not in seen]
    seen.update(point.key for point in points)
    found.append((title, len(points), sum(map(plan.seconds, points))))
  return found


def fit(plan, hours, given):
  """Returns the settings whose first round of everything leaves time for more rounds of the comparison. `given` are
  settings that the user asked for."""
  settings = plan.settings
  for effort in EFFORTS:
    plan.settings = dataclasses.replace(settings, **{**effort, **given})
    if sum(seconds for _, _, seconds in first_pass(plan)) <= FIRST_PASS * 3600 * hours:
      break
  fitted, plan.settings = plan.settings, settings
  return fitted


def next_round(plan, number, left):
  """Returns what a further round has, {"whole": whether all servers run at all rates}, or None where there is no time
  for any of it. A round of those who decide the claim is what short budgets have time for."""
  if left == float("inf"):
    return {"whole": True}
  whole = sum(plan.seconds(point) for regime in plan.settings.regimes for point in plan.round(regime, number, True))
  part = sum(plan.seconds(point) for regime in plan.settings.regimes for point in plan.round(regime, number, False))
  if not part or left < experiments.LEAST_ROUND * part:
    return None
  # Two rounds of the part come before one of the whole, else three or more of the whole would leave none of it.
  return {"whole": number > 3 and left >= whole or left >= 3 * whole}


def table(plan, hours):
  """Returns the lines of what a run is expected to measure, by stage."""
  rows = first_pass(plan)
  left = 3600 * hours - REPORT_SECONDS - sum(row[2] for row in rows) if hours else float("inf")
  for number in range(2, plan.settings.rounds + 1):
    found = next_round(plan, number, left)
    if found is None:
      break
    for regime in plan.settings.regimes:
      points = plan.round(regime, number, found["whole"])
      seconds = sum(map(plan.seconds, points))
      what = "all servers" if found["whole"] else "those who decide the claim"
      share = max(0.0, min(1.0, left / seconds)) if seconds else 0.0
      what += "" if share == 1 else " (in part)"
      if share:
        rows.append((f"round {number}, {regime}, {what}", int(share * len(points)), share * seconds))
      left -= share * seconds
  rows.append(("figures and report", 0, REPORT_SECONDS))
  total = ("together", sum(row[1] for row in rows), sum(row[2] for row in rows))
  lines = [f"{'stage':62} {'points':>7} {'minutes':>8}"]
  lines += [f"{title:62} {points or '':>7} {seconds / 60:8.1f}" for title, points, seconds in rows + [total]]
  if hours and total[2] > 3601 * hours:
    lines.append(f"More than {hours:g} hours: the last stages will be cut short. --only and --regime ask for less.")
  return lines
