// Signals and user threads: invariants G1 to G3 (wrappers/signal.h).
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/time.h>

#include <atomic>
#include <memory>
#include <vector>

#include "tests/wrappers/support.h"

namespace bobbin_test {
namespace {

uint64_t KernelMask() {
  uint64_t mask = 0;
  bobbin::RawSyscall(SYS_rt_sigprocmask, SIG_BLOCK, nullptr, &mask, sizeof mask);
  return mask;
}

uint64_t OwnMask() {
  sigset_t mask;
  pthread_sigmask(SIG_BLOCK, nullptr, &mask);
  uint64_t bits;
  memcpy(&bits, &mask, sizeof bits);
  return bits;
}

// G1
TEST(Signals, KernelsMaskIsThatOfTheThreadThatRuns) {
  UseSchedulers(2);
  std::atomic<int> wrong{0};
  std::vector<std::unique_ptr<UserThread>> threads;
  for (int t = 0; t < 8; ++t) {
    threads.push_back(std::make_unique<UserThread>([&, t] {
      for (int i = 0; i < 200; ++i) {
        conformance::SignalBlock block({t % 2 == 0 ? SIGUSR1 : SIGUSR2, SIGRTMIN + (t + i) % 8});
        uint64_t mine = OwnMask();
        if (i % 10 == 0) {
          conformance::SleepMs(1);
        } else {
          sched_yield();
        }
        if (KernelMask() != mine || OwnMask() != mine) ++wrong;
      }
    }));
  }
  threads.clear();
  EXPECT_EQ(0, wrong.load());
}

// A sleeping scheduler runs nobody, so it lets in what any of its threads wants.
TEST(Signals, SignalForAParkedThreadReachesASleepingScheduler) {
  static std::atomic<int> handled;
  handled = 0;
  static void (*const count)(int) = [](int) { ++handled; };
  conformance::SignalHandler handler(SIGALRM, count);
  conformance::SignalBlock block({SIGALRM});  // main's and so inherited
  Event done;
  UserThread open_to_it([&] {
    sigset_t none = conformance::SignalSet({});
    pthread_sigmask(SIG_SETMASK, &none, nullptr);
    while (handled == 0) poll(nullptr, 0, 60'000);
    done.Post();
  });
  LetOthersRun();
  itimerval soon = {{0, 0}, {0, 2000}};
  ASSERT_OK(setitimer(ITIMER_REAL, &soon, nullptr));
  done.Wait();
  EXPECT_EQ(1, handled.load());
}

// G2
class SignalStormTest : public testing::TestWithParam<int> {};

std::atomic<long> storm_handled{0}, storm_in_runtime{0}, storm_not_current{0};
Event* storm_event = nullptr;
uint32_t storm_word = 0;

void OnStorm(int) {
  bobbin::Scheduler* scheduler = bobbin::Scheduler::Current();
  ++storm_handled;
  if (scheduler == nullptr || scheduler->in_runtime()) ++storm_in_runtime;
  if (scheduler != nullptr && scheduler->current()->fs_base != bobbin::ReadFsBase()) {
    ++storm_not_current;
  }
  int saved = errno;
  storm_event->Post();  // sem_post may be called here (signal-safety(7))
  // Into the bucket and the ready queue that the interrupted code may be at work on.
  FutexWake(&storm_word, 1);
  errno = saved;
}

TEST_P(SignalStormTest, HandlerNeverRunsInsideTheRuntime) {
  UseSchedulers(GetParam());
  Event told;
  storm_event = &told;
  conformance::SignalHandler handler(SIGALRM, OnStorm, SA_RESTART);
  itimerval often = {{0, 70}, {0, 70}};
  ASSERT_OK(setitimer(ITIMER_REAL, &often, nullptr));
  const uint32_t rounds = GetParam() == 1 ? 60'000 : 3000;
  Pair there = conformance::MakePipe();
  Pair back = conformance::MakePipe();
  UserThread echo([&] {
    char byte;
    for (uint32_t i = 0; i < rounds; ++i) {
      EXPECT_EQ(1, read(there.a, &byte, 1));
      EXPECT_EQ(1, write(back.b, &byte, 1));
    }
  });
  storm_word = 0;
  auto play = [&](uint32_t parity) {
    for (;;) {
      uint32_t now = __atomic_load_n(&storm_word, __ATOMIC_SEQ_CST);
      if (now >= 10 * rounds) break;
      if (now % 2 == parity) {
        __atomic_store_n(&storm_word, now + 1, __ATOMIC_SEQ_CST);
        FutexWake(&storm_word, 1);
      } else if (now % 3 == 0 && GetParam() == 1) {
        sched_yield();
      } else {
        FutexWait(&storm_word, now);
      }
    }
  };
  UserThread player([&] { play(0); });
  UserThread counterpart([&] { play(1); });
  UserThread listener([&] { told.Wait(50); });
  UserThread maker([] {
    for (int i = 0; i < 200; ++i) UserThread([] { sched_yield(); }).Join();
  });
  char byte = 'x';
  for (uint32_t i = 0; i < rounds; ++i) {
    ASSERT_EQ(1, write(there.b, &byte, 1));
    ASSERT_EQ(1, read(back.a, &byte, 1));
  }
  echo.Join();
  player.Join();
  counterpart.Join();
  maker.Join();
  listener.Join();
  itimerval never = {};
  ASSERT_OK(setitimer(ITIMER_REAL, &never, nullptr));
  EXPECT_GE(storm_handled.load(), 50);
  EXPECT_EQ(0, storm_in_runtime.load());
  EXPECT_EQ(0, storm_not_current.load());
}

INSTANTIATE_TEST_SUITE_P(Schedulers, SignalStormTest, testing::Values(1, 2),
                         [](const auto& count) { return std::to_string(count.param); });

// G3
TEST(Signals, StandardSignalIsPendingOnceAndAQueuedOneAsOftenAsSent) {
  conformance::SignalBlock block({SIGUSR1, SIGRTMIN});
  for (int i = 0; i < 5; ++i) {
    ASSERT_EQ(0, pthread_kill(pthread_self(), SIGUSR1));
    sigval value = {i};
    ASSERT_EQ(0, pthread_sigqueue(pthread_self(), SIGRTMIN, value));
  }
  sigset_t both = conformance::SignalSet({SIGUSR1, SIGRTMIN});
  timespec now = {0, 0};
  siginfo_t info;
  EXPECT_EQ(SIGUSR1, sigtimedwait(&both, &info, &now));
  for (int i = 0; i < 5; ++i) {
    EXPECT_EQ(SIGRTMIN, sigtimedwait(&both, &info, &now));
    EXPECT_EQ(i, info.si_value.sival_int);
  }
  EXPECT_ERRNO(EAGAIN, sigtimedwait(&both, &info, &now));
}

// The pool of pending signals is bounded: what the dead did not take must go back to it.
TEST(Signals, ThreadsThatEndWithPendingSignalsGiveTheirRoomBack) {
  conformance::SignalBlock block({SIGRTMIN});
  for (int i = 0; i < 2000; ++i) {
    UserThread([] { pthread_kill(pthread_self(), SIGRTMIN); }).Join();
  }
  for (int i = 0; i < 3; ++i) {
    sigval value = {100 + i};
    ASSERT_EQ(0, pthread_sigqueue(pthread_self(), SIGRTMIN, value));
  }
  sigset_t one = conformance::SignalSet({SIGRTMIN});
  timespec now = {0, 0};
  siginfo_t info;
  for (int i = 0; i < 3; ++i) {
    ASSERT_EQ(SIGRTMIN, sigtimedwait(&one, &info, &now)) << i;
    EXPECT_EQ(100 + i, info.si_value.sival_int);
  }
}

// The signal that interrupts workers is not the program's to change, and libc's own handler for it
// asks for an alternate stack and for restarts.
TEST(Signals, CallsOnWorkersAreInterruptedAlsoOnceAThreadHasAnAlternateStack) {
  static void (*const ignore)(int) = [](int) {};
  conformance::SignalHandler handler(SIGUSR1, ignore);
  UserThread([] {
    static char memory[64 * 1024];
    stack_t stack = {memory, 0, sizeof memory};
    EXPECT_OK(sigaltstack(&stack, nullptr));
    stack_t off = {nullptr, SS_DISABLE, 0};
    EXPECT_OK(sigaltstack(&off, nullptr));
  }).Join();
  uint32_t word = 0;
  Event done;
  UserThread waiter([&] {
    // Shared with other processes, so a worker waits for it.
    EXPECT_ERRNO(EINTR, syscall(SYS_futex, &word, FUTEX_WAIT, 0, nullptr, nullptr, 0));
    done.Post();
  });
  conformance::SignalUntil(waiter.handle(), SIGUSR1, &done);
}

TEST(Signals, DeliveredOnesAreCounted) {
  static void (*const ignore)(int) = [](int) {};
  conformance::SignalHandler handler(SIGUSR1, ignore);
  uint64_t before = Statistics().signals_delivered;
  for (int i = 0; i < 10; ++i) raise(SIGUSR1);
  EXPECT_EQ(before + 10, Statistics().signals_delivered);
}

// Queued signals to a thread of another scheduler, in order, none lost.
TEST(Signals, QueuedOnesToAThreadOfAnotherSchedulerArriveInOrder) {
  UseSchedulers(2);
  constexpr int kSent = 500;
  conformance::SignalBlock block({SIGRTMIN});
  Event ready;
  pthread_t target;
  std::vector<int> got;
  UserThread waiter = StartOn(1, [&] {
    target = pthread_self();
    ready.Post();
    sigset_t one = conformance::SignalSet({SIGRTMIN});
    for (int i = 0; i < kSent; ++i) {
      siginfo_t info;
      EXPECT_EQ(SIGRTMIN, sigwaitinfo(&one, &info));
      got.push_back(info.si_value.sival_int);
    }
  });
  ready.Wait();
  for (int i = 0; i < kSent; ++i) {
    sigval value = {i};
    ASSERT_EQ(0, pthread_sigqueue(target, SIGRTMIN, value));
  }
  waiter.Join();
  for (int i = 0; i < kSent; ++i) EXPECT_EQ(i, got[i]);
}

}  // namespace
}  // namespace bobbin_test
