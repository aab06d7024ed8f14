#include "knot/orders.h"

#include <poll.h>
#include <time.h>
#include <unistd.h>

namespace knot {

Orders Orders::BySignals() {
  Orders orders;
  sigemptyset(&orders.signals_);
  for (int number : {SIGTERM, SIGINT, SIGUSR1}) sigaddset(&orders.signals_, number);
  return orders;
}

Orders Orders::ByPipe(int descriptor) {
  Orders orders;
  orders.pipe_ = descriptor;
  return orders;
}

std::optional<Order> Orders::Next(int timeout_ms) {
  if (pipe_ < 0) return NextSignal(timeout_ms);
  pollfd wait{ended_ ? -1 : pipe_, POLLIN, 0};  // poll(2) skips -1: only the time is waited for
  if (poll(&wait, 1, timeout_ms) <= 0) return std::nullopt;
  char order;
  ssize_t count = read(pipe_, &order, 1);
  if (count < 0) return std::nullopt;
  ended_ = count == 0;
  return ended_ ? Order::kStop : static_cast<Order>(order);
}

std::optional<Order> Orders::NextSignal(int timeout_ms) {
  timespec timeout{timeout_ms / 1000, timeout_ms % 1000 * 1'000'000L};
  int number =
      timeout_ms < 0 ? sigwaitinfo(&signals_, nullptr) : sigtimedwait(&signals_, nullptr, &timeout);
  if (number < 0) return std::nullopt;
  return number == SIGUSR1 ? Order::kStatistics : Order::kStop;
}

}  // namespace knot
