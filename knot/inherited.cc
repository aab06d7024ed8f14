#include "knot/inherited.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

namespace knot {
namespace {

constexpr int kFirst = 3;  // SD_LISTEN_FDS_START
constexpr int kMost = 1024;

int Option(int descriptor, int option) {
  int value = 0;
  socklen_t size = sizeof value;
  return getsockopt(descriptor, SOL_SOCKET, option, &value, &size) == 0 ? value : -1;
}

absl::Status Refuse(const ListenAddress& address, absl::string_view reason) {
  return absl::InvalidArgumentError(absl::StrCat("--listen=", AddressText(address), ": ", reason));
}

// Finds out where a socket listens.
absl::Status Describe(ListenAddress* address) {
  const int descriptor = address->descriptor;
  if (fcntl(descriptor, F_SETFD, FD_CLOEXEC) != 0) return Refuse(*address, std::strerror(errno));
  if (Option(descriptor, SO_TYPE) != SOCK_STREAM) return Refuse(*address, "is no stream socket");
  if (Option(descriptor, SO_ACCEPTCONN) != 1) return Refuse(*address, "does not listen");
  union {
    sockaddr any;
    sockaddr_in v4;
    sockaddr_in6 v6;
    sockaddr_un local;
  } name{};
  socklen_t size = sizeof name;
  if (getsockname(descriptor, &name.any, &size) != 0) {
    return Refuse(*address, std::strerror(errno));
  }
  char text[INET6_ADDRSTRLEN];
  switch (name.any.sa_family) {
    case AF_INET:
      address->host = inet_ntop(AF_INET, &name.v4.sin_addr, text, sizeof text);
      address->port = ntohs(name.v4.sin_port);
      return absl::OkStatus();
    case AF_INET6:
      address->host = inet_ntop(AF_INET6, &name.v6.sin6_addr, text, sizeof text);
      address->port = ntohs(name.v6.sin6_port);
      return absl::OkStatus();
    case AF_UNIX: {
      size_t length =
          size > offsetof(sockaddr_un, sun_path) ? size - offsetof(sockaddr_un, sun_path) : 0;
      address->path.assign(name.local.sun_path, strnlen(name.local.sun_path, length));
      if (address->path.empty()) address->path = "(no path)";  // one of the abstract name space
      return absl::OkStatus();
    }
    default:
      return Refuse(*address, "is of no family of addresses that is known here");
  }
}

// Returns: how many sockets systemd has passed to this process.
absl::StatusOr<int> CountPassed(const ListenAddress& address) {
  const char* pid_text = std::getenv("LISTEN_PID");
  const char* count_text = std::getenv("LISTEN_FDS");
  int pid, count;
  if (pid_text == nullptr || count_text == nullptr) {
    return Refuse(address, "no sockets were passed: is Knot started by a socket unit?");
  }
  if (!absl::SimpleAtoi(pid_text, &pid) || pid != getpid()) {
    return Refuse(address, absl::StrCat("the sockets were passed to process ", pid_text));
  }
  if (!absl::SimpleAtoi(count_text, &count) || count < 1 || count > kMost) {
    return Refuse(address, absl::StrCat("LISTEN_FDS=", count_text, " is no number of sockets"));
  }
  return count;
}

// Returns: the numbers of the sockets that `address` stands for.
absl::StatusOr<std::vector<int>> NumbersPassed(const ListenAddress& address,
                                               const std::vector<ListenAddress>& all,
                                               const Predecessor* predecessor) {
  std::vector<int> numbers;
  if (predecessor != nullptr) {
    for (const std::string& name : predecessor->Names()) {
      absl::string_view rest = name;
      int number;
      if (!absl::ConsumePrefix(&rest, "fd:") || !absl::SimpleAtoi(rest, &number)) continue;
      bool named = std::any_of(all.begin(), all.end(), [&](const ListenAddress& other) {
        return other.passed_as == number;
      });
      if (!named) numbers.push_back(number);
    }
    if (!numbers.empty()) return numbers;
  }
  absl::StatusOr<int> count = CountPassed(address);
  if (!count.ok()) return count.status();
  for (int i = 0; i < *count; ++i) numbers.push_back(kFirst + i);
  return numbers;
}

}  // namespace

absl::Status ResolveInherited(std::vector<ListenAddress>* addresses, Predecessor* predecessor) {
  std::vector<ListenAddress> resolved;
  bool taken = false;
  for (const ListenAddress& address : *addresses) {
    if (!address.systemd) {
      resolved.push_back(address);
      continue;
    }
    if (std::exchange(taken, true)) return Refuse(address, "is given twice");
    absl::StatusOr<std::vector<int>> numbers = NumbersPassed(address, *addresses, predecessor);
    if (!numbers.ok()) return numbers.status();
    for (int number : *numbers) {
      resolved.push_back(address);
      resolved.back().systemd = false;
      resolved.back().passed_as = resolved.back().descriptor = number;
    }
  }
  for (const char* name : {"LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"}) unsetenv(name);
  std::vector<int> seen;
  for (ListenAddress& address : resolved) {
    if (address.passed_as < 0) continue;
    if (std::count(seen.begin(), seen.end(), address.passed_as) != 0) {
      return Refuse(address, "is given twice");
    }
    seen.push_back(address.passed_as);
    if (predecessor != nullptr) {
      absl::StatusOr<std::vector<int>> taken = predecessor->Take(&address, 1);
      if (!taken.ok()) return taken.status();
      if (!taken->empty()) address.descriptor = (*taken)[0];
    }
    absl::Status status = Describe(&address);
    if (!status.ok()) return status;
  }
  *addresses = std::move(resolved);
  return absl::OkStatus();
}

}  // namespace knot
