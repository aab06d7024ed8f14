#include "wrappers/process.h"

#include <linux/seccomp.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/wait.h>

#include "wrappers/io.h"
#include "wrappers/kernel_thread.h"
#include "wrappers/own_descriptor.h"
#include "wrappers/signal_delivery.h"
#include "wrappers/socket.h"
#include "wrappers/time.h"

#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434
#endif

namespace bobbin {

namespace {

constexpr uint64_t kFirstPause = 500'000;
constexpr uint64_t kLongestPause = 20'000'000;

// Parks until the process of pidfd `fd` has ended.
long WaitForEnd(Scheduler* scheduler, int fd) {
  DescriptorWait wait(scheduler, fd);
  return wait.Wait(POLLIN, Waiting::kSignal, kNever);
}

// Parks until child `process` may have changed state: on its pidfd where it has one and its end is
// what counts, else for a while that grows with each time.
long WaitForChild(Scheduler* scheduler, int process, bool only_end, uint64_t* pause) {
  if (process > 0 && only_end) {
    OwnDescriptor descriptor(scheduler);
    if (descriptor.Take(RawSyscall(SYS_pidfd_open, process, 0))) {
      scheduler->Expect(descriptor.fd(), POLLIN);
      long result = WaitForEnd(scheduler, descriptor.fd());
      descriptor.Close();
      return result == -EINTR && !GoesOn(scheduler) ? -EINTR : 0;
    }
  }
  long result = SleepUntil(scheduler, runtime().clock.Now() + *pause);
  if (*pause < kLongestPause) *pause *= 2;
  return result == -EINTR && !scheduler->current()->restart ? -EINTR : 0;
}

}  // namespace

long Wait4(Scheduler* scheduler, int process, int* status, int options, struct rusage* usage) {
  uint64_t pause = kFirstPause;
  for (;;) {
    long result = RawSyscall(SYS_wait4, process, status, options | WNOHANG, usage);
    if (result != 0 || (options & WNOHANG) != 0) return result;
    bool only_end = (options & (WUNTRACED | WCONTINUED)) == 0;
    if (WaitForChild(scheduler, process, only_end, &pause) == -EINTR) return -EINTR;
  }
}

long Waitid(Scheduler* scheduler, int kind, int id, siginfo_t* info, int options,
            struct rusage* usage) {
  // A non-blocking pidfd never waits (pidfd_open(2), PIDFD_NONBLOCK).
  if (kind == P_PIDFD && runtime().descriptors.ProgramNonblock(id))
    return RawSyscall(SYS_waitid, kind, id, info, options, usage);
  bool only_end = (options & (WSTOPPED | WCONTINUED)) == 0;
  uint64_t pause = kFirstPause;
  for (;;) {
    if (kind == P_PIDFD) scheduler->Expect(id, POLLIN);
    siginfo_t mine = {};
    long result = RawSyscall(SYS_waitid, kind, id, &mine, options | WNOHANG, usage);
    if (result < 0 || mine.si_pid != 0 || (options & WNOHANG) != 0) {
      if (result < 0 || info == nullptr) return result;
      if (!Writable(info, sizeof *info)) return -EFAULT;
      *info = mine;
      return result;
    }
    if (kind == P_PIDFD && only_end) {
      long waited = WaitForEnd(scheduler, id);
      if (waited == -EINTR && !GoesOn(scheduler)) return -EINTR;
      if (waited < 0 && waited != -EINTR) return waited;
    } else if (WaitForChild(scheduler, kind == P_PID ? id : -1, only_end, &pause) == -EINTR) {
      return -EINTR;
    }
  }
}

namespace {

long Name(Scheduler* scheduler, Registers* registers) {
  Thread* self = scheduler->current();
  auto* text = reinterpret_cast<char*>(registers->rsi);
  if (!Readable(text, 1)) return -EFAULT;
  bool is_main = self->tid == runtime().pid;
  if (registers->rdi == PR_GET_NAME) {
    if (is_main) return CallHere(*registers);
    for (size_t i = 0; i < sizeof self->name; ++i) text[i] = self->name[i];
    return 0;
  }
  size_t i = 0;
  for (; i + 1 < sizeof self->name && text[i] != '\0'; ++i) self->name[i] = text[i];
  for (; i < sizeof self->name; ++i) self->name[i] = '\0';
  return is_main ? CallHere(*registers) : 0;
}

}  // namespace

long Prctl(Scheduler* scheduler, Registers* registers) {
  switch (static_cast<int>(registers->rdi)) {
    case PR_SET_NAME:
    case PR_GET_NAME:
      return Name(scheduler, registers);
    case PR_SET_SECCOMP:
      return Seccomp(
          scheduler,
          registers->rsi == SECCOMP_MODE_FILTER ? SECCOMP_SET_MODE_FILTER : SECCOMP_SET_MODE_STRICT,
          0, reinterpret_cast<void*>(registers->rdx));
    case PR_SET_SYSCALL_USER_DISPATCH:
      // One a kernel thread, and the runtime has it.
      return runtime().run.dispatch ? -EINVAL : CallHere(*registers);
    case PR_SET_KEEPCAPS:
    case PR_SET_SECUREBITS:
    case PR_CAPBSET_DROP:
    case PR_CAP_AMBIENT:
    case PR_SET_NO_NEW_PRIVS:
    case PR_SET_TIMERSLACK:
    case PR_SET_TSC:
    case PR_MCE_KILL:
    case PR_SET_IO_FLUSHER:
    case PR_SET_SPECULATION_CTRL:
      return OnEveryKernelThread(scheduler, registers);
    default:
      return CallHere(*registers);
  }
}

long OnKernelThread(Scheduler* scheduler, long nr, int tid, long a, long b) {
  Thread* thread = tid > 0 ? FindThread(scheduler, tid) : scheduler->current();
  int kernel_tid = thread == nullptr ? tid : thread->scheduler->kernel_tid();
  return RawSyscall(nr, kernel_tid, a, b);
}

long Flock(Scheduler* scheduler, int fd, int operation) {
  long result = RawSyscall(SYS_flock, fd, operation | LOCK_NB);
  if (result != -EWOULDBLOCK || (operation & LOCK_NB) != 0) return result;
  return CallOnWorker(scheduler, Lane::kOther, SYS_flock, fd, operation);
}

long Syslog(Scheduler* scheduler, int action, char* buffer, int size) {
  constexpr int kRead = 2;  // waits until there is something
  if (action != kRead) return RawSyscall(SYS_syslog, action, buffer, size);
  return CallOnWorker(scheduler, Lane::kOther, SYS_syslog, action, reinterpret_cast<long>(buffer),
                      size);
}

long Getrandom(Scheduler* scheduler, void* buffer, size_t size, unsigned flags) {
  // Waits only where the machine has just started.
  long result = RawSyscall(SYS_getrandom, buffer, size, flags | GRND_NONBLOCK);
  if (result != -EAGAIN || (flags & GRND_NONBLOCK) != 0) return result;
  return CallOnWorker(scheduler, Lane::kOther, SYS_getrandom, reinterpret_cast<long>(buffer),
                      static_cast<long>(size), static_cast<long>(flags));
}

namespace {

void RestoreModes() {
  Descriptors& table = runtime().descriptors;
  for (unsigned fd = 0; fd < table.capacity(); ++fd) {
    auto number = static_cast<int>(fd);
    Descriptor* d = table.Find(number);
    if (!d->Has(Descriptor::kRuntimeNonblock) || d->Has(Descriptor::kForked)) continue;
    long flags = RawSyscall(SYS_fcntl, number, F_GETFD);
    if (flags < 0 || (flags & FD_CLOEXEC) != 0) continue;
    Unmanage(number);
    d->Set(Descriptor::kRestored);
  }
}

void ForgetRestored() {
  Descriptors& table = runtime().descriptors;
  for (unsigned fd = 0; fd < table.capacity(); ++fd) {
    auto number = static_cast<int>(fd);
    Descriptor* d = table.Find(number);
    if (!d->Has(Descriptor::kRestored)) continue;
    d->Clear(Descriptor::kRestored);
    Manage(number, true);
  }
}

}  // namespace

long Execute(Scheduler* scheduler, Registers* registers) {
  RuntimeSection section(scheduler);
  RestoreModes();
  LeaveSignals(scheduler);
  long result = CallHere(*registers);
  TakeSignalsBack(scheduler);
  ForgetRestored();
  return result;
}

}  // namespace bobbin
