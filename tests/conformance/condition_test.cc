// pthread condition variables.
#include <memory>
#include <vector>

#include "tests/conformance/support.h"

namespace conformance {
namespace {

class Lock {
 public:
  explicit Lock(pthread_mutex_t* mutex) : mutex_(mutex) { pthread_mutex_lock(mutex); }
  ~Lock() { pthread_mutex_unlock(mutex_); }

 private:
  pthread_mutex_t* mutex_;
};

class Condition : public testing::Test {
 protected:
  ~Condition() override {
    EXPECT_EQ(0, pthread_cond_destroy(&condition_));
    EXPECT_EQ(0, pthread_mutex_destroy(&mutex_));
  }

  // A thread that waits for a permit and takes it.
  std::unique_ptr<Thread> Waiter() {
    auto thread = std::make_unique<Thread>([this] {
      Lock lock(&mutex_);
      waiting_.Post();
      while (permits_ == 0) EXPECT_EQ(0, pthread_cond_wait(&condition_, &mutex_));
      --permits_;
      woken_.Post();
    });
    return thread;
  }

  void Permit(int count) {
    Lock lock(&mutex_);
    permits_ += count;
  }

  pthread_mutex_t mutex_ = PTHREAD_MUTEX_INITIALIZER;
  pthread_cond_t condition_ = PTHREAD_COND_INITIALIZER;
  int permits_ = 0;
  Event waiting_;
  Event woken_;
};

TEST_F(Condition, SignalWakesTheWaiter) {
  auto waiter = Waiter();
  waiting_.Wait();
  Permit(1);
  EXPECT_EQ(0, pthread_cond_signal(&condition_));
}

TEST_F(Condition, EachSignalWakesOneOfMany) {
  std::vector<std::unique_ptr<Thread>> waiters;
  for (int i = 0; i < 20; ++i) waiters.push_back(Waiter());
  waiting_.Wait(20);
  for (int i = 0; i < 20; ++i) {
    Permit(1);
    pthread_cond_signal(&condition_);
    woken_.Wait();
  }
  EXPECT_FALSE(woken_.WaitFor(1));
}

TEST_F(Condition, BroadcastWakesAll) {
  std::vector<std::unique_ptr<Thread>> waiters;
  for (int i = 0; i < 100; ++i) waiters.push_back(Waiter());
  waiting_.Wait(100);
  Permit(100);
  EXPECT_EQ(0, pthread_cond_broadcast(&condition_));
  woken_.Wait(100);
}

TEST_F(Condition, BroadcastWithTheMutexHeldWakesAllInTurn) {
  std::vector<std::unique_ptr<Thread>> waiters;
  for (int i = 0; i < 10; ++i) waiters.push_back(Waiter());
  waiting_.Wait(10);
  {
    Lock lock(&mutex_);
    permits_ = 10;
    pthread_cond_broadcast(&condition_);
    Settle();
    EXPECT_FALSE(woken_.WaitFor(1));
  }
  woken_.Wait(10);
}

TEST_F(Condition, SignalWithoutWaitersIsNotRemembered) {
  EXPECT_EQ(0, pthread_cond_signal(&condition_));
  EXPECT_EQ(0, pthread_cond_broadcast(&condition_));
  Lock lock(&mutex_);
  const timespec until = FromNow(CLOCK_REALTIME, 10);
  EXPECT_EQ(ETIMEDOUT, pthread_cond_timedwait(&condition_, &mutex_, &until));
}

TEST_F(Condition, WaitReleasesTheMutexAndTakesItBack) {
  auto waiter = Waiter();
  waiting_.Wait();
  {
    // Could not be had if the waiter had kept it.
    Lock lock(&mutex_);
    permits_ = 1;
    pthread_cond_signal(&condition_);
    EXPECT_FALSE(woken_.WaitFor(kSettleMs));
  }
  woken_.Wait();
}

TEST_F(Condition, TimedWaitTimesOutNotEarlyAndHoldsTheMutex) {
  Lock lock(&mutex_);
  Stopwatch watch;
  const timespec until = FromNow(CLOCK_REALTIME, 30);
  EXPECT_EQ(ETIMEDOUT, pthread_cond_timedwait(&condition_, &mutex_, &until));
  EXPECT_GE(watch.ElapsedMs(), 29);
  Thread([&] { EXPECT_EQ(EBUSY, pthread_mutex_trylock(&mutex_)); }).Join();
}

TEST_F(Condition, TimedWaitInThePastTimesOutAtOnce) {
  Lock lock(&mutex_);
  const timespec past = FromNow(CLOCK_REALTIME, -1000);
  EXPECT_EQ(ETIMEDOUT, pthread_cond_timedwait(&condition_, &mutex_, &past));
  const timespec before_the_epoch = {-1, 0};
  EXPECT_EQ(ETIMEDOUT, pthread_cond_timedwait(&condition_, &mutex_, &before_the_epoch));
}

TEST_F(Condition, TimedWaitRejectsBadNanoseconds) {
  Lock lock(&mutex_);
  const timespec bad = {time(nullptr) + 10, 1000000000};
  EXPECT_EQ(EINVAL, pthread_cond_timedwait(&condition_, &mutex_, &bad));
  const timespec negative = {time(nullptr) + 10, -1};
  EXPECT_EQ(EINVAL, pthread_cond_timedwait(&condition_, &mutex_, &negative));
}

TEST_F(Condition, TimedWaitReturnsZeroWhenSignalled) {
  Event waiting;
  Thread waiter([&] {
    Lock lock(&mutex_);
    waiting.Post();
    const timespec until = FromNow(CLOCK_REALTIME, 60000);
    int error = 0;
    while (permits_ == 0 && error == 0) {
      error = pthread_cond_timedwait(&condition_, &mutex_, &until);
    }
    EXPECT_EQ(0, error);
  });
  waiting.Wait();
  Permit(1);
  pthread_cond_signal(&condition_);
}

TEST_F(Condition, ClockWaitTakesEitherClock) {
  Lock lock(&mutex_);
  for (clockid_t clock : {CLOCK_MONOTONIC, CLOCK_REALTIME}) {
    Stopwatch watch;
    const timespec until = FromNow(clock, 20);
    EXPECT_EQ(ETIMEDOUT, pthread_cond_clockwait(&condition_, &mutex_, clock, &until));
    EXPECT_GE(watch.ElapsedMs(), 19);
  }
  const timespec until = FromNow(CLOCK_MONOTONIC, 20);
  EXPECT_EQ(EINVAL, pthread_cond_clockwait(&condition_, &mutex_, CLOCK_PROCESS_CPUTIME_ID, &until));
}

TEST_F(Condition, ClockAttributeDecidesTheClockOfTimedWait) {
  pthread_condattr_t attributes;
  pthread_condattr_init(&attributes);
  EXPECT_EQ(EINVAL, pthread_condattr_setclock(&attributes, CLOCK_PROCESS_CPUTIME_ID));
  EXPECT_EQ(0, pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC));
  clockid_t clock;
  EXPECT_EQ(0, pthread_condattr_getclock(&attributes, &clock));
  EXPECT_EQ(CLOCK_MONOTONIC, clock);
  pthread_cond_t condition;
  ASSERT_EQ(0, pthread_cond_init(&condition, &attributes));
  pthread_condattr_destroy(&attributes);
  {
    Lock lock(&mutex_);
    Stopwatch watch;
    const timespec until = FromNow(CLOCK_MONOTONIC, 20);
    EXPECT_EQ(ETIMEDOUT, pthread_cond_timedwait(&condition, &mutex_, &until));
    EXPECT_GE(watch.ElapsedMs(), 20);
  }
  EXPECT_EQ(0, pthread_cond_destroy(&condition));
}

TEST_F(Condition, ManyTimedWaitersWithDifferentDeadlinesAllTimeOut) {
  std::vector<std::unique_ptr<Thread>> threads;
  for (int i = 0; i < 30; ++i) {
    threads.push_back(std::make_unique<Thread>([this, i] {
      Lock lock(&mutex_);
      Stopwatch watch;
      const timespec until = FromNow(CLOCK_MONOTONIC, i * 2);
      EXPECT_EQ(ETIMEDOUT, pthread_cond_clockwait(&condition_, &mutex_, CLOCK_MONOTONIC, &until));
      EXPECT_GE(watch.ElapsedMs(), i * 2 - 1);
    }));
  }
}

TEST_F(Condition, WorksWithARecursiveMutexHeldOnce) {
  pthread_mutex_t recursive = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP;
  bool ready = false;
  Event waiting;
  Thread waiter([&] {
    Lock lock(&recursive);
    waiting.Post();
    while (!ready) pthread_cond_wait(&condition_, &recursive);
  });
  waiting.Wait();
  {
    Lock lock(&recursive);
    ready = true;
  }
  pthread_cond_signal(&condition_);
  waiter.Join();
}

TEST_F(Condition, BoundedBufferLosesNothing) {
  constexpr int kItems = 5000;
  std::vector<int> buffer;
  pthread_cond_t not_full = PTHREAD_COND_INITIALIZER;
  int64_t sum = 0;
  {
    std::vector<std::unique_ptr<Thread>> threads;
    for (int p = 0; p < 2; ++p) {
      threads.push_back(std::make_unique<Thread>([&, p] {
        for (int i = p; i < kItems; i += 2) {
          Lock lock(&mutex_);
          while (buffer.size() >= 8) pthread_cond_wait(&not_full, &mutex_);
          buffer.push_back(i);
          pthread_cond_signal(&condition_);
        }
      }));
      threads.push_back(std::make_unique<Thread>([&] {
        for (int i = 0; i < kItems / 2; ++i) {
          Lock lock(&mutex_);
          while (buffer.empty()) pthread_cond_wait(&condition_, &mutex_);
          sum += buffer.back();
          buffer.pop_back();
          pthread_cond_signal(&not_full);
        }
      }));
    }
  }
  EXPECT_EQ(int64_t{kItems} * (kItems - 1) / 2, sum);
  pthread_cond_destroy(&not_full);
}

TEST_F(Condition, PriorityInheritanceMutexCanBeWaitedWith) {
  pthread_mutexattr_t attributes;
  pthread_mutexattr_init(&attributes);
  pthread_mutexattr_setprotocol(&attributes, PTHREAD_PRIO_INHERIT);
  pthread_mutex_t mutex;
  ASSERT_EQ(0, pthread_mutex_init(&mutex, &attributes));
  pthread_mutexattr_destroy(&attributes);
  bool ready = false;
  Event waiting;
  Thread waiter([&] {
    Lock lock(&mutex);
    waiting.Post();
    while (!ready) EXPECT_EQ(0, pthread_cond_wait(&condition_, &mutex));
  });
  waiting.Wait();
  {
    Lock lock(&mutex);
    ready = true;
  }
  pthread_cond_broadcast(&condition_);
  waiter.Join();
  EXPECT_EQ(0, pthread_mutex_destroy(&mutex));
}

}  // namespace
}  // namespace conformance
