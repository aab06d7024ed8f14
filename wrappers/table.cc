#include "wrappers/table.h"

#include <fcntl.h>
#include <sys/epoll.h>

#include <utility>

#include "wrappers/file.h"
#include "wrappers/futex.h"
#include "wrappers/io.h"
#include "wrappers/memory.h"
#include "wrappers/process.h"
#include "wrappers/readiness.h"
#include "wrappers/sendfile.h"
#include "wrappers/signal.h"
#include "wrappers/signal_timers.h"
#include "wrappers/socket.h"
#include "wrappers/started.h"
#include "wrappers/thread.h"
#include "wrappers/time.h"

#ifndef SYS_epoll_pwait2
#define SYS_epoll_pwait2 441
#endif

namespace bobbin {

namespace {

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

long Exit(Scheduler* scheduler, int status) { ExitThread(scheduler, status); }
long Gettid(Scheduler* scheduler) { return scheduler->current()->tid; }

// Registered as far as libc can tell, which insists; the field says that the processor's number is
// to be asked for.
long Rseq(Scheduler*, uint32_t* area, unsigned, int flags) {
  constexpr int kUnregister = 1;
  constexpr uint32_t kRegistrationFailed = static_cast<uint32_t>(-2);
  if ((flags & kUnregister) == 0) {
    area[0] = 0;
    area[1] = kRegistrationFailed;
  }
  return 0;
}

long Accept(Scheduler* scheduler, int fd, struct sockaddr* address, socklen_t* length) {
  return Accept4(scheduler, fd, address, length, 0);
}

long Open(Scheduler* scheduler, const char* path, int flags, unsigned mode) {
  return Openat(scheduler, AT_FDCWD, path, flags, mode);
}

long Preadv(Scheduler* scheduler, int fd, const struct iovec* vectors, int count, int64_t offset) {
  if (offset < 0 || runtime().descriptors.Kind(fd) != FileKind::kRegular) {
    return RawSyscall(SYS_preadv, fd, vectors, count, offset, 0);
  }
  return ReadFile(scheduler, fd, vectors, count, offset);
}

long Pwritev(Scheduler* scheduler, int fd, const struct iovec* vectors, int count, int64_t offset) {
  if (offset < 0 || runtime().descriptors.Kind(fd) != FileKind::kRegular) {
    return RawSyscall(SYS_pwritev, fd, vectors, count, offset, 0);
  }
  return WriteFile(scheduler, fd, vectors, count, offset);
}

long Fsync(Scheduler* scheduler, int fd) {
  return CallOnWorker(scheduler, Lane::kDisk, SYS_fsync, fd);
}
long Fdatasync(Scheduler* scheduler, int fd) {
  return CallOnWorker(scheduler, Lane::kDisk, SYS_fdatasync, fd);
}

long Dup2(Scheduler* scheduler, int from, int to) { return Dup3(scheduler, from, to, 0, SYS_dup2); }
long Dup3Flags(Scheduler* scheduler, int from, int to, int flags) {
  return Dup3(scheduler, from, to, flags, SYS_dup3);
}

long EpollWaitMilliseconds(Scheduler* scheduler, int epoll, struct epoll_event* events,
                           int capacity, int timeout) {
  return EpollWait(scheduler, epoll, events, capacity,
                   timeout < 0 ? -1 : int64_t{timeout} * 1'000'000, nullptr);
}

long EpollPwait(Scheduler* scheduler, int epoll, struct epoll_event* events, int capacity,
                int timeout, const uint64_t* mask) {
  return EpollWait(scheduler, epoll, events, capacity,
                   timeout < 0 ? -1 : int64_t{timeout} * 1'000'000, mask);
}

long EpollPwait2(Scheduler* scheduler, int epoll, struct epoll_event* events, int capacity,
                 const struct timespec* timeout, const uint64_t* mask) {
  if (timeout != nullptr && !Readable(timeout, sizeof *timeout)) return -EFAULT;
  if (timeout != nullptr && !ValidTime(*timeout)) return -EINVAL;
  return EpollWait(scheduler, epoll, events, capacity,
                   timeout == nullptr ? -1 : static_cast<int64_t>(ToNanoseconds(*timeout)), mask);
}

long Tgkill(Scheduler* scheduler, int process, int tid, int signal) {
  return process <= 0 ? -EINVAL : SendToThread(scheduler, process, tid, signal, nullptr);
}
long Tkill(Scheduler* scheduler, int tid, int signal) {
  return SendToThread(scheduler, 0, tid, signal, nullptr);
}
long Tgsigqueueinfo(Scheduler* scheduler, int process, int tid, int signal, const siginfo_t* info) {
  if (!Readable(info, sizeof *info)) return -EFAULT;
  return SendToThread(scheduler, process, tid, signal, info);
}

template <long nr>
long Sched(Scheduler* scheduler, int tid, long a, long b) {
  return OnKernelThread(scheduler, nr, tid, a, b);
}

constexpr Answer kHere = Answer::kHere, kPark = Answer::kPark, kWorker = Answer::kWorker;

#define CALL(name, answer, handler) \
  { SYS_##name, #name, answer, handler }
constexpr TableEntry kTable[] = {
    CALL(read, kPark, kFit<Read>),
    CALL(write, kPark, kFit<Write>),
    CALL(open, kWorker, kFit<Open>),
    CALL(close, kHere, kFit<Close>),
    CALL(poll, kPark, kFit<PollMilliseconds>),
    CALL(mmap, kHere, kFit<Mmap>),
    CALL(mprotect, kHere, kFit<Mprotect>),
    CALL(munmap, kHere, kFit<Munmap>),
    CALL(rt_sigaction, kHere, kFit<RtSigaction>),
    CALL(rt_sigprocmask, kHere, kFit<RtSigprocmask>),
    CALL(ioctl, kHere, kFit<Ioctl>),
    CALL(pread64, kWorker, kFit<Pread>),
    CALL(pwrite64, kWorker, kFit<Pwrite>),
    CALL(readv, kPark, kFit<Readv>),
    CALL(writev, kPark, kFit<Writev>),
    CALL(select, kPark, kFit<Select>),
    CALL(sched_yield, kHere, kFit<SchedYield>),
    CALL(dup, kHere, kFit<Dup>),
    CALL(dup2, kHere, kFit<Dup2>),
    CALL(pause, kPark, kFit<Pause>),
    CALL(nanosleep, kPark, kFit<Nanosleep>),
    CALL(sendfile, kWorker, kFit<Sendfile>),
    CALL(socket, kHere, kFit<Socket>),
    CALL(connect, kPark, kFit<Connect>),
    CALL(accept, kPark, kFit<Accept>),
    CALL(sendto, kPark, kFit<Sendto>),
    CALL(recvfrom, kPark, kFit<Recvfrom>),
    CALL(sendmsg, kPark, kFit<Sendmsg>),
    CALL(recvmsg, kPark, kFit<Recvmsg>),
    CALL(shutdown, kHere, kFit<Shutdown>),
    CALL(setsockopt, kHere, kFit<Setsockopt>),
    CALL(clone, kHere, &Clone),
    CALL(fork, kHere, kFit<Fork>),
    CALL(vfork, kHere, kFit<Fork>),
    CALL(exit, kHere, kFit<Exit>),
    CALL(wait4, kPark, kFit<Wait4>),
    CALL(fcntl, kHere, kFit<Fcntl>),
    CALL(flock, kWorker, kFit<Flock>),
    CALL(fsync, kWorker, kFit<Fsync>),
    CALL(fdatasync, kWorker, kFit<Fdatasync>),
    CALL(rt_sigpending, kHere, kFit<RtSigpending>),
    CALL(rt_sigtimedwait, kPark, kFit<RtSigtimedwait>),
    CALL(rt_sigsuspend, kPark, kFit<RtSigsuspend>),
    CALL(sigaltstack, kHere, kFit<Sigaltstack>),
    CALL(sched_setparam, kHere, kFit<Sched<SYS_sched_setparam>>),
    CALL(sched_getparam, kHere, kFit<Sched<SYS_sched_getparam>>),
    CALL(sched_setscheduler, kHere, kFit<Sched<SYS_sched_setscheduler>>),
    CALL(sched_getscheduler, kHere, kFit<Sched<SYS_sched_getscheduler>>),
    CALL(sched_setaffinity, kHere, kFit<Sched<SYS_sched_setaffinity>>),
    CALL(sched_getaffinity, kHere, kFit<Sched<SYS_sched_getaffinity>>),
    CALL(prctl, kHere, kFit<Prctl>),
    CALL(gettid, kHere, kFit<Gettid>),
    CALL(tkill, kHere, kFit<Tkill>),
    CALL(futex, kPark, kFit<Futex>),
    CALL(set_tid_address, kHere, kFit<SetTidAddress>),
    CALL(timer_create, kHere, kFit<TimerCreate>),
    CALL(timer_delete, kHere, kFit<TimerDelete>),
    CALL(clock_nanosleep, kPark, kFit<ClockNanosleep>),
    CALL(exit_group, kHere, kFit<ExitGroup>),
    CALL(epoll_wait, kPark, kFit<EpollWaitMilliseconds>),
    CALL(tgkill, kHere, kFit<Tgkill>),
    CALL(waitid, kPark, kFit<Waitid>),
    CALL(openat, kWorker, kFit<Openat>),
    CALL(pselect6, kPark, kFit<Pselect6>),
    CALL(ppoll, kPark, kFit<Ppoll>),
    CALL(set_robust_list, kHere, kFit<SetRobustList>),
    CALL(splice, kWorker, kFit<Splice>),
    CALL(tee, kPark, kFit<Tee>),
    CALL(epoll_pwait, kPark, kFit<EpollPwait>),
    CALL(accept4, kPark, kFit<Accept4>),
    CALL(dup3, kHere, kFit<Dup3Flags>),
    CALL(preadv, kWorker, kFit<Preadv>),
    CALL(pwritev, kWorker, kFit<Pwritev>),
    CALL(rt_tgsigqueueinfo, kHere, kFit<Tgsigqueueinfo>),
    CALL(recvmmsg, kPark, kFit<Recvmmsg>),
    CALL(sendmmsg, kPark, kFit<Sendmmsg>),
    CALL(rseq, kHere, kFit<Rseq>),
    CALL(clone3, kHere, &Clone3),
    CALL(close_range, kHere, kFit<CloseRange>),
    CALL(openat2, kWorker, kFit<Openat2>),
    CALL(epoll_pwait2, kPark, kFit<EpollPwait2>),
};
#undef CALL

constexpr long kNumbers = 512;

struct Index {
  uint8_t place[kNumbers] = {};  // in kTable, plus one
  constexpr Index() {
    for (size_t i = 0; i < sizeof kTable / sizeof kTable[0]; ++i)
      place[kTable[i].nr] = static_cast<uint8_t>(i + 1);
  }
};
constexpr Index kIndex;

}  // namespace

const TableEntry* TableBegin() { return kTable; }
const TableEntry* TableEnd() { return kTable + sizeof kTable / sizeof kTable[0]; }

const TableEntry* FindCall(long nr) {
  if (static_cast<unsigned long>(nr) >= kNumbers || kIndex.place[nr] == 0) return nullptr;
  return &kTable[kIndex.place[nr] - 1];
}

bool TableWants(long nr) { return FindCall(nr) != nullptr; }

long Dispatch(Scheduler* scheduler, Registers* r) {
  const TableEntry* entry = FindCall(static_cast<long>(r->rax));
  if (entry != nullptr) return entry->handler(scheduler, r);
  return RawSyscall6(static_cast<long>(r->rax), static_cast<long>(r->rdi),
                     static_cast<long>(r->rsi), static_cast<long>(r->rdx),
                     static_cast<long>(r->r10), static_cast<long>(r->r8), static_cast<long>(r->r9));
}

namespace {

// A kernel thread that is no scheduler, or the child of a vfork: plain Linux (W2).
long Foreign(Registers* r) {
  if (r->rax == SYS_futex) {
    return ForeignFutex(reinterpret_cast<uint32_t*>(r->rdi), static_cast<int>(r->rsi),
                        static_cast<uint32_t>(r->rdx),
                        reinterpret_cast<const struct timespec*>(r->r10),
                        reinterpret_cast<uint32_t*>(r->r8), static_cast<uint32_t>(r->r9));
  }
  bool clones = r->rax == SYS_clone3 || r->rax == SYS_clone || r->rax == SYS_vfork;
  if (clones) {
    // The child returns on another stack, or over this one: it must not come back through these
    // frames.
    Registers child = *r;
    if (r->rax == SYS_clone3) {
      const auto* args = reinterpret_cast<const uint64_t*>(r->rdi);
      if (args[5] != 0) child.rsp = args[5] + args[6];
    } else if (r->rax == SYS_clone && r->rsi != 0) {
      child.rsp = r->rsi;
    } else if (r->rax == SYS_vfork) {
      return RawSyscall(SYS_fork);
    }
    return bobbin_clone_with_registers(static_cast<long>(r->rax), r, &child);
  }
  return RawSyscall6(static_cast<long>(r->rax), static_cast<long>(r->rdi),
                     static_cast<long>(r->rsi), static_cast<long>(r->rdx),
                     static_cast<long>(r->r10), static_cast<long>(r->r8), static_cast<long>(r->r9));
}

}  // namespace

extern "C" long bobbin_enter_from_text(Registers* registers) {
  Scheduler* scheduler = Scheduler::Current();
  if (__builtin_expect(scheduler == nullptr, 0)) return Foreign(registers);
  return Dispatch(scheduler, registers);
}

}  // namespace bobbin
