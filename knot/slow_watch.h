// Tells which connections move too little, by what they have moved at looks now and then.
//
// Each connection has windows of its own, one after the other from the look that first finds it.
// Who is silent between requests is no slow transfer: it begins anew for as long as nobody has told
// it to end, and whoever looks tells those first.
//
//   W1  A connection is slow that moved too little in each of its last two windows, and in what has
//       passed of the next. It was there at looks through all of that time.
//   W2  After a second without a look all begin anew.
//   W3  What is no TCP connection is never slow.
#ifndef KNOT_SLOW_WATCH_H_
#define KNOT_SLOW_WATCH_H_

#include <cstdint>
#include <vector>

#include "absl/container/flat_hash_map.h"

namespace knot {

// What the kernel knows of a connection. Source: tcp(7), TCP_INFO.
struct Activity {
  // For how long neither side has sent or acknowledged anything; -1 of what is no TCP connection.
  int64_t silence_ms = -1;
  // Bytes, received and acknowledged ones together; -1 where it cannot be known.
  int64_t moved = -1;
};

// Blocks: never.
Activity ActivityOf(int socket);

// Callers: one thread.
class SlowWatch {
 public:
  struct Watched {
    uint64_t number;  // no other connection has, or had, it
    int socket;
    bool told;  // to end: whatever it still does is to be over
  };

  // With a rate of 0 nobody is slow.
  SlowWatch(int64_t bytes_per_second, int64_t window_ms)
      : least_(bytes_per_second), window_ms_(window_ms) {}

  bool on() const { return least_ > 0; }

  // Looks at all connections there are. `now_ms` is monotonic. Returns: the slow ones, the slowest
  // in their last windows first. Throws: std::bad_alloc; then some begin anew.
  std::vector<Watched> Look(const std::vector<Watched>& connections, int64_t now_ms);

 private:
  struct Window {
    int64_t begun_ms;
    int64_t moved;  // when it began
    int64_t rate;   // in the one before
    int slow;       // windows in a row before it
  };

  bool IsSlow(Window& window, const Watched& connection, int64_t now_ms) const;

  const int64_t least_;  // bytes a second
  const int64_t window_ms_;
  int64_t looked_ms_ = 0;
  absl::flat_hash_map<uint64_t, Window> windows_;  // by the connection's number
};

}  // namespace knot

#endif  // KNOT_SLOW_WATCH_H_
