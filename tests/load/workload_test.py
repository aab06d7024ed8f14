#!/usr/bin/env python3
"""`workload` against servers that behave and servers that do not: it counts what happens, and finds what is wrong.

usage: workload_test.py WORKLOAD
"""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest

import servers

WORKLOAD = sys.argv.pop(1)


def begin_and_end(said):
  return [line for line in said.splitlines() if line in ("begin", "end")]


def child_of(pid):
  with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as children:
    return int(children.read())


class Workload(unittest.TestCase):

  @classmethod
  def setUpClass(cls):
    cls.directory = tempfile.TemporaryDirectory()
    cls.root = cls.directory.name + "/files"
    subprocess.run([WORKLOAD, "fileset", "--directories=3", cls.root], check=True, capture_output=True)
    cls.log = cls.directory.name + "/log"
    with open(cls.log, "w", encoding="ascii") as file:
      file.write("/dir00000/class1_5\n/dir00001/class0_1 think=0.001\n/dir00002/class2_3\n/dir00000/class3_1\n")

  @classmethod
  def tearDownClass(cls):
    cls.directory.cleanup()

  def run_workload(self, port, *flags, status=0):
    command = [WORKLOAD, "run", f"--target=127.0.0.1:{port}", "--directories=3", "--json=-", *flags]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    self.assertEqual(done.returncode, status, done.stderr)
    self.assertEqual(begin_and_end(done.stdout), ["begin", "end"])
    result = json.loads(done.stdout[done.stdout.index("{"):])
    ended = result["replies"] + result["timeouts"] + sum(result["errors"].values())
    self.assertEqual(result["requests"], ended + result["unfinished"])
    return result, done.stderr

  def replay(self, reply, *flags, sessions=5):
    """Returns: (result, standard error, requests the server got) of some sessions of the log, 4 requests each."""
    with servers.Server(self.root, reply) as server:
      flags = (f"--log={self.log}", f"--sessions={sessions}", "--rate=400", *flags)
      return *self.run_workload(server.port, *flags), server.requests

  def errors(self, result):
    return {name: count for name, count in result["errors"].items() if count != 0}

  def check(self, reply):
    with servers.Server(self.root, reply) as server:
      command = [WORKLOAD, "check", f"--target=127.0.0.1:{server.port}", "--directories=3", "--timeout=0.3"]
      done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
      return done.returncode, done.stderr

  # What goes well.

  def test_counts_what_was_asked_and_answered(self):
    result, _, asked = self.replay(None, "--verify=all")
    self.assertEqual((result["sessions"], result["connections"], result["requests"], result["replies"], asked),
                     (5, 5, 20, 20, 20))
    self.assertEqual(result["bytes"], 5 * (5120 + 102 + 30720 + 102400))
    self.assertEqual(sum(row["requests"] for row in result["per_size"]), 20)
    sizes = {(row["class"], row["file"]): (row["bytes"], row["requests"]) for row in result["per_size"]}
    self.assertEqual(len(sizes), 36)
    self.assertEqual(sizes[(2, 3)], (30720, 5))
    self.assertTrue(result["verification"]["passed"])
    self.assertTrue(result["complete"])

  def test_draws_sessions_and_measures_a_window(self):
    with servers.Server(self.root) as server:
      result, said = self.run_workload(server.port, "--rate=600", "--warmup=0.5", "--duration=1", "--off_scale=0.05",
                                       "--processes=2")
    self.assertAlmostEqual(result["seconds"], 1, delta=0.5)
    self.assertGreaterEqual(len(result["per_second"]), 1)
    self.assertGreater(result["requests"], 300)  # 600 in the mean
    self.assertEqual(result["requests"], result["replies"])
    self.assertEqual(result["processes"], 2)
    self.assertGreater(result["connections_peak"], 0)
    self.assertIn("requests/s", said)
    for name in ("latency_ms", "response_ms"):
      self.assertEqual(list(result[name]), ["mean", "p50", "p99", "p99_9", "max"])
      self.assertLessEqual(result[name]["p50"], result[name]["max"])

  def test_latency_counts_from_the_intended_start(self):
    # Each reply takes 50 ms; the second request's off-time is not part of it.
    def slowly(connection, contents, number):
      time.sleep(0.05)
      return servers.Server.right(connection, contents, number)
    result, _, _ = self.replay(slowly)
    self.assertGreaterEqual(result["latency_ms"]["p50"], 49.5)
    self.assertGreaterEqual(result["response_ms"]["p50"], 49.5)

  def test_a_generator_that_is_late_does_not_hide_it(self):
    path = self.directory.name + "/late.json"
    with servers.Server(self.root) as server:
      command = [WORKLOAD, "run", f"--target=127.0.0.1:{server.port}", "--directories=3", "--rate=200", "--warmup=0",
                 "--duration=1.5", "--off_scale=0.01", "--processes=1", f"--json={path}"]
      with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as run:
        self.assertEqual(run.stdout.readline(), "begin\n")
        generator = child_of(run.pid)
        os.kill(generator, signal.SIGSTOP)
        time.sleep(0.5)
        os.kill(generator, signal.SIGCONT)
        run.communicate(timeout=50)
    with open(path, encoding="ascii") as file:
      result = json.load(file)
    for name in ("latency_ms", "arrival_lateness_ms", "request_lateness_ms"):
      self.assertGreater(result[name]["max"], 300, name)
    self.assertTrue(result["generator_limited"])

  def test_a_warm_start_has_connections_open_at_once(self):
    with servers.Server(self.root) as server:
      result, _ = self.run_workload(server.port, "--rate=100", "--warmup=1", "--duration=1", "--single=0")
    # 10 sessions a second of 12 s in the mean: about 120 are in progress. From nothing there would be 20.
    self.assertGreater(result["connections_mean"], 60)
    self.assertGreater(result["requests"], 40)

  def test_same_seed_same_requests(self):
    def asked(seed):
      with servers.Server(self.root) as server:
        self.run_workload(server.port, "--sessions=20", "--rate=2000", "--off_scale=0.001", f"--seed={seed}")
        return sorted(server.connections)
    self.assertEqual(asked(1), asked(1))
    self.assertNotEqual(asked(1), asked(2))

  # What does not.

  def test_a_wrong_byte_is_found(self):
    def wrong(connection, contents, number):
      if number == 6:
        contents = contents[:-1] + bytes([contents[-1] ^ 1])
      return servers.Server.right(connection, contents, number)
    result, said, _ = self.replay(wrong, "--verify=all")
    self.assertEqual(self.errors(result), {"wrong_body": 1})
    self.assertFalse(result["verification"]["passed"])
    self.assertRegex(said, r"wrong reply to /dir\d+/class\d_\d: byte \d+ is not the file's")

  def test_another_length_is_found_without_looking_at_bytes(self):
    def longer(connection, contents, number):
      return servers.Server.right(connection, contents + b"x" * (number == 6), number)
    result, _, _ = self.replay(longer)
    self.assertEqual(self.errors(result), {"wrong_body": 1})

  def test_a_length_that_is_not_the_files_is_found(self):
    def announces_more(connection, contents, number):
      connection.sendall(servers.reply_head(len(contents) + (number == 6)) + contents)
      return True
    result, _, _ = self.replay(announces_more)
    self.assertEqual(self.errors(result), {"wrong_body": 1})

  def test_a_short_body_is_a_connection_closed_early(self):
    def short(connection, contents, _number):
      connection.sendall(servers.reply_head(len(contents)) + contents[:-1])
      return False
    result, _, _ = self.replay(short)
    self.assertEqual(self.errors(result), {"closed": 5})
    self.assertEqual(result["abandoned"], 15)
    self.assertFalse(result["verification"]["passed"])

  def test_a_connection_that_ends_after_a_reply_is_found_at_the_next_request(self):
    def once(connection, contents, number):
      servers.Server.right(connection, contents, number)
      return False
    result, _, _ = self.replay(once)
    self.assertEqual(result["replies"], 5)
    self.assertEqual(sum(self.errors(result).get(name, 0) for name in ("closed", "reset")), 5)

  def test_a_reset_is_found(self):
    def reset(connection, _contents, _number):
      connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
      connection.close()
      return False
    result, _, _ = self.replay(reset)
    self.assertEqual(self.errors(result), {"reset": 5})

  def test_another_status_is_found(self):
    def missing(connection, contents, number):
      connection.sendall(servers.reply_head(len(contents), "404 Not Found") + contents)
      return True
    result, _, _ = self.replay(missing)
    self.assertEqual(self.errors(result), {"status": 5})

  def test_something_that_is_no_head_is_found(self):
    def babble(connection, _contents, _number):
      connection.sendall(b"x" * 100_000)
      return True
    result, _, _ = self.replay(babble)
    self.assertEqual(self.errors(result), {"status": 5})

  def test_no_reply_is_a_time_out_and_ends_the_session(self):
    def silent(connection, contents, number):
      return number % 2 == 0 or servers.Server.right(connection, contents, number)
    result, _, asked = self.replay(silent, "--timeout=0.2", sessions=1)
    self.assertEqual((result["timeouts"], result["replies"], result["abandoned"], asked), (1, 0, 3, 1))
    timed_out = [row for row in result["per_size"] if row["timeouts"] != 0]
    self.assertEqual([(row["class"], row["file"]) for row in timed_out], [(1, 5)])

  def test_half_a_reply_is_a_time_out(self):
    def half(connection, contents, _number):
      connection.sendall(servers.reply_head(len(contents)) + contents[:len(contents) // 2])
      return True
    result, _, _ = self.replay(half, "--timeout=0.2")
    self.assertEqual(result["timeouts"], 5)

  def test_a_full_backlog_is_a_time_out_of_the_connection(self):
    with socket.create_server(("127.0.0.1", 0), backlog=1) as listener:
      result, _ = self.run_workload(listener.getsockname()[1], f"--log={self.log}", "--sessions=8", "--rate=400",
                                    "--timeout=0.3")
    self.assertEqual(result["timeouts"], 8)
    self.assertLess(result["connections"], 8)

  def test_refused_connections_are_counted(self):
    with socket.create_server(("127.0.0.1", 0)) as listener:
      port = listener.getsockname()[1]
    result, _ = self.run_workload(port, f"--log={self.log}", "--sessions=5", "--rate=400")
    self.assertEqual(self.errors(result), {"connect": 5})

  def test_more_sessions_than_max_open_are_told(self):
    def silent(_connection, _contents, _number):
      time.sleep(0.5)
      return False
    result, said, _ = self.replay(silent, "--max_open=2", "--processes=1")
    self.assertEqual(result["errors"]["client"], 3)
    self.assertTrue(result["generator_limited"])
    self.assertIn("limited by the generator", said)

  def test_arrivals_go_on_when_the_server_does_not(self):
    def silent(_connection, _contents, _number):
      time.sleep(5)
      return False
    with servers.Server(self.root, silent) as server:
      result, _ = self.run_workload(server.port, "--rate=300", "--single=1", "--warmup=0.1", "--duration=1",
                                    "--timeout=0.5", "--drain=1")
    self.assertGreater(result["requests"], 200)
    self.assertEqual(result["timeouts"], result["requests"])

  def test_being_stopped_gives_what_there_is(self):
    path = self.directory.name + "/stopped.json"
    with servers.Server(self.root) as server:
      command = [WORKLOAD, "run", f"--target=127.0.0.1:{server.port}", "--directories=3", "--rate=100", "--warmup=0",
                 "--duration=60", f"--json={path}"]
      with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as run:
        self.assertEqual(run.stdout.readline(), "begin\n")
        while server.requests < 100:
          time.sleep(0.02)
        with open(f"/proc/{child_of(run.pid)}/status", encoding="ascii") as status:
          threads = int(re.search(r"Threads:\s+(\d+)", status.read())[1])
        run.send_signal(signal.SIGTERM)
        _, said = run.communicate(timeout=50)
    self.assertEqual(run.returncode, 1)
    self.assertIn("incomplete", said)
    self.assertLess(threads, 10)  # of the kernel: users are threads of Bobbin
    with open(path, encoding="ascii") as file:
      result = json.load(file)
    self.assertFalse(result["complete"])
    self.assertGreater(result["replies"], 0)
    self.assertFalse(os.path.exists(path + ".partial"))

  # Checks beforehand.

  def test_check_passes_a_server_that_is_right(self):
    def right(connection, contents, number, head_at=108):  # 3 directories of 36 files are asked for before HEAD
      connection.sendall(servers.reply_head(len(contents)) + contents * (number != head_at))
      return True
    self.assertEqual(self.check(right), (0, ""))

  def test_check_wants_no_body_with_head(self):
    status, said = self.check(None)
    self.assertEqual(status, 1)
    self.assertIn("no HTTP/1.1 reply", said)

  def test_check_wants_all_of_several_requests_in_one_segment(self):
    def drops(connection, contents, number):
      if number != 111:
        connection.sendall(servers.reply_head(len(contents)) + contents * (number != 108))
      return True
    status, said = self.check(drops)
    self.assertEqual(status, 1)
    self.assertIn("requests in one segment: /dir00000/class2_9", said)

  def test_check_wants_every_byte_right(self):
    for wrong in (lambda c: c[:-1] + b"\0", lambda c: c[:-1], lambda c: c + b"x"):
      def reply(connection, contents, number, wrong=wrong):
        return servers.Server.right(connection, wrong(contents) if number == 35 else contents, number)
      status, said = self.check(reply)
      self.assertEqual(status, 1)
      self.assertIn("/dir00000/class3_9", said)

  # Mistakes in the words.

  def test_a_mistake_is_told_in_a_line(self):
    for words in (["run", "--rate=much"], ["run", "--rate"], ["run", "--nonsense=1"], ["run", "--verify=some"],
                  ["run", "--target=localhost"], ["run", "--log=/nonexistent"], ["run", "--out=x"], ["run", "more"],
                  ["nothing"], ["fileset"], ["fileset", "--directories=0", "/tmp/x"], ["sessions", "--sessions=3"],
                  ["sessions", "--out=-"]):
      done = subprocess.run([WORKLOAD, *words], capture_output=True, text=True, timeout=50, check=False)
      self.assertEqual(done.returncode, 2, words)
      self.assertRegex(done.stderr, r"\Aworkload: [^\n]+\n\Z", words)

  def test_help_lists_every_flag(self):
    for command, flag in (("run", "--max_open"), ("fileset", "--directories"), ("sessions", "--out"),
                          ("check", "--target")):
      done = subprocess.run([WORKLOAD, command, "--help"], capture_output=True, text=True, timeout=50, check=True)
      self.assertIn(f"  {flag} ", done.stdout)
      self.assertNotIn("(internal)", done.stdout)


if __name__ == "__main__":
  unittest.main()
