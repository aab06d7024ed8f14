// Whether a server answers rightly, before it is measured.
#ifndef BOBBIN_BENCH_LOAD_CHECK_H_
#define BOBBIN_BENCH_LOAD_CHECK_H_

#include <cstdint>

#include "bench/load/connection.h"

namespace load {

// Asks for all 36 sizes in several directories and compares every byte; then HEAD, a file that is
// not there, requests one behind the other in one segment, and one more on the same connection.
// Says what differs, to standard error.
//
// Returns: how many checks failed. Blocks: this thread, at most the time-out for each reply.
int CheckServer(const Target& target, uint32_t directories);

}  // namespace load

#endif  // BOBBIN_BENCH_LOAD_CHECK_H_
