#include "wrappers/kernel_thread.h"

#include <asm/prctl.h>
#include <linux/futex.h>
#include <linux/seccomp.h>
#include <sched.h>

#include "wrappers/futex.h"
#include "wrappers/signal_delivery.h"

#ifndef SECCOMP_FILTER_FLAG_TSYNC_ESRCH
#define SECCOMP_FILTER_FLAG_TSYNC_ESRCH (1UL << 4)
#endif

namespace bobbin {

namespace {

struct CallElsewhere {
  const Registers* registers;
  long result;
};

bool Alone() {
  return runtime().threads.alive() == 1 &&
         runtime().scheduler_count.load(std::memory_order_relaxed) == 1;
}

}  // namespace

long OnEveryKernelThread(Scheduler* scheduler, Registers* registers) {
  Runtime& rt = runtime();
  long result = CallHere(*registers);
  if (result < 0) return result;
  int schedulers = rt.scheduler_count.load(std::memory_order_acquire);
  for (int i = 0; i < schedulers; ++i) {
    if (rt.schedulers[i] == scheduler) continue;
    CallElsewhere call = {registers, 0};
    scheduler->CallOn(
        rt.schedulers[i],
        [](Scheduler*, void* argument) {
          auto* made = static_cast<CallElsewhere*>(argument);
          made->result = CallHere(*made->registers);
        },
        &call);
    if (call.result < 0) Die("the kernel threads of the process could not be kept alike");
  }
  RuntimeSection section(scheduler);
  rt.workers.Renew();
  return result;
}

int KernelTidOf(Scheduler* scheduler, int tid) {
  Thread* thread = tid > 0 ? FindThread(scheduler, tid) : nullptr;
  return thread == nullptr ? tid : thread->scheduler->kernel_tid();
}

namespace {

struct CapabilityHeader {
  uint32_t version;
  int32_t pid;
};

bool LoadHeader(const uint32_t* header, CapabilityHeader* out) {
  uint32_t pid;
  if (!LoadUserWord(header, &out->version) || !LoadUserWord(header + 1, &pid)) return false;
  out->pid = static_cast<int32_t>(pid);
  return true;
}

}  // namespace

long Capget(Scheduler* scheduler, uint32_t* header, void* data) {
  CapabilityHeader mine;
  if (!LoadHeader(header, &mine) || FindThread(scheduler, mine.pid) == nullptr)
    return RawSyscall(SYS_capget, header, data);
  mine.pid = KernelTidOf(scheduler, mine.pid);
  return RawSyscall(SYS_capget, &mine, data);
}

long Capset(Scheduler* scheduler, uint32_t* header, const void* data) {
  CapabilityHeader mine;
  if (!LoadHeader(header, &mine)) return RawSyscall(SYS_capset, header, data);
  // Only a thread's own may be set.
  if (mine.pid != 0 && mine.pid != scheduler->current()->tid)
    return RawSyscall(SYS_capset, header, data);
  // A version it does not know the kernel corrects in the program's own header.
  constexpr uint32_t kVersion3 = 0x20080522;
  if (mine.version != kVersion3) return RawSyscall(SYS_capset, header, data);
  mine.pid = 0;
  Registers r = {};
  r.rax = SYS_capset;
  r.rdi = reinterpret_cast<uint64_t>(&mine);
  r.rsi = reinterpret_cast<uint64_t>(data);
  return OnEveryKernelThread(scheduler, &r);
}

long Personality(Scheduler* scheduler, Registers* registers) {
  constexpr uint32_t kAsk = 0xffffffff;
  if (static_cast<uint32_t>(registers->rdi) == kAsk) return CallHere(*registers);
  return OnEveryKernelThread(scheduler, registers);
}

namespace {

// Namespaces are the calling kernel thread's. Some may be changed only where it is the process's
// only one, so the workers, who would be others, leave first where they can.
long ChangeNamespaces(Scheduler* scheduler, const Registers& registers) {
  RuntimeSection section(scheduler);
  if (Alone()) runtime().workers.Stop();
  long result = CallHere(registers);
  if (result >= 0) runtime().workers.Renew();
  return result;
}

}  // namespace

long Unshare(Scheduler* scheduler, Registers* registers) {
  // Kernel threads that run the threads of one process must have its descriptors and directory.
  if ((registers->rdi & (CLONE_FILES | CLONE_FS)) != 0 && !Alone()) return -EINVAL;
  return ChangeNamespaces(scheduler, *registers);
}

long Setns(Scheduler* scheduler, Registers* registers) {
  return ChangeNamespaces(scheduler, *registers);
}

long Seccomp(Scheduler*, unsigned operation, unsigned flags, void* arguments) {
  // No kernel thread of ours could live with read, write and exit alone.
  if (operation == SECCOMP_SET_MODE_STRICT) return -EINVAL;
  bool asked = (flags & SECCOMP_FILTER_FLAG_TSYNC) != 0;
  if (operation != SECCOMP_SET_MODE_FILTER || asked)
    return RawSyscall(SYS_seccomp, operation, flags, arguments);
  unsigned synchronized = flags | SECCOMP_FILTER_FLAG_TSYNC;
  if ((flags & SECCOMP_FILTER_FLAG_NEW_LISTENER) != 0)
    synchronized |= SECCOMP_FILTER_FLAG_TSYNC_ESRCH;
  long result = RawSyscall(SYS_seccomp, operation, synchronized, arguments);
  // A kernel thread that some library made has filters of its own.
  bool others_differ =
      (flags & SECCOMP_FILTER_FLAG_NEW_LISTENER) != 0 ? result == -ESRCH : result > 0;
  return others_differ ? RawSyscall(SYS_seccomp, operation, flags, arguments) : result;
}

long ArchPrctl(Scheduler* scheduler, int option, uint64_t address) {
  switch (option) {
    case ARCH_SET_FS: {
      long result = RawSyscall(SYS_arch_prctl, option, address);
      if (result == 0) scheduler->current()->fs_base = address;
      return result;
    }
    case ARCH_SET_GS:
      return -EPERM;  // the runtime finds its scheduler by it
    case ARCH_GET_GS: {
      auto* out = reinterpret_cast<uint64_t*>(address);
      if (!Writable(out, sizeof *out)) return -EFAULT;
      *out = 0;
      return 0;
    }
    default: {
      // Shadow stacks would have to be switched with the threads.
      constexpr int kShadowStack = 0x5000, kShadowStackEnd = 0x5fff;
      if (option >= kShadowStack && option <= kShadowStackEnd) return -EOPNOTSUPP;
      return RawSyscall(SYS_arch_prctl, option, address);
    }
  }
}

long GetRobustList(Scheduler* scheduler, int tid, void** head, size_t* size) {
  Thread* thread = tid == 0 ? scheduler->current() : FindThread(scheduler, tid);
  if (thread == nullptr) return RawSyscall(SYS_get_robust_list, tid, head, size);
  if (!Writable(size, sizeof *size) || !Writable(head, sizeof *head)) return -EFAULT;
  *size = sizeof(struct robust_list_head);
  *head = thread->robust_list;
  return 0;
}

long Kill(Scheduler* scheduler, int process, int signal) {
  // A thread's id stands for its process.
  bool ours = process > 0 && FindThread(scheduler, process) != nullptr;
  bool blocked = signal >= 1 && signal <= 64 && signal != SIGKILL &&
                 (runtime().masks.Intersection() & SignalBit(signal)) != 0;
  if (ours && !blocked) {
    RuntimeSection section(scheduler);
    if (EndsProcess(signal)) ReleaseEveryRobustList(scheduler);
  }
  return RawSyscall(SYS_kill, ours ? runtime().pid : process, signal);
}

}  // namespace bobbin
