#include "knot/statistics.h"

#include <sys/resource.h>

#include "absl/strings/str_cat.h"
#include "knot/tuning.h"

namespace knot {
namespace {

uint64_t Nanoseconds(const timeval& time) {
  return static_cast<uint64_t>(time.tv_sec) * 1'000'000'000 +
         static_cast<uint64_t>(time.tv_usec) * 1000;
}

}  // namespace

std::string StatisticsText(const Statistics& statistics) {
  const Totals& totals = statistics.totals;
  const Levels& levels = statistics.levels;
  std::string text = absl::StrCat(
      "knot: connections=", totals.connections, " open=", levels.open,
      " idle_closed=", totals.idle_closed, " turned_away=", totals.turned_away,
      " room_made=", totals.room_made, " threads=", levels.threads,
      "\nknot: requests=", totals.requests, " body_bytes=", totals.body_bytes,
      " refusals=", totals.refusals, " cut_short=", totals.cut_short, " health=", totals.health,
      "\nknot: cache entries=", levels.cache_entries, " bytes=", levels.cache_bytes,
      " descriptors=", levels.cache_descriptors, " loads=", totals.cache_loads);
  absl::StrAppend(&text, " checks=", totals.cache_checks, " log_dropped=", totals.log_dropped,
                  "\n");
  if (totals.tls_handshakes + totals.tls_failures + totals.proxy_refusals > 0) {
    absl::StrAppend(&text, "knot: tls handshakes=", totals.tls_handshakes,
                    " resumed=", totals.tls_resumed, " failures=", totals.tls_failures,
                    " proxy_refusals=", totals.proxy_refusals, "\n");
  }
  return text;
}

void ReadProcess(Statistics* statistics) {
  Totals& totals = statistics->totals;
  Levels& levels = statistics->levels;
  levels.processes = 1;
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  totals.user_ns = Nanoseconds(usage.ru_utime);
  totals.system_ns = Nanoseconds(usage.ru_stime);
  tuning::ThreadingNow now;
  if (!tuning::Sample(&now)) return;
  levels.on_user_threads = 1;
  static_cast<tuning::ThreadingTotals&>(totals) = now.totals;
  static_cast<tuning::ThreadingLevels&>(levels) = now.levels;
}

}  // namespace knot
