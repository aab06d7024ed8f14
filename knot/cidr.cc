#include "knot/cidr.h"

#include <arpa/inet.h>

#include <algorithm>
#include <cstring>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace knot {
namespace {

constexpr uint8_t kMapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};  // RFC 4291, 2.5.5.2

// Tells whether the first `bits` bits are the same.
bool SamePrefix(const uint8_t* a, const uint8_t* b, int bits) {
  if (std::memcmp(a, b, bits / 8) != 0) return false;
  return bits % 8 == 0 || ((a[bits / 8] ^ b[bits / 8]) >> (8 - bits % 8)) == 0;
}

bool IsZeroBehind(const uint8_t* bytes, int bits, int all) {
  for (int bit = bits; bit < all; ++bit) {
    if ((bytes[bit / 8] >> (7 - bit % 8) & 1) != 0) return false;
  }
  return true;
}

}  // namespace

bool ParseAddress(absl::string_view text, PeerAddress* address) {
  char copy[INET6_ADDRSTRLEN];
  if (text.size() >= sizeof copy || text.find('\0') != absl::string_view::npos) return false;
  std::memcpy(copy, text.data(), text.size());
  copy[text.size()] = '\0';
  *address = PeerAddress{};
  if (inet_pton(AF_INET, copy, &address->v4.sin_addr) == 1) {
    address->v4.sin_family = AF_INET;
    return true;
  }
  *address = PeerAddress{};
  address->v6 = sockaddr_in6{};
  if (inet_pton(AF_INET6, copy, &address->v6.sin6_addr) != 1) return false;
  address->v6.sin6_family = AF_INET6;
  return true;
}

bool AddressSet::ToNetwork(const PeerAddress& address, Network* network) {
  if (address.any.sa_family == AF_INET) {
    network->ipv4 = true;
    network->bits = 32;
    std::memcpy(network->bytes.data(), &address.v4.sin_addr, 4);
    return true;
  }
  if (address.any.sa_family != AF_INET6) return false;
  const uint8_t* bytes = address.v6.sin6_addr.s6_addr;
  network->ipv4 = std::memcmp(bytes, kMapped, sizeof kMapped) == 0;
  network->bits = network->ipv4 ? 32 : 128;
  std::memcpy(network->bytes.data(), network->ipv4 ? bytes + sizeof kMapped : bytes,
              network->bits / 8);
  return true;
}

bool AddressSet::Contains(const PeerAddress& address) const {
  if (address.any.sa_family == AF_UNIX) return unix_;
  Network wanted;
  if (!ToNetwork(address, &wanted)) return false;
  return std::any_of(networks_.begin(), networks_.end(), [&](const Network& network) {
    return network.ipv4 == wanted.ipv4 &&
           SamePrefix(network.bytes.data(), wanted.bytes.data(), network.bits);
  });
}

bool AddressSet::Add(absl::string_view text, std::string* error) {
  if (networks_.size() == kMost) {
    *error = absl::StrCat("more than ", kMost, " entries");
    return false;
  }
  if (text == "unix") {
    unix_ = true;
  } else {
    size_t slash = text.find('/');
    PeerAddress address;
    Network network;
    if (!ParseAddress(text.substr(0, slash), &address) || !ToNetwork(address, &network)) {
      *error = absl::StrCat("'", text, "' must be ADDR, ADDR/BITS or unix, as in 10.0.0.0/8,::1");
      return false;
    }
    if (slash != absl::string_view::npos) {
      absl::string_view digits = text.substr(slash + 1);
      const int most = network.bits;
      // One of IPv4 that was written as one of IPv6 has its prefix counted so, too.
      const int skipped = network.ipv4 && address.any.sa_family == AF_INET6 ? 96 : 0;
      int bits;
      if (digits.empty() || !std::all_of(digits.begin(), digits.end(), absl::ascii_isdigit) ||
          !absl::SimpleAtoi(digits, &bits) || bits < skipped || bits - skipped > most) {
        *error = absl::StrCat("'", text, "' must have at most ", most + skipped,
                              " bits behind its slash");
        return false;
      }
      network.bits = bits - skipped;
      if (!IsZeroBehind(network.bytes.data(), network.bits, most)) {
        *error = absl::StrCat("'", text, "' has bits set behind its prefix");
        return false;
      }
    }
    networks_.push_back(network);
  }
  absl::StrAppend(&text_, text_.empty() ? "" : ",", text);
  return true;
}

bool AbslParseFlag(absl::string_view text, AddressSet* set, std::string* error) {
  *set = AddressSet();
  if (text.empty()) return true;
  for (absl::string_view part : absl::StrSplit(text, ',')) {
    if (!set->Add(part, error)) return false;
  }
  return true;
}

std::string AbslUnparseFlag(const AddressSet& set) { return set.text(); }

}  // namespace knot
