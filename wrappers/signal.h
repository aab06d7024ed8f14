// Signals for user threads: dispositions, masks, pending signals, and who gets a signal sent to the
// process.
//
// The kernel delivers to kernel threads. The program's handlers are therefore installed as ours
// (OnSignal), which finds the user thread a signal is for: the one it was sent to (tgkill, faults,
// what write(2) raises), or, for a signal to the process, a thread that does not block it, the main
// thread first, as Linux does. A thread that is not running gets it when it runs next, and a call
// it is parked in ends with EINTR or goes on (SA_RESTART), as signal(7) says. A signal is then sent
// on with rt_tgsigqueueinfo(2) to the kernel thread that runs its thread, so that the kernel itself
// builds the frame, switches stack and mask, and performs default actions.
//
// Invariants
//   G1  While a user thread runs, the kernel thread's mask is the thread's.
//   G2  A handler never runs inside the runtime (RuntimeSection); what comes then waits until it is
//       left.
//   G3  A standard signal is pending at most once for a thread; a queued one once for each time it
//       was sent, up to the limit of the pool.
// Source: signal(7), sigaction(2), rt_sigprocmask(2), tgkill(2), sigtimedwait(2), sigaltstack(2).
#ifndef BOBBIN_WRAPPERS_SIGNAL_H_
#define BOBBIN_WRAPPERS_SIGNAL_H_

#include <signal.h>

#include "wrappers/call.h"

namespace bobbin {

// The kernel's struct sigaction.
struct KernelAction {
  void (*handler)(int);
  unsigned long flags;
  void (*restorer)();
  uint64_t mask;
};

// Installs the report of stack overflow, and the hooks by which the runtime has signals delivered.
void StartSignals();
// Undoes it.
void StopSignals();

long RtSigaction(Scheduler* scheduler, int signal, const KernelAction* action, KernelAction* old,
                 size_t size);
long RtSigprocmask(Scheduler* scheduler, int how, const uint64_t* set, uint64_t* old, size_t size);
long RtSigpending(Scheduler* scheduler, uint64_t* set, size_t size);
long RtSigsuspend(Scheduler* scheduler, const uint64_t* mask, size_t size);
long RtSigtimedwait(Scheduler* scheduler, const uint64_t* set, siginfo_t* info,
                    const struct timespec* timeout, size_t size);
long Sigaltstack(Scheduler* scheduler, const stack_t* stack, stack_t* old);
// tgkill, tkill (process 0: ours) and rt_tgsigqueueinfo (info not null).
long SendToThread(Scheduler* scheduler, int process, int tid, int signal, const siginfo_t* info);

// Sets the current thread's mask and delivers what it lets in. Returns: the old mask.
uint64_t SetMask(Scheduler* scheduler, uint64_t mask);

// The mask of one call (ppoll, pselect6, epoll_pwait, sigsuspend); null: none.
class TemporaryMask {
 public:
  TemporaryMask(Scheduler* scheduler, const uint64_t* mask)
      : scheduler_(mask == nullptr ? nullptr : scheduler) {
    if (scheduler_ == nullptr) return;
    scheduler_->current()->handled = false;
    old_ = SetMask(scheduler_, *mask);
    delivered_ = scheduler_->current()->handled;
  }
  ~TemporaryMask() noexcept(false) {
    if (scheduler_ != nullptr) SetMask(scheduler_, old_);
  }
  TemporaryMask(const TemporaryMask&) = delete;
  TemporaryMask& operator=(const TemporaryMask&) = delete;

  // A handler ran when the mask was set: the call is to end with EINTR.
  bool delivered() const { return delivered_; }

 private:
  Scheduler* scheduler_;
  uint64_t old_ = 0;
  bool delivered_ = false;
};

}  // namespace bobbin

#endif  // BOBBIN_WRAPPERS_SIGNAL_H_
