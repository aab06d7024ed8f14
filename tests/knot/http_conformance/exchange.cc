#include "tests/knot/http_conformance/exchange.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <utility>

namespace knot::test {
namespace {

constexpr int kHangMs = 60'000;
constexpr int kMomentUs = 100;

int ConnectTo(int family, const sockaddr* address, socklen_t size) {
  int result = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (result >= 0 && connect(result, address, size) != 0) {
    close(result);
    return -1;
  }
  return result;
}

// A server may refuse before it has received everything: that is no error here.
void SendAll(int socket, const std::string& bytes) {
  for (size_t done = 0; done < bytes.size();) {
    ssize_t n = send(socket, bytes.data() + done, bytes.size() - done, MSG_NOSIGNAL);
    if (n <= 0) return;
    done += n;
  }
}

}  // namespace

Connector ToPort(uint16_t port) {
  return [port] {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int result = ConnectTo(AF_INET, reinterpret_cast<sockaddr*>(&address), sizeof address);
    int on = 1;
    if (result >= 0) setsockopt(result, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    return result;
  };
}

Connector ToUnixSocket(std::string path) {
  return [path = std::move(path)] {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path.copy(address.sun_path, sizeof address.sun_path - 1);
    return ConnectTo(AF_UNIX, reinterpret_cast<sockaddr*>(&address), sizeof address);
  };
}

Exchanged Exchange(const Connector& connect, const std::vector<std::string>& pieces, bool ends) {
  Exchanged result;
  int socket = connect();
  if (socket < 0) return result;
  for (size_t i = 0; i < pieces.size(); ++i) {
    if (i > 0) usleep(kMomentUs);
    SendAll(socket, pieces[i]);
  }
  if (ends) shutdown(socket, SHUT_WR);
  char part[65536];
  for (;;) {
    pollfd wait{socket, POLLIN, 0};
    if (poll(&wait, 1, kHangMs) <= 0) break;
    ssize_t n = recv(socket, part, sizeof part, 0);
    if (n <= 0) {  // a reset, too, is an end
      result.ended = true;
      break;
    }
    result.received.append(part, n);
  }
  close(socket);
  return result;
}

std::vector<std::string> ByteByByte(const std::string& bytes) {
  constexpr size_t kSingle = 300, kPiece = 1000;
  std::vector<std::string> pieces;
  for (size_t at = 0; at < bytes.size();) {
    bool inside = at >= kSingle && at + kSingle < bytes.size();
    size_t size = inside ? std::min(kPiece, bytes.size() - kSingle - at) : 1;
    pieces.push_back(bytes.substr(at, size));
    at += size;
  }
  return pieces;
}

}  // namespace knot::test
