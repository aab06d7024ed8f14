// A point in time that something must be done by.
#ifndef KNOT_DEADLINE_H_
#define KNOT_DEADLINE_H_

#include <time.h>

#include <algorithm>
#include <cstdint>
#include <limits>

namespace knot {

class Deadline {
 public:
  // `timeout_ms` as poll(2): negative for never.
  explicit Deadline(int timeout_ms) : at_ms_(timeout_ms < 0 ? kNever : NowMs() + timeout_ms) {}

  // Brings it forward to `timeout_ms` from now, where that is sooner.
  void AtMost(int timeout_ms) { at_ms_ = std::min(at_ms_, NowMs() + timeout_ms); }

  // Returns: how long it is until then, as poll(2) takes it: 0 once it has passed.
  int Left() const {
    if (at_ms_ == kNever) return -1;
    return static_cast<int>(std::clamp<int64_t>(at_ms_ - NowMs(), 0, kMostMs));
  }

 private:
  static constexpr int64_t kNever = std::numeric_limits<int64_t>::max();
  static constexpr int64_t kMostMs = std::numeric_limits<int>::max();

  // The monotonic clock, which no change of the date moves.
  static int64_t NowMs() {
    timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * int64_t{1000} + now.tv_nsec / 1'000'000;
  }

  int64_t at_ms_;
};

}  // namespace knot

#endif  // KNOT_DEADLINE_H_
