"""The experiments: which points each figure needs, in which order, given what has been measured so far.

Everything here is a function of the settings and the stored points, so a run that is started again goes on where it
stopped. A stage's points may depend on the results of the stages before it: the fine matrices on the coarse ones, the
comparison on the best tuning.
"""

import dataclasses
import itertools
import math

import results
import servers
import settings as settings_module

CALIBRATION_SECONDS = 60
LEAST_ROUND = 0.3  # of a round: less is not begun at the end of a budget
# Of the capacity, in rounds of those who decide the claim: below saturation, at it, at overload.
CLAIM_FRACTIONS = (0.75, 1.0, 1.5)
CONTENDERS = 3  # of Knot's forms, and of the paper's other servers
NEAR = 0.85  # of Knot's throughput: Debian's servers below are not close
TABLE_SHARE = 0.8  # of the capacity of the slowest server that passes
SCALING_SHARE = 0.5  # of the capacity
SCALING_OFF = 0.1  # of the calibrated off-times: the load's own connections are to be few beside those held
MOST_KERNEL_THREADS = 10000
SPARE_CONNECTIONS = 100
UNEVEN = 1.05  # what a process may get of connections that the kernel spreads by hashes, over its part
# In a quick run.
QUICK_TABLE = ("knot-c", "knot-nb", "knot-b", "knot-inline", "knot-auto", "userver-nb", "userver-b",
               "userver-shared-nb", "watpipe", "amped")


@dataclasses.dataclass(frozen=True)
class Point:
  """One thing to measure."""
  kind: str
  configuration: servers.Configuration
  regime: str
  rate: float = 0
  fraction: float = 0
  off_scale: float = 1
  share: float = 1
  round: int = 0
  held: int = 0
  warmup: float = 0
  duration: float = 0

  @property
  def profiled(self):
    return self.kind == "profile"

  @property
  def key(self):
    parts = [self.kind, self.regime, self.configuration.name]
    if self.rate:
      parts.append(f"{self.rate:g}/s")
    if self.held:
      parts.append(f"{self.held} held")
    if self.round:
      parts.append(f"round {self.round}")
    return " ".join(parts)

  def recorded(self):
    return {"kind": self.kind, "server": self.configuration.name, "family": self.configuration.family.name,
            "parameters": dict(self.configuration.parameters), "regime": self.regime, "rate": self.rate,
            "fraction": self.fraction, "off_scale": self.off_scale, "share": self.share, "round": self.round,
            "held": self.held,
            "duration": self.duration}


@dataclasses.dataclass(frozen=True)
class Calibration:
  """What the machine can do in a regime: requests a second of the reference, the scale of the off-times, and the share
  of a processor that servers have."""
  capacity: float = 10000
  off_scale: float = 1
  share: float = 1


def calibration_key(regime):
  return f"calibration {regime}"


def tidy(rate):
  """A rate as a figure's axis likes it: two digits that count, halves allowed."""
  if rate <= 0:
    return 0
  step = 10 ** (math.floor(math.log10(rate)) - 1)
  return max(1.0, round(rate / step * 2) / 2 * step)


class Plan:
  """The stages of a run over the chosen families and figures."""

  def __init__(self, settings, store, families, figures, descriptors):
    self.settings = settings
    self.store = store
    self.families = list(families)
    self.figures = set(figures)
    self.descriptors = descriptors
    self._rows = (None, [])

  def stages(self):
    """Yields (title, function that returns its points). A calibration's function returns its regime instead."""
    first = self.settings.regimes[0]
    yield "checks", lambda: self.checks(first)
    for regime in self.settings.regimes:
      yield f"calibration, {regime}", lambda regime=regime: regime
      yield f"tuning, {regime}", lambda regime=regime: self.coarse(regime)
      yield f"fine tuning, {regime}", lambda regime=regime: self.fine(regime)
      yield f"comparison, {regime}", lambda regime=regime: self.round(regime, 1)
      yield f"Table 1, {regime}", lambda regime=regime: self.table(regime)
    # Last what the claim does not need, should time run out.
    yield f"connection scaling, {first}", lambda: self.scaling(first)
    yield "idle memory", lambda: self.memory(first)
    for regime in self.settings.regimes:
      yield f"tuning figures, {regime}", lambda regime=regime: self.lines(regime)

  # -- what is known ----

  def calibration(self, regime):
    result = self.store.result(calibration_key(regime))
    if result is None:
      return Calibration()
    return Calibration(result["capacity"], self.settings.off_scale or result["off_scale"], result["share"])

  def rate(self, regime, fraction):
    return tidy(self.calibration(regime).capacity * fraction)

  def running(self, regime=None):
    """The families that have not failed their check, and fit the regime."""
    checked = [(family, self.check_point(family, self.settings.regimes[0])) for family in self.families]
    return [family for family, point in checked
            if not self.store.failed(point.key) and (regime is None or family.fits(regime))]

  def rows(self):
    """The summary of what is stored, made anew where something was added."""
    if self._rows[0] != self.store.changes:
      self._rows = (self.store.changes, results.summarise(self.store.points.values()))
    return self._rows[1]

  def best(self, regime, family):
    """The best tuning that was measured, else the default."""
    candidates = self.coarse_matrix(regime, family) + self.fine_matrix(regime, family)
    chosen = results.best(self.rows(), regime, [c.name for c in candidates], self.overload_rate(regime))
    return next((c for c in candidates if c.name == chosen), self.default(family))

  def overload_rate(self, regime):
    return self.rate(regime, self.settings.fractions[-1])

  # -- configurations ----

  def levels(self, family):
    """The numbers of connections that are tried."""
    levels = list(self.settings.connections)
    if family.kernel_threads:
      return levels[:1] + [min(levels[-1], MOST_KERNEL_THREADS)]
    return levels + [2 * levels[-1]] if family.separate or family.spread else levels

  def configured(self, family, connections=0, workers=0, cache=0):
    most = servers.most_connections(family, self.descriptors, workers or 1)
    connections = min(connections, most)
    return servers.configuration(family, servers.processes_for(family, self.descriptors, connections),
                                 connections=connections, workers=workers, cache_mb=cache)

  def default(self, family):
    # One process where that will do.
    level = self.settings.connections[-1] if family.spread else self.levels(family)[-1]
    return self.configured(family, level, family.default, family.cache[-2] if family.cache else 0)

  def coarse_matrix(self, regime, family):
    if not family.tuned:
      return [self.default(family)]
    if self.settings.quick:
      return unique([self.default(family), self.configured(family, self.levels(family)[0], family.default,
                                                           sum(family.cache[-2:-1]))])
    levels = self.levels(family)
    if regime != self.settings.regimes[0]:
      levels = levels[1:]  # what too few connections do is seen in the first
    grid, cache = family.grid or (family.default,), family.cache or (0,)
    if self.settings.whole_matrices:
      return unique(self.configured(family, *values) for values in itertools.product(levels, grid, cache))
    return self.cross(family, levels, grid, cache)

  def cross(self, family, levels, grid, cache):
    """The default, and those that differ from it in one parameter. Of servers that the paper has no figure of only the
    neighbours, and in the number of workers alone if they have any."""
    middle = (self.default(family).get(servers.CONNECTIONS), family.default, cache[-2] if len(cache) > 1 else cache[0])
    if not family.figure and len(grid) > 1:
      at = grid.index(family.default)
      levels, grid = levels[-1:], grid[max(0, at - 1):at + 2]
    found = [middle]
    for place, values in enumerate((levels, grid, cache)):
      found += [middle[:place] + (value,) + middle[place + 1:] for value in values]
    return unique(self.configured(family, *values) for values in found)

  def fine_matrix(self, regime, family):
    """Half-way, by ratio, from the best of the coarse matrix to its neighbours in each parameter."""
    coarse = self.coarse_matrix(regime, family)
    few = not self.settings.whole_matrices and not family.figure
    if not family.tuned or self.settings.quick or few:
      return []
    chosen = results.best(self.rows(), regime, [c.name for c in coarse], self.overload_rate(regime))
    best = next((c for c in coarse if c.name == chosen), self.default(family))
    found = []
    for name, values in ((servers.CONNECTIONS, self.levels(family)), (servers.WORKERS, family.grid),
                         (servers.CACHE, family.cache)):
      for value in between(values, best.get(name)) if best.get(name) and name in self.settings.fine else ():
        changed = {**dict(best.parameters), name: value}
        found.append(self.configured(family, changed.get(servers.CONNECTIONS, 0), changed.get(servers.WORKERS, 0),
                                     changed.get(servers.CACHE, 0)))
    return [c for c in unique(found) if c not in coarse]

  def line_configurations(self, regime, family):
    """Those whose curves the family's figure shows: the best, and those that differ from it in one parameter."""
    best = self.best(regime, family)
    near = [c for c in self.coarse_matrix(regime, family) + self.fine_matrix(regime, family)
            if sum(a != b for a, b in zip(c.parameters, best.parameters)) == 1]
    if family.cache:  # what the figure is about, first
      near.sort(key=lambda c: c.get(servers.CACHE) == best.get(servers.CACHE))
    return [best] + near[:self.settings.lines - 1]

  # -- stages ----

  def check_point(self, family, regime):
    return Point("check", self.default(family), regime)

  def checks(self, regime):
    return [self.check_point(family, regime) for family in self.families]

  def load_points(self, regime, configurations, fractions, round_=0, kind="load"):
    known, settings = self.calibration(regime), self.settings
    compared = round_ or settings.quick
    warmup = settings.warmup if compared else settings.tuning_warmup or settings.warmup
    duration = settings.duration if compared else settings.tuning_duration or settings.duration
    return [Point(kind, c, regime, self.rate(regime, fraction), fraction, known.off_scale, known.share, round_,
                  warmup=warmup, duration=duration) for fraction in fractions for c in configurations]

  def tuned(self, regime):
    """The families whose matrices are wanted: all, or those of the figures that are."""
    every = "tuning" in self.figures and not self.settings.quick
    return [family for family in self.running(regime) if family.tuned and (every or family.figure in self.figures)]

  def coarse(self, regime):
    if self.settings.quick and regime != self.settings.regimes[0]:
      return []
    return self.matrix_points(regime, self.coarse_matrix)

  def fine(self, regime):
    return self.matrix_points(regime, self.fine_matrix)

  def matrix_points(self, regime, matrix):
    configurations = [c for family in self.tuned(regime) for c in matrix(regime, family)]
    return self.load_points(regime, configurations, self.settings.fractions[-1:], self.tuning_round())

  def tuning_round(self):
    """The comparison does not use the runs by which a tuning was chosen, as the best of many is best by luck, too; but
    a quick run has no time for that."""
    return 1 if self.settings.quick else 0

  def lines(self, regime):
    if self.settings.quick:
      return []
    compared = bool(self.figures & {"fig7", "fig8"})  # then the comparison has the curve of the best
    shown = [c for family in self.tuned(regime) if family.figure in self.figures
             for c in self.line_configurations(regime, family)[int(compared):]]
    return self.load_points(regime, shown, self.settings.line_fractions or self.settings.fractions,
                            self.tuning_round())

  def round(self, regime, number, whole=True):
    """One round of the comparison: at each rate the servers in turn, in an order that rotates. `whole`: all of them at
    all rates, else those who decide the claim where it is decided."""
    if not self.figures & {"fig7", "fig8"}:
      return []
    best = [self.best(regime, family) for family in (self.running(regime) if whole else self.contenders(regime))]
    fractions = self.settings.fractions
    if not whole:
      fractions = tuple(f for f in fractions if f in CLAIM_FRACTIONS) or fractions
    if self.settings.quick and regime != self.settings.regimes[0]:
      fractions = fractions[-1:]
    points = []
    # Overload first, should time run out: the claim is about that.
    for turn, fraction in enumerate(reversed(fractions), (number - 1) * len(fractions)):
      first = turn * 7 % max(1, len(best))  # neighbours change, too, where this has no divisor in common with it
      points += self.load_points(regime, best[first:] + best[:first], (fraction,), number)
    return points

  def contenders(self, regime):
    """Those between whom the claim is decided, by the first round: the best of Knot's forms and of the paper's other
    servers, by throughput at overload, and those of Debian's that are not far behind."""
    reached = {}
    for row in results.loads(self.rows(), regime):
      if row["round"] and row["rate"] == self.overload_rate(regime) and row["verified"]:
        reached[row["server"]] = row["first"] or 0
    def throughput(family):
      return reached.get(self.best(regime, family).name, 0)
    running = sorted(self.running(regime), key=throughput, reverse=True)
    knots = [f for f in running if f.group == "knot" and not f.kernel_threads][:CONTENDERS]
    rivals = [f for f in running if f.group in servers.RIVALS][:CONTENDERS]
    near = NEAR * max(map(throughput, knots), default=0)
    picks = [f for f in running if f.name in servers.PICKS and throughput(f) >= near]
    chosen = knots + rivals + picks
    return [family for family in self.running(regime) if family in chosen]

  def table_rate(self, regime):
    """Below the capacity of the slowest of the paper's servers that passes; here with all of a processor, since
    limiting a share would be seen in the samples."""
    if self.settings.table_rate:
      return self.settings.table_rate
    families = [f for f in self.running(regime) if f.group in ("knot",) + servers.RIVALS and not f.kernel_threads]
    peaks = results.peaks(self.rows(), regime, [self.best(regime, family).name for family in families])
    passing = [rate for rate in peaks.values() if rate]
    if not passing:
      return self.rate(regime, 0.5)
    return tidy(TABLE_SHARE * min(passing) / self.calibration(regime).share)

  def table(self, regime):
    if "table1" not in self.figures or (self.settings.quick and regime != self.settings.regimes[0]):
      return []
    families = [f for f in self.running(regime) if not self.settings.quick or f.name in QUICK_TABLE]
    rate = self.table_rate(regime)
    known = self.calibration(regime)
    return [Point("profile", self.best(regime, family), regime, rate, rate / known.capacity, known.off_scale,
                  warmup=self.settings.warmup, duration=max(self.settings.duration, 1.5)) for family in families]

  def holding(self, regime, family, held, load=0):
    """The best tuning, with room for connections that are held and for those of a load; None where it cannot have it.

    Processes that share a listening socket do not share connections evenly, so each gets room for more than its part;
    those that have one each share them nearly so.
    """
    best = self.best(regime, family)
    workers = best.get(servers.WORKERS)
    wanted = held + max(SPARE_CONNECTIONS, load)
    if wanted > servers.most_connections(family, self.descriptors, workers or 1):
      return None
    room = 2 * wanted if family.separate else wanted
    if servers.processes_for(family, self.descriptors, wanted) > 1:
      room = int(wanted * UNEVEN)
    if load:
      room = max(room, best.get(servers.CONNECTIONS))
    return self.configured(family, room, workers, best.get(servers.CACHE))

  def scaling(self, regime):
    if "scaling" not in self.figures or regime != self.settings.regimes[0]:
      return []
    known = self.calibration(regime)
    rate = self.rate(regime, SCALING_SHARE)
    points = []
    for turn, held in enumerate(self.settings.scaling):
      few = self.settings.quick and held < max(self.settings.scaling)
      families = [f for f in self.running(regime) if not few or f.name in QUICK_TABLE]
      found = [self.holding(regime, family, held, self.settings.target_connections // 4) for family in families
               if not (family.kernel_threads and held > MOST_KERNEL_THREADS)]
      found = [c for c in found if c is not None]
      first = turn * 7 % max(1, len(found))
      points += [Point("scaling", c, regime, rate, SCALING_SHARE, known.off_scale * SCALING_OFF, known.share,
                       held=held, warmup=self.settings.tuning_warmup or self.settings.warmup,
                       duration=self.settings.tuning_duration or self.settings.duration)
                 for c in found[first:] + found[:first]]
    return points

  def memory(self, regime):
    if "memory" not in self.figures:
      return []
    points = []
    for family in self.running(regime):
      held = min(self.settings.held, servers.most_connections(family, self.descriptors) - SPARE_CONNECTIONS)
      c = self.holding(regime, family, held)
      points += [Point("memory", c, regime, held=held)] if c is not None else []
    return points

  def seconds(self, point):
    """What a point is expected to take."""
    if point.kind == "check":
      return 2
    if point.kind == "memory":
      return 4 + point.held / 4000
    held = point.held / 4000
    sampled = 1.5 if point.profiled else 0
    return (point.warmup + point.duration + held + sampled
            + settings_module.overhead(self.settings, point.fraction, point.regime))


def unique(configurations):
  return list(dict.fromkeys(configurations))


def between(values, value):
  """Values half-way, by ratio, from one of a row of values to its neighbours."""
  values = sorted(values)
  if value not in values:
    return []
  at = values.index(value)
  found = []
  for neighbour in values[max(0, at - 1):at] + values[at + 1:at + 2]:
    middle = math.sqrt(value * neighbour)
    step = 10 ** max(0, math.floor(math.log10(middle)) - 1)
    middle = int(round(middle / step) * step)
    if middle not in (value, neighbour):
      found.append(middle)
  return found
