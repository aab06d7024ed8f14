// What the handlers of system calls share.
//
// A handler takes the scheduler it runs on and the arguments of its system call, and returns what
// Linux would: the result or -errno (invariant W1). It is entered by a libc name or from patched
// text; it touches no vector register, allocates nothing and calls no libc (W3), except that a call
// entered by name may act on a cancellation where it would block.
#ifndef BOBBIN_WRAPPERS_CALL_H_
#define BOBBIN_WRAPPERS_CALL_H_

#include <errno.h>
#include <pthread.h>
#include <time.h>

#include <cstdint>

#include "runtime/raw_syscall.h"
#include "runtime/runtime.h"
#include "runtime/scheduler.h"
#include "runtime/user_memory.h"
#include "wrappers/registers.h"

namespace bobbin {

// After a park ended with an interruption whose handlers have run: acts on a cancellation, and
// tells whether the call goes on as if nothing had happened (SA_RESTART) rather than fail with
// EINTR. Source: signal(7).
inline bool GoesOn(Scheduler* scheduler) {
  Thread* self = scheduler->current();
  if (self->cancel_point && runtime().cancellation_used.load(std::memory_order_relaxed))
    pthread_testcancel();
  return self->restart;
}

// Likewise for calls that never restart (poll, select, nanosleep, epoll_wait; signal(7)): they go
// on only where no handler of the program ran, that is after an interruption that turned out to be
// nothing.
inline bool GoesOnUnhandled(Scheduler* scheduler) {
  Thread* self = scheduler->current();
  if (self->cancel_point && runtime().cancellation_used.load(std::memory_order_relaxed))
    pthread_testcancel();
  return !self->handled;
}

// Returns: the living user thread with that id, or null. Unlike ThreadTable::Find it may be called
// outside the runtime: a signal handler or a preemption that came while the table's lock is held
// would wait for that lock on the same kernel thread.
inline Thread* FindThread(Scheduler* scheduler, int tid) {
  RuntimeSection section(scheduler);
  return runtime().threads.Find(tid);
}

inline bool ValidTime(const struct timespec& t) {
  return t.tv_sec >= 0 && t.tv_nsec >= 0 && t.tv_nsec < 1'000'000'000;
}

// Saturates far below kNever.
inline uint64_t ToNanoseconds(const struct timespec& t) {
  constexpr uint64_t kMost = uint64_t{1} << 62;
  if (static_cast<uint64_t>(t.tv_sec) >= kMost / 1'000'000'000) return kMost;
  return static_cast<uint64_t>(t.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(t.tv_nsec);
}

inline struct timespec ToTimespec(uint64_t nanoseconds) {
  return {static_cast<time_t>(nanoseconds / 1'000'000'000),
          static_cast<long>(nanoseconds % 1'000'000'000)};
}

// What a signal does to a call that a worker makes (signal(7)).
enum class SignalEffect : uint8_t {
  kRestart,  // ends it with EINTR, unless every handler asked for SA_RESTART
  kEnd,      // ends it with EINTR whatever handlers asked for
  kWait,     // is put off until it is over: a file system does not stop for signals
};

// Runs `work(argument)` on a worker of `lane` and parks the current thread until it is done. `work`
// makes system calls only. A signal ends it as it would have ended the call on a kernel thread; in
// the disk lane it only takes back what no worker has begun.
long RunOnWorker(Scheduler* scheduler, Lane lane, long (*work)(void*), void* argument,
                 SignalEffect on_signal = SignalEffect::kRestart);

// The same for a plain system call.
long CallOnWorker(Scheduler* scheduler, Lane lane, long nr, long a = 0, long b = 0, long c = 0,
                  long d = 0, long e = 0, long f = 0);

// The same, where a signal does something else than kRestart.
long CallOnWorker(Scheduler* scheduler, Lane lane, SignalEffect on_signal, long nr, long a = 0,
                  long b = 0, long c = 0, long d = 0, long e = 0, long f = 0);

// The same for the system call in `registers`.
long CallOnWorker(Scheduler* scheduler, Lane lane, SignalEffect on_signal,
                  const Registers& registers);

// Makes the system call in `registers` here.
inline long CallHere(const Registers& r) {
  return RawSyscall6(static_cast<long>(r.rax), static_cast<long>(r.rdi), static_cast<long>(r.rsi),
                     static_cast<long>(r.rdx), static_cast<long>(r.r10), static_cast<long>(r.r8),
                     static_cast<long>(r.r9));
}

}  // namespace bobbin

#endif  // BOBBIN_WRAPPERS_CALL_H_
