// One process of the generator: users that arrive, ask and leave, a thread each.
//
// A dispatcher hands each session at its arrival to a thread, one that is free or a new one. The
// thread connects, asks, waits for the reply, sleeps its off-time, and so on. Arrivals go on
// whatever the server does, and within a session each request waits for the reply before: a
// partially open system. A request that fails ends its session.
//
// A request's intended start is, for a session's first, its scheduled arrival, and for the others
// the end of the reply before plus the off-time. Latency counts from there, so that a generator or
// server that is late cannot hide it.
//
// Warm start: with a warm-up, the system is taken to have run for ever. Sessions that would be in
// progress at the start make their latest request at some moment of the warm-up and go on from
// there at their own times, so that at its end as many connections are open, and requests come at
// such a rate, as after minutes of running. (As far as waiting for replies does not matter.)
#ifndef BOBBIN_BENCH_LOAD_GENERATOR_H_
#define BOBBIN_BENCH_LOAD_GENERATOR_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "bench/load/connection.h"
#include "bench/load/sampler.h"
#include "bench/load/tally.h"

namespace load {

struct GeneratorOptions {
  Target target;
  SamplerOptions sampler;
  std::vector<Session> log;            // to be replayed over and over; empty: sessions are drawn
  double session_rate = 1;             // of this process, sessions a second
  uint64_t max_sessions = UINT64_MAX;  // of this process; then it ends
  uint64_t seed = 1;                   // of this process: others must have others
  unsigned part = 0,
           parts = 1;  // of a log, this process replays each parts-th session from part on
  bool warm_start = true;
  uint64_t warmup = 0;    // nanoseconds
  uint64_t drain = 0;     // the longest wait for replies after the end; nanoseconds
  int max_open = 19'000;  // sessions at a time; a further arrival is an error of the client
};

// Runs until control->end, or until max_sessions have come to their end, then waits for the replies
// still to come, at most as long as `drain`.
//
// Requires: control->go is set.
// Blocks:   this thread. Threads of users that sleep are still there when it returns: the caller
//           must end the process by _exit.
void RunGenerator(const GeneratorOptions& options, Control* control, Tally* tally);

}  // namespace load

#endif  // BOBBIN_BENCH_LOAD_GENERATOR_H_
