#include "knot/response.h"

#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "knot/clock.h"

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
    case 301:
      return "Moved Permanently";
    case 400:
      return "Bad Request";
    case 403:
      return "Forbidden";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 408:
      return "Request Timeout";
    case 413:
      return "Content Too Large";
    case 414:
      return "URI Too Long";
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

// Sends all of the vectors, which it changes. Returns: false on an error or a time-out without
// progress.
bool SendAll(int socket, iovec* parts, size_t count, int flags) {
  for (;;) {
    // Not writev, which on Linux looks at the socket's inode, too: a cold cache line each time.
    msghdr message{};
    message.msg_iov = parts;
    message.msg_iovlen = count;
    ssize_t n = sendmsg(socket, &message, flags);
    if (n < 0) {
      if (errno == EINTR) continue;
      return false;
    }
    size_t sent = n;
    while (count > 0 && sent >= parts->iov_len) {
      sent -= parts->iov_len;
      ++parts;
      --count;
    }
    if (count == 0) return true;
    parts->iov_base = static_cast<char*>(parts->iov_base) + sent;
    parts->iov_len -= sent;
  }
}

// Sends the contents from the file's descriptor, which other threads use too: the offset is ours.
uint64_t SendContents(int socket, const File& file) {
  off_t offset = 0;
  uint64_t left = file.size;
  while (left > 0) {
    size_t step = std::min<uint64_t>(left, 0x7ffff000);  // the most Linux sends at a time
    ssize_t n = sendfile(socket, file.descriptor, &offset, step);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) break;  // 0: the file shrank
    left -= n;
  }
  return file.size - left;
}

}  // namespace

size_t FileReply(absl::string_view rest, Persistence persistence, iovec parts[kMaxReplyParts]) {
  size_t count = 0;
  parts[count++] = ToVector(Now().ReplyStart());
  if (persistence != Persistence::kSilent) parts[count++] = ToVector(FieldOf(persistence));
  parts[count++] = ToVector(rest);
  return count;
}

std::string StatusReply(int status, bool head_only, Persistence persistence,
                        absl::string_view field, uint64_t* body_bytes) {
  absl::string_view reason = ReasonOf(status);
  std::string body = absl::StrCat("<!DOCTYPE html>\n<title>", status, " ", reason, "</title>\n<h1>",
                                  status, " ", reason, "</h1>\n");
  std::string text = absl::StrCat("HTTP/1.1 ", status, " ", reason, "\r\nDate: ", Now().HttpDate(),
                                  "\r\n", FieldOf(persistence), field,
                                  "Content-Type: text/html; charset=utf-8\r\nContent-Length: ");
  absl::StrAppend(&text, body.size(), "\r\n\r\n", head_only ? "" : body);
  *body_bytes = head_only ? 0 : body.size();
  return text;
}

std::string LocationField(const Target& target) {
  constexpr char kHex[] = "0123456789ABCDEF";
  std::string field = "Location: /";
  for (char c : target.path) {
    if (absl::ascii_isalnum(c) || std::memchr("-._~/", c, 5) != nullptr) {
      field.push_back(c);
    } else {
      unsigned char byte = static_cast<unsigned char>(c);
      field.append({'%', kHex[byte >> 4], kHex[byte & 15]});
    }
  }
  absl::StrAppend(&field, "/", target.query, "\r\n");
  return field;
}

Sent SendFile(int socket, const File& file, bool head_only, Persistence persistence) {
  bool all_in_memory = head_only || file.InMemory() || file.size == 0;
  iovec parts[kMaxReplyParts];
  size_t count =
      FileReply(head_only ? file.Head() : absl::string_view(file.reply), persistence, parts);
  Sent sent;
  sent.whole = SendAll(socket, parts, count, all_in_memory ? 0 : MSG_MORE);
  if (!sent.whole || head_only) return sent;
  sent.body_bytes = all_in_memory ? file.size : SendContents(socket, file);
  sent.whole = sent.body_bytes == file.size;
  return sent;
}

Sent SendStatus(int socket, int status, bool head_only, Persistence persistence,
                absl::string_view field) {
  uint64_t body_bytes;
  std::string text = StatusReply(status, head_only, persistence, field, &body_bytes);
  iovec part = ToVector(text);
  bool whole = SendAll(socket, &part, 1, 0);
  return {whole, whole ? body_bytes : 0};
}

}  // namespace knot
