#include "knot/stream.h"

#include <poll.h>
#include <sys/sendfile.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>

namespace knot {

bool Stream::WaitReadable(int timeout_ms) {
  pollfd wait{socket_, POLLIN, 0};
  int result;
  do {
    result = poll(&wait, 1, timeout_ms);
  } while (result < 0 && errno == EINTR);
  return result != 0;
}

ssize_t Stream::Receive(char* to, size_t size) {
  ssize_t n;
  do {
    n = recv(socket_, to, size, 0);
  } while (n < 0 && errno == EINTR);
  return n;
}

bool Stream::SendAll(iovec* parts, size_t count, bool more) {
  for (;;) {
    // Not writev, which on Linux looks at the socket's inode, too: a cold cache line each time.
    msghdr message{};
    message.msg_iov = parts;
    message.msg_iovlen = count;
    ssize_t n = sendmsg(socket_, &message, more ? MSG_MORE : 0);
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

uint64_t Stream::SendContents(int descriptor, uint64_t first, uint64_t size) {
  off_t offset = static_cast<off_t>(first);
  uint64_t left = size;
  while (left > 0) {
    size_t step = std::min<uint64_t>(left, 0x7ffff000);  // the most Linux sends at a time
    ssize_t n = sendfile(socket_, descriptor, &offset, step);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) break;  // 0: the file shrank
    left -= n;
  }
  return size - left;
}

bool Stream::EndSending() { return shutdown(socket_, SHUT_WR) == 0; }

}  // namespace knot
