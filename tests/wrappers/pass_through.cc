#include "tests/wrappers/pass_through.h"

#include <linux/sched.h>
#include <sys/syscall.h>

#include "runtime/raw_syscall.h"

namespace bobbin {
namespace {

constexpr long kMaxNumber = 512;
long counts[kMaxNumber];
void (*volatile current_hook)(Registers*) = nullptr;

// The child starts behind the site with everything the parent had, on the stack that the caller
// gave it.
long Clone(const Registers* registers, uint64_t stack) {
  Registers child = *registers;
  if (stack != 0) child.rsp = stack;
  return bobbin_clone_with_registers(static_cast<long>(registers->rax), registers, &child);
}

// What a function may do to its caller's registers and a system call may not.
void SpoilRegisters() {
  asm volatile(
      "mov $-1, %%rdi\n mov $-1, %%rsi\n mov $-1, %%rdx\n mov $-1, %%r8\n mov $-1, %%r9\n"
      "mov $-1, %%r10\n mov $-1, %%r11\n mov $-1, %%rcx\n" ::
          : "rdi", "rsi", "rdx", "r8", "r9", "r10", "r11", "rcx");
}

}  // namespace

long PassThroughCount(long nr) { return __atomic_load_n(&counts[nr], __ATOMIC_RELAXED); }

void SetPassThroughHook(void (*hook)(Registers*)) { current_hook = hook; }

extern "C" long bobbin_enter_from_text(Registers* r) {
  const long nr = static_cast<long>(r->rax);
  if (nr >= 0 && nr < kMaxNumber) __atomic_fetch_add(&counts[nr], 1, __ATOMIC_RELAXED);
  if (auto hook = current_hook; hook != nullptr) {
    current_hook = nullptr;
    hook(r);
    current_hook = hook;
  }
  if (nr == SYS_clone && r->rsi != 0) return Clone(r, r->rsi);
  if (nr == SYS_clone3) {
    const auto* arguments = reinterpret_cast<const clone_args*>(r->rdi);
    if (arguments->stack != 0) return Clone(r, arguments->stack + arguments->stack_size);
  }
  // The child of vfork would run over this very frame.
  if (nr == SYS_vfork) return RawSyscall(SYS_fork);
  const long result = RawSyscall6(nr, r->rdi, r->rsi, r->rdx, r->r10, r->r8, r->r9);
  SpoilRegisters();
  return result;
}

}  // namespace bobbin
