// Where whoever reads this process's memory from outside (./dev profile) finds the counters: the
// exported object bobbin_counters_map, whose address the library's dynamic symbols tell. It costs
// nothing while nobody looks.
//
// All words are 64 bits. A reader takes no other layout than this one: `magic` changes with it.
#include <cstddef>
#include <cstdint>

#include "runtime/runtime.h"

namespace bobbin {

// The words of Counters, in order. The shares' cycles come first, as there.
static constexpr char kCounterNames[] =
    "application_cycles threading_cycles event_cycles polling_cycles switches parks polls "
    "poll_events accepts futex_waits futex_wakes try_again worker_calls inline_sendfiles "
    "worker_sendfiles timers_expired signals_delivered preemptions traps polling_time";

static constexpr uint64_t CountWords(const char* text) {
  uint64_t words = 1;
  for (; *text != '\0'; ++text) words += *text == ' ';
  return words;
}
static_assert(CountWords(kCounterNames) * sizeof(uint64_t) == sizeof(Counters),
              "a counter was added or taken away: name it here");

struct CountersMap {
  char magic[8];
  const char* names;
  uint64_t name_bytes;
  const bool* active;
  const void* scheduler_count;   // an int
  Scheduler* const* schedulers;  // so many pointers
  uint64_t counters_offset;      // in a scheduler
  uint64_t kernel_tid_offset;    // in a scheduler, an int
  const void* multiplier;        // 32 bits: nanoseconds a cycle << 28, 0 while not known
};

class MapOffsets {
 public:
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Winvalid-offsetof"
  static constexpr size_t kCounters =
      offsetof(Scheduler, accounting_) + offsetof(Accounting, counters);
  static constexpr size_t kKernelTid = offsetof(Scheduler, kernel_tid_);
  static constexpr size_t kMultiplier = offsetof(Runtime, clock) + offsetof(Clock, multiplier_);
  static constexpr size_t kActive = offsetof(Runtime, active);
  static constexpr size_t kSchedulers = offsetof(Runtime, schedulers);
  static constexpr size_t kSchedulerCount = offsetof(Runtime, scheduler_count);
#pragma GCC diagnostic pop
};

extern "C" __attribute__((visibility("default"), used)) const CountersMap bobbin_counters_map = {
    {'b', 'o', 'b', 'b', 'i', 'n', '0', '1'},
    kCounterNames,
    sizeof kCounterNames - 1,
    reinterpret_cast<const bool*>(runtime_storage + MapOffsets::kActive),
    runtime_storage + MapOffsets::kSchedulerCount,
    reinterpret_cast<Scheduler* const*>(runtime_storage + MapOffsets::kSchedulers),
    MapOffsets::kCounters,
    MapOffsets::kKernelTid,
    runtime_storage + MapOffsets::kMultiplier,
};

}  // namespace bobbin
