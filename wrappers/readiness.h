// Handlers of calls that wait for readiness: poll, select and the program's own epoll.
//
// A poll of one descriptor that is known not to be ready parks without a system call and is
// answered from the event that ends the park, so "wait for the next request" costs nothing beyond
// the wait. Everything else asks the kernel with a zero time-out, and parks on all the descriptors
// while the answer is "none". Source: poll(2), select(2), epoll_wait(2).
#ifndef BOBBIN_WRAPPERS_READINESS_H_
#define BOBBIN_WRAPPERS_READINESS_H_

#include <poll.h>
#include <sys/select.h>

#include "wrappers/call.h"

struct epoll_event;

namespace bobbin {

// `timeout`: nanoseconds, negative for ever. `mask` null: the thread's own signal mask.
long Poll(Scheduler* scheduler, struct pollfd* set, unsigned long count, int64_t timeout,
          const uint64_t* mask);

long PollMilliseconds(Scheduler* scheduler, struct pollfd* set, unsigned long count,
                      int milliseconds);
long Ppoll(Scheduler* scheduler, struct pollfd* set, unsigned long count, struct timespec* timeout,
           const uint64_t* mask, size_t mask_size);
long Select(Scheduler* scheduler, int count, fd_set* read, fd_set* write, fd_set* except,
            struct timeval* timeout);

// The sixth argument of pselect6(2).
struct MaskArgument {
  const uint64_t* mask;
  size_t size;
};
long Pselect6(Scheduler* scheduler, int count, fd_set* read, fd_set* write, fd_set* except,
              struct timespec* timeout, const MaskArgument* mask);

long EpollWait(Scheduler* scheduler, int epoll, struct epoll_event* events, int capacity,
               int64_t timeout, const uint64_t* mask);

}  // namespace bobbin

#endif  // BOBBIN_WRAPPERS_READINESS_H_
