// The user registers at a system call, as every way in that works on libc's text hands them to the
// table.
#ifndef BOBBIN_WRAPPERS_REGISTERS_H_
#define BOBBIN_WRAPPERS_REGISTERS_H_

#include <cstddef>
#include <cstdint>

namespace bobbin {

// Layout is fixed: ways_in/entry.S fills and reads it by offset.
struct Registers {
  uint64_t rax;  // the system-call number on entry
  uint64_t rdi, rsi, rdx, r10, r8, r9;
  uint64_t rbx, rbp, r12, r13, r14, r15;
  uint64_t rsp;  // as it was at the system-call instruction
  uint64_t rip;  // where execution continues after it
};
static_assert(sizeof(Registers) == 15 * 8);
static_assert(offsetof(Registers, rsp) == 13 * 8 && offsetof(Registers, rip) == 14 * 8);

// Above every number of a system call.
inline constexpr long kCallNumbers = 512;

extern "C" {

// Not zero for a call that the entry from text makes at once, without asking: the kernel answers
// it, and nobody counts it or wants to know. All zero until FillPassedDirectly.
extern __attribute__((visibility("hidden"))) uint8_t bobbin_passed_directly[kCallNumbers];

// Answers the system call in `registers`; defined by the table. Returns what the call site finds in
// rax. Touches no vector register except by switching to another thread (the shim that calls it
// saves them).
__attribute__((visibility("hidden"))) long bobbin_enter_from_text(Registers* registers);

// Continues execution at registers->rip with every register of `registers` loaded and rax = 0: how
// the child of a clone starts. Does not return.
[[noreturn]] __attribute__((visibility("hidden"))) void bobbin_load_registers(
    const Registers* registers);

// Makes the system call `nr` with the arguments in `parent`. In the child (result 0, on whatever
// stack the call gave it) clears the GS base, so that every call of the child is plain Linux, and
// loads `child`. Returns in the parent only.
__attribute__((visibility("hidden"))) long bobbin_clone_with_registers(long nr,
                                                                       const Registers* parent,
                                                                       const Registers* child);
}

}  // namespace bobbin

#endif  // BOBBIN_WRAPPERS_REGISTERS_H_
