#include "knot/response.h"

#include <sys/random.h>
#include <sys/uio.h>

#include <algorithm>
#include <cerrno>
#include <string>

#include "absl/strings/str_cat.h"
#include "knot/clock.h"
#include "knot/path.h"

namespace knot {
namespace {

absl::string_view FieldOf(Persistence persistence) {
  switch (persistence) {
    case Persistence::kKeepAlive:
      return "Connection: keep-alive\r\n";
    case Persistence::kClose:
      return "Connection: close\r\n";
    case Persistence::kSilent:
      break;
  }
  return {};
}

absl::string_view ReasonOf(int status) {
  switch (status) {
    case 200:
      return "OK";
    case 204:
      return "No Content";
    case 206:
      return "Partial Content";
    case 301:
      return "Moved Permanently";
    case 304:
      return "Not Modified";
    case 400:
      return "Bad Request";
    case 401:
      return "Unauthorized";
    case 403:
      return "Forbidden";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 408:
      return "Request Timeout";
    case 412:
      return "Precondition Failed";
    case 413:
      return "Content Too Large";
    case 414:
      return "URI Too Long";
    case 416:
      return "Range Not Satisfiable";
    case 417:
      return "Expectation Failed";
    case 429:
      return "Too Many Requests";
    case 431:
      return "Request Header Fields Too Large";
    case 501:
      return "Not Implemented";
    case 503:
      return "Service Unavailable";
    case 505:
      return "HTTP Version Not Supported";
    default:
      return "Internal Server Error";
  }
}

iovec ToVector(absl::string_view text) { return {const_cast<char*>(text.data()), text.size()}; }

// The start of a reply of any status, up to where its own fields begin.
std::string StatusStart(int status, Persistence persistence) {
  return absl::StrCat("HTTP/1.1 ", status, " ", ReasonOf(status),
                      "\r\nDate: ", ReplyStartNow().date(), "\r\n", FieldOf(persistence));
}

std::string ContentRange(const ByteRange& range, uint64_t size) {
  return absl::StrCat("Content-Range: bytes ", range.first, "-", range.last, "/", size, "\r\n");
}

// Sends `head`, and a part of the contents behind it. Returns: false where the connection is of no
// more use.
bool SendPart(Stream& stream, absl::string_view head, const File& file, const ByteRange& range,
              bool more, Sent* sent) {
  iovec parts[] = {ToVector(head), {}};
  uint64_t size = range.size();
  if (file.InMemory()) {
    parts[1] = ToVector(absl::string_view(file.reply).substr(file.head_size + range.first, size));
    if (!stream.SendAll(parts, 2, more)) return false;
    sent->body_bytes += size;
    return true;
  }
  if (!stream.SendAll(parts, 1, true)) return false;
  uint64_t n = stream.SendContents(file.descriptor, range.first, size);
  sent->body_bytes += n;
  return n == size;
}

// A boundary that is in no file but by an accident nobody can arrange. Returns: "" where the kernel
// has nothing random.
std::string NewBoundary() {
  uint64_t random[2];
  ssize_t n;
  do {
    n = getrandom(random, sizeof random, 0);
  } while (n < 0 && errno == EINTR);
  if (n != sizeof random) return "";
  return absl::StrCat("knot-", absl::Hex(random[0], absl::kZeroPad16),
                      absl::Hex(random[1], absl::kZeroPad16));
}

Sent SendMultipart(Stream& stream, const File& file, const Ranges& ranges, Persistence persistence,
                   absl::string_view field) {
  std::string boundary = NewBoundary();
  if (boundary.empty()) return {};
  std::string heads[Ranges::kMost];
  std::string end = absl::StrCat("\r\n--", boundary, "--\r\n");
  uint64_t length = end.size();
  for (size_t i = 0; i < ranges.count(); ++i) {
    heads[i] = absl::StrCat(i == 0 ? "--" : "\r\n--", boundary, "\r\n", file.TypeField(),
                            ContentRange(ranges[i], file.size), "\r\n");
    length += heads[i].size() + ranges[i].size();
  }
  std::string head = absl::StrCat(StatusStart(206, persistence), field,
                                  "Content-Type: multipart/byteranges; boundary=", boundary,
                                  "\r\nContent-Length: ", length, "\r\n", file.CommonFields());
  heads[0].insert(0, head);
  Sent sent;
  for (size_t i = 0; i < ranges.count(); ++i) {
    if (!SendPart(stream, heads[i], file, ranges[i], true, &sent)) return sent;
  }
  iovec last = ToVector(end);
  sent.whole = stream.SendAll(&last, 1, false);
  return sent;
}

}  // namespace

Sent SendRanges(Stream& stream, const File& file, const Ranges& ranges, Persistence persistence,
                absl::string_view field) {
  if (ranges.count() > 1) return SendMultipart(stream, file, ranges, persistence, field);
  const ByteRange& range = ranges[0];
  std::string head = absl::StrCat(StatusStart(206, persistence), field, file.TypeField(),
                                  ContentRange(range, file.size), "Content-Length: ", range.size(),
                                  "\r\n", file.CommonFields());
  Sent sent;
  sent.whole = SendPart(stream, head, file, range, false, &sent);
  return sent;
}

Sent SendNotModified(Stream& stream, const File& file, Persistence persistence,
                     absl::string_view field) {
  std::string start = absl::StrCat(StatusStart(304, persistence), field);
  iovec parts[] = {ToVector(start), ToVector(file.CommonFields())};
  return {stream.SendAll(parts, 2, false), 0};
}

size_t FileReply(const ReplyStart& start, absl::string_view rest, Persistence persistence,
                 iovec parts[kMaxReplyParts]) {
  size_t count = 0;
  parts[count++] = ToVector(start.text());
  if (persistence != Persistence::kSilent) parts[count++] = ToVector(FieldOf(persistence));
  parts[count++] = ToVector(rest);
  return count;
}

std::string StatusReply(int status, bool head_only, Persistence persistence,
                        absl::string_view field, uint64_t* body_bytes) {
  absl::string_view reason = ReasonOf(status);
  if (status == 204) {
    *body_bytes = 0;
    return absl::StrCat(StatusStart(status, persistence), field, "\r\n");
  }
  std::string body = absl::StrCat("<!DOCTYPE html>\n<title>", status, " ", reason, "</title>\n<h1>",
                                  status, " ", reason, "</h1>\n");
  std::string text = absl::StrCat(StatusStart(status, persistence), field,
                                  "Content-Type: text/html; charset=utf-8\r\nContent-Length: ");
  absl::StrAppend(&text, body.size(), "\r\n\r\n", head_only ? "" : body);
  *body_bytes = head_only ? 0 : body.size();
  return text;
}

std::string LocationField(const Target& target) {
  std::string field = "Location: /";
  AppendPercentEncoded(target.path, &field);
  field.push_back('/');
  AppendQuery(target.query, &field);
  return field + "\r\n";
}

Sent SendFile(Stream& stream, const File& file, bool head_only, Persistence persistence,
              absl::string_view field) {
  bool all_in_memory = head_only || file.InMemory() || file.size == 0;
  const ReplyStart start = ReplyStartNow();
  iovec parts[kMaxReplyParts + 1];
  size_t count =
      FileReply(start, head_only ? file.Head() : absl::string_view(file.reply), persistence, parts);
  if (!field.empty()) {
    parts[count] = parts[count - 1];
    parts[count++ - 1] = ToVector(field);
  }
  Sent sent;
  sent.whole = stream.SendAll(parts, count, !all_in_memory);
  if (!sent.whole || head_only) return sent;
  sent.body_bytes = all_in_memory ? file.size : stream.SendContents(file.descriptor, 0, file.size);
  sent.whole = sent.body_bytes == file.size;
  return sent;
}

Sent SendErrorPage(Stream& stream, int status, const File& file, bool head_only,
                   Persistence persistence, absl::string_view field) {
  std::string head = absl::StrCat(StatusStart(status, persistence), field, file.TypeField(),
                                  "Content-Length: ", file.size, "\r\n\r\n");
  Sent sent;
  if (head_only || file.size == 0) {
    iovec part = ToVector(head);
    sent.whole = stream.SendAll(&part, 1, false);
  } else {
    sent.whole = SendPart(stream, head, file, {0, file.size - 1}, false, &sent);
  }
  return sent;
}

Sent SendMade(Stream& stream, int status, absl::string_view fields, absl::string_view body,
              bool head_only, Persistence persistence) {
  std::string head = absl::StrCat(StatusStart(status, persistence), fields,
                                  "Content-Length: ", body.size(), "\r\n\r\n");
  if (head_only) body = {};
  iovec parts[] = {ToVector(head), ToVector(body)};
  bool whole = stream.SendAll(parts, 2, false);
  return {whole, whole ? body.size() : 0};
}

Sent SendStatus(Stream& stream, int status, bool head_only, Persistence persistence,
                absl::string_view field) {
  uint64_t body_bytes;
  std::string text = StatusReply(status, head_only, persistence, field, &body_bytes);
  iovec part = ToVector(text);
  bool whole = stream.SendAll(&part, 1, false);
  return {whole, whole ? body_bytes : 0};
}

}  // namespace knot
