// What stands between the table and the handlers: the registers as arguments, and calls that are
// another call with an argument more or less.
#ifndef BOBBIN_WRAPPERS_TABLE_HANDLERS_H_
#define BOBBIN_WRAPPERS_TABLE_HANDLERS_H_

#include <fcntl.h>
#include <sys/epoll.h>

#include <utility>

#include "wrappers/file.h"
#include "wrappers/process.h"
#include "wrappers/readiness.h"
#include "wrappers/signal.h"
#include "wrappers/socket.h"
#include "wrappers/thread.h"

namespace bobbin {

// Fits a handler to the registers: its parameters after the scheduler, in the order of the
// system-call convention.
template <auto handler>
struct Adapter;

template <typename... Args, long (*handler)(Scheduler*, Args...)>
struct Adapter<handler> {
  template <typename T>
  static T From(uint64_t value) {
    return (T)value;  // NOLINT: integers and pointers alike
  }
  static long Call(Scheduler* scheduler, Registers* r) {
    const uint64_t values[] = {r->rdi, r->rsi, r->rdx, r->r10, r->r8, r->r9};
    return Apply(scheduler, values, std::index_sequence_for<Args...>());
  }
  template <size_t... i>
  static long Apply(Scheduler* scheduler, const uint64_t* values, std::index_sequence<i...>) {
    return handler(scheduler, From<Args>(values[i])...);
  }
};

template <auto handler>
constexpr auto kFit = &Adapter<handler>::Call;

inline long Exit(Scheduler* scheduler, int status) { ExitThread(scheduler, status); }
inline long Gettid(Scheduler* scheduler) { return scheduler->current()->tid; }

// Registered as far as libc can tell, which insists; the field says that the processor's number is
// to be asked for.
inline long Rseq(Scheduler*, uint32_t* area, unsigned, int flags) {
  constexpr int kUnregister = 1;
  constexpr uint32_t kRegistrationFailed = static_cast<uint32_t>(-2);
  if ((flags & kUnregister) == 0) {
    area[0] = 0;
    area[1] = kRegistrationFailed;
  }
  return 0;
}

inline long Accept(Scheduler* scheduler, int fd, struct sockaddr* address, socklen_t* length) {
  return Accept4(scheduler, fd, address, length, 0);
}

inline long Open(Scheduler* scheduler, const char* path, int flags, unsigned mode) {
  return Openat(scheduler, AT_FDCWD, path, flags, mode);
}

inline long Creat(Scheduler* scheduler, const char* path, unsigned mode) {
  return Openat(scheduler, AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode);
}

inline long Preadv(Scheduler* scheduler, int fd, const struct iovec* vectors, int count,
                   int64_t offset) {
  if (offset < 0 || runtime().descriptors.Kind(fd) != FileKind::kRegular) {
    return RawSyscall(SYS_preadv, fd, vectors, count, offset, 0);
  }
  return ReadFile(scheduler, fd, vectors, count, offset);
}

inline long Pwritev(Scheduler* scheduler, int fd, const struct iovec* vectors, int count,
                    int64_t offset) {
  if (offset < 0 || runtime().descriptors.Kind(fd) != FileKind::kRegular) {
    return RawSyscall(SYS_pwritev, fd, vectors, count, offset, 0);
  }
  return WriteFile(scheduler, fd, vectors, count, offset);
}

inline long Fsync(Scheduler* scheduler, int fd) {
  return CallOnWorker(scheduler, Lane::kDisk, SYS_fsync, fd);
}
inline long Fdatasync(Scheduler* scheduler, int fd) {
  return CallOnWorker(scheduler, Lane::kDisk, SYS_fdatasync, fd);
}

inline long Dup2(Scheduler* scheduler, int from, int to) {
  return Dup3(scheduler, from, to, 0, SYS_dup2);
}
inline long Dup3Flags(Scheduler* scheduler, int from, int to, int flags) {
  return Dup3(scheduler, from, to, flags, SYS_dup3);
}

inline long EpollWaitMilliseconds(Scheduler* scheduler, int epoll, struct epoll_event* events,
                                  int capacity, int timeout) {
  return EpollWait(scheduler, epoll, events, capacity,
                   timeout < 0 ? -1 : int64_t{timeout} * 1'000'000, nullptr);
}

inline long EpollPwait(Scheduler* scheduler, int epoll, struct epoll_event* events, int capacity,
                       int timeout, const uint64_t* mask) {
  return EpollWait(scheduler, epoll, events, capacity,
                   timeout < 0 ? -1 : int64_t{timeout} * 1'000'000, mask);
}

inline long EpollPwait2(Scheduler* scheduler, int epoll, struct epoll_event* events, int capacity,
                        const struct timespec* timeout, const uint64_t* mask) {
  if (timeout != nullptr && !Readable(timeout, sizeof *timeout)) return -EFAULT;
  if (timeout != nullptr && !ValidTime(*timeout)) return -EINVAL;
  return EpollWait(scheduler, epoll, events, capacity,
                   timeout == nullptr ? -1 : static_cast<int64_t>(ToNanoseconds(*timeout)), mask);
}

inline long Tgkill(Scheduler* scheduler, int process, int tid, int signal) {
  return process <= 0 ? -EINVAL : SendToThread(scheduler, process, tid, signal, nullptr);
}
inline long Tkill(Scheduler* scheduler, int tid, int signal) {
  return SendToThread(scheduler, 0, tid, signal, nullptr);
}
inline long Tgsigqueueinfo(Scheduler* scheduler, int process, int tid, int signal,
                           const siginfo_t* info) {
  if (!Readable(info, sizeof *info)) return -EFAULT;
  return SendToThread(scheduler, process, tid, signal, info);
}

template <long nr>
long Sched(Scheduler* scheduler, int tid, long a, long b) {
  return OnKernelThread(scheduler, nr, tid, a, b);
}

}  // namespace bobbin

#endif  // BOBBIN_WRAPPERS_TABLE_HANDLERS_H_
