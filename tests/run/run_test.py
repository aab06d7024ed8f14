#!/usr/bin/env python3
"""`bobbin run`: flags, what it finds, what cannot be preloaded, what the program is given, children, reports.

usage: run_test.py --bobbin PROGRAM --library FILE --probe PROGRAM --static PROGRAM --linked PROGRAM [SUITE]
"""

import argparse
import os
import resource
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import unittest

PATHS = None  # the command line

USER = "user threads\n"
PLAIN = "kernel threads, not preloaded\n"


def clean_environment(**more):
  kept = {name: value for name, value in os.environ.items()
          if not name.startswith("BOBBIN") and name not in ("LD_PRELOAD", "LD_LIBRARY_PATH")}
  return dict(kept, **more)


class RunTest(unittest.TestCase):

  def setUp(self):
    self.directory = tempfile.mkdtemp(prefix="bobbin-run-")
    self.addCleanup(shutil.rmtree, self.directory)
    self.environment = clean_environment()

  def file(self, name, text="", mode=0o755):
    path = os.path.join(self.directory, name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as file:
      file.write(text if isinstance(text, bytes) else text.encode())
    os.chmod(path, mode)
    return path

  def copy(self, source, name):
    with open(source, "rb") as file:
      return self.file(name, file.read())

  def patched_probe(self, name, offset, data):
    with open(PATHS.probe, "rb") as file:
      image = bytearray(file.read())
    image[offset:offset + len(data)] = data
    return self.file(name, bytes(image))

  def execute(self, command, **options):
    options.setdefault("env", self.environment)
    return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False, **options)

  def bobbin(self, *arguments, **options):
    return self.execute([PATHS.bobbin, *arguments], **options)

  def run_probe(self, *arguments, flags=(), **options):
    return self.bobbin("run", *flags, PATHS.probe, *arguments, **options)

  def expect(self, done, status=0, output="", errors=""):
    self.assertEqual((done.returncode, done.stdout, done.stderr), (status, output, errors))

  def expect_error(self, done, status, *parts):
    """Checks that it said one line with all these parts, and nothing else."""
    self.assertEqual((done.returncode, done.stdout), (status, ""), done.stderr)
    self.assertTrue(done.stderr.startswith("bobbin: "), done.stderr)
    self.assertEqual(done.stderr.count("\n"), 1, done.stderr)
    for part in parts:
      self.assertIn(part, done.stderr)


FLAGS = {  # flag: variable, good values, bad values
    "schedulers": ("BOBBIN_SCHEDULERS", ["1", "64", "auto"], ["65", "-1", "x", ""]),
    "workers": ("BOBBIN_WORKERS", ["1", "256", "auto"], ["257", "many", ""]),
    "poller": ("BOBBIN_POLLER", ["epoll", "poll"], ["select", ""]),
    "quantum": ("BOBBIN_QUANTUM", ["1", "1000", "off"], ["1001", "10ms", "auto", ""]),
    "stack_cap": ("BOBBIN_STACK_CAP", ["64", "off"], ["64k", "1048577", ""]),
    "dispatch": ("BOBBIN_DISPATCH", ["on", "off"], ["yes", ""]),
    "stats": ("BOBBIN_STATS", ["on", "off"], ["1", ""]),
    "audit": ("BOBBIN_AUDIT", ["on", "off"], ["1", ""]),
    "strict": ("BOBBIN_STRICT", ["on", "off"], ["1", ""]),
    "otherwise": ("BOBBIN_OTHERWISE", ["threads", "refuse"], ["die", ""]),
    "dump_signal": ("BOBBIN_DUMP_SIGNAL", ["USR1", "SIGURG", "12", "off"], ["KILL", "9", "65", "x", ""]),
}
SWITCHES = ("dispatch", "stats", "audit", "strict", "children")


class CommandLine(RunTest):

  def variables(self, *flags, **environment):
    """What the program would be told: with --children it sees the variables."""
    done = self.run_probe("environment", flags=("--children", *flags), env=dict(self.environment, **environment))
    self.assertEqual(done.returncode, 0, done.stderr)
    pairs = (line.split("=", 1) for line in done.stdout.splitlines() if line.startswith("BOBBIN_"))
    return {name: value for name, value in pairs if name != "BOBBIN_PRELOAD"}

  def test_without_flags_programs_for_kernel_threads_get_dispatch_and_a_quantum(self):
    self.assertEqual(self.variables(),
                     {"BOBBIN_CHILDREN": "on", "BOBBIN_DISPATCH": "on", "BOBBIN_QUANTUM": "10"})

  def test_each_good_value_of_each_flag_sets_its_variable(self):
    for flag, (variable, good, _) in FLAGS.items():
      for value in good:
        with self.subTest(flag=flag, value=value):
          expected = None if value == "threads" else value  # the default is not said
          self.assertEqual(self.variables(f"--{flag}={value}").get(variable), expected)

  def test_a_value_may_be_the_next_argument(self):
    self.assertEqual(self.variables("--schedulers", "2")["BOBBIN_SCHEDULERS"], "2")

  def test_switches_need_no_value_and_may_be_negated(self):
    for flag in SWITCHES:
      self.assertEqual(self.variables(f"--{flag}")[f"BOBBIN_{flag.upper()}"], "on")
    for flag in SWITCHES[:-1]:
      self.assertEqual(self.variables(f"--no{flag}")[f"BOBBIN_{flag.upper()}"], "off")

  def test_each_bad_value_is_told_with_its_flag_and_nothing_runs(self):
    for flag, (_, _, bad) in FLAGS.items():
      for value in bad:
        with self.subTest(flag=flag, value=value):
          self.expect_error(self.run_probe(flags=[f"--{flag}={value}"]), 2, f"--{flag}={value}: must be ")

  def test_the_environment_gives_what_no_flag_says(self):
    given = {"BOBBIN_QUANTUM": "5", "BOBBIN_POLLER": "poll", "BOBBIN_SENDFILE": "blocking"}
    seen = self.variables("--poller=epoll", **given)
    self.assertEqual((seen["BOBBIN_QUANTUM"], seen["BOBBIN_POLLER"], seen["BOBBIN_SENDFILE"]),
                     ("5", "epoll", "blocking"))

  def test_a_bad_variable_is_told_unless_its_flag_is_given(self):
    environment = dict(self.environment, BOBBIN_QUANTUM="soon")
    self.expect_error(self.run_probe(env=environment), 2, "BOBBIN_QUANTUM=soon: must be ")
    self.expect(self.run_probe(flags=["--quantum=5"], env=environment), output=USER)

  def test_flags_end_at_the_program_and_at_two_dashes(self):
    probe = PATHS.probe
    self.expect(self.run_probe("arguments", "--stats", "--", "-x"),
                output=f"{probe}\narguments\n--stats\n--\n-x\n")
    self.expect(self.bobbin("run", "--", probe, "arguments"), output=f"{probe}\narguments\n")

  def test_mistakes_are_told_in_one_line(self):
    self.expect_error(self.bobbin("run", "--shedulers=2", PATHS.probe), 2, "--shedulers=2", "--help")
    self.expect_error(self.bobbin("run", "-s", PATHS.probe), 2, "-s", "--help")
    self.expect_error(self.bobbin("run", "--noschedulers", PATHS.probe), 2, "--noschedulers")
    self.expect_error(self.bobbin("run", "--nostats=on", PATHS.probe), 2, "--nostats=on")
    self.expect_error(self.bobbin("run", "--workers"), 2, "--workers needs a value")
    self.expect_error(self.bobbin("run"), 2, "no program", "--help")
    self.expect_error(self.bobbin("run", "--stats"), 2, "no program")
    self.expect_error(self.bobbin("walk"), 2, "walk", "--help")

  def test_help_and_version_are_told(self):
    done = self.bobbin("run", "--help")
    self.assertEqual((done.returncode, done.stderr), (0, ""))
    for flag in (*FLAGS, *SWITCHES):
      self.assertIn(f"--{flag}", done.stdout)
    self.assertLessEqual(max(map(len, done.stdout.splitlines())), 90)
    done = self.bobbin("--help")
    self.assertEqual((done.returncode, done.stderr), (0, ""))
    self.assertIn("bobbin run", done.stdout)
    self.expect(self.bobbin(), status=2, errors=done.stdout)
    self.assertRegex(self.bobbin("--version").stdout, r"^bobbin \d+\.\d+\.\d+\n$")


class Finding(RunTest):

  def test_a_name_is_looked_up_in_path(self):
    os.makedirs(os.path.join(self.directory, "b"))
    os.symlink(PATHS.probe, os.path.join(self.directory, "b", "there"))
    self.file("a/there", mode=0o644)  # may not be executed: passed over
    path = f"{self.directory}/missing:{self.directory}/a:{self.directory}/b"
    self.expect(self.bobbin("run", "there", "arguments", env=dict(self.environment, PATH=path)),
                output="there\narguments\n")

  def test_an_empty_place_in_path_is_here(self):
    os.symlink(PATHS.probe, os.path.join(self.directory, "there"))
    for path in (":/nonexistent", "/nonexistent:", ""):
      self.expect(self.bobbin("run", "there", env=dict(self.environment, PATH=path), cwd=self.directory), output=USER)

  def test_without_path_the_standard_places_are_searched(self):
    environment = dict(self.environment)
    del environment["PATH"]
    self.expect(self.bobbin("run", "echo", "found", env=environment), output="found\n")

  def test_status_and_message_are_those_of_env(self):
    self.file("plain", mode=0o644)
    bad_interpreter = self.file("script", "#!/nonexistent/interpreter\n")
    for command in ("no-such-program", "/no/such/program", f"{self.directory}/plain", self.directory, bad_interpreter):
      with self.subTest(command=command):
        theirs = self.execute(["env", command])
        self.assertIn(theirs.returncode, (126, 127))
        self.expect_error(self.bobbin("run", command), theirs.returncode, command,
                          theirs.stderr.rstrip("\n").rsplit(": ", 1)[1])

  def test_a_file_of_no_known_format_is_given_to_the_shell(self):
    path = self.file("commands", 'echo "$0" "$@"\n')
    self.expect(self.bobbin("run", path, "a b", "c"), output=f"{path} a b c\n")

  def test_a_script_runs_under_its_interpreter(self):
    script = self.file("script", f"#!{PATHS.probe} threads\n")
    self.expect(self.bobbin("run", script), output=USER)
    script = self.file("arguments", f"#! {PATHS.probe} arguments \nmore\n")
    self.expect(self.bobbin("run", script, "x"), output=f"{PATHS.probe}\narguments\n{script}\nx\n")

  def test_an_interpreter_may_be_a_script(self):
    inner = self.file("inner", f"#!{PATHS.probe} threads\n")
    self.expect(self.bobbin("run", self.file("outer", f"#!{inner}\n")), output=USER)

  def test_a_loop_of_scripts_ends(self):
    path = os.path.join(self.directory, "loop")
    self.file("loop", f"#!{path}\n")
    self.assertEqual(self.bobbin("run", path).returncode, 126)

  def test_a_script_that_env_starts_is_what_is_preloaded(self):
    script = self.file("script", "#!/usr/bin/env python-under-test\nimport ctypes, sys\n"
                       "print(hasattr(ctypes.CDLL(None), '_ZN6bobbin6ActiveEv'), sys.argv)\n")
    os.symlink(sys.executable, os.path.join(self.directory, "python-under-test"))
    environment = dict(self.environment, PATH=self.directory + ":" + self.environment["PATH"])
    self.expect(self.execute([script, "x"], env=environment), output=f"False ['{script}', 'x']\n")
    self.expect(self.bobbin("run", script, "x", env=environment), output=f"True ['{script}', 'x']\n")


class Obstacles(RunTest):

  def expect_obstacle(self, program, text, named=None):
    done = self.bobbin("run", "--otherwise=refuse", program)
    self.expect_error(done, 125, "refusing to run", named or program, text)

  def test_a_static_program_runs_on_kernel_threads_and_that_is_said(self):
    self.expect(self.bobbin("run", PATHS.static), output="static \n",
                errors=f"bobbin: {PATHS.static} is statically linked: it runs on kernel threads\n")
    self.expect_obstacle(PATHS.static, "it is statically linked")

  def test_what_was_preloaded_already_stays_for_it(self):
    done = self.bobbin("run", PATHS.static, env=dict(self.environment, LD_PRELOAD="/x.so"))
    self.assertEqual(done.stdout, "static /x.so\n")

  def test_a_static_interpreter_is_named(self):
    script = self.file("script", f"#!{PATHS.static}\n")
    self.expect(self.bobbin("run", script), output="static \n",
                errors=f"bobbin: {script}: its interpreter {PATHS.static} is statically linked: "
                       "it runs on kernel threads\n")
    self.expect_obstacle(script, f"its interpreter {PATHS.static} is statically linked")

  def test_other_architectures(self):
    elf_class, machine = 4, 18
    for name, offset, data in (("i386", elf_class, b"\1"), ("arm", machine, b"\xb7\0"), ("big-endian", 5, b"\2")):
      with self.subTest(name):
        self.expect_obstacle(self.patched_probe(name, offset, data), "it is not a 64-bit x86 program")

  def test_another_c_library(self):
    with open(PATHS.probe, "rb") as file:
      at = file.read().index(b"/lib64/ld-linux-x86-64.so.2\0")
    program = self.patched_probe("musl", at, b"/lib/ld-musl-x86_64.so.1\0")
    self.expect_obstacle(program, "it is not a program of glibc (its loader is /lib/ld-musl-x86_64.so.1)")

  def test_a_program_with_privileges_of_its_own(self):
    if os.getuid() != 0:
      self.expect_obstacle(shutil.which("su"), "it is setuid, setgid or has capabilities")
      return
    program = self.copy(PATHS.probe, "privileged")
    os.chown(program, 1, -1)  # not the caller's, so that the kernel changes something
    os.chmod(program, 0o755 | stat.S_ISUID)
    os.chmod(self.directory, 0o755)
    self.expect(self.bobbin("run", program), output=PLAIN,
                errors=f"bobbin: {program} is setuid, setgid or has capabilities: it runs on kernel threads\n")
    self.expect_obstacle(program, "it is setuid, setgid or has capabilities")

  def test_a_setuid_program_of_the_caller_s_own_gains_nothing(self):
    program = self.copy(PATHS.probe, "own")
    os.chmod(program, 0o755 | stat.S_ISUID)
    self.expect(self.bobbin("run", program), output=USER)

  def test_setgid_needs_the_right_to_execute(self):
    program = self.copy(PATHS.probe, "setgid")
    other = next(group for group in [*os.getgroups(), 1] if group != os.getgid())
    os.chown(program, -1, other)
    os.chmod(program, 0o755 | stat.S_ISGID)
    self.expect_obstacle(program, "it is setuid, setgid or has capabilities")
    os.chmod(program, 0o745 | stat.S_ISGID)  # mandatory locking, once
    self.expect(self.bobbin("run", program), output=USER)

  def test_the_loader_itself_loads_what_is_preloaded(self):
    self.expect(self.bobbin("run", "/lib64/ld-linux-x86-64.so.2", PATHS.probe), output=USER)

  def test_a_bobbin_without_its_library_does_not_run_anything(self):
    lonely = self.copy(PATHS.bobbin, "bin/bobbin")
    self.expect_error(self.execute([lonely, "run", PATHS.probe]), 125, "no libbobbin.so")

  def test_a_library_in_a_place_that_cannot_be_said_is_told(self):
    for place in ("with space", "with:colon"):
      moved = self.copy(PATHS.bobbin, f"{place}/bin/bobbin")
      self.copy(PATHS.library, f"{place}/lib/{os.path.basename(PATHS.library).split('.so')[0]}.so.0")
      self.expect_error(self.execute([moved, "run", PATHS.probe]), 125, "cannot be preloaded", place)


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
    done = self.run_probe("raise", str(int(signal.SIGHUP)), preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))
    self.expect(done)

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
    done = self.run_probe("getenv", "LD_PRELOAD", flags=["--children"], env=dict(self.environment, LD_PRELOAD="libm.so.6"))
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


def main():
  global PATHS
  parser = argparse.ArgumentParser(description=__doc__)
  for option in ("bobbin", "library", "probe", "static", "linked"):
    parser.add_argument(f"--{option}", required=True, type=os.path.abspath)
  PATHS, rest = parser.parse_known_args()
  unittest.main(argv=[sys.argv[0], *rest])


if __name__ == "__main__":
  main()
