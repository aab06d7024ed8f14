"""Goes through the stages of a plan: measures what is not there yet, keeps each point at once, tells how far it is."""

import sys
import time

import budget
import calibrate
import experiments
import measure

BAR = 24


class Progress:
  """A bar with the time left on a terminal, a line a point elsewhere."""

  def __init__(self, out=sys.stderr):
    self._out = out
    self._terminal = out.isatty()
    self._expected = self._taken = 0.0

  def begin(self, text, done, total, left):
    """Before a point: `left` is what it and those after it are expected to take, in seconds."""
    self._total = total
    if not self._terminal:
      return
    share = done / total if total else 1
    filled = int(BAR * share)
    self._out.write(f"\r\033[K[{'#' * filled}{'.' * (BAR - filled)}] {done}/{total}, "
                    f"{duration(left * self.pace())} left: {text}")
    self._out.flush()

  def end(self, text, outcome, done, left, expected, taken):
    self._expected += expected
    self._taken += taken
    if self._terminal and outcome.startswith("failed"):
      self.say(f"{text}: {outcome}")
    elif not self._terminal:
      print(f"paper: {done}/{self._total}, {duration(left * self.pace())} left: {text}: {outcome}", file=self._out,
            flush=True)

  def say(self, text):
    print(f"{self.clear()}paper: {text}", file=self._out, flush=True)

  def clear(self):
    return "\r\033[K" if self._terminal else ""

  def pace(self):
    """How much longer points take than expected."""
    return self._taken / self._expected if self._expected > 20 else 1.0


def duration(seconds):
  seconds = max(0, int(round(seconds)))
  if seconds >= 3600:
    return f"{seconds // 3600} h {seconds % 3600 // 60:02} min"
  return f"{seconds // 60} min {seconds % 60:02} s" if seconds >= 60 else f"{seconds} s"


class Runner:
  """Runs a plan. `failures` are the keys of points that failed in this run."""

  def __init__(self, plan, machine, progress, clock):
    self._plan = plan
    self._clock = clock
    self._machine = machine
    self._progress = progress
    self._seen = set()
    self.failures = []
    self.measured = self.left_out = 0

  def run(self):
    stages = list(self._plan.stages())
    for number, (title, points) in enumerate(stages):
      if title.startswith("calibration"):
        self._calibrate(points())
      else:
        self._stage(title, points(), stages[number + 1:])
    for number in range(2, self._plan.settings.rounds + 1):
      if not self._round(number):
        break

  def _round(self, number):
    """Measures a further round of the comparison in each regime. Returns whether there was time for it."""
    key = f"round {number}"
    if not self._plan.store.is_done(key):
      found = budget.next_round(self._plan, number, self._clock.left() / self._progress.pace())
      if found is None:
        return False
      # The regimes in turn: what disturbs the machine is to disturb both.
      self._plan.store.add(key, {"kind": "round"}, found)
    whole = self._plan.store.result(key)["whole"]
    for regime in self._plan.settings.regimes:
      self._stage(f"round {number}, {regime}", self._plan.round(regime, number, whole), [])
    return self._clock.left() > 0

  def _stage(self, title, points, later):
    todo = [point for point in experiments.unique(points) if self._wanted(point)]
    after = self._expected(later)
    count_after = self._count(later)
    total = len(self._seen) + len(todo) + count_after
    for number, point in enumerate(todo):
      left = sum(map(self._plan.seconds, todo[number:])) + after
      if self._clock.left() < self._plan.seconds(point) * self._progress.pace():
        self.left_out += len(todo) - number
        return
      self._progress.begin(f"{title}: {point.key}", len(self._seen), total, left)
      self._measure(title, point, left)

  def _wanted(self, point):
    return point.key not in self._seen and not self._plan.store.is_done(point.key)

  def _todo(self, stages):
    points = [point for title, points in stages if not title.startswith("calibration") for point in points()]
    return [point for point in experiments.unique(points) if self._wanted(point)]

  def _expected(self, stages):
    return sum(map(self._plan.seconds, self._todo(stages)))

  def _count(self, stages):
    return len(self._todo(stages))

  def _measure(self, title, point, left):
    self._seen.add(point.key)
    begun = time.monotonic()
    result, reason = self._attempt(point)
    self._plan.store.add(point.key, point.recorded(), result, reason, time.monotonic() - begun)
    self.measured += 1
    if reason:
      self.failures.append(point.key)
    expected = self._plan.seconds(point)
    self._progress.end(f"{title}: {point.key}", f"failed: {reason}" if reason else outcome(result), len(self._seen),
                       left - expected, expected, time.monotonic() - begun)
    time.sleep(self._plan.settings.pause)

  def _attempt(self, point):
    try:
      return measure.KINDS[point.kind](self._machine, point), None
    except measure.ERRORS as error:
      return None, str(error) or type(error).__name__

  def _calibrate(self, regime):
    key = experiments.calibration_key(regime)
    if self._plan.store.is_done(key) or not self._plan.running(regime):
      return
    if self._clock.left() < experiments.CALIBRATION_SECONDS and self._clock.bounded:
      return  # then there is no time for anything that follows from it either
    self._progress.begin(key, len(self._seen), max(1, len(self._seen)), 0)
    begun = time.monotonic()
    point = {"kind": "calibration", "regime": regime}
    try:
      result = calibrate.calibrate(self._plan, regime, lambda point: measure.run_load(self._machine, point))
    except measure.ERRORS as error:
      self._plan.store.add(key, point, reason=str(error))
      raise CalibrationError(f"the capacity could not be found ({regime}): {error}") from error
    if not result["capacity"]:
      self._plan.store.add(key, point, reason="no replies")
      raise CalibrationError(f"the capacity could not be found ({regime}): {result['reference']} sent no replies")
    self._plan.store.add(key, point, result, seconds=time.monotonic() - begun)
    self._progress.say(f"{regime}: {result['reference']} serves {result['capacity']:,.0f} requests/s; off-times are "
                       f"scaled by {result['off_scale']:g}")


class CalibrationError(Exception):
  """Without a capacity there are no rates."""


def outcome(result):
  if "bytes_a_connection" in result:
    return f"{result['bytes_a_connection'] / 1024:.1f} KiB a connection"
  if "mbps" not in result:
    return "passed"
  cpu = result["cpu_us"]
  text = f"{result['reply_rate']:,.0f} replies/s, {result['mbps']:,.0f} Mbps"
  text += f", {cpu:.1f} us CPU a reply" if cpu else ""
  return text if result["verification"]["passed"] else f"{text}, failed verification"


