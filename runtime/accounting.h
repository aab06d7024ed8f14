// Where a scheduler's time goes, and what it did; written by the owning scheduler only, read by
// anyone.
//
// The clock is the time-stamp counter, read where the category changes: when a thread parks
// (application → threading), when the next one runs (threading → application), and around the
// poller (event). What the poller's call costs and what it sleeps cannot be told apart by a clock:
// `polling_cycles` holds both. The CPU clock tells them apart, but is a system call: it is read
// around some polls only, which stand for the others (PollMeasured). Whoever reads the counters
// divides by it (BusyPolling).
#ifndef BOBBIN_RUNTIME_ACCOUNTING_H_
#define BOBBIN_RUNTIME_ACCOUNTING_H_

#include <cstdint>

#include "runtime/clock.h"
#include "runtime/spin_lock.h"

namespace bobbin {

struct Counters {
  uint64_t application_cycles = 0;
  uint64_t threading_cycles = 0;
  uint64_t event_cycles = 0;    // handling what the poller reported
  uint64_t polling_cycles = 0;  // inside the poller's system call, asleep or not
  uint64_t switches = 0;
  uint64_t parks = 0;
  uint64_t polls = 0;
  uint64_t poll_events = 0;
  uint64_t accepts = 0;
  uint64_t futex_waits = 0;
  uint64_t futex_wakes = 0;
  uint64_t try_again = 0;
  uint64_t worker_calls = 0;
  uint64_t inline_sendfiles = 0;
  uint64_t worker_sendfiles = 0;
  uint64_t timers_expired = 0;
  uint64_t signals_delivered = 0;
  uint64_t preemptions = 0;
  uint64_t traps = 0;
  uint64_t polling_time = 0;  // CPU time in the poller's system call, nanoseconds: an estimate
};

// Returns: how much of `polling_cycles` was no idleness.
//
// `cpu` is the CPU time of the scheduler's kernel thread and `polling_cpu` that part of it which
// the poller's calls took, as cycles. Where other processes had the processor, the other categories
// are longer than their CPU time; what the poller took is stretched as much, since the shares are
// shares of one whole.
inline uint64_t BusyPolling(const Counters& c, uint64_t cpu, uint64_t polling_cpu) {
  const uint64_t others = c.application_cycles + c.threading_cycles + c.event_cycles;
  const uint64_t others_cpu = cpu > polling_cpu ? cpu - polling_cpu : 0;
  uint64_t busy = polling_cpu;
  if (others_cpu != 0 && others > others_cpu)
    busy = static_cast<uint64_t>(static_cast<unsigned __int128>(busy) * others / others_cpu);
  return busy < c.polling_cycles ? busy : c.polling_cycles;
}

// Divides what a scheduler spent on events and in its poller between event overhead and idleness.
struct Shares {
  uint64_t event = 0;
  uint64_t idle = 0;
};

// Keeps both from ever falling between two readings, though how much was idle is an estimate.
class ShareSplitter {
 public:
  // `total` cycles were spent, `event` of them certainly not asleep; `idle` is the estimate.
  Shares Split(uint64_t total, uint64_t event, uint64_t idle) {
    SpinLockHolder hold(&lock_);
    if (total < last_.event + last_.idle) return last_;  // read before the last one was
    uint64_t most = total - (event > last_.event ? event : last_.event);
    if (idle > most) idle = most;
    if (idle < last_.idle) idle = last_.idle;
    last_ = {total - idle, idle};
    return last_;
  }

 private:
  SpinLock lock_;
  Shares last_;
};

class Accounting {
 public:
  void Start() {
    // What a reading of the CPU clock takes is in each difference of two; the least of a few is it.
    for (int i = 0; i < 3; ++i) {
      const uint64_t before = ReadKernelClock(CLOCK_THREAD_CPUTIME_ID);
      const uint64_t cost = ReadKernelClock(CLOCK_THREAD_CPUTIME_ID) - before;
      if (i == 0 || cost < clock_cost_) clock_cost_ = cost;
    }
    mark_ = start_ = ReadCycles();
  }

  // Charges the time since the last call to `category`. Returns: the counter now.
  uint64_t Charge(uint64_t* category) {
    uint64_t now = ReadCycles();
    *category += now - mark_;
    mark_ = now;
    return now;
  }

  // As above, and adds the time to `also`.
  uint64_t Charge(uint64_t* category, uint64_t* also) {
    const uint64_t before = mark_;
    const uint64_t now = Charge(category);
    *also += now - before;
    return now;
  }

  // Tells whether the CPU time of the poll that comes, or has just come, is to be measured. Polls
  // are counted after this.
  bool MeasurePoll() const { return counters.polls >= next_measured_; }

  // Takes the CPU time of such a poll, nanoseconds, for that of all since the last one measured.
  // How many there are between two is fitted to how fast they come: some hundred a second are
  // measured at most, and where polls are rare and long, each.
  void PollMeasured(uint64_t nanoseconds) {
    nanoseconds -= nanoseconds < clock_cost_ ? nanoseconds : clock_cost_;
    counters.polling_time += nanoseconds * (counters.polls + 1 - measured_until_);
    measured_until_ = counters.polls + 1;
    if (mark_ - measured_at_ < kSoon && stride_ < kMostStride) stride_ *= 2;
    if (mark_ - measured_at_ > 4 * kSoon && stride_ > 1) stride_ /= 2;
    measured_at_ = mark_;
    next_measured_ = counters.polls + stride_;
  }

  uint64_t mark() const { return mark_; }
  uint64_t start() const { return start_; }

  Counters counters;

 private:
  static constexpr uint64_t kSoon = 4'000'000;  // cycles, one or two milliseconds
  static constexpr uint64_t kMostStride = 256;

  uint64_t mark_ = 0;
  uint64_t start_ = 0;
  // Which polls are measured: numbers of polls.
  uint64_t stride_ = 1;
  uint64_t next_measured_ = 0;
  uint64_t measured_until_ = 0;
  uint64_t measured_at_ = 0;  // cycles
  uint64_t clock_cost_ = 0;   // nanoseconds
};

}  // namespace bobbin

#endif  // BOBBIN_RUNTIME_ACCOUNTING_H_
