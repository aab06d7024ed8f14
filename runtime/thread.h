// The control block of a user thread, and the table that finds one by its id.
//
// A user thread is born when a program's clone asks for a thread, lives on the stack and thread
// pointer that the clone brought, and is pinned to one scheduler (S3). Blocks live in one lazily
// committed mapping, are never unmapped and are reused, so that a stale pointer is at worst a
// pointer to another thread.
//
// Fields are grouped by when they are used; the first two cache lines are all that a park and a
// wake-up touch.
#ifndef BOBBIN_RUNTIME_THREAD_H_
#define BOBBIN_RUNTIME_THREAD_H_

#include <signal.h>

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "runtime/context.h"
#include "runtime/inbox.h"
#include "runtime/spin_lock.h"
#include "runtime/timers.h"

namespace bobbin {

class Scheduler;
struct Thread;
struct PendingSignal;

enum class ThreadState : uint8_t { kFree, kReady, kRunning, kParked, kDone };

// Why a park ended.
enum class Wake : uint8_t {
  kWoken,        // by what the thread waited for
  kDeadline,     // its deadline passed
  kInterrupted,  // a signal or a cancellation is to be acted on
};

// What a parked thread waits for, in words for people.
enum class Waiting : uint8_t {
  kNothing,
  kReadable,
  kWritable,
  kPoll,
  kAccept,
  kAddress,
  kWorker,
  kTime,
  kSignal,
  kDisk
};
const char* WaitingName(Waiting waiting);

// Takes a parked thread back from what it waits for, so that a deadline or a signal may wake it.
// Returns: false when that already let go of the thread, whose wake-up is on its way. Called on the
// thread's own scheduler.
using Withdraw = bool (*)(Thread* thread);

struct alignas(64) Thread {
  // The first line: what a wake-up touches.
  Context context = nullptr;  // where it continues; valid while it is not running
  uint64_t fs_base = 0;
  Thread* next = nullptr;  // in the ready queue
  Scheduler* scheduler = nullptr;
  TimerEntry timer;
  ThreadState state = ThreadState::kFree;
  Wake wake = Wake::kWoken;
  Waiting waiting = Waiting::kNothing;
  bool interruptible = false;  // signals may end this park
  bool restart = true;   // every handler that ran in the last interruption asked for SA_RESTART
  bool handled = false;  // a handler of the program ran in it
  bool cancel_point = false;  // in a call that pthread_cancel may end, entered by its libc name
  uint8_t mask_slot = 0;      // of the signal mask, in the table of masks

  // The second line: what a park and a switch touch besides.
  uint64_t signal_mask = 0;  // bit n-1: signal n is blocked
  // Bits of `pending`; changed under the lock of the pool of pending signals, read without it.
  std::atomic<uint64_t> pending_signals{0};
  Withdraw withdraw = nullptr;  // null: only the waker ends this park
  void* wait_object = nullptr;  // belongs to whoever parked it: a waiter, a work item
  uint64_t parked_at = 0;       // cycles
  uint64_t cycles = 0;          // that it ran, up to its last park
  uintptr_t wait_argument = 0;  // descriptor or address, for the dump
  uint64_t parks = 0;

  int tid = 0;  // what gettid() answers; the kernel's for the main thread
  // Waiting on an address: guarded by the bucket's lock.
  uint32_t address_bits = 0;
  Thread* address_next = nullptr;
  Thread* address_previous = nullptr;
  uintptr_t address = 0;  // 0: not queued

  PendingSignal* pending = nullptr;  // guarded by the lock of the pool of pending signals
  uint64_t awaited_signals = 0;      // by sigtimedwait(2), while it waits
  uint32_t* clear_tid = nullptr;     // set_tid_address(2)
  void* robust_list = nullptr;       // set_robust_list(2)
  stack_t alternate_stack = {nullptr, SS_DISABLE, 0};  // sigaltstack(2)
  int policy = 0;           // sched_setscheduler(2), with SCHED_RESET_ON_FORK
  int8_t priority = 0;      // sched_setparam(2)
  int next_placement = -1;  // scheduler for the next thread it makes; -1: in turn
  uintptr_t stack_low = 0, stack_top = 0;
  std::atomic<uint64_t> shown_cycles{0};  // of `cycles`, the most that was ever told
  int suspended_frames = 0;               // on its stack: see SuspendedFrame
  // Signals that it has sent on to its own kernel thread: for it, whoever else may take them.
  uint64_t redelivered_signals = 0;
  InboxMessage message;       // the wake-up in flight from another kernel thread
  InboxMessage interruption;  // likewise, of Scheduler::Interrupt
  std::atomic<bool> interruption_posted{false};
  void (*entry)(void*) = nullptr;
  void* entry_argument = nullptr;
  void (*last_words)(Thread*) = nullptr;  // of Scheduler::Exit
  char name[16] = {};
  Thread* all_next = nullptr;  // every thread alive; guarded by the table's lock
  Thread* all_previous = nullptr;
};

static_assert(__builtin_offsetof(Thread, signal_mask) == 64 &&
              __builtin_offsetof(Thread, tid) == 128);

class ThreadTable {
 public:
  static constexpr size_t kCapacity = size_t{1} << 20;

  bool Init();

  // Returns: a block with a fresh tid, linked among the living; null when kCapacity threads are
  // alive.
  Thread* Allocate();
  void Free(Thread* thread);

  // Makes `keep` the only thread alive and the main thread of process `pid`: the child after
  // fork(2).
  void KeepOnly(Thread* keep, int pid);

  // Returns: the living thread with that id, or null.
  Thread* Find(int tid);
  Thread* FindByFsBase(uint64_t fs_base);

  // Tells whether `word` is cleared at the end of thread `tid` (CLONE_CHILD_CLEARTID), which may
  // be ending.
  bool AnnouncesEnd(const uint32_t* word, int tid);

  // Calls visit(thread, argument) for each living thread until it returns false. The table stays
  // locked meanwhile.
  void ForEach(bool (*visit)(Thread*, void*), void* argument);

  // Returns: the first living thread in slot `*slot` or behind it, with *slot moved behind its own;
  // null at the end. The thread may end at any time: its block stays, and is at worst another's.
  Thread* Next(size_t* slot);

  // Registers the main thread, whose id is the kernel's.
  Thread* AllocateMain(int tid);

  uint64_t alive() const { return alive_.load(std::memory_order_relaxed); }
  uint64_t created() const { return created_.load(std::memory_order_relaxed); }

 private:
  void ChooseIds(int pid);
  int IdOf(size_t slot, int use) const;
  Thread* BlockOf(int tid);
  void Link(Thread* thread);
  void Unlink(Thread* thread);

  SpinLock lock_;
  Thread* blocks_ = nullptr;
  Thread* free_ = nullptr;
  Thread* all_ = nullptr;
  size_t used_ = 0;    // blocks ever handed out
  int scramble_ = 0;   // of the slot, in an id
  int first_use_ = 4;  // of a slot
  std::atomic<uint64_t> alive_{0};
  std::atomic<uint64_t> created_{0};
  Thread* main_ = nullptr;
};

}  // namespace bobbin

#endif  // BOBBIN_RUNTIME_THREAD_H_
