// Moves a descriptor of the runtime's own out of the way of the program's.
//
// Programs count on getting the lowest free number (POSIX open), and daemons close the low ones.
// Returns: the new number, close-on-exec, or `fd` itself where no high one is free.
#ifndef BOBBIN_RUNTIME_HIGH_DESCRIPTOR_H_
#define BOBBIN_RUNTIME_HIGH_DESCRIPTOR_H_

#include <fcntl.h>
#include <sys/resource.h>

#include "runtime/raw_syscall.h"

namespace bobbin {

inline int MoveDescriptorHigh(int fd) {
  struct rlimit limit = {};
  RawSyscall(SYS_prlimit64, 0, RLIMIT_NOFILE, 0, &limit);
  // select(2) users rely on numbers below FD_SETSIZE; ours go to the top of what the limit allows.
  constexpr unsigned long kRoom = 512;
  unsigned long low = limit.rlim_cur > 1024 + kRoom ? limit.rlim_cur - kRoom : limit.rlim_cur / 2;
  if (low > 1'000'000) low = 1'000'000;
  long moved = RawSyscall(SYS_fcntl, fd, F_DUPFD_CLOEXEC, low);
  if (moved < 0) return fd;
  RawSyscall(SYS_close, fd);
  return static_cast<int>(moved);
}

}  // namespace bobbin

#endif  // BOBBIN_RUNTIME_HIGH_DESCRIPTOR_H_
