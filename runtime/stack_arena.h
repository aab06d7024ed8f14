// Gives out thread stacks from one lazily committed mapping, each with a guard at its low end.
//
// libc's pthread_create asks for a stack with mmap(PROT_NONE, MAP_STACK), opens all but the guard
// with mprotect, and returns it with munmap; the memory handlers answer those three calls from
// here, so that a stack costs no mapping of its own: 100,000 guarded stacks fit the default
// vm.max_map_count. Guards are MADV_GUARD_INSTALL (Linux 6.13) where the kernel has it, else
// mprotect, which costs two mappings a stack.
//
// State of a block   free --Allocate--> held --Release--> free (memory given back, guard kept)
// Invariants
//   A1  Blocks do not overlap and lie inside the arena.
//   A2  A held block's guard faults; its other bytes read as zero when first handed out again after
//       Release.
//   A3  Every address inside the arena belongs to at most one block, and FindBlock names it while
//       it is held.
//
// Callers: any kernel thread that is not in a signal handler (FindBlock: signal handlers too).
// Blocks: never.
#ifndef BOBBIN_RUNTIME_STACK_ARENA_H_
#define BOBBIN_RUNTIME_STACK_ARENA_H_

#include <atomic>
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
  StackArena() = default;
  ~StackArena();
  StackArena(const StackArena&) = delete;
  StackArena& operator=(const StackArena&) = delete;

  // Reserves up to `bytes` of address space (rounded to 64 MiB, at most kMaxBytes), less where a
  // limit (RLIMIT_AS, vm.overcommit_memory=2) says so, but not less than 1 GiB unless less was
  // asked. Called once. `light_guards` false: guards are made with mprotect even where the kernel
  // has better.
  // Returns: false when none is had.
  bool Init(size_t bytes, bool light_guards = true);

  // Returns: a block of exactly `size` bytes (a multiple of the page size), wholly accessible but
  // for a guard left from an earlier use of the same block; null when the arena is full or keeps no
  // free list for one more size. Each size takes address space in steps of 64 MiB, so the caller
  // should round odd sizes up.
  // Who wants a stack without a guard must say so: Protect(block, size, PROT_READ | PROT_WRITE).
  void* Allocate(size_t size);

  // Gives [address, address+size) back. Returns: false when it is not exactly one held block.
  bool Release(void* address, size_t size);

  bool Contains(const void* address) const {
    uintptr_t a = reinterpret_cast<uintptr_t>(address);
    return a - base_ < bytes_;
  }

  // Answers mprotect(2) on a range of one held block. PROT_NONE from the low end (or the guard's
  // end) on grows the guard, opening part of the guard shrinks it. The first opening after
  // Allocate, if it reaches the block's end, is libc's "all but the guard": it makes the part below
  // it the guard, without a system call where a guard of that size was left. Every other request is
  // given to mprotect and undone by Release; it may cost mappings.
  // Returns: 0 or -errno. Errors: -ENOMEM the range is not inside one held block, or the kernel's
  // map limit; -EINVAL `address` is not on a page. Differs: what a guard covered reads as zero when
  // it is opened.
  long Protect(void* address, size_t length, int protection);

  // Finds the held block that contains `address`, guard included. Returns: false when none does.
  // Never waits.
  bool FindBlock(const void* address, StackBlock* out) const;

  // Bytes of [base+guard, base+size) that are resident now, by mincore(2). Units: bytes, a multiple
  // of the page size.
  static size_t ResidentBytes(const StackBlock& block);

  size_t blocks() const;  // held and free
  size_t bytes() const { return bytes_; }
  bool light_guards() const { return light_guards_; }

  // Opens the arena's lock, after fork(2) in the child, where its holder does not exist. Safe at
  // any moment of the holder: each of its stores leaves the free lists whole.
  void ResetAfterFork() { lock_.Unlock(); }

  static constexpr size_t kUnitBytes = size_t{64} << 20;
  // Block numbers have 32 bits.
  static constexpr size_t kMaxBytes = (size_t{16} << 40) - kUnitBytes;
  static constexpr int kSizes = 64;

 private:
  // The arena is a row of units. A slab is a run of units cut into blocks of one size, as many
  // units as one block needs; it keeps its size for ever. Slab and block of an address are found by
  // arithmetic and one look into `units_`.
  // Block number = (slab's first unit) * kBlocksPerUnit + place in the slab.
  static constexpr size_t kPage = 4096;
  static constexpr uint32_t kBlocksPerUnit = kUnitBytes / kPage;
  static constexpr uint32_t kNone = ~uint32_t{0};

  struct SizeClass {
    size_t size = 0;        // 0: unused
    uint32_t free = kNone;  // last released first
    uint32_t fresh = 0;     // [fresh, fresh_end) of the newest slab were never handed out
    uint32_t fresh_end = 0;
  };
  // Kept beside the arena, because a block's own low end is its guard. Zero when never handed out.
  struct Block {
    std::atomic<uint32_t> state;  // kHeld | kUnopened | kMixed | guard pages << kGuardShift
    uint32_t next;                // of the free list
  };
  struct Place {  // where an address lies
    Block* block;
    uint32_t state;
    StackBlock range;
  };
  static constexpr uint32_t kHeld = 1;
  static constexpr uint32_t kUnopened = 2;  // no Protect since Allocate
  static constexpr uint32_t kMixed = 4;     // parts above the guard may have another protection
  static constexpr int kGuardShift = 3;

  bool Reserve(size_t bytes);
  bool Carve(SizeClass* size_class, size_t size);
  SizeClass* ClassOf(size_t size);
  uintptr_t AddressOf(uint32_t number) const;
  bool Locate(uintptr_t address, Place* place) const;
  long Guard(uintptr_t from, uintptr_t to);
  long Unguard(uintptr_t from, uintptr_t to);
  long SetGuard(const StackBlock& range, size_t guard);
  long Change(const Place& place, size_t low, size_t high, int protection, size_t* guard,
              bool* mixed);

  uintptr_t base_ = 0;
  size_t bytes_ = 0;
  size_t tables_bytes_ = 0;
  bool light_guards_ = false;
  std::atomic<bool> heavy_guards_{false};  // mprotect was used on some block
  // By unit: first unit of its slab << 8 | size class + 1; 0: not carved.
  std::atomic<uint64_t>* units_ = nullptr;
  Block* blocks_ = nullptr;  // by block number, committed as touched

  SpinLock lock_;  // guards what follows, and Block::next
  SizeClass classes_[kSizes];
  size_t units_carved_ = 0;
  std::atomic<size_t> handed_out_{0};  // blocks that left `fresh`
};

}  // namespace bobbin

#endif  // BOBBIN_RUNTIME_STACK_ARENA_H_
