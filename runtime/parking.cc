#include "runtime/parking.h"

#include <errno.h>

#include "runtime/descriptors.h"
#include "runtime/runtime.h"
#include "runtime/scheduler.h"
#include "runtime/user_memory.h"

namespace bobbin {

namespace {

// Out of every bucket: from here on somebody's wake-up of `thread` is on its way.
void Leave(Thread* thread) { __atomic_store_n(&thread->address, 0, __ATOMIC_RELAXED); }

}  // namespace

bool ParkingTable::Init() {
  if (buckets_ == nullptr) buckets_ = static_cast<Bucket*>(MapLazily(kBuckets * sizeof(Bucket)));
  return buckets_ != nullptr;
}

void ParkingTable::Clear() {
  for (size_t i = 0; i < kBuckets; ++i) {
    // Untouched buckets stay uncommitted.
    if (buckets_[i].first != nullptr) buckets_[i].first = buckets_[i].last = nullptr;
    buckets_[i].lock.Unlock();
  }
}

void ParkingTable::Bucket::Append(Thread* thread) {
  thread->address_next = nullptr;
  thread->address_previous = last;
  (last != nullptr ? last->address_next : first) = thread;
  last = thread;
}

void ParkingTable::Bucket::Unlink(Thread* thread) {
  (thread->address_previous != nullptr ? thread->address_previous->address_next : first) =
      thread->address_next;
  (thread->address_next != nullptr ? thread->address_next->address_previous : last) =
      thread->address_previous;
}

long ParkingTable::Wait(uint32_t* address, uint32_t expected, uint32_t bits, uint64_t deadline) {
  Scheduler* scheduler = Scheduler::Current();
  Thread* self = scheduler->current();
  auto key = reinterpret_cast<uintptr_t>(address);
  RuntimeSection section(scheduler);
  if (scheduler->TakeInterruption()) return -EINTR;
  Bucket& bucket = BucketOf(key);
  bucket.lock.Lock();
  uint32_t value;
  bool readable = LoadUserWord(address, &value);
  if (!readable || value != expected) {
    bucket.lock.Unlock();
    return readable ? -EAGAIN : -EFAULT;
  }
  self->address = key;
  self->address_bits = bits;
  bucket.Append(self);
  bucket.lock.Unlock();
  ++scheduler->counters().futex_waits;
  ParkRequest request;
  request.waiting = Waiting::kAddress;
  request.argument = key;
  request.deadline = deadline;
  request.withdraw = [](Thread* thread) { return runtime().parking.Remove(thread); };
  request.interruptible = true;
  switch (scheduler->Park(request)) {
    case Wake::kWoken:
      return 0;
    case Wake::kDeadline:
      return -ETIMEDOUT;
    case Wake::kInterrupted:
      return -EINTR;
  }
  __builtin_unreachable();
}

bool ParkingTable::Remove(Thread* thread) {
  for (;;) {
    uintptr_t key = __atomic_load_n(&thread->address, __ATOMIC_RELAXED);
    if (key == 0) return false;
    Bucket& bucket = BucketOf(key);
    SpinLockHolder hold(&bucket.lock);
    if (thread->address == 0) return false;
    // A requeue on another kernel thread may have moved it to another bucket meanwhile.
    if (&BucketOf(thread->address) != &bucket) continue;
    bucket.Unlink(thread);
    Leave(thread);
    return true;
  }
}

int ParkingTable::Wake(const uint32_t* address, int count, uint32_t bits) {
  auto key = reinterpret_cast<uintptr_t>(address);
  Bucket& bucket = BucketOf(key);
  Thread* woken = nullptr;
  Thread** end = &woken;
  int number = 0;
  {
    SpinLockHolder hold(&bucket.lock);
    for (Thread* thread = bucket.first; thread != nullptr && number < count;) {
      Thread* next = thread->address_next;
      if (thread->address == key && (thread->address_bits & bits) != 0) {
        bucket.Unlink(thread);
        Leave(thread);
        // Nobody else can touch it now: its links carry it to its scheduler.
        thread->address_next = nullptr;
        *end = thread;
        end = &thread->address_next;
        ++number;
      }
      thread = next;
    }
  }
  while (woken != nullptr) {
    Thread* next = woken->address_next;
    Scheduler::MakeReady(woken);
    woken = next;
  }
  return number;
}

int ParkingTable::Requeue(uint32_t* address, int wake, uint32_t* target, int move,
                          const uint32_t* expected) {
  auto key = reinterpret_cast<uintptr_t>(address);
  auto target_key = reinterpret_cast<uintptr_t>(target);
  Bucket& from = BucketOf(key);
  Bucket& to = BucketOf(target_key);
  Bucket& first = &from <= &to ? from : to;
  Bucket& second = &from <= &to ? to : from;
  Thread* woken = nullptr;
  Thread** end = &woken;
  int number = 0;
  first.lock.Lock();
  if (&second != &first) second.lock.Lock();
  bool matches = expected == nullptr || __atomic_load_n(address, __ATOMIC_SEQ_CST) == *expected;
  Thread* thread = matches ? from.first : nullptr;
  // A waiter moved within its own bucket goes behind the one that was last: the walk ends there.
  Thread* const stop = from.last;
  const int64_t most = int64_t{wake} + move;
  while (thread != nullptr && number < most) {
    Thread* next = thread == stop ? nullptr : thread->address_next;
    if (thread->address == key) {
      from.Unlink(thread);
      if (number < wake) {
        Leave(thread);
        thread->address_next = nullptr;
        *end = thread;
        end = &thread->address_next;
      } else {
        // Never 0 in between: a deadline that looks now must find the waiter, in one bucket or the
        // other, or it would leave the park to a waker that does not exist.
        __atomic_store_n(&thread->address, target_key, __ATOMIC_RELAXED);
        to.Append(thread);
      }
      ++number;
    }
    thread = next;
  }
  if (&second != &first) second.lock.Unlock();
  first.lock.Unlock();
  while (woken != nullptr) {
    Thread* next = woken->address_next;
    Scheduler::MakeReady(woken);
    woken = next;
  }
  return matches ? number : -EAGAIN;
}

bool ParkingTable::HasWaiters(const uint32_t* address) {
  auto key = reinterpret_cast<uintptr_t>(address);
  Bucket& bucket = BucketOf(key);
  SpinLockHolder hold(&bucket.lock);
  for (Thread* thread = bucket.first; thread != nullptr; thread = thread->address_next) {
    if (thread->address == key) return true;
  }
  return false;
}

}  // namespace bobbin
