// Fields of replies by rule: what a rule may say, and which replies carry what.

#include "knot/header_rules.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/knot/support/client.h"
#include "tests/knot/support/server_process.h"

namespace knot {
namespace {

using namespace std::string_literals;

TEST(HeaderRules, RefuseWhatIsNoField) {  // RFC 9110, 5.1, 5.5, 5.6.2
  const struct {
    const char* name;
    std::string rule;
    const char* says;
  } kCases[] = {
      {"nothing", "", "Name: value"},
      {"no colon", "X-A", "Name: value"},
      {"no name", ": a", "no name"},
      {"a space in the name", "X A: a", "no name"},
      {"a space before the colon", "X-A : a", "no name"},
      {"a quote in the name", "\"X\": a", "no name"},
      {"a letter beyond ASCII in the name", "X-\xc3\xa4: a", "no name"},
      {"a control character in the name", "X\x01: a", "no name"},
      {"no value", "X-A:", "value"},
      {"a value of space", "X-A:  \t ", "value"},
      {"a line break", "X-A: a\r\nX-B: b", "value"},
      {"a bare line feed", "X-A: a\nb", "value"},
      {"a bare carriage return", "X-A: a\rb", "value"},
      {"a NUL", "X-A: a\0b"s, "value"},
      {"DEL", "X-A: a\x7f", "value"},
      {"a pattern without a field", "/assets/*", "Name: value"},
      {"a pattern without a name", "/assets/*: a", "Name: value"},
      {"a pattern with no value", "*.js:X-A:", "value"},
      {"the length", "Content-Length: 5", "Content-Length"},
      {"the length in another case", "content-length: 5", "Content-Length"},
      {"the framing", "Transfer-Encoding: chunked", "Transfer-Encoding"},
      {"the connection", "Connection: close", "Connection"},
      {"keeping it", "Keep-Alive: 5", "Keep-Alive"},
      {"the date", "Date: today", "Date"},
      {"the type", "/x*:Content-Type: text/html", "Content-Type"},
      {"the coding", "Content-Encoding: gzip", "Content-Encoding"},
      {"the part", "Content-Range: bytes 0-0/1", "Content-Range"},
      {"a validator", "ETag: \"a\"", "ETag"},
      {"another validator", "Last-Modified: x", "Last-Modified"},
      {"the place", "Location: /", "Location"},
      {"the challenge", "WWW-Authenticate: Basic", "WWW-Authenticate"},
      {"what varies", "Vary: *", "Vary"},
      {"what has a flag", "Cache-Control: no-store", "--cache_control"},
      {"what else has one", "X-Content-Type-Options: nosniff", "--nosniff"},
  };
  for (const auto& c : kCases) {
    SCOPED_TRACE(c.name);
    HeaderRules rules;
    absl::Status status = rules.AddField(c.rule);
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_NE(status.message().find(c.says), std::string::npos) << status;
    EXPECT_EQ(rules.FieldsOf("assets/x.js"), "");
  }
}

TEST(HeaderRules, RefuseWhatIsNoCacheControl) {
  for (const std::string& rule :
       {""s, "no-cache"s, "/a"s, "=no-cache"s, "a=no-cache"s, "/a="s, "/a= "s, "/a=no\r\nX: y"s}) {
    HeaderRules rules;
    EXPECT_FALSE(rules.AddCacheControl(rule).ok()) << rule;
  }
}

TEST(HeaderRules, AreBoundedTogether) {
  HeaderRules rules;
  const std::string half(HeaderRules::kMaxBytes / 2, 'a');
  EXPECT_TRUE(rules.AddField("X-A: " + half).ok());
  EXPECT_FALSE(rules.AddField("/x:X-B: " + half).ok());
}

TEST(HeaderRules, FindTheFieldsOfAFile) {
  HeaderRules rules;
  for (const char* rule : {"X-Every:one", "/assets/*:X-Assets:  two \t", "*.woff2:X-Font: three",
                           "X-List: a, b: \"c\" \xe2\x82\xac", "/a b/?[xy]\\*:X-Odd: four"}) {
    ASSERT_TRUE(rules.AddField(rule).ok()) << rule;
  }
  for (const char* rule :
       {"/assets/v?/*=max-age=31536000, immutable", "/assets/*=max-age=60", "*=no-cache"}) {
    ASSERT_TRUE(rules.AddCacheControl(rule).ok()) << rule;
  }
  const std::string every = "X-Every: one\r\nX-List: a, b: \"c\" \xe2\x82\xac\r\n";
  EXPECT_EQ(rules.Every(), every);
  const struct {
    const char* name;
    std::string fields;
  } kCases[] = {
      {"index.html", "Cache-Control: no-cache\r\n"},
      {"assets", "Cache-Control: no-cache\r\n"},
      {"assets/a.js", "X-Assets: two\r\nCache-Control: max-age=60\r\n"},
      {"assets/v1/deep/a.js", "X-Assets: two\r\nCache-Control: max-age=31536000, immutable\r\n"},
      {"assets/a.woff2", "X-Assets: two\r\nX-Font: three\r\nCache-Control: max-age=60\r\n"},
      {"x/assets/a.woff2", "X-Font: three\r\nCache-Control: no-cache\r\n"},
      {"a.woff2.txt", "Cache-Control: no-cache\r\n"},
      {"a b/1x*", "X-Odd: four\r\nCache-Control: no-cache\r\n"},
      {"a b/1xx", "Cache-Control: no-cache\r\n"},
  };
  for (const auto& c : kCases) EXPECT_EQ(rules.FieldsOf(c.name), every + c.fields) << c.name;
}

TEST(HeaderRules, KeepProtectedFilesFromSharedCaches) {
  HeaderRules rules;
  ASSERT_TRUE(rules.AddCacheControl("/a[1]/open*=public").ok());
  rules.AddPrivate("/a[1]");
  const std::string kPrivate = "Cache-Control: private\r\n";
  EXPECT_EQ(rules.FieldsOf("a[1]/x"), kPrivate);
  EXPECT_EQ(rules.FieldsOf("a[1]"), kPrivate);
  EXPECT_EQ(rules.FieldsOf("a[1]x"), "") << "the name goes on";
  EXPECT_EQ(rules.FieldsOf("a1/x"), "") << "a bracket means itself";
  HeaderRules all;
  all.AddPrivate("/");
  EXPECT_EQ(all.FieldsOf("x"), kPrivate);
}

}  // namespace

namespace test {
namespace {

class Headers : public KnotTest {
 protected:
  void SetUp() override {
    WriteFile(root_ / "index.html", "index");
    WriteFile(root_ / "assets/a.js", std::string(2000, 'a'));
    WriteFile(root_ / "big", Pattern(200'000));
    WriteFile(root_ / "d/index.html", "sub");
  }

  Reply Ask(const std::string& target, const std::string& fields = "",
            const std::string& method = "GET") {
    Client client(port_);
    client.Send(method + " " + target + " HTTP/1.1\r\nHost: h\r\n" + fields + "\r\n");
    return client.Read(method == "HEAD");
  }

  // Runs it to its end. Returns: what it said.
  std::string Refused(const std::vector<std::string>& arguments) {
    ServerProcess process(GetParam(), arguments);
    EXPECT_EQ(process.WaitForExit(), 2);
    return process.Error();
  }
};

TEST_P(Headers, EveryReplySaysNosniffAndNoneNamesTheServer) {
  for (const char* send : {"--send=auto", "--send=inline"}) {
    SCOPED_TRACE(send);
    Start({"--threads=8", send});
    const struct {
      const char* target;
      const char* fields;
      const char* method;
      int status;
    } kCases[] = {
        {"/", "", "GET", 200},      {"/", "", "HEAD", 200},
        {"/big", "", "GET", 200},   {"/big", "Range: bytes=0-5\r\n", "GET", 206},
        {"/none", "", "GET", 404},  {"/big", "Range: bytes=0-5,100000-100005\r\n", "GET", 206},
        {"/d", "", "GET", 301},     {"/", "If-None-Match: *\r\n", "GET", 304},
        {"/", "", "POST", 405},     {"/", "Host: h\r\n", "GET", 400},
        {"/", "", "NONSENSE", 501}, {"/big", "Range: bytes=900000-\r\n", "GET", 416},
        {"/", "", "OPTIONS", 204},  {"/", "If-Match: \"x\"\r\n", "GET", 412},
    };
    for (const auto& c : kCases) {
      SCOPED_TRACE(std::string(c.method) + " " + c.target + " " + c.fields);
      Reply reply = Ask(c.target, c.fields, c.method);
      EXPECT_EQ(reply.status, c.status);
      EXPECT_EQ(reply.fields["x-content-type-options"], "nosniff");
      EXPECT_EQ(reply.head.find("nosniff"), reply.head.rfind("nosniff")) << "said twice";
      EXPECT_EQ(reply.fields.count("server"), 0u);
      EXPECT_EQ(reply.head.find("Knot"), std::string::npos);
    }
  }
}

TEST_P(Headers, NosniffCanBeTurnedOff) {
  Start({"--threads=8", "--nosniff=false"});
  EXPECT_EQ(Ask("/").fields.count("x-content-type-options"), 0u);
  EXPECT_EQ(Ask("/none").fields.count("x-content-type-options"), 0u);
}

TEST_P(Headers, AreSentByRule) {
  for (const char* send : {"--send=auto", "--send=inline"}) {
    SCOPED_TRACE(send);
    Start({"--threads=8", send, "--compress=gzip", "--header=X-Every: 1",
           "--header=/assets/*:X-Assets: a, b", "--cache_control=*.js=max-age=60",
           "--cache_control=*.html=no-cache"});
    for (const char* fields : {"", "Accept-Encoding: gzip\r\n", "Range: bytes=1-2\r\n",
                               "If-None-Match: *\r\n", "Range: bytes=1-2,1000-1001\r\n"}) {
      SCOPED_TRACE(fields);
      Reply reply = Ask("/assets/a.js", fields);
      EXPECT_LT(reply.status, 400);
      EXPECT_EQ(reply.fields["x-every"], "1");
      EXPECT_EQ(reply.fields["x-assets"], "a, b");
      EXPECT_EQ(reply.fields["cache-control"], "max-age=60");
    }
    Reply index = Ask("/d/");
    EXPECT_EQ(index.fields["cache-control"], "no-cache") << "its name is index.html";
    EXPECT_EQ(index.fields.count("x-assets"), 0u);
    EXPECT_EQ(Ask("/big").fields.count("cache-control"), 0u);
    Reply missing = Ask("/assets/none.js");
    EXPECT_EQ(missing.status, 404);
    EXPECT_EQ(missing.fields["x-every"], "1");
    EXPECT_EQ(missing.fields.count("x-assets"), 0u);
    EXPECT_EQ(missing.fields.count("cache-control"), 0u) << "what is missing may come";
  }
}

TEST_P(Headers, RefuseAtStartWhatIsWrong) {
  const struct {
    std::vector<std::string> flags;
    const char* says;
  } kCases[] = {
      {{"--header=X-A"}, "--header=X-A: must be [GLOB:]Name: value"},
      {{"--header=X-A: 1", "--header=Date: x"}, "--header=Date: x: Knot itself writes Date"},
      {{"--cache_control=x"}, "--cache_control=x: "},
      {{"--nosniff=perhaps"}, "--nosniff=perhaps"},
  };
  for (const auto& c : kCases) {
    std::string error = Refused(c.flags);
    EXPECT_NE(error.find(c.says), std::string::npos) << error;
    EXPECT_EQ(error.find('\n'), error.size() - 1) << error;
  }
}

INSTANTIATE_FOR_BINARIES(Headers);

}  // namespace
}  // namespace test
}  // namespace knot
