// Tells which descriptors are ready, by epoll or by poll.
#ifndef BENCH_SERVERS_COMMON_POLLER_H_
#define BENCH_SERVERS_COMMON_POLLER_H_

#include <cstdint>
#include <memory>

namespace bench_server {

enum class Events : uint8_t { kEpoll, kPoll };

// A descriptor that is watched. Its owner puts it into something it can find again.
struct Watch {
  enum class Kind : uint8_t { kListener, kConnection, kOther };
  Kind kind = Kind::kOther;
  uint8_t registered = 0;  // the poller's own
  int place = -1;          // the poller's own
};

// What a connection waits for. Its end may be reported in any state.
enum class Interest : uint8_t { kNone, kRead, kWrite };

struct Ready {
  Watch* watch;
  bool readable;  // also at the end of input and in error
  bool writable;  // also in error
  bool hangup;    // the peer sends no more, or is gone
};

// Connections are reported once for each time they become ready (epoll), or as long as they are and
// there is interest (poll); whoever uses both remembers what was reported. Other descriptors are
// reported as long as they are readable.
//
// Requires: used by one thread. A watch stays where it is from Add to Remove.
class Poller {
 public:
  static std::unique_ptr<Poller> Make(Events events);
  virtual ~Poller() = default;

  // Begins to watch for reading. With `exclusive`, for a socket that several processes watch, not
  // all of them are woken (epoll only). Returns: 0 or -errno.
  virtual int Add(int descriptor, Watch* watch, bool exclusive = false) = 0;

  // Changes what a connection waits for.
  virtual void Want(int descriptor, Watch* watch, Interest interest) = 0;

  // Ends watching. `closing`: the descriptor is closed at once after this, by its only owner.
  virtual void Remove(int descriptor, Watch* watch, bool closing) = 0;

  // Waits for up to `timeout_ms`. Returns: how many were found ready, from *ready on; valid until
  // the next call.
  virtual int Wait(int timeout_ms, const Ready** ready) = 0;
};

}  // namespace bench_server

#endif  // BENCH_SERVERS_COMMON_POLLER_H_
