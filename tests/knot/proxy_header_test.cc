#include "knot/proxy_header.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace knot {
namespace {

using Outcome = ProxyHeader::Outcome;

const std::string kSignature("\r\n\r\n\0\r\nQUIT\n", 12);

std::string Binary(int command, int family, const std::string& rest) {
  std::string header = kSignature;
  header.push_back(static_cast<char>(command));
  header.push_back(static_cast<char>(family));
  header.push_back(static_cast<char>(rest.size() >> 8));
  header.push_back(static_cast<char>(rest.size() & 255));
  return header + rest;
}

std::string Ipv4Addresses() {
  return std::string("\xc0\0\x02\x01\x0a\0\0\x01\x30\x39\x00\x50", 12);
}

std::string Ipv6Addresses() {
  std::string address("\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01", 16);
  return address + address + std::string("\x30\x39\x00\x50", 4);
}

std::string Extension(char type, const std::string& value) {
  std::string text(1, type);
  text.push_back(static_cast<char>(value.size() >> 8));
  text.push_back(static_cast<char>(value.size() & 255));
  return text + value;
}

std::string Source(const ProxyHeader& header) {
  if (!header.has_source) return "";
  char text[INET6_ADDRSTRLEN];
  if (header.source.any.sa_family == AF_INET) {
    inet_ntop(AF_INET, &header.source.v4.sin_addr, text, sizeof text);
    return text + (":" + std::to_string(ntohs(header.source.v4.sin_port)));
  }
  EXPECT_EQ(header.source.any.sa_family, AF_INET6);
  inet_ntop(AF_INET6, &header.source.v6.sin6_addr, text, sizeof text);
  return "[" + std::string(text) + "]:" + std::to_string(ntohs(header.source.v6.sin6_port));
}

struct Case {
  const char* name;
  std::string header;
  std::string source;  // "" where the peer is the client
};

std::vector<Case> Good() {
  return {
      {"TCP4", "PROXY TCP4 192.0.2.1 10.0.0.1 12345 80\r\n", "192.0.2.1:12345"},
      {"TCP6", "PROXY TCP6 2001:db8::1 ::1 65535 0\r\n", "[2001:db8::1]:65535"},
      {"the longest",
       "PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff "
       "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n",
       "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535"},
      {"UNKNOWN", "PROXY UNKNOWN\r\n", ""},
      {"UNKNOWN with addresses", "PROXY UNKNOWN ffff::1 ffff::2 65535 65535\r\n", ""},
      {"IPv4", Binary(0x21, 0x11, Ipv4Addresses()), "192.0.2.1:12345"},
      {"IPv6", Binary(0x21, 0x21, Ipv6Addresses()), "[2001:db8::1]:12345"},
      {"a unix socket", Binary(0x21, 0x31, std::string(216, 'x')), ""},
      {"no family", Binary(0x21, 0x00, ""), ""},
      {"no family with something", Binary(0x21, 0x00, "abcd"), ""},
      {"LOCAL", Binary(0x20, 0x00, ""), ""},
      {"LOCAL with addresses", Binary(0x20, 0x11, Ipv4Addresses()), ""},
      {"LOCAL of a family unheard of", Binary(0x20, 0x77, "abc"), ""},
      {"extensions", Binary(0x21, 0x11, Ipv4Addresses() + Extension(1, "h2") + Extension(4, "")),
       "192.0.2.1:12345"},
      {"as long as it may be",
       Binary(0x21, 0x11,
              Ipv4Addresses() + Extension(4, std::string(kMaxProxyHeader - 16 - 12 - 3, 'x'))),
       "192.0.2.1:12345"},
  };
}

TEST(ProxyHeader, NamesTheSource) {
  for (const Case& c : Good()) {
    ProxyHeader header = ParseProxyHeader(c.header);
    ASSERT_EQ(header.outcome, Outcome::kComplete) << c.name;
    EXPECT_EQ(header.size, c.header.size()) << c.name;
    EXPECT_EQ(Source(header), c.source) << c.name;
  }
}

TEST(ProxyHeader, EndsBeforeWhatFollows) {
  for (const Case& c : Good()) {
    for (const std::string& next : {std::string("GET / HTTP/1.1\r\n"), std::string("\x16\x03\x01"),
                                    std::string("\r\n"), c.header}) {
      ProxyHeader header = ParseProxyHeader(c.header + next);
      ASSERT_EQ(header.outcome, Outcome::kComplete) << c.name;
      EXPECT_EQ(header.size, c.header.size()) << c.name;
    }
  }
}

TEST(ProxyHeader, IsPartialWhereverItIsCut) {
  for (const Case& c : Good()) {
    for (size_t cut = 0; cut < c.header.size(); ++cut) {
      ASSERT_EQ(ParseProxyHeader(c.header.substr(0, cut)).outcome, Outcome::kPartial)
          << c.name << " at " << cut;
    }
  }
}

TEST(ProxyHeader, RefusesEverythingElse) {
  for (const auto& [name, bytes] : std::vector<std::pair<const char*, std::string>>{
           {"a request", "GET / HTTP/1.1\r\nHost: h\r\n\r\n"},
           {"a TLS record", "\x16\x03\x01"},
           {"a space in front", " PROXY TCP4 192.0.2.1 10.0.0.1 1 2\r\n"},
           {"lower case", "proxy TCP4 192.0.2.1 10.0.0.1 1 2\r\n"},
           {"an unknown protocol", "PROXY UDP4 192.0.2.1 10.0.0.1 1 2\r\n"},
           {"a protocol in lower case", "PROXY tcp4 192.0.2.1 10.0.0.1 1 2\r\n"},
           {"no protocol", "PROXY \r\n"},
           {"two spaces", "PROXY  TCP4 192.0.2.1 10.0.0.1 1 2\r\n"},
           {"two spaces later", "PROXY TCP4 192.0.2.1  10.0.0.1 1 2\r\n"},
           {"a space at the end", "PROXY TCP4 192.0.2.1 10.0.0.1 1 2 \r\n"},
           {"a tab", "PROXY TCP4\t192.0.2.1 10.0.0.1 1 2\r\n"},
           {"one word more", "PROXY TCP4 192.0.2.1 10.0.0.1 1 2 3\r\n"},
           {"one word less", "PROXY TCP4 192.0.2.1 10.0.0.1 1\r\n"},
           {"a bare line feed", "PROXY TCP4 192.0.2.1 10.0.0.1 1 2\n"},
           {"a bare carriage return", "PROXY TCP4 192.0.2.1 10.0.0.1 1 2\rx"},
           {"IPv6 in TCP4", "PROXY TCP4 ::1 ::1 1 2\r\n"},
           {"IPv4 in TCP6", "PROXY TCP6 192.0.2.1 10.0.0.1 1 2\r\n"},
           {"IPv4 behind IPv6", "PROXY TCP6 ::1 10.0.0.1 1 2\r\n"},
           {"an octal address", "PROXY TCP4 0300.0.2.1 10.0.0.1 1 2\r\n"},
           {"an address with a zero in front", "PROXY TCP4 192.00.2.1 10.0.0.1 1 2\r\n"},
           {"a short address", "PROXY TCP4 192.1 10.0.0.1 1 2\r\n"},
           {"a host name", "PROXY TCP4 localhost 10.0.0.1 1 2\r\n"},
           {"a zone", "PROXY TCP6 fe80::1%lo ::1 1 2\r\n"},
           {"a port above all", "PROXY TCP4 192.0.2.1 10.0.0.1 65536 2\r\n"},
           {"a port below all", "PROXY TCP4 192.0.2.1 10.0.0.1 -1 2\r\n"},
           {"a port with a zero in front", "PROXY TCP4 192.0.2.1 10.0.0.1 01 2\r\n"},
           {"a port with a sign", "PROXY TCP4 192.0.2.1 10.0.0.1 +1 2\r\n"},
           {"a port of letters", "PROXY TCP4 192.0.2.1 10.0.0.1 1 x\r\n"},
           {"no port", "PROXY TCP4 192.0.2.1 10.0.0.1 1 \r\n"},
           {"UNKNOWN and more", "PROXY UNKNOWNX\r\n"},
           {"a NUL", std::string("PROXY TCP4 192.0.2.1\0 10.0.0.1 1 2\r\n", 36)},
           {"no end within 107 bytes", "PROXY UNKNOWN " + std::string(93, 'x')},
           {"an end behind 107 bytes", "PROXY UNKNOWN " + std::string(92, 'x') + "\r\n"},
           {"a signature with a mistake", "\r\n\r\n\x01"},
           {"version 1", Binary(0x11, 0x11, Ipv4Addresses())},
           {"version 3", Binary(0x31, 0x11, Ipv4Addresses())},
           {"a command unheard of", Binary(0x22, 0x11, Ipv4Addresses())},
           {"the same before its length", Binary(0x22, 0x11, "").substr(0, 13)},
           {"a family unheard of", Binary(0x21, 0x41, Ipv4Addresses())},
           {"a transport unheard of", Binary(0x21, 0x13, Ipv4Addresses())},
           {"datagrams", Binary(0x21, 0x12, Ipv4Addresses())},
           {"a family without a transport", Binary(0x21, 0x10, Ipv4Addresses())},
           {"no room for IPv4", Binary(0x21, 0x11, Ipv4Addresses().substr(1))},
           {"no room for IPv6", Binary(0x21, 0x21, Ipv6Addresses().substr(1))},
           {"no room for unix", Binary(0x21, 0x31, std::string(215, 'x'))},
           {"half an extension", Binary(0x21, 0x11, Ipv4Addresses() + "\x01")},
           {"an extension beyond the end",
            Binary(0x21, 0x11, Ipv4Addresses() + std::string("\x01\x00\x02x", 4))},
           {"too long", Binary(0x21, 0x11, std::string(kMaxProxyHeader, 'x'))},
           {"too long, by its length",
            Binary(0x21, 0x11, std::string(kMaxProxyHeader, 'x')).substr(0, 16)},
       }) {
    EXPECT_EQ(ParseProxyHeader(bytes).outcome, Outcome::kMalformed) << name;
  }
}

// Whatever one byte is changed to, the header is not taken for longer than it is, nor its end
// missed.
TEST(ProxyHeader, WithOneByteChangedStaysWithinItsBytes) {
  for (const Case& c : Good()) {
    if (c.header.size() > 300) continue;
    for (size_t at = 0; at < c.header.size(); ++at) {
      for (int byte = 0; byte < 256; ++byte) {
        std::string changed = c.header;
        changed[at] = static_cast<char>(byte);
        ProxyHeader header = ParseProxyHeader(changed);
        if (header.outcome == Outcome::kComplete) {
          ASSERT_LE(header.size, changed.size()) << c.name << " at " << at << ": " << byte;
        }
      }
    }
  }
}

}  // namespace
}  // namespace knot
