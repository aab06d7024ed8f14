// Sleeping, clocks and timers.
#include <sys/syscall.h>
#include <sys/time.h>

#include <memory>
#include <vector>

#include "tests/conformance/support.h"

namespace conformance {
namespace {

TEST(Sleep, NanosleepIsNotEarly) {
  for (int ms : {1, 5, 30}) {
    Stopwatch watch;
    const timespec duration = Duration(ms);
    EXPECT_OK(nanosleep(&duration, nullptr));
    EXPECT_GE(watch.ElapsedMs(), ms);
  }
}

TEST(Sleep, NanosleepOfZeroReturns) {
  const timespec zero = {0, 0};
  EXPECT_OK(nanosleep(&zero, nullptr));
}

TEST(Sleep, NanosleepRejectsBadTimes) {
  timespec bad = {0, 1000000000};
  EXPECT_ERRNO(EINVAL, nanosleep(&bad, nullptr));
  bad = {0, -1};
  EXPECT_ERRNO(EINVAL, nanosleep(&bad, nullptr));
  bad = {-1, 0};
  EXPECT_ERRNO(EINVAL, nanosleep(&bad, nullptr));
  EXPECT_ERRNO(EFAULT, nanosleep(reinterpret_cast<timespec*>(8), nullptr));
}

TEST(Sleep, NanosleepInterruptedTellsWhatRemains) {
  SignalHandler handler(SIGUSR1, CountSignal, SA_RESTART);
  Event done;
  Thread sleeper([&] {
    const timespec asked = {100, 0};
    timespec left = {0, 0};
    EXPECT_ERRNO(EINTR, nanosleep(&asked, &left));
    EXPECT_GT(left.tv_sec, 1);
    EXPECT_LE(left.tv_sec, 100);  // plus the timer's slack, where the signal came at once
    done.Post();
  });
  SignalUntil(sleeper.handle(), SIGUSR1, &done);
}

TEST(Sleep, ClockNanosleepRelativeOnBothClocks) {
  for (clockid_t clock : {CLOCK_MONOTONIC, CLOCK_REALTIME, CLOCK_BOOTTIME}) {
    Stopwatch watch;
    const timespec duration = Duration(15);
    EXPECT_EQ(0, clock_nanosleep(clock, 0, &duration, nullptr));
    EXPECT_GE(watch.ElapsedMs(), 15);
  }
}

TEST(Sleep, ClockNanosleepAbsoluteOnBothClocks) {
  for (clockid_t clock : {CLOCK_MONOTONIC, CLOCK_REALTIME}) {
    const timespec until = FromNow(clock, 15);
    EXPECT_EQ(0, clock_nanosleep(clock, TIMER_ABSTIME, &until, nullptr));
    EXPECT_GE(NowNs(clock), until.tv_sec * 1000000000LL + until.tv_nsec);
    const timespec past = FromNow(clock, -1000);
    EXPECT_EQ(0, clock_nanosleep(clock, TIMER_ABSTIME, &past, nullptr));
  }
}

TEST(Sleep, ClockNanosleepReturnsItsErrors) {
  const timespec bad = {0, 1000000000};
  EXPECT_EQ(EINVAL, clock_nanosleep(CLOCK_MONOTONIC, 0, &bad, nullptr));
  const timespec duration = Duration(1);
  EXPECT_EQ(EINVAL, clock_nanosleep(9999, 0, &duration, nullptr));
  EXPECT_EQ(EINVAL, clock_nanosleep(CLOCK_THREAD_CPUTIME_ID, 0, &duration, nullptr));
}

TEST(Sleep, ClockNanosleepAbsoluteIsInterrupted) {
  SignalHandler handler(SIGUSR1, CountSignal);
  Event done;
  Thread sleeper([&] {
    const timespec until = FromNow(CLOCK_MONOTONIC, 100000);
    EXPECT_EQ(EINTR, clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, nullptr));
    done.Post();
  });
  SignalUntil(sleeper.handle(), SIGUSR1, &done);
}

TEST(Sleep, UsleepIsNotEarly) {
  Stopwatch watch;
  EXPECT_OK(usleep(15000));
  EXPECT_GE(watch.ElapsedMs(), 15);
}

TEST(Sleep, SleepOfOneSecondIsNotEarlyAndReturnsZero) {
  Stopwatch watch;
  EXPECT_EQ(0u, sleep(1));
  EXPECT_GE(watch.ElapsedMs(), 1000);
}

TEST(Sleep, SleepInterruptedReturnsTheSecondsLeft) {
  SignalHandler handler(SIGUSR1, CountSignal);
  Event done;
  Thread sleeper([&] {
    const unsigned left = sleep(100);
    EXPECT_GT(left, 1u);
    EXPECT_LE(left, 100u);
    done.Post();
  });
  SignalUntil(sleeper.handle(), SIGUSR1, &done);
}

TEST(Sleep, ManyThreadsWakeInTheOrderOfTheirDeadlines) {
  std::vector<std::unique_ptr<Thread>> threads;
  for (int i = 0; i < 100; ++i) {
    threads.push_back(std::make_unique<Thread>([i] {
      Stopwatch watch;
      SleepMs((i * 37) % 50);
      EXPECT_GE(watch.ElapsedMs(), (i * 37) % 50);
    }));
  }
}

TEST(Sleep, SleepingThreadDoesNotHoldUpOthers) {
  Event stop;
  Thread sleeper([&] { EXPECT_FALSE(stop.WaitFor(200)); });
  int rounds = 0;
  Thread([&] {
    for (; rounds < 100; ++rounds) sched_yield();
  }).Join();
  EXPECT_EQ(100, rounds);
}

TEST(Clocks, NeverGoBackAcrossThreads) {
  std::atomic<int64_t> latest{NowNs()};
  std::vector<std::unique_ptr<Thread>> threads;
  for (int i = 0; i < 4; ++i) {
    threads.push_back(std::make_unique<Thread>([&] {
      for (int round = 0; round < 1000; ++round) {
        const int64_t before = latest;
        const int64_t now = NowNs();
        EXPECT_GE(now, before);
        latest = now;
        if (round % 50 == 0) sched_yield();
      }
    }));
  }
}

TEST(Clocks, BadOnesAreInvalid) {
  timespec time;
  EXPECT_ERRNO(EINVAL, clock_gettime(9999, &time));
  EXPECT_ERRNO(EINVAL, clock_getres(9999, &time));
  EXPECT_OK(clock_getres(CLOCK_MONOTONIC, &time));
}

TEST(Timers, SignalTimerRunsItsHandler) {
  SignalHandler handler(SIGRTMIN + 1, CountSignal);
  sigevent event = {};
  event.sigev_notify = SIGEV_SIGNAL;
  event.sigev_signo = SIGRTMIN + 1;
  timer_t timer;
  ASSERT_OK(timer_create(CLOCK_MONOTONIC, &event, &timer));
  itimerspec setting = {};
  setting.it_value = Duration(10);
  Stopwatch watch;
  ASSERT_OK(timer_settime(timer, 0, &setting, nullptr));
  while (handled_signals == 0) SleepMs(2);
  EXPECT_GE(watch.ElapsedMs(), 10);
  EXPECT_OK(timer_delete(timer));
}

TEST(Timers, ThreadTimerCallsItsFunction) {
  static Event called;
  sigevent event = {};
  event.sigev_notify = SIGEV_THREAD;
  event.sigev_value.sival_int = 6;
  event.sigev_notify_function = [](sigval value) {
    EXPECT_EQ(6, value.sival_int);
    called.Post();
  };
  timer_t timer;
  ASSERT_OK(timer_create(CLOCK_MONOTONIC, &event, &timer));
  itimerspec setting = {};
  setting.it_value = Duration(10);
  ASSERT_OK(timer_settime(timer, 0, &setting, nullptr));
  called.Wait();
  EXPECT_OK(timer_delete(timer));
}

timespec Later(const timespec& a, const timespec& b) {
  const bool first = a.tv_sec != b.tv_sec ? a.tv_sec > b.tv_sec : a.tv_nsec > b.tv_nsec;
  return first ? a : b;
}
bool Same(const timespec& a, const timespec& b) {
  return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

TEST(ThreadClock, CountsItsThreadAndGoesOnWithIt) {
  Event worked, leave;
  timespec own = {};
  Thread thread([&] {
    // Works until its own clock says so.
    do {
      ASSERT_OK(syscall(SYS_clock_gettime, CLOCK_THREAD_CPUTIME_ID, &own));
    } while (own.tv_sec == 0 && own.tv_nsec < 3'000'000);
    worked.Post();
    leave.Wait();
  });
  worked.Wait();
  clockid_t clock;
  ASSERT_EQ(0, pthread_getcpuclockid(thread.handle(), &clock));
  timespec seen = {}, again = {}, resolution = {};
  ASSERT_OK(clock_gettime(clock, &seen));
  EXPECT_TRUE(Same(seen, Later(seen, own))) << "not less than the thread itself saw";
  ASSERT_OK(syscall(SYS_clock_gettime, clock, &again));
  EXPECT_TRUE(Same(again, Later(again, seen)));
  EXPECT_EQ(0, syscall(SYS_clock_getres, clock, &resolution));
  EXPECT_EQ(1, resolution.tv_nsec);
  leave.Post();
  thread.Join();
}

TEST(ThreadClock, OfTheCallerIsItsOwnByEitherName) {
  clockid_t clock;
  ASSERT_EQ(0, pthread_getcpuclockid(pthread_self(), &clock));
  timespec first = {}, second = {}, third = {};
  ASSERT_OK(clock_gettime(CLOCK_THREAD_CPUTIME_ID, &first));
  ASSERT_OK(clock_gettime(clock, &second));
  ASSERT_OK(clock_gettime(CLOCK_THREAD_CPUTIME_ID, &third));
  EXPECT_TRUE(Same(second, Later(second, first)));
  EXPECT_TRUE(Same(third, Later(third, second)));
}

TEST(ThreadClock, BadOnesSaySo) {
  timespec time;
  EXPECT_ERRNO(EINVAL, clock_gettime(~(0x7ffffff << 3 & ~7) & ~3, &time));
  EXPECT_ERRNO(EINVAL, clock_gettime(99, &time));
  EXPECT_ERRNO(EFAULT, syscall(SYS_clock_gettime, CLOCK_THREAD_CPUTIME_ID, 8));
}

}  // namespace
}  // namespace conformance
