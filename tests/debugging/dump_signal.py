"""BOBBIN_DUMP_SIGNAL: the signal writes the thread dump, whatever the program is doing, and the program goes on."""

import os
import re
import signal
import subprocess
import unittest

import programs

NAMES = {"reader", "locker", "waiter", "sleeper", "accepter", "poller", "handler"}
LINE = re.compile(r"^\d+ '(.+)' (parked on \w+|ready|running)")


class DumpSignal(unittest.TestCase):

  def program(self, *flags, chosen="USR1", **options):
    options.setdefault("stderr", subprocess.PIPE)
    return programs.Program([self.arguments.linked, *flags], {"BOBBIN_DUMP_SIGNAL": chosen}, **options)

  def read_dump(self, stream, extra=("waiting_threads",)):
    """Reads one dump. Returns: the state of each thread by name."""
    found = {}
    while not NAMES | set(extra) <= found.keys():
      line = stream.readline()
      match = LINE.match(line)
      self.assertTrue(match, f"not a line of a dump: '{line}'")
      self.assertNotIn(match[1], found)
      found[match[1]] = match[2]
    return found

  def check_waits(self, found):
    self.assertEqual({"reader": "parked on readable", "locker": "parked on address", "waiter": "parked on address",
                      "sleeper": "parked on time", "accepter": "parked on accept", "poller": "parked on poll",
                      "handler": "parked on readable"}, {name: found[name] for name in NAMES})

  def test_while_idle(self):
    with self.program() as program:
      for _ in range(3):
        os.kill(program.pid, signal.SIGUSR1)
        self.check_waits(self.read_dump(program.process.stderr))
      self.assertEqual((0, "", ""), program.end())

  def test_any_signal_by_number(self):
    with self.program(chosen="40") as program:
      os.kill(program.pid, 40)
      self.check_waits(self.read_dump(program.process.stderr))
      self.assertEqual((0, "", ""), program.end())

  def test_while_a_thread_computes(self):
    with self.program("--spin") as program:
      for _ in range(3):
        os.kill(program.pid, signal.SIGUSR1)
        found = self.read_dump(program.process.stderr, ["spinner"])
        self.check_waits(found)
        self.assertEqual("running", found["spinner"])

  def test_while_threads_switch(self):
    with self.program("--switch") as program:
      for _ in range(200):
        os.kill(program.pid, signal.SIGUSR1)
        self.check_waits(self.read_dump(program.process.stderr, ["left", "right", "waiting_threads"]))
      self.assertEqual((0, "", ""), program.end())

  def test_then_the_programs_own_handler(self):
    for flags in (["--handler"], ["--handler", "--switch"]):
      with self.program(*flags) as program:
        extra = ["waiting_threads", "left", "right"] if "--switch" in flags else ["waiting_threads"]
        for _ in range(20):
          os.kill(program.pid, signal.SIGUSR1)
          self.check_waits(self.read_dump(program.process.stderr, extra))
          self.assertEqual("handled\n", program.process.stdout.readline())
        self.assertEqual((0, "", ""), program.end())

  def test_sent_by_the_program_itself(self):
    with self.program("--raise") as program:
      self.check_waits(self.read_dump(program.process.stderr))
      self.assertEqual((0, "", ""), program.end())

  def test_where_standard_error_was_before_the_program_replaced_it(self):
    with self.program("--close-errors") as program:
      os.kill(program.pid, signal.SIGUSR1)
      self.check_waits(self.read_dump(program.process.stderr))
      self.assertEqual((0, "", ""), program.end())

  def test_nowhere_when_standard_error_was_closed(self):
    with self.program("--handler", stderr=None, preexec_fn=lambda: os.close(2)) as program:
      os.kill(program.pid, signal.SIGUSR1)
      self.assertEqual("handled\n", program.process.stdout.readline())
      self.assertEqual((0, "", None), program.end())

  def test_is_off_by_default(self):
    with self.program(chosen="off") as program:
      os.kill(program.pid, signal.SIGUSR1)
      self.assertEqual((-signal.SIGUSR1, "", ""), program.end())


if __name__ == "__main__":
  programs.run(DumpSignal)
