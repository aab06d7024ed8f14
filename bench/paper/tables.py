"""The tables of the report, as HTML."""

import html

import prose
import servers
import targets as targets_module
from prose import code, number, times

GOOD, BAD = "good", "bad"


def cell(content, kind=""):
  return f'<td class="{kind}">{content}</td>' if kind else f"<td>{content}</td>"


def table(caption, heads, rows, left=0):
  """`rows` are lists of cells, or (class, cells). The first `left` + 1 columns are text."""
  head = "".join(f'<th class="left">{text}</th>' if number_ <= left else f"<th>{text}</th>"
                 for number_, text in enumerate(heads))
  body = ""
  for row in rows:
    kind, cells = row if isinstance(row, tuple) else ("", row)
    body += f'<tr class="{kind}">' if kind else "<tr>"
    body += "".join(text if text.startswith("<t") else cell(text, "left" if number_ <= left else "")
                    for number_, text in enumerate(cells)) + "</tr>\n"
  caption = f"<caption>{caption}</caption>" if caption else ""
  return f"<table>{caption}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def of_knot(server):
  return "knot" if server.startswith("knot-") else ""


def marked(row, text):
  """A figure, with a mark where its run failed verification."""
  if row is None or text == "\u2013":
    return "\u2013"
  return cell(f"{text}\u202f\u25cb", BAD) if row["verified"] is False else text


def environment(values):
  shown = (("processor", "Processor"), ("memory", "Memory"), ("kernel", "Kernel"), ("system", "System"),
           ("idle", "While idle"),
           ("descriptors", "Descriptors a process"), ("date", "Date"), ("revision", "Revision"))
  rows = [[title, html.escape(str(values[name]))] for name, title in shown if values.get(name)]
  return table("", ["", ""], rows, left=1).replace("<thead><tr><th class=\"left\"></th><th class=\"left\"></th></tr>"
                                                   "</thead>", "") if rows else ""


def checks(view):
  rows = []
  if all(row["status"] == "done" for row in view.of_kind("check")):
    return ""
  for row in view.of_kind("check"):
    good = row["status"] == "done"
    rows.append([code(row["server"]), cell("right bytes for every size" if good else html.escape(row["why"] or ""),
                                           GOOD + " left" if good else BAD + " left")])
  return table("Before the measurements", ["server", '<span class="left">check</span>'], rows, left=1) if rows else ""


def verification(view, regime):
  rows = []
  for server, passed, rates, why in prose.verification_rows(view, regime):
    text = html.escape(why) if why else ""
    if passed < rates:
      rows.append((of_knot(server), [code(server), cell(f"{passed} of {rates}", BAD), cell(text, "left faint")]))
  return table(f"Servers that failed at some rate, {regime}", ["server", "rates passed", ""], rows) if rows else ""


def tunings(view, regime):
  rows = []
  for family in servers.FAMILIES:
    ladder = view.ladder(regime, family.name)
    if len(ladder) < 2:
      continue
    best = next((row for row in ladder if row["verified"]), ladder[0])
    chosen = view.compared(regime).get(family.name, best["server"])
    row = next((row for row in ladder if row["server"] == chosen), best)
    rows.append((of_knot(chosen), [
        html.escape(family.title), code(chosen), marked(row, number(row["mbps"])), number(row["cpu_us"], 1),
        number(len(ladder)), f"{code(ladder[-1]['server'])} {number(ladder[-1]['mbps'])}"]))
  return table(f"Best tunings, {regime}", ["server", "best tuning", "Mbps", "CPU \u00b5s/reply", "tried",
                                           "worst, Mbps"], rows, left=1) if rows else ""


def comparison(view, regime):
  rate = view.overload(regime)
  rows = []
  for server in view.compared(regime).values():
    top, last = view.peak(regime, server), view.row(regime, server, rate)
    if last is None and top is None:
      rows.append((of_knot(server), [code(server)] + ["\u2013"] * 9))
      continue
    last = last or {}
    rows.append((of_knot(server), [
        code(server), marked(top, number(top and top["mbps"])), number(top and top["rate"]),
        marked(last or None, number(last.get("mbps"))), number(last.get("reply_rate")), number(last.get("cpu_us"), 1),
        number(100 * (last.get("server_busy") or 0) / share_of(view, regime)) if last else "\u2013",
        number(100 * (last.get("generator_busy") or 0)) if last else "\u2013",
        number(last.get("connections_mean")), share(last.get("timeouts"), last.get("requests"))]))
  return table(f"Peak, and overload at {number(rate)} requests/s, {regime}; \u25cb failed verification",
               ["server", "peak Mbps", "at requests/s", "overload Mbps", "replies/s", "CPU \u00b5s/reply", "busy %",
                "load busy %", "connections", "timed out %"], rows) if rows else ""


def share_of(view, regime):
  """What a server has of its processor."""
  return (view.calibration(regime) or {}).get("share", 1)


def share(part, whole):
  return "\u2013" if part is None or not whole else f"{100 * part / whole:.1f}"


def targets(view):
  """The aims and what became of them, a pair of columns for each regime."""
  found = {regime: targets_module.all_of(view, regime) for regime in view.regimes if view.compared(regime)}
  rows = []
  for aim in dict.fromkeys(aim for each in found.values() for aim, _, _ in each):
    cells = [html.escape(aim)]
    for each in found.values():
      verdict, text = next(((verdict, text) for name, verdict, text in each if name == aim),
                           (targets_module.Verdict(None, True), ""))
      kind = {targets_module.MET: GOOD, targets_module.MISSED: BAD}.get(verdict.kind, "faint")
      cells += [cell(text or "\u2013", "left"), cell(verdict.text, f"left {kind}")]
    rows.append(cells)
  heads = ["Knot\u2019s best form"] + [text for regime in found for text in (regime, "")]
  return table("Aims and results. Ratios are medians of those within a round, in brackets their range; \u201cwithin "
               "the noise\u201d where the rounds are on both sides of the aim, or where there are too few rounds to "
               "tell and the difference is below 2\u202f%", heads, rows, left=2 * len(found)) if rows else ""


def differences(view, regime):
  """Where Knot's best and the best of the paper's other servers spend a reply's time."""
  knot, rival = view.knots_best(regime), view.rivals_best(regime)
  rows = [[html.escape(name), number(mine, 2), number(theirs, 2), f"{mine - theirs:+.2f}"]
          for name, mine, theirs in targets_module.differences(view, regime, knot, rival)]
  if not rows:
    return ""
  sums = [sum(values) for values in zip(*[row[1:] for row in targets_module.differences(view, regime, knot, rival)])]
  rows.append(["all", number(sums[0], 2), number(sums[1], 2), f"{sums[0] - sums[1]:+.2f}"])
  return table(f"CPU time a reply by category, \u00b5s, at the rate of Table 1, {regime}",
               ["category", code(knot), code(rival), "difference"], rows)


def claims(view, regime):
  _, found = prose.claims(view, regime)
  rows = []
  for _, claim in found:
    cells = [code(claim.other), number(claim.rounds)]
    for _, ratio, verdict in claim.verdicts():
      kind = {targets_module.MET: GOOD, targets_module.MISSED: BAD}.get(verdict.kind, "")
      cells.append(cell(times(ratio), kind) if ratio else "\u2013")
    rows.append(cells[:4] + [number(claim.calm_rate)] + cells[4:])
  return table("Knot's best form over others", ["against", "rounds", "peak", "overload", "at requests/s",
                                                "CPU a reply there",
                                                "CPU a reply at overload"], rows) if rows else ""


def responses(view, regime):
  names = list(view.compared(regime).values())
  rate, calm = view.overload(regime), view.calm_rate(regime, [n for n in names if view.curve(regime, n)])
  columns = [(r, name) for r in (calm, rate) if r for name in ("mean", "p50", "p99", "p99_9")]
  rows = []
  for server in names:
    row = [view.row(regime, server, r) for r, _ in columns]
    rows.append((of_knot(server), [code(server)] + [
        number(each and each["response_mean_ms" if name == "mean" else f"latency_{name}_ms"], 2)
        for each, (_, name) in zip(row, columns)]))
  heads = [f"{name.replace('_', '.')} at {number(r)}/s" for r, name in columns]
  return table(f"Response time on the mean, and percentiles of latency, ms, {regime}", ["server"] + heads, rows) \
      if rows else ""


def scaling_curves(view, regime):
  """Returns {family: rows by connections held}: the room a configuration has grows with them, so its name changes."""
  found = {}
  for row in view.of_kind("scaling", regime):
    if row["status"] == "done":
      found.setdefault(row["family"], []).append(row)
  return {family: sorted(found[family], key=lambda row: row["held"]) for family in
          sorted(found, key=lambda family: min(row["cpu_us"] or 1e9 for row in found[family]))}


def scaling(curves):
  counts = sorted({row["held"] for rows in curves.values() for row in rows})
  rows = []
  for family, points in curves.items():
    by_count = {row["held"]: row for row in points}
    rows.append((of_knot(family), [code(family)] + [
        marked(by_count.get(count), number(by_count[count]["cpu_us"], 1) if count in by_count else "\u2013")
        for count in counts]))
  return table("Server CPU, \u00b5s a reply, by connections held", ["server"] + [number(c) for c in counts], rows)


def kibibytes(size):
  """Memory of a connection; below a tenth there is only the noise of the difference between two servers."""
  return "< 0.1" if (size or 0) < 102.4 else number(size / 1024, 1)


def memory(view):
  rows = [(of_knot(row["server"]), [code(row["server"]), number(row["held"]),
                                    kibibytes(row["bytes_a_connection"]),
                                    number((row["resident_bytes"] or 0) / 2**20)])
          for row in sorted(view.of_kind("memory"), key=lambda row: row["bytes_a_connection"] or 0)
          if row["status"] == "done"]
  return table("", ["server", "connections", "KiB a connection", "resident MiB"], rows) if rows else ""


def conclusions(view, regime):
  rows = []
  for said, verdict, text in prose.conclusions(view, regime):
    kind = {prose.HOLDS: GOOD, prose.FAILS: BAD}.get(verdict, "faint")
    rows.append([html.escape(said), cell(verdict, f"left {kind}"), cell(text, "left")])
  return table(regime.capitalize(), ["the paper", "here", "measured"], rows, left=2)


# -- Table 1 ----------------------------------------------------------------------------------------------------------


def lines_of(profiles):
  """The groups and their rows over all servers, in the order they first appear."""
  lines = {}
  for result in profiles.values():
    for group, inner in prose.sorted_rows(result["profile"]).items():
      lines.setdefault(group, {}).update(dict.fromkeys(inner))
  return lines


def table_one(view, regime):
  profiles = prose.profiles(view, regime)
  if not profiles:
    return ""
  rates = {result_rate(view, regime, name) for name in profiles} - {None}
  body = head_rows(profiles)
  found = [prose.sorted_rows(result["profile"]) for result in profiles.values()]
  for group, inner in lines_of(profiles).items():
    totals = [sum(rows[group].values()) if group in rows else None for rows in found]
    body.append([f"<th>{html.escape(group)}</th>"] + [f"<th>{number(total, 2)}</th>" for total in totals])
    for line in filter(None, inner):
      body.append([cell(html.escape(line), "left indent")] + [number(rows.get(group, {}).get(line), 2)
                                                              for rows in found])
      if line == "thread overhead":
        body += half_rows(profiles)
  body += foot_rows(profiles)
  return table(f"Table 1, {regime}, at {prose.and_list(map(number, sorted(rates)))} requests/s",
               [""] + [code(name) for name in profiles], body)


def half_rows(profiles):
  """The halves of thread overhead, where a profile has them."""
  found = [result["profile"].get("thread_overhead") or {} for result in profiles.values()]
  return [[cell(f"of it {html.escape(half)}", "left indent faint")] + [number(halves.get(half), 2) for halves in found]
          for half in dict.fromkeys(half for halves in found for half in halves)]


def result_rate(view, regime, server):
  return next((row["rate"] for row in view.of_kind("profile", regime) if row["server"] == server), None)


def head_rows(profiles):
  def family(name):
    return next((f for f in sorted(servers.FAMILIES, key=lambda f: -len(f.name)) if name.startswith(f.name)), None)
  found = [family(name) for name in profiles]
  return [["architecture"] + [f.arch if f else "" for f in found],
          ["sockets of writes"] + [f.sockets if f else "" for f in found],
          ["replies/s"] + [number(r["reply_rate"]) for r in profiles.values()],
          ["Mbps"] + [number(r["mbps"]) for r in profiles.values()],
          ["CPU \u00b5s a reply"] + [number(r["cpu_us"], 1) for r in profiles.values()]]


def foot_rows(profiles):
  values = [result["profile"] for result in profiles.values()]
  rows = [("section", ["<th>counters</th>"] + [cell("")] * len(values)),
          ["file-system cache, MiB"] + [number((v.get("file_cache_kib") or 0) / 1024) for v in values],
          ["context switches/s, kernel"] + [number(v.get("kernel_switches_per_s")) for v in values],
          ["context switches/s, user"] + [number(v.get("user_switches_per_s")) for v in values],
          ["samples"] + [number(v.get("samples")) for v in values],
          ["samples lost"] + [number(v.get("lost")) for v in values]]
  for name, title in (("accounting", "Bobbin's accounting"), ("accounting_samples", "the same by samples")):
    accounts = [v.get(name) or {} for v in values]
    shares = list(dict.fromkeys(share for account in accounts for share in account))
    if shares:
      rows.append(("section", [f"<th>{title}</th>"] + [cell("")] * len(values)))
      rows += [[cell(html.escape(share), "left indent")] + [number(account.get(share), 2) for account in accounts]
               for share in shares]
  if any(v.get("accounting_difference") for v in values):
    rows += [("section", ["<th>accounting against samples</th>"] + [cell("")] * len(values)),
             [cell("largest difference, points", "left indent")]
             + [number(largest(v.get("accounting_difference")), 2) for v in values],
             [cell("CPU time that no sample stands for, %", "left indent")]
             + [number(v.get("unsampled"), 2) for v in values],
             [cell("largest difference beyond that time, points", "left indent")]
             + [number(largest(v.get("accounting_beyond")), 2) for v in values]]
  return rows


def largest(differences):
  return max(map(abs, differences.values())) if differences else None
