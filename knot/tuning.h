// Everything Knot asks of the threads it runs on, beyond POSIX.
//
// Two files implement this: tuning_bobbin.cc calls Bobbin's public API, tuning_kernel_threads.cc
// does nothing. No other part of Knot knows which of them it is linked with.
#ifndef KNOT_TUNING_H_
#define KNOT_TUNING_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"

namespace knot::tuning {

enum class Poller : uint8_t { kEpoll, kPoll };
enum class Sendfile : uint8_t { kInline, kPoll, kNonblocking, kBlocking };
enum class Accept : uint8_t { kFavorConnections, kFavorAccepts };

struct Settings {
  int schedulers = 1;  // 0: one per processor
  int workers = 0;     // 0: autosized
  Poller poller = Poller::kEpoll;
  Sendfile sendfile = Sendfile::kInline;
  Accept accept = Accept::kFavorConnections;
  bool apart = false;  // there will be threads that compute for long: PlaceNextThreadApart
};

// What is in force, as text for people, after Apply.
struct Effective {
  std::string threads;  // "user threads" or "kernel threads"
  std::string workers;  // a number, "auto" or "none"
  std::string poller;   // "epoll", "poll" or "none"
  std::string warning;  // why the settings could not be applied, "" if they were
};

// Errors: InvalidArgument Apply would refuse a setting.
absl::Status Check(const Settings& settings);

// Puts the settings in force. Where user threads are not to be had it is not an error: the program
// runs on kernel threads and Describe() gives the reason.
//
// Requires:  no thread has been made yet.
// Errors:    InvalidArgument a setting was refused; ResourceExhausted a kernel thread could not be
// made.
absl::Status Apply(const Settings& settings);

Effective Describe();

// Returns: how many groups of threads run in parallel and share nothing; 1 on kernel threads.
int Groups();

// Returns: what Groups() will be after Apply(settings), by all that is known before it.
int ExpectedGroups(const Settings& settings);

// Places the next thread made by the caller in group `group`, 0 <= group < Groups().
void PlaceNextThread(int group);

// Places the next thread made by the caller where it holds up no group while it computes. Requires:
// Settings::apart.
void PlaceNextThreadApart();
// What threading did since start, summed over groups.
struct ThreadingTotals {
  // Nanoseconds of the kernel threads that run user threads, by what they went into. May be told as
  // slightly fewer later.
  uint64_t application_ns = 0, threading_ns = 0, event_ns = 0, idle_ns = 0;
  uint64_t switches = 0;  // of user threads
  uint64_t polls = 0;     // calls that ask which descriptors are ready
  uint64_t poll_events = 0;
  uint64_t worker_calls = 0;  // calls handed to workers
};

// What there is of it now.
struct ThreadingLevels {
  // Threads by what they do: run, are ready to, or wait for what the other names say.
  uint64_t running = 0, ready = 0;
  uint64_t readable = 0, writable = 0, poll = 0, accept = 0;
  uint64_t lock = 0;  // or a condition, a semaphore, the end of a thread
  uint64_t worker = 0, disk = 0, time = 0, signal = 0, other = 0;
  uint64_t workers_busy = 0, workers_idle = 0;  // kernel threads for calls that block
  uint64_t worker_queue = 0;                    // calls that wait for one
  uint64_t poll_set = 0;                        // descriptors whose readiness is watched
};

struct ThreadingNow {
  ThreadingTotals totals;
  ThreadingLevels levels;
};

// Reads them, which takes a look at each thread: about a tenth of a microsecond a thread, in which
// the caller's group does nothing else. Returns: false on kernel threads, of which nothing is
// known.
bool Sample(ThreadingNow* now);

// Writes what threading did and cost so far to descriptor `fd`, as text lines. Writes nothing on
// kernel threads.
void WriteStatistics(int fd);

}  // namespace knot::tuning

#endif  // KNOT_TUNING_H_
