// Asks the kernel whether a call on a descriptor would block.
#ifndef BOBBIN_RUNTIME_READY_NOW_H_
#define BOBBIN_RUNTIME_READY_NOW_H_

#include <poll.h>

#include "runtime/raw_syscall.h"

namespace bobbin {

// Tells whether a call that waits for `events` on `fd` would return at once, with an error or not.
// Never blocks. Callers: any kernel thread. Source: poll(2).
inline bool ReadyNow(int fd, short events) {
  struct pollfd one = {fd, events, 0};
  return RawSyscall(SYS_poll, &one, 1, 0) != 0;
}

}  // namespace bobbin

#endif  // BOBBIN_RUNTIME_READY_NOW_H_
