// The C++ threading headers: <thread>, <stop_token>, <future>, <mutex>, <shared_mutex>,
// <condition_variable>, <semaphore>, <latch>, <barrier>, <atomic>.
#include <atomic>
#include <barrier>
#include <chrono>
#include <condition_variable>
#include <future>
#include <latch>
#include <mutex>
#include <semaphore>
#include <shared_mutex>
#include <stop_token>
#include <thread>
#include <vector>

#include "tests/conformance/support.h"

namespace conformance {
namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

TEST(StdThread, RunsAndJoins) {
  int value = 0;
  std::thread thread([&](int n) { value = n; }, 9);
  EXPECT_TRUE(thread.joinable());
  thread.join();
  EXPECT_FALSE(thread.joinable());
  EXPECT_EQ(9, value);
}

TEST(StdThread, IdsDifferAndMoveWithTheThread) {
  std::promise<std::thread::id> inner;
  std::thread thread([&] { inner.set_value(std::this_thread::get_id()); });
  const std::thread::id id = thread.get_id();
  std::thread moved = std::move(thread);
  EXPECT_EQ(id, moved.get_id());
  EXPECT_EQ(id, inner.get_future().get());
  EXPECT_NE(id, std::this_thread::get_id());
  moved.join();
}

TEST(StdThread, JoinOfNothingThrows) {
  std::thread none;
  EXPECT_THROW(none.join(), std::system_error);
  EXPECT_THROW(none.detach(), std::system_error);
}

TEST(StdThread, DetachedRunsOn) {
  static std::binary_semaphore done{0};
  std::thread([] {
    std::this_thread::sleep_for(5ms);
    done.release();
  }).detach();
  done.acquire();
  Settle();
}

TEST(StdThread, SleepUntilIsNotEarly) {
  std::thread([] {
    const auto until = Clock::now() + 20ms;
    std::this_thread::sleep_until(until);
    EXPECT_GE(Clock::now(), until);
    std::this_thread::yield();
  }).join();
}

TEST(StdThread, HardwareConcurrencyIsKnown) { EXPECT_GE(std::thread::hardware_concurrency(), 1u); }

TEST(StdJthread, StopIsRequestedAndJoinedByTheDestructor) {
  std::atomic<bool> stopped{false};
  {
    std::jthread thread([&](std::stop_token token) {
      while (!token.stop_requested()) std::this_thread::sleep_for(1ms);
      stopped = true;
    });
    std::this_thread::sleep_for(5ms);
  }
  EXPECT_TRUE(stopped);
}

TEST(StdJthread, StopCallbackRunsOnceInTheRequester) {
  int calls = 0;
  std::thread::id where;
  std::stop_source source;
  std::stop_callback callback(source.get_token(), [&] {
    ++calls;
    where = std::this_thread::get_id();
  });
  std::thread requester([&] {
    EXPECT_TRUE(source.request_stop());
    EXPECT_FALSE(source.request_stop());
  });
  const std::thread::id requester_id = requester.get_id();
  requester.join();
  EXPECT_EQ(1, calls);
  EXPECT_EQ(requester_id, where);
}

TEST(StdJthread, ConditionVariableAnyWaitEndsWhenStopIsRequested) {
  std::mutex mutex;
  std::condition_variable_any condition;
  bool result = true;
  {
    std::jthread thread([&](std::stop_token token) {
      std::unique_lock lock(mutex);
      result = condition.wait(lock, token, [] { return false; });
    });
    Settle();
  }
  EXPECT_FALSE(result);
}

TEST(StdAsync, GivesTheResultFromAnotherThread) {
  auto future = std::async(std::launch::async, [] {
    std::this_thread::sleep_for(5ms);
    return std::this_thread::get_id();
  });
  EXPECT_NE(std::this_thread::get_id(), future.get());
}

TEST(StdAsync, CarriesExceptions) {
  auto future = std::async(std::launch::async, []() -> int { throw std::runtime_error("no"); });
  EXPECT_THROW(future.get(), std::runtime_error);
}

TEST(StdAsync, DeferredRunsInTheWaiter) {
  auto future = std::async(std::launch::deferred, [] { return std::this_thread::get_id(); });
  EXPECT_EQ(std::future_status::deferred, future.wait_for(0s));
  EXPECT_EQ(std::this_thread::get_id(), future.get());
}

TEST(StdAsync, ManyAtOnce) {
  std::vector<std::future<int>> futures;
  for (int i = 0; i < 50; ++i) {
    futures.push_back(std::async(std::launch::async, [i] {
      std::this_thread::sleep_for(2ms);
      return i * i;
    }));
  }
  for (int i = 0; i < 50; ++i) EXPECT_EQ(i * i, futures[i].get());
}

TEST(StdFuture, WaitForTimesOutNotEarlyThenIsReady) {
  std::promise<int> promise;
  std::future<int> future = promise.get_future();
  Stopwatch watch;
  EXPECT_EQ(std::future_status::timeout, future.wait_for(20ms));
  EXPECT_GE(watch.ElapsedMs(), 20);
  Thread setter([&] {
    SleepMs(5);
    promise.set_value(3);
  });
  EXPECT_EQ(std::future_status::ready, future.wait_for(60s));
  EXPECT_EQ(3, future.get());
}

TEST(StdFuture, BrokenPromiseThrows) {
  std::future<int> future;
  {
    std::promise<int> promise;
    future = promise.get_future();
  }
  EXPECT_THROW(future.get(), std::future_error);
}

TEST(StdFuture, SharedIsReadByMany) {
  std::promise<int> promise;
  std::shared_future<int> shared = promise.get_future().share();
  std::vector<std::jthread> threads;
  std::atomic<int> sum{0};
  for (int i = 0; i < 10; ++i) threads.emplace_back([&, shared] { sum += shared.get(); });
  Settle();
  promise.set_value(5);
  threads.clear();
  EXPECT_EQ(50, sum);
}

TEST(StdFuture, SetValueAtThreadExitIsReadyAfterThreadLocalsAreGone) {
  static std::atomic<bool> destroyed;
  destroyed = false;
  struct Local {
    ~Local() { destroyed = true; }
    int touched = 0;
  };
  std::promise<int> promise;
  std::future<int> future = promise.get_future();
  std::jthread thread([&] {
    static thread_local Local local;
    local.touched = 1;
    promise.set_value_at_thread_exit(1);
    EXPECT_EQ(std::future_status::timeout, future.wait_for(0s));
  });
  EXPECT_EQ(1, future.get());
  EXPECT_TRUE(destroyed);
}

TEST(StdPackagedTask, RunsInItsThread) {
  std::packaged_task<int(int)> task([](int n) { return n + 1; });
  auto future = task.get_future();
  std::jthread thread(std::move(task), 4);
  EXPECT_EQ(5, future.get());
}

TEST(StdMutex, ExcludesAcrossBlockingCalls) {
  std::mutex mutex;
  int inside = 0;
  int most = 0;
  int total = 0;
  std::vector<std::jthread> threads;
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&] {
      for (int round = 0; round < 5; ++round) {
        std::lock_guard lock(mutex);
        most = std::max(most, ++inside);
        std::this_thread::sleep_for(1ms);
        --inside;
        ++total;
      }
    });
  }
  threads.clear();
  EXPECT_EQ(1, most);
  EXPECT_EQ(40, total);
}

TEST(StdMutex, TryLockFailsWhileHeldByAnother) {
  std::mutex mutex;
  std::lock_guard lock(mutex);
  Thread([&] { EXPECT_FALSE(mutex.try_lock()); }).Join();
}

TEST(StdMutex, LockOfSeveralAvoidsDeadlock) {
  std::mutex a, b, c;
  int rounds = 0;
  {
    std::jthread first([&] {
      for (int i = 0; i < 200; ++i) {
        std::scoped_lock lock(a, b, c);
        ++rounds;
        if (i % 10 == 0) std::this_thread::yield();
      }
    });
    std::jthread second([&] {
      for (int i = 0; i < 200; ++i) {
        std::scoped_lock lock(c, b, a);
        ++rounds;
        if (i % 10 == 0) std::this_thread::yield();
      }
    });
  }
  EXPECT_EQ(400, rounds);
}

TEST(StdRecursiveMutex, CountsItsLocks) {
  std::recursive_mutex mutex;
  mutex.lock();
  mutex.lock();
  EXPECT_TRUE(mutex.try_lock());
  mutex.unlock();
  mutex.unlock();
  Thread([&] { EXPECT_FALSE(mutex.try_lock()); }).Join();
  mutex.unlock();
  Thread([&] {
    EXPECT_TRUE(mutex.try_lock());
    mutex.unlock();
  }).Join();
}

TEST(StdTimedMutex, TryLockForTimesOutNotEarlyThenGetsIt) {
  std::timed_mutex mutex;
  mutex.lock();
  Thread other([&] {
    Stopwatch watch;
    EXPECT_FALSE(mutex.try_lock_for(20ms));
    EXPECT_GE(watch.ElapsedMs(), 20);
    EXPECT_TRUE(mutex.try_lock_until(Clock::now() + 60s));
    mutex.unlock();
  });
  SleepMs(40);
  mutex.unlock();
}

TEST(StdSharedMutex, ReadersShareAndWritersExclude) {
  std::shared_mutex mutex;
  std::barrier all_reading(4);
  std::vector<std::jthread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      std::shared_lock lock(mutex);
      // Returns only if all four hold the lock at once.
      all_reading.arrive_and_wait();
    });
  }
  threads.clear();
  std::unique_lock lock(mutex);
  Thread([&] { EXPECT_FALSE(mutex.try_lock_shared()); }).Join();
}

TEST(StdSharedMutex, TimedOnesTimeOut) {
  std::shared_timed_mutex mutex;
  std::unique_lock lock(mutex);
  Thread([&] {
    Stopwatch watch;
    EXPECT_FALSE(mutex.try_lock_for(15ms));
    EXPECT_FALSE(mutex.try_lock_shared_for(15ms));
    EXPECT_GE(watch.ElapsedMs(), 30);
  }).Join();
}

TEST(StdConditionVariable, NotifyOneWakesAWaiterAndNotifyAllAll) {
  std::mutex mutex;
  std::condition_variable condition;
  int permits = 0;
  std::atomic<int> woken{0};
  std::vector<std::jthread> threads;
  for (int i = 0; i < 10; ++i) {
    threads.emplace_back([&] {
      std::unique_lock lock(mutex);
      condition.wait(lock, [&] { return permits > 0; });
      --permits;
      ++woken;
    });
  }
  Settle();
  {
    std::lock_guard lock(mutex);
    permits = 1;
  }
  condition.notify_one();
  while (woken < 1) SleepMs(1);
  EXPECT_EQ(1, woken);
  {
    std::lock_guard lock(mutex);
    permits = 9;
  }
  condition.notify_all();
  threads.clear();
  EXPECT_EQ(10, woken);
}

TEST(StdConditionVariable, WaitForTimesOutNotEarlyAndHoldsTheLock) {
  std::mutex mutex;
  std::condition_variable condition;
  std::unique_lock lock(mutex);
  Stopwatch watch;
  EXPECT_FALSE(condition.wait_for(lock, 20ms, [] { return false; }));
  EXPECT_GE(watch.ElapsedMs(), 20);
  EXPECT_TRUE(lock.owns_lock());
  EXPECT_FALSE(
      condition.wait_until(lock, std::chrono::system_clock::now() + 10ms, [] { return false; }));
}

TEST(StdConditionVariable, NotifyAllAtThreadExit) {
  std::mutex mutex;
  std::condition_variable condition;
  bool ready = false;
  std::jthread thread([&] {
    std::unique_lock lock(mutex);
    ready = true;
    std::notify_all_at_thread_exit(condition, std::move(lock));
  });
  std::unique_lock lock(mutex);
  condition.wait(lock, [&] { return ready; });
}

TEST(StdConditionVariable, AnyWorksWithASharedLock) {
  std::shared_mutex mutex;
  std::condition_variable_any condition;
  bool ready = false;
  std::jthread waiter([&] {
    std::shared_lock lock(mutex);
    condition.wait(lock, [&] { return ready; });
  });
  Settle();
  {
    std::unique_lock lock(mutex);
    ready = true;
  }
  condition.notify_all();
}

TEST(StdSemaphore, CountsAndBlocks) {
  std::counting_semaphore<100> semaphore(2);
  semaphore.acquire();
  EXPECT_TRUE(semaphore.try_acquire());
  EXPECT_FALSE(semaphore.try_acquire());
  Stopwatch watch;
  EXPECT_FALSE(semaphore.try_acquire_for(20ms));
  EXPECT_GE(watch.ElapsedMs(), 20);
  std::atomic<int> got{0};
  std::vector<std::jthread> threads;
  for (int i = 0; i < 5; ++i) {
    threads.emplace_back([&] {
      semaphore.acquire();
      ++got;
    });
  }
  Settle();
  EXPECT_EQ(0, got);
  semaphore.release(5);
  threads.clear();
  EXPECT_EQ(5, got);
}

TEST(StdSemaphore, BinaryPingPong) {
  std::binary_semaphore ping{0};
  std::binary_semaphore pong{0};
  int value = 0;
  std::jthread other([&] {
    for (int i = 0; i < 1000; ++i) {
      ping.acquire();
      ++value;
      pong.release();
    }
  });
  for (int i = 0; i < 1000; ++i) {
    ping.release();
    pong.acquire();
    ASSERT_EQ(i + 1, value);
  }
}

TEST(StdLatch, OpensWhenAllHaveCounted) {
  std::latch latch(3);
  EXPECT_FALSE(latch.try_wait());
  std::vector<std::jthread> threads;
  for (int i = 0; i < 3; ++i) {
    threads.emplace_back([&, i] {
      SleepMs(i * 3);
      latch.arrive_and_wait();
    });
  }
  latch.wait();
  EXPECT_TRUE(latch.try_wait());
}

TEST(StdBarrier, PhasesCompleteOnceForAll) {
  int completions = 0;
  std::barrier barrier(4, [&]() noexcept { ++completions; });
  std::vector<std::jthread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      for (int phase = 0; phase < 50; ++phase) {
        barrier.arrive_and_wait();
        EXPECT_GE(completions, phase + 1);
      }
    });
  }
  threads.clear();
  EXPECT_EQ(50, completions);
}

TEST(StdBarrier, ArriveAndDropLowersTheNumber) {
  std::barrier barrier(2);
  std::jthread other([&] { barrier.arrive_and_drop(); });
  barrier.arrive_and_wait();
  barrier.arrive_and_wait();
}

TEST(StdAtomic, WaitReturnsAfterChangeAndNotify) {
  std::atomic<int> value{0};
  std::jthread waiter([&] {
    value.wait(0);
    EXPECT_EQ(1, value.load());
  });
  Settle();
  value = 1;
  value.notify_one();
}

TEST(StdAtomic, WaitReturnsAtOnceIfDifferent) {
  std::atomic<int> value{5};
  value.wait(4);
}

TEST(StdAtomic, NotifyAllWakesAll) {
  std::atomic<bool> go{false};
  std::atomic<int> woken{0};
  std::vector<std::jthread> threads;
  for (int i = 0; i < 20; ++i) {
    threads.emplace_back([&] {
      go.wait(false);
      ++woken;
    });
  }
  Settle();
  go = true;
  go.notify_all();
  threads.clear();
  EXPECT_EQ(20, woken);
}

TEST(StdAtomic, WaitOnWideAndNarrowTypes) {
  std::atomic<uint64_t> wide{0};
  std::atomic<uint8_t> narrow{0};
  std::atomic_flag flag;
  std::jthread waiter([&] {
    wide.wait(0);
    narrow.wait(0);
    flag.wait(false);
  });
  Settle();
  wide = 1ull << 40;
  wide.notify_all();
  Settle();
  narrow = 1;
  narrow.notify_all();
  Settle();
  flag.test_and_set();
  flag.notify_all();
}

TEST(StdCallOnce, RunsOnceAmongMany) {
  std::once_flag flag;
  std::atomic<int> runs{0};
  std::vector<std::jthread> threads;
  for (int i = 0; i < 10; ++i) {
    threads.emplace_back([&] {
      std::call_once(flag, [&] {
        SleepMs(10);
        ++runs;
      });
      EXPECT_EQ(1, runs);
    });
  }
}

TEST(StdCallOnce, ExceptionalCallLetsTheNextOneTry) {
  std::once_flag flag;
  std::atomic<int> attempts{0};
  std::atomic<int> failures{0};
  std::vector<std::jthread> threads;
  for (int i = 0; i < 6; ++i) {
    threads.emplace_back([&] {
      try {
        std::call_once(flag, [&] {
          SleepMs(2);
          if (++attempts < 4) throw std::runtime_error("not yet");
        });
      } catch (const std::runtime_error&) {
        ++failures;
      }
    });
  }
  threads.clear();
  EXPECT_EQ(4, attempts);
  EXPECT_EQ(3, failures);
}

TEST(StdStatic, InitialisationOfLocalStaticsBlocksOthersUntilDone) {
  static std::atomic<int> made{0};
  auto get = []() -> int& {
    static int value = [] {
      SleepMs(20);
      return ++made;
    }();
    return value;
  };
  std::vector<std::jthread> threads;
  for (int i = 0; i < 8; ++i) threads.emplace_back([&] { EXPECT_EQ(1, get()); });
  threads.clear();
  EXPECT_EQ(1, made);
}

}  // namespace
}  // namespace conformance
