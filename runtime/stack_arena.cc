#include "runtime/stack_arena.h"

#include <errno.h>
#include <sys/mman.h>

namespace bobbin {
namespace {

// Linux 6.13; not in the headers of older libcs.
constexpr int kMadvGuardInstall = 102;
constexpr int kMadvGuardRemove = 103;

constexpr size_t kLeastBytes = size_t{1} << 30;
constexpr size_t kMaxBlockBytes = size_t{1} << 40;  // a guard's pages must fit Block::state

// Returns: the address, or 0.
uintptr_t MapLazily(size_t bytes, int flags) {
  long mapping = RawSyscall(SYS_mmap, nullptr, bytes, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | flags, -1, 0);
  return mapping < 0 ? 0 : static_cast<uintptr_t>(mapping);
}

long Advise(uintptr_t from, uintptr_t to, int advice) {
  return from == to ? 0 : RawSyscall(SYS_madvise, from, to - from, advice);
}

long SetProtection(uintptr_t from, uintptr_t to, int protection) {
  return from == to ? 0 : RawSyscall(SYS_mprotect, from, to - from, protection);
}

void Zero(uintptr_t from, uintptr_t to) {
  size_t words = (to - from) / sizeof(uint64_t);
  asm volatile("rep stosq" : "+D"(from), "+c"(words) : "a"(uint64_t{0}) : "memory");
}

// Makes [from, to) read as zero and cost nothing.
void GiveMemoryBack(uintptr_t from, uintptr_t to) {
  // Refused after mlockall(2): then the memory stays, but what was in it must not.
  if (Advise(from, to, MADV_DONTNEED) != 0) Zero(from, to);
}

}  // namespace

bool StackArena::Init(size_t bytes, bool light_guards) {
  if (bytes > kMaxBytes) bytes = kMaxBytes;
  bytes -= bytes % kUnitBytes;
  while (bytes > 0 && !Reserve(bytes)) {
    if (bytes <= kLeastBytes) return false;
    bytes /= 2;
    bytes -= bytes % kUnitBytes;
    if (bytes < kLeastBytes) bytes = kLeastBytes;
  }
  if (bytes == 0) return false;
  // A huge page under each stack that was touched once would be ruinous.
  Advise(base_, base_ + bytes_, MADV_NOHUGEPAGE);
  // A core dump walks every page it may contain: it gets the carved slabs and skips the terabytes
  // behind them.
  Advise(base_, base_ + bytes_, MADV_DONTDUMP);
  light_guards_ = light_guards && Advise(base_, base_ + kPage, kMadvGuardInstall) == 0;
  if (light_guards_) Advise(base_, base_ + kPage, kMadvGuardRemove);
  return true;
}

bool StackArena::Reserve(size_t bytes) {
  size_t units = bytes / kUnitBytes;
  size_t blocks_bytes = units * kBlocksPerUnit * sizeof(Block);
  size_t tables_bytes = blocks_bytes + (units * sizeof units_[0] + kPage - 1) / kPage * kPage;
  uintptr_t tables = MapLazily(tables_bytes, 0);
  if (tables == 0) return false;
  uintptr_t base = MapLazily(bytes, MAP_STACK);
  if (base == 0) {
    RawSyscall(SYS_munmap, tables, tables_bytes);
    return false;
  }
  Advise(tables, tables + tables_bytes, MADV_DONTDUMP);
  tables_bytes_ = tables_bytes;
  blocks_ = reinterpret_cast<Block*>(tables);
  units_ = reinterpret_cast<std::atomic<uint64_t>*>(tables + blocks_bytes);
  base_ = base;
  bytes_ = bytes;
  return true;
}

StackArena::~StackArena() {
  if (bytes_ == 0) return;
  RawSyscall(SYS_munmap, blocks_, tables_bytes_);
  RawSyscall(SYS_munmap, base_, bytes_);
}

// Returns: the class of `size`, or an unused one for it, or null. Programs use one or two sizes, so
// the search is short.
StackArena::SizeClass* StackArena::ClassOf(size_t size) {
  for (SizeClass& size_class : classes_) {
    if (size_class.size == size || size_class.size == 0) return &size_class;
  }
  return nullptr;
}

// Takes the next units for a slab of blocks of `size`. Returns: false when the arena has not enough
// left.
bool StackArena::Carve(SizeClass* size_class, size_t size) {
  size_t units = (size + kUnitBytes - 1) / kUnitBytes;
  if (units > bytes_ / kUnitBytes - units_carved_) return false;
  size_t first = units_carved_;
  if (size_class->size == 0) size_class->size = size;  // Locate may be reading one that is set
  uint64_t entry = static_cast<uint64_t>(first) << 8 | (size_class - classes_ + 1);
  for (size_t unit = first; unit < first + units; ++unit) {
    units_[unit].store(entry, std::memory_order_release);  // Locate reads the class after it
  }
  units_carved_ = first + units;
  size_class->fresh = static_cast<uint32_t>(first * kBlocksPerUnit);
  // A fork between the two stores must only lose the slab.
  std::atomic_signal_fence(std::memory_order_seq_cst);
  size_class->fresh_end = static_cast<uint32_t>(size_class->fresh + units * kUnitBytes / size);
  return true;
}

uintptr_t StackArena::AddressOf(uint32_t number) const {
  uint64_t entry = units_[number / kBlocksPerUnit].load(std::memory_order_relaxed);
  size_t first = entry >> 8;
  return base_ + first * kUnitBytes +
         (number - first * kBlocksPerUnit) * classes_[(entry & 0xff) - 1].size;
}

void* StackArena::Allocate(size_t size) {
  if (size == 0 || size % kPage != 0 || size > kMaxBlockBytes) return nullptr;
  uint32_t number;
  bool carved = false;
  {
    SpinLockHolder hold(&lock_);
    SizeClass* size_class = ClassOf(size);
    if (size_class == nullptr) return nullptr;
    if (size_class->free != kNone) {
      number = size_class->free;
      size_class->free = blocks_[number].next;
    } else {
      carved = size_class->fresh >= size_class->fresh_end;
      if (carved && !Carve(size_class, size)) return nullptr;
      number = size_class->fresh++;
      handed_out_.fetch_add(1, std::memory_order_relaxed);
    }
  }
  uintptr_t base = AddressOf(number);
  if (carved) {
    size_t slab_bytes = (size + kUnitBytes - 1) / kUnitBytes * kUnitBytes;
    Advise(base, base + slab_bytes, MADV_DODUMP);
  }
  std::atomic<uint32_t>& state = blocks_[number].state;
  uint32_t guard = state.load(std::memory_order_relaxed) >> kGuardShift << kGuardShift;
  state.store(guard | kHeld | kUnopened, std::memory_order_release);
  return reinterpret_cast<void*>(base);
}

bool StackArena::Locate(uintptr_t address, Place* place) const {
  uintptr_t offset = address - base_;
  if (offset >= bytes_) return false;
  uint64_t entry = units_[offset / kUnitBytes].load(std::memory_order_acquire);
  if (entry == 0) return false;
  size_t first = entry >> 8;
  size_t size = classes_[(entry & 0xff) - 1].size;
  // Behind the slab's last block this is the number of one that is never held.
  size_t index = (offset - first * kUnitBytes) / size;
  place->block = &blocks_[first * kBlocksPerUnit + index];
  place->state = place->block->state.load(std::memory_order_acquire);
  place->range.base = base_ + first * kUnitBytes + index * size;
  place->range.size = size;
  place->range.guard = (place->state >> kGuardShift) * kPage;
  return (place->state & kHeld) != 0;
}

bool StackArena::FindBlock(const void* address, StackBlock* out) const {
  Place place;
  if (!Locate(reinterpret_cast<uintptr_t>(address), &place)) return false;
  *out = place.range;
  return true;
}

bool StackArena::Release(void* address, size_t size) {
  Place place;
  uintptr_t base = reinterpret_cast<uintptr_t>(address);
  if (!Locate(base, &place)) return false;
  if (place.range.base != base || place.range.size != size) return false;
  // From here the block is ours alone: neither held nor on a free list.
  if (!place.block->state.compare_exchange_strong(
          place.state, place.state & ~(kHeld | kUnopened | kMixed), std::memory_order_acq_rel)) {
    return false;
  }
  uintptr_t usable = base + place.range.guard;
  if ((place.state & kMixed) != 0 && Unguard(usable, base + size) != 0) {
    return true;  // it cannot be made whole: keep it out of use
  }
  GiveMemoryBack(usable, base + size);
  uint32_t number = static_cast<uint32_t>(place.block - blocks_);
  SpinLockHolder hold(&lock_);
  SizeClass* size_class = ClassOf(size);
  place.block->next = size_class->free;
  size_class->free = number;
  return true;
}

// Makes [from, to) fault, and forget what was in it.
long StackArena::Guard(uintptr_t from, uintptr_t to) {
  if (light_guards_ && Advise(from, to, kMadvGuardInstall) == 0) return 0;
  // Reached also after mlockall(2), where some kernels refuse light guards.
  long result = SetProtection(from, to, PROT_READ | PROT_WRITE);
  if (result != 0) return result;
  GiveMemoryBack(from, to);
  heavy_guards_.store(true, std::memory_order_relaxed);
  return SetProtection(from, to, PROT_NONE);
}

// Makes [from, to) accessible, whatever closed it.
long StackArena::Unguard(uintptr_t from, uintptr_t to) {
  if (light_guards_) {
    long result = Advise(from, to, kMadvGuardRemove);
    if (result != 0) return result;
  }
  if (!heavy_guards_.load(std::memory_order_relaxed)) return 0;
  return SetProtection(from, to, PROT_READ | PROT_WRITE);
}

long StackArena::SetGuard(const StackBlock& range, size_t guard) {
  if (guard > range.guard) return Guard(range.base + range.guard, range.base + guard);
  if (guard < range.guard) return Unguard(range.base + guard, range.base + range.guard);
  return 0;
}

long StackArena::Protect(void* address, size_t length, int protection) {
  uintptr_t from = reinterpret_cast<uintptr_t>(address);
  if (from % kPage != 0) return -EINVAL;
  Place place;
  if (!Locate(from, &place)) return -ENOMEM;
  const StackBlock& range = place.range;
  size_t low = from - range.base;
  if (length > range.size - low) return -ENOMEM;
  size_t high = low + (length + kPage - 1) / kPage * kPage;
  if (high == low) return 0;

  size_t guard = range.guard;
  bool mixed = (place.state & kMixed) != 0;
  long result = Change(place, low, high, protection, &guard, &mixed);
  uint32_t state = kHeld;
  if (result != 0) {  // it may be half done: let Release put all in order
    mixed = true;
    if (guard > range.guard) guard = range.guard;
    state |= place.state & kUnopened;
  }
  if (mixed) state |= kMixed;
  state |= static_cast<uint32_t>(guard / kPage) << kGuardShift;
  bool ours =
      place.block->state.compare_exchange_strong(place.state, state, std::memory_order_acq_rel);
  return ours ? result : -ENOMEM;  // another thread released it meanwhile, as a racing munmap would
}

// Gives [low, high) of a block `protection`, and says what guard and mixture that leaves.
long StackArena::Change(const Place& place, size_t low, size_t high, int protection, size_t* guard,
                        bool* mixed) {
  const StackBlock& range = place.range;
  if (protection == PROT_NONE && low <= range.guard) {
    if (high > range.guard) *guard = high;
    return SetGuard(range, *guard);
  }
  long result;
  if (high < range.guard) {
    // A hole in the guard: what is above it stays closed, but is no longer the guard.
    *guard = low;
    *mixed = true;
    result = Unguard(range.base + low, range.base + high);
  } else {
    bool all_but_guard = (place.state & kUnopened) != 0 && high == range.size;
    if (low < range.guard || (all_but_guard && protection != PROT_NONE)) *guard = low;
    result = SetGuard(range, *guard);
  }
  if (result != 0 || (!*mixed && protection == (PROT_READ | PROT_WRITE))) return result;
  *mixed = true;
  heavy_guards_.store(true, std::memory_order_relaxed);
  result = Unguard(range.base + low, range.base + high);
  return result != 0 ? result : SetProtection(range.base + low, range.base + high, protection);
}

size_t StackArena::ResidentBytes(const StackBlock& block) {
  constexpr size_t kPages = 256;
  unsigned char resident[kPages];
  size_t pages = 0;
  uintptr_t end = block.base + block.size;
  for (uintptr_t from = block.base + block.guard; from < end; from += kPages * kPage) {
    size_t bytes = end - from < kPages * kPage ? end - from : kPages * kPage;
    if (RawSyscall(SYS_mincore, from, bytes, &resident[0]) != 0) break;
    for (size_t page = 0; page < bytes / kPage; ++page) pages += resident[page] & 1;
  }
  return pages * kPage;
}

size_t StackArena::blocks() const { return handed_out_.load(std::memory_order_relaxed); }

}  // namespace bobbin
