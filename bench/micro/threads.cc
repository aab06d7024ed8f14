// What threads cost: switch, hand-off, creation, lock, wake-up by a descriptor, and the system call
// itself by each way in.
//
// Plain POSIX and C++ threads. Built twice: bench-micro-kernel-threads, which also runs under
// `bobbin run`, and bench-micro linked with Bobbin. Run on one processor, else kernel threads run
// beside each other where they should take turns. fibers.cc holds the same for Boost.Fiber.

#include <benchmark/benchmark.h>
#include <errno.h>
#include <sched.h>
#include <semaphore.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <thread>

namespace {

// Two threads that only give way to each other. An item is one sched_yield.
void Switch(benchmark::State& state) {
  std::atomic<bool> stop = false;
  int64_t others = 0;
  std::thread other([&] {
    for (; !stop.load(std::memory_order_relaxed); ++others) sched_yield();
  });
  sched_yield();
  for (auto _ : state) sched_yield();
  stop = true;
  other.join();
  state.SetItemsProcessed(state.iterations() + others);
}
BENCHMARK(Switch)->UseRealTime();

// Two threads that wake each other by POSIX semaphores: nothing but futexes. An item is one
// hand-off.
void SemaphoreHandOff(benchmark::State& state) {
  sem_t ping, pong;
  sem_init(&ping, 0, 0);
  sem_init(&pong, 0, 0);
  bool stop = false;
  std::thread other([&] {
    for (;;) {
      sem_wait(&ping);
      if (stop) return;
      sem_post(&pong);
    }
  });
  for (auto _ : state) {
    sem_post(&ping);
    sem_wait(&pong);
  }
  stop = true;
  sem_post(&ping);
  other.join();
  sem_destroy(&ping);
  sem_destroy(&pong);
  state.SetItemsProcessed(2 * state.iterations());
}
BENCHMARK(SemaphoreHandOff)->UseRealTime();

// Two threads that take turns under a mutex with a condition variable. An item is one hand-off.
void ConditionHandOff(benchmark::State& state) {
  std::mutex mutex;
  std::condition_variable changed;
  enum class Turn { kMine, kOther, kStop } turn = Turn::kMine;
  std::thread other([&] {
    std::unique_lock lock(mutex);
    for (;;) {
      changed.wait(lock, [&] { return turn != Turn::kMine; });
      if (turn == Turn::kStop) return;
      turn = Turn::kMine;
      changed.notify_one();
    }
  });
  {
    std::unique_lock lock(mutex);
    for (auto _ : state) {
      turn = Turn::kOther;
      changed.notify_one();
      changed.wait(lock, [&] { return turn == Turn::kMine; });
    }
    turn = Turn::kStop;
    changed.notify_one();
  }
  other.join();
  state.SetItemsProcessed(2 * state.iterations());
}
BENCHMARK(ConditionHandOff)->UseRealTime();

// An item is one thread that does nothing.
void CreateAndJoin(benchmark::State& state) {
  for (auto _ : state) std::thread([] {}).join();
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(CreateAndJoin)->UseRealTime();

// A mutex that nobody else wants. An item is one lock and unlock.
void Mutex(benchmark::State& state) {
  std::mutex mutex;
  for (auto _ : state) {
    mutex.lock();
    benchmark::ClobberMemory();
    mutex.unlock();
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(Mutex)->UseRealTime();

// Two threads that wake each other by a byte in a pipe. An item is one write, one park and one
// wake-up.
void PipeHandOff(benchmark::State& state) {
  int ping[2], pong[2];
  if (pipe(ping) != 0 || pipe(pong) != 0) {
    state.SkipWithError(strerror(errno));
    return;
  }
  std::thread other([&] {
    char byte;
    while (read(ping[0], &byte, 1) == 1 && write(pong[1], &byte, 1) == 1) {
    }
  });
  char byte = 0;
  for (auto _ : state) {
    if (write(ping[1], &byte, 1) != 1 || read(pong[0], &byte, 1) != 1) {
      state.SkipWithError(strerror(errno));
      break;
    }
  }
  close(ping[1]);
  other.join();
  close(ping[0]);
  close(pong[0]);
  close(pong[1]);
  state.SetItemsProcessed(2 * state.iterations());
}
BENCHMARK(PipeHandOff)->UseRealTime();

// The kernel does next to nothing in getppid, so that what is added to a system call shows. An item
// is one call, here and below.
template <typename Call>
void SystemCall(benchmark::State& state, Call call) {
  for (auto _ : state) benchmark::DoNotOptimize(call());
  state.SetItemsProcessed(state.iterations());
}

// In the table, where its handler looks at an argument and asks the kernel, which refuses at once:
// libc's site is patched at start, with or without dispatch.
void CallInLibcText(benchmark::State& state) {
  const auto unaligned = reinterpret_cast<void*>(sysconf(_SC_PAGESIZE) + 1);
  SystemCall(state, [=] { return mprotect(unaligned, 1, PROT_READ); });
}
BENCHMARK(CallInLibcText)->UseRealTime();

// Without a handler: only dispatch patches libc's site.
void CallInLibcNotInTable(benchmark::State& state) {
  SystemCall(state, [] { return getppid(); });
}
BENCHMARK(CallInLibcNotInTable)->UseRealTime();

// A site of the program itself, of the shape that dispatch can patch.
void CallInProgram(benchmark::State& state) {
  SystemCall(state, [] {
    long result;
    asm volatile("mov %1, %%eax\n\tsyscall"
                 : "=a"(result)
                 : "i"(SYS_getppid)
                 : "rcx", "r11", "cc", "memory");
    return result;
  });
}
BENCHMARK(CallInProgram)->UseRealTime();

// The same while the upper halves of vector registers hold something.
void CallInProgramWide(benchmark::State& state) {
  if (!__builtin_cpu_supports("avx")) {
    state.SkipWithError("this processor has no AVX");
    return;
  }
  SystemCall(state, [] {
    long result;
    asm volatile(
        "vxorps %%ymm15, %%ymm15, %%ymm15\n\tvcmpps $15, %%ymm15, %%ymm15, %%ymm15\n\t"
        "mov %1, %%eax\n\tsyscall"
        : "=a"(result)
        : "i"(SYS_getppid)
        : "rcx", "r11", "cc", "memory", "xmm15");
    return result;
  });
  asm volatile("vzeroupper" ::: "memory");
}
BENCHMARK(CallInProgramWide)->UseRealTime();

// A site that cannot be patched: a jump leads to it and another follows. It traps each time.
void CallTrapped(benchmark::State& state) {
  SystemCall(state, [] {
    long result;
    asm volatile("mov %1, %%eax\n\tjmp 1f\n1:\tsyscall\n\tjmp 2f\n2:"
                 : "=a"(result)
                 : "i"(SYS_getppid)
                 : "rcx", "r11", "cc", "memory");
    return result;
  });
}
BENCHMARK(CallTrapped)->UseRealTime();

#ifndef PR_SET_SYSCALL_USER_DISPATCH
#define PR_SET_SYSCALL_USER_DISPATCH 59
#define PR_SYS_DISPATCH_OFF 0
#define PR_SYS_DISPATCH_ON 1
#endif

// What dispatch alone adds: the kernel looks where each call comes from. Here all places may make
// calls.
void CallLookedAt(benchmark::State& state) {
  constexpr long kEverywhere = 0x7fff'ffff'ffff;
  if (prctl(PR_SET_SYSCALL_USER_DISPATCH, PR_SYS_DISPATCH_ON, 1L, kEverywhere, 0L) != 0) {
    state.SkipWithError("not here: dispatch is not to be had");
    return;
  }
  SystemCall(state, [] { return getppid(); });
  prctl(PR_SET_SYSCALL_USER_DISPATCH, PR_SYS_DISPATCH_OFF, 0L, 0L, 0L);
}
BENCHMARK(CallLookedAt)->UseRealTime();

}  // namespace

BENCHMARK_MAIN();
