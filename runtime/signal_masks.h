// Counts which signal masks the living user threads have, to know which signals all of them block.
//
// A sleeping scheduler runs nobody, so the mask it sleeps with must let in every signal that some
// thread does not block. Programs use few distinct masks: a small table with counts answers at
// once.
//
// Invariant: Intersection() is the AND of the masks of all threads counted, or blocks less (never
// more) where more than kSlots distinct masks are alive.
#ifndef BOBBIN_RUNTIME_SIGNAL_MASKS_H_
#define BOBBIN_RUNTIME_SIGNAL_MASKS_H_

#include <atomic>
#include <cstdint>

#include "runtime/spin_lock.h"

namespace bobbin {

class SignalMasks {
 public:
  // Counts one more thread with `mask`. Returns: the slot to give back.
  uint8_t Add(uint64_t mask) {
    SpinLockHolder hold(&lock_);
    int free = kOverflow;
    for (int i = 0; i < used_; ++i) {
      if (slots_[i].count != 0 && slots_[i].mask == mask) {
        ++slots_[i].count;
        return static_cast<uint8_t>(i);
      }
      if (slots_[i].count == 0) free = i;
    }
    if (free == kOverflow && used_ < kOverflow) free = used_++;
    ++slots_[free].count;
    slots_[free].mask = free == kOverflow ? 0 : mask;
    Recompute();
    return static_cast<uint8_t>(free);
  }

  void Remove(uint8_t slot) {
    SpinLockHolder hold(&lock_);
    if (--slots_[slot].count == 0) Recompute();
  }

  uint8_t Change(uint8_t slot, uint64_t mask) {
    uint8_t changed = Add(mask);
    Remove(slot);
    return changed;
  }

  // The mask counted in `slot`. Requires: the slot is the caller's.
  uint64_t MaskOf(uint8_t slot) const { return slots_[slot].mask; }

  uint64_t Intersection() const { return intersection_.load(std::memory_order_relaxed); }

  // Counts a single thread with `mask`: after fork(2). Returns its slot.
  uint8_t Reset(uint64_t mask) {
    lock_.Unlock();
    for (Slot& slot : slots_) slot = Slot();
    used_ = 0;
    return Add(mask);
  }

 private:
  static constexpr int kSlots = 32;
  static constexpr int kOverflow =
      kSlots - 1;  // everyone who found no slot; counts as a mask that blocks nothing

  struct Slot {
    uint64_t mask = 0;
    uint32_t count = 0;
  };

  void Recompute() {
    uint64_t all = ~uint64_t{0};
    for (const Slot& slot : slots_) {
      if (slot.count != 0) all &= slot.mask;
    }
    intersection_.store(all, std::memory_order_relaxed);
  }

  SpinLock lock_;
  Slot slots_[kSlots];
  int used_ = 0;
  std::atomic<uint64_t> intersection_{0};
};

}  // namespace bobbin

#endif  // BOBBIN_RUNTIME_SIGNAL_MASKS_H_
