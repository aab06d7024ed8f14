// Makes room for connections that wait while every thread serves.
//
// A thread serves one connection at a time, and one that is kept for a next request holds its
// thread. A listening socket is crowded while all of its threads are held and connections wait in
// its queue. Then as many of those served are told to end as wait: the ones that have been silent
// longest, clients that are slow to send a request among them. A reply under way is still sent,
// then its connection is closed. And a connection whose client goes on asking is closed after a
// reply once it has been served for the same time (Traffic::crowded_doors). What is left then is in
// the midst of one transfer: where more wait than could be told to end, the slowest are cut off,
// their replies, too (SlowWatch).
//
//   K1  Where no socket is crowded nothing is ended.
//   K2  No connection is told to end that was silent, or was served, for less than the time given;
//       none is cut off that was not slow for twice that time, while others waited with breaks of
//       less than a second.
//   K3  What is told to end for its silence, or cut off, was served by the socket at which others
//       wait.
//   K4  Nobody is cut off at a look that finds as many who are silent as wait, nor while those cut
//       off before, who have yet to leave, are as many.
//
// It costs those who serve next to nothing: how long a connection was silent, and how much it has
// moved, is asked of the kernel.
#ifndef KNOT_ROOM_KEEPER_H_
#define KNOT_ROOM_KEEPER_H_

#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "knot/slow_watch.h"
#include "knot/traffic.h"

namespace knot {

class RoomKeeper {
 public:
  // A listening socket, and who serves what arrives there.
  struct Place {
    int listener;
    int door;     // its number in traffic.open
    int threads;  // the most connections that are served
    const std::atomic<int>& serving;
    Traffic& traffic;
    SlowWatch slow;
    bool crowded = false;
  };

  // Starts a thread that looks at each place four times a second. All places outlive the keeper.
  // Errors: ResourceExhausted no thread could be made.
  static absl::StatusOr<std::unique_ptr<RoomKeeper>> Start(std::vector<Place> places,
                                                           int64_t silence_ms);

  RoomKeeper(const RoomKeeper&) = delete;
  RoomKeeper& operator=(const RoomKeeper&) = delete;

  // Blocks: until the thread has ended, which it does at once.
  ~RoomKeeper();

 private:
  RoomKeeper(std::vector<Place> places, int64_t silence_ms)
      : places_(std::move(places)), silence_ms_(silence_ms) {}
  void KeepUntilStopped();
  void Look(Place& place) const;
  void MakeRoom(Place& place, size_t waiting) const;

  std::vector<Place> places_;
  const int64_t silence_ms_;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool stopping_ = false;
  bool ended_ = false;
};

// Returns: how many connections wait to be accepted from a listening TCP socket; 0 of another kind.
// Source: tcp(7), TCP_INFO; inet_diag of a listening socket.
uint32_t WaitingAt(int listener);

}  // namespace knot

#endif  // KNOT_ROOM_KEEPER_H_
