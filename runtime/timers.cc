#include "runtime/timers.h"

#include <sys/mman.h>

#include "runtime/raw_syscall.h"

namespace bobbin {
namespace {

constexpr size_t kArity = 4;
constexpr size_t kCacheLine = 64;

size_t FirstChild(size_t index) { return kArity * (index - 1) + 2; }
size_t Parent(size_t index) { return (index - 2) / kArity + 1; }

[[noreturn]] void DieFull() {
  static constexpr char kMessage[] = "bobbin: more timers are queued than Timers::Init was told\n";
  RawSyscall(SYS_write, 2, kMessage, sizeof kMessage - 1);
  __builtin_trap();
}

}  // namespace

bool Timers::Init(size_t capacity) {
  // Siblings start at index 2, 6, 10, ...: index 2 goes to the start of a cache line. Indices run
  // from 1 to capacity.
  static_assert(kCacheLine == kArity * sizeof(Slot));
  constexpr size_t kLead = kCacheLine - 2 * sizeof(Slot);
  size_t bytes = kLead + (capacity + 1) * sizeof(Slot);
  long mapping = RawSyscall(SYS_mmap, nullptr, bytes, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (mapping < 0) return false;
  heap_ = reinterpret_cast<Slot*>(mapping + kLead);
  capacity_ = capacity;
  return true;
}

Timers::~Timers() {
  if (heap_ == nullptr) return;
  constexpr size_t kLead = kCacheLine - 2 * sizeof(Slot);
  RawSyscall(SYS_munmap, reinterpret_cast<char*>(heap_) - kLead,
             kLead + (capacity_ + 1) * sizeof(Slot));
}

// Queues an idle entry, or moves a queued one forward to its earlier deadline.
void Timers::Queue(TimerEntry* entry) {
  if (entry->deadline == kNever) return;
  size_t index = entry->heap_index;
  if (index == 0) {
    if (count_ == capacity_) DieFull();
    index = ++count_;
  }
  entry->queued_for = entry->deadline;
  SiftUp(index, Slot{entry->deadline, entry});
}

void Timers::SiftUp(size_t index, Slot slot) {
  while (index > 1) {
    size_t parent = Parent(index);
    if (heap_[parent].time <= slot.time) break;
    Place(index, heap_[parent]);
    index = parent;
  }
  Place(index, slot);
}

void Timers::SiftDown(size_t index, Slot slot) {
  for (;;) {
    size_t first = FirstChild(index);
    if (first > count_) break;
    size_t last = first + kArity - 1 < count_ ? first + kArity - 1 : count_;
    size_t least = first;
    for (size_t child = first + 1; child <= last; ++child) {
      if (heap_[child].time < heap_[least].time) least = child;
    }
    if (slot.time <= heap_[least].time) break;
    Place(index, heap_[least]);
    index = least;
  }
  Place(index, slot);
}

// Takes the slot at `index` out and fills its place with the last one, which may belong above or
// below.
void Timers::RemoveAt(size_t index) {
  heap_[index].entry->heap_index = 0;
  Slot last = heap_[count_--];
  if (index > count_) return;
  if (index > 1 && last.time < heap_[Parent(index)].time) {
    SiftUp(index, last);
  } else {
    SiftDown(index, last);
  }
}

void Timers::Remove(TimerEntry* entry) {
  entry->deadline = kNever;
  if (entry->heap_index != 0) RemoveAt(entry->heap_index);
}

TimerEntry* Timers::Expire(uint64_t now) {
  while (count_ > 0 && heap_[1].time <= now) {
    TimerEntry* entry = heap_[1].entry;
    uint64_t deadline = entry->deadline;
    if (deadline != kNever && deadline > now) {
      entry->queued_for = deadline;
      SiftDown(1, Slot{deadline, entry});  // it was pushed forward since it was queued
      continue;
    }
    RemoveAt(1);
    if (deadline == kNever) continue;  // it was disarmed
    entry->deadline = kNever;
    return entry;
  }
  return nullptr;
}

}  // namespace bobbin
