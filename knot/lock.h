// A mutual exclusion lock that knows no owner.
#ifndef KNOT_LOCK_H_
#define KNOT_LOCK_H_

#include <atomic>
#include <condition_variable>
#include <mutex>

namespace knot {

// For critical sections on the path of every request. A std::mutex notes its owner, which takes the
// thread's id from libc's descriptor of the thread: with thousands of threads, a line and a page
// that nothing else on that path touches, and which have left the caches since the thread's last
// request.
//
// Has what std::lock_guard, std::unique_lock and std::condition_variable_any need. Not recursive,
// not fair; unlock() may be called by any thread, once for each lock().
//
// L1. At most one thread is between lock() and unlock().
// L2. Whoever waits is woken after the unlock() that lets it go on.
class Lock {
 public:
  Lock() = default;
  Lock(const Lock&) = delete;
  Lock& operator=(const Lock&) = delete;

  // Blocks until the lock is free, and takes it.
  void lock() {
    int free = kFree;
    if (!state_.compare_exchange_strong(free, kHeld, std::memory_order_acquire)) LockSlowly();
  }

  void unlock() {
    if (state_.exchange(kFree, std::memory_order_release) == kAwaited) WakeOne();
  }

 private:
  enum : int {
    kFree,
    kHeld,
    kAwaited,  // held, and perhaps waited for
  };

  // Whoever has waited cannot know whether others still do, so it takes the lock as awaited.
  [[gnu::noinline]] void LockSlowly() {
    std::unique_lock<std::mutex> hold(waiting_);
    while (state_.exchange(kAwaited, std::memory_order_acquire) != kFree) freed_.wait(hold);
  }

  [[gnu::noinline]] void WakeOne() {
    { std::lock_guard<std::mutex> until_it_sleeps(waiting_); }
    freed_.notify_one();
  }

  std::atomic<int> state_{kFree};
  // Not the atomic's own wait: libstdc++ makes it one that other processes could end, which costs
  // Bobbin a worker.
  std::mutex waiting_;
  std::condition_variable freed_;
};

}  // namespace knot

#endif  // KNOT_LOCK_H_
