#include "bench/servers/common/connection.h"

#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/match.h"

namespace bench_server {
namespace {

using knot::kBodyRoom;
using knot::kMaxHeadBytes;
using knot::Method;
using knot::Persistence;
using knot::Request;
using knot::RequestParser;

// As Knot: how long, and over how much, a refused client is listened to so that it can read why.
constexpr int kLingerMs = 2000;
constexpr uint32_t kLingerBytes = 256 * 1024;

constexpr absl::string_view kAllow = "Allow: GET, HEAD, OPTIONS\r\n";

Persistence PersistenceOf(const Request& request, bool keep) {
  if (!keep) return Persistence::kClose;
  return request.http11 ? Persistence::kSilent : Persistence::kKeepAlive;
}

ssize_t ReceiveSome(int socket, char* to, size_t size, bool blocking) {
  ssize_t n;
  do {
    n = recv(socket, to, size, blocking ? MSG_DONTWAIT : 0);
  } while (n < 0 && errno == EINTR);
  return n;
}

}  // namespace

void Input::MoveTo(size_t offset) {
  std::memmove(buffer.input + offset, buffer.input + begin, end - begin);
  end = offset + (end - begin);
  begin = offset;
}

void Connection::Open(Serving& serving, int socket) {
  socket_ = socket;
  phase_ = Phase::kIdle;
  unread_ = hangup_ = false;
  deadline_ms_ = serving.now_ms + serving.idle_timeout_ms;
  serving.counters->connections.Add();
}

void Connection::Close(Serving& serving) {
  GiveInput(serving);
  GiveReply(serving);
  close(socket_);
  socket_ = -1;
}

void Connection::GiveInput(Serving& serving) {
  if (input_ != nullptr) serving.inputs->Give(std::exchange(input_, nullptr));
}

void Connection::GiveReply(Serving& serving) {
  if (reply_ == nullptr) return;
  reply_->Clear();
  serving.replies->Give(std::exchange(reply_, nullptr));
}

// Tells whether recv has to be called again although nothing new was reported.
bool Connection::TakesMoreInput() { return unread_ || hangup_; }

Next Connection::WaitForInput(Serving& serving) {
  GiveInput(serving);
  phase_ = Phase::kIdle;
  deadline_ms_ = serving.now_ms + serving.idle_timeout_ms;
  return TakesMoreInput() ? Next::kReceive : Next::kReadable;
}

Next Connection::Receive(Serving& serving) {
  if (phase_ == Phase::kLingering) return ReceiveLingering(serving);
  if (phase_ >= Phase::kFinding) {
    unread_ = true;
    return phase_ == Phase::kSending ? Next::kWritable : Next::kLater;
  }
  if (input_ == nullptr) {
    input_ = serving.inputs->Take();
    input_->begin = input_->end = input_->searched = 0;
  }
  size_t limit = phase_ == Phase::kBody ? std::max(kMaxHeadBytes, input_->head_end + kBodyRoom)
                                        : kMaxHeadBytes;
  // More than a request needs is asked for, so that the answer also tells that there is no more.
  size_t wanted = limit - input_->end;
  ssize_t n = ReceiveSome(socket_, input_->buffer.input + input_->end, wanted, serving.blocking);
  if (n < 0 && errno == EAGAIN) {
    unread_ = hangup_ = false;
    if (phase_ == Phase::kIdle) GiveInput(serving);
    return Next::kReadable;
  }
  if (n <= 0) return Next::kClose;
  unread_ = static_cast<size_t>(n) == wanted;
  input_->end += n;
  return phase_ == Phase::kBody ? SkipBody(serving) : GoOn(serving);
}

// Closing while the client still sends would reset the connection, and the reset can overtake the
// reply.
Next Connection::ReceiveLingering(Serving& serving) {
  knot::Pool<Input>::Lease input(*serving.inputs);
  char* to = (*input).buffer.input;
  constexpr size_t kSize = sizeof(*input).buffer.input;
  ssize_t n = ReceiveSome(socket_, to, kSize, serving.blocking);
  if (n < 0 && errno == EAGAIN) {
    unread_ = hangup_ = false;
    return Next::kReadable;
  }
  if (n <= 0) return Next::kClose;
  unread_ = n == kSize;
  lingered_bytes_ += static_cast<uint32_t>(n);
  if (lingered_bytes_ >= kLingerBytes) return Next::kClose;
  return TakesMoreInput() ? Next::kReceive : Next::kReadable;
}

// Deals with the bytes that are there, from the beginning of a request on.
Next Connection::GoOn(Serving& serving) {
  Input& input = *input_;
  if (phase_ == Phase::kIdle) {
    // RFC 9112, 2.2: empty lines before a request are ignored.
    while (absl::StartsWith(input.bytes(), "\r\n")) input.begin += 2;
    if (input.empty()) return WaitForInput(serving);
    if (input.bytes() == "\r") return TakesMoreInput() ? Next::kReceive : Next::kReadable;
  } else if (knot::FindHeadEnd(input.bytes(), input.searched) == absl::string_view::npos) {
    return Incomplete(serving);
  }
  size_t head_size = 0;
  int status = input.buffer.parser.emplace().ParseHead(input.bytes(), &head_size);
  if (status == RequestParser::kPartial) {
    if (phase_ == Phase::kHead) return Refuse(serving, 400);  // an end, but no beginning
    input.MoveTo(0);
    phase_ = Phase::kHead;
    deadline_ms_ = serving.now_ms + serving.header_timeout_ms;
    if (knot::FindHeadEnd(input.bytes(), 0) != absl::string_view::npos) return Refuse(serving, 400);
    return Incomplete(serving);
  }
  if (status != RequestParser::kComplete) return Refuse(serving, status);
  input.begin += head_size;
  return HeadComplete(serving);
}

// Waits for the rest of a head, unless it can be refused.
Next Connection::Incomplete(Serving& serving) {
  Input& input = *input_;
  if (knot::IsHopelessHead(input.bytes())) return Refuse(serving, 400);
  if (input.end == kMaxHeadBytes) {
    bool line_ended = input.bytes().find('\n') != absl::string_view::npos;
    return Refuse(serving, line_ended ? 431 : 414);
  }
  input.searched = input.end < 3 ? 0 : input.end - 3;
  return TakesMoreInput() ? Next::kReceive : Next::kReadable;
}

Next Connection::HeadComplete(Serving& serving) {
  const RequestParser& parser = *input_->buffer.parser;
  const Request& request = parser.request();
  keep_ = serving.keep_alive && parser.KeepAlive();
  if (parser.Done()) return Answer(serving);
  // There is a body, which no method served here has a use for.
  bool served = request.method == Method::kGet || request.method == Method::kHead ||
                request.method == Method::kOptions;
  if (!served || request.expects_continue) {
    keep_ = false;  // the reply comes instead of the body, and what follows is not a request
    return Answer(serving);
  }
  phase_ = Phase::kBody;
  input_->head_end = input_->begin;
  deadline_ms_ = serving.now_ms + serving.header_timeout_ms;
  return SkipBody(serving);
}

// Goes over a body and throws it away.
Next Connection::SkipBody(Serving& serving) {
  Input& input = *input_;
  size_t used = 0;
  int status = input.empty() ? RequestParser::kComplete
                             : input.buffer.parser->ParseBody(input.bytes(), &used);
  if (status != RequestParser::kComplete) return Refuse(serving, status);
  input.begin += used;
  if (input.buffer.parser->Done()) return Answer(serving);
  input.MoveTo(input.head_end);
  if (input.end == std::max(kMaxHeadBytes, input.head_end + kBodyRoom)) {
    return Refuse(serving, 413);  // one line of chunk framing that fills the buffer
  }
  return TakesMoreInput() ? Next::kReceive : Next::kReadable;
}

Next Connection::Answer(Serving& serving) {
  const Request& request = input_->buffer.parser->request();
  if (request.method == Method::kUnknown) return AnswerStatus(serving, 501, false);
  if (request.method == Method::kOther) {
    return AnswerStatus(serving, 405, keep_, kAllow);
  }
  const bool options = request.method == Method::kOptions;
  if (options && knot::IsServer(request.target)) return AnswerStatus(serving, 204, keep_, kAllow);
  knot::Target target = knot::ParseTarget(request.target, input_->buffer.path);
  if (target.status != 0) {
    return AnswerStatus(serving, target.status, keep_ && target.status != 400);
  }
  if (options && target.server) return AnswerStatus(serving, 204, keep_, kAllow);
  if (target.hidden) return AnswerStatus(serving, 404, keep_);
  HeldFile file;
  phase_ = Phase::kFinding;
  int status = serving.files->Find(*this, target.path, &file);
  if (status == Files::kLater) return Next::kLater;
  return AnswerFound(serving, status, std::move(file));
}

Next Connection::Resume(Serving& serving, int status, HeldFile file) {
  return AnswerFound(serving, status, std::move(file));
}

Next Connection::AnswerFound(Serving& serving, int status, HeldFile file) {
  const Request& request = input_->buffer.parser->request();
  if (status == 301) {
    knot::Target target = knot::ParseTarget(request.target, input_->buffer.path);
    return AnswerStatus(serving, 301, keep_, knot::LocationField(target));
  }
  if (status != 200) return AnswerStatus(serving, status, keep_ && status < 500);
  if (request.method == Method::kOptions) return AnswerStatus(serving, 204, keep_, kAllow);
  reply_ = serving.replies->Take();
  reply_->SetFile(std::move(file), request.method == Method::kHead, PersistenceOf(request, keep_));
  return BeginSending(serving, keep_, false);
}

Next Connection::AnswerStatus(Serving& serving, int status, bool keep, absl::string_view field) {
  const Request& request = input_->buffer.parser->request();
  reply_ = serving.replies->Take();
  reply_->SetStatus(status, request.method == Method::kHead, PersistenceOf(request, keep), field);
  return BeginSending(serving, keep, false);
}

// Answers bytes that are no request that could be served; where it ends is not known, so nothing
// after it counts.
Next Connection::Refuse(Serving& serving, int status) {
  // A reply to HEAD has no body even where the rest of the request is not understood.
  absl::string_view bytes =
      phase_ == Phase::kBody ? input_->buffer.parser->request().line : input_->bytes();
  bool head_only = absl::StartsWith(bytes, "HEAD ");
  reply_ = serving.replies->Take();
  reply_->SetStatus(status, head_only, Persistence::kClose);
  return BeginSending(serving, false, true);
}

Next Connection::BeginSending(Serving& serving, bool keep, bool linger) {
  keep_ = keep;
  // Closing with input unread would reset the connection and might take the reply with it.
  linger_ = linger || !input_->empty() || (input_->buffer.parser && !input_->buffer.parser->Done());
  if (!keep || input_->empty()) GiveInput(serving);
  phase_ = Phase::kSending;
  deadline_ms_ = serving.now_ms + serving.send_timeout_ms;
  return Next::kSend;
}

Next Connection::Send(Serving& serving, uint64_t allowed) {
  phase_ = Phase::kSending;
  for (;;) {
    if (serving.gate == nullptr) {
      allowed = UINT64_MAX;
    } else if (allowed == 0 && reply_->left() > 0) {
      allowed = serving.gate->Allowed(*this, *reply_);
      if (allowed == 0) {
        phase_ = Phase::kLoading;
        return Next::kLater;
      }
    }
    uint64_t before = reply_->left();
    Reply::Outcome outcome = reply_->Step(socket_, allowed);
    if (before != reply_->left()) deadline_ms_ = serving.now_ms + serving.send_timeout_ms;
    switch (outcome) {
      case Reply::Outcome::kSent:
        return Finish(serving, true);
      case Reply::Outcome::kPaused:
        allowed = 0;
        break;
      case Reply::Outcome::kBlocked:
        return serving.blocking ? Finish(serving, false) : Next::kWritable;
      case Reply::Outcome::kGone:
        return Finish(serving, false);
    }
  }
}

// Counts the reply, and goes on with what comes after it.
Next Connection::Finish(Serving& serving, bool whole) {
  knot::Counters& counters = *serving.counters;
  counters.requests.Add();
  counters.body_bytes.Add(reply_->body_bytes());
  if (reply_->status() >= 400) counters.refusals.Add();
  if (!whole) counters.cut_short.Add();
  GiveReply(serving);
  if (!whole) return Next::kClose;
  if (keep_) {
    phase_ = Phase::kIdle;
    return input_ != nullptr ? GoOn(serving) : WaitForInput(serving);
  }
  if (!linger_ || shutdown(socket_, SHUT_WR) != 0) return Next::kClose;
  phase_ = Phase::kLingering;
  lingered_bytes_ = 0;
  deadline_ms_ = serving.now_ms + kLingerMs;
  return Next::kReceive;
}

Next Connection::Expire(Serving& serving) {
  switch (phase_) {
    case Phase::kHead:
    case Phase::kBody:
      return Refuse(serving, 408);
    case Phase::kFinding:
    case Phase::kLoading:  // the disk is waited for, not the client
      deadline_ms_ = serving.now_ms + serving.send_timeout_ms;
      return Next::kLater;
    case Phase::kSending:
      return Finish(serving, false);
    case Phase::kIdle:
      serving.counters->idle_closed.Add();
      return Next::kClose;
    case Phase::kLingering:
      break;
  }
  return Next::kClose;
}

}  // namespace bench_server
