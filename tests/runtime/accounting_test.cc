// Where the time in the poller's call goes: idleness, or CPU time that some polls were measured
// for.
#include "runtime/accounting.h"

#include <gtest/gtest.h>

namespace bobbin {
namespace {

Counters Spent(uint64_t application, uint64_t polling) {
  Counters counters;
  counters.application_cycles = application;
  counters.polling_cycles = polling;
  return counters;
}

TEST(Accounting, PollingWithoutCpuTimeIsIdle) {
  EXPECT_EQ(BusyPolling(Spent(800, 1000), 900, 100), 100u);
  EXPECT_EQ(BusyPolling(Spent(800, 1000), 800, 0), 0u);
}

TEST(Accounting, TimeThatOthersHadTheProcessorLeavesTheShares) {
  // 400 cycles of CPU time took 800 by the clock: the poller's 100 count for 200 as well.
  EXPECT_EQ(BusyPolling(Spent(800, 1000), 500, 100), 200u);
}

TEST(Accounting, ThePollerIsNeverBusierThanItWasLong) {
  EXPECT_EQ(BusyPolling(Spent(800, 150), 500, 100), 150u);
  EXPECT_EQ(BusyPolling(Spent(0, 50), 100, 100), 50u);
}

// Makes `polls` polls of `cost` nanoseconds, as the scheduler does. Returns: how many were
// measured.
int MakePolls(Accounting* accounting, int polls, uint64_t cost) {
  int measured = 0;
  for (int i = 0; i < polls; ++i) {
    if (accounting->MeasurePoll()) {
      accounting->PollMeasured(cost);
      ++measured;
    }
    ++accounting->counters.polls;
  }
  return measured;
}

TEST(Accounting, AMeasuredPollStandsForThoseSinceTheLast) {
  constexpr int kPolls = 100'000;
  constexpr uint64_t kCost = 1'000'000;  // far more than a reading of the clock
  Accounting accounting;
  accounting.Start();
  const int measured = MakePolls(&accounting, kPolls, kCost);
  EXPECT_LT(measured, kPolls / 100) << "polls that come fast are not all measured";
  const double expected = static_cast<double>(kCost) * kPolls;
  EXPECT_NEAR(static_cast<double>(accounting.counters.polling_time), expected, expected / 50);
}

TEST(Accounting, WhatAReadingOfTheClockTakesIsNoCostOfThePoll) {
  Accounting accounting;
  accounting.Start();
  MakePolls(&accounting, 1, 1);
  EXPECT_EQ(accounting.counters.polling_time, 0u);
}

}  // namespace
}  // namespace bobbin
