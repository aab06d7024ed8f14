#include "knot/request_metrics.h"

#include <algorithm>

namespace knot {
namespace {

constexpr int64_t kFirstUnit = 1000;  // a microsecond
constexpr size_t kADecade = 9;        // buckets
constexpr size_t kLast = RequestMetrics::kBuckets - 1;
constexpr size_t kLastDecade = kLast - kADecade - 1;  // its first bucket
static_assert(kLastDecade % kADecade == 0);

}  // namespace

size_t RequestMetrics::BucketOf(int64_t nanoseconds) {
  int64_t unit = kFirstUnit;
  size_t bucket = 0;  // of one unit
  while (nanoseconds > 10 * unit && bucket < kLastDecade) {
    unit *= 10;
    bucket += kADecade;
  }
  if (nanoseconds > 10 * unit) return kLast;
  return nanoseconds <= unit ? bucket : bucket + (nanoseconds - 1) / unit;
}

int64_t RequestMetrics::UpperBound(size_t bucket) {
  int64_t unit = kFirstUnit;
  for (; bucket >= kADecade; bucket -= kADecade) unit *= 10;
  return static_cast<int64_t>(bucket + 1) * unit;
}

void RequestMetrics::Note(int status, int64_t begun) {
  int64_t took = std::max(MonotonicNs() - begun, int64_t{0});
  size_t index = static_cast<size_t>(status - kFirstStatus);
  if (index < kStatuses) by_status_[index].fetch_add(1, std::memory_order_relaxed);
  by_time_[BucketOf(took)].fetch_add(1, std::memory_order_relaxed);
  nanoseconds_.fetch_add(static_cast<uint64_t>(took), std::memory_order_relaxed);
}

void RequestMetrics::AddTo(Counts* sum) const {
  for (size_t i = 0; i < kStatuses; ++i) {
    sum->by_status[i] += by_status_[i].load(std::memory_order_relaxed);
  }
  for (size_t i = 0; i < kBuckets; ++i) {
    sum->by_time[i] += by_time_[i].load(std::memory_order_relaxed);
  }
  sum->nanoseconds += nanoseconds_.load(std::memory_order_relaxed);
}

}  // namespace knot
