"""The figures, drawn with matplotlib: as files, and as SVG that a page takes the colours of text for."""

import io
import os
import re

INK = "#123456"  # stands for the colour of text, which a page chooses
FAINT = "#654321"  # for lines of the grid
COLOURS = {
    "knot-c": "#f4a259", "knot-nb": "#e4572e", "knot-b": "#c9184a", "knot-poll": "#b5838d", "knot-inline": "#ff7b00",
    "knot-auto": "#e63946", "knot-kernel-threads": "#9c6644", "userver-sped": "#90a8c3", "userver-nb": "#3a86ff",
    "userver-b": "#5e60ce", "userver-shared-nb": "#0096c7", "userver-shared-b": "#48bfe3",
    "userver-epoll-nb": "#4361ee",
    "userver-epoll-b": "#7b8cde", "userver-epoll-shared-nb": "#00b4d8", "watpipe": "#2a9d8f", "amped": "#8ab17d",
    "reuseport": "#8d99ae", "mmap-pool": "#6c757d", "nginx": "#9d4edd", "lighttpd": "#c77dff", "h2o": "#d63ae0",
    "apache": "#a4508b", "go": "#b388eb"}
LINES = ("#e63946", "#3a86ff", "#2a9d8f", "#f4a259", "#9d4edd", "#8d99ae", "#c9184a", "#0096c7", "#8ab17d", "#9c6644")
MARKERS = "osD^v<>pPXh*8d"
DASHES = ("-", "--", "-.")


def start():
  """Returns pyplot, set up; ImportError where matplotlib is missing."""
  import matplotlib  # pylint: disable=import-outside-toplevel
  matplotlib.use("Agg")
  from matplotlib import pyplot  # pylint: disable=import-outside-toplevel
  pyplot.rcParams.update({
      "svg.fonttype": "none", "svg.hashsalt": "bobbin", "font.size": 9, "font.family": "sans-serif",
      "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True, "grid.linewidth": 0.6,
      "lines.linewidth": 1.5, "lines.markersize": 5, "legend.frameon": False, "legend.fontsize": 8,
      "axes.titlesize": 10, "figure.dpi": 110})
  return pyplot


def style(family, number):
  """Returns the arguments of a line."""
  dash = DASHES[0]
  if family.startswith("userver"):
    dash = DASHES[1]
  elif family and not family.startswith(("knot", "watpipe", "amped")):
    dash = DASHES[2]
  return {"color": COLOURS.get(family, LINES[number % len(LINES)]), "marker": MARKERS[number % len(MARKERS)],
          "linestyle": dash}


def draw_curve(axes, xs, rows, name, look):
  """One line. Where verification failed the marker is hollow; a bar is the range of a throughput over the rounds."""
  points = [(x, row) for x, row in zip(xs, rows) if row[name] is not None]
  if not points:
    return
  axes.plot([x for x, _ in points], [row[name] for _, row in points], markevery=[], **look)
  ranges = [(x, row["low"], row["high"]) for x, row in points if name == "mbps" and row["rounds"] > 1]
  if ranges:
    axes.vlines(*zip(*ranges), color=look["color"], linewidth=0.8, alpha=0.6)
  for failed in (False, True):
    part = [(x, row[name]) for x, row in points if (row["verified"] is False) == failed]
    if part:
      axes.plot(*zip(*part), linestyle="", marker=look["marker"], color=look["color"],
                markerfacecolor="none" if failed else look["color"])


def legend(axes, curves, looks):
  from matplotlib.lines import Line2D  # pylint: disable=import-outside-toplevel
  handles = [Line2D([], [], label=name, **look) for name, look in zip(curves, looks)]
  if any(row["verified"] is False for rows in curves.values() for row in rows):
    handles.append(Line2D([], [], linestyle="", marker="o", color=INK, markerfacecolor="none",
                          label="hollow: failed verification"))
  axes.legend(handles=handles, loc="upper left", bbox_to_anchor=(1.01, 1.02), borderaxespad=0)


def height(curves):
  """Of a figure, such that its legend fits."""
  return max(3.4, min(5.2, 1 + 0.18 * len(curves)))


def by_rate(pyplot, curves, families, name, ylabel, title, log=False):
  """A figure of several servers against the request rate. `curves` is {server: rows}."""
  if len({row["rate"] for rows in curves.values() for row in rows}) == 1:
    rows = [row for curve in curves.values() for row in curve if row[name] is not None]
    return bars(pyplot, rows, families, lambda row: row[name], f"{ylabel} at {rows[0]['rate']:,.0f} requests/s", title)
  figure, axes = pyplot.subplots(figsize=(8.6, height(curves)))
  looks = [style(families.get(server, ""), number) for number, server in enumerate(curves)]
  for (server, rows), look in zip(curves.items(), looks):
    draw_curve(axes, [row["rate"] for row in rows], rows, name, look)
  axes.set_xlabel("requests/s")
  finish(axes, ylabel, title, log)
  legend(axes, curves, looks)
  return figure


def finish(axes, ylabel, title, log):
  axes.set_ylabel(ylabel)
  axes.set_title(title, loc="left")
  if log:
    axes.set_yscale("log")
  else:
    axes.set_ylim(0, axes.get_ylim()[1] * 1.02)
  axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
  axes.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}" if value >= 10 else f"{value:g}")


def tuning_figure(pyplot, curves, title):
  several = {name: rows for name, rows in curves.items() if len(rows) > 1}
  shown = several if len(several) > 1 else curves
  return by_rate(pyplot, dict(list(shown.items())[:10]), {}, "mbps", "Mbps", title)


def scaling_figure(pyplot, curves, families, title):
  """CPU time a reply against the number of connections held open."""
  figure, axes = pyplot.subplots(figsize=(8.6, height(curves)))
  looks = [style(families.get(server, ""), number) for number, server in enumerate(curves)]
  for (server, rows), look in zip(curves.items(), looks):
    draw_curve(axes, [row["held"] for row in rows], rows, "cpu_us", look)
  axes.set_xscale("log")
  axes.set_xlabel("connections held open")
  finish(axes, "server CPU, \u00b5s a reply", title, False)
  legend(axes, curves, looks)
  return figure


def memory_figure(pyplot, rows, families, title):
  """A bar for each server's memory of an idle connection."""
  rows = sorted(rows, key=lambda row: row["bytes_a_connection"])
  return bars(pyplot, rows, families, lambda row: row["bytes_a_connection"] / 1024, "KiB a connection", title)


def bars(pyplot, rows, families, value, xlabel, title):
  """A bar for each row, the first at the top; hollow where verification failed."""
  rows = rows[::-1]
  figure, axes = pyplot.subplots(figsize=(8.6, 0.6 + 0.27 * len(rows)))
  values = [value(row) for row in rows]
  drawn = axes.barh([row["server"] for row in rows], values)
  for bar, row in zip(drawn, rows):
    colour = style(families.get(row["server"], ""), 0)["color"]
    bar.set(edgecolor=colour, facecolor="none" if row["verified"] is False else colour)
  labels = [f"{value:,.0f}" if value >= 100 else f"{value:.1f}" for value in values]
  axes.bar_label(drawn, labels, fontsize=8, padding=4)
  axes.set_axisbelow(True)
  axes.set_ylim(-0.6, len(rows) - 0.4)
  axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
  axes.grid(axis="y", visible=False)
  axes.set_xlabel(xlabel)
  axes.set_title(title, loc="left")
  return figure


def save(pyplot, figure, folder, name):
  """Writes NAME.svg and NAME.png. Returns the SVG for a page."""
  for extension in ("svg", "png"):
    figure.savefig(os.path.join(folder, f"{name}.{extension}"), bbox_inches="tight", facecolor="white",
                   metadata={"Date": None} if extension == "svg" else None, dpi=150)
  page = inline_svg(figure, name)
  pyplot.close(figure)
  return page


def inline_svg(figure, name):
  """The figure without a background, with the page's colour for text, and with ids that are its own in the page."""
  recolour(figure)
  text = io.StringIO()
  figure.savefig(text, format="svg", bbox_inches="tight", transparent=True, metadata={"Date": None})
  svg = text.getvalue()
  svg = svg[svg.index("<svg"):].replace(INK, "currentColor").replace(FAINT, "var(--grid)")
  svg = re.sub(r'\bid="([^"]+)"', rf'id="{name}-\1"', svg)
  svg = re.sub(r'(xlink:href="#|url\(#)', rf"\1{name}-", svg)
  svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
  svg = re.sub(r"font:\s*([\d.]+)px[^;\"]*", r"font-size: \1px", svg)
  svg = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", svg, count=1, flags=re.DOTALL)
  svg = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", svg, count=1, flags=re.DOTALL)
  return re.sub(r"<svg ", '<svg role="img" ', svg, count=1)


def recolour(figure):
  """Text and axes in the colours that stand for the page's."""
  for axes in figure.axes:
    axes.title.set_color(INK)
    for left in (axes.title, axes._left_title):  # pylint: disable=protected-access
      left.set_color(INK)
    axes.xaxis.label.set_color(INK)
    axes.yaxis.label.set_color(INK)
    axes.tick_params(colors=INK, which="both")
    axes.grid(color=FAINT, axis="x")
    if not axes.containers:
      axes.grid(color=FAINT, axis="y")
    for spine in axes.spines.values():
      spine.set_color(INK)
    for text in axes.texts:
      text.set_color(INK)
    if axes.get_legend():
      for text in axes.get_legend().get_texts():
        text.set_color(INK)


def family_of(server_rows):
  """Returns {server: family} of rows."""
  return {row["server"]: row["family"] for row in server_rows}
