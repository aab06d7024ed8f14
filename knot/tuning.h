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

// Writes what threading did and cost so far to descriptor `fd`, as text lines. Writes nothing on
// kernel threads.
void WriteStatistics(int fd);

}  // namespace knot::tuning

#endif  // KNOT_TUNING_H_
