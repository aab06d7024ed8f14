#include "tests/knot/support/sockets.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstdio>

namespace knot::test {
namespace {

sockaddr_un NameOf(const std::string& path) {
  sockaddr_un name{};
  name.sun_family = AF_UNIX;
  std::snprintf(name.sun_path, sizeof name.sun_path, "%s", path.c_str());
  return name;
}

}  // namespace

Client::Socket ConnectUnix(const std::string& path) {
  int descriptor = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_un name = NameOf(path);
  if (connect(descriptor, reinterpret_cast<sockaddr*>(&name), sizeof name) == 0) {
    return {descriptor};
  }
  close(descriptor);
  return {-1};
}

ino_t FileId(const std::string& path) {
  struct stat status;
  return lstat(path.c_str(), &status) == 0 ? status.st_ino : 0;
}

Passed::Passed(int family, const std::string& path) {
  socket_ = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (family == AF_UNIX) {
    sockaddr_un name = NameOf(path);
    EXPECT_EQ(bind(socket_, reinterpret_cast<sockaddr*>(&name), sizeof name), 0);
  } else {
    sockaddr_in name{};
    name.sin_family = AF_INET;
    name.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(bind(socket_, reinterpret_cast<sockaddr*>(&name), sizeof name), 0);
    socklen_t size = sizeof name;
    getsockname(socket_, reinterpret_cast<sockaddr*>(&name), &size);
    port_ = ntohs(name.sin_port);
  }
  EXPECT_EQ(listen(socket_, 100), 0);
}

Passed::~Passed() { close(socket_); }

}  // namespace knot::test
