#include "knot/orders.h"

#include <poll.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>

namespace knot {
namespace {

sigset_t OrderSignals() {
  sigset_t set;
  sigemptyset(&set);
  for (int number : {SIGTERM, SIGINT, SIGUSR1, SIGHUP, SIGUSR2, SIGIO, SIGCHLD}) {
    sigaddset(&set, number);
  }
  return set;
}

}  // namespace

void BlockOrderSignals() {
  signal(SIGPIPE, SIG_IGN);
  signal(SIGXFSZ, SIG_IGN);  // a log that may not grow is an error of write(2)
  sigset_t set = OrderSignals();
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
}

Orders Orders::BySignals() {
  Orders orders;
  orders.signals_ = OrderSignals();
  return orders;
}

Orders Orders::ByPipe(int descriptor) {
  Orders orders;
  orders.pipe_ = descriptor;
  return orders;
}

void Orders::Keep(Order order) {
  if (std::find(kept_.begin(), kept_.end(), order) == kept_.end()) kept_.push_back(order);
}

std::optional<Order> Orders::Next(int timeout_ms) {
  if (!kept_.empty()) {
    Order order = kept_.front();
    kept_.erase(kept_.begin());
    return order;
  }
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
  switch (number) {
    case SIGTERM:
    case SIGINT:
      return Order::kStop;
    case SIGUSR1:
      return Order::kStatistics;
    case SIGHUP:
      return Order::kReload;
    case SIGUSR2:
      return Order::kHandOver;
    case SIGIO:
      return Order::kKnock;
    case SIGCHLD:
      return Order::kChild;
    default:
      return std::nullopt;
  }
}

}  // namespace knot
