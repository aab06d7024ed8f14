#include "bench/load/verification.h"

#include <gtest/gtest.h>

#include <memory>

namespace load {
namespace {

std::unique_ptr<WindowTally> Counted(uint64_t requests_a_size, uint64_t timeouts_a_size) {
  auto window = std::make_unique<WindowTally>();
  for (auto& size : window->sizes) {
    size.requests.Set(requests_a_size);
    size.timeouts.Set(timeouts_a_size);
  }
  window->requests.Set(requests_a_size * kFilesPerDirectory);
  window->outcomes[static_cast<size_t>(Outcome::kTimeout)].Set(timeouts_a_size *
                                                               kFilesPerDirectory);
  window->outcomes[static_cast<size_t>(Outcome::kReply)].Set((requests_a_size - timeouts_a_size) *
                                                             kFilesPerDirectory);
  return window;
}

// Turns replies into another outcome.
void Instead(WindowTally* window, Outcome outcome, uint64_t count) {
  window->outcomes[static_cast<size_t>(Outcome::kReply)].Subtract(count);
  window->outcomes[static_cast<size_t>(outcome)].Add(count);
}

void TimeOut(WindowTally* window, uint32_t size, uint64_t timeouts) {
  window->sizes[size].timeouts.Add(timeouts);
  Instead(window, Outcome::kTimeout, timeouts);
}

TEST(Verification, PassesWithoutTimeOuts) {
  Verification result = Verify(*Counted(1000, 0));
  EXPECT_TRUE(result.passed);
  EXPECT_TRUE(result.strict);
  EXPECT_TRUE(result.why.empty());
}

TEST(Verification, PassesWhereAllSizesTimeOutAlike) {
  EXPECT_TRUE(Verify(*Counted(10'000, 480)).passed);
}

TEST(Verification, FailsWithoutRequests) { EXPECT_FALSE(Verify(*Counted(0, 0)).passed); }

TEST(Verification, FailsWhereASizeIsTwoPointsAboveTheMean) {
  auto window = Counted(10'000, 100);
  TimeOut(window.get(), 35, 310);
  Verification result = Verify(*window);
  EXPECT_FALSE(result.passed);
  ASSERT_EQ(result.why.size(), 1u);
  EXPECT_NE(result.why[0].find("921600 bytes: 410 of 10000"), std::string::npos) << result.why[0];
}

TEST(Verification, FailsWhereASizeIsAboveFivePercent) {
  auto window = Counted(10'000, 450);
  TimeOut(window.get(), 20, 150);
  EXPECT_FALSE(Verify(*window).passed);
}

TEST(Verification, ChanceAloneDoesNotFailASize) {
  auto window = Counted(10'000, 100);
  window->sizes[27].requests.Set(30);
  window->sizes[27].timeouts.Set(2);  // 6.7 %, but of 30
  Verification result = Verify(*window);
  EXPECT_TRUE(result.passed);
  EXPECT_FALSE(result.strict);
  window->sizes[27].timeouts.Set(9);  // 30 % is no chance
  EXPECT_FALSE(Verify(*window).passed);
}

TEST(Verification, FailsWhereTooManyAreNotServed) {
  for (Outcome outcome : {Outcome::kConnect, Outcome::kReset, Outcome::kClosed}) {
    auto window = Counted(1000, 0);
    Instead(window.get(), outcome, 3500);  // of 36,000
    EXPECT_TRUE(Verify(*window).passed);
    Instead(window.get(), outcome, 200);
    EXPECT_FALSE(Verify(*window).passed);
  }
}

TEST(Verification, WhatHasNotEndedIsNotServed) {
  auto window = Counted(1000, 0);
  window->outcomes[static_cast<size_t>(Outcome::kReply)].Subtract(3700);
  EXPECT_FALSE(Verify(*window).passed);
}

TEST(Verification, FailsForOneWrongReply) {
  for (Outcome outcome : {Outcome::kStatus, Outcome::kWrongBody, Outcome::kClient}) {
    auto window = Counted(1000, 0);
    Instead(window.get(), outcome, 1);
    EXPECT_FALSE(Verify(*window).passed);
  }
}

TEST(Verification, BinomialTailIsExact) {
  EXPECT_NEAR(BinomialTail(10, 5, 0.5), 0.623046875, 1e-9);
  EXPECT_NEAR(BinomialTail(3, 3, 0.1), 0.001, 1e-12);
  EXPECT_EQ(BinomialTail(100, 0, 0.05), 1);
  EXPECT_NEAR(BinomialTail(1'000'000, 50'000, 0.05), 0.5, 0.01);
  EXPECT_LT(BinomialTail(100'000, 8'000, 0.05), 1e-100);
}

}  // namespace
}  // namespace load
