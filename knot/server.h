// Puts Knot together: groups, listening sockets, threads; starts them and stops them.
#ifndef KNOT_SERVER_H_
#define KNOT_SERVER_H_

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "knot/access_log.h"
#include "knot/admin/admin.h"
#include "knot/configuration.h"
#include "knot/door.h"
#include "knot/group.h"
#include "knot/options.h"
#include "knot/room_keeper.h"
#include "knot/statistics.h"
#include "knot/takeover.h"
#include "knot/tls_context.h"

namespace knot {

// What one process of several, or one that takes over, is given.
struct Part {
  int number = 0;                         // of the process, from 1; 0: it is the only one
  std::vector<std::vector<int>> sockets;  // for each address those that listen; none: opens its own
  bool shared = false;                    // the sockets: another process accepts from them, too
  // With --admin: what the processes share, this one's place there, and one more entry of
  // `sockets`, its one socket.
  std::shared_ptr<Board> board = {};
  int seat = 0;
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

  // Returns: a warning, or "". Errors: what Start would fail with, as far as can be told without
  // serving.
  static absl::StatusOr<std::string> Check(const Options& options);

  // Requires: Stopped().
  ~Server();

  // Puts `options` in force for requests that begin from now on, in all that NeedRestart() does not
  // name, reads the certificates again for connections that come from now on, and opens the access
  // log anew.
  //
  // Errors:  one line for people; then nothing has changed. Callers: one thread at a time. Blocks:
  // on the disk.
  absl::Status Reload(const Options& options);

  // Returns: the sockets it accepts from.
  const std::vector<Listening>& Sockets() const { return listening_; }

  // Tells whether another process accepts from the sockets, too.
  void SetShared(bool shared) { entrance_.shared.store(shared); }

  // Accepts no more, ends the connections that wait for a request, and lets replies under way
  // finish. Never blocks.
  void Stop();

  // As Stop(), where this server was to take another's place, which goes on instead.
  void Abandon();

  // Accepts no more, and leaves the sockets to others that have them, too; a connection is closed
  // after its next reply. Stop() may follow. Never blocks.
  void Leave();

  // After Stop() or Leave() reminds the threads that still accept. To be called now and then until
  // Stopped(), ever more seldom: threads are disturbed by it.
  void Remind();

  // Tells whether every thread that served connections has ended; after Leave() also, whether those
  // who asked at --admin were answered.
  bool Stopped() const {
    return threads_.load() == 0 && (!left_.load() || admin_ == nullptr || admin_->Closed());
  }

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
  // A connection on its way to the thread made for it.
  struct Accepted {
    Door& door;
    int socket;
    PeerAddress peer;
  };

  // What goes on in a group, and the group in force.
  struct Lane {
    Traffic traffic;
    std::unique_ptr<GroupSlot> group;
  };

  Server(const Options& options, const Part& part) : options_(options), part_(part) {
    entrance_.shared.store(part.shared);
  }
  void FitDescriptors();
  absl::Status OpenConfiguration();
  void AddWarning(const std::string& warning);
  absl::Status OpenLog(const Options& options);
  absl::Status LoadCertificates();
  std::shared_ptr<Group> MakeGroup(Traffic& traffic, const Options& options) const;
  bool WantsPeers(const Options& options) const;
  absl::Status OpenDoors();
  absl::Status AddDoors(size_t address, const std::vector<int>& sockets, int doors);
  absl::StatusOr<std::vector<int>> SocketsOf(size_t address, int groups);
  absl::Status StartAdmin();
  Statistics TakeStatistics() const;
  absl::Status MakeThreads();
  absl::Status KeepRoom();
  absl::Status MakeThread(Door& door, void* (*body)(void*), void* argument);
  void Serve(Door& door, int socket, const PeerAddress& peer);
  void ServeOnDemand(Door& door);
  bool ServeByThread(Door& door, int socket, const PeerAddress& peer);
  static void* AcceptAndServe(void* door);
  static void* AcceptAndSpawn(void* door);
  static void* ServeAccepted(void* accepted);

  // Reload changes only what no thread that serves looks at: those see their group.
  Options options_;
  const Part part_;
  int64_t descriptor_limit_ = 0;
  std::string warning_;
  std::shared_ptr<const Configuration> configuration_;  // in force
  std::unique_ptr<AccessLog> log_;                      // null: never was on
  std::unique_ptr<TlsContext> tls_;                     // null: no address is for TLS
  std::vector<std::unique_ptr<Lane>> lanes_;
  Entrance entrance_;
  std::vector<std::unique_ptr<Door>> doors_;
  std::vector<Listening> listening_;
  std::atomic<bool> left_{false};            // the sockets are another's
  std::atomic<int> threads_{0};              // now: those that accept or serve
  std::unique_ptr<Admin> admin_;             // null: off
  std::unique_ptr<RoomKeeper> room_keeper_;  // null: no room is made
};

}  // namespace knot

#endif  // KNOT_SERVER_H_
