// Signals that wait for a user thread.
//
// Invariant  G3 of signal.h: a standard signal is pending at most once for a thread, a queued one
//            once for each time it was sent, up to the limit of the pool, beyond which it is
//            pending without its particulars.
//
// Callers: inside the runtime. Blocks: never. Source: signal(7).
#ifndef BOBBIN_WRAPPERS_PENDING_SIGNALS_H_
#define BOBBIN_WRAPPERS_PENDING_SIGNALS_H_

#include <signal.h>

#include <cstdint>

#include "runtime/thread.h"

namespace bobbin {

constexpr uint64_t SignalBit(int signal) { return uint64_t{1} << (signal - 1); }

// Makes `info` pending for `thread`. Callers: inside the runtime.
void AddPending(Thread* thread, const siginfo_t& info);

// Takes the pending signal with the lowest number among `wanted`. Returns: its number, 0 when there
// is none.
int TakePending(Thread* thread, uint64_t wanted, siginfo_t* info);

// Takes every node back, and the lock, which a kernel thread of the parent may have held: the child
// after fork(2).
void ForgetPendingSignals();

}  // namespace bobbin

#endif  // BOBBIN_WRAPPERS_PENDING_SIGNALS_H_
