#include "knot/room_keeper.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <chrono>
#include <new>
#include <utility>

#include "knot/monotonic.h"
#include "knot/threads.h"

namespace knot {
namespace {

constexpr std::chrono::milliseconds kStep{250};

}  // namespace

uint32_t WaitingAt(int listener) {
  tcp_info info{};
  socklen_t size = sizeof info;
  if (getsockopt(listener, IPPROTO_TCP, TCP_INFO, &info, &size) != 0) return 0;
  // Of a listening socket it is the length of its queue.
  return info.tcpi_state == TCP_LISTEN ? info.tcpi_unacked : 0;
}

absl::StatusOr<std::unique_ptr<RoomKeeper>> RoomKeeper::Start(std::vector<Place> places,
                                                              int64_t silence_ms) {
  std::unique_ptr<RoomKeeper> keeper(new RoomKeeper(std::move(places), silence_ms));
  auto body = [](void* self) -> void* {
    static_cast<RoomKeeper*>(self)->KeepUntilStopped();
    return nullptr;
  };
  absl::Status status = StartThread(kServiceStackBytes, body, keeper.get());
  if (status.ok()) return keeper;
  keeper->ended_ = true;
  return status;
}

RoomKeeper::~RoomKeeper() {
  std::unique_lock<std::mutex> lock(mutex_);
  stopping_ = true;
  changed_.notify_all();
  changed_.wait(lock, [this] { return ended_; });
}

void RoomKeeper::KeepUntilStopped() {
  std::unique_lock<std::mutex> lock(mutex_);
  while (!changed_.wait_for(lock, kStep, [this] { return stopping_; })) {
    lock.unlock();
    for (Place& place : places_) Look(place);
    lock.lock();
  }
  ended_ = true;
  changed_.notify_all();
}

void RoomKeeper::Look(Place& place) const {
  bool full = place.serving.load(std::memory_order_relaxed) >= place.threads;
  uint32_t waiting = full ? WaitingAt(place.listener) : 0;
  if (place.crowded != (waiting > 0)) {
    place.crowded = waiting > 0;
    place.traffic.crowded_doors.fetch_add(place.crowded ? 1 : -1, std::memory_order_relaxed);
  }
  if (!place.crowded) return;
  try {
    MakeRoom(place, waiting);
  } catch (const std::bad_alloc&) {
    // Nobody is ended this time.
  }
}

void RoomKeeper::MakeRoom(Place& place, size_t waiting) const {
  OpenConnections& open = place.traffic.open;
  const size_t told = open.EndSilent(place.door, waiting, silence_ms_);
  place.traffic.counters.room_made.Add(told);
  if (!place.slow.on()) return;
  const size_t cut = open.CutSlow(place.door, waiting - told, place.slow, MonotonicMs());
  place.traffic.counters.room_made.Add(cut);
}

}  // namespace knot
