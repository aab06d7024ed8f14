// A whole run: starts the generator's processes, watches them, reports.
#ifndef BOBBIN_BENCH_LOAD_RUN_H_
#define BOBBIN_BENCH_LOAD_RUN_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "bench/load/generator.h"

namespace load {

struct RunOptions {
  GeneratorOptions generator;  // rates and numbers of sessions are those of all processes together
  double rate = 1000;          // requests a second
  double duration = 10;        // of the measured window, seconds
  unsigned processes = 0;      // 0: as many as its most sessions at a time may need
  std::string json;            // file to write, - for standard output, or empty
};

inline constexpr unsigned kMaxProcesses = 64;

// Returns: how many processes are needed so that none has more than `max_open` sessions at a time:
// by the off-times of a session and two time-outs, which an overloaded server makes it wait in the
// mean at most, as far as we saw.
unsigned ProcessesFor(const RunOptions& options);

// Runs it. Prints `begin` and `end` to standard output where the window opens and closes, a line
// each second to standard error, and at last the results. SIGINT and SIGTERM stop it: the results
// so far are written, marked incomplete.
//
// `arguments` are those this program was started with: the processes get the same and, in front,
// --part=I,FD,N, by which they come to RunPart.
//
// Returns: the exit status: 0, or 1 where it was stopped early or could not report.
// Blocks:  this thread, until the end.
int Run(const RunOptions& options, const std::vector<std::string>& arguments);

// One process's part of a run. Does not return.
[[noreturn]] void RunPart(const RunOptions& options, const std::string& part);

}  // namespace load

#endif  // BOBBIN_BENCH_LOAD_RUN_H_
