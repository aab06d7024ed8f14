// Where connections come in: a listening socket, and the threads that accept from it.
//
//   open   --Stop, Leave-->   closed: every Accept ends
//
//   D1  A connection is given to one thread.
//   D2  Where another process accepts from the socket, too, it is neither shut down nor is its mode
//       changed: threads that wait at it are interrupted one by one.
#ifndef KNOT_DOOR_H_
#define KNOT_DOOR_H_

#include <atomic>
#include <memory>
#include <mutex>
#include <semaphore>
#include <vector>

#include "absl/status/status.h"
#include "knot/accepting_threads.h"
#include "knot/group.h"
#include "knot/shared_accept.h"
#include "knot/traffic.h"
#include "knot/transport.h"

namespace knot {

class Server;

// Tells whether `threads` suffice for that many doors. Errors: InvalidArgument.
absl::Status CheckDoors(int threads, int doors);

// What all doors of a server have in common.
struct Entrance {
  std::atomic<bool> closed{false};
  std::atomic<bool> shared{false};       // another process accepts from the sockets, too
  std::atomic<bool> wants_peers{false};  // somebody asks where connections come from
  std::atomic_flag said_accept_fails;
  AcceptingThreads threads;
};

// One listening socket and the group whose threads accept from it.
class Door {
 public:
  struct Place {
    int number;       // of the door
    int group_index;  // of the group
    int threads;      // its own, which is the most connections it serves at a time
  };

  // Takes over `socket`. All but the socket outlive the door.
  Door(Server& server, Entrance& entrance, Traffic& traffic, GroupSlot& groups, Place place,
       int socket, Transport transport);
  Door(const Door&) = delete;
  Door& operator=(const Door&) = delete;
  ~Door();

  // Makes it accept in the way of sockets that others of this server have, too. Requires: nobody
  // accepts yet. Errors: those of SharedAccept.
  absl::Status Share(int send_timeout_s);

  // Accepts a connection; sets `*peer`, whose family is AF_UNSPEC where nobody wants to know.
  // Returns: -1 once the entrance is closed. Blocks: this thread.
  int Accept(PeerAddress* peer);

  // Ends all Accepts where the entrance is closed, at once; but where it is shared, threads that
  // wait in accept(2) are left to AcceptingThreads::Interrupt. Never blocks.
  void Close();

  // For connections accepted from now on.
  void SetSendTimeout(int seconds);

  Server& server;
  Traffic& traffic;
  GroupSlot& groups;
  const Place place;
  const int socket;
  const Transport transport;
  std::counting_semaphore<>
      permits;  // on demand: how many more connections may be served at a time
  std::atomic<int> serving{0};

 private:
  int TryAccept(PeerAddress* peer);
  void AwaitConnection();

  Entrance& entrance_;
  std::unique_ptr<SharedAccept> shared_accept_;  // null: no other group or process has the socket
  std::mutex turn_;  // held by the thread that waits where another process has the socket, too
};

}  // namespace knot

#endif  // KNOT_DOOR_H_
