// What a process that serves is told to do: by signals, or by the process that started it.
#ifndef KNOT_ORDERS_H_
#define KNOT_ORDERS_H_

#include <signal.h>

#include <optional>

namespace knot {

// The values are what goes through the pipe.
enum class Order : char { kStop = 's', kStatistics = 'c' };

class Orders {
 public:
  // Takes SIGTERM and SIGINT for kStop, SIGUSR1 for kStatistics.
  //
  // Requires:  all three are blocked in every thread.
  static Orders BySignals();

  // Takes them from a pipe. Its end, which is that of the process at its other end, is a kStop,
  // too.
  static Orders ByPipe(int descriptor);

  // Waits for the next order for `timeout_ms`, or forever where that is negative.
  // Returns: nothing where none came, or the wait was interrupted.
  std::optional<Order> Next(int timeout_ms);

 private:
  Orders() = default;
  std::optional<Order> NextSignal(int timeout_ms);

  int pipe_ = -1;  // -1: by signals
  bool ended_ = false;
  sigset_t signals_{};
};

}  // namespace knot

#endif  // KNOT_ORDERS_H_
