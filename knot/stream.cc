#include "knot/stream.h"

#include <poll.h>
#include <sys/sendfile.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <optional>

#include "knot/tls_stream.h"

namespace knot {
namespace {

// Most of a file that one call sends, so that the pace of a slow client is looked at in between.
// The kernel, and Bobbin, may take send_timeout for each part of it that they wait for.
constexpr uint64_t kSendfileStep = 1 << 20;

// Sends what there is room for. Returns: as sendmsg(2). Not writev, which on Linux looks at the
// socket's inode, too: a cold cache line each time.
ssize_t SendSome(int socket, iovec* parts, size_t count, bool more) {
  msghdr message{};
  message.msg_iov = parts;
  message.msg_iovlen = count;
  return sendmsg(socket, &message, MSG_DONTWAIT | (more ? MSG_MORE : 0));
}

// Takes the first `sent` bytes off the vectors.
void Advance(iovec*& parts, size_t& count, size_t sent) {
  while (count > 0 && sent >= parts->iov_len) {
    sent -= parts->iov_len;
    ++parts;
    --count;
  }
  if (count == 0) return;
  parts->iov_base = static_cast<char*>(parts->iov_base) + sent;
  parts->iov_len -= sent;
}

}  // namespace

absl::string_view Stream::TlsVersion() const { return tls_ == nullptr ? "" : tls_->version(); }

void Stream::SetLeastSent(const LeastRate& least_sent) {
  least_sent_ = least_sent;
  if (tls_ != nullptr) tls_->SetLeastSent(least_sent);
}

bool Stream::WaitReadable(int timeout_ms) {
  if (tls_ != nullptr) [[unlikely]]
    return tls_->WaitReadable(timeout_ms);
  pollfd wait{socket_, POLLIN, 0};
  int result;
  do {
    result = poll(&wait, 1, timeout_ms);
  } while (result < 0 && errno == EINTR);
  return result > 0;  // where the kernel cannot wait, nobody must wait without an end
}

ssize_t Stream::Receive(char* to, size_t size) {
  if (tls_ != nullptr) [[unlikely]]
    return tls_->Receive(to, size);
  ssize_t n;
  do {
    n = recv(socket_, to, size, 0);
  } while (n < 0 && errno == EINTR);
  return n;
}

bool Stream::SendAll(iovec* parts, size_t count, bool more) {
  if (tls_ != nullptr) [[unlikely]]
    return tls_->SendAll(parts, count);
  ssize_t n = SendSome(socket_, parts, count, more);
  if (n < 0) return (errno == EAGAIN || errno == EINTR) && SendRest(parts, count, more);
  Advance(parts, count, n);
  return count == 0 || SendRest(parts, count, more);
}

// Where the socket is full. poll(2) rather than a send that waits: the latter goes on for as long
// as a byte is taken now and then.
[[gnu::noinline]] bool Stream::SendRest(iovec* parts, size_t count, bool more) {
  SendPace pace(socket_, least_sent_);
  for (;;) {
    int wait = pace.Wait();
    if (wait < 0) return false;
    pollfd room{socket_, POLLOUT, 0};
    if (poll(&room, 1, wait) <= 0) continue;
    ssize_t n = SendSome(socket_, parts, count, more);
    if (n < 0) {
      if (errno == EAGAIN || errno == EINTR) continue;
      return false;
    }
    pace.Given(n);
    Advance(parts, count, n);
    if (count == 0) return true;
  }
}

uint64_t Stream::SendContents(int descriptor, uint64_t first, uint64_t size) {
  if (tls_ != nullptr) [[unlikely]]
    return tls_->SendContents(descriptor, first, size);
  off_t offset = static_cast<off_t>(first);
  uint64_t left = size;
  std::optional<SendPace> pace;  // from the first step that is not the last
  while (left > 0) {
    ssize_t n = sendfile(socket_, descriptor, &offset, std::min(left, kSendfileStep));
    if (n < 0 && errno == EINTR) continue;
    const bool full = n < 0 && errno == EAGAIN;  // for all of SO_SNDTIMEO: the pace decides
    if (n <= 0 && !full) break;                  // 0: the file shrank
    if (full) n = 0;
    left -= n;
    if (left == 0) break;
    if (pace.has_value()) {
      pace->Given(n);
      if (pace->Wait() < 0) break;
    } else {
      pace.emplace(socket_, least_sent_);
    }
  }
  return size - left;
}

bool Stream::EndSending() {
  if (tls_ != nullptr) [[unlikely]]
    return tls_->End();
  return shutdown(socket_, SHUT_WR) == 0;
}

}  // namespace knot
