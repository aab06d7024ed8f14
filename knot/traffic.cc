#include "knot/traffic.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <time.h>

#include <algorithm>
#include <utility>
#include <vector>

namespace knot {
namespace {

// Returns: for how long neither side has sent or acknowledged anything, in milliseconds; -1 of what
// is no TCP connection.
int64_t SilenceOf(int socket) {
  tcp_info info{};
  socklen_t size = sizeof info;
  if (getsockopt(socket, IPPROTO_TCP, TCP_INFO, &info, &size) != 0) return -1;
  return std::min({info.tcpi_last_data_recv, info.tcpi_last_data_sent, info.tcpi_last_ack_recv});
}

}  // namespace

void OpenConnections::Reserve(size_t count) {
  std::lock_guard<Lock> lock(mutex_);
  reserved_ += count;
  sockets_.reserve(2 * reserved_);  // removing leaves holes, which count, too
}

void OpenConnections::Add(int socket, int door) {
  std::lock_guard<Lock> lock(mutex_);
  sockets_.insert_or_assign(socket, Open{door, false});
  if (ending_) shutdown(socket, SHUT_RD);
}

void OpenConnections::EndAll() {
  std::lock_guard<Lock> lock(mutex_);
  ending_ = true;
  for (const auto& [socket, open] : sockets_) shutdown(socket, SHUT_RD);
}

size_t OpenConnections::EndSilent(int door, size_t count, int64_t silence_ms) {
  std::vector<std::pair<int64_t, int>> found;  // silence and socket
  {
    std::lock_guard<Lock> lock(mutex_);
    for (const auto& [socket, open] : sockets_) {
      if (open.door == door && !open.ended) found.emplace_back(0, socket);
    }
  }
  // Without the lock, for there may be thousands; some sockets may be others by then.
  for (auto& [silence, socket] : found) silence = SilenceOf(socket);
  std::sort(found.rbegin(), found.rend());
  size_t ended = 0;
  for (const auto& [silence, socket] : found) {
    if (ended == count || silence < silence_ms) break;
    std::lock_guard<Lock> lock(mutex_);
    auto place = sockets_.find(socket);
    bool same = place != sockets_.end() && place->second.door == door && !place->second.ended &&
                SilenceOf(socket) >= silence_ms;
    if (!same) continue;
    place->second.ended = true;
    shutdown(socket, SHUT_RD);
    ++ended;
  }
  return ended;
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
