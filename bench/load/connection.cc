#include "bench/load/connection.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "bench/load/clock.h"

#ifndef IP_BIND_ADDRESS_NO_PORT
#define IP_BIND_ADDRESS_NO_PORT 24
#endif

namespace load {
namespace {

constexpr size_t kBuffer = 16'384;
constexpr size_t kMaxHead = 4096;
constexpr size_t kHeadRoom = 512;      // for the head of a reply whose body comes with it
constexpr size_t kLargeBody = 10'240;  // from here on, bodies are discarded apart from their head
// Asked for beyond a body's end: a call that returns less than asked has drained the socket, so
// that the next wait needs no question, and bytes too many are seen.
constexpr size_t kSurplus = 1;
constexpr int kMaxReports = 3;  // wrong bodies of which a process says more than their number

struct Buffer {
  char bytes[kBuffer];
};

// The buffer used last, which is still in the processor's cache: a thread needs one only from the
// arrival of bytes until it has looked at them.
std::atomic<Buffer*> hot_buffer{nullptr};

class Lease {
 public:
  Lease() : buffer_(hot_buffer.exchange(nullptr, std::memory_order_acquire)) {
    if (buffer_ == nullptr) buffer_ = new Buffer;
  }
  ~Lease() { delete hot_buffer.exchange(buffer_, std::memory_order_acq_rel); }
  Lease(const Lease&) = delete;
  Lease& operator=(const Lease&) = delete;
  char* bytes() { return buffer_->bytes; }

 private:
  Buffer* buffer_;
};

bool OutOfResources(int error) {
  return error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM ||
         error == EADDRNOTAVAIL || error == EADDRINUSE;
}

Outcome Broken(int error) { return error == ETIMEDOUT ? Outcome::kTimeout : Outcome::kReset; }

// Returns: the value of a head's Content-Length, or -1.
int64_t ContentLength(const char* head, const char* end) {
  constexpr char kName[] = "content-length:";
  constexpr size_t kLength = sizeof kName - 1;
  for (const char* line = head; line < end;) {
    auto* next = static_cast<const char*>(memchr(line, '\n', static_cast<size_t>(end - line)));
    if (next == nullptr) return -1;
    if (static_cast<size_t>(next - line) > kLength && (line[0] | 0x20) == 'c' &&
        strncasecmp(line, kName, kLength) == 0) {
      int64_t value;
      absl::string_view text(line + kLength, static_cast<size_t>(next - line) - kLength);
      return absl::SimpleAtoi(text, &value) ? value : -1;
    }
    line = next + 1;
  }
  return -1;
}

}  // namespace

absl::Status ParseTarget(absl::string_view text, Target* target) {
  size_t colon = text.rfind(':');
  uint32_t port = 0;
  target->address.sin_family = AF_INET;
  if (colon != absl::string_view::npos) target->host = std::string(text.substr(0, colon));
  if (colon == absl::string_view::npos || !absl::SimpleAtoi(text.substr(colon + 1), &port) ||
      port == 0 || port > 65535 ||
      inet_pton(AF_INET, target->host.c_str(), &target->address.sin_addr) != 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("--target=", text, ": must be a numeric IPv4 ADDR:PORT"));
  }
  target->address.sin_port = htons(static_cast<uint16_t>(port));
  return absl::OkStatus();
}

absl::Status RequestText::Set(const Target& target) {
  std::string text = absl::StrCat("GET ", PathOf(0), " HTTP/1.1\r\nUser-Agent: ", target.user_agent,
                                  "\r\nHost: ", target.host, "\r\n\r\n");
  if (text.size() > kMax) return absl::InvalidArgumentError("--user_agent is too long");
  memcpy(text_, text.data(), text.size());
  size_ = text.size();
  return absl::OkStatus();
}

void Connection::Close() {
  if (fd_ >= 0) close(fd_);
  fd_ = -1;
}

Outcome Connection::Connect(unsigned number) {
  fd_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd_ < 0) return Outcome::kClient;
  drained_ = true;
  timeval timeout = {static_cast<time_t>(target_.timeout / kSecond),
                     static_cast<suseconds_t>(target_.timeout % kSecond / 1000)};
  setsockopt(fd_, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof timeout);
  if (target_.client_addresses > 0) {
    // The port is chosen by connect, which knows that only pairs of addresses must differ.
    int one = 1;
    setsockopt(fd_, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof one);
    sockaddr_in from = {};
    from.sin_family = AF_INET;
    from.sin_addr.s_addr =
        htonl(INADDR_LOOPBACK + 1 + number % static_cast<unsigned>(target_.client_addresses));
    if (bind(fd_, reinterpret_cast<sockaddr*>(&from), sizeof from) != 0) return Outcome::kClient;
  }
  if (connect(fd_, reinterpret_cast<const sockaddr*>(&target_.address), sizeof target_.address) ==
      0) {
    return Outcome::kReply;
  }
  if (errno == EINPROGRESS || errno == ETIMEDOUT) return Outcome::kTimeout;
  if (errno == ECONNRESET) return Outcome::kReset;
  return OutOfResources(errno) ? Outcome::kClient : Outcome::kConnect;
}

ssize_t Connection::Receive(char* buffer, size_t size, uint64_t deadline) {
  const int flags = MSG_DONTWAIT | (buffer == nullptr ? MSG_TRUNC : 0);
  for (;;) {
    if (drained_) {
      uint64_t now = Now();
      uint64_t left = deadline > now ? (deadline - now + kMillisecond - 1) / kMillisecond : 0;
      pollfd wait = {fd_, POLLIN, 0};
      if (poll(&wait, 1, static_cast<int>(left)) == 0) {
        errno = ETIMEDOUT;
        return -1;
      }
    }
    ssize_t count = recv(fd_, buffer, size, flags);
    drained_ = count < static_cast<ssize_t>(size);
    if (count >= 0 || (errno != EAGAIN && errno != EINTR)) return count;
  }
}

Outcome Connection::Exchange(uint32_t file, uint64_t now, Counter* body) {
  char request[RequestText::kMax];
  const size_t size = text_.Write(file, request);
  const uint64_t deadline = now + target_.timeout;
  ssize_t sent = send(fd_, request, size, MSG_NOSIGNAL);
  if (sent != static_cast<ssize_t>(size)) return Outcome::kReset;
  // Waits before it takes a buffer: thousands wait, few have something to look at.
  pollfd wait = {fd_, POLLIN, 0};
  int ready = poll(&wait, 1, static_cast<int>((target_.timeout + kMillisecond - 1) / kMillisecond));
  if (ready == 0) return Outcome::kTimeout;
  drained_ = false;
  size_t received = 0;
  Outcome outcome;
  {
    Lease lease;
    outcome = ReceiveHead(file, lease.bytes(), deadline, &received, body);
  }
  if (outcome != Outcome::kReply || received == FileSize(file)) return outcome;
  return ReceiveBody(file, received, deadline, body);
}

Outcome Connection::ReceiveHead(uint32_t file, char* buffer, uint64_t deadline,
                                size_t* body_received, Counter* body) {
  const size_t size = FileSize(file);
  const size_t room = size >= kLargeBody ? kHeadRoom : kHeadRoom + size;
  size_t filled = 0;
  char* end = nullptr;
  while (end == nullptr) {
    if (filled >= kMaxHead) return Outcome::kStatus;
    ssize_t count = Receive(buffer + filled, room, deadline);
    if (count == 0) return Outcome::kClosed;
    if (count < 0) return Broken(errno);
    size_t from = filled < 3 ? 0 : filled - 3;
    filled += static_cast<size_t>(count);
    end = static_cast<char*>(memmem(buffer + from, filled - from, "\r\n\r\n", 4));
  }
  constexpr char kOk[] = "HTTP/1.1 200";
  end += 4;
  if (memcmp(buffer, kOk, sizeof kOk - 1) != 0) return Outcome::kStatus;
  *body_received = static_cast<size_t>(buffer + filled - end);
  body->Add(*body_received);
  int64_t length = ContentLength(buffer, end);
  if (length != static_cast<int64_t>(size) || *body_received > size) return WrongBody(file, length);
  if (target_.verify_contents) {
    size_t right = MatchingBytes(file, 0, end, *body_received);
    if (right != *body_received) return WrongBody(file, length, right);
  }
  return Outcome::kReply;
}

Outcome Connection::ReceiveBody(uint32_t file, size_t received, uint64_t deadline, Counter* body) {
  const size_t size = FileSize(file);
  while (received < size) {
    ssize_t count;
    if (target_.verify_contents) {
      Lease lease;
      count = Receive(lease.bytes(), std::min(size - received + kSurplus, kBuffer), deadline);
      if (count > 0) {
        size_t right = MatchingBytes(file, received, lease.bytes(), static_cast<size_t>(count));
        if (right != static_cast<size_t>(count)) {
          return WrongBody(file, static_cast<int64_t>(size), received + right);
        }
      }
    } else {
      count = Receive(nullptr, size - received + kSurplus, deadline);
    }
    if (count == 0) return Outcome::kClosed;
    if (count < 0) return Broken(errno);
    body->Add(static_cast<uint64_t>(count));
    received += static_cast<size_t>(count);
    if (received > size) return WrongBody(file, static_cast<int64_t>(size), size);
  }
  return Outcome::kReply;
}

Outcome Connection::WrongBody(uint32_t file, int64_t length, size_t right) {
  static std::atomic<int> reports{0};
  if (reports.fetch_add(1, std::memory_order_relaxed) >= kMaxReports) return Outcome::kWrongBody;
  if (length != static_cast<int64_t>(FileSize(file))) {
    fprintf(stderr, "workload: wrong reply to %s: Content-Length %ld instead of %zu\n",
            PathOf(file).c_str(), static_cast<long>(length), FileSize(file));
  } else {
    fprintf(stderr, "workload: wrong reply to %s: byte %zu is not the file's\n",
            PathOf(file).c_str(), right);
  }
  return Outcome::kWrongBody;
}

}  // namespace load
