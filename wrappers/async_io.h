// Handlers of calls that wait for transfers submitted before: Linux AIO and io_uring.
//
// io_getevents takes what is complete at once and waits for the rest on a worker. io_uring_enter
// submits, looks whether enough is complete, and parks on the ring's descriptor until it is; it
// stays on the scheduler's kernel thread, to which a ring may be bound (IORING_SETUP_SINGLE_ISSUER,
// IORING_SETUP_DEFER_TASKRUN). Rings registered under a number of the kernel thread's are refused,
// as by kernels before 5.18: that thread is not the program's, and they cannot be polled.
//
// Source: io_getevents(2), io_uring_enter(2), io_uring_setup(2), io_uring_register(2).
#ifndef BOBBIN_WRAPPERS_ASYNC_IO_H_
#define BOBBIN_WRAPPERS_ASYNC_IO_H_

#include "wrappers/call.h"

struct io_event;
struct io_uring_params;

namespace bobbin {

struct MaskOfEvents {
  const uint64_t* mask;
  size_t size;
};

long IoGetevents(Scheduler* scheduler, unsigned long context, long least, long most,
                 struct io_event* events, struct timespec* timeout);
long IoPgetevents(Scheduler* scheduler, unsigned long context, long least, long most,
                  struct io_event* events, struct timespec* timeout, const MaskOfEvents* mask);

long IoUringSetup(Scheduler* scheduler, unsigned entries, struct io_uring_params* parameters);
long IoUringEnter(Scheduler* scheduler, int ring, unsigned submit, unsigned least, unsigned flags,
                  const void* argument, size_t size);
long IoUringRegister(Scheduler* scheduler, int ring, unsigned operation, void* argument,
                     unsigned count);

}  // namespace bobbin

#endif  // BOBBIN_WRAPPERS_ASYNC_IO_H_
