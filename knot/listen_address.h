// A numeric address to listen on, and the flag that takes several.
#ifndef KNOT_LISTEN_ADDRESS_H_
#define KNOT_LISTEN_ADDRESS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace knot {

struct ListenAddress {
  std::string host;   // without the brackets of IPv6
  uint16_t port = 0;  // 0: the system chooses
};

// Returns: "127.0.0.1:8080" or "[::1]:8080".
std::string AddressText(const ListenAddress& address);

// The type of the flag --listen: addresses separated by commas.
struct ListenAddresses {
  std::vector<ListenAddress> list;
};

bool AbslParseFlag(absl::string_view text, ListenAddresses* addresses, std::string* error);
std::string AbslUnparseFlag(const ListenAddresses& addresses);

}  // namespace knot

#endif  // KNOT_LISTEN_ADDRESS_H_
