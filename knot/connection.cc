#include "knot/connection.h"

#include <time.h>

#include <algorithm>
#include <cstring>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "knot/clock.h"
#include "knot/forwarded.h"
#include "knot/monotonic.h"
#include "knot/policy.h"

namespace knot {
namespace {

// Statuses of ReceiveHead and SkipBody beside those of HTTP.
constexpr int kDone = 0;
constexpr int kGone = -1;  // the client went away: nobody is there to be told

// RFC 9112, 2.2, asks for one. Each may start the idle time-out anew, so there is an end to them.
constexpr int kMostEmptyLines = 4;

// How long, and over how much, a refused client is listened to so that it can read why.
constexpr int kLingerMs = 2000;
constexpr size_t kLingerBytes = 256 * 1024;

// What a first congestion window takes (RFC 6928, 2). So much has left by itself when the
// connection is closed.
constexpr uint64_t kFirstWindowBytes = 14'600;

}  // namespace

Persistence Connection::PersistenceOf(const Request& request, bool keep) {
  if (!keep) return Persistence::kClose;
  return request.http11 ? Persistence::kSilent : Persistence::kKeepAlive;
}

void Connection::Input::MoveTo(size_t offset) {
  std::memmove(base + offset, base + begin, end - begin);
  end = offset + (end - begin);
  begin = offset;
}

bool Connection::Serve() {
  Next next = Next::kWait;
  while (next == Next::kWait && WaitForRequest()) {
    if (group_.replaced.load(std::memory_order_relaxed)) [[unlikely]]
      return true;
    next = ServeReceived();
  }
  if (next == Next::kLinger) Linger();
  return false;
}

[[gnu::noinline]] void Connection::Decline(int status) {
  if (Refuse(status, {}) == Next::kLinger) Linger();
}

bool Connection::WaitForRequest() {
  if (stream_.WaitReadable(group_.idle_timeout_ms) > 0) return true;
  group_.counters.idle_closed.Add();
  return false;
}

// Tells whether the connection is to be closed after the next reply.
bool Connection::IsLast() const {
  if (group_.stopping.load(std::memory_order_relaxed)) return true;
  return group_.crowded_doors.load(std::memory_order_relaxed) > 0 &&
         SecondsNow() - since_ >= group_.turn_seconds;
}

// Not inlined, nor the functions that follow: what they keep on the stack must not lie under a
// waiting Serve (C1).
[[gnu::noinline]] Connection::Next Connection::ServeReceived() {
  BufferPool::Lease buffer(group_.buffers);
  // More than a request needs is asked for, so that the answer also tells that there is no more.
  ssize_t n = stream_.Receive((*buffer).input, kMaxHeadBytes);
  if (n <= 0) return Next::kClose;
  Input input{(*buffer).input, 0, static_cast<size_t>(n)};
  Next next = ServeOne(*buffer, input);
  while (next == Next::kWait && !input.empty()) {
    pipelined_ = true;
    next = ServeOne(*buffer, input);
  }
  return next;
}

Connection::Next Connection::ServeOne(RequestBuffer& buffer, Input& input) {
  if (group_.timed) begun_ = MonotonicNs();
  if (input.base[input.begin] == '\r') {
    int skipped = SkipEmptyLines(input);
    if (skipped == kGone) return Next::kClose;
    if (skipped != kDone) return Refuse(skipped, input.bytes());
    if (input.empty()) return Next::kWait;
  }

  size_t head_size = 0;
  // Not on this thread's stack, which is cold: the buffer has just been used.
  RequestParser* parser = &buffer.parser.emplace();
  int status = parser->ParseHead(input.bytes(), &head_size);
  if (status == RequestParser::kPartial) {
    status = ReceiveHead(input);
    if (status == kGone) return Next::kClose;
    if (status == kDone) {
      parser = &buffer.parser.emplace();
      status = parser->ParseHead(input.bytes(), &head_size);
      if (status == RequestParser::kPartial) status = 400;  // an end, but no beginning
    }
  }
  if (status != RequestParser::kComplete) return Refuse(status, input.bytes());
  input.begin += head_size;
  empty_lines_ = 0;

  const Request& request = parser->request();
  bool keep = parser->KeepAlive() && !IsLast();
  if (!parser->Done()) {  // there is a body, which no method served here has a use for
    bool served = request.method == Method::kGet || request.method == Method::kHead ||
                  request.method == Method::kOptions;
    if (served && !request.expects_continue) {
      status = SkipBody(*parser, input);
      if (status == kGone) return Next::kClose;
      if (status != kDone) return Refuse(status, request.line);
    } else {
      keep = false;  // the reply comes instead of the body, and what follows is not a request
    }
  }
  Next next = Answer(request, buffer, keep);
  // Closing with input unread would reset the connection and might take the reply with it.
  return next == Next::kClose && (!input.empty() || !parser->Done()) ? Next::kLinger : next;
}

Connection::Next Connection::Answer(const Request& request, RequestBuffer& buffer, bool keep) {
  site_ = &group_.sites->Find(request.host);
  Next next;
  if (group_.policy != nullptr && AnswerByPolicy(request, nullptr, keep, &next)) return next;
  if (request.method == Method::kUnknown) return ReplyStatus(request, 501, false);
  if (request.method == Method::kOther) return ReplyStatus(request, 405, keep, kAllow);
  if (request.method == Method::kOptions && IsServer(request.target)) {
    return ReplyStatus(request, 204, keep, kAllow);
  }
  Target target = ParseTarget(request.target, buffer.path);
  if (target.status != 0) return ReplyStatus(request, target.status, keep && target.status != 400);
  // RFC 9112, 3.2.2: then the Host field means nothing.
  if (!target.host.empty()) site_ = &group_.sites->Find(target.host);
  if (target.server && request.method == Method::kOptions) {
    return ReplyStatus(request, 204, keep, kAllow);
  }
  if (!group_.health.empty() && target.path == group_.health) return AnswerHealth(request, keep);
  if (group_.policy != nullptr && AnswerByPolicy(request, &target, keep, &next)) return next;
  if (target.hidden && !site_->rules.dotfiles) return ReplyStatus(request, 404, keep);
  Lookup found =
      group_.files.Get(target.path, SecondsNow(),
                       request.accepts_codings ? &request.codings : nullptr, site_->number);
  if (found.status != 200) return AnswerNoFile(request, target, found, keep);
  return AnswerFile(request, *found.file, keep);
}

Connection::Next Connection::AnswerFile(const Request& request, const File& file, bool keep) {
  if (request.method == Method::kOptions) return ReplyStatus(request, 204, keep, kAllow);
  if (request.conditions.any) return AnswerConditional(request, file, keep);
  return AnswerWhole(request, file, keep);
}

// Tells whether the group's rules answer the request: those about clients while `target` is null,
// then the others.
[[gnu::noinline]] bool Connection::AnswerByPolicy(const Request& request, const Target* target,
                                                  bool keep, Next* next) {
  Policy& policy = *group_.policy;
  Policy::Ruling ruling =
      target == nullptr ? policy.Admit(ClientOf(request)) : policy.Judge(request, target->path);
  asked_ = ruling.asked;
  if (ruling.status == 0) return false;
  *next = ReplyStatus(request, ruling.status, keep, ruling.fields);
  return true;
}

absl::string_view Connection::OriginField(const Request& request) const {
  return group_.policy == nullptr ? absl::string_view() : group_.policy->OriginField(request);
}

Connection::Next Connection::AnswerWhole(const Request& request, const File& file, bool keep) {
  bool head_only = request.method == Method::kHead;
  Sent sent =
      SendFile(stream_, file, head_only, PersistenceOf(request, keep), OriginField(request));
  return Finish(request, 200, sent, keep);
}

[[gnu::noinline]] Connection::Next Connection::AnswerConditional(const Request& request,
                                                                 const File& file, bool keep) {
  const Conditions& conditions = request.conditions;
  Validators validators = file.GetValidators();
  Persistence persistence = PersistenceOf(request, keep);
  switch (Evaluate(conditions, validators, time(nullptr))) {
    case Verdict::kPreconditionFailed:
      return ReplyStatus(request, 412, keep);
    case Verdict::kNotModified:
      return Finish(request, 304, SendNotModified(stream_, file, persistence, OriginField(request)),
                    keep);
    case Verdict::kSend:
      break;
  }
  // RFC 9110, 14.2: of other methods it means nothing.
  bool partial = request.method == Method::kGet && !conditions.range.empty() &&
                 RangeCounts(conditions, validators);
  if (!partial) return AnswerWhole(request, file, keep);
  Ranges ranges(conditions.range, file.size);
  switch (ranges.kind()) {
    case Ranges::Kind::kIgnored:
      return AnswerWhole(request, file, keep);
    case Ranges::Kind::kUnsatisfiable:
      return ReplyStatus(request, 416, keep,
                         absl::StrCat("Content-Range: bytes */", file.size, "\r\n"));
    case Ranges::Kind::kSome:
      break;
  }
  return Finish(request, 206, SendRanges(stream_, file, ranges, persistence, OriginField(request)),
                keep);
}

[[gnu::noinline]] Connection::Next Connection::ReplyStatus(const Request& request, int status,
                                                           bool keep, absl::string_view field) {
  bool head_only = request.method == Method::kHead;
  Persistence persistence = PersistenceOf(request, keep);
  const std::string fields = absl::StrCat(field, group_.fields, OriginField(request));
  Sent sent;
  if (!SendOwnErrorPage(status, head_only, persistence, fields, &sent)) {
    sent = SendStatus(stream_, status, head_only, persistence, fields);
  }
  return Finish(request, status, sent, keep);
}

// Answers bytes that are no request that could be served; where it ends is not known, so nothing
// after it counts.
[[gnu::noinline]] Connection::Next Connection::Refuse(int status, absl::string_view head) {
  // A reply to HEAD has no body even where the rest of the request is not understood.
  bool head_only = absl::StartsWith(head, "HEAD ");
  Sent sent = SendStatus(stream_, status, head_only, Persistence::kClose, group_.fields);
  group_.counters.requests.Add();
  group_.counters.refusals.Add();
  group_.counters.body_bytes.Add(sent.body_bytes);
  if (group_.metrics != nullptr) group_.metrics->Note(status, begun_);
  if (group_.log != nullptr) {
    Log(head.substr(0, std::min(head.find_first_of("\r\n"), size_t{1024})), status, sent, {});
  }
  return sent.whole ? Next::kLinger : Next::kClose;
}

Connection::Next Connection::Finish(const Request& request, int status, const Sent& sent,
                                    bool keep) {
  group_.counters.requests.Add();
  group_.counters.body_bytes.Add(sent.body_bytes);
  if (status >= 400) group_.counters.refusals.Add();
  if (!sent.whole) group_.counters.cut_short.Add();
  if (group_.metrics != nullptr) group_.metrics->Note(status, begun_);
  if (group_.log != nullptr) Log(request.line, status, sent, request);
  if (!sent.whole) return Next::kClose;
  if (keep) return Next::kWait;
  // RFC 9112, 9.6: where the client has sent more, closing resets the connection, and takes back
  // what has not left yet.
  return pipelined_ || sent.body_bytes > kFirstWindowBytes ? Next::kLinger : Next::kClose;
}

// Skips the empty lines before a request (RFC 9112, 2.2): whole ones, since a bare line feed or
// carriage return is no line end to Knot. Returns: kDone, kGone or the refusal: 400, 408.
[[gnu::noinline]] int Connection::SkipEmptyLines(Input& input) {
  int64_t deadline = MonotonicMs() + group_.header_timeout_ms;
  for (;;) {
    while (absl::StartsWith(input.bytes(), "\r\n")) {
      input.begin += 2;
      if (++empty_lines_ > kMostEmptyLines) return 400;
    }
    if (input.bytes() != "\r") return kDone;
    input.MoveTo(0);
    switch (ReceiveMore(input, kMaxHeadBytes, deadline)) {
      case Received::kMore:
        break;
      case Received::kEnd:
        return kGone;
      case Received::kTimeout:
        return 408;
    }
  }
}

// Receives until the head that began to arrive is whole, kDone, or can be refused: 400, 408, 414,
// 431.
[[gnu::noinline]] int Connection::ReceiveHead(Input& input) {
  input.MoveTo(0);
  int64_t deadline = MonotonicMs() + group_.header_timeout_ms;
  for (size_t searched = 0;;) {
    if (FindHeadEnd(input.bytes(), searched) != absl::string_view::npos) return kDone;
    if (IsHopelessHead(input.bytes())) return 400;
    if (input.end == kMaxHeadBytes) {
      return input.bytes().find('\n') == absl::string_view::npos ? 414 : 431;
    }
    searched = input.end < 3 ? 0 : input.end - 3;
    switch (ReceiveMore(input, kMaxHeadBytes, deadline)) {
      case Received::kMore:
        break;
      case Received::kEnd:
        return kGone;
      case Received::kTimeout:
        return 408;
    }
  }
}

// Receives the rest of a body and throws it away. Returns: kDone, kGone or the refusal: 400, 408,
// 413.
[[gnu::noinline]] int Connection::SkipBody(RequestParser& parser, Input& input) {
  const size_t head_end = input.begin;  // the request still lies before it
  const size_t limit = std::max(kMaxHeadBytes, head_end + kBodyRoom);
  Pace pace(group_.least_body);
  for (;;) {
    size_t used = 0;
    int status = input.empty() ? RequestParser::kComplete : parser.ParseBody(input.bytes(), &used);
    if (status != RequestParser::kComplete) return status;
    input.begin += used;
    if (parser.Done()) return kDone;
    input.MoveTo(head_end);
    if (input.end == limit) return 413;  // one line of chunk framing that fills the buffer
    int wait = pace.Wait();
    if (wait < 0) return 408;
    size_t had = input.end;
    if (ReceiveMore(input, limit, MonotonicMs() + wait) == Received::kEnd) return kGone;
    pace.Moved(static_cast<int64_t>(input.end - had));
  }
}

Connection::Received Connection::ReceiveMore(Input& input, size_t limit, int64_t deadline_ms) {
  int64_t left = deadline_ms - MonotonicMs();
  if (left <= 0 || stream_.WaitReadable(static_cast<int>(left)) == 0) return Received::kTimeout;
  ssize_t n = stream_.Receive(input.base + input.end, limit - input.end);
  if (n <= 0) return Received::kEnd;
  input.end += n;
  return Received::kMore;
}

// Closing while the client still sends would reset the connection, and the reset can overtake the
// reply.
[[gnu::noinline]] void Connection::Linger() {
  if (!stream_.EndSending()) return;
  int64_t deadline = MonotonicMs() + kLingerMs;
  for (size_t taken = 0; taken < kLingerBytes;) {
    int64_t left = deadline - MonotonicMs();
    if (left <= 0 || stream_.WaitReadable(static_cast<int>(left)) == 0) return;
    BufferPool::Lease buffer(group_.buffers);
    ssize_t n = stream_.Receive((*buffer).input, sizeof(*buffer).input);
    if (n <= 0) return;
    taken += n;
  }
}

// Returns: where a request came from, the peer, or whom proxies that are trusted name.
PeerAddress Connection::ClientOf(const Request& request) const {
  if (group_.trusted_proxies == nullptr || request.forwarded_for.empty()) return peer_;
  return ClientBehind(peer_, request.forwarded_for, *group_.trusted_proxies);
}

[[gnu::noinline]] void Connection::Log(absl::string_view request_line, int status, const Sent& sent,
                                       const Request& request) {
  std::string user;
  if (asked_) user = group_.policy->UserOf(request);
  PeerAddress client = ClientOf(request);
  LogLine line{client, request_line};
  line.status = status;
  line.bytes = sent.body_bytes;
  line.referer = request.referer;
  line.user_agent = request.user_agent;
  line.host = request.host;
  line.user = user;
  line.tls = stream_.TlsVersion();
  if (group_.timed) line.duration_us = (MonotonicNs() - begun_) / 1000;
  group_.log->Append(line);
}

}  // namespace knot
