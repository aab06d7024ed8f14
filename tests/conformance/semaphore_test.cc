// POSIX semaphores, unnamed and named.
#include <limits.h>
#include <sys/mman.h>

#include <memory>
#include <vector>

#include "tests/conformance/support.h"

namespace conformance {
namespace {

class Semaphore : public testing::Test {
 protected:
  Semaphore() { EXPECT_OK(sem_init(&semaphore_, 0, 0)); }
  ~Semaphore() override { EXPECT_OK(sem_destroy(&semaphore_)); }

  int Value() {
    int value = -1;
    EXPECT_OK(sem_getvalue(&semaphore_, &value));
    return value;
  }

  sem_t semaphore_;
};

TEST_F(Semaphore, PostCountsUpAndWaitDown) {
  EXPECT_OK(sem_post(&semaphore_));
  EXPECT_OK(sem_post(&semaphore_));
  EXPECT_EQ(2, Value());
  EXPECT_OK(sem_wait(&semaphore_));
  EXPECT_OK(sem_trywait(&semaphore_));
  EXPECT_EQ(0, Value());
}

TEST_F(Semaphore, TryWaitOfZeroSaysAgain) { EXPECT_ERRNO(EAGAIN, sem_trywait(&semaphore_)); }

TEST_F(Semaphore, WaitBlocksUntilPost) {
  Event waiting;
  std::atomic<bool> passed{false};
  Thread waiter([&] {
    waiting.Post();
    EXPECT_OK(sem_wait(&semaphore_));
    passed = true;
  });
  waiting.Wait();
  Settle();
  EXPECT_FALSE(passed);
  EXPECT_OK(sem_post(&semaphore_));
  waiter.Join();
  EXPECT_TRUE(passed);
}

TEST_F(Semaphore, EachPostWakesOneOfMany) {
  Event passed;
  std::vector<std::unique_ptr<Thread>> threads;
  for (int i = 0; i < 50; ++i) {
    threads.push_back(std::make_unique<Thread>([&] {
      EXPECT_OK(sem_wait(&semaphore_));
      passed.Post();
    }));
  }
  Settle();
  for (int i = 0; i < 50; ++i) {
    EXPECT_OK(sem_post(&semaphore_));
    passed.Wait();
    if (i % 10 == 0) {
      EXPECT_FALSE(passed.WaitFor(1));
    }
  }
}

TEST_F(Semaphore, TimedWaitTimesOutNotEarly) {
  Stopwatch watch;
  const timespec until = FromNow(CLOCK_REALTIME, 30);
  EXPECT_ERRNO(ETIMEDOUT, sem_timedwait(&semaphore_, &until));
  EXPECT_GE(watch.ElapsedMs(), 29);
}

TEST_F(Semaphore, TimedWaitWithAPastDeadlineTakesWhatIsThere) {
  EXPECT_OK(sem_post(&semaphore_));
  const timespec past = FromNow(CLOCK_REALTIME, -1000);
  EXPECT_OK(sem_timedwait(&semaphore_, &past));
  EXPECT_ERRNO(ETIMEDOUT, sem_timedwait(&semaphore_, &past));
}

TEST_F(Semaphore, TimedWaitRejectsBadNanoseconds) {
  const timespec bad = {time(nullptr) + 10, 1000000000};
  EXPECT_ERRNO(EINVAL, sem_timedwait(&semaphore_, &bad));
}

TEST_F(Semaphore, TimedWaitIsWokenByPost) {
  Event waiting;
  Thread waiter([&] {
    const timespec until = FromNow(CLOCK_REALTIME, 60000);
    waiting.Post();
    EXPECT_OK(sem_timedwait(&semaphore_, &until));
  });
  waiting.Wait();
  Settle();
  EXPECT_OK(sem_post(&semaphore_));
}

TEST_F(Semaphore, ClockWaitTakesTheMonotonicClock) {
  Stopwatch watch;
  const timespec until = FromNow(CLOCK_MONOTONIC, 20);
  EXPECT_ERRNO(ETIMEDOUT, sem_clockwait(&semaphore_, CLOCK_MONOTONIC, &until));
  EXPECT_GE(watch.ElapsedMs(), 20);
  EXPECT_ERRNO(EINVAL, sem_clockwait(&semaphore_, CLOCK_PROCESS_CPUTIME_ID, &until));
}

TEST_F(Semaphore, WaitIsInterruptedByASignal) {
  SignalHandler handler(SIGUSR1, CountSignal);
  Event done;
  Thread waiter([&] {
    EXPECT_ERRNO(EINTR, sem_wait(&semaphore_));
    done.Post();
  });
  SignalUntil(waiter.handle(), SIGUSR1, &done);
  EXPECT_GE(handled_signals, 1);
}

TEST_F(Semaphore, TimedWaitIsInterruptedByASignal) {
  SignalHandler handler(SIGUSR1, CountSignal);
  Event done;
  Thread waiter([&] {
    const timespec until = FromNow(CLOCK_REALTIME, 60000);
    EXPECT_ERRNO(EINTR, sem_timedwait(&semaphore_, &until));
    done.Post();
  });
  SignalUntil(waiter.handle(), SIGUSR1, &done);
}

TEST_F(Semaphore, PostBeyondTheMaximumOverflows) {
  sem_t full;
  ASSERT_OK(sem_init(&full, 0, SEM_VALUE_MAX));
  EXPECT_ERRNO(EOVERFLOW, sem_post(&full));
  EXPECT_OK(sem_destroy(&full));
  EXPECT_ERRNO(EINVAL, sem_init(&full, 0, static_cast<unsigned>(SEM_VALUE_MAX) + 1));
}

TEST_F(Semaphore, PostFromASignalHandlerWakesAWaiter) {
  static sem_t* target;
  target = &semaphore_;
  SignalHandler handler(SIGUSR1, [](int) { sem_post(target); });
  Thread waiter([&] { EXPECT_OK(sem_wait(&semaphore_)); });
  Settle();
  EXPECT_EQ(0, raise(SIGUSR1));
}

TEST(SemaphoreNamed, OpenedTwiceIsOneSemaphore) {
  const std::string name = "/conformance-" + std::to_string(getpid());
  sem_t* first = sem_open(name.c_str(), O_CREAT | O_EXCL, 0600, 1);
  ASSERT_NE(SEM_FAILED, first);
  sem_t* second = sem_open(name.c_str(), 0);
  EXPECT_EQ(first, second);
  EXPECT_OK(sem_wait(first));
  Thread poster([&] {
    SleepMs(10);
    EXPECT_OK(sem_post(first));
  });
  EXPECT_OK(sem_wait(second));
  EXPECT_OK(sem_close(second));
  EXPECT_OK(sem_close(first));
  EXPECT_OK(sem_unlink(name.c_str()));
}

TEST(SemaphoreNamed, ErrorsOfOpenAndUnlink) {
  const std::string name = "/conformance-errors-" + std::to_string(getpid());
  EXPECT_EQ(SEM_FAILED, sem_open(name.c_str(), 0));
  EXPECT_EQ(ENOENT, errno);
  EXPECT_ERRNO(ENOENT, sem_unlink(name.c_str()));
  sem_t* semaphore = sem_open(name.c_str(), O_CREAT, 0600, 0);
  ASSERT_NE(SEM_FAILED, semaphore);
  EXPECT_EQ(SEM_FAILED, sem_open(name.c_str(), O_CREAT | O_EXCL, 0600, 0));
  EXPECT_EQ(EEXIST, errno);
  EXPECT_OK(sem_close(semaphore));
  EXPECT_OK(sem_unlink(name.c_str()));
}

TEST(SemaphoreNamed, WakesAnotherProcess) {
  const std::string name = "/conformance-process-" + std::to_string(getpid());
  sem_t* ask = sem_open((name + "a").c_str(), O_CREAT | O_EXCL, 0600, 0);
  sem_t* answer = sem_open((name + "b").c_str(), O_CREAT | O_EXCL, 0600, 0);
  ASSERT_NE(SEM_FAILED, ask);
  ASSERT_NE(SEM_FAILED, answer);
  const pid_t child = StartChild([&] {
    for (int i = 0; i < 50; ++i) {
      if (sem_wait(ask) != 0 || sem_post(answer) != 0) return 1;
    }
    return 0;
  });
  for (int i = 0; i < 50; ++i) {
    EXPECT_OK(sem_post(ask));
    EXPECT_OK(sem_wait(answer));
  }
  ExpectExited(0, WaitForChild(child));
  for (const char* suffix : {"a", "b"}) EXPECT_OK(sem_unlink((name + suffix).c_str()));
  EXPECT_OK(sem_close(ask));
  EXPECT_OK(sem_close(answer));
}

}  // namespace
}  // namespace conformance
