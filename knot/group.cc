#include "knot/group.h"

#include <sys/socket.h>
#include <time.h>

#include <algorithm>

namespace knot {

void OpenConnections::Add(int socket) {
  std::lock_guard<Lock> lock(mutex_);
  sockets_.insert(socket);
  if (ending_) shutdown(socket, SHUT_RD);
}

void OpenConnections::EndAll() {
  std::lock_guard<Lock> lock(mutex_);
  ending_ = true;
  for (int socket : sockets_) shutdown(socket, SHUT_RD);
}

void AcceptBackOff::Wait(const std::atomic<bool>& stopping) {
  constexpr int kFirstMs = 5;
  constexpr int kMostMs = 100;
  int seen = delay_ms_.load(std::memory_order_relaxed);
  std::lock_guard<std::mutex> turn(mutex_);
  if (stopping.load()) return;  // with many threads their turns would outlast the stop
  int delay = delay_ms_.load(std::memory_order_relaxed);
  if (delay == 0 && seen != 0) return;  // another thread has accepted since
  delay = std::clamp(2 * delay, kFirstMs, kMostMs);
  delay_ms_.store(delay, std::memory_order_relaxed);
  timespec rest{0, delay * 1'000'000};
  nanosleep(&rest, nullptr);
}

}  // namespace knot
