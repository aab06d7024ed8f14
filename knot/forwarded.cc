#include "knot/forwarded.h"

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/strip.h"

namespace knot {
namespace {

// Takes the last line off `fields`. Returns: its value where it is an X-Forwarded-For, as the first
// line is, whose name is not among them; else "".
absl::string_view TakeLastValue(absl::string_view* fields) {
  size_t line_end = fields->rfind("\r\n");
  if (line_end == absl::string_view::npos) {
    absl::string_view first = *fields;
    *fields = {};
    return first;
  }
  absl::string_view line = fields->substr(line_end + 2);
  *fields = fields->substr(0, line_end);
  bool named = line.size() > kForwardedFor.size() && line[kForwardedFor.size()] == ':' &&
               absl::StartsWithIgnoreCase(line, kForwardedFor);
  return named ? line.substr(kForwardedFor.size() + 1) : absl::string_view();
}

// Reads one element: an address; of IPv6 perhaps in brackets; perhaps with a port.
bool ParseElement(absl::string_view text, PeerAddress* address) {
  text = absl::StripAsciiWhitespace(text);
  if (absl::ConsumePrefix(&text, "[")) {
    size_t end = text.find(']');
    return end != absl::string_view::npos && ParseAddress(text.substr(0, end), address) &&
           address->any.sa_family == AF_INET6;
  }
  size_t colon = text.find(':');
  bool port = colon != absl::string_view::npos && colon == text.rfind(':');
  return ParseAddress(port ? text.substr(0, colon) : text, address);
}

}  // namespace

PeerAddress ClientBehind(const PeerAddress& peer, absl::string_view fields,
                         const AddressSet& trusted) {
  PeerAddress client = peer;
  while (!fields.empty()) {
    absl::string_view value = TakeLastValue(&fields);
    while (!value.empty()) {
      if (!trusted.Contains(client)) return client;
      size_t comma = value.rfind(',');
      absl::string_view element =
          comma == absl::string_view::npos ? value : value.substr(comma + 1);
      value = comma == absl::string_view::npos ? absl::string_view() : value.substr(0, comma);
      PeerAddress before;
      // An element without a meaning, such as "unknown", hides all before it.
      if (!ParseElement(element, &before)) return client;
      client = before;
    }
  }
  return client;
}

}  // namespace knot
