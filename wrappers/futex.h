// Answers futex(2), and what hangs on it: robust lists and priority inheritance.
//
// Waits park in the runtime's table. A futex that other processes may share (no FUTEX_PRIVATE_FLAG,
// and not a thread's own id word) is the kernel's: a worker waits for it, and wake-ups go to both.
// Priority inheritance means nothing among cooperative threads of one priority; what remains is the
// protocol of the word: owner id, waiters bit, owner-died bit, and direct hand-over.
#ifndef BOBBIN_WRAPPERS_FUTEX_H_
#define BOBBIN_WRAPPERS_FUTEX_H_

#include <time.h>

#include "wrappers/call.h"

namespace bobbin {

long Futex(Scheduler* scheduler, uint32_t* address, int operation, uint32_t value,
           const struct timespec* timeout, uint32_t* address2, uint32_t value3);

// The same for a kernel thread that is no scheduler: user threads wait in our table, others in the
// kernel.
long ForeignFutex(uint32_t* address, int operation, uint32_t value, const struct timespec* timeout,
                  uint32_t* address2, uint32_t value3);

// Wakes everyone, here or in the kernel, who waits on the word that tells of a thread's end and is
// now 0.
void WakeForEndOf(uint32_t* word);

// What the kernel does for a dying thread: marks the mutexes on its robust list
// (set_robust_list(2)) and wakes waiters.
void ReleaseRobustList(Scheduler* scheduler, Thread* thread);

// The same for every thread, when the process is about to end: other processes may wait. A thread
// that another scheduler runs in this instant may see its lock taken away before it dies.
void ReleaseEveryRobustList(Scheduler* scheduler);

}  // namespace bobbin

#endif  // BOBBIN_WRAPPERS_FUTEX_H_
