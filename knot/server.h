// Puts Knot together: groups, listening sockets, threads; starts them and stops them.
#ifndef KNOT_SERVER_H_
#define KNOT_SERVER_H_

#include <atomic>
#include <memory>
#include <semaphore>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "knot/access_log.h"
#include "knot/admin/admin.h"
#include "knot/group.h"
#include "knot/header_rules.h"
#include "knot/mime_types.h"
#include "knot/options.h"
#include "knot/policy.h"
#include "knot/room_keeper.h"
#include "knot/shared_accept.h"
#include "knot/site.h"
#include "knot/statistics.h"
#include "knot/tls_context.h"
#include "knot/transport.h"

namespace knot {

// What one process of several is given.
struct Part {
  int number = 0;                         // of the process, from 1; 0: it is the only one
  std::vector<std::vector<int>> sockets;  // for each address those that listen; none: opens its own
  // With --admin: what the processes share, and one more entry of `sockets`, its one socket.
  std::shared_ptr<Board> board;
};

class Server {
 public:
  // Opens the root, the log and the addresses, then makes the threads. Serving has begun when it
  // returns.
  //
  // Requires:  tuning::Apply was called, signals the caller waits for are blocked.
  // Errors:    one line for people, naming what could not be had.
  static absl::StatusOr<std::unique_ptr<Server>> Start(const Options& options,
                                                       const Part& part = {});

  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  // Requires: Stopped().
  ~Server();

  // Accepts no more, ends the connections that wait for a request, and lets replies under way
  // finish. Never blocks.
  void Stop();

  // Tells whether every thread that served connections has ended.
  bool Stopped() const { return threads_.load() == 0; }

  // Reads the files of --tls again, for the connections that come from then on. Where they are not
  // good, the old ones stay in use. Blocks: this thread, while they are read. Callers: one thread.
  // Errors: one line for people, of which file and why.
  absl::Status ReloadCertificates();

  // Writes out the access log and closes it; says how much of it is missing. Requires: Stop() was
  // called. Returns: false where it cannot be written out; the server must then not be destroyed.
  bool CloseLog();

  // Writes Knot's counters, then those of the runtime, to descriptor `fd`; one process of several
  // says first which it is.
  void WriteStatistics(int fd) const;

  // Returns: the line printed at start: addresses, root, threads, workers, poller, send policy.
  std::string Summary() const;

  // Returns: a warning where the process may not open the descriptors its threads can need, or a
  // certificate is not valid now, else "".
  const std::string& Warning() const { return warning_; }

 private:
  // One listening socket and the group whose threads accept from it.
  struct Door {
    Server& server;
    Group& group;
    int group_index;
    int socket;
    std::counting_semaphore<>
        permits;  // on demand: how many more connections may be served at a time
    Transport transport;
    std::unique_ptr<SharedAccept> shared;  // null: the socket is ours alone
    const int number;                      // of the door
    const int threads;  // its own, which is the most connections it serves at a time
    std::atomic<int> serving{0};
  };

  // A connection on its way to the thread made for it.
  struct Accepted {
    Door& door;
    int socket;
    PeerAddress peer;
  };

  Server(const Options& options, const Part& part) : options_(options), part_(part) {}
  void FitDescriptors();
  absl::Status OpenSites();
  absl::Status MakeRules();
  absl::Status OpenDoors();
  absl::Status LoadCertificates();
  absl::StatusOr<std::vector<int>> SocketsOf(size_t address, int groups);
  absl::Status StartAdmin();
  Statistics TakeStatistics() const;
  absl::Status MakeThreads();
  absl::Status KeepRoom();
  absl::Status MakeThread(Door& door, void* (*body)(void*), void* argument);
  int Accept(Door& door, PeerAddress* peer);
  void Serve(Door& door, int socket, const PeerAddress& peer);
  void ServeOnDemand(Door& door);
  bool ServeByThread(Door& door, int socket, const PeerAddress& peer);
  static void* AcceptAndServe(void* door);
  static void* AcceptAndSpawn(void* door);
  static void* ServeAccepted(void* accepted);

  Options options_;
  const Part part_;
  std::unique_ptr<Sites> sites_;
  std::string health_;
  int64_t descriptor_limit_ = 0;
  std::string warning_;
  MimeTypes types_;
  HeaderRules headers_;
  std::unique_ptr<Policy> policy_;  // null: no rules
  std::unique_ptr<AccessLog> log_;
  std::unique_ptr<TlsContext> tls_;  // null: no address is for TLS
  bool wants_peers_ = false;         // somebody asks where connections come from
  std::vector<std::unique_ptr<Group>> groups_;
  std::vector<std::unique_ptr<Door>> doors_;
  std::atomic<int> threads_{0};  // now: those that accept or serve
  std::atomic<bool> stopping_{false};
  std::atomic_flag said_accept_fails_;
  std::unique_ptr<Admin> admin_;             // null: off
  std::unique_ptr<RoomKeeper> room_keeper_;  // null: no room is made
};

}  // namespace knot

#endif  // KNOT_SERVER_H_
