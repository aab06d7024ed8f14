#!/usr/bin/env python3
"""What a program that `bobbin run` started finds and does: environment, children, stacks, reports.

usage: started_test.py --bobbin PROGRAM --library FILE --probe PROGRAM --static PROGRAM --linked PROGRAM [SUITE]
"""

import os
import resource
import shutil
import signal
import subprocess
import sys

from support import PATHS, PLAIN, USER, RunTest, main

USERFAULTFD = 323  # a call whose answer may have to be waited for elsewhere


class Starting(RunTest):

  def test_a_program_runs_on_user_threads(self):
    self.expect(self.run_probe(), output=USER)

  def test_bobbin_off_keeps_it_on_kernel_threads(self):
    self.expect(self.run_probe(env=dict(self.environment, BOBBIN="off")), output="kernel threads\n")

  def test_a_program_that_is_linked_with_it_has_it_once(self):
    self.expect(self.bobbin("run", PATHS.linked), output="active\n")

  def test_bobbin_and_its_library_may_be_moved(self):
    moved = self.copy(PATHS.bobbin, "bin/bobbin")
    self.copy(PATHS.library, "lib/libbobbin.so.0")
    done = self.execute([moved, "run", "--children", PATHS.probe, "getenv", "LD_PRELOAD"])
    self.expect(done, output=f"{os.path.realpath(self.directory)}/lib/libbobbin.so.0\n")
    os.symlink(moved, os.path.join(self.directory, "link"))
    self.expect(self.execute([os.path.join(self.directory, "link"), "run", PATHS.probe]), output=USER)

  def test_the_process_is_the_program(self):
    with subprocess.Popen([PATHS.bobbin, "run", PATHS.probe, "pid"], env=self.environment, stdout=subprocess.PIPE,
                          text=True) as process:
      self.assertEqual(process.communicate()[0], f"{process.pid}\n")

  def test_exit_status_and_death_by_signal_are_the_program_s(self):
    self.assertEqual(self.run_probe("end", "return").returncode, 7)
    for number in (signal.SIGTERM, signal.SIGKILL, signal.SIGSEGV, signal.SIGUSR1):
      self.assertEqual(self.run_probe("raise", str(int(number))).returncode, -number)

  def test_signals_reach_the_program(self):
    with subprocess.Popen([PATHS.bobbin, "run", "sh", "-c", "trap 'exit 9' TERM; echo ready; while :; do read x; done"],
                          env=self.environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
      self.assertEqual(process.stdout.readline(), "ready\n")
      process.terminate()
      self.assertEqual(process.wait(), 9)

  def test_ignored_signals_stay_ignored(self):
    ignore = lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN)
    self.expect(self.run_probe("raise", str(int(signal.SIGHUP)), preexec_fn=ignore))

  def test_input_and_output_pass_through(self):
    text = "line\n" * 100_000
    self.expect(self.bobbin("run", "cat", input=text), output=text)

  def test_descriptors_are_inherited_and_no_other_is_there(self):
    read_end, write_end = os.pipe()
    self.addCleanup(os.close, read_end)
    keep = lambda: os.dup2(write_end, 3)
    theirs = self.execute([PATHS.probe, "descriptors"], preexec_fn=keep, pass_fds=[3, write_end])
    ours = self.run_probe("descriptors", preexec_fn=keep, pass_fds=[3, write_end])
    os.close(write_end)
    self.assertEqual(ours.stdout, theirs.stdout)
    self.assertEqual(os.read(read_end, 100), b"to three\n" * 2)


class Children(RunTest):

  def test_the_program_sees_the_environment_it_was_started_in(self):
    theirs = self.execute([PATHS.probe, "environment"])
    self.expect(self.run_probe("environment", flags=["--stats", "--nostats", "--quantum=5"]), output=theirs.stdout)
    self.expect(self.run_probe("environment", env=dict(self.environment, BOBBIN_QUANTUM="5")), output=theirs.stdout)

  def test_what_else_was_preloaded_stays(self):
    for before in ("libm.so.6", "libm.so.6:libdl.so.2", "libm.so.6 libdl.so.2"):
      environment = dict(self.environment, LD_PRELOAD=before)
      self.expect(self.run_probe("getenv", "LD_PRELOAD", env=environment), output=before.replace(" ", ":") + "\n")
      self.expect(self.run_probe("spawn", PATHS.probe, "getenv", "LD_PRELOAD", env=environment),
                  output=before.replace(" ", ":") + "\n")
    environment = dict(self.environment, LD_PRELOAD="libm.so.6")
    done = self.run_probe("getenv", "LD_PRELOAD", flags=["--children"], env=environment)
    self.assertTrue(done.stdout.endswith("/libbobbin.so.0:libm.so.6\n"), done.stdout)

  def test_it_is_taken_out_wherever_it_stands(self):
    library = PATHS.library
    for list_, left in (("libm.so.6:{}", "libm.so.6"), ("{}:{}:libm.so.6 {}", "libm.so.6"), ("{}", "(none)")):
      environment = dict(self.environment, BOBBIN_PRELOAD=library, LD_PRELOAD=list_.replace("{}", library))
      self.expect(self.execute([PATHS.probe, "getenv", "LD_PRELOAD"], env=environment), output=left + "\n")

  def test_programs_that_it_executes_run_on_kernel_threads(self):
    self.expect(self.run_probe("spawn", PATHS.probe), output=PLAIN)
    self.expect(self.run_probe("exec", PATHS.probe), output=PLAIN)
    self.expect(self.bobbin("run", "sh", "-c", PATHS.probe + "; " + PATHS.probe), output=PLAIN * 2)

  def test_with_children_they_run_likewise(self):
    self.expect(self.run_probe("spawn", PATHS.probe, flags=["--children"]), output=USER)
    self.expect(self.run_probe("exec", PATHS.probe, flags=["--children"]), output=USER)
    self.expect(self.run_probe("spawn", PATHS.probe, "spawn", PATHS.probe, flags=["--children"]), output=USER)

  def test_one_may_run_bobbin_again(self):
    again = [PATHS.bobbin, "run", PATHS.probe]
    self.expect(self.run_probe("spawn", *again), output=USER)
    self.expect(self.run_probe("spawn", *again, flags=["--children"]), output=USER)
    done = self.run_probe("spawn", *again, "getenv", "LD_PRELOAD", flags=["--children"])
    self.assertEqual(done.stdout.count("libbobbin"), 1, done.stdout)
    inner = [PATHS.bobbin, "run", "--nochildren", PATHS.probe, "spawn", PATHS.probe]
    self.expect(self.run_probe("spawn", *inner, flags=["--children"]), output=PLAIN)

  def test_a_linked_program_keeps_its_environment(self):
    done = self.execute([PATHS.linked],
                        env=dict(self.environment, BOBBIN_SCHEDULERS="2", REPORT_OPTIONS="1"))
    self.expect(done, output="active\n2 0 0 0 0\n")
    seen = self.execute([PATHS.probe, "environment"],
                        env={"LD_PRELOAD": PATHS.library, "BOBBIN_SCHEDULERS": "2"})
    self.expect(seen, output=f"LD_PRELOAD={PATHS.library}\nBOBBIN_SCHEDULERS=2\n")


class Stacks(RunTest):

  def sizes(self, *flags):
    done = self.run_probe("stacks", flags=flags)
    self.assertEqual((done.returncode, done.stderr), (0, ""))
    return [int(word) for word in done.stdout.split()]

  def test_a_cap_holds_where_a_thread_asks_for_no_size(self):
    standard = self.sizes()
    self.assertEqual(standard, self.sizes("--stack_cap=off"))
    self.assertEqual(standard[0], 8 << 20)
    self.assertEqual(self.sizes("--stack_cap=256"), [256 << 10, 256 << 10, standard[2]])

  def test_a_cap_above_what_libc_gives_changes_nothing(self):
    self.assertEqual(self.sizes("--stack_cap=1048576"), self.sizes())

  def test_a_cap_below_what_libc_needs_is_that(self):
    size, _, _ = self.sizes("--stack_cap=1")
    self.assertGreaterEqual(size, os.sysconf("SC_THREAD_STACK_MIN") if "SC_THREAD_STACK_MIN" in os.sysconf_names
                            else 16384)
    self.assertLess(size, 256 << 10)

  def setUp(self):
    super().setUp()
    soft, hard = resource.getrlimit(resource.RLIMIT_STACK)
    resource.setrlimit(resource.RLIMIT_STACK, (8 << 20, hard))
    self.addCleanup(resource.setrlimit, resource.RLIMIT_STACK, (soft, hard))


class Reports(RunTest):

  def expect_statistics(self, errors, times=1):
    self.assertEqual(errors.count("at its end:\n"), times, errors)
    self.assertEqual(errors.count("\nthreads_created "), times, errors)

  def test_statistics_are_written_once_however_the_process_ends(self):
    for way in ("return", "exit", "_exit", "syscall", "thread", "many", "only", "fork", "unseen_fork",
                "spawn"):
      with self.subTest(way):
        done = self.run_probe("end", way, flags=["--stats", "--nodispatch"])
        self.assertEqual((done.returncode, done.stdout), (7, ""), done.stderr)
        self.expect_statistics(done.stderr)
    done = self.run_probe("end", "last", flags=["--stats"])
    self.assertEqual(done.returncode, 0)
    self.expect_statistics(done.stderr)

  def test_several_threads_on_several_schedulers_may_end_it_at_once(self):
    for _ in range(20):
      done = self.run_probe("end", "many", flags=["--stats", "--schedulers=4"])
      self.assertEqual(done.returncode, 7)
      self.expect_statistics(done.stderr)

  def test_without_the_flag_nothing_is_written(self):
    self.expect(self.run_probe("end", "exit"), status=7)

  def test_programs_that_it_executes_write_none_but_with_children(self):
    done = self.run_probe("spawn", PATHS.probe, flags=["--stats"])
    self.expect_statistics(done.stderr)
    done = self.run_probe("spawn", PATHS.probe, flags=["--stats", "--children"])
    self.expect_statistics(done.stderr, times=2)

  def test_a_program_that_becomes_another_writes_none(self):
    self.expect(self.run_probe("exec", PATHS.probe, flags=["--stats"]), output=PLAIN)

  def test_closed_descriptors_are_no_obstacle(self):
    for task in ("close_error_and_end", "close_others_and_end"):
      done = self.run_probe(task, flags=["--stats"])
      self.assertEqual(done.returncode, 7)
      self.expect_statistics(done.stderr)

  def test_no_other_file_is_written_to(self):
    path = os.path.join(self.directory, "file")
    limit = lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (1024, 1024))
    self.expect(self.run_probe("end_without_descriptors", path, flags=["--stats"], preexec_fn=limit), status=7)
    self.assertEqual(os.path.getsize(path), 0)

  def test_a_standard_error_that_nobody_reads_changes_no_status(self):
    read_end, write_end = os.pipe()
    os.close(read_end)
    done = subprocess.run([PATHS.bobbin, "run", "--stats", PATHS.probe, "end", "return"], env=self.environment,
                          stderr=write_end, check=False)
    os.close(write_end)
    self.assertEqual(done.returncode, 7)

  def test_a_child_that_goes_on_does_not_hold_standard_error_open(self):
    read_end, write_end = os.pipe()  # until its write end is closed the child is there
    self.addCleanup(os.close, read_end)
    script = "import os,sys\nif os.fork() == 0:\n  os.close(1); os.close(2); sys.stdin.read()\n"
    process = subprocess.Popen([PATHS.bobbin, "run", "--stats", sys.executable, "-c", script], env=self.environment,
                               stdin=read_end, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    errors = process.communicate(timeout=60)[1]  # to its end, which the child does not delay
    os.close(write_end)
    self.expect_statistics(errors)


class Audit(RunTest):

  def audit(self, errors):
    """The two lists of an audit, by call: (count, rest of the line)."""
    self.assertIn("trapped system calls, by site:\n", errors)
    trapped, passed = errors.split("trapped system calls, by site:\n")[1].split("system calls let through:\n")
    lists = []
    for text in (trapped, passed):
      lines = [line.split(None, 2) for line in text.splitlines() if line.startswith("  ")]
      counts = [int(line[0]) for line in lines]
      self.assertEqual(counts, sorted(counts, reverse=True))
      lists.append(lines)
    return lists

  def test_it_tells_where_calls_were_trapped_and_which_were_let_through(self):
    done = self.run_probe("inline_calls", flags=["--audit"])
    self.assertEqual((done.returncode, done.stdout), (0, ""), done.stderr)
    trapped, passed = self.audit(done.stderr)
    ours = [line for line in trapped if line[1] == "getppid"]
    self.assertEqual(len(ours), 1, done.stderr)
    self.assertEqual(ours[0][0], "1")
    self.assertRegex(ours[0][2], r"^at \(program\)\+0x[0-9a-f]+, then patched$")
    self.assertIn(["200", "getppid"], passed, "the program's own and libc's")

  def test_without_dispatch_nothing_is_trapped(self):
    done = self.run_probe("inline_calls", flags=["--audit", "--nodispatch"])
    self.assertEqual(done.returncode, 0)
    trapped, _ = self.audit(done.stderr)
    self.assertEqual(trapped, [])

  def test_a_call_that_may_hold_up_its_scheduler_is_marked(self):
    done = self.run_probe("call", str(USERFAULTFD), flags=["--audit"])
    _, passed = self.audit(done.stderr)
    self.assertIn(["1", "userfaultfd,", "may hold up its scheduler"], passed, done.stderr)

  def test_a_strict_program_is_aborted_there_with_the_way_to_the_call(self):
    done = self.run_probe("call", str(USERFAULTFD), flags=["--strict"])
    self.assertEqual((done.returncode, done.stdout), (-signal.SIGABRT, ""), done.stderr)
    self.assertIn("bobbin: userfaultfd\n", done.stderr)
    places = done.stderr.split("from:\n")[1]
    self.assertRegex(places, r"(?m)^  libc\.so\.6\+0x[0-9a-f]+$")
    self.assertRegex(places, r"(?m)^  \(program\)\+0x[0-9a-f]+$")
    self.expect(self.run_probe("inline_calls", flags=["--strict"]))


class NoHarm(RunTest):

  def test_everyday_programs_do_what_they_do_without(self):
    commands = [
        ["ls", "-la", "/usr"],
        ["sh", "-c", "seq 1 20000 | sort -r | head -n 3; find /usr/share/doc -type f | head -n 5 | wc -l"],
        ["sh", "-c", "for i in 1 2 3; do (sleep 0.01; echo $i) & wait; done; exit 5"],
        [sys.executable, "-c", "import threading, queue\n"
         "q = queue.Queue()\n"
         "t = [threading.Thread(target=lambda i=i: q.put(i * i)) for i in range(50)]\n"
         "[x.start() for x in t]; [x.join() for x in t]\n"
         "print(sorted(q.queue))"],
        [sys.executable, "-c", "import subprocess; print(subprocess.run(['echo', 'x'], capture_output=True).stdout)"],
        ["awk", "BEGIN { while ((\"echo a; echo b\" | getline line) > 0) print line; exit 3 }"],
    ]
    if shutil.which("git"):
      self.execute(["git", "init", "-q", self.directory])
      commands += [["git", "--version"], ["git", "-C", self.directory, "status"]]
    for command in commands:
      with self.subTest(command=command):
        theirs = self.execute(command)
        self.expect(self.bobbin("run", *command), theirs.returncode, theirs.stdout, theirs.stderr)


if __name__ == "__main__":
  main()
