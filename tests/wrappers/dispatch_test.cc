// tests/wrappers/dispatch_test.cc: system calls that reach the runtime by dispatch, and time
// slices.
//
// Run with BOBBIN_DISPATCH=on and BOBBIN_QUANTUM: see CMakeLists.txt.
#include <spawn.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <ucontext.h>

#include <cstdio>
#include <cstring>
#include <thread>

#include "tests/wrappers/support.h"

extern "C" {
long site_getppid();
long site_sched_yield();
long site_futex_wait(uint32_t* word, uint32_t value);
long site_read(long fd, void* buffer, size_t size);
long site_any(long nr);
long site_jumped_at(long way);
long site_with_vectors(uint32_t* word, uint32_t value, const void* in, void* out);
void spin_with_vectors(const volatile int* flag, const void* in, void* out);
void spoil_vectors();
[[noreturn]] void return_from_signal(void* context);
#define MANY(n) long site_many_##n();
// clang-format off
MANY(0) MANY(1) MANY(2) MANY(3) MANY(4) MANY(5) MANY(6) MANY(7) MANY(8) MANY(9) MANY(10)
MANY(11) MANY(12) MANY(13) MANY(14) MANY(15) MANY(16) MANY(17) MANY(18) MANY(19) MANY(20)
MANY(21) MANY(22) MANY(23) MANY(24) MANY(25) MANY(26) MANY(27) MANY(28) MANY(29) MANY(30) MANY(31)
// clang-format on
#undef MANY
}

namespace bobbin_test {
namespace {

uint64_t Traps() { return Statistics().traps; }

TEST(Dispatch, AHotSiteTrapsOnce) {
  const uint64_t before = Traps();
  for (int i = 0; i < 1000; ++i) EXPECT_EQ(getppid(), site_getppid());
  EXPECT_EQ(before + 1, Traps());
}

TEST(Dispatch, ASiteWhoseNumberIsNotKnownIsPatchedWhileNobodyElseIsInside) {
  const uint64_t before = Traps();
  for (int i = 0; i < 100; ++i) EXPECT_EQ(getppid(), site_any(SYS_getppid));
  EXPECT_EQ(KernelTid() + 0, getpid());
  EXPECT_EQ(gettid(), site_any(SYS_gettid));
  EXPECT_EQ(before + 1, Traps() - 1) << "and KernelTid's own site once";
}

TEST(Dispatch, AJumpMayReachBehindTheCall) {
  Pair pipe = conformance::MakePipe();
  char bytes[3] = {};
  const uint64_t before = Traps();
  for (int i = 0; i < 50; ++i) {
    ASSERT_EQ(3, write(pipe.b.get(), "abc", 3));
    EXPECT_EQ(3, site_read(pipe.a.get(), bytes, sizeof bytes));
    EXPECT_EQ(0, memcmp("abc", bytes, 3));
  }
  EXPECT_EQ(-EBADF, site_read(-1, bytes, 1));
  EXPECT_EQ(before + 1, Traps());
}

TEST(Dispatch, ASiteThatCannotBePatchedStaysCorrect) {
  const uint64_t before = Traps();
  for (int i = 0; i < 20; ++i) EXPECT_EQ(getppid(), site_jumped_at(i % 2));
  EXPECT_EQ(before + 20, Traps());
}

TEST(Dispatch, CodeMadeAtRunTimeStaysCorrect) {
  // mov $110,%eax; syscall; ret
  static const unsigned char kCode[] = {0xb8, 110, 0, 0, 0, 0x0f, 0x05, 0xc3};
  void* page = mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  ASSERT_NE(MAP_FAILED, page);
  memcpy(page, kCode, sizeof kCode);
  ASSERT_OK(mprotect(page, 4096, PROT_READ | PROT_EXEC));
  auto code = reinterpret_cast<long (*)()>(page);
  const uint64_t before = Traps();
  for (int i = 0; i < 20; ++i) EXPECT_EQ(getppid(), code());
  EXPECT_EQ(before + 20, Traps());
  munmap(page, 4096);
}

TEST(Dispatch, AThreadParkedInATrapLetsOthersRun) {
  uint32_t word = 0;
  long result = -1;
  UserThread waiter([&] { result = site_futex_wait(&word, 0); });
  while (FutexWake(&word, 1) == 0) sched_yield();
  waiter.Join();
  EXPECT_EQ(0, result);
  EXPECT_EQ(-EAGAIN, site_futex_wait(&word, 1));
}

struct Vectors {
  unsigned char registers[512];
  unsigned char red_zone[128];
};

// Trapped at first, patched then; the other thread spoils every register meanwhile.
TEST(Dispatch, VectorRegistersAndRedZoneSurviveATrapAndAPatch) {
  Vectors in;
  for (size_t i = 0; i < sizeof in.registers; ++i)
    in.registers[i] = static_cast<unsigned char>(i * 7 + 1);
  memcpy(in.red_zone, in.registers, sizeof in.red_zone);
  for (int round = 0; round < 3; ++round) {
    uint32_t word = 0;
    Vectors out = {};
    UserThread waker([&] {
      spoil_vectors();
      while (FutexWake(&word, 1) == 0) sched_yield();
      spoil_vectors();
    });
    EXPECT_EQ(0, site_with_vectors(&word, 0, in.registers, &out));
    EXPECT_EQ(0, memcmp(in.registers, out.registers, sizeof in.registers)) << round;
    EXPECT_EQ(0, memcmp(in.red_zone, out.red_zone, sizeof in.red_zone)) << round;
    waker.Join();
  }
}

TEST(Dispatch, SigsysCannotBeBlocked) {
  sigset_t all, old;
  sigfillset(&all);
  ASSERT_OK(sigprocmask(SIG_BLOCK, &all, &old));
  EXPECT_EQ(getppid(), site_jumped_at(0));
  sigset_t now;
  ASSERT_OK(sigprocmask(SIG_SETMASK, &old, &now));
  EXPECT_TRUE(sigismember(&now, SIGSYS)) << "the program sees what it asked for";
}

TEST(Dispatch, SigsysCannotBeTakenOver) {
  struct sigaction ignore = {}, old = {}, shown = {};
  ignore.sa_handler = SIG_IGN;
  ASSERT_OK(sigaction(SIGSYS, &ignore, &old));
  EXPECT_EQ(SIG_DFL, old.sa_handler);
  ASSERT_OK(sigaction(SIGSYS, nullptr, &shown));
  EXPECT_EQ(SIG_IGN, shown.sa_handler);
  EXPECT_EQ(getppid(), site_jumped_at(0));
  ASSERT_OK(raise(SIGSYS)) << "ignored";
  ASSERT_OK(sigaction(SIGSYS, &old, nullptr));
}

volatile sig_atomic_t handled = 0;

TEST(Dispatch, ASigsysThatSomebodySendsIsTheProgramsOwn) {
  conformance::SignalHandler handler(
      SIGSYS, [](int) { handled = handled + 1; }, 0);
  handled = 0;
  ASSERT_OK(raise(SIGSYS));
  ASSERT_OK(kill(getpid(), SIGSYS));
  EXPECT_EQ(2, handled);
  EXPECT_EQ(getppid(), site_jumped_at(0));
  sigset_t one;
  sigemptyset(&one);
  sigaddset(&one, SIGSYS);
  ASSERT_OK(sigprocmask(SIG_BLOCK, &one, nullptr));
  ASSERT_OK(raise(SIGSYS));
  EXPECT_EQ(2, handled) << "blocked";
  EXPECT_EQ(getppid(), site_jumped_at(0));
  ASSERT_OK(sigprocmask(SIG_UNBLOCK, &one, nullptr));
  EXPECT_EQ(3, handled);
}

TEST(Dispatch, AHandlersMaskAndReturnAreTheProgramsOwn) {
  static uint64_t in_handler;
  struct sigaction action = {};
  action.sa_flags = SA_SIGINFO;
  sigfillset(&action.sa_mask);
  action.sa_sigaction = [](int, siginfo_t*, void* context) {
    sigset_t now;
    sigprocmask(SIG_SETMASK, nullptr, &now);
    in_handler = static_cast<uint64_t>(sigismember(&now, SIGSYS));
    site_jumped_at(0);
    return_from_signal(context);
  };
  struct sigaction old;
  ASSERT_OK(sigaction(SIGUSR1, &action, &old));
  sigset_t before = {}, after = {};
  sigprocmask(SIG_SETMASK, nullptr, &before);
  for (int i = 0; i < 3; ++i) ASSERT_OK(raise(SIGUSR1));
  sigprocmask(SIG_SETMASK, nullptr, &after);
  EXPECT_EQ(0, memcmp(&before, &after, sizeof before));
  EXPECT_EQ(1u, in_handler);
  ASSERT_OK(sigaction(SIGUSR1, &old, nullptr));
}

TEST(Dispatch, TheMaskThatATrappedCallSetsStays) {
  uint64_t usr1 = uint64_t{1} << (SIGUSR1 - 1);
  register long size asm("r10") = 8;
  long result;
  asm volatile("syscall"
               : "=a"(result)
               : "a"(SYS_rt_sigprocmask), "D"(SIG_BLOCK), "S"(&usr1), "d"(0), "r"(size)
               : "rcx", "r11", "memory");
  ASSERT_EQ(0, result);
  sigset_t now;
  sigprocmask(SIG_SETMASK, nullptr, &now);
  EXPECT_TRUE(sigismember(&now, SIGUSR1));
  sigemptyset(&now);
  sigaddset(&now, SIGUSR1);
  sigprocmask(SIG_UNBLOCK, &now, nullptr);
}

int ExitOf(pid_t child) {
  int status = -1;
  EXPECT_EQ(child, waitpid(child, &status, 0));
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

TEST(Dispatch, GoesOnInTheChildOfAFork) {
  const pid_t child = fork();
  if (child == 0) {
    const uint64_t before = Traps();
    bool good = site_jumped_at(0) == getppid() && Traps() == before + 1;
    UserThread thread([&] { good = good && site_jumped_at(1) == getppid(); });
    thread.Join();
    _exit(good && Traps() == before + 2 ? 0 : 1);
  }
  EXPECT_EQ(0, ExitOf(child));
}

TEST(Dispatch, ChildrenOfEveryKindWork) {
  const pid_t child = vfork();
  if (child == 0) _exit(7);
  EXPECT_EQ(7, ExitOf(child));
  char name[] = "sh", option[] = "-c", script[] = "exit 5";
  char* arguments[] = {name, option, script, nullptr};
  pid_t spawned;
  ASSERT_EQ(0, posix_spawn(&spawned, "/bin/sh", nullptr, nullptr, arguments, environ));
  EXPECT_EQ(5, ExitOf(spawned));
  EXPECT_EQ(3 << 8, system("exit 3"));
  FILE* output = popen("echo hello", "r");
  ASSERT_NE(nullptr, output);
  char line[16] = {};
  EXPECT_NE(nullptr, fgets(line, sizeof line, output));
  EXPECT_STREQ("hello\n", line);
  EXPECT_EQ(0, pclose(output));
}

TEST(Dispatch, SitesArePatchedWhileOtherSchedulersRunThem) {
  UseSchedulers(2);
  static long (*const kSites[])() = {
      site_many_0,  site_many_1,  site_many_2,  site_many_3,  site_many_4,  site_many_5,
      site_many_6,  site_many_7,  site_many_8,  site_many_9,  site_many_10, site_many_11,
      site_many_12, site_many_13, site_many_14, site_many_15, site_many_16, site_many_17,
      site_many_18, site_many_19, site_many_20, site_many_21, site_many_22, site_many_23,
      site_many_24, site_many_25, site_many_26, site_many_27, site_many_28, site_many_29,
      site_many_30, site_many_31};
  const long parent = getppid();
  std::atomic<int> wrong{0}, at{0};
  auto run = [&] {
    for (size_t site = 0; site < std::size(kSites); ++site) {
      ++at;
      while (at.load() < 2 * static_cast<int>(site + 1)) sched_yield();  // both at the same one
      for (int i = 0; i < 200; ++i) wrong += kSites[site]() != parent;
    }
  };
  UserThread other = StartOn(1, run);
  UserThread here = StartOn(0, run);
  other.Join();
  here.Join();
  EXPECT_EQ(0, wrong.load());
  // How often both trap before one has patched a site is the kernel's to decide; and bytes nearby
  // that look like a jump to it, which depend on where everything lies, leave a site as it is.
  uint64_t traps = Traps();
  for (auto site : kSites) EXPECT_EQ(parent, site());
  traps = Traps() - traps;
  EXPECT_LE(traps, std::size(kSites) / 2) << "they were not patched";
}

TEST(TimeSlices, ASpinningThreadDoesNotStarveTheRest) {
  volatile int flag = 0;
  UserThread setter([&] { flag = 1; });
  while (flag == 0) {
  }
  setter.Join();
  EXPECT_LT(0u, Statistics().preemptions);
}

TEST(TimeSlices, SpinningThreadsShare) {
  std::atomic<int> at{0};
  auto turn = [&](int mine) {
    for (int i = 0; i < 5; ++i) {
      while (at.load() % 3 != mine) {
      }
      ++at;
    }
  };
  UserThread first([&] { turn(0); });
  UserThread second([&] { turn(1); });
  turn(2);
  first.Join();
  second.Join();
  EXPECT_EQ(15, at.load());
}

TEST(TimeSlices, APreemptedThreadFindsItsRegistersAgain) {
  Vectors in, out = {};
  for (size_t i = 0; i < sizeof in.registers; ++i)
    in.registers[i] = static_cast<unsigned char>(i * 5 + 3);
  memcpy(in.red_zone, in.registers, sizeof in.red_zone);
  volatile int flag = 0;
  UserThread spoiler([&] {
    spoil_vectors();
    flag = 1;
  });
  spin_with_vectors(&flag, in.registers, &out);
  spoiler.Join();
  EXPECT_EQ(0, memcmp(in.registers, out.registers, sizeof in.registers));
  EXPECT_EQ(0, memcmp(in.red_zone, out.red_zone, sizeof in.red_zone));
}

// Sums in shared state that only the lock keeps right, with ticks at every place.
TEST(TimeSlices, LocksHoldAgainstPreemption) {
  pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
  long left = 0, right = 0;
  auto work = [&] {
    for (int i = 0; i < 300'000; ++i) {
      pthread_mutex_lock(&mutex);
      ++left;
      if (i % 64 == 0) free(malloc(static_cast<size_t>(i) % 4000));
      ++right;
      pthread_mutex_unlock(&mutex);
    }
  };
  std::vector<std::unique_ptr<UserThread>> threads;
  for (int i = 0; i < 4; ++i) threads.push_back(std::make_unique<UserThread>(work));
  for (auto& thread : threads) thread->Join();
  EXPECT_EQ(1'200'000, left);
  EXPECT_EQ(left, right);
}

TEST(TimeSlices, CallsAreNotTornByTicks) {
  Pair there = conformance::MakePipe(), back = conformance::MakePipe();
  constexpr uint32_t kRounds = 20'000;
  UserThread echo([&] {
    uint32_t value;
    while (read(there.a.get(), &value, sizeof value) == sizeof value)
      if (write(back.b.get(), &value, sizeof value) != sizeof value) break;
  });
  for (uint32_t i = 0; i < kRounds; ++i) {
    uint32_t value = 0;
    ASSERT_EQ(static_cast<ssize_t>(sizeof i), write(there.b.get(), &i, sizeof i));
    ASSERT_EQ(static_cast<ssize_t>(sizeof value), read(back.a.get(), &value, sizeof value));
    ASSERT_EQ(i, value);
  }
  there.b.Reset();
  echo.Join();
}

TEST(TimeSlices, CanBeTurnedOffAndOn) {
  bobbin::Options options = bobbin::CurrentOptions();
  const int quantum = options.quantum_ms;
  ASSERT_NE(0, quantum);
  options.quantum_ms = 0;
  ASSERT_EQ(0, bobbin::Configure(options));
  std::atomic<int> flag{0};
  UserThread setter([&] { flag = 1; });
  const uint64_t before = Statistics().preemptions;
  const int64_t until = conformance::NowNs(CLOCK_THREAD_CPUTIME_ID) + 5 * quantum * 1'000'000;
  while (conformance::NowNs(CLOCK_THREAD_CPUTIME_ID) < until) {
  }
  EXPECT_EQ(0, flag.load());
  EXPECT_EQ(before, Statistics().preemptions);
  options.quantum_ms = quantum;
  ASSERT_EQ(0, bobbin::Configure(options));
  while (flag.load() == 0) {
  }
  setter.Join();
  options.quantum_ms = bobbin::kMaxQuantumMs + 1;
  EXPECT_EQ(EINVAL, bobbin::Configure(options));
}

}  // namespace
}  // namespace bobbin_test
