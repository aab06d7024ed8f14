#include "wrappers/signal_delivery.h"

#include <sys/ucontext.h>

#include "runtime/descriptors.h"
#include "wrappers/dump_signal.h"
#include "wrappers/fault_frame.h"
#include "wrappers/futex.h"
#include "wrappers/preemption.h"
#include "wrappers/signal.h"
#include "wrappers/signal_ring.h"
#include "wrappers/signal_timers.h"

namespace bobbin {

namespace {

constexpr int kSignals = 64;
constexpr unsigned long kOnStack = SA_ONSTACK;

extern "C" void bobbin_restore_rt() asm("__restore_rt");

KernelAction actions[kSignals + 1];  // as the program set them
bool known[kSignals + 1];            // else: as the process was started with
bool always[kSignals + 1];           // caught although the program has no handler: see CatchAlways
// The handler that the kernel calls in place of the program's; null: see KernelForm.
struct Owner {
  KernelHandler handler = nullptr;
  unsigned long flags = 0;
};
Owner owners[kSignals + 1];
SpinLock actions_lock;
SignalRing rings[kMaxSchedulers];
// The kernel thread blocks everything until the ring has been emptied.
volatile bool held_back[kMaxSchedulers];

// The kernel keeps both kinds of handler in one field (sigaction(2), SA_SIGINFO).
using Handler = void (*)(int);
Handler AsHandler(KernelHandler action) {
  return reinterpret_cast<Handler>(reinterpret_cast<void*>(action));
}
KernelHandler AsAction(Handler handler) {
  return reinterpret_cast<KernelHandler>(reinterpret_cast<void*>(handler));
}

bool IsHandler(void (*handler)(int)) { return handler != SIG_DFL && handler != SIG_IGN; }

void LearnAction(int signal) {
  if (known[signal]) return;
  RawSyscall(SYS_rt_sigaction, signal, nullptr, &actions[signal], sizeof(uint64_t));
  known[signal] = true;
}

bool IsFault(int signal, const siginfo_t* info) {
  bool kind = signal == SIGSEGV || signal == SIGBUS || signal == SIGFPE || signal == SIGILL ||
              signal == SIGTRAP || signal == SIGSYS;
  return kind && info->si_code > 0;
}

long InstallAction(int signal, const KernelAction& wanted);

void TakeDefaultAction(int signal) {
  KernelAction plain = {SIG_DFL, 0, nullptr, 0};
  RawSyscall(SYS_rt_sigaction, signal, &plain, nullptr, sizeof plain.mask);
  uint64_t bit = SignalBit(signal);
  RawSyscall(SYS_tgkill, runtime().pid, RawSyscall(SYS_gettid), signal);
  RawSyscall(SYS_rt_sigprocmask, SIG_UNBLOCK, &bit, nullptr, sizeof bit);
}

// Adds what the kernel's mask in a frame lacks: the runtime's own signals, where the thread blocks
// them. Returns: the whole mask.
uint64_t ShowMask(ucontext_t* frame, uint64_t thread_mask) {
  uint64_t mask;
  __builtin_memcpy(&mask, &frame->uc_sigmask, sizeof mask);
  mask |= thread_mask & runtime().reserved_signals;
  __builtin_memcpy(&frame->uc_sigmask, &mask, sizeof mask);
  return mask;
}

// Has the current thread block `mask`, as far as the runtime is concerned: the kernel does already,
// or will in a moment. Callers: inside the runtime.
void CountMask(Scheduler* scheduler, uint64_t mask) {
  Thread* self = scheduler->current();
  SignalMasks& masks = runtime().masks;
  self->signal_mask = scheduler->kernel_mask = mask;
  if (masks.MaskOf(self->mask_slot) != mask) self->mask_slot = masks.Change(self->mask_slot, mask);
}

// Takes a signal that the current thread has pending and does not block. Returns: its number, 0
// when there is none. Callers: inside the runtime.
int TakeDeliverable(Scheduler* scheduler, siginfo_t* info) {
  Thread* self = scheduler->current();
  while (int signal = TakePending(self, ~self->signal_mask, info)) {
    if (!IsHandler(actions[signal].handler)) {
      if (Ignored(signal)) continue;
      if (EndsProcess(signal)) ReleaseEveryRobustList(scheduler);
    }
    self->redelivered_signals |= SignalBit(signal);
    return signal;
  }
  return 0;
}

// The kernel makes the frame and calls OnSignal, which runs the handler: before this returns, or as
// soon as the signal is let in.
void Redeliver(Scheduler* scheduler, int signal, siginfo_t* info) {
  RawSyscall(SYS_rt_tgsigqueueinfo, runtime().pid, scheduler->kernel_tid(), signal, info);
}

bool IsIgnored(Scheduler* scheduler, int signal) {
  if (scheduler == nullptr) return Ignored(signal);
  RuntimeSection section(scheduler);
  return Ignored(signal);
}

// Calls the program's handler for `signal` on the thread that runs, inside the kernel's signal
// frame.
void RunHandler(Scheduler* scheduler, int signal, siginfo_t* info, ucontext_t* context) {
  KernelAction action = actions[signal];
  if (!IsHandler(action.handler)) {
    if (!IsIgnored(scheduler, signal)) TakeDefaultAction(signal);
    if (scheduler != nullptr) KeepMask(scheduler, context);
    return;
  }
  Thread* self = scheduler == nullptr ? nullptr : scheduler->current();
  if (self != nullptr) {
    {
      RuntimeSection section(scheduler);
      CountMask(scheduler, ShowMask(context, self->signal_mask) | action.mask |
                               ((action.flags & SA_NODEFER) != 0 ? 0 : SignalBit(signal)));
    }
    self->handled = true;
    if ((action.flags & SA_RESTART) == 0) self->restart = false;
    ++scheduler->counters().signals_delivered;
  }
  if ((action.flags & SA_RESETHAND) != 0) {
    KernelAction plain = {SIG_DFL, 0, nullptr, 0};
    actions[signal] = plain;
    InstallAction(signal, plain);
  }
  bool handled = self != nullptr && self->handled;
  bool restart = self == nullptr || self->restart;
  if (self == nullptr) {
    AsAction(action.handler)(signal, info, context);
    return;
  }
  {
    const SuspendedFrame suspended(scheduler);
    AsAction(action.handler)(signal, info, context);
  }
  // The handler's own calls may have been interrupted and have said so: what counts is the call it
  // interrupted.
  self->handled = handled;
  self->restart = restart;
  AdoptMask(scheduler, context);
}

// Tells whether `thread` takes a signal sent to the process: it does not block it, or waits for it.
bool Takes(const Thread* thread, uint64_t bit) {
  return (thread->signal_mask & bit) == 0 ||
         (__atomic_load_n(&thread->awaited_signals, __ATOMIC_RELAXED) & bit) != 0;
}

// Who gets a signal sent to the process. Returns: null when everyone blocks it.
Thread* ChooseTarget(Scheduler* scheduler, int signal) {
  uint64_t bit = SignalBit(signal);
  Runtime& rt = runtime();
  Thread* main = rt.threads.Find(rt.pid);
  if (main != nullptr && Takes(main, bit)) return main;
  Thread* current = scheduler->current();
  if (current->state == ThreadState::kRunning && current->tid != 0 &&
      (current->signal_mask & bit) == 0)
    return current;
  struct Search {
    uint64_t bit;
    Thread* found;
  } search = {bit, nullptr};
  rt.threads.ForEach(
      [](Thread* thread, void* argument) {
        auto* wanted = static_cast<Search*>(argument);
        if (!Takes(thread, wanted->bit) || thread->state == ThreadState::kDone) return true;
        wanted->found = thread;
        return false;
      },
      &search);
  return search.found;
}

void RouteOne(Scheduler* scheduler, const siginfo_t& info) {
  int signal = info.si_signo;
  Thread* target = TimerTarget(info);
  if (target == nullptr) target = ChooseTarget(scheduler, signal);
  if (target == nullptr) {
    // Everyone blocks it now: back to the kernel, which holds it for the process while this kernel
    // thread blocks it too.
    uint64_t mask = scheduler->kernel_mask;
    scheduler->SetKernelMask(mask | SignalBit(signal));
    siginfo_t copy = info;
    RawSyscall(SYS_rt_sigqueueinfo, runtime().pid, signal, &copy);
    return;
  }
  AddPending(target, info);
  bool blocked = (target->signal_mask & SignalBit(signal)) != 0;
  bool awaited =
      (__atomic_load_n(&target->awaited_signals, __ATOMIC_RELAXED) & SignalBit(signal)) != 0;
  if (blocked && !awaited) return;
  if (target == scheduler->current() && target->state == ThreadState::kRunning) {
    scheduler->RequestAttention();
  } else {
    Scheduler::Interrupt(target);
  }
}

void RouteRing(Scheduler* scheduler) {
  WriteDelayedDump();
  siginfo_t info;
  for (;;) {
    while (rings[scheduler->index()].Take(&info)) RouteOne(scheduler, info);
    if (!held_back[scheduler->index()]) return;
    held_back[scheduler->index()] = false;
    scheduler->SetKernelMask(scheduler->kernel_mask);
  }
}

// A signal that comes inside the runtime.
void PutOff(Scheduler* scheduler, int signal, const siginfo_t& info, ucontext_t* frame) {
  if (!rings[scheduler->index()].Put(signal, info)) {
    // The kernel keeps the rest.
    held_back[scheduler->index()] = true;
    const uint64_t all = ~runtime().reserved_signals;
    __builtin_memcpy(&frame->uc_sigmask, &all, sizeof all);
  }
  scheduler->RequestAttention();
}

}  // namespace

void OnSignal(int signal, siginfo_t* info, void* context) {
  Scheduler* scheduler = Scheduler::Current();
  auto* frame = static_cast<ucontext_t*>(context);
  if (signal == kTick && scheduler != nullptr &&
      OnTick(scheduler, *info, static_cast<uintptr_t>(frame->uc_mcontext.gregs[REG_RIP]))) {
    return;
  }
  if (DumpOnSignal(scheduler, signal, *info) && !IsHandler(actions[signal].handler)) {
    if (scheduler != nullptr) scheduler->current()->redelivered_signals &= ~SignalBit(signal);
    return;
  }
  if (scheduler == nullptr) {
    // A worker interrupted: that its system call ended is all there is to it.
    if (signal != WorkerPool::kInterrupt) RunHandler(nullptr, signal, info, frame);
    return;
  }
  if (scheduler->in_runtime()) {
    PutOff(scheduler, signal, *info, frame);
    return;
  }
  Thread* self = scheduler->current();
  const uint64_t bit = SignalBit(signal);
  // SIGPIPE is raised by what this thread does.
  bool own = IsFault(signal, info) || signal == SIGPIPE || (self->redelivered_signals & bit) != 0;
  self->redelivered_signals &= ~bit;
  if (!own) {
    scheduler->EnterRuntime();
    Thread* target = TimerTarget(*info);
    if (target == nullptr) target = ChooseTarget(scheduler, signal);
    // What has come meanwhile is attended to first, and may not come back (siglongjmp).
    own = target == self && !scheduler->attention();
    if (!own) RouteOne(scheduler, *info);
    // Until this returns the kernel blocks more than the thread does.
    scheduler->kernel_mask |= actions[signal].mask | bit;
    scheduler->LeaveRuntime();
  }
  if (own) {
    RunHandler(scheduler, signal, info, frame);
  } else {
    KeepMask(scheduler, frame);
  }
}

namespace {

void Route(Scheduler* scheduler) { RouteRing(scheduler); }

void Attend(Scheduler* scheduler) {
  scheduler->EnterRuntime();
  RouteRing(scheduler);
  Thread* self = scheduler->current();
  if (self->signal_mask != scheduler->kernel_mask) scheduler->SetKernelMask(self->signal_mask);
  self->restart = true;
  self->handled = false;
  siginfo_t info;
  while (int signal = TakeDeliverable(scheduler, &info)) {
    scheduler->LeaveRuntimeQuietly();
    Redeliver(scheduler, signal, &info);
    scheduler->EnterRuntime();
  }
  scheduler->LeaveRuntimeQuietly();
}

void OnMovedFault(int signal, siginfo_t* info, void* context) {
  RunHandler(Scheduler::Current(), signal, info, static_cast<ucontext_t*>(context));
}

// SIGSEGV and SIGBUS, always ours: an overflow is reported, all else is the program's.
void OnFault(int signal, siginfo_t* info, void* context) {
  Scheduler* scheduler = Scheduler::Current();
  StackBlock block;
  bool kernel = info->si_code > 0;
  auto& registers = static_cast<ucontext_t*>(context)->uc_mcontext.gregs;
  if (uintptr_t on = kernel ? RecoverUserFault(static_cast<uintptr_t>(registers[REG_RIP])) : 0) {
    registers[REG_RIP] = static_cast<greg_t>(on);
    return;
  }
  if (scheduler != nullptr && kernel && runtime().stacks.FindBlock(info->si_addr, &block) &&
      reinterpret_cast<uintptr_t>(info->si_addr) - block.base < block.guard) {
    Thread* self = scheduler->current();
    uintptr_t stack = static_cast<uintptr_t>(registers[REG_RSP]);
    // A wild pointer into a guard is no overflow: the stack pointer must be near it, within what a
    // large frame may step over.
    constexpr uintptr_t kStep = 1024 * 1024;
    constexpr uintptr_t kNear = 64 * 1024;
    bool own = stack - (block.base - kStep) < kStep + block.guard + kNear;
    if (own) ReportOverflow(self, block);
  }
  if (IsHandler(actions[signal].handler)) {
    if (kernel) {
      auto* frame = static_cast<ucontext_t*>(context);
      if (scheduler != nullptr && scheduler->IsOnOwnAlternateStack(frame) &&
          MoveFrameToOwnStack(signal, frame, &OnMovedFault, &bobbin_restore_rt)) {
        return;
      }
      RunHandler(scheduler, signal, info, frame);
    } else {
      OnSignal(signal, info, context);
    }
    return;
  }
  if (!kernel && actions[signal].handler == SIG_IGN) return;
  // The default action, from the faulting instruction itself so that a core file shows it.
  KernelAction plain = {SIG_DFL, 0, nullptr, 0};
  RawSyscall(SYS_rt_sigaction, signal, &plain, nullptr, sizeof plain.mask);
  if (!kernel) RawSyscall(SYS_tgkill, runtime().pid, RawSyscall(SYS_gettid), signal);
}

// Byte for byte libc's own, without unwind information, and named as it: that is how unwinders and
// debuggers know a signal frame.
asm(R"(
.text
.byte 0x90
.hidden __restore_rt
.type __restore_rt,@function
__restore_rt:
  .byte 0x48, 0xc7, 0xc0, 0x0f, 0, 0, 0, 0x0f, 0x05
.size __restore_rt, .-__restore_rt
)");

constexpr unsigned long kSaRestorer = 0x04000000;

// What the kernel is told where the program wants `wanted`. The restorer is always ours: the return
// from a handler must not be a system call of the program's.
KernelAction KernelForm(int signal, const KernelAction& wanted) {
  KernelAction kernel = wanted;
  kernel.mask &= ~runtime().reserved_signals;
  kernel.restorer = &bobbin_restore_rt;
  const Owner& owner = owners[signal];
  if (owner.handler != nullptr) {
    kernel.handler = AsHandler(owner.handler);
    const bool fault = signal == SIGSEGV || signal == SIGBUS;
    kernel.flags = owner.flags | SA_SIGINFO | kSaRestorer |
                   (fault ? wanted.flags & (SA_NODEFER | SA_RESTART) : 0);
    if (!fault) kernel.mask = 0;
    return kernel;
  }
  if (!IsHandler(wanted.handler) && !always[signal]) return wanted;
  kernel.handler = AsHandler(&OnSignal);
  kernel.flags =
      (wanted.flags | SA_SIGINFO | kSaRestorer) & ~static_cast<unsigned long>(SA_RESETHAND);
  // Our own alternate stack is no place for a handler that may park: only threads with one of their
  // own use it.
  if (!runtime().alternate_stacks_used.load(std::memory_order_relaxed)) kernel.flags &= ~kOnStack;
  return kernel;
}

long InstallAction(int signal, const KernelAction& wanted) {
  const KernelAction kernel = KernelForm(signal, wanted);
  return RawSyscall(SYS_rt_sigaction, signal, &kernel, nullptr, sizeof kernel.mask);
}

}  // namespace

bool Ignored(int signal) {
  SpinLockHolder hold(&actions_lock);
  LearnAction(signal);
  void (*handler)(int) = actions[signal].handler;
  if (handler == SIG_IGN) return true;
  bool harmless = signal == SIGCHLD || signal == SIGURG || signal == SIGWINCH || signal == SIGCONT;
  return handler == SIG_DFL && harmless;
}

bool EndsProcess(int signal) {
  bool stops = signal == SIGSTOP || signal == SIGTSTP || signal == SIGTTIN || signal == SIGTTOU;
  if (signal < 1 || signal > kSignals || stops) return false;
  return signal == SIGKILL || (!Ignored(signal) && !IsHandler(actions[signal].handler));
}

long RtSigaction(Scheduler* scheduler, int signal, const KernelAction* action, KernelAction* old,
                 size_t size) {
  if (action != nullptr && !Readable(action, sizeof *action)) return -EFAULT;
  if (old != nullptr && !Writable(old, sizeof *old)) return -EFAULT;
  if (signal < 1 || signal > kSignals || size != sizeof(uint64_t) || signal == SIGKILL ||
      signal == SIGSTOP) {
    return RawSyscall(SYS_rt_sigaction, signal, action, old, size);
  }
  RuntimeSection section(scheduler);
  SpinLockHolder hold(&actions_lock);
  LearnAction(signal);
  KernelAction before = actions[signal];
  if (action != nullptr) {
    KernelAction wanted = *action;
    actions[signal] = wanted;
    const long result = InstallAction(signal, wanted);
    if (result < 0) {
      actions[signal] = before;
      return result;
    }
  }
  if (old != nullptr) *old = before;
  return 0;
}

void ResetSignalsAfterFork(Thread* survivor) {
  actions_lock.Unlock();
  ForgetPendingSignals();
  for (SignalRing& ring : rings) ring.Clear();
  for (volatile bool& held : held_back) held = false;
  survivor->pending = nullptr;
  survivor->pending_signals.store(0, std::memory_order_relaxed);
  survivor->redelivered_signals = 0;
}

void CatchAlways(int signal) {
  SpinLockHolder hold(&actions_lock);
  LearnAction(signal);
  if (always[signal]) return;
  always[signal] = true;
  if (IsHandler(actions[signal].handler)) return;
  InstallAction(signal, {nullptr, SA_RESTART, nullptr, 0});
}

void RefreshActions() {
  SpinLockHolder hold(&actions_lock);
  for (int signal = 1; signal <= kSignals; ++signal) {
    const KernelAction& wanted = actions[signal];
    const bool asked = known[signal] && IsHandler(wanted.handler) && (wanted.flags & kOnStack) != 0;
    if (asked) InstallAction(signal, wanted);
  }
}

void TakeSignal(int signal, KernelHandler handler, unsigned long flags) {
  SpinLockHolder hold(&actions_lock);
  LearnAction(signal);
  owners[signal] = {handler, flags};
  InstallAction(signal, actions[signal]);
}

void GiveSignalBack(int signal) {
  SpinLockHolder hold(&actions_lock);
  owners[signal] = Owner();
  RawSyscall(SYS_rt_sigaction, signal, &actions[signal], nullptr, sizeof actions[signal].mask);
}

namespace {

// Ignored by the program, but caught all the same.
template <typename Visit>
void ForEachCaughtThoughIgnored(Visit visit) {
  SpinLockHolder hold(&actions_lock);
  for (int signal = 1; signal <= kSignals; ++signal) {
    const bool caught = owners[signal].handler != nullptr || always[signal];
    if (caught && actions[signal].handler == SIG_IGN) visit(signal);
  }
}

}  // namespace

void LeaveSignals(Scheduler* scheduler) {
  ForEachCaughtThoughIgnored([](int signal) {
    RawSyscall(SYS_rt_sigaction, signal, &actions[signal], nullptr, sizeof(uint64_t));
  });
  const uint64_t mask = scheduler->current()->signal_mask;
  if ((mask & runtime().reserved_signals) != 0)
    RawSyscall(SYS_rt_sigprocmask, SIG_SETMASK, &mask, nullptr, sizeof mask);
}

void TakeSignalsBack(Scheduler* scheduler) {
  ForEachCaughtThoughIgnored([](int signal) { InstallAction(signal, actions[signal]); });
  if ((scheduler->current()->signal_mask & runtime().reserved_signals) != 0)
    scheduler->SetKernelMask(scheduler->current()->signal_mask);
}

void AdoptMask(Scheduler* scheduler, ucontext_t* frame) {
  // A handler that came between here and the return would leave behind the mask of this one.
  uint64_t all = ~uint64_t{0};
  RawSyscall(SYS_rt_sigprocmask, SIG_SETMASK, &all, nullptr, sizeof all);
  uint64_t mask;
  __builtin_memcpy(&mask, &frame->uc_sigmask, sizeof mask);
  scheduler->EnterRuntime();
  CountMask(scheduler, mask);
  // Those that the thread blocked until now come with the return.
  siginfo_t info;
  while (int signal = TakeDeliverable(scheduler, &info)) Redeliver(scheduler, signal, &info);
  scheduler->LeaveRuntimeQuietly();
  mask &= ~runtime().reserved_signals;
  __builtin_memcpy(&frame->uc_sigmask, &mask, sizeof mask);
}

void KeepMask(Scheduler* scheduler, ucontext_t* frame) {
  ShowMask(frame, scheduler->current()->signal_mask);
  AdoptMask(scheduler, frame);
}

void StartSignals() {
  runtime().hooks.attend = &Attend;
  runtime().hooks.route = &Route;
  runtime().hooks.set_quantum = &SetQuantum;
  runtime().hooks.nudge = &Nudge;
  runtime().reserved_signals = SignalBit(kTick);
  TakeSignal(SIGSEGV, &OnFault, SA_ONSTACK);
  TakeSignal(SIGBUS, &OnFault, SA_ONSTACK);
  // No SA_RESTART: what it is for is to end a worker's system call.
  TakeSignal(WorkerPool::kInterrupt, &OnSignal, 0);
  TakeSignal(kTick, &OnSignal, SA_RESTART | SA_NODEFER);
  StartDumpSignal();
}

void StopSignals() {
  for (int signal : {SIGSEGV, SIGBUS, WorkerPool::kInterrupt, kTick}) GiveSignalBack(signal);
  if (runtime().run.dump_signal != 0) GiveSignalBack(runtime().run.dump_signal);
  runtime().reserved_signals = 0;
  runtime().hooks = Hooks();
}

}  // namespace bobbin
