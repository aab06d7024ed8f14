#!/usr/bin/env python3
"""What is told from points: names, resuming, best tunings, rates, marks of verification, sentences."""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)

# pylint: disable=wrong-import-position
import calibrate
import experiments
import groups
import measure
import prose
import regimes
import report
import results
import servers
import settings
import store as store_module
import tables
import view as view_module

FAMILIES = [family for family in servers.FAMILIES if family.program]


def line(server="knot-nb-15K-25w", rate=1000, mbps=100.0, cpu=20.0, verified=True, round_=1, regime="resident",
         kind="load", family="knot-nb", held=0, status="done", **more):
  """A stored point."""
  result = {"reply_rate": rate, "mbps": mbps, "cpu_us": cpu, "requests": 10, "timeouts": 0, "connections_mean": 5,
            "errors": {}, "latency_ms": {"mean": 1}, "response_ms": {"mean": 2}, "server_busy": 0.5,
            "generator_busy": 0.4, "verification": {"passed": verified, "why": [] if verified else ["too late"]},
            **more}
  stored = {"key": f"{kind} {regime} {server} {rate} {held} {round_}", "status": status, "when": "2026-01-01",
            "point": {"kind": kind, "server": server, "family": family, "parameters": {"connections": 15000},
                      "regime": regime, "rate": rate, "round": round_, "held": held}}
  stored.update({"result": result} if status == "done" else {"reason": "it died"})
  return stored


class TemporaryTest(unittest.TestCase):

  def setUp(self):
    self.folder = tempfile.mkdtemp(prefix="paper-test-")
    self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)

  def store(self, restart=False, **parameters):
    opened = store_module.Store(self.folder, parameters, restart)
    self.addCleanup(opened.close)
    return opened


class Names(unittest.TestCase):

  def name(self, family, **values):
    return servers.configuration(servers.BY_NAME[family], **values).name

  def test_are_those_of_the_papers_legends(self):
    self.assertEqual(self.name("knot-nb", connections=15000, workers=25), "knot-nb-15K-25w")
    self.assertEqual(self.name("knot-c", connections=20000, workers=100, cache_mb=1000), "knot-c-20K-100w-1000MB")
    self.assertEqual(self.name("userver-shared-nb", connections=30000, workers=10), "userver-shared-nb-30K-10p")
    self.assertEqual(self.name("watpipe", connections=12500, workers=25), "watpipe-12.5K-25p")
    self.assertEqual(self.name("amped", connections=500, workers=16), "amped-500-16h")
    self.assertEqual(self.name("mmap-pool", connections=5000), "mmap-pool-5K")

  def test_command_lines_carry_the_parameters(self):
    place = servers.Place("/bin", "/files", 81, "/work", 20000, 100, 7)
    command = servers.configuration(servers.BY_NAME["userver-epoll-b"], connections=30000, workers=100).command(place)
    self.assertLessEqual({"/bin/userver", "--mode=symped", "--processes=100", "--max_conn=30000",
                          "--sendfile=blocking", "--events=epoll", "--listen=127.0.0.1:81", "/files"}, set(command))
    command = servers.configuration(servers.BY_NAME["knot-c"], connections=9, workers=2, cache_mb=7).command(place)
    self.assertLessEqual({"--threads=9", "--workers=2", "--cache_mb=7", "--send=cache"}, set(command))

  def test_no_family_is_without_colour_or_default(self):
    import plots  # pylint: disable=import-outside-toplevel
    for family in servers.FAMILIES:
      self.assertIn(family.name, plots.COLOURS)
      self.assertTrue(not family.grid or family.default in family.grid, family.name)


class StoreTest(TemporaryTest):

  def test_a_point_outlives_the_run(self):
    with self.store(a=1) as store:
      store.add("k", {"kind": "load"}, {"mbps": 5})
      store.add("bad", {"kind": "load"}, reason="it died")
    again = self.store(a=1)
    self.assertEqual(again.result("k"), {"mbps": 5})
    self.assertTrue(again.failed("bad") and not again.is_done("bad"))

  def test_the_last_line_of_a_point_counts(self):
    with self.store(a=1) as store:
      store.add("k", {}, reason="it died")
      store.add("k", {}, {"mbps": 5})
    self.assertEqual(self.store(a=1).result("k"), {"mbps": 5})

  def test_a_torn_line_is_dropped_and_the_rest_kept(self):
    with self.store(a=1) as store:
      store.add("k", {}, {"mbps": 5})
    with open(os.path.join(self.folder, "points.jsonl"), "ab") as file:
      file.write(b'{"key": "torn", "sta')
    with self.store(a=1) as store:
      self.assertEqual(list(store.points), ["k"])
      store.add("next", {}, {})
    self.assertEqual(list(self.store(a=1).points), ["k", "next"])

  def test_other_parameters_are_refused_by_name(self):
    self.store(rounds=1, a=2).close()
    with self.assertRaisesRegex(store_module.Different, "rounds was 1, now 3"):
      self.store(rounds=3, a=2)

  def test_restart_keeps_the_old_points_beside_the_new(self):
    with self.store(a=1) as store:
      store.add("k", {}, {})
    self.assertEqual(self.store(True, a=2).points, {})
    self.assertTrue(os.path.getsize(os.path.join(self.folder, "points.jsonl.previous")))

  def test_two_runs_do_not_share_a_directory(self):
    self.store(a=1)
    with self.assertRaisesRegex(store_module.StoreError, "another run"):
      self.store(a=1)

  @unittest.skipUnless(os.path.exists("/dev/full"), "there is no /dev/full")
  def test_a_full_disk_is_said_and_loses_nothing(self):
    store = self.store(a=1)
    store.add("k", {}, {})
    store._file.close()
    store._file = open("/dev/full", "r+b", buffering=0)
    with self.assertRaisesRegex(store_module.StoreError, "No space left"):
      store.add("next", {}, {})
    self.assertNotIn("next", store.points)
    self.assertEqual(list(store_module_points(self.folder)), ["k"])


def store_module_points(folder):
  with open(os.path.join(folder, "points.jsonl"), encoding="utf-8") as file:
    return [json.loads(text)["key"] for text in list(file)[1:]]


class BestTuning(unittest.TestCase):

  def best(self, *lines, names=("a", "b", "c")):
    return results.best(results.summarise(lines), "resident", names, 1000)

  def test_is_that_of_the_highest_throughput(self):
    self.assertEqual(self.best(line("a", mbps=100, cpu=1), line("b", mbps=120, cpu=9)), "b")

  def test_equals_are_told_apart_by_cpu_time(self):
    self.assertEqual(self.best(line("a", mbps=119, cpu=10), line("b", mbps=120, cpu=11)), "a")

  def test_passes_verification_if_any_does(self):
    self.assertEqual(self.best(line("a", mbps=100), line("b", mbps=120, verified=False)), "a")
    self.assertEqual(self.best(line("b", mbps=120, verified=False)), "b")

  def test_counts_one_rate_and_the_named_alone(self):
    self.assertEqual(self.best(line("a", mbps=100), line("b", mbps=500, rate=2000), line("z", mbps=900)), "a")

  def test_uses_the_runs_of_tuning_before_those_of_the_comparison(self):
    self.assertEqual(self.best(line("a", mbps=100, round_=0), line("a", mbps=300), line("b", mbps=200, round_=0)), "b")

  def test_is_none_where_all_failed(self):
    self.assertIsNone(self.best(line("a", status="failed")))


class Medians(unittest.TestCase):

  def test_are_over_rounds_and_one_failed_verification_marks_the_row(self):
    rows = results.summarise([line(mbps=100, round_=1), line(mbps=130, round_=2, verified=False),
                              line(mbps=110, round_=3)])
    self.assertEqual([(row["mbps"], row["verified"], row["rounds"]) for row in rows], [(110, False, 3)])
    self.assertEqual(results.mark(rows[0]), "failed verification")
    self.assertEqual((rows[0]["low"], rows[0]["high"], rows[0]["why"]), (100, 130, "too late"))

  def test_failed_rounds_leave_the_others(self):
    rows = results.summarise([line(status="failed", round_=1), line(mbps=130, round_=2)])
    self.assertEqual([(row["mbps"], row["status"], row["rounds"]) for row in rows], [(130, "done", 1)])
    rows = results.summarise([line(status="failed")])
    self.assertEqual((results.mark(rows[0]), rows[0]["why"]), ("failed", "it died"))

  def test_a_peak_is_of_runs_that_pass(self):
    rows = results.summarise([line(rate=1000, mbps=100), line(rate=2000, mbps=150, verified=False)])
    curve = results.curve(rows, "resident", "knot-nb-15K-25w")
    self.assertEqual([row["rate"] for row in curve], [1000, 2000])
    self.assertEqual(results.peak(curve)["mbps"], 100)

  def test_ratios_are_taken_within_a_round(self):
    lines = [line("k", mbps=100, round_=1), line("u", mbps=50, round_=1), line("k", mbps=300, round_=2),
             line("u", mbps=300, round_=2), line("k", mbps=900, round_=3)]
    self.assertEqual(view_module.View(lines, {}).ratio("resident", "k", "u", 1000, "mbps"), (1.5, 1.0, 2.0))


class Rates(TemporaryTest):

  def plan(self, chosen=settings.Settings(), families=FAMILIES, figures=settings.FIGURES, **parameters):
    return experiments.Plan(chosen, self.store(**parameters), families, figures, 20000)

  def test_follow_the_calibrated_capacity(self):
    plan = self.plan()
    plan.store.add("calibration resident", {"kind": "calibration"},
                   {"capacity": 31234.0, "off_scale": 0.25, "share": 0.5})
    points = plan.comparison("resident")
    self.assertEqual(sorted({p.rate for p in points})[-1], 47000)
    self.assertEqual({(p.off_scale, p.share) for p in points}, {(0.25, 0.5)})
    self.assertEqual(len(points), 3 * 6 * len(FAMILIES))

  def test_are_tidy(self):
    self.assertEqual([experiments.tidy(rate) for rate in (31234, 987, 15620.5, 0)], [31000, 985, 15500, 0])

  def test_all_servers_take_turns_at_each_rate(self):
    points = self.plan().comparison("resident")
    count = len(FAMILIES)
    for start in range(0, len(points), count):
      turn = points[start:start + count]
      self.assertEqual(len({p.configuration.family.name for p in turn}), count)
      self.assertEqual(len({(p.rate, p.round) for p in turn}), 1)
    self.assertGreater(len({points[start].configuration.name for start in range(0, len(points), count)}), 3)

  def test_a_server_that_keeps_files_in_its_memory_is_not_put_under_pressure(self):
    names = {p.configuration.family.name for p in self.plan().comparison("pressure")}
    self.assertNotIn("reuseport", names)
    self.assertIn("knot-nb", names)

  def test_a_server_that_failed_its_check_is_not_measured(self):
    plan = self.plan()
    plan.store.add(plan.checks("resident")[0].key, {}, reason="wrong bytes")
    self.assertNotIn("knot-c", {p.configuration.family.name for p in plan.comparison("resident")})

  def test_connections_stay_within_the_descriptors_of_a_process(self):
    plan = self.plan()
    for family in FAMILIES:
      for c in plan.coarse_matrix("resident", family):
        processes = c.get(servers.WORKERS, 1) if family.separate else c.processes
        self.assertLessEqual(c.get(servers.CONNECTIONS), processes * (20000 - servers.SPARE_DESCRIPTORS), c.name)
    held = {p.configuration.family.name for p in plan.scaling("resident") if p.held == 30000}
    self.assertTrue({"userver-nb", "knot-nb"} <= held)
    self.assertFalse({"watpipe", "knot-kernel-threads"} & held)

  def test_knot_is_several_processes_only_where_one_has_too_few_descriptors(self):
    plan = self.plan()
    knot = servers.BY_NAME["knot-nb"]
    names = {c.name for c in plan.coarse_matrix("resident", knot)}
    self.assertTrue({"knot-nb-15K-25w", "knot-nb-30K-25w-2p"} <= names, names)
    self.assertEqual(plan.default(knot).name, "knot-nb-15K-25w")
    c = next(p.configuration for p in plan.scaling("resident")
             if p.held == 30000 and p.configuration.family == knot)
    self.assertGreater(c.get(servers.CONNECTIONS), 30000)  # chance does not halve them
    place = servers.Place("bin", "root", 1, "work", 20000, 1, 1)
    self.assertIn(f"--processes={c.processes}", c.command(place))
    self.assertEqual(measure.fewer(c).processes, c.processes)

  def test_the_fine_matrix_lies_between_the_best_and_its_neighbours(self):
    plan = self.plan()
    rate = plan.overload_rate("resident")
    for c in plan.coarse_matrix("resident", servers.BY_NAME["watpipe"]):
      plan.store.add(c.name, {"kind": "load", "server": c.name, "family": "watpipe", "regime": "resident", "rate": rate,
                              "round": 0, "parameters": dict(c.parameters)},
                     line(mbps=200 if c.name == "watpipe-15K-25p" else 100)["result"])
    fine = {c.name for c in plan.fine_matrix("resident", servers.BY_NAME["watpipe"])}
    self.assertEqual(fine, {"watpipe-8.7K-25p", "watpipe-15K-11p", "watpipe-15K-35p"})

  def test_the_servers_share_keeps_the_generator_from_being_full(self):
    steps = [{"rate": 9000, "reply_rate": 5000, "server_busy": 0.8, "generator_busy": 1.0}]
    if calibrate.server_share(steps, 1.5) != 1.0:  # the machine grants one
      self.assertEqual(calibrate.server_share(steps, 1.5), 0.45)
    self.assertEqual(calibrate.server_share([{**steps[0], "generator_busy": 0.3}], 1.5), 1.0)

  def test_the_off_scale_brings_the_wanted_connections(self):
    steps = [{"rate": 1000, "off_scale": 0.1, "reply_rate": 1000, "connections": 200},
             {"rate": 9000, "off_scale": 0.1, "reply_rate": 5000, "connections": 9000}]
    # 2 connections for each request/s at full off-times: 5,000 requests/s would hold 10,000.
    self.assertEqual(calibrate.off_scale(steps, 8000), 0.8)
    self.assertEqual(calibrate.off_scale(steps, 80000), 1.0)


class Regimes(TemporaryTest):

  def test_the_helper_stands_in_where_no_group_can_be_made(self):
    nowhere = [os.path.join(self.folder, "none")]
    made = regimes.pressure(self.folder, 1 << 30, 0, nowhere)
    self.assertIn("drops one file in 4", made.description)
    with made.around():
      pass

  def test_a_group_that_is_granted_is_written_entered_and_left(self):
    hierarchy = os.path.join(self.folder, "cpu")
    os.mkdir(hierarchy)
    with self.assertRaises(groups.GroupError):  # no kernel makes its files there
      groups.Limits(groups.processor_share(0.5), hierarchies=[hierarchy])
    self.assertEqual(os.listdir(hierarchy), [])
    self.assertEqual(groups.processor_share(0.5)[2], (("cpu.max", "5000 10000"),))
    done = subprocess.run(["sh", "-c", groups.ENTER, "sh", hierarchy, "--", "echo", "a b"], capture_output=True,
                          text=True, check=False)
    self.assertEqual(done.stdout, "a b\n")
    with open(os.path.join(hierarchy, "cgroup.procs"), encoding="ascii") as file:
      self.assertGreater(int(file.read()), 1)

  def test_counts_the_file_set(self):
    with open(os.path.join(self.folder, "a"), "wb") as file:
      file.write(b"12345")
    self.assertEqual(regimes.size_of(self.folder), (1, 5))
    regimes.warm(self.folder)
    regimes.evict(regimes.each_file(self.folder))


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
