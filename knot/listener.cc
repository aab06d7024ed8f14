#include "knot/listener.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <cerrno>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "knot/unix_socket.h"

namespace knot {
namespace {

constexpr int kBacklog = 4096;

struct SocketAddress {
  sockaddr_storage storage{};
  socklen_t size = 0;
  sockaddr* any() { return reinterpret_cast<sockaddr*>(&storage); }
};

SocketAddress ToSocketAddress(const ListenAddress& address) {
  SocketAddress result;
  if (absl::StrContains(address.host, ':')) {
    auto* v6 = reinterpret_cast<sockaddr_in6*>(&result.storage);
    v6->sin6_family = AF_INET6;
    v6->sin6_port = htons(address.port);
    inet_pton(AF_INET6, address.host.c_str(), &v6->sin6_addr);
    result.size = sizeof *v6;
  } else {
    auto* v4 = reinterpret_cast<sockaddr_in*>(&result.storage);
    v4->sin_family = AF_INET;
    v4->sin_port = htons(address.port);
    inet_pton(AF_INET, address.host.c_str(), &v4->sin_addr);
    result.size = sizeof *v4;
  }
  return result;
}

void Set(int socket, int level, int option, int value) {
  setsockopt(socket, level, option, &value, sizeof value);
}

// Returns: a bound socket or -errno.
int Bind(const ListenAddress& address, bool shared) {
  SocketAddress where = ToSocketAddress(address);
  int descriptor = socket(where.storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (descriptor < 0) return -errno;
  Set(descriptor, SOL_SOCKET, SO_REUSEADDR, 1);
  if (shared) Set(descriptor, SOL_SOCKET, SO_REUSEPORT, 1);
  // [::] means IPv6 only, so that it can stand beside 0.0.0.0.
  if (where.storage.ss_family == AF_INET6) Set(descriptor, IPPROTO_IPV6, IPV6_V6ONLY, 1);
  if (bind(descriptor, where.any(), where.size) == 0) return descriptor;
  int error = errno;
  close(descriptor);
  return -error;
}

int StartListening(int descriptor, int send_timeout_s) {
  Set(descriptor, IPPROTO_TCP, TCP_NODELAY, 1);
  SetSendTimeout(descriptor, send_timeout_s);
  return listen(descriptor, kBacklog) == 0 ? 0 : -errno;
}

// Sockets that share a port would join those of another server that shares it too, so it is first
// taken alone.
int CheckFree(const ListenAddress& address) {
  int descriptor = Bind(address, false);
  if (descriptor < 0) return descriptor;
  int result = listen(descriptor, 1) == 0 ? 0 : -errno;
  close(descriptor);
  return result;
}

// One socket, and `count` descriptors of it. Returns: 0 or -errno.
int ListenShared(ListenAddress* address, int count, int send_timeout_s,
                 std::vector<int>* descriptors) {
  int first = address->descriptor >= 0 ? address->descriptor : BindUnix(address);
  if (first < 0) return first;
  descriptors->push_back(first);
  // Others accept from it, too: who was told of a connection must not wait where it is gone.
  if (fcntl(first, F_SETFL, O_NONBLOCK) != 0) return -errno;
  int error = StartListening(first, send_timeout_s);
  for (int i = 1; i < count && error == 0; ++i) {
    int copy = fcntl(first, F_DUPFD_CLOEXEC, 3);
    if (copy < 0) error = -errno;
    if (copy >= 0) descriptors->push_back(copy);
  }
  return error;
}

}  // namespace

void SetSendTimeout(int descriptor, int seconds) {
  timeval timeout{seconds, 0};
  setsockopt(descriptor, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof timeout);
}

uint16_t PortOf(int descriptor) {
  SocketAddress bound;
  bound.size = sizeof bound.storage;
  getsockname(descriptor, bound.any(), &bound.size);
  // The port lies at the same place in both families.
  return ntohs(reinterpret_cast<sockaddr_in*>(&bound.storage)->sin_port);
}

absl::StatusOr<std::vector<int>> Listen(ListenAddress* address, int count, int send_timeout_s) {
  std::vector<int> descriptors;
  if (address->Shared()) {
    int error = ListenShared(address, count, send_timeout_s, &descriptors);
    if (error == 0) return descriptors;
    RemoveUnixFile(address);
    for (int descriptor : descriptors) close(descriptor);
    return absl::ErrnoToStatus(-error, absl::StrCat("cannot listen on ", AddressText(*address)));
  }
  int error = count > 1 && address->port != 0 ? CheckFree(*address) : 0;
  for (int i = 0; i < count && error == 0; ++i) {
    int descriptor = Bind(*address, count > 1);
    if (descriptor < 0) {
      error = descriptor;
      break;
    }
    descriptors.push_back(descriptor);
    if (address->port == 0) address->port = PortOf(descriptor);
    error = StartListening(descriptor, send_timeout_s);
  }
  if (error == 0) return descriptors;
  for (int descriptor : descriptors) close(descriptor);
  return absl::ErrnoToStatus(-error, absl::StrCat("cannot listen on ", AddressText(*address)));
}

}  // namespace knot
