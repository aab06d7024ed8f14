// What a run counts, in memory that the processes of the generator share with the one that reports.
//
// Plain data, all zeros at first; counters are changed and read as atomics, since a generator on
// kernel threads has many writers.
#ifndef BOBBIN_BENCH_LOAD_TALLY_H_
#define BOBBIN_BENCH_LOAD_TALLY_H_

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "bench/load/file_set.h"
#include "bench/load/histogram.h"

namespace load {

// How a request ended.
enum class Outcome : uint8_t {
  kReply,      // the right one
  kTimeout,    // no connection, or no whole reply, in time
  kConnect,    // the connection was refused
  kReset,      // the connection was reset
  kClosed,     // the connection ended before the reply did
  kStatus,     // a status other than 200, or a head that is none
  kWrongBody,  // a wrong length, or (--verify=all) wrong bytes
  kClient,     // the generator's own limit: descriptors, ports, memory or --max_open
};
inline constexpr size_t kOutcomes = 8;

class Counter {
 public:
  void Add(uint64_t amount = 1) { Ref().fetch_add(amount, std::memory_order_relaxed); }
  void Subtract(uint64_t amount = 1) { Ref().fetch_sub(amount, std::memory_order_relaxed); }
  void Set(uint64_t value) { Ref().store(value, std::memory_order_release); }
  uint64_t Get() const {
    return std::atomic_ref<uint64_t>(const_cast<uint64_t&>(value_)).load(std::memory_order_acquire);
  }

 private:
  std::atomic_ref<uint64_t> Ref() { return std::atomic_ref<uint64_t>(value_); }

  uint64_t value_;
};

// Everything since the start, as it happens.
struct LiveTally {
  Counter requests;  // begun
  Counter outcomes[kOutcomes];
  Counter bytes;     // of bodies
  Counter open;      // now: connections, and those being made
  Counter peak;      // the most of `open`
  Counter busy;      // now: requests begun and not ended
  Counter sessions;  // now: sessions begun and not ended
};

// What belongs to the measured window: requests whose intended start lies in it.
struct WindowTally {
  Counter sessions;     // that were to arrive in it
  Counter connections;  // made for requests of it
  Counter requests;
  Counter outcomes[kOutcomes];
  Counter abandoned;  // requests not made because an earlier one of their session failed
  struct {
    Counter requests, timeouts;
  } sizes[kFilesPerDirectory];
  Histogram latency;           // from the intended start to the end of the reply
  Histogram response;          // the connect time's share, and from the request to the end
  Histogram arrival_lateness;  // of sessions, against schedule
  Histogram request_lateness;  // of requests, against their intended start
};

struct Tally {
  LiveTally live;
  WindowTally window;
  Counter ready;  // the process waits for the start
  Counter ended;  // the process has counted its last
};

// What the reporting process tells the others. Units: nanoseconds of CLOCK_MONOTONIC.
struct Control {
  Counter go;     // the times below are set
  Counter start;  // schedule 0
  Counter begin;  // of the measured window
  Counter end;    // of it: nothing begins from then on
  Counter stop;   // now: everybody ends as soon as possible
};

}  // namespace load

#endif  // BOBBIN_BENCH_LOAD_TALLY_H_
