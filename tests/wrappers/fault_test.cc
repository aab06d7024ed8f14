// Faults of the program (invariant S7): an overflow is told from any other fault, and both from
// those the program handles itself.
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include <atomic>
#include <string>

#include "tests/wrappers/support.h"

namespace bobbin_test {
namespace {

// Never returns: `limit` is beyond what any stack holds.
__attribute__((noinline)) int Recurse(int depth, int limit = 1 << 30) {
  volatile char frame[512];
  frame[0] = static_cast<char>(depth);
  return depth == limit ? 0 : Recurse(depth + 1, limit) + frame[0];
}

void ExpectKilledBySegfault(int status) {
  ASSERT_TRUE(WIFSIGNALED(status)) << status;
  EXPECT_EQ(SIGSEGV, WTERMSIG(status));
}

bool Reported(const Outcome& outcome) {
  return outcome.errors.find("stack overflow") != std::string::npos;
}

TEST(StackOverflow, KillsByItsSignalAndNamesThreadIdAndSize) {
  std::string id;
  Fd told(-1);
  Pair pipe = conformance::MakePipe();
  Outcome outcome = RunCatchingErrors([&] {
    UserThread thread(
        [&] {
          pthread_setname_np(pthread_self(), "recursive");
          std::string text = std::to_string(gettid());
          EXPECT_TRUE(conformance::WriteAll(pipe.b, text));
          Recurse(0);
        },
        256 * 1024);
    thread.Join();
    return 0;
  });
  ExpectKilledBySegfault(outcome.status);
  pipe.b.Reset();
  id = conformance::ReadToEnd(pipe.a);
  std::string line = "bobbin: stack overflow in thread 'recursive' (id " + id + "): its stack of ";
  EXPECT_EQ(0u, outcome.errors.find(line)) << outcome.errors;
  // Of 256 KiB; libc takes the guard out of what was asked for.
  size_t kib = 0;
  ASSERT_EQ(1, sscanf(outcome.errors.c_str() + std::min(line.size(), outcome.errors.size()),
                      "%zu KiB is used up\n", &kib))
      << outcome.errors;
  EXPECT_GE(kib, 248u);
  EXPECT_LE(kib, 260u);
}

TEST(StackOverflow, OfANamelessThreadOnAnotherSchedulerIsReportedToo) {
  Outcome outcome = RunCatchingErrors([&] {
    UseSchedulers(2);
    StartOn(1, [] {
      pthread_setname_np(pthread_self(), "");  // not its creator's
      Recurse(0);
    }).Join();
    return 0;
  });
  ExpectKilledBySegfault(outcome.status);
  EXPECT_EQ(0u, outcome.errors.find("bobbin: stack overflow in thread (id ")) << outcome.errors;
}

TEST(StackOverflow, OneFrameLargerThanTheGuardIsReportedToo) {
  Outcome outcome = RunCatchingErrors([&] {
    UserThread thread([] { Recurse(0); }, 64 * 1024);
    thread.Join();
    return 0;
  });
  ExpectKilledBySegfault(outcome.status);
  EXPECT_TRUE(Reported(outcome)) << outcome.errors;
}

TEST(StackOverflow, OfMainDiesWithoutBlamingAnybody) {
  Outcome outcome = RunCatchingErrors([&] { return Recurse(0); });
  ExpectKilledBySegfault(outcome.status);
  EXPECT_FALSE(Reported(outcome)) << outcome.errors;
}

TEST(Segfault, OfANullPointerIsNotCalledAnOverflow) {
  Outcome outcome = RunCatchingErrors([&] {
    UserThread([] {
      volatile int* nowhere = nullptr;
      *nowhere = 1;
    }).Join();
    return 0;
  });
  ExpectKilledBySegfault(outcome.status);
  EXPECT_EQ("", outcome.errors);
}

TEST(Segfault, OfAPointerIntoAnotherThreadsGuardIsNotCalledAnOverflow) {
  Outcome outcome = RunCatchingErrors([&] {
    Event stop;
    UserThread victim([&] { stop.Wait(); }, 128 * 1024);
    LetOthersRun();
    pthread_attr_t attributes;
    void* low;
    size_t size;
    pthread_getattr_np(victim.handle(), &attributes);
    pthread_attr_getstack(&attributes, &low, &size);
    UserThread([&] { static_cast<volatile char*>(low)[-1] = 1; }).Join();
    return 0;
  });
  ExpectKilledBySegfault(outcome.status);
  EXPECT_FALSE(Reported(outcome)) << outcome.errors;
}

// A stack with nearly all its room left has not overflowed.
TEST(Segfault, OfAPointerIntoItsOwnGuardFromAShallowStackIsNotCalledAnOverflow) {
  Outcome outcome = RunCatchingErrors([&] {
    UserThread thread(
        [] {
          pthread_attr_t attributes;
          void* low;
          size_t size;
          pthread_getattr_np(pthread_self(), &attributes);
          pthread_attr_getstack(&attributes, &low, &size);
          static_cast<volatile char*>(low)[-1] = 1;
        },
        1024 * 1024);
    thread.Join();
    return 0;
  });
  ExpectKilledBySegfault(outcome.status);
  EXPECT_FALSE(Reported(outcome)) << outcome.errors;
}

TEST(Segfault, SentByKillHasItsDefaultAction) {
  Outcome outcome = RunCatchingErrors([&] {
    UserThread([] { pthread_kill(pthread_self(), SIGSEGV); }).Join();
    return 0;
  });
  ExpectKilledBySegfault(outcome.status);
  EXPECT_EQ("", outcome.errors);
}

std::atomic<uintptr_t> handler_stack{0};
std::atomic<void*> handler_address{nullptr};
thread_local sigjmp_buf back;

void OnSegfault(int, siginfo_t* info, void*) {
  int here;
  handler_stack = reinterpret_cast<uintptr_t>(&here);
  handler_address = info->si_addr;
  siglongjmp(back, 1);
}

TEST(Segfault, ProgramsOwnHandlerRunsOnTheThreadsAlternateStackAfterAnOverflow) {
  Outcome outcome = RunCatchingErrors([&] {
    conformance::SignalHandler handler(SIGSEGV, OnSegfault, SA_ONSTACK);
    int failures = 0;
    for (int t = 0; t < 3; ++t) {
      UserThread(
          [&] {
            constexpr size_t kSize = 64 * 1024;
            char* memory = new char[kSize];
            stack_t stack = {memory, 0, kSize};
            if (sigaltstack(&stack, nullptr) != 0) ++failures;
            if (sigsetjmp(back, 1) == 0) Recurse(0);
            auto base = reinterpret_cast<uintptr_t>(memory);
            if (handler_stack - base >= kSize) ++failures;
            stack_t off = {nullptr, SS_DISABLE, 0};
            sigaltstack(&off, nullptr);
            delete[] memory;
          },
          128 * 1024)
          .Join();
    }
    return failures;
  });
  conformance::ExpectExited(0, outcome.status);
}

TEST(Segfault, ProgramsOwnHandlerWithoutAlternateStackSeesTheAddress) {
  Outcome outcome = RunCatchingErrors([&] {
    conformance::SignalHandler handler(SIGSEGV, OnSegfault, 0);
    int failures = 0;
    UserThread([&] {
      auto* wild = reinterpret_cast<volatile char*>(0x1000);
      if (sigsetjmp(back, 1) == 0) *wild = 1;
      if (handler_address != reinterpret_cast<void*>(0x1000)) ++failures;
    }).Join();
    return failures;
  });
  conformance::ExpectExited(0, outcome.status);
  EXPECT_EQ("", outcome.errors);
}

TEST(Segfault, IgnoredByTheProgramIsFatalAllTheSame) {
  Outcome outcome = RunCatchingErrors([&] {
    signal(SIGSEGV, SIG_IGN);
    UserThread([] {
      volatile int* nowhere = nullptr;
      *nowhere = 1;
    }).Join();
    return 0;
  });
  ExpectKilledBySegfault(outcome.status);
}

}  // namespace
}  // namespace bobbin_test
