"""Writes what a directory of results is for: the tables as CSV and JSON, the figures, the report."""

import os
import platform
import re
import shlex
import subprocess
import time

import plots
import regimes
import report
import results
import tables
import view as view_module

TITLES = {
    "fig1": "Tuning Knot: its own cache", "fig2": "Tuning Knot: non-blocking sendfile",
    "fig3": "Tuning Knot: blocking sendfile", "fig4": "Tuning the \u00b5server: non-blocking sendfile",
    "fig5": "Tuning the \u00b5server: blocking sendfile", "fig6": "Tuning WatPipe",
    "tuning": "the matrices of all servers that have something to tune",
    "fig7": "Throughput of the servers", "fig8": "Mean response time of the servers",
    "table1": "CPU time by category", "scaling": "CPU time a reply by connections held open",
    "memory": "Memory of an idle connection"}


def environment(command, descriptions, root, awake):
  """What a reader needs to judge the numbers."""
  with open("/proc/meminfo", encoding="ascii") as file:
    memory = int(re.search(r"^MemTotal:\s+(\d+)", file.read(), re.MULTILINE)[1])
  files, size = regimes.size_of(root)
  return {"processor": f"{processor_name()}, {os.cpu_count()} processors", "memory": f"{memory / 2**20:.1f} GiB",
          "kernel": f"{platform.system()} {platform.release()}", "system": system_name(),
          "date": time.strftime("%Y-%m-%d %H:%M %Z"), "revision": revision(),
          "command": shlex.join(["./dev", "bench", "paper"] + without_bin(command[1:])), "regimes": descriptions,
          "idle": "processors poll" if awake else "processors halt",
          "tcp_wmem": first_line("/proc/sys/net/ipv4/tcp_wmem"),
          "descriptors": os.sysconf("SC_OPEN_MAX"), "files": files, "file_bytes": size}


def without_bin(arguments):
  kept = []
  skip = False
  for argument in arguments:
    if skip or argument == "--bin":
      skip = not skip
    elif not argument.startswith("--bin="):
      kept.append(argument)
  return kept


def processor_name():
  with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
    found = re.search(r"^model name\s*:\s*(.+)$", file.read(), re.MULTILINE)
  return found[1] if found else platform.machine()


def first_line(path):
  try:
    with open(path, encoding="utf-8") as file:
      return " ".join(file.readline().split())
  except OSError:
    return ""


def system_name():
  try:
    return platform.freedesktop_os_release().get("PRETTY_NAME", "")
  except OSError:
    return ""


def revision():
  try:
    done = subprocess.run(["git", "-C", os.path.dirname(os.path.abspath(__file__)), "rev-parse", "--short", "HEAD"],
                          stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=False)
    return done.stdout.strip()
  except OSError:
    return ""


def publish(folder, store, progress):
  """Writes everything anew from the stored points."""
  view = view_module.View(store.points.values(), store.parameters)
  results.write_csv(os.path.join(folder, "results.csv"), view.rows)
  results.write_json(os.path.join(folder, "results.json"), document(view))
  figures = draw(folder, view, progress)
  path = os.path.join(folder, "report.html")
  with open(path + ".new", "w", encoding="utf-8") as file:
    file.write(report.write(view, figures))
  os.replace(path + ".new", path)
  progress.say(f"results in {folder}: report.html, results.csv, results.json, {len(figures)} figures")


def document(view):
  return {"environment": view.environment, "parameters": view.parameters,
          "calibration": {regime: view.calibration(regime) for regime in view.regimes},
          "compared": {regime: view.compared(regime) for regime in view.regimes},
          "rows": view.rows, "summary": view.summary, "points": view.lines}


def draw(folder, view, progress):
  """Draws every figure there are results for. Returns {name: SVG for a page}."""
  try:
    pyplot = plots.start()
  except ImportError:
    progress.say("no figures: python3-matplotlib is not installed (./dev bench paper installs it)")
    return {}
  found = {}
  for name, figure in figures_of(pyplot, view):
    found[name] = plots.save(pyplot, figure, folder, name)
  return found


def figures_of(pyplot, view):
  families = plots.family_of(view.rows)
  for regime in view.regimes:
    yield from tuning_figures(pyplot, view, regime)
    curves = {name: view.curve(regime, name) for name in view.compared(regime).values()}
    curves = {name: rows for name, rows in curves.items() if rows}
    if curves:
      yield f"fig7-{regime}", plots.by_rate(pyplot, curves, families, "mbps", "Mbps",
                                            f"Throughput of different architectures, {regime}")
      yield f"fig7-cpu-{regime}", plots.by_rate(pyplot, curves, families, "cpu_us", "server CPU, \u00b5s a reply",
                                                f"CPU time a reply, {regime}")
      yield f"fig8-{regime}", plots.by_rate(pyplot, curves, families, "response_mean_ms", "ms",
                                            f"Mean response time, {regime}", log=True)
    scaling = tables.scaling_curves(view, regime)
    if scaling:
      yield f"scaling-{regime}", plots.scaling_figure(pyplot, scaling, {name: name for name in scaling},
                                                      f"Connection scaling, {regime}")
  memory = [row for row in view.of_kind("memory") if row["status"] == "done"]
  if memory:
    yield "memory", plots.memory_figure(pyplot, memory, families, f"Idle memory at {memory[0]['held']:,} connections")


def tuning_figures(pyplot, view, regime):
  for figure in ("fig1", "fig2", "fig3", "fig4", "fig5", "fig6"):
    curves = view.tuned(figure, regime)
    if len(curves) > 1:
      yield f"{figure}-{regime}", plots.tuning_figure(pyplot, curves, f"{TITLES[figure]}, {regime}")


