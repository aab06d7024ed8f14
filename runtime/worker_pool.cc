#include "runtime/worker_pool.h"

#include <asm/prctl.h>
#include <errno.h>
#include <linux/futex.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <time.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#include <pthread.h>
#define BOBBIN_SANITIZED 1
#else
#define BOBBIN_SANITIZED 0
#endif

namespace bobbin {
namespace {

constexpr size_t kStackBytes = 64 << 10;
constexpr size_t kGuardBytes = 4 << 10;

// Values of Worker::sleep. A waker makes a system call only for a worker that really sleeps.
constexpr uint32_t kAwake = 0;   // or told to be
constexpr uint32_t kDrowsy = 1;  // in the idle list, about to sleep
constexpr uint32_t kAsleep = 2;

// Blocks every signal but the workers' own while it lives; a kernel thread made meanwhile is born
// with that mask.
class SignalsBlocked {
 public:
  SignalsBlocked() {
    uint64_t mask = ~(uint64_t{1} << (WorkerPool::kInterrupt - 1));
    RawSyscall(SYS_rt_sigprocmask, SIG_SETMASK, &mask, &saved_, sizeof saved_);
  }
  ~SignalsBlocked() {
    RawSyscall(SYS_rt_sigprocmask, SIG_SETMASK, &saved_, nullptr, sizeof saved_);
  }

 private:
  uint64_t saved_ = 0;
};

}  // namespace

// ---- The lanes' bookkeeping ----

void WorkerPool::Configure(int fixed, int64_t idle_ns) {
  LaneState& disk = lanes_[static_cast<int>(Lane::kDisk)];
  disk.maximum = fixed <= 0 ? kMaxAutosized : fixed < kMaxPerLane ? fixed : kMaxPerLane;
  // Calls of the other lane wait for other processes, for as long as those please.
  lanes_[static_cast<int>(Lane::kOther)].maximum = kMaxPerLane;
  idle_ns_ = idle_ns;
}

void WorkerPool::Push(LaneState* lane, WorkItem* item) {
  item->next_ = nullptr;
  item->previous_ = lane->tail;
  (lane->tail == nullptr ? lane->head : lane->tail->next_) = item;
  lane->tail = item;
  item->queued_ = true;
  item->age_ = lane->age;
  lane->queued.fetch_add(1, std::memory_order_relaxed);
}

void WorkerPool::Unlink(LaneState* lane, WorkItem* item) {
  (item->previous_ == nullptr ? lane->head : item->previous_->next_) = item->next_;
  (item->next_ == nullptr ? lane->tail : item->next_->previous_) = item->previous_;
  item->queued_ = false;
  lane->queued.fetch_sub(1, std::memory_order_relaxed);
}

void WorkerPool::Unlist(LaneState* lane, Worker* worker) {
  Worker** link = &lane->idle;
  while (*link != worker) link = &(*link)->next_idle;
  *link = worker->next_idle;
  worker->idle = false;
}

// Takes the worker that went idle last, to be woken. Returns: null when none is idle.
WorkerPool::Worker* WorkerPool::TakeIdle(LaneState* lane) {
  Worker* worker = lane->idle;
  if (worker == nullptr) return nullptr;
  Unlist(lane, worker);
  worker->coming = true;
  ++lane->coming;
  return worker;
}

// Takes a place for one more worker. Returns: null when the lane has its maximum.
WorkerPool::Worker* WorkerPool::Reserve(LaneState* lane) {
  if (lane->live.load(std::memory_order_relaxed) + lane->starting >= lane->maximum) return nullptr;
  for (Worker& worker : lane->workers) {
    // A worker that is leaving uses its stack until the kernel says it is gone.
    if (worker.taken || worker.tid.load(std::memory_order_acquire) != 0) continue;
    worker.taken = true;
    worker.pool = this;
    worker.lane = lane;
    worker.age = lane->age;
    ++lane->starting;
    return &worker;
  }
  return nullptr;
}

bool WorkerPool::Submit(WorkItem* item) {
  LaneState* lane = &lanes_[static_cast<int>(item->lane)];
  for (;;) {
    Worker* to_wake = nullptr;
    Worker* to_make = nullptr;
    bool has_worker;
    uint32_t age;
    {
      SpinLockHolder hold(&lane->lock);
      age = lane->age;
      has_worker = lane->live.load(std::memory_order_relaxed) > 0;
      if (has_worker) {
        Push(lane, item);
        lane->calls.fetch_add(1, std::memory_order_relaxed);
        // W2: each queued item has somebody on the way who will take one, as long as the lane has
        // room.
        if (lane->queued.load(std::memory_order_relaxed) <= static_cast<uint64_t>(lane->coming)) {
          return true;
        }
        to_wake = TakeIdle(lane);
        if (to_wake == nullptr) to_make = Reserve(lane);
        if (to_make != nullptr) {
          to_make->coming = true;
          ++lane->coming;
        }
      } else {
        // Queue nothing that nobody may ever take: the first worker is made for its item.
        to_make = Reserve(lane);
        if (to_make != nullptr) to_make->first = item;
        // Every place is held by a worker of an earlier age that does not come back.
        if (to_make == nullptr && lane->starting == 0) return false;
      }
    }
    if (to_wake != nullptr) Wake(to_wake);
    if (has_worker) {
      if (to_make != nullptr)
        Start(lane, to_make, age);  // else the workers there are take it in turn
      return true;
    }
    if (to_make != nullptr) {
      lane->calls.fetch_add(1, std::memory_order_relaxed);
      if (Start(lane, to_make, age)) return true;
      lane->calls.fetch_sub(1, std::memory_order_relaxed);
      return false;
    }
    RawSyscall(SYS_sched_yield);  // another thread is making the lane's first worker
  }
}

bool WorkerPool::Cancel(WorkItem* item) {
  LaneState* lane = &lanes_[static_cast<int>(item->lane)];
  SpinLockHolder hold(&lane->lock);
  if (!item->queued_) return false;
  Unlink(lane, item);
  return true;
}

// Makes the kernel thread of a reserved place. On failure the place is free again.
bool WorkerPool::Start(LaneState* lane, Worker* worker, uint32_t age) {
  bool made = MakeThread(worker) > 0;
  Worker* instead = nullptr;
  {
    SpinLockHolder hold(&lane->lock);
    --lane->starting;
    if (made) {
      if (age == lane->age) lane->live.fetch_add(1, std::memory_order_relaxed);
    } else {
      worker->first = nullptr;
      worker->taken = false;
      // An item may have been queued in the hope of this worker; who went idle meanwhile does not
      // know of it.
      if (worker->coming) {
        worker->coming = false;
        --lane->coming;
        if (lane->head != nullptr) instead = TakeIdle(lane);
      }
    }
  }
  if (instead != nullptr) Wake(instead);
  return made;
}

void WorkerPool::Renew() {
  for (LaneState& lane : lanes_) {
    {
      SpinLockHolder hold(&lane.lock);
      ++lane.age;
      lane.live.store(0, std::memory_order_relaxed);
      // Those on their way take what was submitted for them; nothing later counts on them.
      lane.coming = 0;
      for (Worker& worker : lane.workers) worker.coming = false;
    }
    for (Worker& worker : lane.workers) {
      {
        SpinLockHolder hold(&lane.lock);
        if (!worker.idle || worker.age == lane.age) continue;
        Unlist(&lane, &worker);
      }
      Wake(&worker);
    }
  }
}

void WorkerPool::ResetAfterFork() {
  for (LaneState& lane : lanes_) {
    lane.lock.Unlock();
    lane.head = lane.tail = nullptr;
    lane.idle = nullptr;
    lane.live.store(0, std::memory_order_relaxed);
    lane.starting = lane.coming = 0;
    lane.stopping = false;
    lane.queued.store(0, std::memory_order_relaxed);
    for (Worker& worker : lane.workers) {
      worker.tid.store(0, std::memory_order_relaxed);
      worker.first = nullptr;
      worker.taken = worker.idle = worker.coming = false;
    }
  }
}

void WorkerPool::Stop() {
  for (LaneState& lane : lanes_) {
    for (;;) {
      Worker* to_wake;
      {
        SpinLockHolder hold(&lane.lock);
        lane.stopping = true;
        to_wake = TakeIdle(&lane);
      }
      if (to_wake == nullptr) break;
      Wake(to_wake);
    }
  }
  for (LaneState& lane : lanes_) {
    for (Worker& worker : lane.workers) {
      while (int32_t tid = worker.tid.load(std::memory_order_acquire)) {
        // The kernel's wake-up is not a private one.
        RawSyscall(SYS_futex, &worker.tid, FUTEX_WAIT, tid, nullptr);
      }
      if (worker.stack != 0) RawSyscall(SYS_munmap, worker.stack, kStackBytes);
      worker.stack = 0;
    }
    SpinLockHolder hold(&lane.lock);
    lane.stopping = false;
  }
}

uint64_t WorkerPool::calls() const {
  uint64_t sum = 0;
  for (const LaneState& lane : lanes_) sum += lane.calls.load(std::memory_order_relaxed);
  return sum;
}

uint64_t WorkerPool::queued() const {
  uint64_t sum = 0;
  for (const LaneState& lane : lanes_) sum += lane.queued.load(std::memory_order_relaxed);
  return sum;
}

uint64_t WorkerPool::workers() const {
  int sum = 0;
  for (const LaneState& lane : lanes_) sum += lane.live.load(std::memory_order_relaxed);
  return sum > 0 ? sum : 0;
}

uint64_t WorkerPool::busy() {
  int sum = 0;
  for (LaneState& lane : lanes_) {
    SpinLockHolder hold(&lane.lock);
    sum += lane.live.load(std::memory_order_relaxed);
    for (const Worker* worker = lane.idle; worker != nullptr; worker = worker->next_idle) {
      if (worker->age == lane.age) --sum;
    }
  }
  return sum > 0 ? sum : 0;
}

// ---- What a worker does ----

// Says so in the idle list before it sleeps, so that a wake-up in between is not lost.
// Returns: false when the time is over.
bool WorkerPool::Sleep(Worker* worker, int64_t timeout_ns) {
  uint32_t expected = kDrowsy;
  if (!worker->sleep.compare_exchange_strong(expected, kAsleep, std::memory_order_acq_rel)) {
    return true;
  }
  timespec timeout{timeout_ns / 1'000'000'000, timeout_ns % 1'000'000'000};
  while (worker->sleep.load(std::memory_order_acquire) == kAsleep) {
    long result = RawSyscall(SYS_futex, &worker->sleep, FUTEX_WAIT_PRIVATE, kAsleep, &timeout);
    if (result == -ETIMEDOUT) return false;
  }
  return true;
}

void WorkerPool::Wake(Worker* worker) {
  if (worker->sleep.exchange(kAwake, std::memory_order_acq_rel) != kAsleep) return;
  RawSyscall(SYS_futex, &worker->sleep, FUTEX_WAKE_PRIVATE, 1);
}

// Takes the oldest item; with none, puts the worker onto the idle list, or lets it go when it has
// `rested` its time or the pool stops. Where others were given work meanwhile it stays once more,
// and longer, at its place in the list. Returns: false when the worker has left the lane.
bool WorkerPool::NextItem(Worker* worker, bool rested, WorkItem** item) {
  LaneState* lane = worker->lane;
  SpinLockHolder hold(&lane->lock);
  if (worker->coming) {
    worker->coming = false;
    --lane->coming;
    rested = false;
  }
  bool old = worker->age != lane->age;
  *item = lane->head;
  bool takes = *item != nullptr && (*item)->age_ <= worker->age;
  if (rested && worker->idle && !takes && !lane->stopping && !old && !worker->spare &&
      worker->calls_seen != calls()) {
    worker->spare = true;
    worker->sleep.store(kDrowsy, std::memory_order_relaxed);
    *item = nullptr;
    return true;
  }
  // Still listed: its time is over, or the Wake() of an earlier rest came late.
  if (worker->idle) Unlist(lane, worker);
  worker->spare = false;
  if (takes) {
    Unlink(lane, *item);
    return true;
  }
  if (rested || lane->stopping || old) {
    if (!old) lane->live.fetch_sub(1, std::memory_order_relaxed);
    worker->taken = false;
    return false;
  }
  worker->sleep.store(kDrowsy, std::memory_order_relaxed);
  worker->next_idle = lane->idle;
  worker->idle = true;
  worker->calls_seen = calls();
  lane->idle = worker;
  return true;
}

void WorkerPool::Work(Worker* worker) {
  WorkItem* item = worker->first;
  worker->first = nullptr;
  bool rested = false;
  for (;;) {
    if (item != nullptr) {
      item->result = item->run(item);
      item->done(item);
    }
    if (!NextItem(worker, rested, &item)) return;
    int64_t rest = worker->spare ? kSpareTimes * idle_ns_ : idle_ns_;
    rested = item == nullptr && !Sleep(worker, rest);
  }
}

// ---- Kernel threads ----

#if BOBBIN_SANITIZED

// The sanitizers must know every thread, so there the workers are libc's.
long WorkerPool::MakeThread(Worker* worker) {
  SignalsBlocked blocked;
  worker->tid.store(1, std::memory_order_relaxed);
  pthread_t thread;
  int error = pthread_create(&thread, nullptr, SanitizedThreadMain, worker);
  if (error != 0) {
    worker->tid.store(0, std::memory_order_relaxed);
    return -error;
  }
  pthread_detach(thread);
  return 1;
}

void* WorkerPool::SanitizedThreadMain(void* worker) {
  Worker* self = static_cast<Worker*>(worker);
  self->pool->Work(self);
  self->tid.store(0, std::memory_order_release);
  RawSyscall(SYS_futex, &self->tid, FUTEX_WAKE, 1);
  return nullptr;
}

#else

// Runs at the top of the worker's own stack. The thread has FS base 0 (CLONE_SETTLS) and its
// maker's GS base.
void WorkerPool::ThreadMain(Worker* worker) {
  RawSyscall(SYS_arch_prctl, ARCH_SET_GS, 0);
  static constexpr char kNames[kLanes][16] = {"bobbin-disk", "bobbin-metadata", "bobbin-other"};
  RawSyscall(SYS_prctl, PR_SET_NAME, &kNames[worker->lane - worker->pool->lanes_][0]);
  worker->pool->Work(worker);
  // The kernel clears `tid` when it no longer uses the stack; nothing may follow.
  for (;;) RawSyscall(SYS_exit, 0);
}

// Returns: the new thread's id, or -errno.
long WorkerPool::MakeThread(Worker* worker) {
  if (worker->stack == 0) {
    long stack = RawSyscall(SYS_mmap, nullptr, kStackBytes, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
    if (stack < 0) return stack;
    RawSyscall(SYS_mprotect, stack, kGuardBytes, PROT_NONE);
    worker->stack = static_cast<uintptr_t>(stack);
  }
  SignalsBlocked blocked;
  constexpr long kFlags = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD |
                          CLONE_SYSVSEM | CLONE_SETTLS | CLONE_PARENT_SETTID | CLONE_CHILD_CLEARTID;
  register std::atomic<int32_t>* child_tid asm("r10") = &worker->tid;
  register long tls asm("r8") = 0;
  register Worker* argument asm("r12") = worker;
  register void (*entry)(Worker*) asm("r13") = ThreadMain;
  long result;
  asm volatile(
      "syscall\n\t"
      "test %%rax, %%rax\n\t"
      "jnz 1f\n\t"
      ".cfi_remember_state\n\t"
      ".cfi_undefined %%rip\n\t"  // the child's stack begins here
      "xor %%ebp, %%ebp\n\t"
      "mov %%r12, %%rdi\n\t"
      "call *%%r13\n\t"
      "ud2\n\t"
      ".cfi_restore_state\n"
      "1:"
      : "=a"(result)
      : "a"(SYS_clone), "D"(kFlags), "S"(worker->stack + kStackBytes), "d"(&worker->tid),
        "r"(child_tid), "r"(tls), "r"(argument), "r"(entry)
      : "rcx", "r11", "memory");
  return result;
}

#endif

}  // namespace bobbin
