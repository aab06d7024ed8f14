// Writes what a server does as metrics, and as what its live page reads.
#ifndef KNOT_ADMIN_REPORT_H_
#define KNOT_ADMIN_REPORT_H_

#include <cstdint>
#include <string>

#include "knot/statistics.h"
#include "knot/tuning.h"

namespace knot {

struct Report {
  Statistics statistics;
  tuning::Effective threading;
  int64_t start_seconds = 0;  // Unix time at which it began to serve
  int64_t uptime_ns = 0;      // since then, at which the statistics were read
};

// Returns: the metrics, in Prometheus's format. docs/knot/admin.md lists them. What is not known on
// kernel threads is left out there.
std::string MetricsText(const Report& report);

// Returns: the same numbers as one JSON object, of a form that may change with the page.
std::string StatusJson(const Report& report);

}  // namespace knot

#endif  // KNOT_ADMIN_REPORT_H_
