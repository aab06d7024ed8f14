// Sets of network addresses, and the flag that takes one.
#ifndef KNOT_CIDR_H_
#define KNOT_CIDR_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "knot/access_log.h"

namespace knot {

// Reads a numeric address, of IPv6 without brackets; the port is 0. Returns: false where it is
// none.
bool ParseAddress(absl::string_view text, PeerAddress* address);

// Networks such as 10.0.0.0/8 and 2001:db8::/32, single addresses, and the word "unix" for every
// peer by a unix socket. An IPv4 address that comes as one of IPv6 (::ffff:10.0.0.1) counts as
// IPv4.
class AddressSet {
 public:
  static constexpr size_t kMost = 256;  // entries: each is compared with

  bool empty() const { return networks_.empty() && !unix_; }
  bool Contains(const PeerAddress& address) const;

  // Adds one entry. Errors: false, and `*error` says what is wrong with it; bits set behind the
  // prefix are, since something else may have been meant.
  bool Add(absl::string_view text, std::string* error);

  // Returns: the entries as they were given, separated by commas.
  const std::string& text() const { return text_; }

 private:
  struct Network {
    bool ipv4 = false;
    int bits = 0;
    std::array<uint8_t, 16> bytes{};  // of IPv4 the first four
  };

  static bool ToNetwork(const PeerAddress& address, Network* network);

  std::vector<Network> networks_;
  bool unix_ = false;
  std::string text_;
};

// The type of a flag: entries separated by commas, or nothing.
bool AbslParseFlag(absl::string_view text, AddressSet* set, std::string* error);
std::string AbslUnparseFlag(const AddressSet& set);

}  // namespace knot

#endif  // KNOT_CIDR_H_
