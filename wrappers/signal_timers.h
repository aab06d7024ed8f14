// POSIX timers that signal one thread (SIGEV_THREAD_ID): libc's helper thread for SIGEV_THREAD is
// one.
//
// The kernel knows kernel threads only. The timer is made to signal the process's first scheduler,
// and its signal is sent on to the user thread it was meant for. Source: timer_create(2),
// timer_delete(2).
#ifndef BOBBIN_WRAPPERS_SIGNAL_TIMERS_H_
#define BOBBIN_WRAPPERS_SIGNAL_TIMERS_H_

#include <signal.h>

#include "wrappers/call.h"

namespace bobbin {

long TimerCreate(Scheduler* scheduler, int clock, struct sigevent* event, int* id);
long TimerDelete(Scheduler* scheduler, int id);

// Returns: the thread that the timer behind `info` signals; null when it is no such timer or the
// thread is gone.
Thread* TimerTarget(const siginfo_t& info);

// Has no timer: the child after fork(2) inherits none.
void ForgetTimers();

}  // namespace bobbin

#endif  // BOBBIN_WRAPPERS_SIGNAL_TIMERS_H_
