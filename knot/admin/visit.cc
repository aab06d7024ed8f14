#include "knot/admin/visit.h"

#include <sys/uio.h>

#include <boost/beast/http/status.hpp>
#include <cstdint>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "knot/clock.h"
#include "knot/request_metrics.h"

namespace knot {
namespace {

constexpr size_t kLingerBytes = 64 * 1024;

// "404 Not Found"
std::string StatusText(int status) {
  boost::beast::string_view reason =
      boost::beast::http::obsolete_reason(static_cast<boost::beast::http::status>(status));
  return absl::StrCat(status, " ", absl::string_view(reason.data(), reason.size()));
}

iovec ToVector(absl::string_view text) { return {const_cast<char*>(text.data()), text.size()}; }

}  // namespace

AdminReply StatusOnly(int status, const char* field) {
  AdminReply reply;
  reply.status = status;
  reply.body = absl::StrCat(StatusText(status), "\n");
  reply.field = field;
  return reply;
}

int Visit::Receive(int timeout_ms) {
  const int64_t deadline = MonotonicMs() + timeout_ms;
  for (size_t searched = 0;;) {
    absl::string_view bytes(buffer_.input, end_);
    if (FindHeadEnd(bytes, searched) != absl::string_view::npos) return Parse();
    if (IsHopelessHead(bytes)) return 400;
    if (end_ == kMaxHeadBytes) return 431;
    searched = end_ < 3 ? 0 : end_ - 3;
    int64_t left = deadline - MonotonicMs();
    if (left <= 0 || !stream_.WaitReadable(static_cast<int>(left))) {
      return end_ == 0 ? kGone : 408;
    }
    ssize_t n = stream_.Receive(buffer_.input + end_, kMaxHeadBytes - end_);
    if (n <= 0) return kGone;
    end_ += static_cast<size_t>(n);
  }
}

int Visit::Parse() {
  RequestParser& parser = buffer_.parser.emplace();
  size_t used = 0;
  int status = parser.ParseHead({buffer_.input, end_}, &used);
  if (status == RequestParser::kPartial) return 400;  // an end, but no beginning
  received_all_ = status == RequestParser::kComplete && parser.Done() && used == end_;
  return status == RequestParser::kComplete ? 0 : status;
}

void Visit::Send(const AdminReply& reply) {
  // Also where the rest of the request was not understood.
  bool head_only = absl::StartsWith(absl::string_view(buffer_.input, end_), "HEAD ");
  std::string head = absl::StrCat(
      "HTTP/1.1 ", StatusText(reply.status), "\r\nDate: ", ReplyStartNow().date(),
      "\r\nConnection: close\r\nCache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n"
      "X-Frame-Options: DENY\r\nReferrer-Policy: no-referrer\r\n"
      "Cross-Origin-Resource-Policy: same-origin\r\nContent-Security-Policy: ");
  absl::StrAppend(&head, reply.policy, "\r\n", reply.field, "Content-Type: ", reply.type,
                  "\r\nContent-Length: ", reply.body.size(), "\r\n\r\n");
  iovec parts[] = {ToVector(head), ToVector(reply.body)};
  if (stream_.SendAll(parts, head_only ? 1 : 2, false) && !received_all_) Linger();
}

// Closing with input unread would reset the connection and might take the reply with it.
void Visit::Linger() {
  if (!stream_.EndSending()) return;
  const int64_t deadline = MonotonicMs() + kLingerMs;
  for (size_t taken = 0; taken < kLingerBytes;) {
    int64_t left = deadline - MonotonicMs();
    if (left <= 0 || !stream_.WaitReadable(static_cast<int>(left))) return;
    ssize_t n = stream_.Receive(buffer_.input, sizeof buffer_.input);
    if (n <= 0) return;
    taken += static_cast<size_t>(n);
  }
}

}  // namespace knot
