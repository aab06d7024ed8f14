// Serves one connection, from accept to close, in blocking style on the calling thread.
#ifndef KNOT_CONNECTION_H_
#define KNOT_CONNECTION_H_

#include <cstdint>

#include "absl/strings/string_view.h"
#include "knot/clock.h"
#include "knot/group.h"
#include "knot/request.h"
#include "knot/response.h"
#include "knot/site.h"
#include "knot/stream.h"

namespace knot {

// State     waiting --a byte came--> serving --replied--> waiting (or serving, while pipelined
// requests remain)
//           waiting --idle time-out, end of input--> closed
//           serving --refused, or closed with replies that may not have left--> lingering --the
//           client closed, or enough--> closed
//
// Invariant C1: a waiting connection holds no buffer, and nothing below Serve's frame on the stack.
// Thousands wait for each that is served, and their memory is what a request costs then.
class Connection {
 public:
  // `peer` is read only where the group keeps a log, or its rules need it.
  Connection(Group& group, Stream& stream, const PeerAddress& peer)
      : group_(group), peer_(peer), stream_(stream), since_(SecondsNow()) {}

  // Serves requests until the connection is of no more use, or the group was replaced; then the
  // caller goes on with the new one. Leaves the stream open. Throws: std::bad_alloc; then it is of
  // no more use either.
  // Returns: whether to go on. Blocks: this thread, as long as the client likes within the
  // time-outs.
  bool Serve();

  // Answers, with `status`, bytes that cannot be understood at all, before any were received.
  // Leaves the stream open. Blocks: as Serve.
  void Decline(int status);

 private:
  static constexpr absl::string_view kAllow = "Allow: GET, HEAD, OPTIONS\r\n";

  enum class Next : uint8_t { kWait, kClose, kLinger };

  // The bytes received and not yet dealt with, within RequestBuffer::input.
  struct Input {
    char* const base;
    size_t begin;
    size_t end;

    bool empty() const { return begin == end; }
    absl::string_view bytes() const { return {base + begin, end - begin}; }
    void MoveTo(size_t offset);
  };

  // The result of waiting for more of a request.
  enum class Received : uint8_t { kMore, kEnd, kTimeout };

  static Persistence PersistenceOf(const Request& request, bool keep);
  bool WaitForRequest();
  bool IsLast() const;
  Next ServeReceived();
  Next ServeOne(RequestBuffer& buffer, Input& input);
  Next Answer(const Request& request, RequestBuffer& buffer, bool keep);
  Next AnswerFile(const Request& request, const File& file, bool keep);
  bool AnswerByPolicy(const Request& request, const Target* target, bool keep, Next* next);
  absl::string_view OriginField(const Request& request) const;
  Next AnswerWhole(const Request& request, const File& file, bool keep);
  Next AnswerConditional(const Request& request, const File& file, bool keep);
  // These four are in connection_site.cc.
  Next AnswerHealth(const Request& request, bool keep);
  Next AnswerNoFile(const Request& request, const Target& target, const Lookup& found, bool keep);
  Next AnswerListing(const Request& request, const Target& target, bool keep);
  bool SendOwnErrorPage(int status, bool head_only, Persistence persistence,
                        absl::string_view field, Sent* sent);
  Next ReplyStatus(const Request& request, int status, bool keep, absl::string_view field = {});
  Next Refuse(int status, absl::string_view head);
  Next Finish(const Request& request, int status, const Sent& sent, bool keep);
  int SkipEmptyLines(Input& input);
  int ReceiveHead(Input& input);
  int SkipBody(RequestParser& parser, Input& input);
  Received ReceiveMore(Input& input, size_t limit, int64_t deadline_ms);
  void Linger();
  PeerAddress ClientOf(const Request& request) const;
  void Log(absl::string_view request_line, int status, const Sent& sent, const Request& request);

  Group& group_;
  const PeerAddress& peer_;
  bool asked_ = false;  // for a name and a password, of the request that is served
  Stream& stream_;
  const Site* site_ = nullptr;  // of the request, once it has begun to be answered
  int64_t begun_ = 0;           // the request being answered, where the group wants to know
  bool pipelined_ = false;      // requests came before the replies to earlier ones
  uint8_t empty_lines_ = 0;     // received since the last request
  const uint32_t since_;        // the second in which it was accepted
};

}  // namespace knot

#endif  // KNOT_CONNECTION_H_
