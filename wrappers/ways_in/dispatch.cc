#include "wrappers/ways_in/dispatch.h"

#include <link.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/ucontext.h>

#include "runtime/text.h"
#include "wrappers/signal_delivery.h"
#include "wrappers/table.h"
#include "wrappers/ways_in/object_text.h"
#include "wrappers/ways_in/trapped_sites.h"

#ifndef PR_SET_SYSCALL_USER_DISPATCH
#define PR_SET_SYSCALL_USER_DISPATCH 59
#define PR_SYS_DISPATCH_OFF 0
#define PR_SYS_DISPATCH_ON 1
#endif
#ifndef SYS_USER_DISPATCH
#define SYS_USER_DISPATCH 2
#endif

extern "C" [[noreturn]] void bobbin_return_from_signal(uintptr_t frame);
asm(R"(
.text
.hidden bobbin_return_from_signal
.type bobbin_return_from_signal,@function
bobbin_return_from_signal:
  .cfi_startproc
  .cfi_undefined rip
  mov %rdi, %rsp
  mov $15, %eax
  syscall
  hlt
  .cfi_endproc
.size bobbin_return_from_signal, .-bobbin_return_from_signal
)");

namespace bobbin {

namespace {

uintptr_t own_begin = 0, own_end = 0;
bool started = false;

// Guarded by sites_lock, which is taken inside the runtime only.
TrappedSites sites;
SpinLock sites_lock;

// Returns: where the thread continues after the call.
uintptr_t NoteAndPatch(Scheduler* scheduler, uintptr_t address, long nr) {
  RuntimeSection section(scheduler);
  SpinLockHolder hold(&sites_lock);
  ++scheduler->counters().traps;
  TrappedSite* site = sites.Note(address, nr);
  if (site == nullptr) return address + kSyscallBytes;
  // The one suspended frame is this trap's.
  const bool alone =
      scheduler->suspended == 1 && runtime().scheduler_count.load(std::memory_order_relaxed) == 1;
  return sites.Patch(site, alone);
}

Registers FromContext(const ucontext_t& context, long nr) {
  const auto& from = context.uc_mcontext.gregs;
  const auto get = [&](int which) { return static_cast<uint64_t>(from[which]); };
  return {static_cast<uint64_t>(nr),
          get(REG_RDI),
          get(REG_RSI),
          get(REG_RDX),
          get(REG_R10),
          get(REG_R8),
          get(REG_R9),
          get(REG_RBX),
          get(REG_RBP),
          get(REG_R12),
          get(REG_R13),
          get(REG_R14),
          get(REG_R15),
          get(REG_RSP),
          get(REG_RIP)};
}

// A frame that this library did not make the return of: the program's own restorer.
[[noreturn]] void ReturnFromSignal(Scheduler* scheduler, uintptr_t frame) {
  AdoptMask(scheduler, reinterpret_cast<ucontext_t*>(frame));
  bobbin_return_from_signal(frame);
}

void OnTrap(int signal, siginfo_t* info, void* context) {
  Scheduler* scheduler = Scheduler::Current();
  if (info->si_code != SYS_USER_DISPATCH || scheduler == nullptr) {
    OnSignal(signal, info, context);
    return;
  }
  auto* frame = static_cast<ucontext_t*>(context);
  auto& registers = frame->uc_mcontext.gregs;
  const long nr = info->si_syscall;
  if (nr == SYS_rt_sigreturn)
    ReturnFromSignal(scheduler, static_cast<uintptr_t>(registers[REG_RSP]));
  const SuspendedFrame suspended(scheduler);
  const uintptr_t behind =
      NoteAndPatch(scheduler, reinterpret_cast<uintptr_t>(info->si_call_addr) - kSyscallBytes, nr);
  registers[REG_RIP] = static_cast<greg_t>(behind);
  Registers call = FromContext(*frame, nr);
  registers[REG_RAX] = Dispatch(scheduler, &call);
  // The return restores the alternate stack too.
  if (nr == SYS_sigaltstack) frame->uc_stack = scheduler->kernel_alternate_stack;
  // The return restores the mask from here: the call, or a handler meanwhile, may have changed it.
  const uint64_t mask = scheduler->kernel_mask & ~runtime().reserved_signals;
  __builtin_memcpy(&frame->uc_sigmask, &mask, sizeof mask);
}

}  // namespace

const char* FindOwnCode() {
  return FindExecutableSegment(reinterpret_cast<uintptr_t>(&OnTrap), &own_begin, &own_end)
             ? ""
             : "the library cannot find its own text";
}

bool IsOwnCode(uintptr_t address) { return address - own_begin < own_end - own_begin; }

const char* StartDispatch() {
  runtime().reserved_signals |= SignalBit(SIGSYS);
  TakeSignal(SIGSYS, &OnTrap, SA_NODEFER);
  started = true;
  if (DispatchThisThread(true) == 0) return "";
  StopDispatch();
  return "the machine denies Syscall User Dispatch (Linux 5.11)";
}

void StopDispatch() {
  started = false;
  runtime().reserved_signals &= ~SignalBit(SIGSYS);
  GiveSignalBack(SIGSYS);
}

long DispatchThisThread(bool on) {
  if (!started) return 0;
  return RawSyscall(SYS_prctl, PR_SET_SYSCALL_USER_DISPATCH,
                    on ? PR_SYS_DISPATCH_ON : PR_SYS_DISPATCH_OFF, on ? own_begin : 0,
                    on ? own_end - own_begin : 0, 0);
}

void ResetDispatchAfterFork() { sites_lock.Unlock(); }

const TrappedSite& TrappedSiteAt(size_t n) { return sites.begin()[n]; }

}  // namespace bobbin
