#include "knot/listen_address.h"

#include <arpa/inet.h>
#include <sys/un.h>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

namespace knot {
namespace {

constexpr absl::string_view kMode = "mode=";

bool ParseNumber(absl::string_view text, uint32_t most, uint32_t* number) {
  return !text.empty() && absl::ascii_isdigit(text[0]) && absl::SimpleAtoi(text, number) &&
         *number <= most;
}

bool ParseIp(absl::string_view text, ListenAddress* address) {
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
  if (!ParseNumber(text.substr(colon + 1), 65535, &port)) return false;
  address->port = static_cast<uint16_t>(port);
  return inet_pton(family, address->host.c_str(), binary) == 1;
}

// Returns: "" or what is wrong.
std::string ParseListenAddress(absl::string_view text, ListenAddress* address) {
  address->tls = absl::ConsumePrefix(&text, "https://");
  if (!address->tls) absl::ConsumePrefix(&text, "http://");
  if (text == "systemd") {
    address->systemd = true;
    return "";
  }
  if (absl::ConsumePrefix(&text, "unix:")) {
    address->path = std::string(text);
    if (!absl::StartsWith(text, "/")) return "a unix socket needs an absolute path, unix:/PATH";
    if (text.size() >= sizeof(sockaddr_un::sun_path)) {
      return absl::StrCat("the path of a unix socket has at most ",
                          sizeof(sockaddr_un::sun_path) - 1, " bytes");
    }
    return "";
  }
  if (absl::ConsumePrefix(&text, "fd:")) {
    uint32_t number;
    if (!ParseNumber(text, 1 << 20, &number) || number < 3) return "fd:N needs a number from 3 on";
    address->passed_as = address->descriptor = static_cast<int>(number);
    return "";
  }
  if (ParseIp(text, address)) return "";
  return "must be a numeric ADDR:PORT such as 127.0.0.1:8080 or [::1]:8080, or unix:/PATH, fd:N or "
         "systemd";
}

// Reads the octal number of "mode=0660".
bool ParseMode(absl::string_view text, int* mode) {
  if (text.empty() || text.size() > 4) return false;
  *mode = 0;
  for (char c : text) {
    if (c < '0' || c > '7') return false;
    *mode = *mode * 8 + (c - '0');
  }
  return *mode <= 0777;
}

}  // namespace

bool AbslParseFlag(absl::string_view text, ListenAddresses* addresses, std::string* error) {
  addresses->list.clear();
  bool may_have_mode = false;  // the part before was a unix socket
  for (absl::string_view part : absl::StrSplit(text, ',')) {
    if (may_have_mode && absl::ConsumePrefix(&part, kMode)) {
      if (!ParseMode(part, &addresses->list.back().mode)) {
        *error = "mode= must be octal, at most 0777";
        return false;
      }
      may_have_mode = false;
      continue;
    }
    ListenAddress address;
    *error = ParseListenAddress(part, &address);
    if (!error->empty()) return false;
    may_have_mode = !address.path.empty();
    addresses->list.push_back(address);
  }
  return true;
}

std::string AbslUnparseFlag(const ListenAddresses& addresses) {
  return absl::StrJoin(addresses.list, ",", [](std::string* out, const ListenAddress& address) {
    absl::StrAppend(out, FlagText(address));
  });
}

std::string FlagText(const ListenAddress& address) {
  std::string text = absl::StrCat(address.tls ? "https://" : "", AddressText(address));
  if (!address.path.empty() && address.mode != kUnixMode) {
    absl::StrAppend(&text, ",", kMode, "0");
    for (int shift = 6; shift >= 0; shift -= 3) {
      text.push_back(static_cast<char>('0' + (address.mode >> shift & 7)));
    }
  }
  return text;
}

std::string AddressText(const ListenAddress& address) {
  if (address.systemd) return "systemd";
  if (address.passed_as >= 0) return absl::StrCat("fd:", address.passed_as);
  if (!address.path.empty()) return absl::StrCat("unix:", address.path);
  bool ipv6 = absl::StrContains(address.host, ':');
  return absl::StrCat(ipv6 ? "[" : "", address.host, ipv6 ? "]:" : ":", address.port);
}

std::string AddressUrl(const ListenAddress& address) {
  ListenAddress bound = address;
  bound.passed_as = -1;
  bool ip = !bound.host.empty();
  std::string url = absl::StrCat(address.tls ? "https://"
                                 : ip        ? "http://"
                                             : "",
                                 AddressText(bound), ip ? "/" : "");
  if (address.passed_as >= 0) absl::StrAppend(&url, " (fd ", address.passed_as, ")");
  return url;
}

}  // namespace knot
