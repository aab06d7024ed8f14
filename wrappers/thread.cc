#include "wrappers/thread.h"

#include <linux/futex.h>
#include <linux/sched.h>
#include <sched.h>

#include <new>

#include "wrappers/futex.h"
#include "wrappers/preemption.h"
#include "wrappers/scheduling.h"
#include "wrappers/signal_delivery.h"
#include "wrappers/signal_timers.h"
#include "wrappers/started.h"
#include "wrappers/ways_in/dispatch.h"

namespace bobbin {

namespace {

struct NewThread {
  uint64_t flags;
  uint64_t stack_low;  // 0: not known
  uint64_t stack_top;
  uint64_t thread_pointer;
  uint32_t* parent_tid;
  uint32_t* child_tid;
};

// Below the stack's top, where the child's registers wait for it; its own first frame may overwrite
// them.
constexpr uint64_t kRegistersBelowTop = 256;

void StartChild(void* registers) {
  bobbin_load_registers(static_cast<const Registers*>(registers));
}

long MakeThread(Scheduler* scheduler, const Registers* registers, const NewThread& wanted) {
  RuntimeSection section(scheduler);
  Runtime& rt = runtime();
  Thread* creator = scheduler->current();
  Thread* thread = rt.threads.Allocate();
  if (thread == nullptr) return -EAGAIN;
  uint64_t top = wanted.stack_top & ~uint64_t{15};
  auto* start = new (reinterpret_cast<void*>(top - kRegistersBelowTop)) Registers(*registers);
  start->rsp = wanted.stack_top;
  thread->fs_base = (wanted.flags & CLONE_SETTLS) != 0 ? wanted.thread_pointer : creator->fs_base;
  thread->stack_low = wanted.stack_low;
  __builtin_memcpy(thread->name, creator->name, sizeof thread->name);  // PR_SET_NAME(2const)
  thread->signal_mask = creator->signal_mask;
  thread->mask_slot = rt.masks.Add(thread->signal_mask);
  InheritScheduling(thread, creator);
  auto tid = static_cast<uint32_t>(thread->tid);
  if ((wanted.flags & CLONE_CHILD_CLEARTID) != 0) thread->clear_tid = wanted.child_tid;
  if ((wanted.flags & CLONE_PARENT_SETTID) != 0) *wanted.parent_tid = tid;
  if ((wanted.flags & CLONE_CHILD_SETTID) != 0) *wanted.child_tid = tid;
  rt.Place(creator)->Spawn(thread, top, &StartChild, start);
  return static_cast<long>(tid);
}

void ContinueInChild(Scheduler* scheduler) {
  ForgetTimers();
  ResetSignalsAfterFork(scheduler->current());
  ResetPreemptionAfterFork();
  ResetDispatchAfterFork();
  runtime().ResetAfterFork();
  ForgetReportAfterFork();
}

// Makes a process by `call`, a fork or a clone that returns twice. Signals wait meanwhile: what was
// sent to the child is for a child that is complete, and what the parent is about to hand on to a
// thread is the parent's.
template <typename Call>
long MakeProcess(Scheduler* scheduler, Call call) {
  runtime().descriptors.ForgetModes();
  uint64_t all = ~uint64_t{0}, before;
  RawSyscall(SYS_rt_sigprocmask, SIG_SETMASK, &all, &before, sizeof all);
  long result = call();
  if (result == 0) ContinueInChild(scheduler);
  RawSyscall(SYS_rt_sigprocmask, SIG_SETMASK, &before, nullptr, sizeof before);
  return result;
}

bool IsThread(uint64_t flags) { return (flags & CLONE_VM) != 0 && (flags & CLONE_THREAD) != 0; }

}  // namespace

long Clone3(Scheduler* scheduler, Registers* registers) {
  auto* args = reinterpret_cast<const struct clone_args*>(registers->rdi);
  if (registers->rsi < CLONE_ARGS_SIZE_VER0) return -EINVAL;
  if (IsThread(args->flags)) {
    NewThread wanted = {args->flags,
                        args->stack,
                        args->stack + args->stack_size,
                        args->tls,
                        reinterpret_cast<uint32_t*>(args->parent_tid),
                        reinterpret_cast<uint32_t*>(args->child_tid)};
    return MakeThread(scheduler, registers, wanted);
  }
  if ((args->flags & CLONE_VM) == 0) {
    return MakeProcess(scheduler,
                       [=] { return RawSyscall(SYS_clone3, registers->rdi, registers->rsi); });
  }
  // posix_spawn: the child runs beside us on a stack of its own, until it executes a program.
  Registers child = *registers;
  if (args->stack != 0) child.rsp = args->stack + args->stack_size;
  return bobbin_clone_with_registers(SYS_clone3, registers, &child);
}

long Clone(Scheduler* scheduler, Registers* registers) {
  uint64_t flags = registers->rdi;
  uint64_t stack = registers->rsi;
  if (IsThread(flags)) {
    NewThread wanted = {flags,
                        0,
                        stack,
                        registers->r8,
                        reinterpret_cast<uint32_t*>(registers->rdx),
                        reinterpret_cast<uint32_t*>(registers->r10)};
    return MakeThread(scheduler, registers, wanted);
  }
  if ((flags & CLONE_VM) != 0 && stack != 0) {
    Registers child = *registers;
    child.rsp = stack;
    return bobbin_clone_with_registers(SYS_clone, registers, &child);
  }
  flags &= ~static_cast<uint64_t>(CLONE_VM | CLONE_VFORK);
  if (stack != 0) {
    Registers child = *registers;
    Registers changed = *registers;
    child.rsp = stack;
    changed.rdi = flags;
    return bobbin_clone_with_registers(SYS_clone, &changed, &child);
  }
  return MakeProcess(scheduler, [=] {
    return RawSyscall(SYS_clone, flags, 0, registers->rdx, registers->r10, registers->r8);
  });
}

long Fork(Scheduler* scheduler) {
  return MakeProcess(scheduler, [] { return RawSyscall(SYS_fork); });
}

void ExitThread(Scheduler* scheduler, int status) {
  Thread* self = scheduler->current();
  if (runtime().threads.alive() == 1) ExitGroup(scheduler, status);
  scheduler->EnterRuntime();
  ReleaseRobustList(scheduler, self);
  siginfo_t unread;
  while (TakePending(self, ~uint64_t{0}, &unread) != 0) {
  }
  scheduler->Exit([](Thread* thread) {
    if (thread->clear_tid == nullptr) return;
    // Read first: whoever joins may free the memory as soon as the word is 0.
    uint32_t* word = thread->clear_tid;
    __atomic_store_n(word, 0, __ATOMIC_SEQ_CST);
    WakeForEndOf(word);
  });
}

long SetTidAddress(Scheduler* scheduler, uint32_t* address) {
  scheduler->current()->clear_tid = address;
  return scheduler->current()->tid;
}

long SetRobustList(Scheduler* scheduler, void* head, size_t size) {
  if (size != sizeof(struct robust_list_head)) return -EINVAL;
  scheduler->current()->robust_list = head;
  // The main thread's id is the kernel's, so the kernel can do it too, should the process be
  // killed.
  if (scheduler->current()->tid == scheduler->kernel_tid())
    return RawSyscall(SYS_set_robust_list, head, size);
  return 0;
}

}  // namespace bobbin
