// A point in time that something must be done by.
#ifndef KNOT_DEADLINE_H_
#define KNOT_DEADLINE_H_

#include <algorithm>
#include <cstdint>
#include <limits>

#include "knot/monotonic.h"

namespace knot {

class Deadline {
 public:
  // `timeout_ms` as poll(2): negative for never.
  explicit Deadline(int timeout_ms)
      : at_ms_(timeout_ms < 0 ? kNever : MonotonicMs() + timeout_ms) {}

  // Brings it forward to `timeout_ms` from now, where that is sooner.
  void AtMost(int timeout_ms) { at_ms_ = std::min(at_ms_, MonotonicMs() + timeout_ms); }

  // Returns: how long it is until then, as poll(2) takes it: 0 once it has passed.
  int Left() const {
    if (at_ms_ == kNever) return -1;
    return static_cast<int>(std::clamp<int64_t>(at_ms_ - MonotonicMs(), 0, kMostMs));
  }

 private:
  static constexpr int64_t kNever = std::numeric_limits<int64_t>::max();
  static constexpr int64_t kMostMs = std::numeric_limits<int>::max();

  int64_t at_ms_;
};

}  // namespace knot

#endif  // KNOT_DEADLINE_H_
