#include "knot/request.h"

#include <gtest/gtest.h>

#include <string>

namespace knot {
namespace {

int StatusOf(const std::string& bytes) {
  RequestParser parser;
  size_t used = 0;
  return parser.ParseHead(bytes, &used);
}

TEST(RequestParser, ReadsWhatKnotActsUpon) {
  std::string bytes =
      "GET /a?b HTTP/1.1\r\nHost: h:80\r\nUser-Agent: agent\r\nReferer: from\r\nX: y\r\n\r\nnext";
  RequestParser parser;
  size_t used = 0;
  ASSERT_EQ(parser.ParseHead(bytes, &used), RequestParser::kComplete);
  EXPECT_EQ(used, bytes.size() - 4);
  EXPECT_TRUE(parser.Done());
  EXPECT_TRUE(parser.KeepAlive());
  const Request& request = parser.request();
  EXPECT_EQ(request.method, Method::kGet);
  EXPECT_TRUE(request.http11);
  EXPECT_EQ(request.line, "GET /a?b HTTP/1.1");
  EXPECT_EQ(request.target, "/a?b");
  EXPECT_EQ(request.user_agent, "agent");
  EXPECT_EQ(request.referer, "from");
}

TEST(RequestParser, AsksForMoreUntilTheEmptyLine) {
  std::string bytes = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";
  for (size_t size = 1; size < bytes.size(); ++size) {
    EXPECT_EQ(StatusOf(bytes.substr(0, size)), RequestParser::kPartial) << size;
  }
  EXPECT_EQ(StatusOf(bytes), RequestParser::kComplete);
}

TEST(RequestParser, TellsOtherVersionsFromNonsense) {
  EXPECT_EQ(StatusOf("GET / HTTP/2.0\r\nHost: h\r\n\r\n"), 505);
  EXPECT_EQ(StatusOf("GET / HTTP/0.9\r\nHost: h\r\n\r\n"), 505);
  EXPECT_EQ(StatusOf("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), 505);
  EXPECT_EQ(StatusOf("GET / HTTP/1.x\r\nHost: h\r\n\r\n"), 400);
  EXPECT_EQ(StatusOf("GET / http/1.1\r\nHost: h\r\n\r\n"), 400);
  EXPECT_EQ(StatusOf("GET / FTP/2.0\r\nHost: h\r\n\r\n"), 400);
}

// How much of the line has come must not decide.
TEST(RequestParser, TellsOtherVersionsByTheRequestLineAlone) {
  for (const char* rest : {"", "\r", "\r\n", "x", "\n", " HTTP/1.1\r\n", " HTTP/3.0"}) {
    EXPECT_EQ(StatusOf(std::string("GET / HTTP/2.0") + rest), 505) << rest;
  }
  EXPECT_EQ(StatusOf("GET / x HTTP/2.0\r\n"), 400);
  EXPECT_EQ(StatusOf("GET /\r\nX: HTTP/2.0\r\n"), 400);
}

TEST(RequestParser, RefusesFoldedFieldsWhereverTheFoldIs) {
  const std::string start = "GET / HTTP/1.1\r\nHost: h\r\n";
  for (const char* field :
       {"X: a\r\n b", "X: a\r\n\tb", "X: a\r\n ", "X:\r\n a", "X: \t\r\n\ta", "X:\r\n ",
        "X:\r\n \r\n a", "Content-Length:\r\n 5", "Transfer-Encoding:\r\n chunked"}) {
    EXPECT_EQ(StatusOf(start + field + "\r\n\r\n"), 400) << field;
    EXPECT_EQ(StatusOf(start + field + "\r\nY: z\r\n\r\n"), 400) << field;
  }
  for (const char* field : {"X:", "X: ", "X:\t ", "X:a", "X: \ta \t", "X: a b"}) {
    EXPECT_EQ(StatusOf(start + field + "\r\n\r\n"), RequestParser::kComplete) << field;
  }
}

TEST(RequestParser, RefusesFoldedTrailers) {
  RequestParser parser;
  size_t used = 0;
  ASSERT_EQ(
      parser.ParseHead("GET / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n", &used),
      RequestParser::kComplete);
  EXPECT_EQ(parser.ParseBody("0\r\nX:\r\n y\r\n\r\n", &used), 400);
}

TEST(RequestParser, SkipsABodyByItsLength) {
  std::string bytes = "GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\n";
  RequestParser parser;
  size_t used = 0;
  ASSERT_EQ(parser.ParseHead(bytes, &used), RequestParser::kComplete);
  EXPECT_FALSE(parser.Done());
  ASSERT_EQ(parser.ParseBody("ab", &used), RequestParser::kComplete);
  EXPECT_EQ(used, 2u);
  EXPECT_FALSE(parser.Done());
  ASSERT_EQ(parser.ParseBody("cdeGET", &used), RequestParser::kComplete);
  EXPECT_EQ(used, 3u);
  EXPECT_TRUE(parser.Done());
}

TEST(RequestParser, SkipsAChunkedBodyCutAnywhere) {
  const std::string head = "GET / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n";
  const std::string body = "3\r\nabc\r\n10;ext=1\r\n0123456789abcdef\r\n0\r\nTrailer: x\r\n\r\n";
  for (size_t cut = 0; cut <= body.size(); ++cut) {
    RequestParser parser;
    size_t used = 0;
    ASSERT_EQ(parser.ParseHead(head, &used), RequestParser::kComplete);
    std::string waiting = body.substr(0, cut);
    if (!waiting.empty()) {
      ASSERT_EQ(parser.ParseBody(waiting, &used), RequestParser::kComplete) << cut;
      waiting.erase(0, used);
    }
    if (!parser.Done()) {
      waiting += body.substr(cut) + "GET";
      ASSERT_EQ(parser.ParseBody(waiting, &used), RequestParser::kComplete) << cut;
      EXPECT_EQ(waiting.substr(used), "GET") << cut;
    }
    EXPECT_TRUE(parser.Done()) << cut;
  }
}

// Returns: the status of a chunked body that comes a byte at a time, kComplete while it has no end.
int StatusOfChunks(const std::string& body, bool* done) {
  RequestParser parser;
  size_t used = 0;
  EXPECT_EQ(
      parser.ParseHead("GET / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n", &used),
      RequestParser::kComplete);
  int status = RequestParser::kComplete;
  std::string waiting;
  for (size_t i = 0; i < body.size() && status == RequestParser::kComplete && !parser.Done(); ++i) {
    waiting += body[i];
    status = parser.ParseBody(waiting, &used);
    waiting.erase(0, used);
  }
  *done = parser.Done();
  return status;
}

TEST(RequestParser, TakesAnEmptyChunkedBodyByteByByte) {
  bool done = false;
  EXPECT_EQ(StatusOfChunks("0\r\n\r\n", &done), RequestParser::kComplete);
  EXPECT_TRUE(done);
  EXPECT_EQ(StatusOfChunks("1\r\na\r\n00;a=b\r\nT: x\r\n\r\n", &done), RequestParser::kComplete);
  EXPECT_TRUE(done);
}

// To another server such a line has ended, and what follows is data.
TEST(RequestParser, RefusesAChunkSizeWhoseQuoteIsOpenAtTheEndOfItsLine) {
  bool done;
  EXPECT_EQ(StatusOfChunks("5;a=\"b\r\nxxxxx", &done), 400);
  EXPECT_EQ(StatusOfChunks("1\r\na\r\n005;a=\"b\r\nxxxxx", &done), 400);
  EXPECT_EQ(StatusOfChunks("5;a=\"b\nc\"\r\nxxxxx\r\n0\r\n\r\n", &done), 400);
}

TEST(RequestParser, LimitsTheSumOfChunks) {
  RequestParser parser;
  size_t used = 0;
  ASSERT_EQ(
      parser.ParseHead("GET / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n", &used),
      RequestParser::kComplete);
  EXPECT_EQ(parser.ParseBody("fffffff\r\n", &used), 413);
}

TEST(RequestParser, KeepsTheConnectionAsTheRequestSays) {
  const struct {
    const char* version;
    const char* fields;
    bool keeps;
  } kCases[] = {
      {"1.1", "", true},
      {"1.1", "Connection: close\r\n", false},
      {"1.1", "Connection: x, CLOSE\r\n", false},
      {"1.1", "Connection: x\r\nConnection: close\r\n", false},
      {"1.1", "Connection: closed\r\n", true},
      {"1.1", "Connection: keep-alive, close\r\n", false},
      {"1.1", "Proxy-Connection: close\r\n", true},
      {"1.0", "", false},
      {"1.0", "Connection: Keep-Alive\r\n", true},
      {"1.0", "Connection: x,keep-alive ,y\r\n", true},
      {"1.0", "Connection: keep-alive\r\nConnection: close\r\n", false},
      {"1.0", "Connection: close, keep-alive\r\n", false},
      {"1.0", "Proxy-Connection: keep-alive\r\n", false},
      {"1.0", "Keep-Alive: timeout=5\r\n", false},
  };
  for (const auto& c : kCases) {
    RequestParser parser;
    size_t used = 0;
    std::string bytes =
        std::string("GET / HTTP/") + c.version + "\r\nHost: h\r\n" + c.fields + "\r\n";
    ASSERT_EQ(parser.ParseHead(bytes, &used), RequestParser::kComplete) << bytes;
    EXPECT_EQ(parser.KeepAlive(), c.keeps) << bytes;
  }
}

TEST(HeadEnd, IsFoundFromWhereTheSearchLeftOff) {
  EXPECT_EQ(FindHeadEnd("ab\r\n\r\ncd", 0), 6u);
  EXPECT_EQ(FindHeadEnd("ab\r\n\r\ncd", 2), 6u);
  EXPECT_EQ(FindHeadEnd("ab\r\n\r", 0), absl::string_view::npos);
}

TEST(HopelessHead, IsOneWithABareLineFeed) {
  EXPECT_TRUE(IsHopelessHead("GET / HTTP/1.1\nHost: h\n\n"));
  EXPECT_TRUE(IsHopelessHead("\n"));
  EXPECT_FALSE(IsHopelessHead("GET / HTTP/1.1\r\nHost"));
  EXPECT_FALSE(IsHopelessHead("GET / HTTP/1.1\r"));
}

struct TargetCase {
  const char* target;
  int status;
  const char* path;
  const char* query;
};

TEST(ParseTarget, DecodesOnceAndRefusesWhatIsAmbiguous) {
  const TargetCase cases[] = {
      {"/", 0, "", ""},
      {"/a/b.html", 0, "a/b.html", ""},
      {"/a?x=%00/..", 0, "a", "?x=%00/.."},
      {"/a%20b", 0, "a b", ""},
      {"/%61%6A%4a", 0, "ajJ", ""},
      {"/%2541", 0, "%41", ""},
      {"/%c3%a9", 0, "\xc3\xa9", ""},
      {"//a//b", 0, "a/b", ""},
      {"/./a/../b/", 0, "b/", ""},
      {"/a/..?b/../..", 0, "", "?b/../.."},
      {"/../a", 400, "", ""},
      {"/%2e%2e/a", 400, "", ""},
      {"/..", 400, "", ""},
      {"/a%2fb", 404, "", ""},
      {"/a%2Fb", 404, "", ""},
      {"/a%00b", 400, "", ""},
      {"/a%", 400, "", ""},
      {"/a%4", 400, "", ""},
      {"/a%zz", 400, "", ""},
      {"/a#b", 400, "", ""},
      {"/a?b#c", 400, "", ""},
      {"/a?b?c", 0, "a", "?b?c"},
      {"a", 400, "", ""},
      {"*", 400, "", ""},
      {"ftp://h/a", 400, "", ""},
      {"http://h/a", 0, "a", ""},
      {"HTTPS://h:1/a?b", 0, "a", "?b"},
      {"http://h", 0, "", ""},
      {"http://h?q", 0, "", "?q"},
      {"http:", 400, "", ""},
      {"http://", 400, "", ""},
      {"http:///a", 400, "", ""},
      {"http://:80/a", 400, "", ""},
      {"http://u@h/a", 400, "", ""},
      {"http://u:p@h/a", 400, "", ""},
      {"http://h:70000/a", 400, "", ""},
      {"http://[::1/a", 400, "", ""},
      {"http://h#a", 400, "", ""},
      {"http://h\\@i/a", 400, "", ""},
      {"http://[::1]:80//a", 0, "a", ""},
      {"http://h/../a", 400, "", ""},
      {"", 400, "", ""},
  };
  for (const TargetCase& c : cases) {
    SCOPED_TRACE(c.target);
    char scratch[256];
    Target target = ParseTarget(c.target, scratch);
    EXPECT_EQ(target.status, c.status);
    if (target.status != 0) continue;
    EXPECT_EQ(target.path, c.path);
    EXPECT_EQ(target.query, c.query);
  }
}

TEST(ParseTarget, KnowsTheHostOfAnAbsoluteForm) {
  char scratch[256];
  EXPECT_EQ(ParseTarget("http://Example.org:8080/a", scratch).host, "Example.org");
  EXPECT_EQ(ParseTarget("https://[::1]?a", scratch).host, "[::1]");
  EXPECT_EQ(ParseTarget("/http://h/a", scratch).host, "");
  EXPECT_TRUE(ParseTarget("http://h", scratch).server);
  for (const char* target : {"http://h/", "http://h?", "/", "/a"}) {
    EXPECT_FALSE(ParseTarget(target, scratch).server) << target;
  }
}

TEST(ParseTarget, KnowsHiddenSegments) {
  char scratch[256];
  for (const char* target :
       {"/.a", "/a/.b/c", "/%2ea", "//.a", "/a/../.b", "http://h/.a", "/..."}) {
    EXPECT_TRUE(ParseTarget(target, scratch).hidden) << target;
  }
  for (const char* target :
       {"/", "/a", "/a.b", "/.", "/./a", "/.a/../b", "/a?/.b", "/.well-known/a", "http://.h/a"}) {
    EXPECT_FALSE(ParseTarget(target, scratch).hidden) << target;
  }
}

TEST(RequestParser, TakesExpectationsApart) {
  const std::string start = "GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n";
  for (const char* value : {"100-continue", "100-Continue"}) {
    std::string bytes = start + "Expect: " + value + "\r\n\r\n";
    RequestParser parser;
    size_t used = 0;
    ASSERT_EQ(parser.ParseHead(bytes, &used), RequestParser::kComplete);
    EXPECT_TRUE(parser.request().expects_continue) << value;
  }
  EXPECT_EQ(StatusOf(start + "Expect: 100-continue, x\r\n\r\n"), 417);
  EXPECT_EQ(StatusOf(start + "Expect: x\r\n\r\n"), 417);
}

TEST(RequestParser, KnowsTheHostAndWhatIsAccepted) {
  std::string bytes = "GET / HTTP/1.1\r\nHost: [::1]:8080\r\nAccept: a/b\r\nAccept: c/d\r\n\r\n";
  RequestParser parser;
  size_t used = 0;
  ASSERT_EQ(parser.ParseHead(bytes, &used), RequestParser::kComplete);
  EXPECT_EQ(parser.request().host, "[::1]:8080");
  EXPECT_EQ(parser.request().accept, "c/d");
}

TEST(RequestParser, SkipsAnEmptyChunkedBodyCutAnywhere) {
  const std::string head = "GET / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n";
  for (const std::string& body : {std::string("0\r\n\r\n"), std::string("0\r\nT: t\r\n\r\n")}) {
    RequestParser parser;
    size_t used = 0;
    ASSERT_EQ(parser.ParseHead(head, &used), RequestParser::kComplete);
    std::string waiting;
    for (char c : body) {
      ASSERT_FALSE(parser.Done());
      waiting.push_back(c);
      ASSERT_EQ(parser.ParseBody(waiting, &used), RequestParser::kComplete);
      waiting.erase(0, used);
    }
    EXPECT_TRUE(parser.Done());
  }
}

}  // namespace
}  // namespace knot
