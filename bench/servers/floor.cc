// The least a web server can cost on this kernel: an epoll loop that does one recv and one send a
// request.
//
// It parses nothing and looks nothing up: what ends in an empty line is a request, and the reply is
// one prebuilt block. A connection is registered once, edge-triggered; a recv that fills less than
// its buffer has drained the socket (the short-read rule), so no call ends in EAGAIN but the one
// that ends a burst of accepts. Clients must not pipeline.
//
// What a real server costs more than this is what its features and its structure cost.

#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <string>

namespace {

constexpr int kMaxEvents = 1024;
constexpr int kSendTimeoutMs = 5000;
constexpr uint32_t kListening = ~0u;  // stands for the listening socket in epoll_event::data

struct Flags {
  int port = 8080;
  int body_bytes = 1024;
  bool close = false;
};

constexpr char kUsage[] =
    "Usage: floor [--port=N] [--body_bytes=N] [--close]\n"
    "Answers each HTTP request on 127.0.0.1 with the same prebuilt reply.\n\n"
    "  --port=N        TCP port, 0 to 65535 (default 8080)\n"
    "  --body_bytes=N  size of the reply's body, 0 to 16777216 (default 1024)\n"
    "  --close         one request a connection (default: connections are kept)\n";

[[noreturn]] void Die(const char* what) {
  fprintf(stderr, "floor: %s: %s\n", what, strerror(errno));
  exit(2);
}

int ParseNumber(const char* flag, const char* text, int max) {
  char* end;
  errno = 0;
  long value = strtol(text, &end, 10);
  if (errno != 0 || end == text || *end != '\0' || value < 0 || value > max) {
    fprintf(stderr, "floor: %s=%s: must be a number from 0 to %d\n", flag, text, max);
    exit(2);
  }
  return static_cast<int>(value);
}

Flags ParseFlags(int argc, char** argv) {
  static const option kOptions[] = {{"port", required_argument, nullptr, 'p'},
                                    {"body_bytes", required_argument, nullptr, 'b'},
                                    {"close", no_argument, nullptr, 'c'},
                                    {"help", no_argument, nullptr, 'h'},
                                    {}};
  Flags flags;
  int choice;
  while ((choice = getopt_long(argc, argv, "", kOptions, nullptr)) != -1) {
    switch (choice) {
      case 'p':
        flags.port = ParseNumber("--port", optarg, 65535);
        break;
      case 'b':
        flags.body_bytes = ParseNumber("--body_bytes", optarg, 16 << 20);
        break;
      case 'c':
        flags.close = true;
        break;
      case 'h':
        fputs(kUsage, stdout);
        exit(0);
      default:
        fputs(kUsage, stderr);
        exit(2);
    }
  }
  if (optind != argc) {
    fprintf(stderr, "floor: unexpected argument %s\n", argv[optind]);
    exit(2);
  }
  return flags;
}

// As many header fields as a real server sends, so that as many bytes travel.
std::string BuildReply(const Flags& flags) {
  std::string reply =
      "HTTP/1.1 200 OK\r\nServer: floor\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\n"
      "Content-Type: text/html\r\nLast-Modified: Thu, 01 Jan 1970 00:00:00 "
      "GMT\r\nContent-Length: " +
      std::to_string(flags.body_bytes) + (flags.close ? "\r\nConnection: close" : "") + "\r\n\r\n";
  for (int i = 0; i < flags.body_bytes; ++i) reply += static_cast<char>('a' + i % 26);
  return reply;
}

int Listen(const Flags& flags) {
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) Die("socket");
  int one = 1;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));  // accepted sockets inherit it
  // One request a connection: hand over the connection together with its request, and nothing has
  // to be registered.
  if (flags.close) setsockopt(fd, IPPROTO_TCP, TCP_DEFER_ACCEPT, &one, sizeof(one));
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(static_cast<uint16_t>(flags.port));
  if (bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0) Die("bind");
  if (listen(fd, 4096) != 0) Die("listen");
  return fd;
}

class Floor {
 public:
  explicit Floor(const Flags& flags)
      : close_(flags.close),
        reply_(BuildReply(flags)),
        listener_(Listen(flags)),
        epoll_(epoll_create1(EPOLL_CLOEXEC)) {
    if (epoll_ < 0) Die("epoll_create1");
    Register(listener_, EPOLLIN, kListening);
  }

  [[noreturn]] void Run() {
    static epoll_event events[kMaxEvents];
    for (;;) {
      int count = epoll_wait(epoll_, events, kMaxEvents, -1);
      if (count < 0 && errno != EINTR) Die("epoll_wait");
      for (int i = 0; i < count; ++i) {
        if (events[i].data.u32 == kListening) {
          Accept();
        } else {
          Serve(static_cast<int>(events[i].data.u32),
                events[i].events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR));
        }
      }
    }
  }

 private:
  void Register(int fd, uint32_t events, uint32_t data) {
    epoll_event event = {};
    event.events = events;
    event.data.u32 = data;
    if (epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event) != 0) Die("epoll_ctl");
  }

  void Accept() {
    for (;;) {
      int fd = accept4(listener_, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
      if (fd < 0) {
        if (errno == ECONNABORTED || errno == EINTR) continue;
        if (errno != EAGAIN && errno != EMFILE && errno != ENFILE) Die("accept4");
        return;
      }
      if (close_ && TryServeOnce(fd)) continue;
      Register(fd, EPOLLIN | EPOLLRDHUP | EPOLLET, static_cast<uint32_t>(fd));
    }
  }

  // Returns: false where the request is not there yet.
  bool TryServeOnce(int fd) {
    ssize_t received = recv(fd, buffer_, sizeof(buffer_), 0);
    if (received < 0 && errno == EAGAIN) return false;
    if (received > 0) Send(fd);
    close(fd);
    return true;
  }

  void Serve(int fd, bool closing) {
    for (;;) {
      ssize_t received = recv(fd, buffer_, sizeof(buffer_), 0);
      if (received < 0 && errno == EAGAIN) return;
      if (received <= 0) break;
      bool complete = received >= 4 && memcmp(buffer_ + received - 4, "\r\n\r\n", 4) == 0;
      if (complete && (!Send(fd) || close_)) break;
      // A short read drained the socket; only a hang-up, whose edge may have come with the data, is
      // left to find.
      if (received < static_cast<ssize_t>(sizeof(buffer_)) && !closing) return;
    }
    close(fd);
  }

  // Returns: false where the client is gone, or does not read.
  bool Send(int fd) {
    size_t sent = 0;
    for (;;) {
      ssize_t n = send(fd, reply_.data() + sent, reply_.size() - sent, MSG_NOSIGNAL);
      if (n < 0 && errno != EAGAIN) return false;
      if (n > 0) sent += static_cast<size_t>(n);
      if (sent == reply_.size()) return true;
      // A reply larger than the socket's buffer: not what is measured, but answered.
      pollfd writable = {fd, POLLOUT, 0};
      if (poll(&writable, 1, kSendTimeoutMs) != 1) return false;
    }
  }

  const bool close_;
  const std::string reply_;
  const int listener_;
  const int epoll_;
  char buffer_[16384];
};

}  // namespace

int main(int argc, char** argv) {
  static Floor floor(ParseFlags(argc, argv));
  floor.Run();
}
