// Time slices: a thread that runs for longer than the quantum lets ready ones run.
//
// Each scheduler's kernel thread has a timer on its own CPU clock, so nothing ticks while it
// sleeps. The tick is a signal that the program never sees and cannot block. A thread is preempted
// where it runs code of the program or of its libraries: never inside the runtime, whose code is
// not prepared to be left at any place; there the tick is put off to the next call that did not
// wait.
//
// The same signal brings the other schedulers to stand still for a moment, for those who change
// code that they may be running.
//
// Invariants
//   T1  No code of the runtime is ever suspended by a tick.
//   T2  While OthersStandStill says all(), no kernel thread but the caller's runs code of the
//       program.
// Source: timer_create(2), CLOCK_THREAD_CPUTIME_ID.
#ifndef BOBBIN_WRAPPERS_PREEMPTION_H_
#define BOBBIN_WRAPPERS_PREEMPTION_H_

#include <signal.h>

#include "wrappers/call.h"

namespace bobbin {

// libc's SIGCANCEL, which reaches user threads by other means; ours and libc's are told apart by
// what they carry.
inline constexpr int kTick = 32;

// Arms or disarms the timer of this kernel thread as the options have it. Callers: the scheduler's
// own kernel thread.
void SetQuantum(Scheduler* scheduler);

// Tells whether a kTick was ours; if so, it has been acted on. Callers: the signal handler.
bool OnTick(Scheduler* scheduler, const siginfo_t& info, uintptr_t interrupted_at);

// Has `scheduler` look at the pending signals of the thread that it runs. Callers: any kernel
// thread.
void Nudge(Scheduler* scheduler);

// Nobody is asked to stand still any more: the child after fork(2).
void ResetPreemptionAfterFork();

// Keeps the other schedulers' kernel threads inside a signal handler while it lives. Callers: one
// scheduler at a time, inside the runtime.
class OthersStandStill {
 public:
  OthersStandStill();
  ~OthersStandStill();
  OthersStandStill(const OthersStandStill&) = delete;
  OthersStandStill& operator=(const OthersStandStill&) = delete;

  // False where one of them did not get there in time.
  bool all() const { return all_; }

 private:
  bool all_ = true;
  bool asked_ = false;
};

}  // namespace bobbin

#endif  // BOBBIN_WRAPPERS_PREEMPTION_H_
