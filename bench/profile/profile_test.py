#!/usr/bin/env python3
"""Tests of ./dev profile that need no perf: sorting, reading what perf prints, arithmetic, mistakes in its use."""

import contextlib
import io
import os
import subprocess
import sys
import tempfile
import unittest
from unittest import mock

import counters
import profile
import report
import samples
import symbol_table

HERE = os.path.dirname(os.path.abspath(__file__))
RECORDED = os.path.join(HERE, "recorded")

SCRIPT = """\
    0/0     PERF_RECORD_FORK(100:100):(1:1)
    0/0     PERF_RECORD_FORK(101:101):(100:100)
    0/0     PERF_RECORD_FORK(200:200):(1:1)
  100/100
	ffffffff81000010 _raw_spin_lock ([kernel.kallsyms])
	ffffffff81000020 tcp_v4_rcv ([kernel.kallsyms])
	ffffffff81000030 entry_SYSCALL_64_after_hwframe ([kernel.kallsyms])
	    7f0000001000 bobbin::EpollPoller::Wait (/usr/lib/libbobbin.so.0.1.0)
	    7f0000002000 bobbin::Scheduler::Poll (/usr/lib/libbobbin.so.0.1.0)

  200/200
	    7f0000001000 other_program (/usr/bin/other)

  100/102
	    7f0000003000 knot::(anonymous namespace)::Send(int) (/usr/bin/knot (deleted))

    0/0     PERF_RECORD_LOST lost 7
  101/101
	          401000 [unknown] ([unknown])
"""


def made_table(text):
  with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
    file.write(text)
    file.flush()
    return symbol_table.SymbolTable(file.name)


def recorded(name):
  """Yields (count, sample) of a recorded set."""
  with open(os.path.join(RECORDED, name), encoding="utf-8") as file:
    for line in file:
      if line.startswith("#"):
        continue
      count, owner, function = line.rstrip("\n").split("\t")
      if owner == "kernel":
        sample = samples.Sample(1, 1, [(symbol, "[kernel.kallsyms]") for symbol in function.split("<")], [])
      else:
        sample = samples.Sample(1, 1, [], [(function, owner)])
      yield int(count), sample


def sort_recorded(name):
  sort = samples.Sorted(symbol_table.SymbolTable())
  for count, sample in recorded(name):
    sort.add(sample, on_bobbin=name.startswith("knot"), times=count)
  return sort


class Sorting(unittest.TestCase):
  table = symbol_table.SymbolTable()

  def test_functions_of_the_kernel(self):
    for stack, row in [
        ("tcp_sendmsg_locked", "kernel.networking"),
        ("__alloc_skb", "kernel.networking"),
        ("kmem_cache_alloc_node_noprof", "kernel.memory_management"),
        ("filemap_get_read_batch", "kernel.file_system"),
        ("do_syscall_64", "kernel.kernel_arch"),
        ("ep_send_events", "kernel.poll_overhead"),
        ("tcp_poll", "kernel.poll_overhead"),
        ("__skb_datagram_iter", "kernel.data_copying"),
        ("rep_movs_alternative", "kernel.data_copying"),
        ("__schedule", "kernel.scheduling_overhead"),
        ("finish_task_switch.isra.0", "kernel.scheduling_overhead"),
        ("security_socket_sendmsg", "kernel.others"),
        ("loopback_xmit", "driver"),
        ("process_backlog", "driver"),
        ("perf_event_task_tick", "other"),
        ("_raw_spin_lock<tcp_v4_rcv", "kernel.networking"),
        ("_raw_spin_lock<mutex_lock<ep_send_events", "kernel.poll_overhead"),
        ("_raw_spin_unlock_irqrestore<sock_def_readable", "kernel.scheduling_overhead"),
        ("_raw_spin_lock", "kernel.kernel_arch"),
        ("no_such_function_at_all", None),
    ]:
      self.assertEqual(self.table.sort_kernel(stack.split("<")), row, stack)

  def test_functions_of_user_space(self):
    thread, event, application = "user.thread_overhead", "user.event_overhead", "user.application"
    for symbol, file, row, part in [
        ("bobbin::Scheduler::SwitchTo", "libbobbin.so.0.1.0", thread, "switching and scheduling"),
        ("jump_fcontext", "libbobbin.so.0.1.0", thread, "switching and scheduling"),
        ("bobbin::ParkingTable::Wake", "libbobbin.so.0.1.0", thread, "parking and futexes"),
        ("bobbin::WorkerPool::Submit", "libbobbin.so.0.1.0", thread, "workers"),
        ("bobbin_text_entry", "libbobbin.so.0.1.0", thread, "ways in"),
        ("recv", "libbobbin.so.0.1.0", thread, "ways in"),
        ("bobbin::Sendmsg", "libbobbin.so.0.1.0", thread, "handlers"),
        ("bobbin::Scheduler::Post", "libbobbin.so.0.1.0", thread, "workers"),
        ("bobbin::(anonymous namespace)::SendOnce", "libbobbin.so.0.1.0", thread, "handlers"),
        ("bobbin::Scheduler::WaitReady", "libbobbin.so.0.1.0", thread, "parking and futexes"),
        ("bobbin::Scheduler::ViewOf", "libbobbin.so.0.1.0", thread, "descriptors"),
        ("bobbin::Scheduler::WakeWaiters", "libbobbin.so.0.1.0", event, None),
        ("bobbin::NoteAttempt", "libbobbin.so.0.1.0", thread, "descriptors"),
        ("bobbin::Scheduler::HandleEvents", "libbobbin.so.0.1.0", event, None),
        ("bobbin::EpollPoller::Wait", "libbobbin.so.0.1.0", event, None),
        ("anything", "stubs", thread, "ways in"),
        ("pthread_mutex_lock@@GLIBC_2.2.5", "libc.so.6", thread, "Pthreads"),
        ("__memmove_avx512_unaligned_erms", "libc.so.6", "libc", None),
        ("__GI___pthread_disable_asynccancel", "libc.so.6", "libc", None),
        ("epoll_wait", "libc.so.6", event, None),
        ("recv", "libc.so.6", "libc", None),
        ("__vdso_clock_gettime", "[vdso]", "libc", None),
        ("ngx_epoll_process_events", "nginx", event, None),
        ("ngx_http_parse_header_line", "nginx", application, None),
        ("runtime.findRunnable", "go_file_server", thread, "other libraries"),
        ("runtime.netpoll", "go_file_server", event, None),
        ("runtime.(*pollDesc).wait", "go_file_server", event, None),
        ("knot::Connection::Serve", "knot", application, None),
        ("bench_server::EventLoop::Act", "userver", event, None),
        ("bench_server::EventLoop::Accept", "userver", application, None),
        ("bench_server::(anonymous namespace)::PollPoller::Wait", "userver", event, None),
        ("bench_server::Connection::Receive", "userver", application, None),
        ("knot::Lock::LockSlowly", "knot", thread, "own locks and queues"),
        ("bench_server::SharedLock::lock", "userver", thread, "own locks and queues"),
        ("bench_server::Helpers::Flush", "amped", thread, "own locks and queues"),
        ("bench_server::Helpers::Load", "amped", application, None),
        ("watpipe::(anonymous namespace)::EpollReadStage::Wait", "watpipe", event, None),
        ("watpipe::ReadStage::Run", "watpipe", event, None),
        ("watpipe::ReadStage::Queue", "watpipe", thread, "own locks and queues"),
        ("watpipe::WriteStages::RunPoller", "watpipe", event, None),
        ("watpipe::WriteStages::RunWriter", "watpipe", thread, "own locks and queues"),
        ("watpipe::WriteStages::Write", "watpipe", application, None),
        ("std::thread::_State_impl<std::thread::_Invoker<std::tuple<main::{lambda()#1}> > >::_M_run", "talkers",
         application, None),
        ("[unknown]", "nginx", application, None),
    ]:
      self.assertEqual(self.table.sort_user(symbol, file), (row, part), f"{symbol} {file}")

  def test_shares_follow_the_stack(self):
    for functions, share in [
        ("bobbin::EpollPoller::Wait bobbin::Scheduler::Poll bobbin::Scheduler::Park", "event"),
        ("bobbin::Scheduler::SwitchTo bobbin::Scheduler::Park bobbin::Poll", "threading"),
        ("bobbin::Sendmsg bobbin::WritevSocket", "application"),
        ("", "application"),
    ]:
      self.assertEqual(self.table.share_of(functions.split()), share)

  def test_the_kernel_functions_of_recorded_runs_are_known(self):
    for name in sorted(os.listdir(RECORDED)):
      sort = sort_recorded(name)
      self.assertGreater(sort.kernel, 2000, name)
      unknown = sum(sort.unknown.values())
      self.assertLess(unknown, sort.kernel / 100, f"{name}: {sort.unknown.most_common(10)}")

  def test_the_most_specific_pattern_counts(self):
    table = made_table("[kernel]\nnetworking: tcp_*\npoll overhead: tcp_po*\nfile system: tcp_poll\n"
                       "data copying: a<tcp_x\n")
    self.assertEqual(table.sort_kernel(["tcp_poll"]), "kernel.file_system")
    self.assertEqual(table.sort_kernel(["tcp_pool"]), "kernel.poll_overhead")
    self.assertEqual(table.sort_kernel(["tcp_ack"]), "kernel.networking")
    self.assertEqual(table.sort_kernel(["a", "tcp_x"]), "kernel.data_copying")

  def test_a_wrong_table_is_refused(self):
    for text in ["[kernel]\nnetwork: tcp_*\n", "tcp_*\n", "[kernel]\nnetworking: a\nfile system: a\n",
                 "[x]\nthread overhead: a\n", "[x]\napplication / workers: a\n", "[x]\nthread overhead / play: a\n"]:
      with self.assertRaises(symbol_table.TableError, msg=text):
        made_table(text)


class PerfOutput(unittest.TestCase):
  def test_samples_of_the_tree_are_read(self):
    parser = samples.Parser(100)
    found = list(parser.samples(SCRIPT.splitlines(keepends=True)))
    self.assertEqual([(sample.pid, sample.tid) for sample in found], [(100, 100), (100, 102), (101, 101)])
    self.assertEqual([symbol for symbol, _ in found[0].kernel],
                     ["_raw_spin_lock", "tcp_v4_rcv", "entry_SYSCALL_64_after_hwframe"])
    self.assertEqual(found[0].user, [("bobbin::EpollPoller::Wait", "libbobbin.so.0.1.0"),
                                     ("bobbin::Scheduler::Poll", "libbobbin.so.0.1.0")])
    self.assertEqual(found[1].user, [("knot::(anonymous namespace)::Send(int)", "knot")])
    self.assertEqual(parser.lost, 7)

  def test_failures_are_explained_in_a_line(self):
    denied = samples.explain("Error:\nAccess to performance monitoring and observability operations is limited.\n")
    self.assertIn("perf_event_paranoid", denied)
    self.assertIn("No space left", samples.explain("failed to write\nNo space left on device\n"))
    for text in (denied, samples.explain("")):
      self.assertNotIn("\n", text)

  def test_perf_that_is_missing_is_named(self):
    with mock.patch.dict(os.environ, PATH="/nonexistent"):
      with self.assertRaisesRegex(samples.PerfError, "linux-perf"):
        samples.Recorder(os.getpid(), 100)


class Arithmetic(unittest.TestCase):
  def result(self, name):
    observer = mock.Mock(start=0, end=2, caches=[1000, 3000], refused={})
    observer.switches.counts.return_value = (10, 4)
    observer.window.return_value = {}
    return profile.summarise(observer, sort_recorded(name), 0, 997)

  def test_shares_add_up(self):
    for name in sorted(os.listdir(RECORDED)):
      result = self.result(name)
      self.assertAlmostEqual(sum(result["categories"].values()), 100)
      self.assertAlmostEqual(sum(result["subcategories"].values()), result["categories"]["user.thread_overhead"])
      self.assertAlmostEqual(sum(result["thread_overhead"].values()), result["categories"]["user.thread_overhead"])
    self.assertEqual((result["kernel_switches_per_s"], result["file_cache_kib"]), (7, 2000))

  def test_the_report_names_every_row(self):
    out = io.StringIO()
    report.write(dict(self.result("knot.tsv"), error=None), out, symbols=True)
    for _, group, title in symbol_table.ROWS:
      self.assertRegex(out.getvalue(), rf"(?m)^ *{title or group} +\d+\.\d\d$".replace("+arch", r"\+arch"))

  def test_both_halves_of_thread_overhead_are_shown(self):
    out = io.StringIO()
    result = dict(self.result("knot.tsv"), error=None)
    report.write(result, out)
    for half in symbol_table.HALVES:
      self.assertGreater(result["thread_overhead"][half], 0)
      self.assertIn(f"{result['thread_overhead'][half]:6.2f}  {half}", out.getvalue())

  WINDOW = {"application_cycles": 800, "threading_cycles": 50, "event_cycles": 50, "polling_cycles": 1000,
            "polling_cpu_cycles": 100, "cpu_cycles": 1000}

  def test_the_poller_is_idle_where_it_uses_no_cpu(self):
    self.assertEqual(counters.shares({1: self.WINDOW}), {"threading": 5, "event": 15, "application": 80})

  def test_time_that_others_had_the_processor_leaves_the_shares(self):
    # Half the time was taken away: what a clock says of running code is twice its CPU time.
    halved = dict(self.WINDOW, cpu_cycles=550, polling_cpu_cycles=100)
    self.assertEqual(counters.shares({1: halved}), {"threading": 4.545454545454546, "event": 22.727272727272727,
                                                    "application": 72.72727272727273})

  def compared(self, cpu_seconds):
    """A result where the accounting says 10, 30, 60 % and the samples, of one second, 10, 20, 70 %."""
    result = {"hz": 1000, "accounting": {"threading": 10, "event": 30, "application": 60},
              "accounting_samples": {"threading": 10, "event": 20, "application": 70}}
    sort = mock.Mock(shares={"threading": 100, "event": 200, "application": 700})
    profile.add_unsampled(result, sort, cpu_seconds * 1e9)
    return result

  def test_where_all_time_is_sampled_a_difference_is_one(self):
    for seconds in (1, 0.98):  # by chance there are more samples than time
      result = self.compared(seconds)
      self.assertEqual(result["unsampled"], 0)
      self.assertEqual(result["accounting_beyond"], {"threading": 0, "event": 10, "application": -10})

  def test_time_without_samples_may_belong_to_any_share(self):
    result = self.compared(1.25)  # a fifth has none: event has from 16 to 36 %, application from 56 to 76 %
    self.assertAlmostEqual(result["unsampled"], 20)
    for difference in result["accounting_beyond"].values():
      self.assertAlmostEqual(difference, 0)
    self.assertAlmostEqual(self.compared(1 / 0.95)["accounting_beyond"]["event"], 6)  # from 19 to 24 %
    self.assertAlmostEqual(self.compared(1 / 0.95)["accounting_beyond"]["application"], -6.5)

  def test_windows_are_differences(self):
    after = {1: {"switches": 30}, 2: {"switches": 5}}
    self.assertEqual(counters.summed(counters.subtract(after, {1: {"switches": 10}}), "switches"), 25)


class Mistakes(unittest.TestCase):
  def run_main(self, *arguments):
    errors = io.StringIO()
    with contextlib.redirect_stderr(errors), contextlib.redirect_stdout(io.StringIO()):
      try:
        status = profile.main(list(arguments))
      except SystemExit as leaving:
        status = leaving.code
    return status, errors.getvalue()

  def test_a_process_that_is_not_there(self):
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    status, text = self.run_main(f"--pid={child.pid}")
    self.assertEqual((status, text), (1, f"profile: there is no process {child.pid}\n"))
    with self.assertRaises(profile.ProfileError):
      profile.sample(child.pid, 1)

  def test_a_program_that_cannot_be_run(self):
    with mock.patch.dict(os.environ, PATH="/nonexistent"):  # perf is missing, too: nothing is measured for nothing
      status, text = self.run_main("--", "/no/such/program")
    self.assertEqual((status, text), (1, "profile: cannot run /no/such/program: No such file or directory\n"))

  def test_bad_options(self):
    for arguments in ([], ["--pid=1", "--", "true"], ["--pid=0"], ["--seconds=0", "--pid=1"], ["--hz=x", "--", "true"],
                      ["--hz=100000", "--", "true"], ["--nonsense", "--", "true"]):
      self.assertEqual(self.run_main(*arguments)[0], 2, arguments)

  def test_results_that_cannot_be_written_are_known_before(self):
    status, text = self.run_main("--json=/no/such/directory/x", "--", "true")
    self.assertEqual(status, 1)
    self.assertIn("/no/such/directory/x", text)


if __name__ == "__main__":
  unittest.main()
