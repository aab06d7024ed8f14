#include "runtime/user_memory.h"

#include <initializer_list>

extern "C" {
// long load(address, out): 1, or 0 after a fault at the label.
long bobbin_load_word32(const uint32_t* address, uint32_t* out);
long bobbin_load_word64(const uint64_t* address, uint64_t* out);
extern const char bobbin_load_site32[];
extern const char bobbin_load_site64[];
// long touch(address): 1, or 0 after a fault at the label. Changes nothing.
long bobbin_read_byte(const void* address);
long bobbin_write_byte(void* address);
extern const char bobbin_read_site[];
extern const char bobbin_write_site[];
extern const char bobbin_load_failed[];
}

asm(R"(
.text
.hidden bobbin_read_byte, bobbin_write_byte, bobbin_read_site, bobbin_write_site
.type bobbin_read_byte,@function
bobbin_read_byte:
  .cfi_startproc
bobbin_read_site:
  movzbl (%rdi), %eax
  mov $1, %eax
  ret
  .cfi_endproc
.size bobbin_read_byte, .-bobbin_read_byte
.type bobbin_write_byte,@function
bobbin_write_byte:
  .cfi_startproc
bobbin_write_site:
  lock orb $0, (%rdi)
  mov $1, %eax
  ret
  .cfi_endproc
.size bobbin_write_byte, .-bobbin_write_byte
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

namespace {

template <typename Touch>
bool TouchAll(uintptr_t address, size_t size, Touch touch) {
  constexpr uintptr_t kPage = 4096;
  if (size == 0) return true;
  uintptr_t last = address + size - 1;
  if (last < address) return false;
  for (uintptr_t at = address;; at = (at & ~(kPage - 1)) + kPage) {
    if (!touch(at)) return false;
    if ((at ^ last) < kPage) return true;  // of one page, which is readable or not as a whole
  }
}

}  // namespace

bool Readable(const void* address, size_t size) {
  return TouchAll(reinterpret_cast<uintptr_t>(address), size, [](uintptr_t at) {
    return bobbin_read_byte(reinterpret_cast<const void*>(at)) != 0;
  });
}

bool Writable(void* address, size_t size) {
  return TouchAll(reinterpret_cast<uintptr_t>(address), size,
                  [](uintptr_t at) { return bobbin_write_byte(reinterpret_cast<void*>(at)) != 0; });
}

uintptr_t RecoverUserFault(uintptr_t rip) {
  for (const char* site :
       {bobbin_load_site32, bobbin_load_site64, bobbin_read_site, bobbin_write_site}) {
    if (rip == reinterpret_cast<uintptr_t>(site)) {
      return reinterpret_cast<uintptr_t>(bobbin_load_failed);
    }
  }
  return 0;
}

}  // namespace bobbin
