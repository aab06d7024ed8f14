// A client of the admin address, from its request to its reply.
#ifndef KNOT_ADMIN_VISIT_H_
#define KNOT_ADMIN_VISIT_H_

#include <cstddef>
#include <string>

#include "knot/buffer_pool.h"
#include "knot/request.h"
#include "knot/stream.h"

namespace knot {

struct AdminReply {
  int status = 200;
  std::string body;
  const char* type = "text/plain; charset=utf-8";
  std::string policy = "default-src 'none'; frame-ancestors 'none'";  // Content-Security-Policy
  const char* field = "";  // one more header line with its CRLF
};

// Returns: a reply that says nothing but its status.
AdminReply StatusOnly(int status, const char* field = "");

// Large: not for the stack of a thread that serves.
class Visit {
 public:
  // Leaves closing `socket` to the caller.
  explicit Visit(int socket) : stream_(socket, least_sent_) {}

  // Receives the head of a request. A body is not received: no method answered here has a use for
  // one. Returns: 0, the status that refuses what came, or kGone. Blocks: this thread, up to
  // `timeout_ms`.
  int Receive(int timeout_ms);

  static constexpr int kGone = -1;  // nobody is there to be told

  // Requires: Receive returned 0.
  const Request& request() const { return buffer_.parser->request(); }

  // Sends the reply, which is the last. Blocks: this thread, for the socket's send time-out where
  // its buffer cannot take the reply; up to kLingerMs where the client sent more than was received.
  void Send(const AdminReply& reply);

  static constexpr int kLingerMs = 1000;

 private:
  int Parse();
  void Linger();

  const LeastRate least_sent_;
  Stream stream_;
  RequestBuffer buffer_;
  size_t end_ = 0;  // of what was received
  bool received_all_ = false;
};

}  // namespace knot

#endif  // KNOT_ADMIN_VISIT_H_
