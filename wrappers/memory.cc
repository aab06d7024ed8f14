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

long Madvise(Scheduler* scheduler, Registers* registers) {
  constexpr int kPageOut = 21, kPopulateRead = 22, kPopulateWrite = 23, kCollapse = 25;
  switch (static_cast<int>(registers->rdx)) {
    case MADV_WILLNEED:
    case MADV_REMOVE:
    case kPageOut:
    case kPopulateRead:
    case kPopulateWrite:
    case kCollapse:
      return CallOnWorker(scheduler, Lane::kDisk, SignalEffect::kWait, *registers);
    default:
      return CallHere(*registers);
  }
}

}  // namespace bobbin
