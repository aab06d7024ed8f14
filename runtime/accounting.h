// Where a scheduler's time goes, and what it did; written by the owning scheduler only, read by
// anyone.
//
// The clock is the time-stamp counter, read where the category changes: when a thread parks
// (application → threading), when the next one runs (threading → application), and around the
// poller (event). What the poller's call costs and what it sleeps cannot be told apart by a clock:
// `polling_cycles` holds both, and whoever reads the counters subtracts the kernel thread's CPU
// time to get idle (see statistics.cc).
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
};

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
  void Start() { mark_ = start_ = ReadCycles(); }

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

  uint64_t mark() const { return mark_; }
  uint64_t start() const { return start_; }

  Counters counters;

 private:
  uint64_t mark_ = 0;
  uint64_t start_ = 0;
};

}  // namespace bobbin

#endif  // BOBBIN_RUNTIME_ACCOUNTING_H_
