// Guards a few instructions against another kernel thread.
//
// Never held over a system call or a switch. Waits by spinning, then by sched_yield(2), so that a
// holder that lost its processor gets it back. Callers: any kernel thread; not signal handlers.
#ifndef BOBBIN_RUNTIME_SPIN_LOCK_H_
#define BOBBIN_RUNTIME_SPIN_LOCK_H_

#include <atomic>

#include "runtime/raw_syscall.h"

namespace bobbin {

class SpinLock {
 public:
  void Lock() {
    for (int spins = 0; locked_.exchange(true, std::memory_order_acquire); ++spins) {
      while (locked_.load(std::memory_order_relaxed)) {
        if (++spins % 128 == 0) RawSyscall(SYS_sched_yield);
        __builtin_ia32_pause();
      }
    }
  }
  void Unlock() { locked_.store(false, std::memory_order_release); }

 private:
  std::atomic<bool> locked_{false};
};

class SpinLockHolder {
 public:
  explicit SpinLockHolder(SpinLock* lock) : lock_(lock) { lock_->Lock(); }
  ~SpinLockHolder() { lock_->Unlock(); }
  SpinLockHolder(const SpinLockHolder&) = delete;
  SpinLockHolder& operator=(const SpinLockHolder&) = delete;

 private:
  SpinLock* lock_;
};

}  // namespace bobbin

#endif  // BOBBIN_RUNTIME_SPIN_LOCK_H_
