// Accepts connections from a listening socket that others have, too: other groups and processes, a
// service manager.
//
// Such a socket must not be shut down to end those who wait in accept(2), for that would end it for
// all. So one thread at a time waits, by poll(2), for a connection or the order to stop, and the
// others for their turn: a connection wakes one of them.
//
// Differs from the way of sockets of one's own in cost: a poll(2) and a lock more a connection.
#ifndef KNOT_SHARED_ACCEPT_H_
#define KNOT_SHARED_ACCEPT_H_

#include <atomic>
#include <memory>
#include <mutex>

#include "absl/status/statusor.h"
#include "knot/access_log.h"

namespace knot {

class SharedAccept {
 public:
  // `socket` listens, is in non-blocking mode, and outlives this. `send_timeout_s` is for the
  // sockets accepted, where they do not inherit it.
  // Errors: those of eventfd(2).
  static absl::StatusOr<std::unique_ptr<SharedAccept>> Make(int socket, int send_timeout_s);

  SharedAccept(const SharedAccept&) = delete;
  SharedAccept& operator=(const SharedAccept&) = delete;
  ~SharedAccept();

  // As accept4(2) with SOCK_CLOEXEC on a socket in blocking mode; `peer` may be null.
  // Returns: -1 with ECANCELED after Stop. Blocks: this thread. Callers: any thread.
  int Accept(PeerAddress* peer);

  // Sets the send time-out of sockets accepted from now on, where they do not inherit it.
  void SetSendTimeout(int seconds) { send_timeout_s_.store(seconds); }

  // Ends all Accepts, those to come included. Never blocks.
  void Stop();

 private:
  SharedAccept(int socket, int stop_event, int send_timeout_s);

  const int socket_;
  const int stop_event_;  // readable once stopped
  const bool inherits_;   // whether accepted sockets have the options of the listening one
  std::atomic<int> send_timeout_s_;
  std::mutex turn_;  // held by the thread that waits in poll(2)
};

}  // namespace knot

#endif  // KNOT_SHARED_ACCEPT_H_
