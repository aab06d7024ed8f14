// What a run reports: JSON for programs, a few lines for people.
#ifndef BOBBIN_BENCH_LOAD_REPORT_H_
#define BOBBIN_BENCH_LOAD_REPORT_H_

#include <cstdint>
#include <string>
#include <vector>

#include "bench/load/tally.h"

namespace load {

// One second of the measured window.
struct Second {
  double t;  // seconds from the window's begin to this second's end
  uint64_t requests, replies, timeouts, open;  // begun, ended so in it; open at its end
};

// Everything that is told of a run. Units: seconds unless said otherwise.
struct RunResult {
  double offered_rate = 0;  // requests a second
  double seconds = 0;       // of the measured window
  bool complete = true;     // false: stopped early, or a process of the generator died
  unsigned processes = 1;
  unsigned processors = 1;           // that the generator may use
  double generator_cpu_seconds = 0;  // in the window
  uint64_t replies_in_window = 0;    // that ended in the window
  uint64_t bytes_in_window = 0;      // of bodies
  uint64_t connections_peak = 0;
  double connections_mean = 0;
  std::vector<Second> per_second;
};

// Above either, what was measured is the generator: the part of its processors' time that it used,
// and the lateness at which 1 % of the sessions began. Units: nanoseconds.
inline constexpr double kMaxUtilization = 0.97;
inline constexpr uint64_t kMaxLateness = 100'000'000;

std::string ReportJson(const RunResult& run, const WindowTally& window);
std::string ReportText(const RunResult& run, const WindowTally& window);

}  // namespace load

#endif  // BOBBIN_BENCH_LOAD_REPORT_H_
