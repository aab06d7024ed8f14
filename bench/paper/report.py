"""report.html: one page that needs nothing else, in the order of the paper's sections 3 to 10."""

import html
import os

import groups
import prose
import servers
import tables
import targets
from prose import and_list, code, number

HERE = os.path.dirname(os.path.abspath(__file__))
DISTURBED = 0.15  # of a processor, by other programs: above that a reader is warned
TITLE = "Knot, \u00b5server, WatPipe and others on one workload"


class Page:
  """Collects the sections of the page."""

  def __init__(self):
    self._parts = []
    self._sections = []

  def section(self, title, name):
    self._sections.append((name, title))
    self._parts.append(f'<h2 id="{name}">{len(self._sections)}. {title}</h2>')

  def heading(self, title):
    self._parts.append(f"<h3>{title}</h3>")

  def text(self, *paragraphs):
    self._parts += [f"<p>{paragraph.strip()}</p>" for paragraph in paragraphs if paragraph and paragraph.strip()]

  def items(self, items):
    if items:
      self._parts.append(f"<ul>{''.join(f'<li>{item}</li>' for item in items)}</ul>")

  def table(self, text):
    if text:
      self._parts.append(f'<div class="wide">{text}</div>')

  def figure(self, svg, caption):
    if svg:
      self._parts.append(f'<figure><div class="wide">{svg}</div><figcaption>{caption}</figcaption></figure>')

  def raw(self, text):
    self._parts.append(text)

  def document(self, front):
    with open(os.path.join(HERE, "report.css"), encoding="utf-8") as file:
      style = file.read()
    links = "".join(f'<li><a href="#{name}">{title}</a></li>' for name, title in self._sections)
    return (f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<meta name="viewport" '
            f'content="width=device-width, initial-scale=1">\n<title>{TITLE}</title>\n<style>\n{style}</style>\n'
            f'</head>\n<body>\n<main>\n{front}\n<nav><ol>{links}</ol></nav>\n' + "\n".join(self._parts)
            + "\n</main>\n</body>\n</html>\n")


def write(view, figures):
  """Returns the page. `figures` is {name: SVG}, without those that could not be drawn."""
  page = Page()
  workload(page, view)
  verification(page, view)
  tuning(page, view, figures)
  comparison(page, view, figures)
  table_one(page, view)
  response_times(page, view, figures)
  connections(page, view, figures)
  conclusions(page, view)
  limits(page, view)
  failures(page, view)
  return page.document(front(view))


def front(view):
  environment = view.environment
  where = [environment.get(name) for name in ("processor", "kernel", "date")]
  under = " \u00b7 ".join(html.escape(str(text)) for text in where if text)
  quick = ("<p><b>This was a quick run</b>: few directories, few rates, windows of seconds. It shows that everything "
           "works; its differences are mostly noise.</p>" if view.parameters.get("quick") else "")
  busy = others_busy(view)
  if busy and busy[0] > DISTURBED:
    quick += (f"<p><b>The machine was not idle</b>: other programs used {100 * busy[0]:.0f}\u202f% of a processor "
              "in the median. The numbers say little.</p>")
  sentences = "".join(f"<p>{prose.summary_sentence(view, regime)}</p>" for regime in view.regimes)
  aims = tables.targets(view)
  aims = f'<div class="wide">{aims}</div>' if aims else ""
  return (f"<header><h1>{TITLE}</h1><p class=\"under\">{under}</p><p>The comparison of \u201cComparing the Performance "
          "of Web Server Architectures\u201d (Pariag et al., EuroSys 2007), made anew: a server with one user-level "
          "thread a connection, on Bobbin, against event-driven and pipelined servers which share its request "
          "parser, response heads, file cache and hashing, and against servers that Debian has.</p></header>"
          f"<div class=\"summary\">{sentences}{quick}</div>{aims}")


def workload(page, view):
  environment, parameters = view.environment, view.parameters
  page.section("Environment and workload", "workload")
  page.table(tables.environment(environment))
  if environment.get("command"):
    page.raw(f"<pre>{html.escape(environment['command'])}</pre>")
  directories = parameters.get("directories", 0)
  page.text(
      "Each server runs on one processor, the load on another of the same machine, over loopback. The file set is the "
      f"static part of SPECweb99: {number(directories)} directories of 36 files, {number(36 * directories)} files "
      f"in all, of 102 to 921,600 bytes. Directories are drawn by Zipf's law, classes with 35, 50, 14 and 1\u202f%. A "
      "session is one persistent connection with bursts of requests, pauses within a burst (Weibull) and "
      "between bursts (Pareto). Sessions arrive by a Poisson process, whatever the server does, so it can be "
      f"overloaded. A client gives a request up after {parameters.get('timeout', 15):g} s; latency counts from the "
      "moment the request was to be made.")
  for regime in view.regimes:
    description = environment.get("regimes", {}).get(regime)
    known = view.calibration(regime)
    text = f"<b>{regime.capitalize()}</b>: {html.escape(description)}. " if description else ""
    if known:
      text += (f"{code(known['reference'])} served {number(known['capacity'])} requests/s at overload before the "
               "experiments began; the rates of the figures are shares and multiples of that. ")
      scale = parameters.get("off_scale") or known["off_scale"]
      text += (f"The sessions' pauses are scaled by {scale:g}, such that about "
               f"{number(parameters.get('target_connections'))} connections are open at that rate")
      text += (": with the paper's own pauses a processor of today would need more connections than a process may "
               "have descriptors. " if regime == view.regimes[0] else ". ")
      if known.get("share", 1) < 1 and regime == view.regimes[0]:
        text += (f"Servers may use {100 * known['share']:.0f}\u202f% of their processor (in periods of "
                 f"{groups.PERIOD_US // 1000} ms): with all of it they would serve more than the generator can ask "
                 "for, and none of the good ones could be overloaded. ")
      if known.get("generator_bound"):
        text += "The generator's processor was full then, so the server's own capacity is higher. "
    page.text(text)


def verification(page, view):
  page.section("Verification", "verification")
  page.text("Before anything was measured, every server had to answer with the right bytes for every size of file. Of "
            "each run, no size of file may time out 2\u202f% more often than the mean or more often than 5\u202f%, "
            "and at most 10\u202f% of all requests may. A run that fails is shown as failed: a hollow marker in the "
            "figures, marked in the tables.")
  good = sum(row["status"] == "done" for row in view.of_kind("check"))
  page.text(f"{good} of {len(view.of_kind('check'))} servers answered with the right bytes.")
  page.table(tables.checks(view))
  for regime in view.regimes:
    page.table(tables.verification(view, regime))


TUNING_SECTIONS = (
    ("Knot", "knot", (("fig1", "cache: files in memory of its own"), ("fig2", "non-blocking sendfile"),
                      ("fig3", "blocking sendfile"))),
    ("The \u00b5server", "userver", (("fig4", "non-blocking sendfile"), ("fig5", "blocking sendfile"))),
    ("WatPipe", "watpipe", (("fig6", "connections and writers"),)),
)


def tuning(page, view, figures):
  for title, name, parts in TUNING_SECTIONS:
    if not any(len(view.tuned(figure, regime)) > 1 for figure, _ in parts for regime in view.regimes):
      continue
    page.section(title, name)
    for figure, what in parts:
      for regime in view.regimes:
        if len(view.tuned(figure, regime)) < 2:
          continue
        family = next(f.name for f in servers.FAMILIES if f.figure == figure)
        page.text(prose.tuning_text(view, regime, family))
        page.figure(figures.get(f"{figure}-{regime}"),
                    f"Figure {figure[3:]}, {regime}. {title}, {what}. Throughput against the request rate.")
  if any(len(view.ladder(regime, family.name)) > 1 for regime in view.regimes for family in servers.FAMILIES):
    page.section("Best tunings", "tunings")
    page.text("By throughput at the highest rate, and where that is equal within 2\u202f% by CPU time a reply; what "
              "fails verification is not chosen if anything passes.")
    for regime in view.regimes:
      page.table(tables.tunings(view, regime))


def comparison(page, view, figures):
  page.section("Server comparison", "comparison")
  for regime in view.regimes:
    if not view.compared(regime):
      continue
    page.heading(regime.capitalize())
    page.text(prose.comparison_text(view, regime))
    page.figure(figures.get(f"fig7-{regime}"), f"Figure 7, {regime}. Throughput against the request rate, each server "
                "at its best tuning; in the legend the best at the highest rate comes first. Bars are the range over "
                "the rounds.")
    page.figure(figures.get(f"fig7-cpu-{regime}"), f"Server CPU time a reply against the request rate, {regime}: all "
                "processes and threads of the server, kernel included.")
    page.table(tables.comparison(view, regime))
    knot, _ = prose.claims(view, regime)
    if knot:
      page.text(f"The best of Knot at the highest rate is {code(knot)}. Against it the best of each kind of server; "
                "ratios of throughput above 1 and of CPU time below 1 are in Knot's favour. Ratios are taken within a "
                "round, of a peak at the rates that both had in it; in brackets their range over the rounds. Coloured "
                "is what all rounds agree on, or with fewer than three rounds what differs by more than 2\u202f%. CPU "
                "time is compared at a rate that both keep up with; at overload the faster one serves more.")
      page.table(tables.claims(view, regime))
      losses = prose.losses(view, regime)
      page.text("Where Knot loses beyond the noise:" if losses else
                "Knot's best form loses to none of these beyond the noise.")
      page.items(losses)


def table_one(page, view):
  if not any(prose.profiles(view, regime) for regime in view.regimes):
    return
  page.section("Where the time goes", "table1")
  page.text("Table 1 of the paper: the servers' CPU time by category, from samples of all their threads under a load "
            "below the capacity of the slowest of Knot's forms, \u00b5server, WatPipe and AMPED, each with all of its "
            "processor; functions are sorted by a table that is part of the source. "
            "Per cent of the samples. Debian's programs are stripped, so most of their event loops and queues count "
            "as application. Bobbin's own accounting, kept by the time-stamp counter, stands beside it.")
  for regime in view.regimes:
    page.table(tables.table_one(view, regime))
    page.table(tables.differences(view, regime))
    page.text(targets.where_it_goes(view, regime))
    overhead = prose.thread_overhead(view, regime)
    if overhead:
      page.text(overhead_text(regime, overhead))
    differs = prose.disagreement(view, regime)
    beyond = prose.disagreement(view, regime, "accounting_beyond")
    if differs:
      page.text(f"Bobbin's accounting and the samples differ most for {code(differs[0])}, in the share of "
                f"{html.escape(differs[1])}, by {differs[2]:.2f} points; the aim is at most two. " + (
                    "For part of the CPU time of a scheduler that often falls asleep there is no sample. Whatever "
                    f"that time was, {beyond[2]:.2f} points remain at most ({code(beyond[0])}, "
                    f"{html.escape(beyond[1])})."
                    if beyond else ""))


def overhead_text(regime, overhead):
  """`overhead` is that of prose.thread_overhead."""
  def verdict(most):
    return f"{most:.2f}\u202f%, which {'meets' if most <= 2 else 'misses'} it"
  narrow, wide = (max(pair[i] for pair in overhead.values()) for i in range(2))
  return (f"Thread overhead ({regime}): {prose.overhead_list(overhead)}. The first figure is the paper's: scheduling, "
          "context switching and synchronization, workers included. The second adds what answers the program's system "
          "calls, which servers without Bobbin do in libc and in loops of their own. The paper found 6.8 to "
          f"10.5\u202f%; the aim here is at most 2\u202f%. The most is {verdict(narrow)} by the paper's definition, "
          f"and {verdict(wide)} by the wider one.")


def response_times(page, view, figures):
  if not any(view.compared(regime) for regime in view.regimes):
    return
  page.section("Response times", "response")
  page.text("The time to connect, shared among the connection's replies, and from the request to its reply, as in the "
            "paper; and percentiles, from the intended start of each request.")
  for regime in view.regimes:
    page.text(prose.response_text(view, regime))
    page.figure(figures.get(f"fig8-{regime}"), f"Figure 8, {regime}. Mean response time.")
    page.table(tables.responses(view, regime))


def connections(page, view, figures):
  if not view.of_kind("scaling") and not view.of_kind("memory"):
    return
  page.section("Connections", "connections")
  for regime in view.regimes:
    curves = tables.scaling_curves(view, regime)
    if curves:
      page.text("Connections that have made one request are held open while a load of one fixed rate runs over others. "
                + prose.scaling_text(view, curves))
      page.figure(figures.get(f"scaling-{regime}"), f"Server CPU time a reply against connections held, {regime}.")
      page.table(tables.scaling(curves))
  if view.of_kind("memory"):
    page.text("Idle connections after one request each: resident memory and page tables of all processes of the "
              "server, less those of the same server with a fifth of the connections, by the connection. Stacks "
              "of kernel threads and what the kernel keeps for sockets are not in it. Pages that processes share count "
              "in each.")
    page.figure(figures.get("memory"), "Memory of an idle connection.")
    page.table(tables.memory(view))


def conclusions(page, view):
  page.section("What holds of the paper\u2019s conclusions", "conclusions")
  for regime in view.regimes:
    page.table(tables.conclusions(view, regime))


def limits(page, view):
  page.section("Limits of the method", "limits")
  page.items([
      "Loopback is no network: there is no driver and no interrupt, and a part of the receiver's work in the kernel is "
      "done within the sender's call. Differences between servers are larger here than over a wire.",
      "The load generator runs beside the server and shares caches and memory bandwidth with it. A receiver copies "
      "every byte while a server with sendfile copies none, so the generator's processor can be full first; where it "
      "was is said above, and CPU time a reply is then the better measure.",
      "Two processors: nothing here tells how a server uses many.",
      f"A process has a limited number of descriptors ({number(view.environment.get('descriptors'))} here). Servers "
      "of one process, and processes that share one table, end there; names of configurations carry the number of "
      "connections that they had.",
      "The machine may be shared. Servers take turns at each rate in an order that rotates, figures are medians "
      f"over the rounds ({rounds_text(view)}), and ratios are taken within a round.",
      disturbance(view),
      windows(view),
      "A large reply may fit into the send buffer of its socket"
      + (f" ({code('net.ipv4.tcp_wmem')} is {html.escape(view.environment['tcp_wmem'])} here)"
         if view.environment.get("tcp_wmem") else "")
      + ": the receiver is on the same machine and takes it at once, so that blocking and non-blocking sendfile differ "
      "less than over a wire. The buffers are the same for all servers and as the system has them.",
      not_resident(view),
      "Under memory pressure the disk, or what a virtual machine has for one, is part of the result.",
  ])


def windows(view):
  """How long points of the comparison were measured."""
  parameters = view.parameters
  duration, warmup = parameters.get("duration"), parameters.get("warmup")
  if not duration or warmup is None:
    return "How long a point was measured was not recorded."
  return (f"A point of the comparison is measured for {duration:g} s after {warmup:g} s. A queue that takes longer "
          "to grow is not seen at its full length: overload here is its first seconds, and fewer clients give up than "
          "would later.")


def rounds_text(view):
  """How many rounds the servers had at the highest rate: not all have as many."""
  counts = [row["rounds"] for regime in view.regimes for name in view.compared(regime).values()
            for row in view.curve(regime, name) if row["rate"] == view.overload(regime)]
  if not counts:
    return "none"
  least, most = min(counts), max(counts)
  if least == most:
    return f"{least} here"
  return f"{least} to {most} here; those between whom the claim is decided have most"


def not_resident(view):
  """Runs whose file set was not in the page cache, though it was to be."""
  runs = [line for line in view.lines if (line.get("result") or {}).get("disturbed")]
  if not runs:
    return ("In no run that was to have the whole file set in the page cache did more than 1\u202f% of the bytes come "
            "from the disk.")
  names = and_list(dict.fromkeys(code(line["key"]) for line in runs[:10]))
  return (f"In {len(runs)} runs that were to have the whole file set in the page cache more than 1\u202f% of the bytes "
          f"came from the disk, twice in a row: {names}{' and others' if len(runs) > 10 else ''}.")


def others_busy(view):
  """(median, most) of what neither the server nor the load used of a processor, or None."""
  shares = sorted(row["others_busy"] for row in view.rows if row["others_busy"] is not None and row["kind"] == "load")
  return (shares[len(shares) // 2], shares[-1]) if shares else None


def disturbance(view):
  """How much else ran on the machine."""
  busy = others_busy(view)
  if busy is None:
    return "What else ran on the machine was not recorded."
  median, most = 100 * busy[0], 100 * busy[1]
  return (f"While a point was measured, everything but the server and the load used {median:.0f}\u202f% of a processor "
          f"in the median and {most:.0f}\u202f% at most: interrupts, this program, "
          "and whatever else ran there.")


def failures(page, view):
  failed = view.failures()
  page.section("Failures", "failures")
  if not failed:
    page.text("No point failed.")
    return
  page.text("These points could not be measured. The same command again tries them once more.")
  page.items([prose.failure_text(row) for row in failed])
