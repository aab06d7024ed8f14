#include "wrappers/time.h"

namespace bobbin {

long SleepUntil(Scheduler* scheduler, uint64_t deadline) {
  ParkRequest request;
  request.waiting = Waiting::kTime;
  request.deadline = deadline;
  request.interruptible = true;
  for (;;) {
    long result = scheduler->WaitReady(nullptr, 0, request);
    if (result == -ETIMEDOUT) return 0;
    if (!GoesOnUnhandled(scheduler)) return -EINTR;
  }
}

long ClockNanosleep(Scheduler* scheduler, int clock, int flags, const struct timespec* time,
                    struct timespec* left) {
  if (clock != CLOCK_REALTIME && clock != CLOCK_MONOTONIC && clock != CLOCK_BOOTTIME &&
      clock != CLOCK_TAI) {
    // Clocks of CPU time, and bad ones: the kernel's business, on a worker's time.
    return CallOnWorker(scheduler, Lane::kOther, SYS_clock_nanosleep, clock, flags,
                        reinterpret_cast<long>(time), reinterpret_cast<long>(left));
  }
  struct timespec asked;
  if (!LoadUserTime(time, &asked)) return -EFAULT;
  if (!ValidTime(asked)) return -EINVAL;
  uint64_t wanted = ToNanoseconds(asked);
  if ((flags & TIMER_ABSTIME) == 0) {
    uint64_t deadline = runtime().clock.Now() + wanted;
    long result = SleepUntil(scheduler, deadline);
    if (result == -EINTR && left != nullptr) {
      uint64_t now = runtime().clock.Now();
      *left = ToTimespec(now < deadline ? deadline - now : 0);
    }
    return result;
  }
  if (clock == CLOCK_MONOTONIC) {
    // Ours is ahead of the kernel's by that much at most, and nobody can set either.
    constexpr uint64_t kAhead = 1000;
    const uint64_t deadline = wanted < kNever - kAhead ? wanted + kAhead : kNever;
    return runtime().clock.Now() >= deadline ? 0 : SleepUntil(scheduler, deadline);
  }
  // The clock may be set while we sleep: look at it again when the time should have come.
  for (;;) {
    uint64_t now = ReadKernelClock(clock);
    if (now >= wanted) return 0;
    long result = SleepUntil(scheduler, runtime().clock.Now() + (wanted - now));
    if (result < 0) return result;
  }
}

long Nanosleep(Scheduler* scheduler, const struct timespec* time, struct timespec* left) {
  return ClockNanosleep(scheduler, CLOCK_MONOTONIC, 0, time, left);
}

namespace {

// Which user thread's CPU clock `clock` is: its own id, or one made of a thread's id as the kernel
// makes them (linux/posix-timers.h). Returns: null where it is no such clock.
Thread* ThreadOfClock(Scheduler* scheduler, int clock) {
  constexpr int kPerThread = 4, kKind = 3, kScheduled = 2;
  if (clock == CLOCK_THREAD_CPUTIME_ID) return scheduler->current();
  if (clock >= 0 || (clock & kPerThread) == 0 || (clock & kKind) != kScheduled) return nullptr;
  const int tid = ~(clock >> 3);
  return tid == 0 ? scheduler->current() : FindThread(scheduler, tid);
}

// By a proportion that never changes once it was used: calibration would make a clock go back.
uint64_t NanosecondsOf(uint64_t cycles) {
  constexpr int kShift = 32;
  constexpr uint64_t kSample = uint64_t{1} << kShift;
  static std::atomic<uint64_t> proportion{0};
  uint64_t used = proportion.load(std::memory_order_relaxed);
  if (used == 0) {
    const uint64_t measured = runtime().clock.Since(ReadCycles() - kSample);
    if (proportion.compare_exchange_strong(used, measured)) used = measured;
  }
  return static_cast<uint64_t>((static_cast<unsigned __int128>(cycles) * used) >> kShift);
}

// Where another scheduler runs the thread, what it reads may be half changed: it is near enough,
// and never less than was told before.
uint64_t CyclesOf(Thread* thread) {
  uint64_t cycles = __atomic_load_n(&thread->cycles, __ATOMIC_RELAXED);
  if (thread == thread->scheduler->current()) {
    const uint64_t mark = thread->scheduler->accounting().mark();
    const uint64_t now = ReadCycles();
    if (now > mark) cycles += now - mark;
  }
  uint64_t shown = thread->shown_cycles.load(std::memory_order_relaxed);
  while (shown < cycles && !thread->shown_cycles.compare_exchange_weak(shown, cycles)) {
  }
  return shown < cycles ? cycles : shown;
}

}  // namespace

long ClockGettime(Scheduler* scheduler, int clock, struct timespec* time) {
  Thread* thread = ThreadOfClock(scheduler, clock);
  // The only thread of a process has the kernel's, which knows when others had the processor.
  const bool alone = thread == scheduler->current() && runtime().threads.alive() == 1;
  if (thread == nullptr || alone) return RawSyscall(SYS_clock_gettime, clock, time);
  if (!Writable(time, sizeof *time)) return -EFAULT;
  const uint64_t cycles = CyclesOf(thread);
  *time = ToTimespec(NanosecondsOf(cycles));
  return 0;
}

long ClockGetres(Scheduler* scheduler, int clock, struct timespec* resolution) {
  if (ThreadOfClock(scheduler, clock) != nullptr) clock = CLOCK_THREAD_CPUTIME_ID;
  return RawSyscall(SYS_clock_getres, clock, resolution);
}

long SchedYield(Scheduler* scheduler) {
  scheduler->Yield();
  return 0;
}

long Pause(Scheduler* scheduler) {
  SleepUntil(scheduler, kNever);
  return -EINTR;
}

}  // namespace bobbin
