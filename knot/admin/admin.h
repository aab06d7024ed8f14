// Answers at the admin address: a live page, its numbers, metrics for Prometheus, and whether the
// server is well.
//
// It has a socket and threads of its own, so that it answers where every thread that serves is
// busy. Each connection gets one reply and is closed.
//
// State   answering --~Admin--> ending --the last thread left--> gone
//
// Invariants
//   A1  A request is answered only where MayBeAsked its Host: a page of another origin cannot read
//       an answer.
//   A2  A client has a thread for kHeadMs until it has asked, and for Visit::kLingerMs where it
//   sends
//       more than that; a reply fits into the socket's buffer. So nobody holds a thread by sending
//       or reading slowly.
//   A3  The source is not called after ~Admin.
//   A4  The counters are read at most once in kLeastNs, however many ask.
#ifndef KNOT_ADMIN_ADMIN_H_
#define KNOT_ADMIN_ADMIN_H_

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "knot/admin/board.h"
#include "knot/options_admin.h"
#include "knot/statistics.h"
#include "knot/takeover.h"

namespace knot {

class Admin {
 public:
  // What it asks of its server. Callers: one thread at a time.
  struct Source {
    std::function<void(Statistics*)> read;  // of this process
    std::function<bool()> stopping;
  };

  // Which of the processes that share `board` this is, from 0.
  struct Seat {
    std::shared_ptr<Board> board;
    int place = 0;
    bool alone = true;  // false: it tells the others of itself each second
  };

  // Opens `count` sockets for it, or takes them from `predecessor`, which may be null; sets the
  // port where it was 0. Errors: as knot::ListenOrTake.
  static absl::StatusOr<std::vector<int>> Listen(Predecessor* predecessor, AdminOptions* options,
                                                 int count);

  // Returns: what the sockets are handed over as. To be called before their port is known.
  static std::string NameOf(const AdminOptions& options);

  // Starts to answer at `socket`, of Listen, which becomes its own.
  // Errors: ResourceExhausted no thread could be made.
  static absl::StatusOr<std::unique_ptr<Admin>> Start(const AdminOptions& options, int socket,
                                                      Seat seat, Source source);

  // Accepts no more, and leaves the socket to others that have it, too. Never blocks.
  void Close();

  // Tells whether all who had come before Close() were answered, which takes seconds at most.
  bool Closed() const;

  Admin(const Admin&) = delete;
  Admin& operator=(const Admin&) = delete;

  // Accepts no more, and answers requests under way with 503. Blocks: while the source is called.
  ~Admin();

  static constexpr int kThreads = 8;
  static constexpr int kHeadMs = 2000;
  static constexpr int64_t kLeastNs = 100'000'000;

 private:
  class Desk;

  explicit Admin(std::shared_ptr<Desk> desk) : desk_(std::move(desk)) {}

  const std::shared_ptr<Desk> desk_;  // its threads have it, too
};

}  // namespace knot

#endif  // KNOT_ADMIN_ADMIN_H_
