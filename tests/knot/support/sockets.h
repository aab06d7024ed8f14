// Sockets that no port tells: unix sockets, and those that one program passes to another.
#ifndef TESTS_KNOT_SUPPORT_SOCKETS_H_
#define TESTS_KNOT_SUPPORT_SOCKETS_H_

#include <sys/types.h>

#include <cstdint>
#include <string>

#include "tests/knot/support/client.h"

namespace knot::test {

// Returns: a socket connected to the unix socket at `path`, or -1.
Client::Socket ConnectUnix(const std::string& path);

// Returns: what identifies the file at `path`, which may be a socket; 0 where there is none.
ino_t FileId(const std::string& path);

// A listening socket for another to inherit.
class Passed {
 public:
  // Of AF_INET, on a free port of 127.0.0.1, or of AF_UNIX at `path`.
  explicit Passed(int family, const std::string& path = "");
  ~Passed();
  Passed(const Passed&) = delete;
  Passed& operator=(const Passed&) = delete;

  int socket_ = -1;
  uint16_t port_ = 0;
};

}  // namespace knot::test

#endif  // TESTS_KNOT_SUPPORT_SOCKETS_H_
