// Handlers of calls that wait for other processes, of those that name the calling thread, and of
// execve.
//
// Source: wait4(2), waitid(2), pidfd_open(2), prctl(2), flock(2), execve(2).
#ifndef BOBBIN_WRAPPERS_PROCESS_H_
#define BOBBIN_WRAPPERS_PROCESS_H_

#include <signal.h>

#include "wrappers/call.h"

struct rusage;

namespace bobbin {

long Wait4(Scheduler* scheduler, int process, int* status, int options, struct rusage* usage);
long Waitid(Scheduler* scheduler, int kind, int id, siginfo_t* info, int options,
            struct rusage* usage);
long Prctl(Scheduler* scheduler, Registers* registers);
// The sched_* calls that name a thread: a user thread's answer is that of the kernel thread it runs
// on.
long OnKernelThread(Scheduler* scheduler, long nr, int tid, long a, long b);
long Flock(Scheduler* scheduler, int fd, int operation);
long Syslog(Scheduler* scheduler, int action, char* buffer, int size);
long Getrandom(Scheduler* scheduler, void* buffer, size_t size, unsigned flags);

// execve and execveat. The new program finds the descriptors it inherits in the mode this one gave
// them, except those that a fork shares with another process, which counts on O_NONBLOCK there.
long Execute(Scheduler* scheduler, Registers* registers);

}  // namespace bobbin

#endif  // BOBBIN_WRAPPERS_PROCESS_H_
