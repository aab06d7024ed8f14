// What Boost.Fiber's user-level threads cost at what threads.cc measures, as far as it offers the
// same. It has no semaphore and no input or output of its own, and a program must be written for
// it.

#include <benchmark/benchmark.h>

#include <boost/fiber/condition_variable.hpp>
#include <boost/fiber/fiber.hpp>
#include <boost/fiber/mutex.hpp>
#include <boost/fiber/operations.hpp>
#include <mutex>

namespace {

void Switch(benchmark::State& state) {
  bool stop = false;
  int64_t others = 0;
  boost::fibers::fiber other([&] {
    for (; !stop; ++others) boost::this_fiber::yield();
  });
  boost::this_fiber::yield();
  for (auto _ : state) boost::this_fiber::yield();
  stop = true;
  other.join();
  state.SetItemsProcessed(state.iterations() + others);
}
BENCHMARK(Switch)->UseRealTime();

void ConditionHandOff(benchmark::State& state) {
  boost::fibers::mutex mutex;
  boost::fibers::condition_variable changed;
  enum class Turn { kMine, kOther, kStop } turn = Turn::kMine;
  boost::fibers::fiber other([&] {
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

void CreateAndJoin(benchmark::State& state) {
  for (auto _ : state) boost::fibers::fiber([] {}).join();
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(CreateAndJoin)->UseRealTime();

void Mutex(benchmark::State& state) {
  boost::fibers::mutex mutex;
  for (auto _ : state) {
    mutex.lock();
    benchmark::ClobberMemory();
    mutex.unlock();
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(Mutex)->UseRealTime();

}  // namespace

BENCHMARK_MAIN();
