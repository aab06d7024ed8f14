// What threads cost: switch, hand-off, creation, lock, wake-up by a descriptor.
//
// Plain POSIX and C++ threads. Built twice: bench-micro-kernel-threads, and bench-micro linked with
// Bobbin. Run on one processor, else kernel threads run beside each other where they should take
// turns. fibers.cc holds the same for Boost.Fiber.

#include <benchmark/benchmark.h>
#include <errno.h>
#include <sched.h>
#include <semaphore.h>
#include <string.h>
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

}  // namespace

BENCHMARK_MAIN();
