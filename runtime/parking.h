// Parks user threads on addresses: the table beneath futex(2).
//
// A waiter is a thread queued in the bucket of its address. Whoever takes it out of the bucket,
// under the bucket's lock, decides how its park ends (S4): a waker, its deadline, or a signal. A
// waker on another kernel thread takes it out and posts the wake-up to the thread's scheduler; a
// deadline that finds the thread gone from the bucket leaves it to that wake-up.
//
// Invariants
//   K1  A thread is in at most one bucket, at the bucket of `address`, and only while parked or
//       about to park.
//   K2  Between the check of the futex word and the queueing no wake-up can slip through: both
//       happen under the lock.
//   K3  Waiters of one address are woken in the order they came.
// Source: futex(2). Callers: user threads (wait), any kernel thread (wake). Blocks: Wait, this user
// thread.
#ifndef BOBBIN_RUNTIME_PARKING_H_
#define BOBBIN_RUNTIME_PARKING_H_

#include <cstddef>
#include <cstdint>

#include "runtime/spin_lock.h"
#include "runtime/thread.h"

namespace bobbin {

class ParkingTable {
 public:
  bool Init();

  // Parks the current thread on `address` if *address == expected. Returns: 0 woken, -EAGAIN
  // another value, -ETIMEDOUT at `deadline` (kNever: none), -EINTR a signal is pending.
  long Wait(uint32_t* address, uint32_t expected, uint32_t bits, uint64_t deadline);

  // Wakes up to `count` waiters on `address` that share a bit with `bits`. Returns: their number.
  int Wake(const uint32_t* address, int count, uint32_t bits);

  // FUTEX_REQUEUE (expected null) and FUTEX_CMP_REQUEUE: wakes up to `wake` waiters, moves up to
  // `move` others to `target`. Returns: woken + moved, or -EAGAIN.
  int Requeue(uint32_t* address, int wake, uint32_t* target, int move, const uint32_t* expected);

  // Tells whether anybody waits on `address`.
  bool HasWaiters(const uint32_t* address);

  // Takes `thread` out of its bucket. Returns: false when it is in none.
  bool Remove(Thread* thread);

  // Forgets every waiter: the child after fork(2).
  void Clear();

 private:
  struct alignas(64) Bucket {
    SpinLock lock;
    Thread* first = nullptr;
    Thread* last = nullptr;

    void Append(Thread* thread);
    void Unlink(Thread* thread);
  };

  static constexpr size_t kBuckets = 4096;

  Bucket& BucketOf(uintptr_t address) {
    return buckets_[((address >> 2) * 0x9e3779b97f4a7c15u) >> (64 - 12)];
  }

  Bucket* buckets_ = nullptr;
};

}  // namespace bobbin

#endif  // BOBBIN_RUNTIME_PARKING_H_
