#include "runtime/clock.h"

#include <cpuid.h>

#include <algorithm>

#include "runtime/raw_syscall.h"

namespace bobbin {

namespace {

// The slope is learnt over at least this long before it is used, and again each time the baseline
// has doubled.
constexpr uint64_t kFirstBaseline = 20'000'000;

bool CounterIsInvariant() {
  unsigned a, b, c, d;
  return __get_cpuid(0x80000007, &a, &b, &c, &d) != 0 && (d & (1u << 8)) != 0;
}

// The kernel's time between two readings of the counter.
struct Reading {
  uint64_t cycles_before;
  uint64_t time;
  uint64_t cycles_after;
};

// The tightest of a few: a thread that was stopped between two readings would learn a wrong slope.
Reading ReadBoth() {
  Reading best = {};
  for (int i = 0; i < 3; ++i) {
    uint64_t before = ReadCycles();
    uint64_t time = ReadKernelClock(CLOCK_MONOTONIC);
    uint64_t after = ReadCycles();
    if (i == 0 || after - before < best.cycles_after - best.cycles_before) {
      best = {before, time, after};
    }
  }
  return best;
}

}  // namespace

uint64_t ReadKernelClock(clockid_t clock) {
  struct timespec t = {0, 0};
  RawSyscall(SYS_clock_gettime, clock, &t);
  return static_cast<uint64_t>(t.tv_sec) * 1'000'000'000u + static_cast<uint64_t>(t.tv_nsec);
}

void Clock::Init() {
  invariant_ = CounterIsInvariant();
  multiplier_.store(0, std::memory_order_relaxed);
  changes_.store(0, std::memory_order_relaxed);
  Reading start = ReadBoth();
  start_time_ = start.time;
  start_cycles_ = start.cycles_before;
  next_calibration_ = start_cycles_ + 1;
}

uint64_t Clock::Since(uint64_t cycles) const {
  uint64_t now = ReadCycles();
  if (now <= cycles) return 0;
  if (multiplier_.load(std::memory_order_relaxed) != 0) return Nanoseconds(now - cycles);
  uint64_t time = ReadKernelClock(CLOCK_MONOTONIC) - start_time_;
  return static_cast<uint64_t>(static_cast<unsigned __int128>(now - cycles) * time /
                               (now - start_cycles_));
}

void Clock::Calibrate(uint64_t cycles) {
  if (!invariant_ || cycles < next_calibration_) return;
  Reading now = ReadBoth();
  uint64_t elapsed_time = now.time - start_time_;
  uint64_t elapsed_cycles = now.cycles_after - start_cycles_;
  if (elapsed_time < kFirstBaseline) {
    next_calibration_ = now.cycles_after + elapsed_cycles / 4 + 1'000'000;
    return;
  }
  auto multiplier = static_cast<uint32_t>((static_cast<unsigned __int128>(elapsed_time) << kShift) /
                                          elapsed_cycles);
  // The new base is the kernel's own time, and the slope errs low: between calibrations this clock
  // falls behind the kernel's, never ahead.
  uint32_t changes = changes_.load(std::memory_order_relaxed);
  changes_.store(changes + 1, std::memory_order_relaxed);
  base_time_.store(now.time, std::memory_order_release);
  base_cycles_.store(now.cycles_after, std::memory_order_release);
  multiplier_.store(multiplier - multiplier / 1'000'000, std::memory_order_release);
  changes_.store(changes + 2, std::memory_order_release);
  next_calibration_ = now.cycles_after + std::min(elapsed_cycles, uint64_t{1} << 31);
}

}  // namespace bobbin
