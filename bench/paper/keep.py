"""Keeps a full run with the source: docs/results/paper/ has its table, summary, figures and report, and the marked
blocks of README.md and docs/benchmarks.md say what it found."""

import glob
import html
import json
import os
import re
import shutil

import prose
import publish
import report
import results
import targets
import view as view_module

FOLDER = "docs/results/paper"
# Where what is written between <!-- numbers:NAME --> and <!-- /numbers:NAME -->.
BLOCKS = (("README.md", "paper"), ("docs/benchmarks.md", "full"))


class KeepError(Exception):
  """The run cannot be kept; the message says why."""


def keep(root, lines, parameters, progress):
  """Writes everything below `root`, the source's. Nothing is written where a marked block is missing."""
  view = view_module.View([tidied(line) for line in lines], parameters)
  texts = {path: with_block(root, path, name, block(view, name)) for path, name in BLOCKS}
  folder = os.path.join(root, FOLDER)
  shutil.rmtree(folder, ignore_errors=True)
  os.makedirs(folder)
  figures = publish.draw(folder, view, progress)
  for path in glob.glob(os.path.join(glob.escape(folder), "*.png")):  # the SVG says the same
    os.remove(path)
  results.write_csv(os.path.join(folder, "results.csv"), view.rows)
  write(os.path.join(folder, "summary.json"), json.dumps(summary(view), separators=(",", ":")) + "\n")
  write(os.path.join(folder, "report.html"), report.write(view, figures))
  write(os.path.join(folder, "README.md"), readme(view))
  for path, text in texts.items():
    write(os.path.join(root, path), text)
  progress.say(f"kept in {FOLDER}; {' and '.join(path for path, _ in BLOCKS)} say what was found")


def write(path, text):
  with open(path + ".new", "w", encoding="utf-8") as file:
    file.write(text)
  os.replace(path + ".new", path)


def tidied(line):
  """Without the paths of the machine it was measured on."""
  if line["key"] != "environment" or "result" not in line:
    return line
  command = re.sub(r"--(out|files)[= ](\"[^\"]*\"|'[^']*'|\S+)", lambda found: f"--{found[1]}=DIR",
                   line["result"].get("command", ""))
  return {**line, "result": {**line["result"], "command": command}}


def summary(view):
  """What is needed to draw the figures again; every point is in results.csv."""
  rounded = [{name: float(f"{value:.6g}") if isinstance(value, float) else value for name, value in row.items()
              if value is not None} for row in view.summary]
  return {"environment": view.environment, "parameters": view.parameters,
          "calibration": {regime: view.calibration(regime) for regime in view.regimes},
          "compared": {regime: view.compared(regime) for regime in view.regimes}, "summary": rounded}


def with_block(root, path, name, text):
  """Returns a file's text with a marked block replaced."""
  try:
    with open(os.path.join(root, path), encoding="utf-8") as file:
      old = file.read()
  except OSError as error:
    raise KeepError(f"{path} cannot be read: {error.strerror}") from error
  begin, end = f"<!-- numbers:{name} -->\n", f"<!-- /numbers:{name} -->"
  if old.count(begin) != 1 or old.count(end) != 1 or old.index(begin) > old.index(end):
    raise KeepError(f"{path} has no block {begin.strip()} \u2026 {end}")
  return old[:old.index(begin) + len(begin)] + text + old[old.index(end):]


# -- Markdown ---------------------------------------------------------------------------------------------------------


def plain(text):
  """A sentence of the report as Markdown."""
  text = re.sub(r"</?code>", "`", text)
  text = re.sub(r"</?b>", "**", text)
  return html.unescape(text).replace("\u202f", " ").replace("|", "\\|").strip()


def table(heads, rows):
  return "".join("| " + " | ".join(cells) + " |\n" for cells in [heads, ["---"] * len(heads)] + rows)


def origin(view):
  environment = view.environment
  where = ", ".join(environment[name] for name in ("processor", "memory", "kernel", "system", "date")
                    if environment.get(name))
  revision = f" of revision `{environment['revision']}`" if environment.get("revision") else ""
  quick = " **A quick run: its differences are mostly noise.**" if view.parameters.get("quick") else ""
  return f"`{environment.get('command', './dev bench paper')}`{revision}; {where}.{quick}\n"


def aims(view):
  found = {regime: targets.all_of(view, regime) for regime in view.regimes if view.compared(regime)}
  rows = []
  for aim in dict.fromkeys(aim for each in found.values() for aim, _, _ in each):
    cells = [plain(aim)]
    for each in found.values():
      verdict, text = next(((verdict, text) for name, verdict, text in each if name == aim), (None, ""))
      cells.append(": ".join(filter(None, (plain(verdict.text) if verdict else "not measured", plain(text)))))
    rows.append(cells)
  return table(["Knot's best form"] + list(found), rows) + (
      "\nRatios are medians of those within a round, in brackets their range over the rounds; *within the noise* where "
      "the rounds lie on both sides of the aim.\n")


def losses(view):
  found = []
  for regime in view.regimes:
    found += [f"- {regime}: {plain(text)}" for text in prose.losses(view, regime)]
  return "Where Knot loses beyond the noise:\n\n" + "\n".join(found) + "\n" if found else \
      "Knot's best form loses to nobody beyond the noise.\n"


def conclusions(view):
  rows = []
  for regime in view.regimes:
    rows += [[regime, plain(html.escape(said)), verdict, plain(text)]
             for said, verdict, text in prose.conclusions(view, regime) if verdict != prose.OPEN]
  return ("What the paper concludes, and what was measured here:\n\n"
          + table(["", "the paper", "here", "measured"], rows))


def block(view, name):
  if name == "paper":
    return f"{origin(view)}\n{aims(view)}\n{losses(view)}"
  sentences = "\n\n".join(plain(prose.summary_sentence(view, regime)) for regime in view.regimes)
  return (f"The last full run is kept in [results/paper](results/paper/README.md): {origin(view)}\n{sentences}\n\n"
          f"{aims(view)}\n{losses(view)}\n{conclusions(view)}")


def readme(view):
  return (f"# The paper's comparison, a full run\n\n{origin(view)}\n"
          "[report.html](report.html) is the report, `results.csv` has every point, `summary.json` medians over rounds "
          "with the calibration and all parameters, the SVG files are the figures. [docs/benchmarks.md]"
          "(../../benchmarks.md#paper) tells what is measured and how.\n\n"
          f"{aims(view)}\n{losses(view)}\n{conclusions(view)}")
