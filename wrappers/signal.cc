#include "wrappers/signal.h"

#include <errno.h>
#include <sys/signalfd.h>
#include <sys/ucontext.h>

#include "wrappers/futex.h"
#include "wrappers/io.h"
#include "wrappers/own_descriptor.h"
#include "wrappers/signal_delivery.h"
#include "wrappers/time.h"

namespace bobbin {

namespace {

constexpr uint64_t kUnblockable = SignalBit(SIGKILL) | SignalBit(SIGSTOP);

}  // namespace

uint64_t SetMask(Scheduler* scheduler, uint64_t mask) {
  Thread* self = scheduler->current();
  uint64_t old = self->signal_mask;
  mask &= ~kUnblockable;
  if (mask == old && mask == scheduler->kernel_mask) return old;
  Runtime& rt = runtime();
  uint64_t blocked_by_all = rt.masks.Intersection();
  // Again where a handler came between the two and left the mask that it found.
  do {
    {
      RuntimeSection section(scheduler);
      self->signal_mask = mask;
      self->mask_slot = rt.masks.Change(self->mask_slot, mask);
      if ((self->pending_signals.load(std::memory_order_relaxed) & ~mask) != 0)
        scheduler->RequestAttention();
    }
    // Outside the section: what the kernel holds pending is delivered here, to this thread.
    if (mask != scheduler->kernel_mask) scheduler->SetKernelMask(mask);
  } while (self->signal_mask != mask || scheduler->kernel_mask != mask);
  // A signal that everybody blocks from now on must not get in through the first scheduler's sleep,
  // which may have begun before: when it has answered, it sleeps with the new mask.
  if ((rt.masks.Intersection() & ~blocked_by_all) != 0 && scheduler->index() != 0) {
    scheduler->CallOn(
        rt.schedulers[0], [](Scheduler*, void*) {}, nullptr);
  }
  return old;
}

long RtSigprocmask(Scheduler* scheduler, int how, const uint64_t* set, uint64_t* old, size_t size) {
  if (size != sizeof *set) return -EINVAL;
  if (set != nullptr && !Readable(set, sizeof *set)) return -EFAULT;
  if (old != nullptr && !Writable(old, sizeof *old)) return -EFAULT;
  uint64_t before = scheduler->current()->signal_mask;
  if (set != nullptr) {
    uint64_t bits = *set;
    switch (how) {
      case SIG_BLOCK:
        SetMask(scheduler, before | bits);
        break;
      case SIG_UNBLOCK:
        SetMask(scheduler, before & ~bits);
        break;
      case SIG_SETMASK:
        SetMask(scheduler, bits);
        break;
      default:
        return -EINVAL;
    }
  }
  if (old != nullptr) *old = before;
  return 0;
}

long RtSigpending(Scheduler* scheduler, uint64_t* set, size_t size) {
  long result = RawSyscall(SYS_rt_sigpending, set, size);
  if (result < 0) return result;
  Thread* self = scheduler->current();
  *set |= self->pending_signals.load(std::memory_order_relaxed) & self->signal_mask;
  return 0;
}

long RtSigsuspend(Scheduler* scheduler, const uint64_t* mask, size_t size) {
  if (size != sizeof *mask) return -EINVAL;
  if (!Readable(mask, sizeof *mask)) return -EFAULT;
  TemporaryMask masked(scheduler, mask);
  if (!masked.delivered()) SleepUntil(scheduler, kNever);
  return -EINTR;
}

namespace {

// While it lives, the signals waited for are blocked and known to be awaited: they are taken, not
// handled, also where the thread does not block them (sigtimedwait(2)).
class Awaiting {
 public:
  Awaiting(Scheduler* scheduler, uint64_t signals)
      : scheduler_(scheduler), mask_(scheduler->current()->signal_mask) {
    __atomic_store_n(&scheduler->current()->awaited_signals, signals, __ATOMIC_SEQ_CST);
    SetMask(scheduler, mask_ | signals);
  }
  ~Awaiting() noexcept(false) {
    __atomic_store_n(&scheduler_->current()->awaited_signals, 0, __ATOMIC_RELAXED);
    SetMask(scheduler_, mask_);
  }
  Awaiting(const Awaiting&) = delete;
  Awaiting& operator=(const Awaiting&) = delete;

 private:
  Scheduler* scheduler_;
  uint64_t mask_;
};

constexpr uint64_t kLookAgain = 10'000'000;  // nanoseconds

int TakeOwnPending(Scheduler* scheduler, uint64_t wanted, siginfo_t* info) {
  RuntimeSection section(scheduler);
  return TakePending(scheduler->current(), wanted, info);
}

// A signal to the process is announced by a signalfd in the poller, one to this thread by its
// sender. Returns: the signal, -EAGAIN at the deadline, -EINTR.
long AwaitSignal(Scheduler* scheduler, uint64_t wanted, siginfo_t* info, uint64_t deadline) {
  Thread* self = scheduler->current();
  Awaiting awaiting(scheduler, wanted);
  OwnDescriptor descriptor(scheduler);
  for (;;) {
    if (int signal = TakeOwnPending(scheduler, wanted, info)) return signal;
    if (descriptor.fd() >= 0) scheduler->Expect(descriptor.fd(), POLLIN);
    struct timespec now = {0, 0};
    long result = RawSyscall(SYS_rt_sigtimedwait, &wanted, info, &now, sizeof wanted);
    if (result != -EAGAIN || runtime().clock.Now() >= deadline) return result;
    // What came before the descriptor existed makes no edge.
    if (descriptor.fd() < 0 && descriptor.Take(RawSyscall(SYS_signalfd4, -1, &wanted, sizeof wanted,
                                                          SFD_NONBLOCK | SFD_CLOEXEC)))
      continue;
    long waited;
    if (descriptor.fd() >= 0) {
      DescriptorWait wait(scheduler, descriptor.fd());
      waited = wait.Wait(POLLIN, Waiting::kSignal, deadline);
    } else {
      uint64_t again = runtime().clock.Now() + kLookAgain;
      waited = SleepUntil(scheduler, again < deadline ? again : deadline);
    }
    if (waited == -EINTR && self->handled) return -EINTR;
  }
}

}  // namespace

long RtSigtimedwait(Scheduler* scheduler, const uint64_t* set, siginfo_t* info,
                    const struct timespec* timeout, size_t size) {
  if (size != sizeof *set) return -EINVAL;
  if (!Readable(set, sizeof *set)) return -EFAULT;
  if (timeout != nullptr && !Readable(timeout, sizeof *timeout)) return -EFAULT;
  if (info != nullptr && !Writable(info, sizeof *info)) return -EFAULT;
  if (timeout != nullptr && !ValidTime(*timeout)) return -EINVAL;
  uint64_t deadline = timeout == nullptr ? kNever : runtime().clock.Now() + ToNanoseconds(*timeout);
  siginfo_t taken;
  long result = AwaitSignal(scheduler, *set & ~kUnblockable, &taken, deadline);
  if (result > 0 && info != nullptr) *info = taken;
  return result;
}

long Sigaltstack(Scheduler* scheduler, const stack_t* stack, stack_t* old) {
  if (stack != nullptr && !Readable(stack, sizeof *stack)) return -EFAULT;
  if (old != nullptr && !Writable(old, sizeof *old)) return -EFAULT;
  Thread* self = scheduler->current();
  stack_t before = self->alternate_stack;
  auto here = reinterpret_cast<uintptr_t>(__builtin_frame_address(0));
  auto base = reinterpret_cast<uintptr_t>(before.ss_sp);
  bool on_it = (before.ss_flags & SS_DISABLE) == 0 && here - base < before.ss_size;
  if (stack != nullptr) {
    if (on_it) return -EPERM;
    constexpr int kAutodisarm = static_cast<int>(1u << 31);
    if ((stack->ss_flags & ~kAutodisarm) != 0 && (stack->ss_flags & ~kAutodisarm) != SS_DISABLE &&
        (stack->ss_flags & ~kAutodisarm) != SS_ONSTACK) {
      return -EINVAL;
    }
    bool off = (stack->ss_flags & SS_DISABLE) != 0;
    const stack_t& wanted = off ? scheduler->own_alternate_stack : *stack;
    long result = RawSyscall(SYS_sigaltstack, &wanted, nullptr);
    if (result < 0) return result;
    scheduler->kernel_alternate_stack = wanted;
    self->alternate_stack = off ? stack_t{nullptr, SS_DISABLE, 0} : *stack;
    if (!runtime().alternate_stacks_used.exchange(true)) {
      RuntimeSection section(scheduler);
      RefreshActions();
    }
  }
  if (old != nullptr) {
    *old = before;
    if (on_it) old->ss_flags |= SS_ONSTACK;
  }
  return 0;
}

long SendToThread(Scheduler* scheduler, int process, int tid, int signal, const siginfo_t* given) {
  Runtime& rt = runtime();
  if (tid <= 0 || (process != 0 && process <= 0)) return -EINVAL;
  if (signal < 0 || signal > 64) return -EINVAL;
  if (process != 0 && process != rt.pid) return RawSyscall(SYS_tgkill, process, tid, signal);
  Thread* target = FindThread(scheduler, tid);
  if (target == nullptr) {
    // Not a user thread of ours: another process's thread (tkill), or one of our kernel threads, or
    // nobody.
    return process == 0 ? RawSyscall(SYS_tkill, tid, signal)
                        : RawSyscall(SYS_tgkill, process, tid, signal);
  }
  if (signal == 0) return 0;
  if (signal == SIGKILL) {
    RuntimeSection section(scheduler);
    ReleaseEveryRobustList(scheduler);
  }
  if (signal == SIGKILL || signal == SIGSTOP) return RawSyscall(SYS_kill, rt.pid, signal);
  siginfo_t info = {};
  if (given != nullptr) {
    info = *given;
  } else {
    info.si_code = SI_TKILL;
    info.si_pid = rt.pid;
    info.si_uid = static_cast<uid_t>(RawSyscall(SYS_getuid));
  }
  info.si_signo = signal;
  uint64_t bit = SignalBit(signal);
  bool blocked = (target->signal_mask & bit) != 0;
  RuntimeSection section(scheduler);
  if (!blocked && Ignored(signal)) return 0;
  AddPending(target, info);
  if (target == scheduler->current()) {
    if (!blocked) scheduler->RequestAttention();
  } else if (!blocked || (__atomic_load_n(&target->awaited_signals, __ATOMIC_RELAXED) & bit) != 0) {
    Scheduler::Interrupt(target);
  }
  return 0;
}

}  // namespace bobbin
