// What signals leave behind: masks when a handler has returned, frames of handlers that wait, what
// a child and an executed program inherit.
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <atomic>

#include "tests/wrappers/support.h"

namespace bobbin_test {
namespace {

using conformance::SignalBlock;
using conformance::SignalHandler;
using conformance::SignalSet;

pid_t ForkAndRun(const std::function<void()>& body) {
  const pid_t child = fork();
  if (child == 0) {
    body();
    _exit(0);
  }
  return child;
}

void Reap(pid_t child) {
  int status;
  ASSERT_EQ(child, waitpid(child, &status, 0));
  EXPECT_EQ(0, status);
}

// Source: fork(2): the set of pending signals is empty.
TEST(SignalFrames, AChildStartsWithNothingPending) {
  SignalBlock block({SIGUSR1, SIGRTMIN});
  ASSERT_OK(raise(SIGUSR1));
  ASSERT_EQ(0, pthread_sigqueue(pthread_self(), SIGRTMIN, {}));
  const int status = conformance::RunInChild([] {
    sigset_t pending;
    sigpending(&pending);
    return sigismember(&pending, SIGUSR1) + 2 * sigismember(&pending, SIGRTMIN);
  });
  conformance::ExpectExited(0, status);
  sigset_t pending, wanted = SignalSet({SIGUSR1, SIGRTMIN});
  ASSERT_OK(sigpending(&pending));
  EXPECT_TRUE(sigismember(&pending, SIGUSR1) && sigismember(&pending, SIGRTMIN));
  int signal;
  EXPECT_EQ(0, sigwait(&wanted, &signal));
  EXPECT_EQ(0, sigwait(&wanted, &signal));
}

std::atomic<int> first_handled{0}, second_handled{0};

// Source: sigaction(2): when the handler returns, the mask is as it was.
TEST(SignalFrames, WhatAHandlerBlocksEndsWithIt) {
  SignalHandler first(SIGUSR1, [](int) {
    const sigset_t other = SignalSet({SIGUSR2});
    pthread_sigmask(SIG_BLOCK, &other, nullptr);
    ++first_handled;
  });
  SignalHandler second(SIGUSR2, [](int) { ++second_handled; });
  first_handled = second_handled = 0;
  ASSERT_OK(raise(SIGUSR1));
  ASSERT_EQ(1, first_handled.load());
  const pid_t parent = getpid();
  Pair pipe = conformance::MakePipe();
  const pid_t child = ForkAndRun([&] {
    char byte;
    if (read(pipe.a, &byte, 1) != 1) _exit(1);
    kill(parent, SIGUSR2);
  });
  ASSERT_EQ(1, write(pipe.b, "x", 1));
  // Asleep all the while, but for the signal.
  while (second_handled == 0) poll(nullptr, 0, -1);
  EXPECT_EQ(1, second_handled.load());
  Reap(child);
}

// Source: sigaction(2): blocked in its own handler, it comes when that returns.
TEST(SignalFrames, ASignalRaisedInItsOwnHandlerIsHandledWhenThatReturns) {
  SignalHandler handler(SIGUSR1, [](int) {
    const int before = first_handled++;
    if (before == 0) raise(SIGUSR1);
    if (first_handled != before + 1) second_handled = 1;
  });
  first_handled = second_handled = 0;
  kill(getpid(), SIGUSR1);
  EXPECT_EQ(2, first_handled.load());
  EXPECT_EQ(0, second_handled.load()) << "nested";
}

// More than fit anywhere, while only a parked thread wants them.
TEST(SignalFrames, QueuedSignalsToTheProcessAreNotLostHoweverMany) {
  constexpr int kSent = 300;
  static std::atomic<int> handled;
  handled = 0;
  SignalHandler handler(SIGRTMIN, [](int) { ++handled; });
  SignalBlock block({SIGRTMIN});
  Event stop;
  UserThread wants([&] {
    const sigset_t none = SignalSet({});
    pthread_sigmask(SIG_SETMASK, &none, nullptr);
    while (handled < kSent) poll(nullptr, 0, 60'000);
    stop.Post();
  });
  LetOthersRun();
  for (int i = 0; i < kSent; ++i) ASSERT_OK(sigqueue(getpid(), SIGRTMIN, {}));
  EXPECT_TRUE(stop.WaitFor(20'000)) << handled.load();
  if (handled != kSent) {
    handled = kSent;
    pthread_kill(wants.handle(), SIGRTMIN);
  }
}

// The one that polls for everybody has the least of stacks.
TEST(SignalFrames, TheSmallestStackHoldsSignalsOfAParkedThread) {
  static std::atomic<int> handled;
  handled = 0;
  SignalHandler handler(
      SIGALRM, [](int) { ++handled; }, SA_RESTART);
  SignalHandler other(
      SIGUSR1, [](int) { ++handled; }, SA_RESTART);
  Pair pipe = conformance::MakePipe();
  UserThread small(
      [&] {
        char byte;
        pollfd readable = {pipe.a, POLLIN, 0};
        while (poll(&readable, 1, 1) <= 0) {
        }
        EXPECT_EQ(1, read(pipe.a, &byte, 1));
      },
      static_cast<size_t>(PTHREAD_STACK_MIN));
  LetOthersRun();
  const pid_t parent = getpid();
  const pid_t child = ForkAndRun([&] {
    for (int i = 0; i < 50; ++i) {
      kill(parent, SIGALRM);
      kill(parent, SIGUSR1);
      conformance::SleepMs(1);
    }
  });
  Reap(child);
  EXPECT_EQ(1, write(pipe.b, "x", 1));
  small.Join();
  EXPECT_LT(0, handled.load());
}

class AlternateStack {
 public:
  AlternateStack() {
    memory_ = mmap(nullptr, kSize, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    const stack_t stack = {memory_, 0, kSize};
    EXPECT_OK(sigaltstack(&stack, nullptr));
  }
  ~AlternateStack() {
    const stack_t none = {nullptr, SS_DISABLE, 0};
    EXPECT_OK(sigaltstack(&none, nullptr));
    munmap(memory_, kSize);
  }
  AlternateStack(const AlternateStack&) = delete;
  AlternateStack& operator=(const AlternateStack&) = delete;

  bool Holds(const void* address) const {
    return static_cast<const char*>(address) - static_cast<char*>(memory_) <
           static_cast<ptrdiff_t>(kSize);
  }

 private:
  static constexpr size_t kSize = 64 * 1024;
  void* memory_;
};

Event* entered = nullptr;
Event* leave = nullptr;
thread_local bool spoilt = false;

// Fills its frame, waits, and looks at it again.
void WaitInside(int) {
  volatile unsigned char frame[4096];
  for (size_t i = 0; i < sizeof frame; ++i) frame[i] = static_cast<unsigned char>(i * 7);
  entered->Post();
  leave->Wait();
  for (size_t i = 0; i < sizeof frame; ++i)
    spoilt = spoilt || frame[i] != static_cast<unsigned char>(i * 7);
}

// A handler that waits on its thread's alternate stack; meanwhile others have frames on theirs.
TEST(SignalFrames, AHandlerThatWaitsOnItsAlternateStackKeepsIt) {
  Event here, go;
  entered = &here;
  leave = &go;
  SignalHandler handler(SIGUSR1, WaitInside, SA_ONSTACK);
  bool bad[2] = {true, true};
  auto body = [&](int i) {
    AlternateStack stack;
    raise(SIGUSR1);
    bad[i] = spoilt;
  };
  UserThread first([&] { body(0); });
  here.Wait();
  // A bad address is found out by a fault.
  EXPECT_ERRNO(EFAULT, syscall(SYS_rt_sigprocmask, SIG_BLOCK, 8, nullptr, 8));
  UserThread second([&] { body(1); });
  here.Wait();
  go.Post();
  go.Post();
  first.Join();
  second.Join();
  EXPECT_FALSE(bad[0]);
  EXPECT_FALSE(bad[1]);
}

// Handlers of faults may wait too, whatever stack they run on.
TEST(SignalFrames, HandlersOfFaultsThatWaitKeepTheirFrames) {
  Event here, go;
  entered = &here;
  leave = &go;
  static void* page;
  page = mmap(nullptr, 2 * 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  SignalHandler handler(SIGSEGV, [](int) {
    WaitInside(0);
    mprotect(page, 2 * 4096, PROT_READ | PROT_WRITE);
  });
  bool bad[2] = {true, true};
  auto body = [&](int i) {
    static_cast<volatile char*>(page)[i * 4096] = 1;
    bad[i] = spoilt;
  };
  UserThread first([&] { body(0); });
  here.Wait();
  UserThread second([&] { body(1); });
  here.Wait();
  EXPECT_ERRNO(EFAULT, syscall(SYS_rt_sigprocmask, SIG_BLOCK, 8, nullptr, 8));
  go.Post();
  go.Post();
  first.Join();
  second.Join();
  EXPECT_FALSE(bad[0]);
  EXPECT_FALSE(bad[1]);
  munmap(page, 2 * 4096);
}

}  // namespace
}  // namespace bobbin_test
