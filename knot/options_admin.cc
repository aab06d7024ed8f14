#include "knot/options_admin.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <algorithm>

#include "absl/flags/flag.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"

namespace knot {
namespace {

// An address, or "off".
struct AdminAddress {
  bool on = false;
  ListenAddress address;
};

bool AbslParseFlag(absl::string_view text, AdminAddress* address, std::string* error) {
  address->on = text != "off";
  if (!address->on) return true;
  ListenAddresses addresses;
  if (!AbslParseFlag(text, &addresses, error)) return false;
  const ListenAddress& first = addresses.list[0];
  if (addresses.list.size() == 1 && !first.host.empty() && !first.tls) {
    address->address = first;
    return true;
  }
  *error = "must be one ADDR:PORT, or off";
  return false;
}

std::string AbslUnparseFlag(const AdminAddress& address) {
  return address.on ? AddressText(address.address) : "off";
}

// Names, separated by commas.
struct HostNames {
  std::vector<std::string> list;
};

bool AbslParseFlag(absl::string_view text, HostNames* names, std::string*) {
  names->list = absl::StrSplit(text, ',', absl::SkipEmpty());
  return true;
}

std::string AbslUnparseFlag(const HostNames& names) { return absl::StrJoin(names.list, ","); }

enum class Kind { kName, kAddress, kLoopback };

// `host` without the brackets of IPv6.
Kind KindOf(const std::string& host) {
  in_addr v4;
  if (inet_pton(AF_INET, host.c_str(), &v4) == 1) {
    return ntohl(v4.s_addr) >> 24 == IN_LOOPBACKNET ? Kind::kLoopback : Kind::kAddress;
  }
  in6_addr v6;
  if (inet_pton(AF_INET6, host.c_str(), &v6) == 1) {
    return IN6_IS_ADDR_LOOPBACK(&v6) ? Kind::kLoopback : Kind::kAddress;
  }
  return Kind::kName;
}

bool IsPort(absl::string_view text) {
  return std::all_of(text.begin(), text.end(), absl::ascii_isdigit);
}

// Takes the port, and the brackets of IPv6, from the value of a field Host.
// Returns: false where it is malformed.
bool HostOf(absl::string_view field, std::string* host) {
  absl::string_view port;
  if (absl::StartsWith(field, "[")) {
    size_t end = field.find(']');
    if (end == absl::string_view::npos) return false;
    *host = std::string(field.substr(1, end - 1));
    port = field.substr(end + 1);
    if (KindOf(*host) == Kind::kName || !absl::StrContains(*host, ':')) return false;
  } else {
    size_t end = std::min(field.find(':'), field.size());
    *host = std::string(field.substr(0, end));
    port = field.substr(end);
  }
  return port.empty() || (port[0] == ':' && IsPort(port.substr(1)));
}

bool IsHostName(absl::string_view name) {
  return !name.empty() && std::all_of(name.begin(), name.end(), [](unsigned char c) {
    return absl::ascii_isalnum(c) || c == '-' || c == '.' || c == '_';
  });
}

}  // namespace
}  // namespace knot

ABSL_FLAG(knot::AdminAddress, admin, {},
          "address of its own for a live page of what the server does, /metrics for Prometheus and "
          "/healthz: ADDR:PORT or [IPV6]:PORT, port 0 letting the system choose, or off");
ABSL_FLAG(bool, admin_public, false,
          "let --admin be an address that other machines can reach; whoever does sees everything");
ABSL_FLAG(
    knot::HostNames, admin_hosts, {},
    "names by which --admin may be asked, separated by commas, beside localhost and addresses");

namespace knot {

AdminOptions AdminOptionsFromFlags() {
  AdminAddress address = absl::GetFlag(FLAGS_admin);
  AdminOptions options;
  options.on = address.on;
  options.address = address.address;
  options.others = absl::GetFlag(FLAGS_admin_public);
  options.hosts = absl::GetFlag(FLAGS_admin_hosts).list;
  return options;
}

absl::Status CheckAdmin(const AdminOptions& options) {
  if (options.on && !options.others && KindOf(options.address.host) != Kind::kLoopback) {
    return absl::InvalidArgumentError(
        absl::StrCat("--admin=", AddressText(options.address),
                     ": other machines can reach this address; if they may, give --admin_public"));
  }
  for (const std::string& host : options.hosts) {
    if (IsHostName(host)) continue;
    return absl::InvalidArgumentError(
        absl::StrCat("--admin_hosts: ", host, " is not a host name; it has no port"));
  }
  return absl::OkStatus();
}

bool MayBeAsked(absl::string_view host, const AdminOptions& options) {
  std::string name;
  if (!HostOf(host, &name)) return false;
  Kind kind = KindOf(name);
  if (kind == Kind::kLoopback || (kind == Kind::kAddress && options.others)) return true;
  return absl::EqualsIgnoreCase(name, "localhost") ||
         std::any_of(options.hosts.begin(), options.hosts.end(),
                     [&](const std::string& known) { return absl::EqualsIgnoreCase(name, known); });
}

}  // namespace knot
