#include "knot/cors.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "knot/header_rules.h"

namespace knot {
namespace {

constexpr size_t kMostOrigins = 64;
constexpr size_t kMostHeaders = 64;

bool IsLower(char c) { return c >= 'a' && c <= 'z'; }

bool IsScheme(absl::string_view scheme) {
  return !scheme.empty() && IsLower(scheme[0]) &&
         std::all_of(scheme.begin(), scheme.end(), [](char c) {
           return IsLower(c) || absl::ascii_isdigit(c) || absl::StrContains("+-.", c);
         });
}

bool IsHost(absl::string_view host) {
  bool ipv6 = absl::ConsumePrefix(&host, "[") && absl::ConsumeSuffix(&host, "]");
  const absl::string_view others = ipv6 ? ":." : "-._";
  return !host.empty() && std::all_of(host.begin(), host.end(), [&](char c) {
    return IsLower(c) || absl::ascii_isdigit(c) || absl::StrContains(others, c);
  });
}

// It is compared byte by byte, so what no browser would write would never match.
absl::Status CheckOrigin(absl::string_view origin) {
  auto wrong = [&](absl::string_view why) {
    return absl::InvalidArgumentError(absl::StrCat("'", origin, "' ", why));
  };
  constexpr absl::string_view kForm = "must be scheme://host[:port], in lower case, or *";
  size_t mark = origin.find("://");
  if (mark == absl::string_view::npos) return wrong(kForm);
  absl::string_view scheme = origin.substr(0, mark), host = origin.substr(mark + 3);
  size_t after = absl::StartsWith(host, "[") ? std::min(host.find(']'), host.size()) : 0;
  size_t colon = host.find(':', after);
  absl::string_view port;
  if (colon != absl::string_view::npos) {
    port = host.substr(colon + 1);
    host = host.substr(0, colon);
    int number;
    if (!std::all_of(port.begin(), port.end(), absl::ascii_isdigit) ||
        !absl::SimpleAtoi(port, &number) || number < 1 || number > 65535 || port[0] == '0') {
      return wrong("has a port that is none");
    }
  }
  if (!IsScheme(scheme) || !IsHost(host)) return wrong(kForm);
  if ((scheme == "http" && port == "80") || (scheme == "https" && port == "443")) {
    return wrong("must be without the port: browsers leave out the usual one");
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Cors> Cors::Parse(absl::string_view origins, absl::string_view headers,
                                 int max_age) {
  Cors cors;
  cors.any_ = origins == "*";
  if (!cors.any_) {
    for (absl::string_view origin : absl::StrSplit(origins, ',')) {
      absl::Status status = CheckOrigin(origin);
      if (!status.ok()) return status;
      cors.origins_.push_back(
          {std::string(origin), absl::StrCat("Access-Control-Allow-Origin: ", origin, "\r\n")});
    }
    if (cors.origins_.size() > kMostOrigins) {
      return absl::InvalidArgumentError(absl::StrCat("more than ", kMostOrigins, " origins"));
    }
  }
  cors.preflight_ = "Access-Control-Allow-Methods: GET, HEAD, OPTIONS\r\n";
  if (!headers.empty()) {
    std::vector<absl::string_view> names;
    for (absl::string_view name : absl::StrSplit(headers, ',')) {
      names.push_back(absl::StripAsciiWhitespace(name));
      if (!IsToken(names.back())) {
        return absl::InvalidArgumentError(absl::StrCat("'", name, "' is no name of a field"));
      }
    }
    if (names.size() > kMostHeaders) {
      return absl::InvalidArgumentError(absl::StrCat("more than ", kMostHeaders, " fields"));
    }
    absl::StrAppend(&cors.preflight_, "Access-Control-Allow-Headers: ", absl::StrJoin(names, ", "),
                    "\r\n");
  }
  absl::StrAppend(&cors.preflight_, "Access-Control-Max-Age: ", max_age, "\r\n");
  return cors;
}

absl::string_view Cors::Every() const {
  return any_ ? "Access-Control-Allow-Origin: *\r\n" : "Vary: Origin\r\n";
}

absl::string_view Cors::FieldOf(absl::string_view origin) const {
  for (const Origin& allowed : origins_) {
    if (allowed.text == origin) return allowed.line;
  }
  return {};
}

absl::string_view Cors::PreflightFields(absl::string_view origin) const {
  bool allowed = any_ || !FieldOf(origin).empty();
  return allowed ? absl::string_view(preflight_) : absl::string_view();
}

}  // namespace knot
