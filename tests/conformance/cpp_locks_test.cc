// The less common parts of <mutex> and <atomic>: ISO C++20 33.6, 33.5.7.
#include <atomic>
#include <chrono>
#include <mutex>
#include <thread>

#include "support.h"

namespace conformance {
namespace {

TEST(StdLock, TakesAllWithoutDeadlockAndTryLockTellsWhichFailed) {
  std::mutex one, two;
  auto work = [](std::mutex& first, std::mutex& second) {
    for (int i = 0; i < 500; ++i) {
      std::lock(first, second);
      std::lock_guard<std::mutex> a(first, std::adopt_lock), b(second, std::adopt_lock);
      if (i % 50 == 0) std::this_thread::yield();
    }
  };
  std::thread forth([&] { work(one, two); }), back([&] { work(two, one); });
  forth.join();
  back.join();
  EXPECT_EQ(-1, std::try_lock(one, two));
  int failed = -1;
  std::thread([&] { failed = std::try_lock(two, one); }).join();
  EXPECT_EQ(0, failed);
  two.unlock();
  std::thread([&] { failed = std::try_lock(two, one); }).join();
  EXPECT_EQ(1, failed);
  one.unlock();
  // What it had taken it gave back.
  EXPECT_TRUE(two.try_lock());
  two.unlock();
}

TEST(StdRecursiveTimedMutex, CountsItsLocksAndTimesOutForOthersNotEarly) {
  std::recursive_timed_mutex mutex;
  mutex.lock();
  EXPECT_TRUE(mutex.try_lock_for(std::chrono::milliseconds(1)));
  std::thread([&] {
    Stopwatch watch;
    EXPECT_FALSE(mutex.try_lock_for(std::chrono::milliseconds(30)));
    EXPECT_GE(watch.ElapsedMs(), 30);
    EXPECT_FALSE(mutex.try_lock_until(std::chrono::system_clock::now()));
  }).join();
  mutex.unlock();
  std::thread([&] { EXPECT_FALSE(mutex.try_lock()); }).join();
  mutex.unlock();
  std::thread([&] {
    EXPECT_TRUE(mutex.try_lock_until(std::chrono::steady_clock::now() + std::chrono::hours(1)));
    mutex.unlock();
  }).join();
}

TEST(StdAtomicRef, WaitsAndNotifiesOnAPlainInteger) {
  alignas(std::atomic_ref<int>::required_alignment) int value = 0;
  std::thread waiter([&] {
    std::atomic_ref<int> reference(value);
    reference.wait(0);
    EXPECT_EQ(7, reference.load());
  });
  Settle();
  std::atomic_ref<int> reference(value);
  reference.store(7);
  reference.notify_all();
  waiter.join();
}

}  // namespace
}  // namespace conformance
