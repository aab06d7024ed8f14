#!/usr/bin/env python3
"""The figures are read rightly from what wrk and strace print, and combined rightly."""

import unittest

import cost
import syscalls

WRK = """Running 2s test @ http://127.0.0.1:8099/
  1 threads and 64 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency   312.01us  306.84us   6.91ms   98.03%
    Req/Sec   117.69k    30.26k  152.95k    50.00%
  Latency Distribution
     50%  246.00us
     75%  369.00us
     90%  437.00us
     99%    1.09ms
  234105 requests in 2.00s, 265.23MB read
"""

STRACE = """% time     seconds  usecs/call     calls    errors syscall
------ ----------- ----------- --------- --------- ----------------
 50.64    0.249574          28      8654           writev
 26.07    0.128489           9     13405      4744 read
------ ----------- ----------- --------- --------- ----------------
100.00    0.492855          15     30941      4751 total
"""


def sample(cpu_us, **others):
  return {"cpu_us": cpu_us, "utilisation": 0.5, "rate": 1000.0, "p99_us": 10.0, "socket_errors": 0, **others}


class ParseWrk(unittest.TestCase):

  def test_reads_requests_time_and_p99(self):
    load = cost.parse_wrk(WRK)
    self.assertEqual((load["requests"], load["seconds"]), (234105, 2.0))
    self.assertAlmostEqual(load["p99"], 1.09e-3)
    self.assertEqual((load["failures"], load["socket_errors"]), (0, 0))

  def test_counts_failed_requests_and_socket_errors(self):
    load = cost.parse_wrk(WRK + "  Socket errors: connect 1, read 20, write 0, timeout 3\n"
                          "  Non-2xx or 3xx responses: 7\n")
    self.assertEqual((load["failures"], load["socket_errors"]), (7, 24))

  def test_refuses_other_output(self):
    with self.assertRaises(cost.LoadError):
      cost.parse_wrk("unable to connect to 127.0.0.1:8099 Connection refused\n")


class Summarise(unittest.TestCase):

  def test_ratio_is_the_median_of_ratios_within_a_round(self):
    summary = cost.summarise({
        "floor": {0: sample(5.0), 1: sample(10.0), 2: sample(8.0)},
        "knot": {0: sample(6.0), 1: sample(11.0), 2: sample(8.0, socket_errors=2)},
    })
    self.assertAlmostEqual(summary["knot"]["ratio"], 1.1)
    self.assertEqual(summary["knot"]["ratio_range"], [1.0, 1.2])
    self.assertEqual((summary["knot"]["cpu_us"], summary["knot"]["socket_errors"]), (8.0, 2))
    self.assertEqual(summary["floor"]["ratio"], 1.0)

  def test_ratio_is_to_the_base_that_is_named(self):
    summary = cost.summarise({"nginx": {0: sample(5.0)}, "knot": {0: sample(4.0)}}, "nginx")
    self.assertAlmostEqual(summary["knot"]["ratio"], 0.8)

  def test_rounds_without_the_floor_give_no_ratio(self):
    summary = cost.summarise({"floor": {}, "knot": {0: sample(6.0)}})
    self.assertNotIn("floor", summary)
    self.assertIsNone(summary["knot"]["ratio"])


class ParseStrace(unittest.TestCase):

  def test_reads_calls_and_errors_without_the_total(self):
    self.assertEqual(syscalls.parse_strace(STRACE), {"writev": (8654, 0), "read": (13405, 4744)})


if __name__ == "__main__":
  unittest.main()
