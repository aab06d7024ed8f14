// Pages of other origins: who may read what, and what a browser that asks is told.

#include "knot/cors.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/knot/support/client.h"
#include "tests/knot/support/server_process.h"

namespace knot {
namespace {

TEST(Cors, TakesOriginsAsBrowsersWriteThem) {  // RFC 6454, 6.2
  for (const char* origin :
       {"https://example.org", "http://localhost:3000", "https://a.b-c.example:8443",
        "http://127.0.0.1:8080", "http://[::1]:8080", "https://[2001:db8::1]", "app+x://id",
        "https://xn--bcher-kva.example", "https://a.example,https://b.example"}) {
    EXPECT_TRUE(Cors::Parse(origin, "", 0).ok()) << origin;
  }
  for (const char* origin : {"",
                             "example.org",
                             "null",
                             "https://",
                             "https://example.org/",
                             "https://example.org/x",
                             "https://EXAMPLE.org",
                             "HTTPS://example.org",
                             "https://example.org:443",
                             "http://example.org:80",
                             "https://example.org:",
                             "https://example.org:0",
                             "https://example.org:65536",
                             "https://example.org:08",
                             "https://example.org:x",
                             "https://b\xc3\xbc"
                             "cher.example",
                             "https://a.example, https://b.example",
                             "https://*.example",
                             "*,https://a.example",
                             "https://a.example,",
                             "https://[::1",
                             "https://u@h",
                             "://h",
                             "https://a\r\nb"}) {
    EXPECT_FALSE(Cors::Parse(origin, "", 0).ok()) << origin;
  }
}

TEST(Cors, TakesNamesOfFields) {
  EXPECT_TRUE(Cors::Parse("*", "*", 0).ok());
  absl::StatusOr<Cors> cors = Cors::Parse("*", "X-One,  x-two", 7);
  ASSERT_TRUE(cors.ok());
  EXPECT_EQ(cors->PreflightFields("https://a.example"),
            "Access-Control-Allow-Methods: GET, HEAD, OPTIONS\r\n"
            "Access-Control-Allow-Headers: X-One, x-two\r\n"
            "Access-Control-Max-Age: 7\r\n");
  for (const char* names : {"X One", "X-One,", ",", "X-\r\nY", "X:"}) {
    EXPECT_FALSE(Cors::Parse("*", names, 0).ok()) << names;
  }
}

TEST(Cors, ComparesOriginsExactly) {
  absl::StatusOr<Cors> cors = Cors::Parse("https://a.example,http://b.example:81", "", 0);
  ASSERT_TRUE(cors.ok());
  EXPECT_EQ(cors->FieldOf("https://a.example"),
            "Access-Control-Allow-Origin: https://a.example\r\n");
  EXPECT_EQ(cors->FieldOf("http://b.example:81"),
            "Access-Control-Allow-Origin: http://b.example:81\r\n");
  for (const char* origin :
       {"", "null", "*", "http://a.example", "https://a.example.evil", "https://evil.a.example",
        "https://a.example:8443", "https://A.example", "https://a.example/", "http://b.example",
        "https://a.exampl", "xhttps://a.example"}) {
    EXPECT_EQ(cors->FieldOf(origin), "") << origin;
    EXPECT_EQ(cors->PreflightFields(origin), "") << origin;
  }
}

}  // namespace

namespace test {
namespace {

class CrossOrigin : public KnotTest {
 protected:
  void SetUp() override {
    WriteFile(root_ / "small", "small");
    WriteFile(root_ / "big", Pattern(200'000));
  }

  Reply Ask(const std::string& target, const std::string& fields,
            const std::string& method = "GET") {
    Client client(port_);
    client.Send(method + " " + target + " HTTP/1.1\r\nHost: h\r\n" + fields + "\r\n");
    Reply reply = client.Read(method == "HEAD");
    EXPECT_EQ(client.Get("/small").body, "small") << "not kept, or out of step";
    return reply;
  }

  static constexpr const char* kOrigin = "Origin: https://a.example\r\n";
  static constexpr const char* kPreflight = "Access-Control-Request-Method: GET\r\n";
};

constexpr const char* kAllow = "access-control-allow-origin";

TEST_P(CrossOrigin, IsNotAllowedUnlessTold) {
  Start({"--threads=8"});
  Reply reply = Ask("/small", kOrigin);
  EXPECT_EQ(reply.fields.count(kAllow), 0u);
  EXPECT_EQ(reply.fields.count("vary"), 0u);
  Reply preflight = Ask("/small", std::string(kOrigin) + kPreflight, "OPTIONS");
  EXPECT_EQ(preflight.fields.count(kAllow), 0u);
  EXPECT_EQ(preflight.fields.count("access-control-allow-methods"), 0u);
}

TEST_P(CrossOrigin, AllMayReadWithAStar) {
  Start({"--threads=8", "--cors=*"});
  for (const char* target : {"/small", "/big", "/none"}) {
    for (const char* fields : {"", kOrigin, "Range: bytes=0-1\r\n", "If-None-Match: *\r\n"}) {
      SCOPED_TRACE(std::string(target) + " " + fields);
      Reply reply = Ask(target, fields);
      EXPECT_EQ(reply.fields[kAllow], "*");
      EXPECT_EQ(reply.head.find("Allow-Origin"), reply.head.rfind("Allow-Origin"));
      EXPECT_EQ(reply.fields.count("vary"), 0u);
    }
  }
}

TEST_P(CrossOrigin, OnlyThoseListedMayRead) {
  for (const char* send : {"--send=auto", "--send=inline"}) {
    SCOPED_TRACE(send);
    Start({"--threads=8", send, "--cors=http://b.example:81,https://a.example"});
    for (const char* target : {"/small", "/big", "/none"}) {
      for (const char* fields : {"", "Range: bytes=0-1\r\n", "Range: bytes=0-1,3000-3001\r\n",
                                 "If-None-Match: *\r\n", "If-Match: \"x\"\r\n"}) {
        for (const char* method : {"GET", "HEAD"}) {
          SCOPED_TRACE(std::string(method) + " " + target + " " + fields);
          Reply allowed = Ask(target, std::string(fields) + kOrigin, method);
          EXPECT_EQ(allowed.fields[kAllow], "https://a.example");
          EXPECT_EQ(allowed.fields["vary"], "Origin");
          Reply other =
              Ask(target, std::string(fields) + "Origin: https://evil.example\r\n", method);
          EXPECT_EQ(other.fields.count(kAllow), 0u);
          EXPECT_EQ(other.fields["vary"], "Origin");
          EXPECT_EQ(other.status, allowed.status);
          EXPECT_EQ(other.body.size(), allowed.body.size());
          EXPECT_EQ(Ask(target, fields, method).fields["vary"], "Origin")
              << "a cache must not give it to others";
        }
      }
    }
  }
}

TEST_P(CrossOrigin, ABrowserThatAsksIsTold) {
  Start({"--threads=8", "--cors=https://a.example", "--cors_headers=X-One,X-Two",
         "--cors_max_age=7"});
  for (const char* target : {"/small", "/none"}) {
    Reply told = Ask(target, std::string(kOrigin) + kPreflight, "OPTIONS");
    EXPECT_EQ(told.status, 204);
    EXPECT_EQ(told.body, "");
    EXPECT_EQ(told.fields[kAllow], "https://a.example");
    EXPECT_EQ(told.fields["access-control-allow-methods"], "GET, HEAD, OPTIONS");
    EXPECT_EQ(told.fields["access-control-allow-headers"], "X-One, X-Two");
    EXPECT_EQ(told.fields["access-control-max-age"], "7");
    EXPECT_EQ(told.fields["vary"], "Origin");
    Reply other =
        Ask(target, std::string("Origin: https://evil.example\r\n") + kPreflight, "OPTIONS");
    EXPECT_EQ(other.status, 204);
    EXPECT_EQ(other.head.find("Access-Control"), std::string::npos);
  }
  Reply plain = Ask("/small", kOrigin, "OPTIONS");
  EXPECT_EQ(plain.fields["allow"], "GET, HEAD, OPTIONS");
  EXPECT_EQ(plain.fields[kAllow], "https://a.example");
  EXPECT_EQ(plain.fields.count("access-control-allow-methods"), 0u) << "it asked for no method";
  EXPECT_EQ(Ask("/none", kOrigin, "OPTIONS").status, 404);
}

TEST_P(CrossOrigin, TwoOriginsAreNone) {
  Start({"--threads=8", "--cors=https://a.example"});
  Client client(port_);
  client.Send("GET /small HTTP/1.1\r\nHost: h\r\n" + std::string(kOrigin) + kOrigin + "\r\n");
  EXPECT_EQ(client.Read().status, 400);
}

TEST_P(CrossOrigin, RefusesAtStartWhatIsWrong) {
  const struct {
    std::vector<std::string> flags;
    const char* says;
  } kCases[] = {
      {{"--cors=example.org"}, "--cors=example.org: "},
      {{"--cors=*", "--cors_headers=X Y"}, "--cors_headers=X Y: "},
      {{"--cors_headers=X-Y"}, "--cors_headers means nothing without --cors"},
      {{"--cors=*", "--cors_max_age=-1"}, "--cors_max_age=-1: "},
      {{"--cors=*", "--header=Access-Control-Allow-Origin: *"}, "--cors"},
  };
  for (const auto& c : kCases) {
    ServerProcess process(GetParam(), c.flags);
    EXPECT_EQ(process.WaitForExit(), 2);
    std::string error = process.Error();
    EXPECT_NE(error.find(c.says), std::string::npos) << error;
    EXPECT_EQ(error.find('\n'), error.size() - 1) << error;
  }
}

INSTANTIATE_FOR_BINARIES(CrossOrigin);

}  // namespace
}  // namespace test
}  // namespace knot
