// Decodes the length of any x86-64 instruction and, for a short white list, what a copy of it may
// rely on.
//
// Lengths are needed for everything in libc (to find where instructions begin); meaning only for
// the few instructions that stand around system calls. Whatever is not on the list is neither
// copied nor looked through.
//
// Callers: anyone. Blocks: never. Source: Intel SDM volume 2, chapter 2 and appendix A.
#ifndef BOBBIN_WRAPPERS_WAYS_IN_INSTRUCTION_H_
#define BOBBIN_WRAPPERS_WAYS_IN_INSTRUCTION_H_

#include <cstdint>

namespace bobbin {

struct Instruction {
  enum class Flow : uint8_t {
    kNext,    // goes on behind itself
    kBranch,  // a conditional jump to `target`, else goes on behind itself
    kCall,    // comes back, with the caller-saved registers changed; `target` is 0 where it is not
              // constant
    kLeave,   // never goes on behind itself; `target` is 0 where it is not constant
  };

  uint8_t length;  // 0: not an instruction of this machine
  uint8_t map;     // 0: one-byte opcodes; 1: 0f; 2: 0f 38; 3: 0f 3a
  uint8_t opcode;  // the last byte of the opcode
  uint8_t rex;     // 0 if there is none
  uint8_t modrm;   // 0 if there is none
  uint8_t
      displacement;   // offset of a 32-bit displacement relative to the instruction pointer, else 0
  uint8_t immediate;  // offset of the immediate operand (or of its place, if there is none)
  Flow flow;
  bool vector_prefix;   // VEX or EVEX
  bool operand_prefix;  // 66
  bool repeat_prefix;   // f2, f3 or lock
  uintptr_t target;     // of a direct jump or call, else 0
};

// Decodes the instruction at `address`, reading nothing at or behind `limit`.
Instruction Decode(uintptr_t address, uintptr_t limit);

// Tells whether a copy of the instruction at another address does the same (its displacement
// corrected, if it has one). False for whatever the list does not name and for whatever writes rsp.
bool IsCopyable(const Instruction& instruction);

// Tells whether the instruction may write any part of rax. True for whatever is not on the list.
bool MayWriteRax(const Instruction& instruction);

}  // namespace bobbin

#endif  // BOBBIN_WRAPPERS_WAYS_IN_INSTRUCTION_H_
