// The time by a clock that nobody sets: CLOCK_MONOTONIC. No call here makes a system call.
#ifndef KNOT_MONOTONIC_H_
#define KNOT_MONOTONIC_H_

#include <time.h>

#include <cstdint>

namespace knot {

inline int64_t MonotonicNs() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * int64_t{1'000'000'000} + now.tv_nsec;
}

inline int64_t MonotonicUs() { return MonotonicNs() / 1000; }
inline int64_t MonotonicMs() { return MonotonicNs() / 1'000'000; }

}  // namespace knot

#endif  // KNOT_MONOTONIC_H_
