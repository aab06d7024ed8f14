// Frames of traps and of patched sites: threads that leave them without a return, and what children
// and executed programs inherit beside them.
//
// Run as dispatch_test.cc.
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unwind.h>

#include <string>
#include <vector>

#include "tests/wrappers/support.h"

extern "C" {
long site_futex_wait(uint32_t* word, uint32_t value);
long site_futex_wait_unpatched(uint32_t* word, uint32_t value);
long site_after_leaving();
}

namespace bobbin_test {
namespace {

struct Cleanup {
  int* ran;
  ~Cleanup() { ++*ran; }
};

// Has a thread wait at `site` and cancels it there, asynchronously: only so may a call be left that
// is no cancellation point.
void CancelAt(long (*site)(uint32_t*, uint32_t)) {
  uint32_t word = 0;
  int ran = 0;
  UserThread waiter([&] {
    const Cleanup cleanup = {&ran};
    pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, nullptr);
    site(&word, 0);
    ADD_FAILURE() << "went on";
  });
  LetOthersRun();
  ASSERT_EQ(0, pthread_cancel(waiter.handle()));
  EXPECT_EQ(PTHREAD_CANCELED, waiter.Join());
  EXPECT_EQ(1, ran) << "destructors of the frames around the call";
}

TEST(DispatchFrames, AThreadInATrapCanBeCancelled) { CancelAt(&site_futex_wait_unpatched); }

TEST(DispatchFrames, AThreadAtAPatchedSiteCanBeCancelled) {
  uint32_t word = 1;
  const uint64_t before = Statistics().traps;
  EXPECT_EQ(-EAGAIN, site_futex_wait(&word, 0));
  EXPECT_EQ(-EAGAIN, site_futex_wait(&word, 0));
  ASSERT_EQ(before + 1, Statistics().traps) << "patched";
  CancelAt(&site_futex_wait);
  EXPECT_EQ(before + 1, Statistics().traps);
}

// What is counted for a thread that never comes back is taken back: else nothing that needs to be
// alone would ever be patched again.
TEST(DispatchFrames, SitesArePatchedAfterAThreadWasCancelledInATrap) {
  CancelAt(&site_futex_wait_unpatched);
  const uint64_t before = Statistics().traps;
  for (int i = 0; i < 10; ++i) EXPECT_EQ(getppid(), site_after_leaving());
  EXPECT_EQ(before + 1, Statistics().traps);
}

TEST(DispatchFrames, SitesArePatchedInAChildWhoseParentHasThreadsInTraps) {
  uint32_t word = 0;
  UserThread waiter([&] { site_futex_wait_unpatched(&word, 0); });
  LetOthersRun();
  const int status = conformance::RunInChild([] {
    const uint64_t before = Statistics().traps;
    for (int i = 0; i < 10; ++i) {
      if (site_after_leaving() != getppid()) return 2;
    }
    return Statistics().traps == before + 1 ? 0 : 1;
  });
  conformance::ExpectExited(0, status);
  EXPECT_EQ(1, FutexWake(&word, 1));
}

_Unwind_Reason_Code Note(_Unwind_Context* context, void* places) {
  static_cast<std::vector<uintptr_t>*>(places)->push_back(_Unwind_GetIP(context));
  return _URC_NO_REASON;
}

std::vector<uintptr_t> stack_in_handler;

bool Within(uintptr_t address, const void* function, size_t size) {
  return address - reinterpret_cast<uintptr_t>(function) < size;
}

// A handler that runs while its thread waits at a site sees the site's function and its callers.
TEST(DispatchFrames, ABacktraceReachesThroughThem) {
  conformance::SignalHandler handler(
      SIGUSR1, [](int) { _Unwind_Backtrace(&Note, &stack_in_handler); }, SA_RESTART);
  for (auto* site : {&site_futex_wait_unpatched, &site_futex_wait, &site_futex_wait}) {
    uint32_t word = 0;
    stack_in_handler.clear();
    UserThread waiter([&] { site(&word, 0); });
    LetOthersRun();
    pthread_kill(waiter.handle(), SIGUSR1);
    LetOthersRun();
    EXPECT_EQ(1, FutexWake(&word, 1));
    waiter.Join();
    bool seen = false, further = false;
    for (uintptr_t address : stack_in_handler) {
      further = further || seen;
      seen = seen || Within(address, reinterpret_cast<const void*>(site), 64);
    }
    EXPECT_TRUE(seen && further) << stack_in_handler.size() << " frames";
  }
}

// Source: execve(2): the mask stays, ignored signals stay ignored.
TEST(DispatchFrames, AnExecutedProgramInheritsWhatTheProgramAskedFor) {
  auto body = [] {
    sigset_t set = conformance::SignalSet({SIGSYS, SIGUSR1});
    pthread_sigmask(SIG_SETMASK, &set, nullptr);
    signal(SIGSEGV, SIG_IGN);
    signal(SIGSYS, SIG_IGN);
    execl("/no/such/program", "program", nullptr);
    if (syscall(SYS_rt_sigprocmask, SIG_BLOCK, 8, nullptr, 8) == 0) _exit(3);  // EFAULT, by a fault
    execl("/bin/sh", "sh", "-c",
          "while read name value; do case $name in SigBlk:|SigIgn:) echo $name $value;; esac; done "
          "</proc/self/status",
          nullptr);
    _exit(2);
  };
  Pair pipe = conformance::MakePipe();
  const int status = conformance::RunInChild([&] {
    dup2(pipe.b, STDOUT_FILENO);
    body();
    return 1;
  });
  conformance::ExpectExited(0, status);
  pipe.b.Reset();
  const std::string text = conformance::ReadToEnd(pipe.a);
  auto value = [&](const char* name) {
    const size_t at = text.find(name);
    return at == std::string::npos ? 0 : std::stoull(text.substr(at + strlen(name)), nullptr, 16);
  };
  auto bit = [](int signal) { return uint64_t{1} << (signal - 1); };
  EXPECT_EQ(bit(SIGSYS) | bit(SIGUSR1), value("SigBlk:")) << text;
  const uint64_t both = bit(SIGSEGV) | bit(SIGSYS);
  EXPECT_EQ(both, value("SigIgn:") & both) << text;
}

}  // namespace
}  // namespace bobbin_test
