// What one user does, from arrival to leaving.
#ifndef BOBBIN_BENCH_LOAD_USER_H_
#define BOBBIN_BENCH_LOAD_USER_H_

#include <cstdint>

#include "bench/load/connection.h"
#include "bench/load/sampler.h"
#include "bench/load/tally.h"

namespace load {

// A session and its times. Units: nanoseconds of CLOCK_MONOTONIC.
struct Visit {
  Session session;
  uint64_t arrival = 0;  // scheduled
  size_t first = 0;      // requests before this one were made before the start
  uint64_t resume = 0;   // not 0: the intended start of the request after `first`
  unsigned number = 0;   // chooses the client's address
};

// What all users of a process share.
struct Company {
  const Target& target;
  const RequestText& text;
  Control* control;
  Tally* tally;
};

// Runs the session and counts it. Blocks: this thread, until the session has ended, or the
// time of its next request has come and control->end was before.
void RunVisit(const Company& company, const Visit& visit);

// Counts a session that cannot begin because of the generator's limits.
void RefuseVisit(const Company& company, const Visit& visit);

}  // namespace load

#endif  // BOBBIN_BENCH_LOAD_USER_H_
