#!/usr/bin/env python3
"""`bobbin run` until the program starts: its flags, what it finds, what nothing can be preloaded in.

usage: before_start_test.py --bobbin PROGRAM --library FILE --probe PROGRAM --static PROGRAM --linked PROGRAM [SUITE]
"""

import os
import resource
import shutil
import stat
import sys

from support import PATHS, PLAIN, USER, RunTest, main

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

  def test_what_only_the_library_finds_is_no_less_told_and_refused(self):
    few = lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (4, 4))  # too few for a scheduler
    done = self.run_probe(preexec_fn=few)
    self.assertEqual((done.returncode, done.stdout), (0, "kernel threads\n"))
    self.assertTrue(done.stderr.startswith("bobbin: running on kernel threads, because:\nbobbin: "), done.stderr)
    done = self.run_probe(flags=["--otherwise=refuse"], preexec_fn=few)
    self.assertEqual((done.returncode, done.stdout), (125, ""))
    self.assertTrue(done.stderr.startswith("bobbin: refusing to run, because:\nbobbin: "), done.stderr)

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


if __name__ == "__main__":
  main()
