#include "knot/proxy_header.h"

#include <arpa/inet.h>

#include <algorithm>
#include <cstring>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/strip.h"
#include "knot/cidr.h"

namespace knot {
namespace {

using Outcome = ProxyHeader::Outcome;

constexpr absl::string_view kTextStart = "PROXY ";
constexpr absl::string_view kBinaryStart("\r\n\r\n\0\r\nQUIT\n", 12);
constexpr size_t kMaxText = 107;     // section 2.1, its line end included
constexpr size_t kBinaryFixed = 16;  // section 2.2, up to the addresses

ProxyHeader Malformed() { return {}; }

ProxyHeader Partial() {
  ProxyHeader header;
  header.outcome = Outcome::kPartial;
  return header;
}

ProxyHeader Complete(size_t size) {
  ProxyHeader header;
  header.outcome = Outcome::kComplete;
  header.size = size;
  return header;
}

// Takes what stands before the next space off `rest`. Where there is none: everything.
absl::string_view TakeWord(absl::string_view* rest) {
  size_t space = rest->find(' ');
  absl::string_view word = rest->substr(0, space);
  rest->remove_prefix(space == absl::string_view::npos ? rest->size() : space + 1);
  return word;
}

// Section 2.1: decimal, without zeros in front.
bool ParsePort(absl::string_view text, uint16_t* port) {
  uint32_t number;
  if (text.empty() || text.size() > 5 || (text[0] == '0' && text.size() > 1) ||
      !std::all_of(text.begin(), text.end(), absl::ascii_isdigit) ||
      !absl::SimpleAtoi(text, &number) || number > 65535) {
    return false;
  }
  *port = static_cast<uint16_t>(number);
  return true;
}

// Parses "TCP4 SOURCE DESTINATION SOURCE_PORT DESTINATION_PORT", what stands behind "PROXY ".
bool ParseTextAddresses(absl::string_view rest, PeerAddress* source) {
  const absl::string_view protocol = TakeWord(&rest);
  const sa_family_t family = protocol == "TCP4" ? AF_INET : AF_INET6;
  if (protocol != "TCP4" && protocol != "TCP6") return false;
  const absl::string_view from = TakeWord(&rest), to = TakeWord(&rest);
  const absl::string_view from_port = TakeWord(&rest);
  PeerAddress destination;
  uint16_t source_port, destination_port;
  if (!ParseAddress(from, source) || source->any.sa_family != family) return false;
  if (!ParseAddress(to, &destination) || destination.any.sa_family != family) return false;
  // The last word goes to the end, so that a space behind it, or another word, is no digit.
  if (!ParsePort(from_port, &source_port) || !ParsePort(rest, &destination_port)) return false;
  (family == AF_INET ? source->v4.sin_port : source->v6.sin6_port) = htons(source_port);
  return true;
}

ProxyHeader ParseText(absl::string_view bytes) {
  absl::string_view line = bytes.substr(0, kMaxText);
  size_t end = line.find_first_of("\r\n");
  if (end == absl::string_view::npos || end + 1 == line.size()) {
    bool can_end = line.size() < kMaxText && (end == absl::string_view::npos || line[end] == '\r');
    return can_end ? Partial() : Malformed();
  }
  if (line[end] != '\r' || line[end + 1] != '\n') return Malformed();
  ProxyHeader header = Complete(end + 2);
  absl::string_view rest = line.substr(kTextStart.size(), end - kTextStart.size());
  // Section 2.1: whatever stands behind it is ignored.
  if (rest == "UNKNOWN" || absl::StartsWith(rest, "UNKNOWN ")) return header;
  header.has_source = ParseTextAddresses(rest, &header.source);
  return header.has_source ? header : Malformed();
}

// Section 2.2.x: type, two bytes of length, value. They are skipped, but must fit.
bool ExtensionsFit(absl::string_view bytes) {
  while (!bytes.empty()) {
    if (bytes.size() < 3) return false;
    size_t length =
        static_cast<unsigned char>(bytes[1]) * size_t{256} + static_cast<unsigned char>(bytes[2]);
    if (bytes.size() - 3 < length) return false;
    bytes.remove_prefix(3 + length);
  }
  return true;
}

// Section 2.2, the thirteenth byte: which families there are, and how much their addresses take.
bool ReadBinaryAddresses(uint8_t family, absl::string_view bytes, ProxyHeader* header) {
  constexpr uint8_t kUnspecified = 0x00, kIpv4 = 0x11, kIpv6 = 0x21, kUnix = 0x31;
  size_t size;
  switch (family) {
    case kUnspecified:
      return true;  // nothing behind it is understood
    case kIpv4:
      size = 12;
      break;
    case kIpv6:
      size = 36;
      break;
    case kUnix:
      size = 216;
      break;
    default:
      return false;
  }
  if (bytes.size() < size || !ExtensionsFit(bytes.substr(size))) return false;
  if (family == kIpv4) {
    header->source.v4 = sockaddr_in{};
    header->source.v4.sin_family = AF_INET;
    std::memcpy(&header->source.v4.sin_addr, bytes.data(), 4);
    std::memcpy(&header->source.v4.sin_port, bytes.data() + 8, 2);
  } else if (family == kIpv6) {
    header->source.v6 = sockaddr_in6{};
    header->source.v6.sin6_family = AF_INET6;
    std::memcpy(&header->source.v6.sin6_addr, bytes.data(), 16);
    std::memcpy(&header->source.v6.sin6_port, bytes.data() + 32, 2);
  }
  header->has_source = family != kUnix;
  return true;
}

ProxyHeader ParseBinary(absl::string_view bytes) {
  constexpr uint8_t kLocal = 0x20, kProxy = 0x21;
  if (bytes.size() < kBinaryFixed) {
    bool other = bytes.size() > 12 && bytes[12] != kLocal && bytes[12] != kProxy;
    return other ? Malformed() : Partial();
  }
  const uint8_t command = static_cast<uint8_t>(bytes[12]);
  const uint8_t family = static_cast<uint8_t>(bytes[13]);
  const size_t length =
      static_cast<unsigned char>(bytes[14]) * size_t{256} + static_cast<unsigned char>(bytes[15]);
  if (command != kLocal && command != kProxy) return Malformed();
  if (kBinaryFixed + length > kMaxProxyHeader) return Malformed();
  if (bytes.size() < kBinaryFixed + length) return Partial();
  ProxyHeader header = Complete(kBinaryFixed + length);
  // LOCAL: the balancer connects for itself, to see whether we are well.
  if (command == kLocal) return header;
  return ReadBinaryAddresses(family, bytes.substr(kBinaryFixed, length), &header) ? header
                                                                                  : Malformed();
}

// Tells whether `bytes` are, as far as they go, the beginning of `start`.
bool Begins(absl::string_view bytes, absl::string_view start) {
  return absl::StartsWith(start, bytes.substr(0, start.size()));
}

}  // namespace

ProxyHeader ParseProxyHeader(absl::string_view bytes) {
  bool text = Begins(bytes, kTextStart);
  if (!text && !Begins(bytes, kBinaryStart)) return Malformed();
  if (bytes.size() < (text ? kTextStart.size() : kBinaryStart.size())) return Partial();
  return text ? ParseText(bytes) : ParseBinary(bytes);
}

}  // namespace knot
