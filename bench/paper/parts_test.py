#!/usr/bin/env python3
"""What is told from points: names, resuming, best tunings, rates, budgets, marks of verification."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "../common")]

# pylint: disable=wrong-import-position
import awake
import budget
import calibrate
import experiments
import groups
import measure
import regimes
import results
import servers
import settings
import store as store_module
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


class Awake(unittest.TestCase):

  def test_asks_for_no_latency_while_it_is_open(self):
    with tempfile.NamedTemporaryFile() as device:
      with awake.Awake(device.name) as kept:
        self.assertTrue(kept.granted)
        with open(device.name, "rb") as file:
          self.assertEqual(file.read(), bytes(4))
      self.assertFalse(kept.granted)

  def test_says_where_it_is_denied(self):
    with awake.Awake("/nonexistent/device") as kept:
      self.assertFalse(kept.granted)


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
    points = plan.round("resident", 1)
    self.assertEqual(sorted({p.rate for p in points})[-1], 47000)
    self.assertEqual({(p.off_scale, p.share) for p in points}, {(0.25, 0.5)})
    self.assertEqual(len(points), 6 * len(FAMILIES))

  def test_are_tidy(self):
    self.assertEqual([experiments.tidy(rate) for rate in (31234, 987, 15620.5, 0)], [31000, 985, 15500, 0])

  def test_all_servers_take_turns_at_each_rate(self):
    plan = self.plan()
    points = plan.round("resident", 1) + plan.round("resident", 2)
    count = len(FAMILIES)
    for start in range(0, len(points), count):
      turn = points[start:start + count]
      self.assertEqual(len({p.configuration.family.name for p in turn}), count)
      self.assertEqual(len({(p.rate, p.round) for p in turn}), 1)
    self.assertGreater(len({points[start].configuration.name for start in range(0, len(points), count)}), 3)

  def test_a_server_that_keeps_files_in_its_memory_is_not_put_under_pressure(self):
    names = {p.configuration.family.name for p in self.plan().round("pressure", 1)}
    self.assertNotIn("reuseport", names)
    self.assertIn("knot-nb", names)

  def test_a_server_that_failed_its_check_is_not_measured(self):
    plan = self.plan()
    plan.store.add(plan.checks("resident")[0].key, {}, reason="wrong bytes")
    self.assertNotIn("knot-c", {p.configuration.family.name for p in plan.round("resident", 1)})

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

  def test_a_chance_lull_is_no_overload(self):
    # 100 sessions: their number has a standard deviation of a tenth.
    self.assertTrue(calibrate.kept_up({"rate": 500, "seconds": 2, "reply_rate": 430}))
    self.assertFalse(calibrate.kept_up({"rate": 500, "seconds": 2, "reply_rate": 300}))
    self.assertFalse(calibrate.kept_up({"rate": 20000, "seconds": 2, "reply_rate": 17200}))

  def test_a_server_that_wants_two_descriptors_a_connection_is_asked_for_half(self):
    lighttpd = servers.BY_NAME["lighttpd"]
    plan = self.plan(families=[lighttpd])
    c = plan.default(lighttpd)
    self.assertLessEqual(2 * c.get(servers.CONNECTIONS), plan.descriptors)
    self.assertEqual(len(plan.memory("resident")), 1)

  def test_the_off_scale_brings_the_wanted_connections(self):
    steps = [{"rate": 1000, "seconds": 2, "off_scale": 0.1, "reply_rate": 1000, "connections": 200},
             {"rate": 9000, "seconds": 2, "off_scale": 0.1, "reply_rate": 5000, "connections": 9000}]
    # 2 connections for each request/s at full off-times: 5,000 requests/s would hold 10,000.
    self.assertEqual(calibrate.off_scale(steps, 8000), 0.8)
    self.assertEqual(calibrate.off_scale(steps, 80000), 1.0)


class Budget(TemporaryTest):

  def plan(self, **changes):
    return experiments.Plan(settings.Settings(rounds=budget.MOST_ROUNDS, **changes), budget.Unmeasured(),
                            servers.FAMILIES, settings.FIGURES, 20000)

  def fitted(self, hours):
    plan = self.plan()
    plan.settings = budget.fit(plan, hours, {})
    return plan

  def test_more_hours_are_more_of_everything(self):
    short, middle, long = (self.fitted(hours) for hours in (1.3, 4, 8))
    for name in ("duration", "warmup", "lines"):
      values = [getattr(plan.settings, name) for plan in (short, middle, long)]
      self.assertEqual(values, sorted(values), name)
    self.assertLess(len(short.coarse("resident")), len(long.coarse("resident")))

  def test_what_the_user_asks_for_is_kept(self):
    self.assertEqual(budget.fit(self.plan(), 1.3, {"duration": 7.0}).duration, 7.0)

  def test_no_server_is_missing_in_a_short_run(self):
    plan = self.fitted(1.3)
    tuned = {family.name for family in servers.FAMILIES if family.tuned}
    every = {family.name for family in servers.FAMILIES}
    def names(points):
      return {point.configuration.family.name for point in points}
    self.assertEqual(names(plan.coarse("resident")), tuned)
    for points in (plan.round("resident", 1), plan.table("resident"), plan.scaling("resident"),
                   plan.memory("resident")):
      self.assertEqual(names(points), every)

  def test_the_plan_ends_within_the_budget(self):
    for hours in (1.3, 4, 8):
      minutes = float(budget.table(self.fitted(hours), hours)[-1].split()[-1])
      self.assertLessEqual(minutes, 60 * hours)
      self.assertGreater(minutes, 60 * hours * 0.9)

  def test_a_further_round_of_a_short_run_is_of_those_who_decide_the_claim(self):
    plan = self.fitted(1.3)
    plan.store = self.store()
    rate = plan.overload_rate("resident")
    for point in plan.round("resident", 1):
      if point.rate == rate:
        name = point.configuration.name
        mbps = {"amped": 120, "userver-b": 110, "watpipe": 105, "knot-auto": 100, "nginx": 95,
                "h2o": 60}.get(point.configuration.family.name, 50)
        plan.store.add(point.key, point.recorded(), line(name, mbps=mbps)["result"])
    chosen = {point.configuration.family.name for point in plan.round("resident", 2, False)}
    self.assertLessEqual({"amped", "userver-b", "watpipe", "knot-auto", "nginx"}, chosen)
    self.assertFalse({"h2o", "userver-nb", "apache", "knot-kernel-threads"} & chosen)
    self.assertLessEqual({0.75, 1.0, 1.5}, {point.fraction for point in plan.round("resident", 2, False)})

  def test_no_round_is_begun_for_which_there_is_no_time(self):
    plan = self.fitted(1.3)
    self.assertIsNone(budget.next_round(plan, 2, 10.0))
    self.assertEqual(budget.next_round(plan, 2, 900.0), {"whole": False})
    self.assertEqual(budget.next_round(plan, 2, 1e5), {"whole": True})

  def test_the_clock_counts_earlier_runs(self):
    times = [0.0]
    clock = budget.Clock(1.0, spent=600.0, now=lambda: times[0])
    times[0] = 1000.0
    self.assertEqual(clock.left(), 3600 - 600 - 1000 - budget.REPORT_SECONDS)
    self.assertFalse(budget.Clock(None).bounded)

  def test_the_store_knows_what_points_took(self):
    with self.store(a=1) as store:
      store.add("k", {}, {}, seconds=2.5)
      store.add("l", {}, reason="it died", seconds=1.5)
    self.assertEqual(self.store(a=1).spent, 4.0)


class Regimes(TemporaryTest):

  def test_a_resident_set_that_is_not_resident_is_told(self):
    regime = regimes.Resident(self.folder)
    self.assertIsNone(regime.disturbed({"disk_mb_s": 0.5, "mbps": 800.0}))
    self.assertIn("not all in the page cache", regime.disturbed({"disk_mb_s": 5.0, "mbps": 800.0}))

  def test_the_files_are_held_in_memory_as_long_as_the_regime_lasts(self):
    with open(os.path.join(self.folder, "a"), "wb") as file:
      file.write(b"x" * 10000)
    regime = regimes.Resident(self.folder)
    regime.enter()
    holder = regime._holder
    if holder is not None:  # the user may lock that much
      with open(f"/proc/{holder.pid}/smaps", encoding="utf-8") as file:
        self.assertRegex(file.read(), rf"{self.folder}/a\n((?!Locked).*\n)*Locked: +12 kB")
    regime.prepare()
    regime.leave()
    self.assertTrue(holder is None or holder.returncode == 0)

  def test_the_cache_is_filled_with_what_is_asked_for_most(self):
    for name in ("dir00000", "dir00001", "dir00002"):
      os.mkdir(os.path.join(self.folder, name))
      with open(os.path.join(self.folder, name, "class0_1"), "wb") as file:
        file.write(b"x" * 100)
    found = regimes.most_wanted(self.folder, 250)
    self.assertEqual([os.path.basename(os.path.dirname(path)) for path in found], ["dir00000", "dir00001"])

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


if __name__ == "__main__":
  unittest.main()
