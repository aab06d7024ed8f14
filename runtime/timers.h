// Keeps the deadlines of one scheduler; makes no system call and reads no clock.
//
// A deadline is pushed forward lazily: arming an entry that is already queued for an earlier time
// only stores the new deadline, and the entry is queued again when the earlier time comes. So a
// server that gives every request a new deadline pays one store a request.
//
// Units: nanoseconds of CLOCK_MONOTONIC. Callers: the owning scheduler. Never blocks; allocates
// nothing after Init.
//
// State of an entry   idle --Arm--> queued --Expire (deadline reached)--> idle
//                     queued --Disarm--> queued without a deadline, forgotten when its time comes
// Invariants
//   T1  No entry is reported before its deadline.
//   T2  An entry with a deadline is queued at that deadline or earlier.
//   T3  A removed entry is never touched again.
#ifndef BOBBIN_RUNTIME_TIMERS_H_
#define BOBBIN_RUNTIME_TIMERS_H_

#include <cstddef>
#include <cstdint>

namespace bobbin {

inline constexpr uint64_t kNever = ~uint64_t{0};

struct TimerEntry {
  uint64_t deadline = kNever;  // kNever: none
  uint64_t queued_for = 0;  // the time of its place in the heap, which is thus not touched to arm
  uint32_t heap_index = 0;  // 1-based place in the heap; 0: not queued
};

class Timers {
 public:
  Timers() = default;
  ~Timers();
  Timers(const Timers&) = delete;
  Timers& operator=(const Timers&) = delete;

  // Reserves address space for `capacity` entries; memory is committed as they are queued. Called
  // once.
  // Returns: false when the mapping is refused.
  bool Init(size_t capacity);

  // Gives `entry` a new deadline; kNever is Disarm. Requires: fewer than `capacity` entries are
  // queued, or this one is.
  void Arm(TimerEntry* entry, uint64_t deadline) {
    entry->deadline = deadline;
    if (entry->heap_index != 0 && entry->queued_for <= deadline) return;
    Queue(entry);
  }

  // Takes the deadline back; the entry may stay queued.
  void Disarm(TimerEntry* entry) { entry->deadline = kNever; }

  // Forgets `entry` altogether, so that its memory may go.
  void Remove(TimerEntry* entry);

  // Forgets every entry without touching it: the child after fork(2), where the entries' threads
  // are gone. An entry that shall be armed again must be removed first.
  void Clear() { count_ = 0; }

  // Takes one entry whose deadline is at or before `now`, with its deadline cleared; null when
  // there is none. Those that are due at the same `now` come in no particular order.
  // Entries found queued too early are queued again, or forgotten when they have no deadline.
  TimerEntry* Expire(uint64_t now);

  // The time to call Expire next; kNever when nothing is queued. May be earlier than any deadline.
  uint64_t NextTime() const { return count_ == 0 ? kNever : heap_[1].time; }

  size_t count() const { return count_; }

 private:
  struct Slot {
    uint64_t time;
    TimerEntry* entry;
  };

  void Queue(TimerEntry* entry);
  void SiftUp(size_t index, Slot slot);
  void SiftDown(size_t index, Slot slot);
  void Place(size_t index, Slot slot) {
    heap_[index] = slot;
    slot.entry->heap_index = static_cast<uint32_t>(index);
  }
  void RemoveAt(size_t index);

  // A 4-ary heap by time, 1-based; placed so that four siblings share a cache line.
  Slot* heap_ = nullptr;
  size_t count_ = 0;
  size_t capacity_ = 0;
};

}  // namespace bobbin

#endif  // BOBBIN_RUNTIME_TIMERS_H_
