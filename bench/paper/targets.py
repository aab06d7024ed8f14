"""What the comparison is to show, and whether it did: each aim with its number, the spread over rounds, the verdict.

A ratio is the median of the ratios within each round. Where the rounds lie on both sides of the aim the verdict says
so, since then the next run may turn out the other way.
"""

import html

import prose
import results
import servers

MET, EQUAL, MISSED, OPEN = "met", "equal", "missed", "not measured"
LEAST_ROUNDS = 3  # fewer tell nothing of the spread: then a difference must be larger than prose.EQUAL
MOST_OVERHEAD = 2.0  # per cent
MOST_DIFFERENCE = 2.0  # points
CATEGORIES_TOLD = 3


class Verdict:
  """`kind` is one of the above; `text` says by how much and how sure that is."""

  def __init__(self, ratio, more):
    """`ratio`: (median, least, most, rounds) or None; `more`: whether it is to be at least 1, else at most."""
    self.kind, self.text = OPEN, "not measured"
    if ratio is None:
      return
    middle, least, most, rounds = ratio
    good = middle >= 1 if more else middle <= 1
    every = least >= 1 if more else most <= 1
    none = most < 1 if more else least > 1
    off = prose.percent(middle)
    sure = every or none if rounds >= LEAST_ROUNDS else abs(middle - 1) > prose.EQUAL
    self.kind = EQUAL if not sure else MET if good else MISSED
    if good:
      self.text = "met" if sure else "met, within the noise"
    else:
      self.text = f"missed by {off}" if sure else f"missed by {off}, within the noise"
    if rounds < LEAST_ROUNDS:
      self.text += f" ({rounds} round{'s' if rounds > 1 else ''}: no spread)"


def in_rounds(view, regime, one, other, value):
  """(median, least, most, rounds) of the ratio of value(rows by rate) of two servers, round by round, at the rates that
  both had in it; None where there is none."""
  found = {}
  for row in view.rows:
    if (row["kind"] == "load" and row["regime"] == regime and row["round"] and row["status"] == "done"
        and row["server"] in (one, other)):
      found.setdefault(row["round"], {}).setdefault(row["server"], {})[row["rate"]] = row
  ratios = []
  for values in found.values():
    mine, theirs = values.get(one, {}), values.get(other, {})
    rates = mine.keys() & theirs.keys()
    upper, lower = (value({rate: rows[rate] for rate in rates}) for rows in (mine, theirs))
    if upper and lower:
      ratios.append(upper / lower)
  if not ratios:
    return None
  return (*results.spread(ratios), len(ratios))


def peak_of(rows):
  return max((row["mbps"] or 0 for row in rows.values() if row["verified"]), default=0)


def at(rate, name):
  return lambda rows: rows[rate][name] if rate in rows else None


def peak(view, regime, one, other):
  return in_rounds(view, regime, one, other, peak_of) if view.reaches_overload(regime) else None


def overload(view, regime, one, other, name="mbps"):
  if not view.reaches_overload(regime):
    return None
  return in_rounds(view, regime, one, other, at(view.overload(regime), name))


def cpu(view, regime, one, other):
  """At the highest rate that both keep up with: at different reply rates a reply costs differently."""
  rate = view.calm_rate(regime, [one, other])
  return in_rounds(view, regime, one, other, at(rate, "cpu_us")) if rate else None


def frugal(view, regime, knot):
  """Of the paper's other servers the one that needs least CPU time, at a rate that it and Knot's best keep up with."""
  found = {}
  for group in servers.RIVALS:
    for name in view.groups(regime).get(group, []):
      ratio = cpu(view, regime, knot, name)
      if ratio and ratio[0]:
        found[name] = ratio[0]
  return max(found, key=found.get, default=None)


# -- the aims ---------------------------------------------------------------------------------------------------------


def shown(ratio):
  if ratio is None:
    return "\u2013"
  middle, least, most, rounds = ratio
  text = f"{middle:.2f}\u202f\u00d7"
  return text if rounds < 2 else f"{text} ({least:.2f}\u2013{most:.2f}, {rounds} rounds)"


def row_of(ratio, more, other, rate=None):
  where = f", at {prose.number(rate)}/s" if rate else ""
  verdict = Verdict(ratio, more)
  return verdict, f"{shown(ratio)} {prose.code(other)}{where}" if ratio else ""


def cpu_row(view, regime, knot, other):
  """As row_of, of CPU time a reply where both keep up."""
  rate = view.calm_rate(regime, [knot, other])
  if rate:
    return row_of(cpu(view, regime, knot, other), False, other, rate)
  return Verdict(None, False), f"there is no rate that {prose.code(other)} and Knot both keep up with"


def against_rivals(view, regime):
  """[(aim, Verdict, text)] of Knot's best form against the best of the paper's other servers."""
  knot, rival = view.knots_best(regime), view.rivals_best(regime)
  if not knot or not rival:
    return []
  top = view.best_of(regime, [n for g in servers.RIVALS for n in view.groups(regime).get(g, [])])
  least = frugal(view, regime, knot)
  found = [("peak throughput \u2265 1.00 \u00d7 the best of \u00b5server, WatPipe and AMPED",
            *row_of(peak(view, regime, knot, top), True, top)),
           ("throughput at overload \u2265 1.00 \u00d7 the best of these",
            *row_of(overload(view, regime, knot, rival), True, rival)),
           ("CPU a reply \u2264 1.00 \u00d7 that server\u2019s, where both keep up",
            *cpu_row(view, regime, knot, rival))]
  if least:
    found.append(("CPU a reply \u2264 1.00 \u00d7 that of the most frugal of these",
                  *cpu_row(view, regime, knot, least)))
  return found


def against_picks(view, regime):
  """Likewise against what a user would pick of Debian's."""
  knot, names = view.knots_best(regime), view.compared(regime)
  found = []
  for family in servers.PICKS if knot else ():
    if family in names:
      other = names[family]
      found.append((f"ahead of {family} at overload", *row_of(overload(view, regime, knot, other), True, other)))
      found.append((f"no more CPU a reply than {family}", *cpu_row(view, regime, knot, other)))
  return found


def limited(value, most, text, unit):
  """The verdict on a number that has an upper limit."""
  verdict = Verdict(None, True)
  if value is not None:
    verdict.kind = MET if value <= most else MISSED
    verdict.text = "met" if value <= most else f"missed by {value - most:.2f} {unit}"
  return verdict, text


def overhead_row(overhead, which, definition):
  """The largest thread overhead of Knot's forms; `overhead` is that of prose.thread_overhead."""
  name = max(overhead, key=lambda server: overhead[server][which], default=None)
  value = overhead[name][which] if name else None
  return (f"thread overhead at most {MOST_OVERHEAD:g}\u202f% in every form of Knot, {definition}",
          *limited(value, MOST_OVERHEAD, f"{value:.2f}\u202f% at most, {prose.code(name)}" if name else "", "points"))


def others(view, regime):
  """Thread overhead, accounting, verification."""
  overhead = prose.thread_overhead(view, regime) or {}
  differs = prose.disagreement(view, regime)
  curves = [row for server in view.compared(regime).values() for row in view.curve(regime, server)]
  failed = [row for row in curves if row["verified"] is False]
  knots = [row for row in failed if row["server"].startswith("knot-")]
  verification = Verdict(None, True)
  if curves:
    verification.kind = MISSED if failed else MET
    verification.text = "met" if not failed else f"missed by {len(failed)}, of which {len(knots)} of Knot's"
  return [overhead_row(overhead, 0, "by the paper\u2019s definition"),
          overhead_row(overhead, 1, "with Bobbin\u2019s system-call layer"),
          ("Bobbin\u2019s accounting within two points of the samples",
           *limited(differs and differs[2], MOST_DIFFERENCE, f"{differs[2]:.2f} points at most, "
                    f"{html.escape(differs[1])} of {prose.code(differs[0])}" if differs else "", "points")),
          ("every server at every rate passes verification", verification,
           f"{len(curves) - len(failed)} of {len(curves)} passed" if curves else "")]


def all_of(view, regime):
  return against_rivals(view, regime) + against_picks(view, regime) + others(view, regime)


# -- where the time goes ----------------------------------------------------------------------------------------------


def differences(view, regime, one, other):
  """[(category, microseconds a reply of one, of the other)] by Table 1, the largest difference first; [] without it."""
  found = prose.profiles(view, regime)
  if one not in found or other not in found or one == other:
    return []
  costs = []
  for name in (one, other):
    result = found[name]
    costs.append({f"{group}, {row}" if row else group: share / 100 * (result["cpu_us"] or 0)
                  for group, rows in prose.sorted_rows(result["profile"]).items() for row, share in rows.items()})
  rows = [(name, costs[0].get(name, 0.0), costs[1].get(name, 0.0)) for name in dict.fromkeys([*costs[0], *costs[1]])]
  return sorted(rows, key=lambda row: -abs(row[1] - row[2]))


def where_it_goes(view, regime):
  """A sentence on what Knot's best form spends more on than the best of the others, where that costs it an aim."""
  knot, rival = view.knots_best(regime), view.rivals_best(regime)
  rows = differences(view, regime, knot, rival)
  more = [row for row in rows if row[1] > row[2]][:CATEGORIES_TOLD]
  if not more:
    return ""
  total = sum(row[1] - row[2] for row in rows)
  return (f"By Table 1 a reply of {prose.code(knot)} costs {abs(total):.1f}\u202f\u00b5s "
          f"{'more' if total > 0 else 'less'} than one of {prose.code(rival)}; it spends more in "
          + prose.and_list(f"{html.escape(name)} (+{mine - theirs:.1f}\u202f\u00b5s)" for name, mine, theirs in more)
          + ".")
