#include "knot/listen_address.h"

#include <arpa/inet.h>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

namespace knot {
namespace {

bool ParseListenAddress(absl::string_view text, ListenAddress* address) {
  size_t colon = text.rfind(':');
  if (colon == absl::string_view::npos) return false;
  absl::string_view host = text.substr(0, colon);
  int family = AF_INET;
  if (absl::ConsumePrefix(&host, "[")) {
    if (!absl::ConsumeSuffix(&host, "]")) return false;
    family = AF_INET6;
  }
  uint32_t port;
  unsigned char binary[sizeof(in6_addr)];
  address->host = std::string(host);
  absl::string_view port_text = text.substr(colon + 1);
  if (port_text.empty() || !absl::ascii_isdigit(port_text[0]) ||
      !absl::SimpleAtoi(port_text, &port) || port > 65535) {
    return false;
  }
  address->port = static_cast<uint16_t>(port);
  return inet_pton(family, address->host.c_str(), binary) == 1;
}

}  // namespace

bool AbslParseFlag(absl::string_view text, ListenAddresses* addresses, std::string* error) {
  addresses->list.clear();
  for (absl::string_view part : absl::StrSplit(text, ',')) {
    ListenAddress address;
    if (!ParseListenAddress(part, &address)) {
      *error = "must be a numeric ADDR:PORT such as 127.0.0.1:8080 or [::1]:8080";
      return false;
    }
    addresses->list.push_back(address);
  }
  return true;
}

std::string AbslUnparseFlag(const ListenAddresses& addresses) {
  return absl::StrJoin(addresses.list, ",", [](std::string* out, const ListenAddress& address) {
    absl::StrAppend(out, AddressText(address));
  });
}

std::string AddressText(const ListenAddress& address) {
  bool ipv6 = absl::StrContains(address.host, ':');
  return absl::StrCat(ipv6 ? "[" : "", address.host, ipv6 ? "]:" : ":", address.port);
}

}  // namespace knot
