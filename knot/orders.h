// What a process that serves is told to do: by signals, or by the process that started it.
#ifndef KNOT_ORDERS_H_
#define KNOT_ORDERS_H_

#include <signal.h>

#include <optional>
#include <vector>

namespace knot {

// The values are what goes through the pipe.
enum class Order : char {
  kStop = 's',
  kStatistics = 'c',
  kReload = 'r',
  kHandOver = 'h',  // start another Knot and let it take over
  kKnock = 'k',     // somebody is at the socket of --takeover
  kLeave = 'l',     // another has taken over
  kAlone = 'a',     // of several that had the same sockets this one is left
  kChild = 'd',     // a process that was started has ended
};

// Blocks the signals that are orders, and ignores SIGPIPE and SIGXFSZ. Requires: no thread has
// been made: they inherit the mask, so that signals reach only who waits for them.
void BlockOrderSignals();

class Orders {
 public:
  // Takes SIGTERM and SIGINT for kStop, SIGUSR1 for kStatistics, SIGHUP for kReload, SIGUSR2 for
  // kHandOver, SIGIO for kKnock, SIGCHLD for kChild.
  //
  // Requires:  BlockOrderSignals was called.
  static Orders BySignals();

  // Takes them from a pipe. Its end, which is that of the process at its other end, is a kStop,
  // too.
  static Orders ByPipe(int descriptor);

  // Waits for the next order for `timeout_ms`, or forever where that is negative.
  // Returns: nothing where none came, or the wait was interrupted.
  std::optional<Order> Next(int timeout_ms);

  // Has Next() return `order` before others, once however often it is kept.
  void Keep(Order order);

 private:
  Orders() = default;
  std::optional<Order> NextSignal(int timeout_ms);

  int pipe_ = -1;  // -1: by signals
  bool ended_ = false;
  sigset_t signals_{};
  std::vector<Order> kept_;
};

}  // namespace knot

#endif  // KNOT_ORDERS_H_
