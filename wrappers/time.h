// Handlers of calls that sleep. Source: nanosleep(2), clock_nanosleep(2), sched_yield(2), pause(2).
#ifndef BOBBIN_WRAPPERS_TIME_H_
#define BOBBIN_WRAPPERS_TIME_H_

#include <time.h>

#include "wrappers/call.h"

namespace bobbin {

long Nanosleep(Scheduler* scheduler, const struct timespec* time, struct timespec* left);
long ClockNanosleep(Scheduler* scheduler, int clock, int flags, const struct timespec* time,
                    struct timespec* left);
// The CPU clocks of user threads: CLOCK_THREAD_CPUTIME_ID and what pthread_getcpuclockid(3) makes
// of a thread's id. They count the time for which the thread had its scheduler. All other clocks
// are the kernel's.
long ClockGettime(Scheduler* scheduler, int clock, struct timespec* time);
long ClockGetres(Scheduler* scheduler, int clock, struct timespec* resolution);
long SchedYield(Scheduler* scheduler);
long Pause(Scheduler* scheduler);

// Parks until `deadline`. Returns: 0, or -EINTR after a handler ran.
long SleepUntil(Scheduler* scheduler, uint64_t deadline);

}  // namespace bobbin

#endif  // BOBBIN_WRAPPERS_TIME_H_
