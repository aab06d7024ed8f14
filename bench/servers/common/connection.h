// One connection of a server that waits for events: the counterpart of knot/connection.h, to which
// it gives the same answers.
#ifndef BENCH_SERVERS_COMMON_CONNECTION_H_
#define BENCH_SERVERS_COMMON_CONNECTION_H_

#include <cstddef>
#include <cstdint>

#include "absl/strings/string_view.h"
#include "bench/servers/common/files.h"
#include "bench/servers/common/reply.h"
#include "knot/buffer_pool.h"
#include "knot/group.h"
#include "knot/request.h"

namespace bench_server {

// The bytes of a request, from its arrival until they are answered.
struct Input {
  knot::RequestBuffer buffer;
  size_t begin = 0;     // what is not yet dealt with
  size_t end = 0;       //
  size_t searched = 0;  // up to here there is no end of a head
  size_t head_end = 0;  // of the request whose body is being skipped; it still lies before it

  bool empty() const { return begin == end; }
  absl::string_view bytes() const { return {buffer.input + begin, end - begin}; }
  void MoveTo(size_t offset);
};

// Tells how much of a file can be sent without waiting for the disk.
class Gate {
 public:
  virtual ~Gate() = default;

  // Returns: how many bytes from the reply's offset on may be sent now; 0: none, and the server
  // will call Connection::Send when that changes.
  virtual uint64_t Allowed(Connection& connection, const Reply& reply) = 0;
};

// What the connections of one process or thread share.
struct Serving {
  Files* files = nullptr;
  knot::Counters* counters = nullptr;
  knot::Pool<Input>* inputs = nullptr;
  knot::Pool<Reply>* replies = nullptr;
  Gate* gate = nullptr;    // null: everything is sent at once
  bool blocking = false;   // the sockets block, which is wanted when sending
  bool keep_alive = true;  // false: a connection ends after its first reply
  uint32_t idle_timeout_ms = 60'000;
  uint32_t header_timeout_ms = 10'000;
  uint32_t send_timeout_ms = 30'000;
  int64_t now_ms = 0;  // of a monotonic clock; its owner keeps it right to a fraction of a second
};

// What a connection waits for.
enum class Next : uint8_t {
  kReadable,  // the socket to become readable, then Receive
  kReceive,   // nothing: call Receive, there is more input or the end of it
  kSend,      // nothing: call Send, a reply is ready
  kWritable,  // the socket to become writable, then Send
  kLater,     // Files, then Resume; or the Gate, then Send
  kClose,     // nothing any more: call Close
};

// State     idle --Receive--> (head) --> (body) --> (finding) --> sending <--> (loading)
//           sending --sent--> idle, or the next pipelined request
//           refused --sent--> lingering --the client closed, or enough--> kClose
//
// Invariants
//   E1  An idle connection holds no buffer, and one that sends holds no Input unless requests wait
//       in it. Thousands wait for each that is served.
//   E2  Receive makes one call of recv and Send does not receive: readiness that was reported
//       before must not be lost, so edges are remembered by MarkReadable and MarkHangup.
//   E3  A connection that waits for Files or the Gate, finding or loading, is not ended by anything
//       else, so that their answers find it.
//   E4  deadline_ms is the end of the time-out in force. Whoever keeps timers calls Expire after
//   it.
//
// Requires: used by one thread at a time. Everything but Close is for connections that are open.
class Connection {
 public:
  // Takes over a connected socket; non-blocking unless serving.blocking.
  void Open(Serving& serving, int socket);

  // Takes in what has come and, where that completes a request, prepares its reply.
  Next Receive(Serving& serving);

  // Sends the reply as far as the socket takes it; after its end, goes on with input that has come
  // already. Of a file the first `allowed` bytes are sent without asking the gate.
  Next Send(Serving& serving, uint64_t allowed = 0);

  // Gives the answer of Files for which the connection waits.
  Next Resume(Serving& serving, int status, HeldFile file);

  // Ends what took too long.
  Next Expire(Serving& serving);

  // Closes the socket and gives everything back.
  void Close(Serving& serving);

  // Remember what the poller reported at a time when Receive could not be called.
  void MarkReadable() { unread_ = true; }
  void MarkHangup() { hangup_ = true; }

  int socket() const { return socket_; }
  bool is_open() const { return socket_ >= 0; }
  int64_t deadline_ms() const { return deadline_ms_; }
  const Reply& reply() const { return *reply_; }

 private:
  enum class Phase : uint8_t { kIdle, kHead, kBody, kFinding, kSending, kLoading, kLingering };

  Next WaitForInput(Serving& serving);
  Next ReceiveLingering(Serving& serving);
  Next GoOn(Serving& serving);
  Next Incomplete(Serving& serving);
  Next HeadComplete(Serving& serving);
  Next SkipBody(Serving& serving);
  Next Answer(Serving& serving);
  Next AnswerFound(Serving& serving, int status, HeldFile file);
  Next AnswerStatus(Serving& serving, int status, bool keep, absl::string_view field = {});
  Next Refuse(Serving& serving, int status);
  Next BeginSending(Serving& serving, bool keep, bool linger);
  Next Finish(Serving& serving, bool whole);
  void GiveInput(Serving& serving);
  void GiveReply(Serving& serving);
  bool TakesMoreInput();

  int socket_ = -1;
  Phase phase_ = Phase::kIdle;
  bool keep_ = false;    // after the reply
  bool linger_ = false;  // after the reply, where the connection is not kept
  bool unread_ = false;  // recv may find more
  bool hangup_ = false;  // recv will come to the end
  uint32_t lingered_bytes_ = 0;
  Input* input_ = nullptr;
  Reply* reply_ = nullptr;
  int64_t deadline_ms_ = 0;
};

}  // namespace bench_server

#endif  // BENCH_SERVERS_COMMON_CONNECTION_H_
