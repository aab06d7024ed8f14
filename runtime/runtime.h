// Puts the parts together: what there is once in a process, its start, and its survival of fork(2).
#ifndef BOBBIN_RUNTIME_RUNTIME_H_
#define BOBBIN_RUNTIME_RUNTIME_H_

#include <atomic>
#include <cstdint>

#include "bobbin/bobbin.h"
#include "runtime/clock.h"
#include "runtime/descriptors.h"
#include "runtime/environment.h"
#include "runtime/parking.h"
#include "runtime/scheduler.h"
#include "runtime/signal_masks.h"
#include "runtime/spin_lock.h"
#include "runtime/stack_arena.h"
#include "runtime/thread.h"
#include "runtime/worker_pool.h"

namespace bobbin {

// What the runtime asks of the layer above it; null: nothing to do.
struct Hooks {
  // Delivers the pending signals of the current thread. May not return (siglongjmp, pthread_exit).
  void (*attend)(Scheduler* scheduler) = nullptr;
  // Hands signals that came while the runtime was busy to the threads they are for. Called inside
  // the runtime.
  void (*route)(Scheduler* scheduler) = nullptr;
  // Prepares the scheduler's kernel thread, on it: at its start, and in the child of a fork.
  void (*prepare)(Scheduler* scheduler) = nullptr;
  // Has another scheduler look at the pending signals of the thread that it runs. Callers: any
  // kernel thread.
  void (*nudge)(Scheduler* scheduler) = nullptr;
  // Puts Options::quantum_ms in force on the scheduler's kernel thread, on it.
  void (*set_quantum)(Scheduler* scheduler) = nullptr;
};

struct Runtime {
  Options options;
  RunOptions run;
  Clock clock;
  ThreadTable threads;
  ParkingTable parking;
  Descriptors descriptors;
  StackArena stacks;
  WorkerPool workers;
  SignalMasks masks;
  Hooks hooks;
  Scheduler* schedulers[kMaxSchedulers] = {};
  std::atomic<int> scheduler_count{0};
  std::atomic<unsigned> next_placement{0};
  // Some kernel thread that is no scheduler has called in: futex wake-ups must reach the kernel
  // too.
  std::atomic<bool> foreign_threads{false};
  // pthread_cancel was called: names become cancellation points.
  std::atomic<bool> cancellation_used{false};
  // Some thread has a sigaltstack of its own: switches carry it over.
  std::atomic<bool> alternate_stacks_used{false};
  // Signals that are the runtime's own: never blocked in the kernel on a scheduler's kernel thread,
  // whatever its threads' masks say.
  uint64_t reserved_signals = 0;
  size_t reserved_bytes = 0;  // of address space, that the runtime took at its start
  int pid = 0;
  bool active = false;
  const char* inactive_reason = "not started";

  // Makes the calling (the process's only) kernel thread scheduler 0 with the main thread on it. On
  // failure everything is as before and inactive_reason says why.
  bool Start(const Options& initial);

  // Turns user threads off again while only the main thread exists.
  void Abandon(const char* reason);

  int Configure(const Options& wanted);  // see bobbin.h

  // Chooses the scheduler for a thread that `creator` makes.
  Scheduler* Place(Thread* creator);

  // The child after fork(2), in which only the calling thread lives.
  void ResetAfterFork();

 private:
  long AddSchedulers(int count);
  void SetQuantum(int quantum_ms);
};

// The one runtime. Zero bytes until MakeRuntime: a kernel thread with no scheduler may look at its
// flags, no more.
extern unsigned char runtime_storage[];
inline Runtime& runtime() { return *reinterpret_cast<Runtime*>(runtime_storage); }

// Constructs the one runtime. Callers: whoever starts it, once.
void MakeRuntime();

// Writes a line "bobbin: …" to standard error. Callers: anyone.
void Warn(const char* text);
[[noreturn]] void Die(const char* text);

}  // namespace bobbin

#endif  // BOBBIN_RUNTIME_RUNTIME_H_
