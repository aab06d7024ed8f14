// The least a peer must take of a reply, or send of a body, to be waited for.
#ifndef KNOT_PACE_H_
#define KNOT_PACE_H_

#include <algorithm>
#include <cstdint>

#include "knot/deadline.h"

namespace knot {

// So many bytes in so much time. At least one byte: who moves nothing is given up in any case.
struct LeastRate {
  LeastRate() = default;
  LeastRate(int64_t bytes_per_second, int seconds)
      : window_ms(seconds * 1000 - kTickMs),
        bytes(std::max<int64_t>(bytes_per_second * seconds, 1)) {}

  // A system call that waits for as long may end a tick of the kernel's clock early: that is to be
  // the end of the window, not just before it.
  static constexpr int kTickMs = 20;

  int window_ms = 30'000;
  int64_t bytes = 1;
};

// Watches over one transfer from when it first has to wait.
//
// Time is cut into windows, and each must see its bytes. So a peer cannot live on what it took at
// once at the beginning, as it could on an average over the whole transfer.
//
// State   within a window --it ended, enough was moved--> within the next
//                         --it ended, too little was moved--> given up
class Pace {
 public:
  explicit Pace(const LeastRate& least) : least_(least), end_(least.window_ms) {}

  void Moved(int64_t bytes) { moved_ += bytes; }

  // Returns: how many milliseconds are left of the window.
  int Left() const { return end_.Left(); }

  // Returns: how many milliseconds may be waited before it is asked again, at least 1; -1 where the
  // peer is to be given up.
  int Wait() {
    int left = end_.Left();
    if (left > 0) return left;
    if (moved_ < least_.bytes) return -1;
    moved_ = 0;
    end_ = Deadline(least_.window_ms);
    return least_.window_ms;
  }

 private:
  const LeastRate& least_;
  Deadline end_;
  int64_t moved_ = 0;  // in this window
};

// The pace of who is sent to, by what it has acknowledged: a socket that is full says that there is
// room again only when a third of its buffer is free, which may take a slow client a minute.
class SendPace {
 public:
  SendPace(int socket, const LeastRate& least)
      : socket_(socket), pace_(least), given_(Unacknowledged()) {}

  // To be told of all that the socket has taken since.
  void Given(int64_t bytes) { given_ += bytes; }

  // Returns: as Pace::Wait.
  int Wait();

 private:
  int64_t Unacknowledged() const;

  const int socket_;
  Pace pace_;
  int64_t given_;  // and not known to be acknowledged
};

}  // namespace knot

#endif  // KNOT_PACE_H_
