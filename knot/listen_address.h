// An address to listen on, and the flag that takes several.
#ifndef KNOT_LISTEN_ADDRESS_H_
#define KNOT_LISTEN_ADDRESS_H_

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace knot {

inline constexpr int kUnixMode = 0660;

// A numeric address with its port; or the path of a unix socket; or a listening socket that whoever
// started us has passed, of which, once it was resolved, either is known, too.
struct ListenAddress {
  std::string host;   // without the brackets of IPv6; empty: no IP address
  uint16_t port = 0;  // 0: the system chooses
  bool tls = false;
  std::string path = {};  // of a unix socket, or empty
  int mode = kUnixMode;   // of its file
  int passed_as = -1;     // N of fd:N, or of what systemd has passed; -1: it was not
  int descriptor = -1;    // the socket, where there is one already, or -1
  bool systemd = false;   // stands for all that systemd has passed
  dev_t device = 0;       // these two identify the unix socket's file that was made, if one was
  ino_t inode = 0;
  bool adopted = false;  // that file is a predecessor's, which may go on with it

  // Tells whether all processes and groups accept from the same socket, rather than each from one
  // of its own.
  bool Shared() const { return descriptor >= 0 || !path.empty(); }
};

// Returns: "127.0.0.1:8080", "[::1]:8080", "unix:/path", "fd:3" or "systemd".
std::string AddressText(const ListenAddress& address);

// Returns: what the flag takes for it.
std::string FlagText(const ListenAddress& address);

// Returns: what is printed of it at start, as "https://127.0.0.1:8443/" or
// "http://[::]:80/ (fd 3)".
std::string AddressUrl(const ListenAddress& address);

// The type of the flag --listen: addresses separated by commas.
struct ListenAddresses {
  std::vector<ListenAddress> list;
};

bool AbslParseFlag(absl::string_view text, ListenAddresses* addresses, std::string* error);
std::string AbslUnparseFlag(const ListenAddresses& addresses);

}  // namespace knot

#endif  // KNOT_LISTEN_ADDRESS_H_
