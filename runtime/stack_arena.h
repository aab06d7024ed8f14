// Gives out thread stacks from one lazily committed mapping, each with a guard at its low end.
//
// libc's pthread_create asks for a stack with mmap(PROT_NONE, MAP_STACK), opens all but the guard with mprotect, and
// returns it with munmap; the memory handlers answer those three calls from here, so that a stack costs no mapping of
// its own: 100,000 guarded stacks fit the default vm.max_map_count. Guards are MADV_GUARD_INSTALL (Linux 6.13) where
// the kernel has it, else mprotect, which costs two mappings a stack.
//
// State of a block   free --Allocate--> held --Release--> free (its memory given back, its guard kept)
// Invariants
//   A1  Blocks do not overlap and lie inside the arena.
//   A2  A held block's guard faults; its other bytes read as zero when first handed out again after Release.
//   A3  Every address inside the arena belongs to at most one block, and FindBlock names it.
//
// Callers: any kernel thread that is not in a signal handler (FindBlock: signal handlers too). Blocks: never.
#ifndef BOBBIN_RUNTIME_STACK_ARENA_H_
#define BOBBIN_RUNTIME_STACK_ARENA_H_

#include <cstddef>
#include <cstdint>

#include "runtime/spin_lock.h"

namespace bobbin {

struct StackBlock {
  uintptr_t base = 0;  // lowest address, of the guard
  size_t size = 0;     // guard included
  size_t guard = 0;    // bytes at the low end that fault; 0: not set yet
};

class StackArena {
 public:
  // Reserves up to `bytes` of address space, less where a limit (RLIMIT_AS) says so. Returns: false when none is had.
  bool Init(size_t bytes);
  ~StackArena();

  // Returns: a block of exactly `size` bytes (a multiple of the page size), wholly accessible but for a guard left
  // from an earlier use of the same block; null when the arena is full or keeps no free list for one more size.
  void* Allocate(size_t size);

  // Gives [address, address+size) back. Returns: false when it is not exactly one held block.
  bool Release(void* address, size_t size);

  bool Contains(const void* address) const {
    uintptr_t a = reinterpret_cast<uintptr_t>(address);
    return a - base_ < bytes_;
  }

  // Answers mprotect(2) on a range of one held block: PROT_NONE at the low end sets the guard, anything else opens.
  // Returns: 0 or -errno. Errors: -ENOMEM the range is not inside one held block.
  long Protect(void* address, size_t length, int protection);

  // Finds the block that holds `address`, guard included. Returns: false when none does.
  bool FindBlock(const void* address, StackBlock* out) const;

  // Bytes of [base+guard, base+size) that are resident now, by mincore(2). Units: bytes, a multiple of the page size.
  static size_t ResidentBytes(const StackBlock& block);

  size_t blocks() const;  // held and free

 private:
  // Fields are the implementer's choice; keep FindBlock lock-free.
};

}  // namespace bobbin

#endif  // BOBBIN_RUNTIME_STACK_ARENA_H_
