"""The gdb commands of wrappers/gdb/bobbin-gdb.py: live, at a breakpoint, in core files, and where they must refuse."""

import os
import re
import shutil
import subprocess
import tempfile
import unittest

import programs

# Thread -> the function of the program that it waits in. "main" is the program's own name.
FUNCTIONS = {
    "reader": "WaitInRead",
    "locker": "WaitForMutex",
    "waiter": "WaitForCondition",
    "sleeper": "WaitForTime",
    "accepter": "WaitInAccept",
    "poller": "WaitInEpoll",
    "handler": "OnSignal",
}


def gdb(arguments, commands, source=None, **options):
  """Runs gdb in batch mode. Returns: what it said, errors among it."""
  command = ["gdb", "-nx", "-batch", "-iex", "set debuginfod enabled off", "-iex", "set width 0"]
  if source:
    commands = [f"source {source}"] + commands
  command += options.pop("early", [])
  for one in commands:
    command += ["-ex", one]
  return subprocess.run(command + arguments, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                        text=True, errors="replace", check=False, timeout=110, **options).stdout


def rows(text):
  """Lines of `bobbin threads` by thread name: (starred, id, the rest)."""
  found = {}
  for line in text.splitlines():
    if match := re.match(r"(\*?) +(\d+) +(\S+) +((?:parked|running|ready) .*)", line):
      found[match[3]] = (match[1] == "*", match[2], match[4])
  return found


def stacks(text):
  """Output of `bobbin backtrace all` by thread name."""
  parts = re.split(r"^User thread \d+ '(.*?)'.*:$", text, flags=re.M)
  return dict(zip(parts[1::2], parts[2::2]))


class GdbCommands(unittest.TestCase):
  maxDiff = None

  def preloaded(self):
    return {"LD_PRELOAD": self.arguments.library}

  def check_rows(self, text, program, times=r"[\d.]+ s"):
    found = rows(text)
    waits = {
        "reader": f"readable descriptor {program.pipe}",
        "locker": r"address 0x[0-9a-f]+ <.*held.*>",
        "waiter": r"address 0x[0-9a-f]+ <.*never.*>",
        "sleeper": "time",
        "accepter": f"accept descriptor {program.listener}",
        "poller": f"poll descriptor {program.epoll}",
        "handler": f"readable descriptor {program.signal_pipe}",
    }
    for name, wait in waits.items():
      self.assertIn(name, found, text)
      self.assertRegex(found[name][2], rf"^parked +{wait} +{times} +0$", text)
      # All were parked before main slept for 0.1 s the last time.
      if "." in times and ">" not in times:
        self.assertGreater(float(re.search(r"([\d.]+) s +0$", found[name][2])[1]), 0.05, text)
    self.assertEqual(1, sum(row[0] for row in found.values()), text)

  def check_stacks(self, text, *others):
    found = stacks(text)
    for name, function in list(FUNCTIONS.items()) + list(others):
      self.assertRegex(found.get(name, ""), rf"#\d+ .*\b{function}\b", f"{name}: {text}")
      # Down to the end of the stack: libc's first function, or main.
      self.assertRegex(found[name], r"\b(clone3|main)\b", f"{name}: {text}")
      self.assertNotIn("Backtrace stopped", found[name])
    self.assertIn("WaitInHandler", found["handler"], "a signal frame is unwound")

  def test_live_with_one_thread_computing(self):
    with programs.Program([self.arguments.linked, "--spin"]) as program:
      text = gdb(["-p", str(program.pid)], ["bobbin threads", "bobbin backtrace all"], self.arguments.script)
      self.check_rows(text, program)
      self.assertRegex(rows(text)["spinner"][2], r"^running +0$")
      self.assertTrue(rows(text)["spinner"][0])
      self.check_stacks(text, ("spinner", "Spin"))

  def test_live_preloaded_and_idle(self):
    with programs.Program([self.arguments.plain], self.preloaded()) as program:
      text = gdb(["-p", str(program.pid)], ["info bobbin -v", "bobbin backtrace all"], self.arguments.script)
      self.check_rows(text, program)
      self.check_stacks(text, ("waiting_threads", "main"))
      self.assertRegex(text, rf"descriptor {program.pipe} is pipe:")
      self.assertRegex(text, r"until [\d.]+ h from now")
      # Untouched: it goes on and ends when it is told to.
      self.assertEqual(0, program.end()[0])

  def test_live_while_threads_switch(self):
    with programs.Program([self.arguments.linked, "--switch"]) as program:
      commands = []
      for _ in range(12):
        commands += [f"attach {program.pid}", "bobbin threads", "bobbin backtrace all", "detach", "shell sleep 0.01"]
      text = gdb([], commands, self.arguments.script)
      tries = text.split("  Id ")[1:]
      self.assertEqual(12, len(tries), text)
      for one in tries:
        found = stacks(one)
        for name in ("left", "right"):
          self.assertRegex(found.get(name, ""), r"\bPassTurns\b|just being switched", one)
        self.check_stacks(one)
      self.assertLess(text.count("just being switched"), 6, text)

  def test_breakpoint_in_a_user_thread(self):
    commands = ["break WaitForCondition", "run", "bobbin threads", "backtrace", "bobbin backtrace all", "kill"]
    text = gdb(["--args", self.arguments.linked], commands, self.arguments.script,
               env={**os.environ, "BOBBIN_SCHEDULERS": "1"})
    self.assertRegex(text, r"Breakpoint 1, .*WaitForCondition")
    found = rows(text)
    self.assertTrue(found["waiter"][0], text)
    self.assertRegex(found["waiter"][2], "^running", text)
    self.assertRegex(found["reader"][2], "^parked +readable", text)
    self.assertRegex(found["locker"][2], "^parked +address", text)
    found = stacks(text)
    self.assertIn("WaitInRead", found["reader"])
    self.assertIn("WaitForMutex", found["locker"])
    for name in ("sleeper", "accepter", "poller"):
      self.assertRegex(found[name], "has not run yet")

  def test_live_preempted_and_dispatched(self):
    # The others run only because the signal of a time slice takes the scheduler from the one that computes.
    with programs.Program([self.arguments.linked, "--spin", "--switch"],
                          {"BOBBIN_QUANTUM": "1", "BOBBIN_DISPATCH": "on"}) as program:
      commands = ["break sem_post", "continue", "continue", "bobbin threads", "bobbin backtrace all"]
      text = gdb(["-p", str(program.pid)], commands, self.arguments.script)
      self.assertNotIn("received signal", text, "Bobbin's own signals do not stop gdb")
      self.assertEqual(2, len(re.findall("^Breakpoint 1, ", text, flags=re.M)), text)
      self.check_rows(text, program)
      self.assertRegex(rows(text)["spinner"][2], "^ready +0$", text)
      self.check_stacks(text, ("spinner", "Spin"))
      self.assertRegex(stacks(text)["spinner"], r"(?s)<signal handler called>.*\bSpin\b", "preempted in a signal frame")

  def test_core_file(self):
    with tempfile.TemporaryDirectory() as directory:
      core = os.path.join(directory, "core")
      with programs.Program([self.arguments.plain], self.preloaded()) as program:
        gdb(["-p", str(program.pid)], [f"bobbin core {core}"], self.arguments.script)
        text = gdb([self.arguments.plain, core], ["bobbin threads", "bobbin backtrace all"], self.arguments.script)
        self.check_rows(text, program, r">[\d.]+ s")
      self.check_stacks(text, ("waiting_threads", "main"))

  def test_core_file_without_the_stacks(self):
    with tempfile.TemporaryDirectory() as directory:
      core = os.path.join(directory, "core")
      with programs.Program([self.arguments.linked]) as program:
        gdb(["-p", str(program.pid)], [f"generate-core-file {core}"])
        text = gdb([self.arguments.linked, core], ["bobbin threads", "bobbin backtrace all"], self.arguments.script)
        self.check_rows(text, program, r">[\d.]+ s")
      # Where this gdb or this kernel's guards do leave the stacks in, they are shown.
      for name, function in FUNCTIONS.items():
        self.assertRegex(stacks(text)[name], rf"is not in this core file|\b{function}\b")

  def test_thread_runs_a_command_in_its_context(self):
    with programs.Program([self.arguments.linked]) as program:
      text = gdb(["-p", str(program.pid)], ["bobbin threads"], self.arguments.script)
      reader, poller = rows(text)["reader"][1], rows(text)["poller"][1]
      registers = "info registers rip rsp rbx fs_base"
      text = gdb(["-p", str(program.pid)],
                 [registers, f"bobbin thread {reader} frame function WaitInRead", "echo <\\n", "frame", "echo >\\n",
                  f"bobbin thread {poller}", "frame function WaitInEpoll", "info frame",
                  f"bobbin backtrace {reader} -2",
                  "echo [[\\n", "frame", "echo ]]\\n", "bobbin thread off", f"bobbin thread {reader} no-such-command",
                  "backtrace", registers], self.arguments.script)
      self.assertRegex(text, r"#\d+ .*WaitInRead \(number=")
      self.assertNotIn("WaitInRead", text[text.index("<\n"):text.index(">\n")], "the frame is as it was")
      self.assertRegex(text[text.index("[[\n"):text.index("]]\n")], "WaitInEpoll", "so is the user thread")
      self.assertIn('Undefined command: "no-such-command"', text)
      self.assertRegex(text[text.index("Undefined command"):], r"(?s)#0 .* main \(", "also after an error")
      before, after = re.findall(r"(?m)^rip .*\n^rsp .*\n^rbx .*\n^fs_base .*$", text)
      self.assertEqual(before, after)

  def test_errors_are_one_line(self):
    script = self.arguments.script

    def last(text):
      return text.strip().splitlines()[-1]

    self.assertEqual("There is no process: run one, attach to one, or load a core file.",
                     last(gdb([self.arguments.plain], ["bobbin threads"], script)))
    with programs.Program([self.arguments.plain]) as program:
      attach = ["-p", str(program.pid)]
      self.assertIn("This process does not use Bobbin: there is no libbobbin in it.\n",
                    gdb(attach, ["bobbin threads"], script))
    with programs.Program([self.arguments.linked], {"BOBBIN": "off"}) as program:
      self.assertIn("Bobbin is not active here, threads are kernel threads: BOBBIN=off.\n",
                    gdb(["-p", str(program.pid)], ["bobbin backtrace all"], script))
    with programs.Program([self.arguments.linked]) as program:
      text = gdb(["-p", str(program.pid)],
                 ["bobbin thread 77 frame", "bobbin backtrace x", "bobbin threads -x", "bobbin thread"], script)
      self.assertIn("There is no user thread 77; 'bobbin threads' lists them.\n", text)
      self.assertIn("'x' is not the id of a user thread; 'bobbin threads' lists them.\n", text)
      self.assertIn("Usage: bobbin threads [-v]\n", text)
      self.assertIn("Usage: bobbin thread ID [COMMAND]", text)
      self.assertNotIn("Python", text)

  def test_without_debug_information_it_says_so(self):
    with tempfile.TemporaryDirectory() as directory:
      library = shutil.copy(self.arguments.library, directory)
      subprocess.run(["strip", library], check=True)
      with programs.Program([self.arguments.plain], {"LD_PRELOAD": library}) as program:
        text = gdb(["-p", str(program.pid)], ["bobbin threads"], self.arguments.script)
        self.assertIn(f"{library} has no debug information that fits: its threads cannot be read.\n", text)

  def test_is_loaded_with_the_library_where_that_is_safe(self):
    directory = os.path.dirname(self.arguments.library)
    with programs.Program([self.arguments.linked]) as program:
      attach = ["-p", str(program.pid)]
      text = gdb(attach, ["bobbin threads"], early=["-iex", f"add-auto-load-safe-path {directory}"])
      self.check_rows(text, program)
      self.assertIn('Undefined command: "bobbin"', gdb(attach, ["bobbin threads"]))


if __name__ == "__main__":
  programs.run(GdbCommands)
