// Jobs for the tests of the worker pool: they count what happens to them and may wait at a gate.
#ifndef BOBBIN_TESTS_RUNTIME_WORKER_POOL_JOBS_H_
#define BOBBIN_TESTS_RUNTIME_WORKER_POOL_JOBS_H_

#include <time.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <vector>

#include "runtime/raw_syscall.h"
#include "runtime/worker_pool.h"

namespace bobbin {

inline constexpr int64_t kMillisecond = 1'000'000;

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
inline constexpr bool kSanitized = true;  // there the workers are libc's threads
#else
inline constexpr bool kSanitized = false;
#endif

// Workers have no thread-locals: what they run here calls the kernel only.
inline void Nap() {
  timespec nap{0, kMillisecond / 5};
  RawSyscall(SYS_nanosleep, &nap, nullptr);
}

template <typename Condition>
bool Eventually(Condition condition) {
  auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  while (!condition()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    Nap();
  }
  return true;
}

// What a group of jobs shares: a gate they wait at, and how many are at it.
struct Gate {
  std::atomic<bool> open{false};
  std::atomic<int> running{0};
  std::atomic<int> most_running{0};
  std::atomic<int> done{0};
};

struct Job : WorkItem {
  explicit Job(Gate* the_gate = nullptr, Lane the_lane = Lane::kOther) : gate(the_gate) {
    run = Run;
    done = Done;
    lane = the_lane;
  }

  static long Run(WorkItem* self) {
    Job* job = static_cast<Job*>(self);
    job->worker = RawSyscall(SYS_gettid);
    job->stack = reinterpret_cast<uintptr_t>(__builtin_frame_address(0));
    job->runs.fetch_add(1);
    if (Gate* gate = job->gate) {
      int running = gate->running.fetch_add(1) + 1;
      int most = gate->most_running.load();
      while (running > most && !gate->most_running.compare_exchange_weak(most, running)) {
      }
      while (!gate->open.load()) Nap();
      gate->running.fetch_sub(1);
    }
    return 42;
  }

  static void Done(WorkItem* self) {
    Job* job = static_cast<Job*>(self);
    Gate* gate = job->gate;
    job->done_right.store(job->runs.load() == job->dones.load() + 1 && job->result == 42 &&
                          job->worker == RawSyscall(SYS_gettid));
    job->dones.fetch_add(1);  // from here the job may be gone
    if (gate != nullptr) gate->done.fetch_add(1);
  }

  Gate* gate;
  long worker = 0;
  uintptr_t stack = 0;
  std::atomic<int> runs{0};
  std::atomic<int> dones{0};
  std::atomic<bool> done_right{false};
};

using Jobs = std::vector<std::unique_ptr<Job>>;

inline Jobs MakeJobs(int count, Gate* gate, Lane lane = Lane::kOther) {
  Jobs jobs;
  for (int i = 0; i < count; ++i) jobs.push_back(std::make_unique<Job>(gate, lane));
  return jobs;
}

}  // namespace bobbin

#endif  // BOBBIN_TESTS_RUNTIME_WORKER_POOL_JOBS_H_
