#include "knot/traffic.h"

#include <sys/socket.h>
#include <time.h>

#include <algorithm>
#include <vector>

namespace knot {

void OpenConnections::Reserve(size_t count) {
  std::lock_guard<Lock> lock(mutex_);
  reserved_ += count;
  sockets_.reserve(2 * reserved_);  // removing leaves holes, which count, too
}

void OpenConnections::Add(int socket, int door) {
  std::lock_guard<Lock> lock(mutex_);
  sockets_.insert_or_assign(socket, Open{++last_number_, door, State::kServed});
  if (ending_) shutdown(socket, SHUT_RD);
}

void OpenConnections::EndAll() {
  std::lock_guard<Lock> lock(mutex_);
  ending_ = true;
  for (const auto& [socket, open] : sockets_) shutdown(socket, SHUT_RD);
}

size_t OpenConnections::EndSilent(int door, size_t count, int64_t silence_ms) {
  struct Found {
    int64_t silence_ms;
    int socket;
    uint64_t number;
  };
  std::vector<Found> found;
  {
    std::lock_guard<Lock> lock(mutex_);
    for (const auto& [socket, open] : sockets_) {
      if (open.door == door && open.state == State::kServed) {
        found.push_back({0, socket, open.number});
      }
    }
  }
  // Without the lock, for there may be thousands; some sockets may be others by then.
  for (Found& one : found) one.silence_ms = ActivityOf(one.socket).silence_ms;
  std::sort(found.begin(), found.end(),
            [](const Found& a, const Found& b) { return a.silence_ms > b.silence_ms; });
  size_t told = 0;
  for (const Found& one : found) {
    if (told == count || one.silence_ms < silence_ms) break;
    std::lock_guard<Lock> lock(mutex_);
    auto place = sockets_.find(one.socket);
    bool same = place != sockets_.end() && place->second.number == one.number &&
                ActivityOf(one.socket).silence_ms >= silence_ms;
    if (!same) continue;
    place->second.state = State::kTold;
    shutdown(one.socket, SHUT_RD);
    ++told;
  }
  return told;
}

size_t OpenConnections::CutSlow(int door, size_t count, SlowWatch& watch, int64_t now_ms) {
  std::vector<SlowWatch::Watched> found;
  size_t leaving = 0;
  {
    std::lock_guard<Lock> lock(mutex_);
    for (const auto& [socket, open] : sockets_) {
      if (open.door != door) continue;
      if (open.state == State::kCut) {
        ++leaving;
      } else {
        found.push_back({open.number, socket, open.state == State::kTold});
      }
    }
  }
  // Without the lock, as above.
  size_t cut = 0;
  for (const SlowWatch::Watched& slow : watch.Look(found, now_ms)) {
    if (leaving + cut >= count) break;
    std::lock_guard<Lock> lock(mutex_);
    auto place = sockets_.find(slow.socket);
    if (place == sockets_.end() || place->second.number != slow.number) continue;
    place->second.state = State::kCut;
    shutdown(slow.socket, SHUT_RDWR);
    ++cut;
  }
  return cut;
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
