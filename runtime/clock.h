// Reads time without a system call, and without a libc call once the processor's counter is known.
//
// Cycles come from the time-stamp counter. Monotonic time is derived from it between calibrations
// against CLOCK_MONOTONIC, so that a deadline costs no clock call. Where the counter is not
// invariant (CPUID 80000007h EDX bit 8), every reading is a clock_gettime(2).
//
// Units: nanoseconds of CLOCK_MONOTONIC; cycles of the time-stamp counter. Callers: any kernel
// thread, signal handlers.
#ifndef BOBBIN_RUNTIME_CLOCK_H_
#define BOBBIN_RUNTIME_CLOCK_H_

#include <time.h>

#include <atomic>
#include <cstdint>

namespace bobbin {

inline uint64_t ReadCycles() { return __builtin_ia32_rdtsc(); }

// clock_gettime(2) as nanoseconds. Returns: 0 for an invalid clock.
uint64_t ReadKernelClock(clockid_t clock);

class Clock {
 public:
  void Init();

  // Monotonic time now. Never ahead of CLOCK_MONOTONIC by more than a microsecond, so that no
  // deadline computed from it passes early by more than that.
  uint64_t Now() const { return At(ReadCycles()); }

  // Monotonic time at an earlier counter reading of this kernel thread.
  uint64_t At(uint64_t cycles) const {
    uint32_t changes = changes_.load(std::memory_order_acquire);
    uint64_t multiplier = multiplier_.load(std::memory_order_acquire);
    uint64_t base_cycles = base_cycles_.load(std::memory_order_acquire);
    uint64_t base_time = base_time_.load(std::memory_order_acquire);
    // Before the first calibration, and where one of them came between: a reader does not wait for
    // the calibrating thread, whose signal handler it may be.
    if (changes == 0 || changes_.load(std::memory_order_relaxed) != changes || changes % 2 != 0) {
      return ReadKernelClock(CLOCK_MONOTONIC);
    }
    if (cycles < base_cycles) cycles = base_cycles;  // read before the last calibration
    return base_time +
           static_cast<uint64_t>(
               (static_cast<unsigned __int128>(cycles - base_cycles) * multiplier) >> kShift);
  }

  // Compares the counter with CLOCK_MONOTONIC; call it now and then from one scheduler. Cheap until
  // it has something to learn: reads the kernel's clock at most once in kCalibrationInterval.
  void Calibrate(uint64_t cycles);

  // Nanoseconds that `cycles` last; 0 before the first calibration.
  uint64_t Nanoseconds(uint64_t cycles) const {
    return static_cast<uint64_t>(
        (static_cast<unsigned __int128>(cycles) * multiplier_.load(std::memory_order_relaxed)) >>
        kShift);
  }
  // Nanoseconds since an earlier counter reading, also before the first calibration. For reports.
  uint64_t Since(uint64_t cycles) const;
  uint64_t Cycles(uint64_t nanoseconds) const {
    uint32_t multiplier = multiplier_.load(std::memory_order_relaxed);
    if (multiplier == 0) return 0;
    return static_cast<uint64_t>((static_cast<unsigned __int128>(nanoseconds) << kShift) /
                                 multiplier);
  }

 private:
  friend class MapOffsets;

  static constexpr int kShift = 28;  // multiplier below 2^32 for any counter above 70 MHz

  // Base and slope belong together: odd while they change, 0 before the first calibration.
  std::atomic<uint32_t> changes_{0};
  std::atomic<uint32_t> multiplier_{0};  // nanoseconds a cycle << kShift
  std::atomic<uint64_t> base_cycles_{0};
  std::atomic<uint64_t> base_time_{0};
  uint64_t start_cycles_ = 0;
  uint64_t start_time_ = 0;
  uint64_t next_calibration_ = 0;
  bool invariant_ = false;
};

}  // namespace bobbin

#endif  // BOBBIN_RUNTIME_CLOCK_H_
