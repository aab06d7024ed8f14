#include "tests/knot/support/client.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cstdlib>

namespace knot::test {
namespace {

constexpr int kHangMs = 60'000;

std::string Lower(std::string text) {
  for (char& c : text) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return text;
}

}  // namespace

Client::Client(uint16_t port, int receive_buffer, bool ipv6) {
  socket_ = ::socket(ipv6 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (receive_buffer > 0) {
    setsockopt(socket_, SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof receive_buffer);
  }
  sockaddr_in v4{};
  v4.sin_family = AF_INET;
  v4.sin_port = htons(port);
  v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  sockaddr_in6 v6{};
  v6.sin6_family = AF_INET6;
  v6.sin6_port = htons(port);
  v6.sin6_addr = in6addr_loopback;
  int result = ipv6 ? connect(socket_, reinterpret_cast<sockaddr*>(&v6), sizeof v6)
                    : connect(socket_, reinterpret_cast<sockaddr*>(&v4), sizeof v4);
  if (result != 0) {
    close(socket_);
    socket_ = -1;
  }
}

Client::~Client() {
  if (socket_ >= 0) close(socket_);
}

bool Client::Send(const std::string& bytes) {
  for (size_t done = 0; done < bytes.size();) {
    ssize_t n = send(socket_, bytes.data() + done, bytes.size() - done, MSG_NOSIGNAL);
    if (n <= 0) return false;
    done += n;
  }
  return true;
}

Reply Client::Get(const std::string& target) {
  Send("GET " + target + " HTTP/1.1\r\nHost: test\r\n\r\n");
  return Read();
}

ssize_t Client::Receive(char* to, size_t size) {
  pollfd wait{socket_, POLLIN, 0};
  return poll(&wait, 1, kHangMs) <= 0 ? -1 : recv(socket_, to, size, 0);
}

// Returns: false at the end of the stream, on an error, or when nothing came for too long.
bool Client::Fill() {
  char part[65536];
  ssize_t n = Receive(part, sizeof part);
  if (n <= 0) return false;
  received_.append(part, n);
  return true;
}

Reply Client::Read(bool head_only) {
  Reply reply;
  size_t end;
  while ((end = received_.find("\r\n\r\n")) == std::string::npos) {
    if (!Fill()) {
      reply.failure = "no whole head, but: " + received_;
      return reply;
    }
  }
  reply.head = received_.substr(0, end + 2);
  received_.erase(0, end + 4);
  if (reply.head.compare(0, 9, "HTTP/1.1 ") != 0) {
    reply.failure = "not a reply: " + reply.head;
    return reply;
  }
  reply.status = std::atoi(reply.head.c_str() + 9);
  for (size_t line = reply.head.find("\r\n") + 2; line < reply.head.size();) {
    size_t line_end = reply.head.find("\r\n", line);
    size_t colon = reply.head.find(": ", line);
    if (colon > line_end) break;
    reply.fields[Lower(reply.head.substr(line, colon - line))] =
        reply.head.substr(colon + 2, line_end - colon - 2);
    line = line_end + 2;
  }
  if (head_only) return reply;
  auto field = reply.fields.find("content-length");
  size_t length =
      field == reply.fields.end() ? 0 : std::strtoull(field->second.c_str(), nullptr, 10);
  reply.body = ReadBytes(length);
  if (reply.body.size() < length) reply.failure = "the body ended early";
  return reply;
}

std::string Client::ReadBytes(size_t size) {
  while (received_.size() < size && Fill()) {
  }
  std::string bytes = received_.substr(0, size);
  received_.erase(0, bytes.size());
  return bytes;
}

bool Client::AtEnd() {
  if (!received_.empty()) return false;
  pollfd wait{socket_, POLLIN, 0};
  if (poll(&wait, 1, kHangMs) <= 0) return false;
  char byte;
  return recv(socket_, &byte, 1, MSG_PEEK) == 0;
}

void Client::CloseSending() { shutdown(socket_, SHUT_WR); }

}  // namespace knot::test
