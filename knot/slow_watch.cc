#include "knot/slow_watch.h"

#include <linux/tcp.h>  // libc's tcp_info ends before the bytes
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstddef>
#include <utility>

namespace knot {
namespace {

constexpr int64_t kInterruptionMs = 1000;
constexpr int kSlowWindows = 2;

}  // namespace

Activity ActivityOf(int socket) {
  tcp_info info{};
  socklen_t size = sizeof info;
  if (getsockopt(socket, IPPROTO_TCP, TCP_INFO, &info, &size) != 0) return {};
  Activity activity;
  activity.silence_ms =
      std::min({info.tcpi_last_data_recv, info.tcpi_last_data_sent, info.tcpi_last_ack_recv});
  // A kernel before 4.1 gives less.
  if (size >= offsetof(tcp_info, tcpi_bytes_received) + sizeof info.tcpi_bytes_received) {
    activity.moved = static_cast<int64_t>(info.tcpi_bytes_acked + info.tcpi_bytes_received);
  }
  return activity;
}

std::vector<SlowWatch::Watched> SlowWatch::Look(const std::vector<Watched>& connections,
                                                int64_t now_ms) {
  absl::flat_hash_map<uint64_t, Window> before;
  before.swap(windows_);
  if (now_ms - looked_ms_ >= kInterruptionMs) before.clear();
  looked_ms_ = now_ms;
  std::vector<std::pair<int64_t, Watched>> slow;  // and how slow
  for (const Watched& connection : connections) {
    auto known = before.find(connection.number);
    Window window = known == before.end() ? Window{now_ms, -1, 0, 0} : known->second;
    if (IsSlow(window, connection, now_ms)) slow.emplace_back(window.rate, connection);
    if (window.moved >= 0) windows_.emplace(connection.number, window);
  }
  std::sort(slow.begin(), slow.end(),
            [](const auto& a, const auto& b) { return a.first < b.first; });
  std::vector<Watched> result;
  for (const auto& [rate, connection] : slow) result.push_back(connection);
  return result;
}

bool SlowWatch::IsSlow(Window& window, const Watched& connection, int64_t now_ms) const {
  const int64_t passed_ms = now_ms - window.begun_ms;
  // The kernel is asked only where the answer counts.
  if (window.moved >= 0 && passed_ms < window_ms_ && window.slow < kSlowWindows) return false;
  const Activity activity = ActivityOf(connection.socket);
  const bool begins = window.moved < 0 || activity.moved < 0 ||
                      (!connection.told && activity.silence_ms >= window_ms_);
  if (begins) {
    window = {now_ms, activity.moved, 0, 0};
    return false;
  }
  const int64_t moved = activity.moved - window.moved;
  if (passed_ms >= window_ms_) {
    const int64_t rate = moved * 1000 / passed_ms;
    window = {now_ms, activity.moved, rate, rate < least_ ? window.slow + 1 : 0};
    return window.slow >= kSlowWindows;
  }
  return moved * 1000 < least_ * passed_ms;
}

}  // namespace knot
