// Counts requests by their status and by the time they took, where --admin is to show it.
//
// A time is counted in one of kBuckets, nine to a power of ten: 1, 2, … 9 microseconds, 10, 20, …
// up to 100 seconds, and one for all above.
#ifndef KNOT_REQUEST_METRICS_H_
#define KNOT_REQUEST_METRICS_H_

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

#include "knot/monotonic.h"

namespace knot {

class RequestMetrics {
 public:
  static constexpr size_t kBuckets = 74;
  static constexpr int kFirstStatus = 100;
  static constexpr size_t kStatuses = 500;

  // What was counted so far; a copy while requests go on is not of one instant.
  struct Counts {
    uint64_t by_status[kStatuses] = {};  // of kFirstStatus and those that follow it
    uint64_t by_time[kBuckets] = {};
    uint64_t nanoseconds = 0;  // that all of them took
  };

  // Returns: the bucket of a time, in nanoseconds. What is below zero took no time.
  static size_t BucketOf(int64_t nanoseconds);

  // Returns: the largest time of a bucket but the last, in nanoseconds.
  static int64_t UpperBound(size_t bucket);

  // Counts a request that began at `begun` by MonotonicNs() and ends now. Callers: any thread.
  void Note(int status, int64_t begun);

  void AddTo(Counts* sum) const;

 private:
  std::array<std::atomic<uint64_t>, kStatuses> by_status_{};
  std::array<std::atomic<uint64_t>, kBuckets> by_time_{};
  std::atomic<uint64_t> nanoseconds_{0};
};

}  // namespace knot

#endif  // KNOT_REQUEST_METRICS_H_
