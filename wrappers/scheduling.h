// Answers sched_setscheduler(2) and its neighbours: the policy and priority of a thread.
//
// Among user threads a policy decides nothing: they are of one priority. It is checked as the
// kernel checks it, with the process's privilege, and remembered for the thread, so that who asks
// is told what was set and new threads inherit it. The main thread's is the kernel's affair too, as
// chrt(1) has it.
#ifndef BOBBIN_WRAPPERS_SCHEDULING_H_
#define BOBBIN_WRAPPERS_SCHEDULING_H_

#include "wrappers/call.h"

struct sched_param;

namespace bobbin {

long SchedSetscheduler(Scheduler* scheduler, int tid, int policy, const sched_param* parameters);
long SchedGetscheduler(Scheduler* scheduler, int tid);
long SchedSetparam(Scheduler* scheduler, int tid, const sched_param* parameters);
long SchedGetparam(Scheduler* scheduler, int tid, sched_param* parameters);

// Gives a new thread its creator's policy and priority (SCHED_RESET_ON_FORK: sched(7)).
void InheritScheduling(Thread* thread, const Thread* creator);

// Remembers what the process was started with. Callers: the main thread, before it makes others.
void LearnScheduling(Thread* main);

}  // namespace bobbin

#endif  // BOBBIN_WRAPPERS_SCHEDULING_H_
