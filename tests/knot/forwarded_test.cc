#include "knot/forwarded.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "knot/request.h"

namespace knot {
namespace {

std::string Text(const PeerAddress& address) {
  char text[INET6_ADDRSTRLEN] = "none";
  if (address.any.sa_family == AF_INET) {
    inet_ntop(AF_INET, &address.v4.sin_addr, text, sizeof text);
  } else if (address.any.sa_family == AF_INET6) {
    inet_ntop(AF_INET6, &address.v6.sin6_addr, text, sizeof text);
  }
  return text;
}

// Parses a head with these fields, sent by `peer`. Trusted is 10.0.0.0/8.
std::string ClientOf(const std::string& peer, const std::string& fields) {
  std::string head = "GET / HTTP/1.1\r\nHost: h\r\n" + fields + "\r\n";
  RequestParser parser;
  size_t used;
  EXPECT_EQ(parser.ParseHead(head, &used), RequestParser::kComplete) << fields;
  AddressSet trusted;
  std::string error;
  EXPECT_TRUE(AbslParseFlag("10.0.0.0/8", &trusted, &error));
  PeerAddress address;
  EXPECT_TRUE(ParseAddress(peer, &address));
  return Text(ClientBehind(address, parser.request().forwarded_for, trusted));
}

TEST(Forwarded, TheRightMostUntrustedAddressIsTheClients) {
  struct Case {
    const char* name;
    const char* peer;
    const char* fields;
    const char* client;
  };
  for (const Case& c : std::vector<Case>{
           {"none", "10.0.0.1", "", "10.0.0.1"},
           {"one", "10.0.0.1", "X-Forwarded-For: 192.0.2.1\r\n", "192.0.2.1"},
           {"whatever the case of the name", "10.0.0.1", "x-FORWARDED-for: 192.0.2.1\r\n",
            "192.0.2.1"},
           {"the peer is not trusted", "192.0.2.9", "X-Forwarded-For: 192.0.2.1\r\n", "192.0.2.9"},
           {"what the client made up stands to the left", "10.0.0.1",
            "X-Forwarded-For: 203.0.113.1, 192.0.2.1\r\n", "192.0.2.1"},
           {"proxies are passed over", "10.0.0.1",
            "X-Forwarded-For: 203.0.113.1, 192.0.2.1,10.0.0.2 ,\t10.0.0.3\r\n", "192.0.2.1"},
           {"all are trusted", "10.0.0.1", "X-Forwarded-For: 10.0.0.9, 10.0.0.8\r\n", "10.0.0.9"},
           {"the last of several fields counts", "10.0.0.1",
            "X-Forwarded-For: 203.0.113.1\r\nX-Forwarded-For: 192.0.2.1\r\n", "192.0.2.1"},
           {"the one before where all of it is trusted", "10.0.0.1",
            "X-Forwarded-For: 203.0.113.1, 192.0.2.1\r\nAccept: */*\r\nX-Forwarded-For: "
            "10.0.0.2\r\n",
            "192.0.2.1"},
           {"other fields between them are not theirs", "10.0.0.1",
            "X-Forwarded-For: 192.0.2.1\r\nX-Forwarded-Host: 203.0.113.1\r\nX-Forwarded-Foo: "
            "203.0.113.2\r\nX-Forwarded-For: 10.0.0.2\r\n",
            "192.0.2.1"},
           {"with a port", "10.0.0.1", "X-Forwarded-For: 192.0.2.1:8080\r\n", "192.0.2.1"},
           {"IPv6", "10.0.0.1", "X-Forwarded-For: 2001:db8::1\r\n", "2001:db8::1"},
           {"IPv6 in brackets", "10.0.0.1", "X-Forwarded-For: [2001:db8::1]\r\n", "2001:db8::1"},
           {"IPv6 with a port", "10.0.0.1", "X-Forwarded-For: [2001:db8::1]:443\r\n",
            "2001:db8::1"},
           {"unknown", "10.0.0.1", "X-Forwarded-For: unknown\r\n", "10.0.0.1"},
           {"nothing behind unknown counts", "10.0.0.1",
            "X-Forwarded-For: 203.0.113.1, unknown, 10.0.0.2\r\n", "10.0.0.2"},
           {"an empty element", "10.0.0.1", "X-Forwarded-For: 203.0.113.1,, 10.0.0.2\r\n",
            "10.0.0.2"},
           {"an empty value", "10.0.0.1", "X-Forwarded-For:\r\n", "10.0.0.1"},
           {"a comma", "10.0.0.1", "X-Forwarded-For: ,\r\n", "10.0.0.1"},
           {"IPv4 in brackets", "10.0.0.1", "X-Forwarded-For: [192.0.2.1]\r\n", "10.0.0.1"},
           {"an open bracket", "10.0.0.1", "X-Forwarded-For: [2001:db8::1\r\n", "10.0.0.1"},
           {"too long for an address", "10.0.0.1",
            "X-Forwarded-For: 1111111111111111111111111111111111111111111111111111111\r\n",
            "10.0.0.1"},
       }) {
    EXPECT_EQ(ClientOf(c.peer, c.fields), c.client) << c.name;
  }
}

}  // namespace
}  // namespace knot
