// A closed-loop client of any protocol with one reply a request: so many connections at a time,
// each sends its next request after its reply, and every reply is compared with what it must be.
//
// First it opens the connections, a few at a time, and has each answered once; then it says
// `ready`, waits for a line, makes the requests, says how long they took, and keeps the connections
// open until its standard input ends. So what is measured between is requests and nothing else.
// With
// --reconnect each request has a connection of its own, and what is opened first is only for
// warming up. Whatever goes wrong ends it with status 1: there are no failures to be counted.

#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

namespace {

constexpr int kOpening =
    4;  // connections that may wait to be accepted: some programs' backlog is 5
constexpr int kPatienceMs = 60'000;

struct Flags {
  std::string address = "127.0.0.1";
  int port = 0;
  int connections = 1;
  int requests = 1;
  bool reconnect = false;
  bool tls = false;
  std::string hello;    // sent once, when the server has spoken first; it speaks again then
  std::string request;  //
  std::string head;     // how a reply begins
  std::string tail;     // and how it ends, nowhere else
};

[[noreturn]] __attribute__((format(printf, 1, 2))) void Die(const char* format, ...) {
  va_list arguments;
  va_start(arguments, format);
  fputs("load: ", stderr);
  vfprintf(stderr, format, arguments);
  fputc('\n', stderr);
  _exit(1);
}

std::string ReadFile(const char* path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) Die("%s: %s", path, strerror(errno));
  return {std::istreambuf_iterator<char>(file), {}};
}

int Number(const char* text) {
  const int value = atoi(text);
  if (value < 1) Die("%s: a positive number is wanted", text);
  return value;
}

Flags ParseFlags(int argc, char** argv) {
  static const option kOptions[] = {{"address", required_argument, nullptr, 'a'},
                                    {"port", required_argument, nullptr, 'p'},
                                    {"connections", required_argument, nullptr, 'c'},
                                    {"requests", required_argument, nullptr, 'n'},
                                    {"reconnect", no_argument, nullptr, 'r'},
                                    {"tls", no_argument, nullptr, 's'},
                                    {"hello", required_argument, nullptr, 'l'},
                                    {"request", required_argument, nullptr, 'q'},
                                    {"head", required_argument, nullptr, 'h'},
                                    {"tail", required_argument, nullptr, 't'},
                                    {}};
  Flags flags;
  int choice;
  while ((choice = getopt_long(argc, argv, "", kOptions, nullptr)) != -1) {
    if (choice == 'a')
      flags.address = optarg;
    else if (choice == 'p')
      flags.port = Number(optarg);
    else if (choice == 'c')
      flags.connections = Number(optarg);
    else if (choice == 'n')
      flags.requests = Number(optarg);
    else if (choice == 'r')
      flags.reconnect = true;
    else if (choice == 's')
      flags.tls = true;
    else if (choice == 'l')
      flags.hello = ReadFile(optarg);
    else if (choice == 'q')
      flags.request = ReadFile(optarg);
    else if (choice == 'h')
      flags.head = ReadFile(optarg);
    else if (choice == 't')
      flags.tail = ReadFile(optarg);
    else
      exit(2);
  }
  if (optind != argc || flags.request.empty() || flags.tail.empty())
    Die("usage: load --port=N --request=FILE --tail=FILE [--head=FILE] …");
  return flags;
}

enum class State { kConnecting, kHandshake, kGreeted, kWelcomed, kAsked, kIdle };

struct Connection {
  int fd = -1;
  SSL* tls = nullptr;
  State state = State::kIdle;
  std::string received;
};

class Load {
 public:
  explicit Load(const Flags& flags)
      : flags_(flags), connections_(static_cast<size_t>(flags.connections)) {
    epoll_ = epoll_create1(EPOLL_CLOEXEC);
    if (epoll_ < 0) Die("epoll_create1: %s", strerror(errno));
    address_.sin_family = AF_INET;
    address_.sin_port = htons(static_cast<uint16_t>(flags.port));
    if (inet_pton(AF_INET, flags.address.c_str(), &address_.sin_addr) != 1)
      Die("%s: an IPv4 address is wanted", flags.address.c_str());
    if (flags.tls) context_ = SSL_CTX_new(TLS_client_method());
  }

  // Opens every connection and has it answered once.
  void Open() {
    unsent_ = 0;
    size_t opened = 0, answered_before = answered_;
    while (answered_ - answered_before < connections_.size()) {
      while (opened < connections_.size() && opened < answered_ - answered_before + kOpening)
        Connect(&connections_[opened++]);
      HandleEvents();
    }
  }

  // Makes so many requests.
  void Run(size_t requests) {
    const size_t end = answered_ + requests;
    unsent_ = requests;
    for (Connection& connection : connections_) {
      if (unsent_ > 0) Next(&connection);
    }
    while (answered_ < end) HandleEvents();
  }

 private:
  void Connect(Connection* connection) {
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) Die("socket: %s", strerror(errno));
    int one = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    connection->fd = fd;
    connection->state = State::kConnecting;
    if (connect(fd, reinterpret_cast<sockaddr*>(&address_), sizeof address_) != 0 &&
        errno != EINPROGRESS)
      Die("connect: %s", strerror(errno));
    epoll_event event = {};
    event.events = EPOLLIN | EPOLLOUT | EPOLLET;
    event.data.ptr = connection;
    if (epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event) != 0) Die("epoll_ctl: %s", strerror(errno));
  }

  // Sends the next request, on a new connection if each has its own.
  void Next(Connection* connection) {
    --unsent_;
    if (connection->fd < 0) {
      Connect(connection);
    } else {
      Ask(connection);
    }
  }

  void HandleEvents() {
    epoll_event events[256];
    const int count = epoll_wait(epoll_, events, 256, kPatienceMs);
    if (count == 0) Die("no reply for %d s, after %zu", kPatienceMs / 1000, answered_);
    for (int i = 0; i < count; ++i)
      Advance(static_cast<Connection*>(events[i].data.ptr), events[i].events);
  }

  void Advance(Connection* connection, uint32_t events) {
    if (connection->state == State::kConnecting) {
      if ((events & (EPOLLOUT | EPOLLERR)) == 0) return;
      Connected(connection);
    }
    if (connection->state == State::kHandshake) Handshake(connection);
    if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) == 0) return;
    while (connection->fd >= 0 && Receive(connection)) {
    }
  }

  void Connected(Connection* connection) {
    int error = 0;
    socklen_t length = sizeof error;
    getsockopt(connection->fd, SOL_SOCKET, SO_ERROR, &error, &length);
    if (error != 0) Die("connect: %s", strerror(error));
    if (!flags_.hello.empty()) {
      connection->state = State::kGreeted;
    } else if (context_ != nullptr) {
      connection->tls = SSL_new(context_);
      SSL_set_fd(connection->tls, connection->fd);
      connection->state = State::kHandshake;
    } else {
      Ask(connection);
    }
  }

  void Handshake(Connection* connection) {
    const int result = SSL_connect(connection->tls);
    if (result == 1) {
      Ask(connection);
    } else {
      const int error = SSL_get_error(connection->tls, result);
      if (error != SSL_ERROR_WANT_READ && error != SSL_ERROR_WANT_WRITE)
        Die("TLS: %s", ERR_error_string(ERR_get_error(), nullptr));
    }
  }

  void Ask(Connection* connection) {
    connection->state = State::kAsked;
    Send(connection, flags_.request);
  }

  void Send(Connection* connection, const std::string& data) {
    const int size = static_cast<int>(data.size());
    const long sent = connection->tls != nullptr
                          ? SSL_write(connection->tls, data.data(), size)
                          : send(connection->fd, data.data(), data.size(), MSG_NOSIGNAL);
    if (sent != size) Die("a request could not be sent: %s", strerror(errno));
  }

  // Returns: whether there may be more to receive.
  bool Receive(Connection* connection) {
    char buffer[65536];
    const long count = connection->tls != nullptr ? ReceiveTls(connection, buffer, sizeof buffer)
                                                  : recv(connection->fd, buffer, sizeof buffer, 0);
    if (count < 0 && errno == EAGAIN) return false;
    if (count < 0) Die("a connection broke: %s", strerror(errno));
    if (count == 0) {
      if (!flags_.reconnect || connection->state != State::kAsked) Die("a connection was closed");
      if (!Complete(connection)) Wrong(connection);
      Answered(connection);
      return false;
    }
    switch (connection->state) {
      case State::kGreeted:
        connection->state = State::kWelcomed;
        Send(connection, flags_.hello);
        return true;
      case State::kWelcomed:
        Ask(connection);
        return true;
      case State::kAsked:
        connection->received.append(buffer, static_cast<size_t>(count));
        if (!flags_.reconnect && Complete(connection)) Answered(connection);
        // A short read has drained the socket, but its end may be there.
        return connection->tls != nullptr || flags_.reconnect || count == sizeof buffer;
      default:
        Die("%ld bytes without a request", count);
    }
  }

  long ReceiveTls(Connection* connection, char* buffer, int size) {
    if (connection->state == State::kHandshake) {
      errno = EAGAIN;
      return -1;
    }
    const int count = SSL_read(connection->tls, buffer, size);
    if (count > 0) return count;
    const int error = SSL_get_error(connection->tls, count);
    if (error == SSL_ERROR_ZERO_RETURN) return 0;
    errno = error == SSL_ERROR_WANT_READ ? EAGAIN : EPROTO;
    return -1;
  }

  bool Complete(Connection* connection) {
    const std::string& received = connection->received;
    if (received.size() < flags_.head.size() + flags_.tail.size()) return false;
    if (!received.ends_with(flags_.tail)) return false;
    if (reply_size_ == 0) reply_size_ = received.size();
    if (!received.starts_with(flags_.head) || received.size() != reply_size_) Wrong(connection);
    return true;
  }

  [[noreturn]] void Wrong(Connection* connection) {
    Die("wrong reply of %zu bytes: %.300s", connection->received.size(),
        connection->received.c_str());
  }

  void Answered(Connection* connection) {
    ++answered_;
    connection->received.clear();
    connection->state = State::kIdle;
    if (flags_.reconnect) {
      close(connection->fd);
      connection->fd = -1;
    }
    if (unsent_ > 0) Next(connection);
  }

  const Flags& flags_;
  std::vector<Connection> connections_;
  sockaddr_in address_ = {};
  SSL_CTX* context_ = nullptr;
  int epoll_ = -1;
  size_t unsent_ = 0;
  size_t answered_ = 0;
  size_t reply_size_ = 0;  // of the first, and so of all: even a date is always as long
};

void WaitForLine() {
  for (int c = getchar(); c != '\n'; c = getchar()) {
    if (c == EOF) _exit(1);
  }
}

}  // namespace

int main(int argc, char** argv) {
  const Flags flags = ParseFlags(argc, argv);
  Load load(flags);
  load.Open();
  load.Run(static_cast<size_t>(flags.requests) / 10);
  puts("ready");
  fflush(stdout);
  WaitForLine();
  const auto start = std::chrono::steady_clock::now();
  load.Run(static_cast<size_t>(flags.requests));
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  printf("%.6f\n", seconds.count());
  fflush(stdout);
  while (getchar() != EOF) {
  }
  _exit(0);
}
