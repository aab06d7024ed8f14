#!/usr/bin/env python3
"""The client counts every request, and ends with status 1 where a reply is wrong, cut short or missing.

usage: load_test.py BENCH_LOAD
"""

import contextlib
import socketserver
import subprocess
import sys
import tempfile
import threading
import unittest

BENCH_LOAD = sys.argv.pop(1)
REQUEST = b"ask\n"
REPLY = b"head body tail"


class Handler(socketserver.BaseRequestHandler):
  """Answers each request with what the server has for its number, of all connections together."""

  def handle(self):
    with contextlib.suppress(ConnectionError):  # the client leaves at the first error
      self.answer()

  def answer(self):
    while True:
      data = self.request.recv(len(REQUEST))
      if not data:
        return
      with self.server.lock:
        number = self.server.asked
        self.server.asked += 1
      self.server.test.assertEqual(data, REQUEST)
      self.request.sendall(self.server.reply(number))
      if self.server.closes:
        return


class Server(socketserver.ThreadingTCPServer):
  daemon_threads = True

  def __init__(self, test, reply, closes):
    super().__init__(("127.0.0.1", 0), Handler)
    self.test, self.reply, self.closes = test, reply, closes
    self.asked = 0
    self.lock = threading.Lock()


class Load(unittest.TestCase):

  def run_load(self, reply, *flags, closes=False):
    """Returns: (exit status, standard output, standard error, requests that came) of 3 connections, 20 requests."""
    with Server(self, reply, closes) as server, tempfile.TemporaryDirectory() as directory:
      threading.Thread(target=server.serve_forever, daemon=True).start()
      command = [BENCH_LOAD, f"--port={server.server_address[1]}", "--connections=3", "--requests=20", *flags]
      for name, content in (("request", REQUEST), ("head", b"head"), ("tail", b"tail")):
        with open(f"{directory}/{name}", "wb") as file:
          file.write(content)
        command.append(f"--{name}={directory}/{name}")
      done = subprocess.run(command, input="\n", capture_output=True, text=True, timeout=100, check=False)
      server.shutdown()
      return done.returncode, done.stdout, done.stderr, server.asked

  def test_makes_each_request_once_behind_those_for_warming_up(self):
    status, said, _, asked = self.run_load(lambda number: REPLY)
    self.assertEqual((status, asked), (0, 3 + 2 + 20))
    self.assertEqual(said.splitlines()[0], "ready")
    self.assertGreater(float(said.splitlines()[1]), 0)

  def test_connects_anew_for_each_request(self):
    status, _, _, asked = self.run_load(lambda number: REPLY, "--reconnect", closes=True)
    self.assertEqual((status, asked), (0, 3 + 2 + 20))

  def test_a_reply_with_a_wrong_head_is_an_error(self):
    status, _, said, _ = self.run_load(lambda number: REPLY if number != 15 else b"HEAD body tail")
    self.assertEqual(status, 1)
    self.assertIn("wrong reply", said)

  def test_a_reply_that_is_cut_short_is_an_error(self):
    status, _, said, _ = self.run_load(lambda number: REPLY if number != 15 else REPLY[:-1], "--reconnect", closes=True)
    self.assertEqual(status, 1)
    self.assertIn("wrong reply", said)

  def test_a_connection_that_ends_is_an_error(self):
    status, _, said, _ = self.run_load(lambda number: REPLY, closes=True)
    self.assertEqual(status, 1)
    self.assertRegex(said, "closed|broke|could not be sent")

  def test_a_reply_to_no_request_is_an_error(self):
    status, _, _, _ = self.run_load(lambda number: REPLY if number != 2 else REPLY + REPLY)
    self.assertEqual(status, 1)


if __name__ == "__main__":
  unittest.main()
