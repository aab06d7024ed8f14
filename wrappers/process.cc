#include "wrappers/process.h"

#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "runtime/high_descriptor.h"
#include "wrappers/io.h"
#include "wrappers/time.h"

#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434
#endif

namespace bobbin {

namespace {

constexpr uint64_t kFirstPause = 500'000;
constexpr uint64_t kLongestPause = 20'000'000;

// Parks until child `process` may have changed state: on its pidfd where it has one and its end is
// what counts, else for a while that grows with each time.
long WaitForChild(Scheduler* scheduler, int process, bool only_end, uint64_t* pause) {
  if (process > 0 && only_end) {
    long fd = RawSyscall(SYS_pidfd_open, process, 0);
    if (fd >= 0) {
      int descriptor = MoveDescriptorHigh(static_cast<int>(fd));
      runtime().descriptors.Reset(descriptor);
      long result;
      {
        scheduler->Expect(descriptor, POLLIN);
        DescriptorWait wait(scheduler, descriptor);
        result = wait.Wait(POLLIN, Waiting::kSignal, kNever);
      }
      runtime().descriptors.Reset(descriptor);
      scheduler->ViewOf(descriptor);
      RawSyscall(SYS_close, descriptor);
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
  uint64_t pause = kFirstPause;
  for (;;) {
    siginfo_t mine = {};
    long result = RawSyscall(SYS_waitid, kind, id, &mine, options | WNOHANG, usage);
    if (result < 0 || mine.si_pid != 0 || (options & WNOHANG) != 0) {
      if (result >= 0 && info != nullptr) *info = mine;
      return result;
    }
    bool only_end = (options & (WSTOPPED | WCONTINUED)) == 0;
    if (WaitForChild(scheduler, kind == P_PID ? id : -1, only_end, &pause) == -EINTR) return -EINTR;
  }
}

long Prctl(Scheduler* scheduler, int option, unsigned long a, unsigned long b, unsigned long c,
           unsigned long d) {
  Thread* self = scheduler->current();
  auto* text = reinterpret_cast<char*>(a);
  bool names = option == PR_SET_NAME || option == PR_GET_NAME;
  if (names && !Readable(text, 1)) return -EFAULT;
  if (option == PR_SET_NAME) {
    size_t i = 0;
    for (; i + 1 < sizeof self->name && text[i] != '\0'; ++i) self->name[i] = text[i];
    for (; i < sizeof self->name; ++i) self->name[i] = '\0';
    if (self->tid != runtime().pid) return 0;
  }
  if (option == PR_GET_NAME && self->tid != runtime().pid) {
    for (size_t i = 0; i < sizeof self->name; ++i) text[i] = self->name[i];
    return 0;
  }
  return RawSyscall(SYS_prctl, option, a, b, c, d);
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

}  // namespace bobbin
