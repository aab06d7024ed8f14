#include "runtime/user_memory.h"

extern "C" {
// long load(address, out): 1, or 0 after a fault at the label.
long bobbin_load_word32(const uint32_t* address, uint32_t* out);
long bobbin_load_word64(const uint64_t* address, uint64_t* out);
extern const char bobbin_load_site32[];
extern const char bobbin_load_site64[];
extern const char bobbin_load_failed[];
}

asm(R"(
.text
.hidden bobbin_load_word32, bobbin_load_word64, bobbin_load_site32, bobbin_load_site64, bobbin_load_failed
.type bobbin_load_word32,@function
bobbin_load_word32:
  .cfi_startproc
bobbin_load_site32:
  mov (%rdi), %eax
  mov %eax, (%rsi)
  mov $1, %eax
  ret
  .cfi_endproc
.size bobbin_load_word32, .-bobbin_load_word32
.type bobbin_load_word64,@function
bobbin_load_word64:
  .cfi_startproc
bobbin_load_site64:
  mov (%rdi), %rax
  mov %rax, (%rsi)
  mov $1, %eax
  ret
bobbin_load_failed:
  xor %eax, %eax
  ret
  .cfi_endproc
.size bobbin_load_word64, .-bobbin_load_word64
)");

namespace bobbin {

bool LoadUserWord(const uint32_t* address, uint32_t* out) {
  return bobbin_load_word32(address, out) != 0;
}
bool LoadUserWord(const uint64_t* address, uint64_t* out) {
  return bobbin_load_word64(address, out) != 0;
}

uintptr_t RecoverUserFault(uintptr_t rip) {
  bool ours = rip == reinterpret_cast<uintptr_t>(bobbin_load_site32) ||
              rip == reinterpret_cast<uintptr_t>(bobbin_load_site64);
  return ours ? reinterpret_cast<uintptr_t>(bobbin_load_failed) : 0;
}

}  // namespace bobbin
