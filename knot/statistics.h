// One reading of everything a server counts.
#ifndef KNOT_STATISTICS_H_
#define KNOT_STATISTICS_H_

#include <cstdint>
#include <string>

#include "knot/request_metrics.h"
#include "knot/tuning.h"

namespace knot {

// Totals and Levels have no members but uint64_t, so that those of several processes can be added
// up word by word.

// Since start. They never fall.
struct Totals : tuning::ThreadingTotals {
  uint64_t connections = 0;  // accepted
  uint64_t idle_closed = 0;  // closed by the idle time-out
  uint64_t turned_away = 0;  // closed because their client had as many as it may
  uint64_t room_made = 0;    // told to end, or cut off, so that others could be served
  uint64_t tls_handshakes = 0, tls_resumed = 0, tls_failures = 0;
  uint64_t proxy_refusals = 0;
  uint64_t requests = 0;    // replies begun, refusals included
  uint64_t body_bytes = 0;  // of replies, as far as they were sent
  uint64_t refusals = 0;    // replies of status 400 and above
  uint64_t cut_short = 0;   // replies that could not be sent whole
  uint64_t health = 0;      // answers to --health, which are in none of the others
  uint64_t cache_loads = 0;
  uint64_t cache_checks = 0;
  uint64_t log_dropped = 0;
  // For --admin only, as what is of threading.
  uint64_t user_ns = 0, system_ns = 0;  // CPU time
  RequestMetrics::Counts counts;
};

// Now.
struct Levels : tuning::ThreadingLevels {
  uint64_t open = 0;     // connections
  uint64_t threads = 0;  // that accept or serve
  uint64_t cache_entries = 0, cache_bytes = 0, cache_descriptors = 0;
  // For --admin only, as what is of threading.
  uint64_t processes = 0;        // that serve
  uint64_t on_user_threads = 0;  // processes; where there is none nothing is known of threading
};

struct Statistics {
  Totals totals;
  Levels levels;
};

// Returns: the lines that SIGUSR1 and --stats print of Knot itself.
std::string StatisticsText(const Statistics& statistics);

// Reads what --admin is to show of this process beside: its CPU time, and what its threads do,
// which takes a look at each user thread.
void ReadProcess(Statistics* statistics);

}  // namespace knot

#endif  // KNOT_STATISTICS_H_
