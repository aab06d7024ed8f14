"""What a report asks of the results: who was compared, curves, peaks, ratios of the same round."""

import statistics

import results
import servers

KEEPS_UP = 0.97  # of the offered rate: below saturation


class View:
  """The results of one directory, read once."""

  def __init__(self, lines, parameters):
    self.lines = list(lines)
    self.parameters = {**parameters, **(self.stored("budget") or {})}
    self.rows = results.rows(self.lines)
    self.summary = results.summarise(self.lines)

  def stored(self, key):
    return next((line["result"] for line in self.lines if line["key"] == key and line["status"] == "done"), None)

  @property
  def environment(self):
    return self.stored("environment") or {}

  def calibration(self, regime):
    return self.stored(f"calibration {regime}")

  @property
  def regimes(self):
    return [regime for regime in servers.REGIMES if any(row["regime"] == regime for row in self.rows)]

  def of_kind(self, kind, regime=None):
    return [row for row in self.summary if row["kind"] == kind and regime in (None, row["regime"])]

  def failures(self):
    return [row for row in self.rows if row["status"] == "failed"]

  def compared(self, regime):
    """Returns {family: the configuration that stands for it in the comparison}, by throughput at overload, best first.

    Where several of a family were run, the one that was run last.
    """
    last = {}
    for row in self.rows:
      if row["kind"] == "load" and row["regime"] == regime and row["round"]:
        if row["family"] not in last or (row["when"] or "") >= (last[row["family"]]["when"] or ""):
          last[row["family"]] = row
    rate = self.overload(regime)
    if self.parameters.get("quick") and last:  # tuning and comparison share their rounds there
      last = {family: self.most_rates(regime, family) for family in last}
    names = {family: row["server"] for family, row in last.items()}
    return dict(sorted(names.items(), key=lambda item: -(self.value(regime, item[1], rate, "mbps") or 0)))

  def most_rates(self, regime, family):
    """The row of the configuration with the most rates, and of these the highest throughput."""
    mine = [row for row in self.summary if row["kind"] == "load" and row["regime"] == regime and row["round"]
            and row["family"] == family]
    return max(mine, key=lambda row: (sum(r["server"] == row["server"] for r in mine), row["mbps"] or 0))

  def overload(self, regime):
    """The highest rate of the comparison."""
    return max((row["rate"] for row in self.summary if row["kind"] == "load" and row["regime"] == regime
                and row["round"]), default=0)

  def reaches_overload(self, regime):
    """Whether the highest rate is above the capacity: a run that was cut short may have calm rates alone."""
    rate = self.overload(regime)
    return any((row["fraction"] or 2) >= 1 for row in self.rows if row["kind"] == "load" and row["round"]
               and row["regime"] == regime and row["rate"] == rate)

  def curve(self, regime, server, comparison=True):
    return results.curve(self.summary, regime, server, comparison)

  def row(self, regime, server, rate):
    return next((row for row in self.curve(regime, server) if row["rate"] == rate), None)

  def value(self, regime, server, rate, name):
    row = self.row(regime, server, rate)
    return row[name] if row else None

  def peak(self, regime, server):
    """The row of the highest throughput that passes verification; where none does, of the highest of all."""
    curve = self.curve(regime, server)
    return results.peak(curve) or results.peak(curve, verified=False)

  def calm_rate(self, regime, names):
    """The highest rate that all of these keep up with, or None."""
    rates = None
    for name in names:
      mine = {row["rate"] for row in self.curve(regime, name)
              if row["reply_rate"] is not None and row["reply_rate"] >= KEEPS_UP * row["rate"] and row["cpu_us"]}
      rates = mine if rates is None else rates & mine
    return max(rates, default=None) if rates else None

  def ratio(self, regime, one, other, rate, name):
    """Returns (median, least, most) of the ratios within each round, or None where they share no round."""
    found = {}
    for row in self.rows:
      if (row["kind"] == "load" and row["regime"] == regime and row["rate"] == rate and row["round"]
          and row["status"] == "done" and row["server"] in (one, other) and row[name]):
        found.setdefault(row["round"], {})[row["server"]] = row[name]
    if one == other:
      return (1.0, 1.0, 1.0) if found else None
    ratios = [values[one] / values[other] for values in found.values() if len(values) == 2]
    return (statistics.median(ratios), min(ratios), max(ratios)) if ratios else None

  def best_of(self, regime, names, rate=None):
    """Of some configurations, that with the highest throughput at a rate, or at its peak."""
    def throughput(name):
      row = self.row(regime, name, rate) if rate else self.peak(regime, name)
      return (bool(row and row["verified"]), row["mbps"] or 0) if row else (False, -1)
    return max(names, key=throughput, default=None)

  def groups(self, regime):
    """Returns {group: configurations that were compared}."""
    found = {}
    for family, name in self.compared(regime).items():
      group = servers.BY_NAME[family].group if family in servers.BY_NAME else family
      if family == "knot-kernel-threads":
        group = family  # the same source without Bobbin: not what the claim is about
      found.setdefault(group, []).append(name)
    return found

  def knots_best(self, regime):
    return self.best_of(regime, self.groups(regime).get("knot", []), self.overload(regime))

  def rivals_best(self, regime):
    rivals = [name for group in servers.RIVALS for name in self.groups(regime).get(group, [])]
    return self.best_of(regime, rivals, self.overload(regime))

  def tuned(self, figure, regime):
    """Returns {configuration: curve} of a tuning figure, best at the highest rate first."""
    families = [family.name for family in servers.FAMILIES if family.figure == figure]
    names = dict.fromkeys(row["server"] for row in self.summary
                          if row["kind"] == "load" and row["regime"] == regime and row["family"] in families)
    curves = {name: self.curve(regime, name, comparison=False) for name in names}
    curves = {name: curve for name, curve in curves.items() if curve}
    return dict(sorted(curves.items(), key=lambda item: -(item[1][-1]["mbps"] or 0)))

  def ladder(self, regime, family):
    """The tunings of a family that were measured at the highest rate that all share, best first."""
    mine = [row for row in results.loads(self.summary, regime) if row["family"] == family and row["mbps"] is not None]
    if not mine:
      return []
    top = max(row["rate"] for row in mine)
    by_name = {row["server"]: row for row in mine if row["rate"] == top}
    return sorted(by_name.values(), key=lambda row: -row["mbps"])
