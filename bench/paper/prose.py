"""Sentences that follow from the numbers: who wins by what ratio, what of the paper's conclusions holds, where Knot
loses. Nothing is said that was not measured."""

import html
import statistics

import results
import servers
import targets

GROUP_TITLES = {"user": "user space", "driver": "driver (loopback)"}
HOLDS, FAILS, OPEN = "holds", "does not hold", "not measured"
GENERATOR_FULL = 0.97  # of its processor: then it may be the limit
EQUAL = 0.02  # ratios nearer to 1 than this are called equal


def code(text):
  return f"<code>{html.escape(str(text))}</code>"


def number(value, digits=0):
  if value is None:
    return "\u2013"
  return f"{value:,.{digits}f}"


def times(ratio):
  """A ratio as (median, least, most, ...), with its range where there is one."""
  if ratio is None:
    return "\u2013"
  middle, least, most = ratio[:3]
  if round(least, 2) == round(most, 2):
    return f"{middle:.2f}\u202f\u00d7"
  return f"{middle:.2f}\u202f\u00d7 ({least:.2f}\u2013{most:.2f})"


def percent(ratio):
  off = abs(ratio - 1) * 100
  return f"{off:.0f}\u202f%" if off >= 2 else f"{off:.1f}\u202f%"


def and_list(parts):
  parts = list(parts)
  return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}" if parts else ""


def against(ratio, better="more", worse="less"):
  """"as much as", "12 % more than", "5 % less than"."""
  if abs(ratio - 1) <= EQUAL:
    return "as much as"
  return f"{percent(ratio)} {better if ratio > 1 else worse} than"


# -- the claim --------------------------------------------------------------------------------------------------------


class Claim:
  """Knot's best form against one other server, in one regime."""

  def __init__(self, view, regime, knot, other):
    self.other = other
    tops = [view.peak(regime, name) for name in (knot, other)]
    self.peak = targets.peak(view, regime, knot, other)
    self.overload = targets.overload(view, regime, knot, other)
    self.cpu_overload = targets.overload(view, regime, knot, other, "cpu_us")
    self.calm_rate = view.calm_rate(regime, [knot, other])
    self.cpu = targets.cpu(view, regime, knot, other)
    self.rounds = self.overload[3] if self.overload else None
    self.unverified = [name for name, top in zip((knot, other), tops) if not top or not top["verified"]]

  def verdicts(self):
    """Returns [(what, ratio, targets.Verdict)]."""
    found = [("peak throughput", self.peak, True), ("throughput at overload", self.overload, True),
             (f"CPU a reply at {number(self.calm_rate)}/s", self.cpu, False),
             ("CPU a reply at overload", self.cpu_overload, False)]
    return [(what, ratio, targets.Verdict(ratio, more)) for what, ratio, more in found]


def claims(view, regime):
  """Knot's best form against the best of each kind of server. Returns (knot, [(group, Claim)])."""
  knot = view.knots_best(regime)
  if knot is None:
    return None, []
  found = []
  for group, names in view.groups(regime).items():
    if group == "knot":
      continue
    # Debian's servers are of different makes: each for itself.
    for name in names if group == "debian" else [view.best_of(regime, names, view.overload(regime))]:
      found.append((group, Claim(view, regime, knot, name)))
  return knot, found


def summary_sentence(view, regime):
  """The first thing a reader wants to know."""
  knot, rival = view.knots_best(regime), view.rivals_best(regime)
  if not knot or not rival:
    return f"{regime.capitalize()}: Knot and the servers of the paper were not both measured."
  claim = Claim(view, regime, knot, rival)
  parts, missed, near = [], [], []
  for what, ratio, verdict in claim.verdicts():
    if ratio is None:
      continue
    parts.append(f"{ratio[0]:.2f}\u202f\u00d7 its {what}")
    if verdict.kind == targets.MISSED:
      missed.append(f"{what} by {percent(ratio[0])}")
    elif verdict.kind == targets.EQUAL:
      near.append(what)
  text = (f"<b>{regime.capitalize()}.</b> Knot's best form, {code(knot)}, against the best of \u00b5server, WatPipe "
          f"and AMPED, {code(rival)}: {', '.join(parts)}. ")
  if claim.unverified:
    text += f"{and_list(map(code, claim.unverified))} did not pass verification at any rate. "
  if near:
    text += f"In {and_list(near)} the difference is within the noise. "
  if missed:
    return text + f"The claim is missed in {and_list(missed)}. {targets.where_it_goes(view, regime)}"
  return text + ("The claim holds in the others." if near and len(near) < len(parts) else
                 "Nothing is decided." if near else "The claim holds in each.")


def losses(view, regime):
  """Where Knot's best form is behind somebody, plainly."""
  knot, found = claims(view, regime)
  said = []
  for _, claim in found:
    worse = [f"{what} ({times(ratio)})" for what, ratio, verdict in claim.verdicts() if verdict.kind == targets.MISSED]
    if worse:
      said.append(f"{code(knot)} loses to {code(claim.other)} in {and_list(worse)}.")
  return said


# -- the figures ------------------------------------------------------------------------------------------------------


def tuning_text(view, regime, family):
  """What a matrix says: the best, the worst, what one more of a parameter changed."""
  rows = view.ladder(regime, family)
  if len(rows) < 2:
    return ""
  best = next((row for row in rows if row["verified"]), rows[0])
  worst = rows[-1]
  text = (f"{len(rows)} tunings of {code(family)} at {number(best['rate'])} requests/s: {code(best['server'])} is the "
          f"best with {number(best['mbps'])} Mbps")
  if worst["mbps"]:
    text += f", {against(best['mbps'] / worst['mbps'])} {code(worst['server'])} ({number(worst['mbps'])} Mbps)"
  failed = [row for row in rows if row["verified"] is False]
  return text + (f"; {len(failed)} failed verification." if failed else ".")


def comparison_text(view, regime):
  names = list(view.compared(regime).values())
  rate = view.overload(regime)
  ranked = [(name, view.value(regime, name, rate, "mbps")) for name in names]
  ranked = [(name, mbps) for name, mbps in ranked if mbps]
  if not ranked:
    return "Nothing was measured."
  best, worst = ranked[0], ranked[-1]
  text = (f"At {number(rate)} requests/s {code(best[0])} delivers most, {number(best[1])} Mbps, and {code(worst[0])} "
          f"least, {number(worst[1])} Mbps. ")
  knots = [(name, mbps) for name, mbps in ranked if name.startswith("knot-") and "kernel" not in name]
  if knots and knots[0] != best:
    text += (f"The best of Knot there is {code(knots[0][0])} in place {ranked.index(knots[0]) + 1} of {len(ranked)}, "
             f"{percent(knots[0][1] / best[1])} below. ")
  bound = [name for name in names
           if any((row["generator_busy"] or 0) > GENERATOR_FULL or row["generator_limited"]
                  for row in view.curve(regime, name))]
  if bound:
    text += (f"At some rate the generator was at its limit with {len(bound)} of {len(names)} servers (its processor "
             f"busy for more than {100 * GENERATOR_FULL:.0f}\u202f% of the time, or sessions begun late); there, "
             "throughput tells less than CPU time a reply. ")
  return text


def response_text(view, regime):
  names = list(view.compared(regime).values())
  calm = view.calm_rate(regime, [name for name in names if view.curve(regime, name)])
  text = ""
  for rate, what in ((calm, "Below saturation"), (view.overload(regime), "At overload")):
    values = [(view.value(regime, name, rate, "response_mean_ms"), name) for name in names] if rate else []
    values = sorted((value, name) for value, name in values if value is not None)
    if values:
      text += (f"{what}, at {number(rate)} requests/s, {code(values[0][1])} answers soonest with "
               f"{number(values[0][0], 2)} ms on the mean and {code(values[-1][1])} last with "
               f"{number(values[-1][0], 2)} ms. ")
  return text or "Nothing was measured."


def scaling_text(view, curves):
  grown = []
  for server, rows in curves.items():
    rows = [row for row in rows if row["cpu_us"]]
    if len(rows) > 1:
      grown.append((rows[-1]["cpu_us"] / rows[0]["cpu_us"], server, rows[0]["held"], rows[-1]["held"]))
  if not grown:
    return ""
  least, most = min(grown), max(grown)
  text = (f"From {number(least[2])} to {number(least[3])} connections, a reply of {code(least[1])} comes to cost "
          f"{least[0]:.2f}\u202f\u00d7 as much CPU time, the least growth; of {code(most[1])} "
          f"{most[0]:.2f}\u202f\u00d7, the most. ")
  ends = {row["held"] for rows in curves.values() for row in rows}
  short = [code(server) for server, rows in curves.items() if rows and rows[-1]["held"] < max(ends)]
  if short:
    text += (f"A process has a limited number of descriptors, so {and_list(short)} end"
             f"{'s' if len(short) == 1 else ''} before {number(max(ends))}.")
  return text


# -- the paper's conclusions ------------------------------------------------------------------------------------------


def pair(view, regime, one, other, rate):
  """The ratio of throughput of two families at a rate."""
  names = view.compared(regime)
  if one not in names or other not in names:
    return None
  return view.ratio(regime, names[one], names[other], rate, "mbps")


def conclusions(view, regime):
  """Returns [(what the paper says, verdict, what was measured)]."""
  rate = view.overload(regime)
  knot, rival = view.knots_best(regime), view.rivals_best(regime)
  found = []

  def add(said, ratio, holds, text):
    found.append((said, OPEN if ratio is None else HOLDS if holds else FAILS, text if ratio is not None else ""))

  ratio = view.ratio(regime, rival, knot, rate, "mbps") if knot and rival else None
  add("Event-driven and pipelined servers deliver up to 18\u202f% more than the best of Knot.", ratio,
      ratio and ratio[0] > 1 + EQUAL, f"{code(rival)} over {code(knot)} at overload: {times(ratio)}")
  ratio = pair(view, regime, "knot-nb", "knot-c", rate)
  add("Knot with non-blocking sendfile delivers 7\u20139\u202f% more than with its own cache.", ratio,
      ratio and ratio[0] > 1 + EQUAL, f"knot-nb over knot-c at overload: {times(ratio)}")
  ratio = pair(view, regime, "knot-b", "knot-nb", rate)
  add("Knot with blocking sendfile delivers more than with non-blocking.", ratio, ratio and ratio[0] > 1 + EQUAL,
      f"knot-b over knot-nb at overload: {times(ratio)}")
  ratio = pair(view, regime, "userver-sped", "userver-nb", rate)
  add("One event-driven process that blocks on the disk delivers far less than several (by 32\u202f% there).", ratio,
      ratio and ratio[0] < 0.9, f"userver-sped over userver-nb at overload: {times(ratio)}")
  ratio = pair(view, regime, "userver-epoll-nb", "userver-nb", rate)
  add("epoll delivers as much as poll, not more.", ratio, ratio and ratio[0] <= 1 + EQUAL,
      f"userver-epoll-nb over userver-nb at overload: {times(ratio)}")
  spread = tuning_spread(view, regime)
  add("Performance varies much with the number of connections and of kernel threads: each server must be tuned.",
      spread, spread and spread[0] > 1.1,
      f"best over worst tuning: {spread[0]:.2f}\u202f\u00d7 ({code(spread[1])})" if spread else "")
  overhead = thread_overhead(view, regime)
  add("Thread overhead takes 6.8\u201310.5\u202f% of Knot's CPU time.", overhead,
      overhead and statistics.median(narrow for narrow, _ in overhead.values()) >= 6.8, overhead_list(overhead or {}))
  return found


def tuning_spread(view, regime):
  found = []
  for family in servers.FAMILIES:
    rows = [row for row in view.ladder(regime, family.name) if row["mbps"]]
    if len(rows) > 1:
      found.append((rows[0]["mbps"] / rows[-1]["mbps"], family.name))
  return max(found, default=None)


PAPERS_OVERHEAD = "scheduling, switching, synchronization"


def thread_overhead(view, regime):
  """Returns {server: (by the paper's definition, with Bobbin's system-call layer)} of Knot's forms, per cent of their
  CPU time by samples; None without Table 1."""
  found = {}
  for server, result in profiles(view, regime).items():
    halves = result["profile"].get("thread_overhead")
    if server.startswith("knot-") and "kernel" not in server and halves:
      found[server] = halves[PAPERS_OVERHEAD], sum(halves.values())
  return found or None


def overhead_list(overhead):
  return and_list(f"{code(name)} {narrow:.2f}\u202f% ({wide:.2f}\u202f% with its system-call layer)"
                  for name, (narrow, wide) in overhead.items())


def profiles(view, regime):
  """Returns {server: the result of its last run of Table 1}."""
  return {line["point"]["server"]: line["result"] for line in view.lines
          if line["point"].get("kind") == "profile" and line["point"]["regime"] == regime
          and line["status"] == "done" and line["result"].get("profile")}


def disagreement(view, regime, kind="accounting_difference"):
  """Returns (server, share, points) of the largest difference between Bobbin's accounting and the samples, or None.
  Of the kind "accounting_beyond" are differences beyond the CPU time that no sample stands for."""
  found = [(abs(value), server, share) for server, result in profiles(view, regime).items()
           for share, value in (result["profile"].get(kind) or {}).items()]
  points, server, share = max(found, default=(None, None, None))
  return None if points is None else (server, share, points)


def sorted_rows(profile):
  """Returns {group: {row: per cent}} of a profile, as Table 1 has them; a group of one row has the row ""."""
  found = {}
  for key, value in (profile.get("categories") or {}).items():
    group, _, row = key.partition(".")
    found.setdefault(GROUP_TITLES.get(group, group), {})[row.replace("_", " ")] = value
  return found


def failure_text(row):
  where = f"{number(row['rate'])} requests/s" if row["rate"] else f"{number(row['held'])} connections" if row["held"] \
      else "before the measurements"
  return f"{code(row['server'])}, {row['kind']}, {row['regime']}, {where}: {html.escape(row['why'] or '')}"


def verification_rows(view, regime):
  """Returns [(server, how many of its rates passed, of how many, why not)]."""
  found = []
  for name in view.compared(regime).values():
    curve = view.curve(regime, name)
    failed = [row for row in curve if results.mark(row) == "failed verification"]
    why = "; ".join(dict.fromkeys(f"{number(row['rate'])}/s: {row['why'] or 'no reason given'}" for row in failed))
    found.append((name, len(curve) - len(failed), len(curve), why))
  return found
