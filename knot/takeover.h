// Lets one Knot take the place of another without a connection being lost: both have the same
// listening sockets for a while.
//
//   predecessor                                     successor
//   serves                                          starts, by SIGUSR2 to the predecessor or by
//   hand
//   --> for each address its sockets -->            opens those it does not get, makes its threads
//   <-- that it serves, or why it cannot <--
//   --> "go", or "no" where it waited too long -->
//   accepts no more (Server::Leave)                 serves
//   ends, and with it the socket between them       has the listening sockets for itself
//
//   H1  Until its successor has said that it serves, the predecessor goes on as before. Where it
//       cannot, that is all that happens.
//   H2  While both live, neither shuts a listening socket down or changes its mode.
//
// The socket between them is a unix socket of type SOCK_SEQPACKET. One that is started by the
// predecessor finds its end in KNOT_INHERIT; one that is started by hand connects to the socket
// that
// --takeover names, where nobody but root and the user that the predecessor runs as is listened to.
#ifndef KNOT_TAKEOVER_H_
#define KNOT_TAKEOVER_H_

#include <sys/stat.h>
#include <sys/types.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "knot/announcement.h"
#include "knot/listen_address.h"

namespace knot {

// An address and the sockets that listen on it.
struct Listening {
  std::string address;  // as --listen gives it
  std::vector<int> sockets;
};

// Returns: what a successor is to get of `address`, whose name was `name` before its port was
// known: of descriptors of one socket, one.
Listening ToHandOver(std::string name, const ListenAddress& address,
                     const std::vector<int>& sockets);

// The Knot whose place is taken, as its successor sees it.
class Predecessor {
 public:
  // Finds it by KNOT_INHERIT, which it takes out of the environment, or else at the socket `path`
  // where that is not empty, and receives its sockets.
  //
  // Returns: null where there is none. Blocks: this thread, ten seconds at most.
  // Errors:  it does not answer, or is another user's.
  static absl::StatusOr<std::shared_ptr<Predecessor>> Find(const std::string& path);

  Predecessor(const Predecessor&) = delete;
  Predecessor& operator=(const Predecessor&) = delete;

  ~Predecessor();

  // Gives the sockets of an address away, once; sets its port to the real one.
  //
  // Returns: none where the predecessor does not listen there.
  // Errors:  FailedPrecondition they are not `count`: each needs threads that accept from it.
  absl::StatusOr<std::vector<int>> Take(ListenAddress* address, size_t count);

  // Returns: the addresses whose sockets were not taken, as --listen gave them there.
  std::vector<std::string> Names() const;

  // Takes the sockets that stand under a name that is no address. Returns, errors: as the other.
  absl::StatusOr<std::vector<int>> Take(const std::string& name, size_t count);

  // Closes the sockets that were not taken.
  void CloseRest();

  // Says whether this process can serve, once. Returns: false where the predecessor does not want
  // it any more. Blocks: ten seconds at most.
  bool Announce(const Announcement& announcement);

  // Tells whether it has ended. Blocks: up to `timeout_ms`, as poll(2).
  bool Gone(int timeout_ms) const;

 private:
  explicit Predecessor(int socket) : socket_(socket) {}
  absl::Status Receive();

  const int socket_;
  std::vector<Listening> rest_;
};

// The Knot that takes this one's place, as its predecessor sees it.
class Successor {
 public:
  // Starts `program` with the arguments and environment of this process.
  // Errors: those of socketpair(2) and posix_spawn(3).
  static absl::StatusOr<std::unique_ptr<Successor>> Start(const std::string& program, char** argv);

  // Takes one in that has come to a Doorbell.
  // Returns: null where nobody is there any more. Errors: PermissionDenied it is another user's.
  static absl::StatusOr<std::unique_ptr<Successor>> Accept(int doorbell);

  Successor(const Successor&) = delete;
  Successor& operator=(const Successor&) = delete;

  // Ends one that was started here and has not said that it serves.
  ~Successor();

  // Gives it the sockets. Errors: it has gone.
  absl::Status HandOver(const std::vector<Listening>& all);

  // Waits for up to `timeout_ms` until it has said whether it serves, or has gone. Returns: whether
  // it has.
  bool HasSpoken(int timeout_ms) const;

  // Returns: what it has said. Requires: HasSpoken().
  Announcement Receive();

  // Tells one that serves to go on alone.
  void LetGo();

  // Tells one that has not spoken yet that it is too late.
  void Refuse();

  pid_t pid() const { return pid_; }

 private:
  Successor(int socket, pid_t pid, bool child) : socket_(socket), pid_(pid), child_(child) {}

  const int socket_;
  const pid_t pid_;
  const bool child_;
  bool serves_ = false;
};

// The socket at which a successor that is started by hand is waited for. It makes SIGIO whenever
// one comes. Only its owner may connect.
//
//   none --Prepare--> open under a name of its own --Publish--> open under its name --Close--> none
class Doorbell {
 public:
  Doorbell() = default;
  Doorbell(const Doorbell&) = delete;
  Doorbell& operator=(const Doorbell&) = delete;
  ~Doorbell() { Close(false); }

  // Opens it. Errors: those of socket(2), bind(2) and listen(2), with the name; AlreadyExists it is
  // that of something else.
  absl::Status Prepare(const std::string& path);

  // Gives it its name, in the place of an earlier one. Errors: those of rename(2), with the name.
  absl::Status Publish();

  // Closes it; `unlink_it` takes the name away, too, where it is still this socket's.
  void Close(bool unlink_it);

  // Returns: a listening socket in non-blocking mode, or -1.
  int descriptor() const { return descriptor_; }

 private:
  int descriptor_ = -1;
  std::string path_, fresh_;  // the second until it has the first
  struct stat file_ {};       // what has the name
};

// Returns: `address`'s sockets from the predecessor, where there is one and it has them; else new
// ones, as Listen does.
absl::StatusOr<std::vector<int>> ListenOrTake(Predecessor* predecessor, ListenAddress* address,
                                              int count, int send_timeout_s);

// Returns: the path of this program's file, to be asked for at the start: an upgrade puts another
// file there.
std::string ProgramPath();

}  // namespace knot

#endif  // KNOT_TAKEOVER_H_
