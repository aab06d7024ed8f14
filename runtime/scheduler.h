// Decides which user thread runs next on one kernel thread, and learns from the poller who became
// ready.
//
// State        enters by                     leaves by
//   ready      Spawn Yield MakeReady         dispatch
//   running    dispatch                      Yield Park Exit
//   parked     Park                          MakeReady, deadline, interruption
//   done       Exit                          (its block is reused)
//
// A park switches straight to the next ready thread. With none ready, the parking thread itself
// polls, on its own stack, so a scheduler needs a context of its own only where a thread ends with
// nobody else ready (idle_).
//
// Invariants
//   S1  At most one user thread is running, and it is current().
//   S2  A thread is in exactly one place: running, on one ready queue once, or parked.
//   S3  A thread stays on its scheduler; another kernel thread reaches it only through inbox_.
//   S4  A wake-up that comes before the park is not lost, and exactly one of waker, deadline and
//       interruption ends a park: whoever takes the thread out of what it waits for. A waker on
//       another kernel thread posts to the inbox, which is read only after the thread has left its
//       stack.
//   S6  No system call here blocks except the poller's with nothing to run.
// CheckInvariants() proves S1 and S2.
//
// Callers: its own kernel thread, where not said otherwise.
#ifndef BOBBIN_RUNTIME_SCHEDULER_H_
#define BOBBIN_RUNTIME_SCHEDULER_H_

#include <signal.h>

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "runtime/accounting.h"
#include "runtime/context.h"
#include "runtime/descriptors.h"
#include "runtime/disk_aio.h"
#include "runtime/inbox.h"
#include "runtime/poller.h"
#include "runtime/poller_epoll.h"
#include "runtime/poller_poll.h"
#include "runtime/thread.h"
#include "runtime/timers.h"

namespace bobbin {

enum class PollerKind : uint8_t;

// How a thread wants to be parked.
struct ParkRequest {
  Waiting waiting = Waiting::kNothing;
  uintptr_t argument = 0;       // descriptor or address, for the dump
  uint64_t deadline = kNever;   // monotonic nanoseconds
  Withdraw withdraw = nullptr;  // null: neither deadline nor interruption can end the park
  void* object = nullptr;       // for withdraw
  bool interruptible = false;
};

class Scheduler {
 public:
  // The scheduler of this kernel thread; null on any other kernel thread.
  static Scheduler* Current() { return reinterpret_cast<Scheduler*>(ReadGsBase()); }

  // Prepares the scheduler without starting it. Returns: 0 or -errno.
  long Init(int index, PollerKind poller);

  // Makes this kernel thread the scheduler's, with `main` running on it.
  void Adopt(Thread* main);

  // Starts a kernel thread of its own that runs whatever is placed here. Returns: 0 or -errno of
  // clone(2).
  long StartKernelThread();

  // Replaces the poller. Requires: nobody waits on a descriptor. Returns: 0 or -errno.
  long SetPoller(PollerKind kind);

  // Makes every view fresh, for a poller that knows none of them. Requires: nobody waits on a
  // descriptor.
  void ForgetViews();

  // The child after fork(2): `survivor` runs, everything else is gone.
  long ResetAfterFork(Thread* survivor, PollerKind poller);

  // Makes a thread that will call entry(argument) on the stack ending at `stack_top`; any kernel
  // thread may call it, the thread becomes ready on this scheduler. `entry` must not return.
  void Spawn(Thread* thread, uintptr_t stack_top, void (*entry)(void*), void* argument);

  // Parks the current thread. Returns why the park ended.
  Wake Park(const ParkRequest& request);

  // Lets other ready threads run first.
  void Yield();

  // Counts a call that was answered without waiting; a thread that makes many of them in a row
  // yields, for nothing else would ever take the scheduler from it.
  void CountCall() {
    if (__builtin_expect(++calls_in_a_row_ >= kMostCallsInARow, 0)) Yield();
  }

  // Has the next call that is answered without waiting yield. Callers: also signal handlers.
  void YieldSoon() { calls_in_a_row_ = kMostCallsInARow; }

  // Ends the current thread; `last_words` runs on another stack when nothing touches its stack any
  // more.
  [[noreturn]] void Exit(void (*last_words)(Thread*));

  // Makes a parked thread, which the caller has taken out of what it waited for, ready. Callers:
  // any kernel thread.
  static void MakeReady(Thread* thread);

  // Ends the park of `thread`, if it is parked interruptibly, with Wake::kInterrupted. Callers: any
  // kernel thread.
  static void Interrupt(Thread* thread);

  // Posts to the inbox and wakes the scheduler if it sleeps. Callers: any kernel thread, signal
  // handlers.
  void Post(InboxMessage* message);

  // Forgets that `fd` may be ready for `events`. Called before the kernel is asked whether it is:
  // what becomes ready from then on is remembered, and ends the wait that may follow at once.
  void Expect(int fd, uint32_t events);
  // Remembers that an attempt on `fd` may succeed.
  void MayBeReady(int fd, uint8_t directions = View::kRead | View::kWrite) {
    if (View* view = ViewOf(fd)) view->ready |= directions;
  }

  // Parks the current thread until one of `waiters` (fd and events filled in) is ready: the poll
  // bits that came are in its `happened`, none where readiness was remembered. A waiter whose
  // descriptor is closed meanwhile ends up with another `fd`, on which the caller goes on and which
  // it gives back with ReleaseOrphan. request.withdraw and object are set here. Returns: 0 one is
  // ready, -ETIMEDOUT, -EINTR, or -errno of the poller (-EPERM: always ready).
  long WaitReady(Waiter* waiters, int count, ParkRequest request);

  // Parks the current thread until it is handed a connection to listening socket `waiter->fd`,
  // which is non-blocking, in waiter->acceptance. Returns: 0 (acceptance->result holds accept4's
  // answer), -EAGAIN one may be waiting: try, -ETIMEDOUT, -EINTR, or another -errno.
  long WaitConnection(Waiter* waiter, ParkRequest request);

  // Accepts for parked threads while both connections and threads wait, at most `limit` times.
  void AcceptForWaiters(View* view, int fd, int limit);

  // Notes what is known of a connection just accepted on `listener` with accept4's `flags`.
  void NoteAccepted(int listener, int fd, int flags);

  // What is known here of `fd`, made new where the number was reused. Null above the table's
  // capacity.
  View* ViewOf(int fd);

  // Keeps the waits on `fd`, about to be closed, alive on a duplicate. Returns after all
  // schedulers' waits moved.
  void BeforeClose(int fd);

  // Wakes those who wait on `fd` for `events` (POLLIN, POLLOUT), which shutdown(2) has just ended:
  // not every kind of socket reports that to a poller.
  void AfterShutdown(int fd, uint32_t events);

  // Runs work(target, argument) on the kernel thread of `target`, inside its runtime. Blocks: this
  // user thread.
  void CallOn(Scheduler* target, void (*work)(Scheduler*, void*), void* argument);

  // Drops a duplicate made by BeforeClose when its last waiter left.
  void ReleaseOrphan(int fd);

  // True when a signal that it does not block, or a cancellation, waits for the current thread.
  bool InterruptionPending() const {
    uint64_t pending = current_->pending_signals.load(std::memory_order_relaxed);
    return __builtin_expect(pending != 0, 0) && (pending & ~current_->signal_mask) != 0;
  }

  // As InterruptionPending, and has it acted on when the runtime is left.
  bool TakeInterruption() {
    if (!InterruptionPending()) return false;
    attention_ = true;
    return true;
  }

  // Has the kernel block what `mask` blocks, but for the signals that are the runtime's own.
  void SetKernelMask(uint64_t mask);

  Thread* current() const { return current_; }
  Counters& counters() { return accounting_.counters; }
  Accounting& accounting() { return accounting_; }
  int index() const { return index_; }
  int kernel_tid() const { return kernel_tid_; }
  uint64_t cpu_time_at_start() const { return cpu_time_at_start_; }
  Poller* poller() const { return poller_; }
  DiskAio* disk() { return &disk_; }
  Timers& timers() { return timers_; }
  uint64_t ready_length() const;

  // Aborts with a message where S1 or S2 does not hold.
  void CheckInvariants() const;

  // Code between these touches what a signal handler of the program must not see half done; signals
  // are put off.
  void EnterRuntime() { ++depth_; }
  void LeaveRuntime() {
    if (--depth_ == 0 && __builtin_expect(attention_, 0)) Attend();
  }
  // Leaves without looking at signals: for the one who looks.
  void LeaveRuntimeQuietly() { --depth_; }
  // Tells whether `address` is in the alternate stack of threads that have none of their own.
  bool IsOnOwnAlternateStack(const void* address) const {
    return static_cast<uintptr_t>(reinterpret_cast<uintptr_t>(address) -
                                  reinterpret_cast<uintptr_t>(own_alternate_stack.ss_sp)) <
           own_alternate_stack.ss_size;
  }
  bool in_runtime() const { return depth_ != 0; }
  bool attention() const { return attention_; }
  // Asks for a look at pending signals when the runtime is next left. Callers: also signal
  // handlers.
  void RequestAttention() {
    attention_ = true;
    WakeFromHandler();
  }

  uint64_t kernel_mask = 0;  // the kernel thread's signal mask now, the runtime's signals included
  ShareSplitter shares;      // of GetStatistics
  int suspended = 0;         // frames of signals on this scheduler's threads: see SuspendedFrame
  int tick_timer = -1;       // of preemption: see wrappers/preemption.h
  stack_t kernel_alternate_stack = {};  // the kernel thread's sigaltstack now
  // The kernel thread's sigaltstack for threads that have none of their own: where a stack overflow
  // is reported.
  stack_t own_alternate_stack = {};

 private:
  friend class MapOffsets;

  // A poll's events. Few: what a poll and the waking of its threads bring into the caches, the
  // kernel's part of a socket included, is still there when the last of them runs.
  static constexpr int kEvents = 16;
  static constexpr int kMostCallsInARow = 256;

  void Attend();
  void WakeFromHandler();
  void Push(Thread* thread) {
    thread->state = ThreadState::kReady;
    thread->next = nullptr;
    if (last_ != nullptr) {
      last_->next = thread;
    } else {
      first_ = thread;
    }
    last_ = thread;
  }
  Thread* Pop();
  void SwitchTo(Thread* next);
  void CarryAlternateStack(Thread* next);
  void FinishAlternateStack();
  const stack_t& AlternateStackOf(const Thread* thread) const;
  void UseOwnAlternateStack();
  void StartAccounting();
  static void FinishSwitch(Transfer transfer);
  [[noreturn]] static void ThreadEntry(Transfer transfer);
  [[noreturn]] static void IdleEntry(Transfer transfer);
  [[noreturn]] static void KernelThreadEntry(Scheduler* scheduler);
  Thread* NextThread();
  void Poll(bool wait);
  void ReadInbox();
  void ExpireTimers(uint64_t now);
  void HandleEvent(const PollEvent& event);
  void WakeWaiters(View* view, uint32_t events);
  static void Resume(Thread* thread, Wake wake);
  static void Queue(Waiter** list, Waiter* waiter);
  static void Unqueue(Waiter* waiter);
  static void Enlist(View* view, Waiter* waiter);
  void Delist(Waiter* waiter);
  static void Spread(View* view);
  long Watch(View* view, int fd, uint32_t events);
  void Backlog(int fd);
  long WatchWakeup();
  [[gnu::always_inline]] void PrefetchView(int fd) const;
  void HandleEvents(int count);
  void HandleListeners(int count);
  void MoveWaiters(int from, int to);

  Thread* current_ = nullptr;
  Thread* first_ = nullptr;  // ready queue
  Thread* last_ = nullptr;
  int depth_ = 0;
  int calls_in_a_row_ = 0;  // since a thread was last switched to
  volatile bool attention_ = false;
  bool alternate_stack_due_ = false;  // signals are blocked until it is in place
  View* views_ = nullptr;
  unsigned views_capacity_ = 0;
  Accounting accounting_;
  uint64_t last_poll_ = 0;  // cycles
  Timers timers_;
  EpollPoller epoll_poller_;
  PollPoller poll_poller_;
  Poller* poller_ =
      nullptr;  // one of the two; no allocation, for it is chosen anew in the child of a fork
  PollEvent* events_ = nullptr;
  int wakeup_fd_ = -1;
  int index_ = 0;
  int kernel_tid_ = 0;
  uint64_t cpu_time_at_start_ = 0;  // of the kernel thread, when the accounting started
  Thread* idle_ = nullptr;
  DiskAio disk_;

  alignas(64) Inbox inbox_;
  std::atomic<bool> sleeping_{false};
};

// Stands for a frame that the kernel has made on the current thread's stack: of a handler of the
// program, of preemption, of a trap. What is counted for a thread that ends by its last call, or
// whose stack is unwound, is taken back; for one that jumps out of a handler (siglongjmp) it is
// not.
class SuspendedFrame {
 public:
  explicit SuspendedFrame(Scheduler* scheduler)
      : scheduler_(scheduler), thread_(scheduler->current()) {
    ++scheduler_->suspended;
    ++thread_->suspended_frames;
  }
  ~SuspendedFrame() {
    --scheduler_->suspended;
    --thread_->suspended_frames;
  }
  SuspendedFrame(const SuspendedFrame&) = delete;
  SuspendedFrame& operator=(const SuspendedFrame&) = delete;

 private:
  Scheduler* scheduler_;
  Thread* thread_;
};

// Holds off the program's signal handlers on this scheduler.
class RuntimeSection {
 public:
  explicit RuntimeSection(Scheduler* scheduler) : scheduler_(scheduler) {
    scheduler_->EnterRuntime();
  }
  // May run the program's handlers, which may unwind (pthread_cancel).
  ~RuntimeSection() noexcept(false) { scheduler_->LeaveRuntime(); }
  RuntimeSection(const RuntimeSection&) = delete;
  RuntimeSection& operator=(const RuntimeSection&) = delete;

 private:
  Scheduler* scheduler_;
};

}  // namespace bobbin

#endif  // BOBBIN_RUNTIME_SCHEDULER_H_
