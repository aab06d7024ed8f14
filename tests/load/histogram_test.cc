#include "bench/load/histogram.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <random>
#include <thread>
#include <vector>

namespace load {
namespace {

std::unique_ptr<Histogram> Empty() { return std::make_unique<Histogram>(); }

TEST(Histogram, IsEmptyAtFirst) {
  auto histogram = Empty();
  EXPECT_EQ(histogram->count(), 0u);
  EXPECT_EQ(histogram->Quantile(0.99), 0u);
  EXPECT_EQ(histogram->Mean(), 0);
}

TEST(Histogram, AQuantileIsWithinOnePartIn128) {
  auto histogram = Empty();
  std::mt19937_64 random(1);
  std::vector<uint64_t> values;
  for (int i = 0; i < 100'000; ++i) {
    values.push_back(random() >> (22 + random() % 42));  // of every magnitude
    histogram->Record(values.back());
  }
  std::sort(values.begin(), values.end());
  for (double q : {0.001, 0.01, 0.1, 0.5, 0.9, 0.99, 0.999, 0.9999}) {
    auto exact = static_cast<double>(values[static_cast<size_t>(q * 100'000) - 1]);
    EXPECT_NEAR(static_cast<double>(histogram->Quantile(q)), exact, exact / 128) << q;
  }
  EXPECT_EQ(histogram->Quantile(1), values.back());
  EXPECT_EQ(histogram->max(), values.back());
}

TEST(Histogram, EachPowerOfTwoIsTold) {
  for (int bit = 0; bit < 42; ++bit) {
    for (uint64_t value : {uint64_t{1} << bit, (uint64_t{2} << bit) - 1}) {
      auto histogram = Empty();
      histogram->Record(value);
      histogram->Record(Histogram::kMaxValue);
      auto told = static_cast<double>(histogram->Quantile(0.5));
      EXPECT_NEAR(told, static_cast<double>(value), static_cast<double>(value) / 128) << value;
    }
  }
}

TEST(Histogram, MoreThanItHoldsCountsAsItsLargest) {
  auto histogram = Empty();
  histogram->Record(UINT64_MAX);
  EXPECT_EQ(histogram->max(), Histogram::kMaxValue);
  EXPECT_EQ(histogram->Quantile(0.5), Histogram::kMaxValue);
}

TEST(Histogram, TwoMergedAreOneOfAll) {
  auto all = Empty(), first = Empty(), second = Empty();
  for (uint64_t value = 1; value < 1'000'000; value += 997) {
    all->Record(value);
    (value % 2 != 0 ? first : second)->Record(value);
  }
  first->Merge(*second);
  EXPECT_EQ(first->count(), all->count());
  EXPECT_EQ(first->max(), all->max());
  EXPECT_DOUBLE_EQ(first->Mean(), all->Mean());
  for (double q : {0.1, 0.5, 0.99}) EXPECT_EQ(first->Quantile(q), all->Quantile(q));
}

TEST(Histogram, SeveralThreadsLoseNothing) {
  auto histogram = Empty();
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      for (int n = 0; n < 20'000; ++n) histogram->Record(1000);
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(histogram->count(), 80'000u);
  EXPECT_EQ(histogram->Mean(), 1000);
}

}  // namespace
}  // namespace load
