#include "knot/host.h"

#include <arpa/inet.h>

#include <array>
#include <cstdint>
#include <cstring>

#include "absl/strings/ascii.h"

namespace knot {
namespace {

// Of a reg-name: unreserved and sub-delims. An IPv4 address is one, too, as far as characters go.
constexpr std::array<bool, 256> kNameCharacters = [] {
  std::array<bool, 256> table{};
  for (int c = '0'; c <= '9'; ++c) table[c] = true;
  for (int c = 'a'; c <= 'z'; ++c) table[c] = table[c - 'a' + 'A'] = true;
  for (unsigned char c : absl::string_view("-._~!$&'()*+,;=")) table[c] = true;
  return table;
}();

bool IsNameCharacter(char c) { return kNameCharacters[static_cast<unsigned char>(c)]; }

// Returns: the length of the reg-name at the start of `text`.
size_t NameLength(absl::string_view text) {
  size_t length = 0;
  for (;;) {
    while (length < text.size() && IsNameCharacter(text[length])) ++length;
    bool escape = length + 2 < text.size() && text[length] == '%' &&
                  absl::ascii_isxdigit(text[length + 1]) && absl::ascii_isxdigit(text[length + 2]);
    if (!escape) return length;
    length += 3;
  }
}

// "v" 1*HEXDIG "." 1*( unreserved / sub-delims / ":" )
bool IsFutureAddress(absl::string_view text) {
  size_t dot = text.find('.');
  if (dot == absl::string_view::npos || dot < 2 || dot + 1 == text.size()) return false;
  for (char c : text.substr(1, dot - 1)) {
    if (!absl::ascii_isxdigit(c)) return false;
  }
  for (char c : text.substr(dot + 1)) {
    if (!IsNameCharacter(c) && c != ':') return false;
  }
  return true;
}

// Of what stands between the brackets. A zone (RFC 6874) means nothing to another host.
bool IsAddress(absl::string_view text) {
  if (!text.empty() && absl::ascii_tolower(text[0]) == 'v') return IsFutureAddress(text);
  char copy[INET6_ADDRSTRLEN];
  if (text.size() >= sizeof copy || text.find('\0') != absl::string_view::npos) return false;
  std::memcpy(copy, text.data(), text.size());
  copy[text.size()] = '\0';
  in6_addr binary;
  return inet_pton(AF_INET6, copy, &binary) == 1;
}

bool IsPort(absl::string_view text) {
  uint32_t port = 0;
  for (char c : text) {
    if (!absl::ascii_isdigit(c)) return false;
    port = port * 10 + static_cast<uint32_t>(c - '0');
    if (port > 65535) return false;
  }
  return true;
}

}  // namespace

bool ParseAuthority(absl::string_view text, absl::string_view* host) {
  size_t length;
  if (!text.empty() && text[0] == '[') {
    size_t end = text.find(']');
    if (end == absl::string_view::npos || !IsAddress(text.substr(1, end - 1))) return false;
    length = end + 1;
  } else {
    length = NameLength(text);
  }
  if (length == 0) return false;
  *host = text.substr(0, length);
  text.remove_prefix(length);
  return text.empty() || (text[0] == ':' && IsPort(text.substr(1)));
}

bool IsHostField(absl::string_view value) {
  absl::string_view host;
  return value.empty() || ParseAuthority(value, &host);
}

}  // namespace knot
