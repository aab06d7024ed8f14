#!/usr/bin/env python3
"""What a report says: verdicts, sentences, what is kept of a run."""

import json
import os
import re
import sys
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)

# pylint: disable=wrong-import-position
import keep
import prose
import report
import runner
import tables
import targets
import view as view_module
from parts_test import TemporaryTest, line


class Targets(unittest.TestCase):

  def verdict(self, *ratio, more=True):
    found = targets.Verdict(ratio, more)
    return found.kind, found.text

  def test_what_all_rounds_agree_on_is_met_or_missed(self):
    self.assertEqual(self.verdict(1.05, 1.01, 1.09, 3), (targets.MET, "met"))
    self.assertEqual(self.verdict(0.9, 0.88, 0.99, 3), (targets.MISSED, "missed by 10\u202f%"))
    self.assertEqual(self.verdict(0.9, 0.88, 0.99, 3, more=False), (targets.MET, "met"))

  def test_rounds_on_both_sides_decide_nothing(self):
    self.assertEqual(self.verdict(1.05, 0.95, 1.09, 4), (targets.EQUAL, "met, within the noise"))
    self.assertEqual(self.verdict(0.97, 0.95, 1.01, 4), (targets.EQUAL, "missed by 3\u202f%, within the noise"))
    self.assertEqual(self.verdict(1.01, 0.95, 1.09, 4, more=False)[0], targets.EQUAL)

  def test_a_single_round_needs_a_clear_difference(self):
    self.assertEqual(self.verdict(1.01, 1.01, 1.01, 1)[0], targets.EQUAL)
    kind, text = self.verdict(1.1, 1.1, 1.1, 1)
    self.assertEqual(kind, targets.MET)
    self.assertIn("no spread", text)

  def test_a_peak_is_compared_at_the_rates_that_both_had_in_the_round(self):
    lines = [line("k", 1000, 100), line("u", 1000, 50), line("k", 2000, 300),
             line("k", 1000, 90, round_=2), line("u", 1000, 90, round_=2), line("u", 2000, 10, round_=2),
             line("k", 2000, 900, round_=2, verified=False)]
    self.assertEqual(targets.peak(view_module.View(lines, {}), "resident", "k", "u"), (1.5, 1.0, 2.0, 2))

  def test_cpu_time_is_compared_where_both_keep_up(self):
    lines = [line("k", 1000, cpu=10.0), line("u", 1000, cpu=20.0),
             line("k", 2000, cpu=5.0, reply_rate=2000), line("u", 2000, cpu=50.0, reply_rate=900)]
    self.assertEqual(targets.cpu(view_module.View(lines, {}), "resident", "k", "u"), (0.5, 0.5, 0.5, 1))

  def test_tells_in_microseconds_where_the_time_goes(self):
    def profiled(server, family, cpu, shares):
      return line(server, cpu=cpu, kind="profile", family=family, profile={"categories": shares})
    lines = [line("knot-nb-15K-25w", mbps=80.0), line("watpipe-15K-25p", mbps=100.0, family="watpipe"),
             profiled("knot-nb-15K-25w", "knot-nb", 20.0, {"kernel.networking": 50.0, "user.application": 50.0}),
             profiled("watpipe-15K-25p", "watpipe", 10.0, {"kernel.networking": 80.0, "user.application": 20.0})]
    view = view_module.View(lines, {})
    self.assertEqual(targets.differences(view, "resident", "knot-nb-15K-25w", "watpipe-15K-25p"),
                     [("user space, application", 10.0, 2.0), ("kernel, networking", 10.0, 8.0)])
    self.assertIn("+8.0", targets.where_it_goes(view, "resident"))


class Keep(TemporaryTest):

  def setUp(self):
    super().setUp()
    os.mkdir(os.path.join(self.folder, "docs"))
    for path, name in keep.BLOCKS:
      self.write(path, f"before\n<!-- numbers:{name} -->\nold\n<!-- /numbers:{name} -->\nafter\n")

  def write(self, path, text):
    with open(os.path.join(self.folder, path), "w", encoding="utf-8") as file:
      file.write(text)

  def read(self, path):
    with open(os.path.join(self.folder, path), encoding="utf-8") as file:
      return file.read()

  def keep(self):
    lines = [line("knot-nb-15K-25w", mbps=80.0), line("userver-nb-30K-4p", mbps=100.0, family="userver-nb"),
             {"key": "environment", "status": "done", "point": {"kind": "environment"},
              "result": {"command": "./dev bench paper --hours=2 --out=/home/x/full", "date": "2026-01-01",
                         "processor": "a processor"}}]
    with open(os.devnull, "w", encoding="utf-8") as nowhere:
      keep.keep(self.folder, lines, {}, runner.Progress(nowhere))

  def test_writes_what_was_found_where_it_belongs(self):
    self.keep()
    for path, name in keep.BLOCKS:
      text = self.read(path)
      self.assertRegex(text, rf"(?s)^before\n<!-- numbers:{name} -->\n.*missed by 20 %.*"
                             rf"<!-- /numbers:{name} -->\nafter")
      self.assertNotIn("\nold\n", text)
      self.assertIn("a processor", text)
    self.assertEqual(json.loads(self.read("docs/results/paper/summary.json"))["summary"][0]["mbps"], 80)
    for name in os.listdir(os.path.join(self.folder, keep.FOLDER)):
      self.assertNotIn("/home/x", self.read(os.path.join(keep.FOLDER, name)), name)

  def test_a_missing_block_is_told_and_nothing_written(self):
    self.write("docs/benchmarks.md", "nothing here\n")
    with self.assertRaisesRegex(keep.KeepError, "docs/benchmarks.md has no block"):
      self.keep()
    self.assertIn("old", self.read("README.md"))
    self.assertFalse(os.path.exists(os.path.join(self.folder, keep.FOLDER)))


class Prose(unittest.TestCase):

  def view(self, knot, userver):
    lines = [line("knot-nb-15K-25w", mbps=knot), line("userver-nb-30K-4p", mbps=userver, family="userver-nb")]
    return view_module.View(lines, {})

  def test_says_plainly_where_knot_loses(self):
    said = " ".join(prose.losses(self.view(80.0, 100.0), "resident"))
    self.assertIn("knot-nb-15K-25w", said)
    self.assertIn("0.80", said)
    self.assertIn("The claim is missed in", prose.summary_sentence(self.view(80.0, 100.0), "resident"))

  def test_says_nothing_of_losses_where_there_are_none(self):
    self.assertEqual(prose.losses(self.view(110.0, 100.0), "resident"), [])
    self.assertIn("The claim holds", prose.summary_sentence(self.view(110.0, 100.0), "resident"))

  def test_judges_the_papers_conclusions_by_the_numbers(self):
    def verdict(knot, userver):
      return prose.conclusions(self.view(knot, userver), "resident")[0][1]
    self.assertEqual((verdict(80.0, 100.0), verdict(110.0, 100.0)), (prose.HOLDS, prose.FAILS))
    self.assertEqual(prose.conclusions(self.view(1.0, 1.0), "resident")[1][1], prose.OPEN)

  def profiled(self):
    """Table 1 of Knot, of Knot on kernel threads and of another server."""
    def taken(narrow, wide, **more):
      return {"categories": {"user.thread_overhead": narrow + wide, "user.application": 100 - narrow - wide},
              "thread_overhead": {prose.PAPERS_OVERHEAD: narrow, "system-call layer": wide}, **more}
    own = {"accounting": {"event": 20, "application": 80}, "accounting_samples": {"event": 15, "application": 85},
           "accounting_difference": {"event": 5, "application": -5}, "unsampled": 4.75,
           "accounting_beyond": {"event": 0.96, "application": 0}}
    of_kind = {"kind": "profile", "round_": 0}
    return view_module.View([
        line("knot-nb-15K-25w", profile=taken(1.5, 2.25, **own), **of_kind),
        line("knot-kernel-threads-2K", family="knot-kernel-threads", profile=taken(7, 0), **of_kind),
        line("userver-nb-30K-4p", family="userver-nb", profile=taken(0.5, 0), **of_kind)], {})

  def test_thread_overhead_is_the_papers_and_the_wider_one(self):
    view = self.profiled()
    self.assertEqual(prose.thread_overhead(view, "resident"), {"knot-nb-15K-25w": (1.5, 3.75)})
    text = report.overhead_text("resident", prose.thread_overhead(view, "resident"))
    self.assertIn("1.50\u202f%, which meets it", text)
    self.assertIn("3.75\u202f%, which misses it", text)

  def test_table_one_has_both_halves_and_how_far_the_accounting_agrees(self):
    def row(title):
      found = table[table.index(title):]
      return re.findall(r">([^<>]+)</td>", found[:found.index("</tr>")])
    table = tables.table_one(self.profiled(), "resident")
    self.assertEqual(row("of it " + prose.PAPERS_OVERHEAD)[-3:], ["1.50", "7.00", "0.50"])
    self.assertEqual(row("of it system-call layer")[-3:], ["2.25", "0.00", "0.00"])
    self.assertEqual(row("largest difference, points")[-3:], ["5.00", "\u2013", "\u2013"])
    self.assertEqual(row("CPU time that no sample stands for")[-3:], ["4.75", "\u2013", "\u2013"])
    self.assertEqual(row("largest difference beyond")[-3:], ["0.96", "\u2013", "\u2013"])

  def test_an_older_profile_without_halves_still_makes_a_table(self):
    view = self.profiled()
    for stored in view.lines:
      del stored["result"]["profile"]["thread_overhead"]
    self.assertIsNone(prose.thread_overhead(view, "resident"))
    self.assertIn("thread overhead", tables.table_one(view, "resident"))


if __name__ == "__main__":
  unittest.main()
