// Counts what Knot can hold in memory at most.
//
// Every thread serves one connection, and so holds at most one stack, one request buffer and the
// text of one reply; caches and tables have limits of their own. So the most that can be held
// follows from the options, and does not depend on what clients do: a bound is kept by refusing
// options that could exceed it.
#ifndef KNOT_MEMORY_BUDGET_H_
#define KNOT_MEMORY_BUDGET_H_

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "knot/options.h"

namespace knot {

struct MemoryShare {
  absl::string_view what;
  int64_t bytes = 0;
};

// Returns: what all processes together can hold at most, each kind apart. Not counted is what the
// kernel holds for them: buffers of sockets, cached pages of files.
std::vector<MemoryShare> MemoryShares(const Options& options);

// Tells whether --memory_mb, where given, carries the options. Errors: InvalidArgument, one line
// with all the shares.
absl::Status CheckMemory(const Options& options);

}  // namespace knot

#endif  // KNOT_MEMORY_BUDGET_H_
