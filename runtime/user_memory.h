// Reads the program's memory where the kernel would: a bad address is an answer (EFAULT), not a
// crash.
//
// What touches the memory are a few labelled instructions; the SIGSEGV handler, asked through
// RecoverUserFault, continues behind a load that faulted. Callers: anyone, signal handlers.
#ifndef BOBBIN_RUNTIME_USER_MEMORY_H_
#define BOBBIN_RUNTIME_USER_MEMORY_H_

#include <time.h>

#include <cstddef>
#include <cstdint>

namespace bobbin {

// Returns: false when `address` cannot be read.
bool LoadUserWord(const uint32_t* address, uint32_t* out);
bool LoadUserWord(const uint64_t* address, uint64_t* out);

inline bool LoadUserTime(const struct timespec* address, struct timespec* out) {
  uint64_t seconds, nanoseconds;
  auto* words = reinterpret_cast<const uint64_t*>(address);
  if (!LoadUserWord(words, &seconds) || !LoadUserWord(words + 1, &nanoseconds)) return false;
  *out = {static_cast<time_t>(seconds), static_cast<long>(nanoseconds)};
  return true;
}

// Tells whether [address, address+size) can be read, or read and written, looking at one byte of
// each page. A range of no bytes always can.
bool Readable(const void* address, size_t size);
bool Writable(void* address, size_t size);

// Returns: where to continue after a fault at instruction `rip`, 0 when it is none of the loads
// above.
uintptr_t RecoverUserFault(uintptr_t rip);

}  // namespace bobbin

#endif  // BOBBIN_RUNTIME_USER_MEMORY_H_
