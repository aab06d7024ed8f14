// The thread dump on a signal that the user of a program chose (BOBBIN_DUMP_SIGNAL).
//
// The dump is bobbin::DumpThreads, on standard error as it was at the start. The signal's default
// action is gone; where the program has a handler of its own it runs as well, after the dump. A
// program that blocks the signal in all its threads, or takes it with sigwait(3), keeps it.
#ifndef BOBBIN_WRAPPERS_DUMP_SIGNAL_H_
#define BOBBIN_WRAPPERS_DUMP_SIGNAL_H_

#include <signal.h>

#include "wrappers/call.h"

namespace bobbin {

// Starts to listen, if a signal was chosen. Callers: StartSignals.
void StartDumpSignal();

// Dumps if `signal` is the one and is seen for the first time, at once or, inside the runtime, when
// the scheduler looks next. `scheduler` may be null. Returns: true when it is the one. Callers: the
// kernel's signal handler.
bool DumpOnSignal(Scheduler* scheduler, int signal, const siginfo_t& info);

// Writes the dump that was put off. Callers: inside the runtime, holding no lock.
void WriteDelayedDump();

}  // namespace bobbin

#endif  // BOBBIN_WRAPPERS_DUMP_SIGNAL_H_
