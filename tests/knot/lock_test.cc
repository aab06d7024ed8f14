#include "knot/lock.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <thread>
#include <vector>

namespace knot {
namespace {

constexpr int kThreads = 8;
constexpr int kRounds = 20'000;

// L1, and L2 by ending at all. That a thread stops while it holds the lock is what makes others
// wait.
TEST(Lock, LetsOneThreadInAtATimeAndWakesThoseThatWait) {
  Lock lock;
  int inside = 0;
  int worst = 0;
  int64_t entries = 0;
  std::vector<std::thread> threads;
  for (int i = 0; i < kThreads; ++i) {
    threads.emplace_back([&] {
      for (int round = 0; round < kRounds; ++round) {
        std::lock_guard<Lock> hold(lock);
        worst = std::max(worst, ++inside);
        ++entries;
        if (round % 64 == 0) std::this_thread::yield();
        --inside;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(worst, 1);
  EXPECT_EQ(entries, int64_t{kThreads} * kRounds);
}

// L2: several sleep at once, and each is let in by the one before it.
TEST(Lock, WakesOneAfterAnother) {
  Lock lock;
  int entered = 0;
  std::vector<std::thread> threads;
  lock.lock();
  for (int i = 0; i < kThreads; ++i) {
    threads.emplace_back([&] {
      std::lock_guard<Lock> hold(lock);
      ++entered;
    });
  }
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  EXPECT_EQ(entered, 0);
  lock.unlock();
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(entered, kThreads);
}

TEST(Lock, ServesAConditionVariable) {
  Lock lock;
  std::condition_variable_any changed;
  int turn = 0;
  std::thread other([&] {
    for (int i = 0; i < 1000; ++i) {
      std::unique_lock<Lock> hold(lock);
      changed.wait(hold, [&] { return turn % 2 == 1; });
      ++turn;
      changed.notify_one();
    }
  });
  for (int i = 0; i < 1000; ++i) {
    std::unique_lock<Lock> hold(lock);
    changed.wait(hold, [&] { return turn % 2 == 0; });
    ++turn;
    changed.notify_one();
  }
  other.join();
  EXPECT_EQ(turn, 2000);
}

}  // namespace
}  // namespace knot
