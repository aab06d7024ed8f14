#include "runtime/clock.h"

#include <atomic>
#include <thread>
#include <vector>

#include "gtest/gtest.h"

namespace bobbin {
namespace {

constexpr uint64_t kMillisecond = 1'000'000;
// The header's bound on how far the derived time may be ahead.
constexpr uint64_t kMicrosecond = 1000;

uint64_t KernelTime() { return ReadKernelClock(CLOCK_MONOTONIC); }

// Whether the clock is derived from the counter by now; never, where the counter is not invariant.
bool Calibrated(const Clock& clock) { return clock.Nanoseconds(1'000'000) != 0; }

// Calls visit() and calibrates, as a scheduler's polls do, for so long.
template <typename Visit>
void CalibrateFor(Clock* clock, uint64_t nanoseconds, Visit visit) {
  for (uint64_t end = KernelTime() + nanoseconds; KernelTime() < end;) {
    visit();
    clock->Calibrate(ReadCycles());
  }
}

TEST(ReadKernelClock, OfAnInvalidClockIsZero) {
  EXPECT_EQ(ReadKernelClock(static_cast<clockid_t>(12345)), 0u);
  EXPECT_NE(ReadKernelClock(CLOCK_REALTIME), 0u);
}

TEST(Clock, IsTheKernelsBeforeTheFirstCalibration) {
  Clock clock;
  clock.Init();
  for (int i = 0; i < 1000; ++i) {
    uint64_t before = KernelTime();
    uint64_t now = clock.Now();
    EXPECT_LE(before, now);
    EXPECT_LE(now, KernelTime());
  }
  EXPECT_EQ(clock.Nanoseconds(1'000'000), 0u);
  EXPECT_EQ(clock.Cycles(1'000'000), 0u);
}

TEST(Clock, KnowsHowLongAgoAReadingWasBeforeTheFirstCalibration) {
  Clock clock;
  clock.Init();
  uint64_t before = KernelTime();
  uint64_t cycles = ReadCycles();
  uint64_t after = KernelTime();
  while (KernelTime() - after < 5 * kMillisecond) {
  }
  uint64_t least = KernelTime() - after;
  uint64_t since = clock.Since(cycles);
  uint64_t most = KernelTime() - before;
  // The slope is that of the few milliseconds since Init, whose two readings lie a little apart.
  EXPECT_GE(since, least - least / 10);
  EXPECT_LE(since, most + most / 10);
  EXPECT_EQ(clock.Since(ReadCycles() + 1'000'000'000'000), 0u);
}

TEST(Clock, ABaselineTooShortTeachesNothing) {
  Clock clock;
  clock.Init();
  uint64_t before = KernelTime();
  clock.Calibrate(ReadCycles());
  // Only if the machine did not stop us for the length of a baseline in between.
  if (KernelTime() - before < 10 * kMillisecond) {
    EXPECT_EQ(clock.Nanoseconds(1'000'000), 0u);
  }
}

TEST(Clock, IsNeverAheadOfTheKernelsByMoreThanAMicrosecond) {
  Clock clock;
  clock.Init();
  uint64_t most_ahead = 0;
  CalibrateFor(&clock, 500 * kMillisecond, [&] {
    uint64_t now = clock.Now();
    uint64_t kernel = KernelTime();
    if (now > kernel && now - kernel > most_ahead) most_ahead = now - kernel;
  });
  EXPECT_LE(most_ahead, kMicrosecond);
}

TEST(Clock, StepsBackByNoMoreThanAMicrosecondAcrossCalibrations) {
  Clock clock;
  clock.Init();
  uint64_t last = clock.Now();
  uint64_t longest_step = 0;
  CalibrateFor(&clock, 500 * kMillisecond, [&] {
    uint64_t now = clock.Now();
    if (now < last && last - now > longest_step) longest_step = last - now;
    last = now;
  });
  EXPECT_LE(longest_step, kMicrosecond);
}

TEST(Clock, GoesForwardBetweenCalibrations) {
  Clock clock;
  clock.Init();
  CalibrateFor(&clock, 50 * kMillisecond, [] {});
  uint64_t last = clock.Now();
  for (int i = 0; i < 100'000; ++i) {
    uint64_t now = clock.Now();
    ASSERT_LE(last, now);
    last = now;
  }
}

// A scheduler reads the counter before its poll and asks for the time of that reading after it.
TEST(Clock, TimeOfACounterReadBeforeACalibrationIsNotInTheFutureAndNotBeforeTheStart) {
  Clock clock;
  uint64_t start = KernelTime();
  clock.Init();
  uint64_t before = ReadCycles();
  CalibrateFor(&clock, 60 * kMillisecond, [] {});
  for (uint64_t cycles : {before, uint64_t{0}}) {
    uint64_t time = clock.At(cycles);
    EXPECT_LE(time, KernelTime() + kMicrosecond);
    EXPECT_GE(time, start);
  }
}

TEST(Clock, CyclesAndNanosecondsAreInverse) {
  Clock clock;
  clock.Init();
  CalibrateFor(&clock, 60 * kMillisecond, [] {});
  if (!Calibrated(clock)) GTEST_SKIP() << "this processor's counter is not invariant";
  for (uint64_t nanoseconds : {uint64_t{1000}, uint64_t{1'000'000}, uint64_t{3'600'000'000'000}}) {
    uint64_t back = clock.Nanoseconds(clock.Cycles(nanoseconds));
    EXPECT_LE(back, nanoseconds);
    EXPECT_GE(back, nanoseconds - nanoseconds / 1000 - 2);
  }
}

TEST(Clock, InitAgainForgetsWhatWasLearnt) {
  Clock clock;
  clock.Init();
  CalibrateFor(&clock, 60 * kMillisecond, [] {});
  clock.Init();
  EXPECT_FALSE(Calibrated(clock));
  uint64_t now = clock.Now();
  EXPECT_LE(now, KernelTime());
}

// Enough readers that some of them are stopped between two loads while the base changes.
TEST(Clock, MayBeReadByOtherThreadsWhileOneCalibrates) {
  Clock clock;
  clock.Init();
  std::atomic<bool> stop{false};
  std::atomic<uint64_t> most_ahead{0};
  std::vector<std::thread> readers;
  for (int i = 0; i < 4; ++i) {
    readers.emplace_back([&] {
      while (!stop.load()) {
        uint64_t now = clock.Now();
        uint64_t kernel = KernelTime();
        if (now > kernel && now - kernel > most_ahead.load()) most_ahead = now - kernel;
      }
    });
  }
  CalibrateFor(&clock, 500 * kMillisecond, [] {});
  stop.store(true);
  for (std::thread& reader : readers) reader.join();
  EXPECT_LE(most_ahead.load(), kMicrosecond);
}

}  // namespace
}  // namespace bobbin
