#include "wrappers/memory.h"

#include <sys/mman.h>

namespace bobbin {

long Mmap(Scheduler* scheduler, void* address, size_t length, int protection, int flags, int fd,
          int64_t offset) {
  constexpr int kStackFlags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK;
  bool stack =
      address == nullptr && protection == PROT_NONE && (flags & ~MAP_NORESERVE) == kStackFlags;
  if (stack && length % 4096 == 0) {
    RuntimeSection section(scheduler);
    if (void* block = runtime().stacks.Allocate(length)) return reinterpret_cast<long>(block);
  }
  return RawSyscall(SYS_mmap, address, length, protection, flags, fd, offset);
}

long Munmap(Scheduler* scheduler, void* address, size_t length) {
  if (!runtime().stacks.Contains(address)) return RawSyscall(SYS_munmap, address, length);
  RuntimeSection section(scheduler);
  return runtime().stacks.Release(address, length) ? 0 : -EINVAL;
}

long Mprotect(Scheduler* scheduler, void* address, size_t length, int protection) {
  if (!runtime().stacks.Contains(address))
    return RawSyscall(SYS_mprotect, address, length, protection);
  RuntimeSection section(scheduler);
  return runtime().stacks.Protect(address, length, protection);
}

}  // namespace bobbin
