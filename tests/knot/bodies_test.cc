// Bodies that nobody has a use for, and clients that wait to be asked for them (RFC 9110, 10.1.1;
// RFC 9112, 6 and 7.1).

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/knot/support/client.h"
#include "tests/knot/support/server_process.h"

namespace knot::test {
namespace {

class Bodies : public KnotTest {
 protected:
  void SetUp() override {
    WriteFile(root_ / "file.txt", "contents");
    Start({"--threads=4"});
  }
};

struct Case {
  const char* name;
  std::string request;
  int status;
  bool kept;
};

void Check(uint16_t port, const std::vector<Case>& cases) {
  for (const Case& c : cases) {
    SCOPED_TRACE(c.name);
    Client client(port);
    client.Send(c.request);
    Reply reply = client.Read(c.request.compare(0, 5, "HEAD ") == 0);
    EXPECT_EQ(reply.status, c.status) << reply.failure;
    if (c.kept) {
      EXPECT_EQ(client.Get("/file.txt").body, "contents") << "not kept, or out of step";
    } else {
      EXPECT_EQ(reply.fields["connection"], "close");
      EXPECT_TRUE(client.AtEnd()) << "still open";
    }
  }
}

std::string Repeated(const std::string& text, int times) {
  std::string all;
  while (times-- > 0) all += text;
  return all;
}

std::string With(const std::string& method, const std::string& fields,
                 const std::string& body = "") {
  return method + " /file.txt HTTP/1.1\r\nHost: h\r\n" + fields + "\r\n" + body;
}

TEST_P(Bodies, AreSkippedForEachMethodThatIsServed) {
  for (const char* method : {"GET", "HEAD", "OPTIONS"}) {
    SCOPED_TRACE(method);
    int status = method[0] == 'O' ? 204 : 200;
    Check(port_,
          {
              {"a length", With(method, "Content-Length: 5\r\n", "GET /"), status, true},
              {"chunks", With(method, "Transfer-Encoding: chunked\r\n", "3\r\nabc\r\n0\r\n\r\n"),
               status, true},
              {"a mebibyte", With(method, "Content-Length: 1048576\r\n", std::string(1 << 20, 'b')),
               status, true},
              {"a byte more", With(method, "Content-Length: 1048577\r\n"), 413, false},
              {"a mebibyte in chunks",
               With(method, "Transfer-Encoding: chunked\r\n",
                    "80000\r\n" + std::string(1 << 19, 'b') + "\r\n80000\r\n" +
                        std::string(1 << 19, 'b') + "\r\n0\r\n\r\n"),
               status, true},
              {"a byte more in chunks",
               With(method, "Transfer-Encoding: chunked\r\n",
                    "80000\r\n" + std::string(1 << 19, 'b') + "\r\n80001\r\n"),
               413, false},
          });
  }
}

// The final status comes at once, since it does not depend on the body. The client then need not
// send it, so what follows could be either the body or a request.
TEST_P(Bodies, AreNotAskedForWhereTheClientWaits) {
  const std::string expect = "Expect: 100-continue\r\n";
  Check(
      port_,
      {
          {"GET", With("GET", expect + "Content-Length: 5\r\n"), 200, false},
          {"HEAD", With("HEAD", expect + "Content-Length: 5\r\n"), 200, false},
          {"OPTIONS", With("OPTIONS", expect + "Content-Length: 5\r\n"), 204, false},
          {"POST", With("POST", expect + "Content-Length: 5\r\n"), 405, false},
          {"chunks", With("GET", expect + "Transfer-Encoding: chunked\r\n"), 200, false},
          {"the body is there", With("GET", expect + "Content-Length: 5\r\n", "GET /"), 200, false},
          {"in capitals", With("GET", "Expect: 100-Continue\r\nContent-Length: 5\r\n"), 200, false},
          {"no body", With("GET", expect), 200, true},
          {"a body of nothing", With("GET", expect + "Content-Length: 0\r\n"), 200, true},
          {"a body too large", With("GET", expect + "Content-Length: 2000000\r\n"), 413, false},
      });
}

TEST_P(Bodies, NoOtherExpectationIsMet) {
  Check(port_,
        {
            {"another", With("GET", "Expect: 200-ok\r\n"), 417, false},
            {"two", With("GET", "Expect: 100-continue, more\r\n"), 417, false},
            {"a parameter", With("GET", "Expect: 100-continue;a=b\r\n"), 417, false},
            {"with a body", With("POST", "Expect: x\r\nContent-Length: 3\r\n", "abc"), 417, false},
            {"by HEAD", With("HEAD", "Expect: x\r\n"), 417, false},
            {"none at all", With("GET", "Expect:\r\n"), 200, true},
            {"by HTTP/1.0", "GET /file.txt HTTP/1.0\r\nExpect: x\r\n\r\n", 200, false},
            {"100-continue by HTTP/1.0",
             "GET /file.txt HTTP/1.0\r\nConnection: keep-alive\r\nExpect: 100-continue\r\n"
             "Content-Length: 3\r\n\r\nabc",
             200, true},
        });
}

TEST_P(Bodies, HaveTrailersThatAreFields) {
  auto trailer = [](const std::string& lines) {
    return With("GET", "Transfer-Encoding: chunked\r\n", "1\r\nx\r\n0\r\n" + lines + "\r\n");
  };
  Check(port_,
        {
            {"none", trailer(""), 200, true},
            {"one", trailer("Expires: never\r\n"), 200, true},
            {"two", trailer("A: b\r\nC:\r\n"), 200, true},
            {"that would be refused in a head", trailer("Host: a b\r\nExpect: x\r\n"), 200, true},
            {"that would close", trailer("Connection: close\r\n"), 200, true},
            {"a length", trailer("Content-Length: 5\r\n"), 400, false},
            {"a coding", trailer("Transfer-Encoding: chunked\r\n"), 400, false},
            {"another coding", trailer("Transfer-Encoding: gzip\r\n"), 400, false},
            {"no colon", trailer("nonsense\r\n"), 400, false},
            {"no name", trailer(": a\r\n"), 400, false},
            {"a space before the colon", trailer("A : b\r\n"), 400, false},
            {"a NUL", trailer(std::string("A: \0b\r\n", 7)), 400, false},
            {"a control character", trailer("A: \x01\r\n"), 400, false},
            {"a fold", trailer("A: b\r\n c\r\n"), 400, false},
            {"a bare line feed", trailer("A: b\nC: d\r\n"), 400, false},
            {"a bare carriage return", trailer("A: b\rC: d\r\n"), 400, false},
            {"without end", trailer("A: " + std::string(20'000, 'a') + "\r\n"), 413, false},
        });
}

TEST_P(Bodies, HaveChunksThatNobodyCanReadTwoWays) {
  auto chunks = [](const std::string& body) {
    return With("GET", "Transfer-Encoding: chunked\r\n", body);
  };
  const std::string end = "0\r\n\r\n";
  Check(port_,
        {
            {"nothing", chunks(end), 200, true},
            {"zeros before the size", chunks("0001\r\nx\r\n0000\r\n\r\n"), 200, true},
            {"capitals", chunks("A\r\n0123456789\r\n" + end), 200, true},
            {"an extension", chunks("1;a\r\nx\r\n0;b=c\r\n\r\n"), 200, true},
            {"a quoted one", chunks("1;a=\"b;\\\"c\"\r\nx\r\n" + end), 200, true},
            {"a tab in a quoted one", chunks("1;a=\"\t\"\r\nx\r\n" + end), 200, true},
            {"a line feed in a quoted one", chunks("1;a=\"\n\"\r\nx\r\n" + end), 400, false},
            {"a carriage return in it", chunks("1;a=\"\r\"\r\nx\r\n" + end), 400, false},
            {"a line end in it", chunks("1;a=\"\r\n\"\r\nx\r\n" + end), 400, false},
            {"a NUL in it", chunks("1;a=\"" + std::string(1, '\0') + "\"\r\nx\r\n" + end), 400,
             false},
            {"an extension without a name", chunks("1;\r\nx\r\n" + end), 400, false},
            {"a line feed for a line end", chunks("1\nx\r\n" + end), 400, false},
            {"a line feed in an extension", chunks("1;a\nx\r\nx\r\n" + end), 400, false},
            {"a carriage return in it", chunks("1;a\rx\r\nx\r\n" + end), 400, false},
            {"a line feed behind a chunk", chunks("1\r\nx\n" + end), 400, false},
            {"nothing behind a chunk", chunks("1\r\nx" + end), 400, false},
            {"a space behind the size", chunks("1 \r\nx\r\n" + end), 400, false},
            {"a space before the size", chunks(" 1\r\nx\r\n" + end), 400, false},
            {"a sign", chunks("+1\r\nx\r\n" + end), 400, false},
            {"0x", chunks("0x1\r\nx\r\n" + end), 400, false},
            {"no size", chunks("\r\nx\r\n" + end), 400, false},
            {"extensions without end",
             chunks(Repeated("1;a=" + std::string(900, 'b') + "\r\nx\r\n", 9'300)), 413, false},
            {"chunks of a byte", chunks(Repeated("1\r\nx\r\n", 10'000) + end), 200, true},
            {"a size beyond 64 bits", chunks("10000000000000001\r\nx\r\n" + end), 400, false},
        });
}

INSTANTIATE_FOR_BINARIES(Bodies);

}  // namespace
}  // namespace knot::test
