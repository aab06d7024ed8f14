// The clock of schedules, time-outs and latencies: CLOCK_MONOTONIC, nanoseconds.
#ifndef BOBBIN_BENCH_LOAD_CLOCK_H_
#define BOBBIN_BENCH_LOAD_CLOCK_H_

#include <time.h>

#include <cstdint>

namespace load {

inline constexpr uint64_t kSecond = 1'000'000'000;
inline constexpr uint64_t kMillisecond = 1'000'000;

inline uint64_t Now() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<uint64_t>(now.tv_sec) * kSecond + static_cast<uint64_t>(now.tv_nsec);
}

// Sleeps until then; returns at once where that is past. Blocks: this thread.
inline void SleepUntil(uint64_t then) {
  timespec at = {static_cast<time_t>(then / kSecond), static_cast<long>(then % kSecond)};
  while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, nullptr) != 0) {
  }
}

}  // namespace load

#endif  // BOBBIN_BENCH_LOAD_CLOCK_H_
