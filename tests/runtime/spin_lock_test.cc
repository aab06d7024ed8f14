#include "runtime/spin_lock.h"

#include <atomic>
#include <thread>
#include <vector>

#include "gtest/gtest.h"

namespace bobbin {
namespace {

TEST(SpinLock, ProtectsAPlainCounter) {
  constexpr int kThreads = 4;
  constexpr int kRounds = 50000;
  SpinLock lock;
  int counter = 0;
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < kRounds; ++i) {
        SpinLockHolder hold(&lock);
        ++counter;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(counter, kThreads * kRounds);
}

TEST(SpinLock, WaiterGetsInOnlyAfterUnlock) {
  SpinLock lock;
  std::atomic<bool> released{false};
  bool released_when_in = false;
  lock.Lock();
  std::thread waiter([&] {
    SpinLockHolder hold(&lock);
    released_when_in = released.load();
  });
  for (int i = 0; i < 1000; ++i) std::this_thread::yield();
  released.store(true);
  lock.Unlock();
  waiter.join();
  EXPECT_TRUE(released_when_in);
}

}  // namespace
}  // namespace bobbin
