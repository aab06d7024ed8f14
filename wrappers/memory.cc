#include "wrappers/memory.h"

#include <sys/mman.h>
#include <sys/resource.h>

#include "wrappers/kernel_thread.h"

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

namespace {

// Once the program has set RLIMIT_AS, what the kernel holds is more by the reservation.
std::atomic<bool> address_limit_set{false};

void Shift(rlim_t* value, rlim_t by) {
  if (*value != RLIM_INFINITY) *value += by;
}

long LimitHere(int resource, const struct rlimit* wanted, struct rlimit* old) {
  const rlim_t reserved = resource == RLIMIT_AS ? runtime().reserved_bytes : 0;
  struct rlimit changed = {}, before = {};
  const bool was_set = address_limit_set.load(std::memory_order_relaxed);
  if (wanted != nullptr) {
    if (!Readable(wanted, sizeof *wanted)) return -EFAULT;
    changed = *wanted;
    Shift(&changed.rlim_cur, reserved);
    Shift(&changed.rlim_max, reserved);
  }
  if (old != nullptr && !Writable(old, sizeof *old)) return -EFAULT;
  const long result =
      RawSyscall(SYS_prlimit64, 0, resource, wanted == nullptr ? nullptr : &changed, &before);
  if (result < 0) return result;
  if (wanted != nullptr && resource == RLIMIT_AS) address_limit_set.store(true);
  if (old == nullptr) return 0;
  if (was_set) {
    Shift(&before.rlim_cur, -reserved);
    Shift(&before.rlim_max, -reserved);
  }
  *old = before;
  return 0;
}

}  // namespace

long Prlimit(Scheduler* scheduler, Registers* registers) {
  const auto process = static_cast<int>(registers->rdi);
  const auto resource = static_cast<int>(registers->rsi);
  if (resource != RLIMIT_AS || (process != 0 && process != runtime().pid))
    return OnKernelThreadOf<0>(scheduler, registers);
  return LimitHere(resource, reinterpret_cast<const struct rlimit*>(registers->rdx),
                   reinterpret_cast<struct rlimit*>(registers->r10));
}

long Getrlimit(Scheduler*, int resource, struct rlimit* limit) {
  if (!Writable(limit, sizeof *limit)) return -EFAULT;
  return LimitHere(resource, nullptr, limit);
}

long Setrlimit(Scheduler*, int resource, const struct rlimit* limit) {
  if (!Readable(limit, sizeof *limit)) return -EFAULT;
  return LimitHere(resource, limit, nullptr);
}

}  // namespace bobbin
