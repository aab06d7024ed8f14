#include "knot/log_line.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <boost/property_tree/json_parser.hpp>
#include <boost/property_tree/ptree.hpp>
#include <cstdint>
#include <cstring>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

namespace knot {
namespace {

std::string Escaped(absl::string_view text) {
  std::string out;
  AppendEscaped(text, &out);
  return out;
}

std::string Json(absl::string_view text) {
  std::string out;
  AppendJsonString(text, &out);
  return out;
}

TEST(CombinedEscaping, LeavesPlainTextAlone) {
  EXPECT_EQ(Escaped("GET /a?b=c HTTP/1.1"), "GET /a?b=c HTTP/1.1");
}

TEST(CombinedEscaping, WritesADashForNothing) { EXPECT_EQ(Escaped(""), "-"); }

TEST(CombinedEscaping, EscapesWhatCouldForgeALineOrReachATerminal) {
  EXPECT_EQ(Escaped("a\"b\\c"), "a\\x22b\\x5Cc");
  EXPECT_EQ(Escaped("\r\n\t\x1b[31m"), "\\x0D\\x0A\\x09\\x1B[31m");
  EXPECT_EQ(Escaped(absl::string_view("\0\x7f\xff", 3)), "\\x00\\x7F\\xFF");
}

TEST(JsonString, IsAsciiWithWhatIsNotEscaped) {
  const std::string bad = "\\ufffd";
  for (const auto& [text, expected] : std::vector<std::pair<absl::string_view, std::string>>{
           {"", ""},
           {"GET /a?b=c", "GET /a?b=c"},
           {"a\"b\\c/", "a\\\"b\\\\c/"},
           {"\r\n\t\x1b[31m", "\\u000d\\u000a\\u0009\\u001b[31m"},
           {absl::string_view("\0\x7f", 2), "\\u0000\\u007f"},
           {"\xc3\xa9", "\\u00e9"},
           {"\xc2\x80", "\\u0080"},                 // the first of two bytes
           {"\xdf\xbf", "\\u07ff"},                 // the last of two
           {"\xe0\xa0\x80", "\\u0800"},             // the first of three
           {"\xe2\x80\xa8", "\\u2028"},             // a line's end to JavaScript
           {"\xed\x9f\xbf", "\\ud7ff"},             // the last before the halves of pairs
           {"\xee\x80\x80", "\\ue000"},             // the first after them
           {"\xef\xbf\xbf", "\\uffff"},             // the last of three
           {"\xf0\x90\x80\x80", "\\ud800\\udc00"},  // the first of four
           {"\xf0\x9f\x98\x80", "\\ud83d\\ude00"},
           {"\xf4\x8f\xbf\xbf", "\\udbff\\udfff"},       // the last of all
           {"\xf4\x90\x80\x80", bad + bad + bad + bad},  // beyond Unicode
           {"\xf5\x80\x80\x80", bad + bad + bad + bad},
           {"\xc0\xaf", bad + bad},  // longer than need be
           {"\xe0\x9f\xbf", bad + bad + bad},
           {"\xf0\x8f\xbf\xbf", bad + bad + bad + bad},
           {"\xed\xa0\x80", bad + bad + bad},  // half of a pair
           {"\xed\xbf\xbf", bad + bad + bad},
           {"\x80", bad},
           {"\xff\xfe", bad + bad},
           {"\xc3", bad},  // cut short
           {"\xe2\x80", bad + bad},
           {"\xf0\x9f\x98", bad + bad + bad},
           {"\xc3\"", bad + "\\\""},  // the quote is not swallowed
           {"\xe2\x80\"", bad + bad + "\\\""},
           {"\xf0\x9f\n", bad + bad + "\\u000a"}}) {
    EXPECT_EQ(Json(text), "\"" + expected + "\"");
  }
}

TEST(JsonString, OfEveryByteAndPairOfBytesIsAscii) {
  for (int first = 0; first < 256; ++first) {
    for (int second = 0; second < 256; ++second) {
      char text[] = {static_cast<char>(first), static_cast<char>(second)};
      for (char c : Json({text, 2})) EXPECT_TRUE(c >= 0x20 && c < 0x7f) << first << " " << second;
    }
  }
}

class Line : public testing::Test {
 protected:
  Line() {
    peer_.v4.sin_family = AF_INET;
    peer_.v4.sin_addr.s_addr = htonl(0xC0000201);
  }

  // The line as an object, each member's name and value in order.
  static std::vector<std::pair<std::string, std::string>> Members(const LogLine& line) {
    std::string text;
    AppendJson(line, {1'000'000'000, 7'654'321}, &text);
    EXPECT_EQ(text.find('\n'), text.size() - 1) << text;
    boost::property_tree::ptree tree;
    std::istringstream stream(text);
    boost::property_tree::read_json(stream, tree);
    std::vector<std::pair<std::string, std::string>> members;
    for (const auto& [name, value] : tree) members.emplace_back(name, value.data());
    return members;
  }

  PeerAddress peer_{};
};

TEST_F(Line, InJsonHasEveryMember) {
  LogLine line{peer_, "GET /a%20b?c HTTP/1.1"};
  line.status = 200;
  line.bytes = 5'000'000'000;
  line.duration_us = 1234;
  line.referer = "http://from/";
  line.user_agent = "agent \"x\"";
  line.host = "example.org:80";
  line.user = "j\xc3\xbcrgen";
  line.tls = "TLSv1.3";
  std::vector<std::pair<std::string, std::string>> expected = {{"time", "2001-09-09T01:46:40.007Z"},
                                                               {"client", "192.0.2.1"},
                                                               {"user", "j\xc3\xbcrgen"},
                                                               {"method", "GET"},
                                                               {"target", "/a%20b?c"},
                                                               {"protocol", "HTTP/1.1"},
                                                               {"status", "200"},
                                                               {"bytes", "5000000000"},
                                                               {"duration_us", "1234"},
                                                               {"referer", "http://from/"},
                                                               {"user_agent", "agent \"x\""},
                                                               {"host", "example.org:80"},
                                                               {"tls", "TLSv1.3"}};
  EXPECT_EQ(Members(line), expected);
}

TEST_F(Line, InJsonTakesAnyRequestLine) {
  struct Case {
    absl::string_view line;
    std::string method, target, protocol;
  };
  for (const Case& c : std::vector<Case>{{"", "", "", ""},
                                         {"GET", "", "GET", ""},
                                         {"GET /", "", "GET /", ""},
                                         {"GET / HTTP/1.1", "GET", "/", "HTTP/1.1"},
                                         {"GET a b c", "GET", "a b", "c"},
                                         {"  ", "", "", ""},
                                         {" / ", "", "/", ""},
                                         {"\x16\x03\x01 x \"}", "\x16\x03\x01", "x", "\"}"}}) {
    auto members = Members({peer_, c.line, 400});
    EXPECT_EQ(members[3].second, c.method) << c.line;
    EXPECT_EQ(members[4].second, c.target) << c.line;
    EXPECT_EQ(members[5].second, c.protocol) << c.line;
  }
}

TEST_F(Line, CannotBeForged) {
  // What a client may send in a request line and in fields, the line breaks it cannot included.
  const std::string evil = "x\",\"status\":200}\r\n192.0.2.9 - - [] \"\\";
  LogLine line{peer_, evil};
  line.status = 400;
  line.referer = line.user_agent = line.host = line.user = evil;
  auto members = Members(line);
  ASSERT_EQ(members.size(), 13u);
  EXPECT_EQ(members[6].second, "400");
  for (int member : {2, 9, 10, 11}) EXPECT_EQ(members[member].second, evil);
  std::string text;
  AppendCombined(line, "[date]", &text);
  EXPECT_EQ(text.find('\n'), text.size() - 1) << text;
  EXPECT_EQ(std::count(text.begin(), text.end(), '"'), 6) << text;
}

TEST_F(Line, InCombinedKeepsAUserOneWord) {
  LogLine line{peer_, "GET / HTTP/1.1", 200, 3};
  line.user = "a b \"c\"";
  std::string text;
  AppendCombined(line, "[date]", &text);
  EXPECT_EQ(text,
            "192.0.2.1 - a\\x20b\\x20\\x22c\\x22 [date] \"GET / HTTP/1.1\" 200 3 \"-\" \"-\"\n");
}

TEST_F(Line, NamesTheClient) {
  auto client = [](const PeerAddress& peer) { return Members({peer, "", 400})[1].second; };
  EXPECT_EQ(client(peer_), "192.0.2.1");
  PeerAddress v6{};
  v6.v6.sin6_family = AF_INET6;
  inet_pton(AF_INET6, "2001:db8::1", &v6.v6.sin6_addr);
  EXPECT_EQ(client(v6), "2001:db8::1");
  PeerAddress none{};
  EXPECT_EQ(client(none), "");
  std::string text;
  AppendCombined({none, "", 400}, "[date]", &text);
  EXPECT_EQ(text, "- - - [date] \"-\" 400 0 \"-\" \"-\"\n");
}

}  // namespace
}  // namespace knot
