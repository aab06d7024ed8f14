// A reply that is sent as far as the socket takes it, and later goes on where it stopped: the
// counterpart of knot/response.h for servers that must not wait.
#ifndef BENCH_SERVERS_COMMON_REPLY_H_
#define BENCH_SERVERS_COMMON_REPLY_H_

#include <sys/uio.h>

#include <cstddef>
#include <cstdint>
#include <string>

#include "bench/servers/common/files.h"
#include "knot/response.h"

namespace bench_server {

// State    empty --Set...--> ready --(Step: kBlocked)*--> Step: kSent or kGone --Clear--> empty
class Reply {
 public:
  enum class Outcome : uint8_t {
    kSent,     // all of it
    kBlocked,  // the socket takes no more for now
    kPaused,   // as much of the file as was allowed is sent
    kGone,     // the client went away, or the file shrank; the connection is of no more use
  };

  // Makes this the reply of status 200.
  void SetFile(HeldFile file, bool head_only, knot::Persistence persistence);

  // Makes this a reply of another status; see knot::StatusReply.
  void SetStatus(int status, bool head_only, knot::Persistence persistence,
                 absl::string_view field = {});

  // Sends what is left, of the file's descriptor at most `allowed` bytes.
  //
  // Requires: SIGPIPE is ignored. Blocks: where the socket does, up to its SO_SNDTIMEO, which is
  // then kBlocked; and for the disk where pages of the descriptor are not in memory.
  Outcome Step(int socket, uint64_t allowed = UINT64_MAX);

  // Forgets the reply and lets go of its file.
  void Clear();

  int status() const { return status_; }
  uint64_t body_bytes() const { return body_bytes_ + offset_; }  // sent so far

  // What Step has yet to send of a descriptor.
  int descriptor() const { return file_.descriptor(); }
  uint64_t offset() const { return offset_; }
  uint64_t left() const { return end_ - offset_; }

 private:
  Outcome SendParts(int socket);
  Outcome SendContents(int socket, uint64_t allowed);
  void Advance(size_t sent);
  bool Shrank() const;

  HeldFile file_;
  // What is left of the head, and of contents in memory.
  iovec parts_[knot::kMaxReplyParts + 1];
  uint8_t part_ = 0;
  uint8_t parts_end_ = 0;
  uint16_t status_ = 0;
  uint64_t body_bytes_ = 0;  // of contents in memory, once they are sent
  uint64_t memory_bytes_ = 0;
  uint64_t offset_ = 0;  // of the descriptor
  uint64_t end_ = 0;
  knot::ReplyStart start_;  // of status 200
  std::string text_;        // of another
};

}  // namespace bench_server

#endif  // BENCH_SERVERS_COMMON_REPLY_H_
