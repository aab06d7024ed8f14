// Signals that came while their scheduler was in the runtime, until it looks at them.
#ifndef BOBBIN_WRAPPERS_SIGNAL_RING_H_
#define BOBBIN_WRAPPERS_SIGNAL_RING_H_

#include <signal.h>

#include <cstdint>

namespace bobbin {

// Of one kernel thread: its signal handlers put them in, nested in each other and in who takes them
// out.
class SignalRing {
 public:
  // Returns: false when from now on signals should be held back: there is room for those of
  // handlers that are already on the stack.
  bool Put(int signal, const siginfo_t& info) {
    const uint32_t end = __atomic_load_n(&end_, __ATOMIC_RELAXED);
    for (uint32_t at = begin_; at != end && signal < 32; ++at) {
      if (At(at).si_signo == signal) return true;  // pending at most once
    }
    siginfo_t& place = At(__atomic_fetch_add(&end_, 1, __ATOMIC_RELAXED));
    place = info;
    place.si_signo = signal;
    return end - begin_ < kEnough;
  }
  bool Take(siginfo_t* info) {
    if (begin_ == __atomic_load_n(&end_, __ATOMIC_RELAXED)) return false;
    *info = At(begin_);
    At(begin_).si_signo = 0;
    __atomic_store_n(&begin_, begin_ + 1, __ATOMIC_RELAXED);
    return true;
  }
  void Clear() {
    siginfo_t ignored;
    while (Take(&ignored)) {
    }
  }

 private:
  // Beyond those, one for each signal that may have been on the stack when there were enough, and
  // one more that each of these lets in when it returns.
  static constexpr uint32_t kEnough = 64, kPlaces = 256;

  siginfo_t& At(uint32_t index) { return signals_[index % kPlaces]; }

  siginfo_t signals_[kPlaces];
  uint32_t begin_ = 0, end_ = 0;
};

}  // namespace bobbin

#endif  // BOBBIN_WRAPPERS_SIGNAL_RING_H_
