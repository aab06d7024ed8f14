// What a client gets for each kind of request, over a real connection.

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <string>
#include <vector>

#include "tests/knot/support/client.h"
#include "tests/knot/support/server_process.h"

namespace knot::test {
namespace {

constexpr const char* kEnd = " HTTP/1.1\r\nHost: h\r\n\r\n";

class Http : public KnotTest {
 protected:
  void SetUp() override {
    outside_ = root_.path() + "_outside";
    WriteFile(outside_ + "/secret", "secret");
    WriteFile(root_ / "index.html", "index");
    WriteFile(root_ / "file.txt", "contents");
    WriteFile(root_ / "empty", "");
    WriteFile(root_ / "a b", "space");
    WriteFile(root_ / "%41", "percent");
    WriteFile(root_ / "caf\xc3\xa9", "utf8");
    WriteFile(root_ / "back\\slash", "backslash");
    WriteFile(root_ / "sub/index.html", "sub");
    WriteFile(root_ / "sub/deep/file", "deep");
    std::filesystem::create_directories(root_ / "bare");
    std::filesystem::create_directories(root_ / "\\evil");
    std::filesystem::create_symlink("file.txt", root_ / "inside");
    std::filesystem::create_symlink(outside_ + "/secret", root_ / "absolute");
    std::filesystem::create_symlink("../" + OutsideName() + "/secret", root_ / "relative");
    std::filesystem::create_symlink("../" + OutsideName(), root_ / "escape");
    std::filesystem::create_symlink("loop", root_ / "loop");
    ASSERT_EQ(mkfifo((root_ / "fifo").c_str(), 0600), 0);
    Start({"--threads=8"});
  }

  void TearDown() override { std::filesystem::remove_all(outside_); }

  std::string OutsideName() const { return std::filesystem::path(outside_).filename(); }

  std::string outside_;
};

enum After { kKept, kClosed };

struct Case {
  const char* name;
  std::string request;
  int status;
  After after;
  const char* contains = "";  // in the head or the body
};

std::string Get(const std::string& target) { return "GET " + target + kEnd; }
std::string GetWith(const std::string& fields) {
  return "GET /file.txt HTTP/1.1\r\nHost: h\r\n" + fields + "\r\n";
}

// Sends each request on a connection of its own. A kept connection must then serve another request.
void Check(uint16_t port, const std::vector<Case>& cases) {
  for (const Case& c : cases) {
    SCOPED_TRACE(c.name);
    Client client(port);
    ASSERT_TRUE(client.connected());
    client.Send(c.request);
    Reply reply = client.Read(c.request.compare(0, 5, "HEAD ") == 0);
    EXPECT_EQ(reply.status, c.status) << reply.failure;
    EXPECT_EQ(reply.failure, "");
    EXPECT_NE((reply.head + "\n" + reply.body).find(c.contains), std::string::npos)
        << "no '" << c.contains << "' in\n"
        << reply.head << reply.body;
    EXPECT_EQ(reply.body.find("secret"), std::string::npos);
    EXPECT_EQ(reply.fields.count("date"), 1u);
    if (c.after == kClosed) {
      EXPECT_TRUE(client.AtEnd()) << "still open";
    } else {
      EXPECT_EQ(client.Get("/index.html").body, "index") << "not kept, or out of step";
    }
  }
}

TEST_P(Http, ServesFiles) {
  Check(
      port_,
      {
          {"a file", Get("/file.txt"), 200, kKept, "contents"},
          {"its type", Get("/file.txt"), 200, kKept, "Content-Type: text/plain; charset=utf-8\r\n"},
          {"its length", Get("/file.txt"), 200, kKept, "Content-Length: 8\r\n"},
          {"its age", Get("/file.txt"), 200, kKept, "Last-Modified: "},
          {"an empty file", Get("/empty"), 200, kKept, "Content-Length: 0\r\n"},
          {"the root", Get("/"), 200, kKept, "index"},
          {"a directory's index", Get("/sub/"), 200, kKept, "sub"},
          {"a file below", Get("/sub/deep/file"), 200, kKept, "deep"},
          {"a query is ignored", Get("/file.txt?a=b&c=%zz"), 200, kKept, "contents"},
          {"escaped characters", Get("/a%20b"), 200, kKept, "space"},
          {"decoded once", Get("/%2541"), 200, kKept, "percent"},
          {"UTF-8", Get("/caf%C3%A9"), 200, kKept, "utf8"},
          {"a backslash is a character", Get("/back%5Cslash"), 200, kKept, "backslash"},
          {"dot segments within the root", Get("/sub/../file.txt"), 200, kKept, "contents"},
          {"repeated slashes", Get("//sub//deep///file"), 200, kKept, "deep"},
          {"a link within the root", Get("/inside"), 200, kKept, "contents"},
          {"absolute form", Get("http://h/file.txt"), 200, kKept, "contents"},
          {"absolute form without a path", Get("http://h"), 200, kKept, "index"},
          {"HEAD", std::string("HEAD /file.txt") + kEnd, 200, kKept, "Content-Length: 8\r\n"},
          {"four empty lines before it", "\r\n\r\n\r\n\r\n" + Get("/file.txt"), 200, kKept,
           "contents"},
          {"an unknown field", GetWith("X-Unheard-Of: 1\r\n"), 200, kKept, "contents"},
          {"an empty host", "GET /file.txt HTTP/1.1\r\nHost:\r\n\r\n", 200, kKept, "contents"},
          {"an IPv6 host", "GET /file.txt HTTP/1.1\r\nHost: [::1]:80\r\n\r\n", 200, kKept,
           "contents"},
      });
}

TEST_P(Http, TellsWhatItCanDo) {  // RFC 9110, 9.3.7
  const char* kAllow = "Allow: GET, HEAD, OPTIONS\r\n";
  Check(port_, {
                   {"the server", std::string("OPTIONS *") + kEnd, 204, kKept, kAllow},
                   {"a file", std::string("OPTIONS /file.txt") + kEnd, 204, kKept, kAllow},
                   {"a missing file", std::string("OPTIONS /none") + kEnd, 404, kKept},
                   {"* for GET", std::string("GET *") + kEnd, 400, kClosed},
               });
}

TEST_P(Http, RefusesWhatIsNotThereOrNotServed) {
  Check(
      port_,
      {
          {"a missing file", Get("/none"), 404, kKept, "404 Not Found"},
          {"a missing directory", Get("/none/"), 404, kKept},
          {"a missing file by HEAD", std::string("HEAD /none") + kEnd, 404, kKept},
          {"a file as a directory", Get("/file.txt/"), 404, kKept},
          {"below a file", Get("/file.txt/x"), 404, kKept},
          {"a directory without an index", Get("/bare/"), 403, kKept},
          {"a FIFO", Get("/fifo"), 403, kKept},
          {"a loop of links", Get("/loop"), 403, kKept},
          {"a name too long", Get("/" + std::string(300, 'n')), 404, kKept},
          {"an encoded slash", Get("/sub%2Fdeep"), 404, kKept},
          {"POST", std::string("POST /file.txt") + kEnd, 405, kKept,
           "Allow: GET, HEAD, OPTIONS\r\n"},
          {"PUT", std::string("PUT /file.txt") + kEnd, 405, kKept, "Allow: GET, HEAD, OPTIONS\r\n"},
          {"DELETE", std::string("DELETE /file.txt") + kEnd, 405, kKept,
           "Allow: GET, HEAD, OPTIONS\r\n"},
          {"CONNECT", std::string("CONNECT h:80") + kEnd, 405, kKept,
           "Allow: GET, HEAD, OPTIONS\r\n"},
          {"POST with a body", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc", 405,
           kClosed, "Allow: GET, HEAD, OPTIONS\r\n"},
          {"an unknown method", std::string("BREW /file.txt") + kEnd, 501, kClosed},
          {"a method in lower case", std::string("get /file.txt") + kEnd, 501, kClosed},
      });
}

TEST_P(Http, RedirectsADirectoryToItsSlashOnThisHostOnly) {
  std::filesystem::create_directories(root_ / "evil.example");
  Check(port_,
        {
            {"plain", Get("/sub"), 301, kKept, "Location: /sub/\r\n"},
            {"with a query", Get("/sub?a=b"), 301, kKept, "Location: /sub/?a=b\r\n"},
            {"with a query of any bytes", Get("/sub?a=%20<\xff\""), 301, kKept,
             "Location: /sub/?a=%20%3C%FF%22\r\n"},
            {"two slashes", Get("//evil.example"), 301, kKept, "Location: /evil.example/\r\n"},
            {"many slashes", Get("////evil.example"), 301, kKept, "Location: /evil.example/\r\n"},
            {"a backslash", Get("/%5Cevil"), 301, kKept, "Location: /%5Cevil/\r\n"},
            {"absolute form", Get("http://other/sub"), 301, kKept, "Location: /sub/\r\n"},
        });
}

TEST_P(Http, LeavesTheRootByNoRoad) {
  std::vector<Case> cases;
  std::string up = "../" + OutsideName() + "/secret";
  std::vector<std::string> targets = {
      "/" + up,
      "/sub/../" + up,
      "/./" + up,
      "//" + up,
      "/sub/deep/../../" + up,
      "/%2e%2e/" + OutsideName() + "/secret",
      "/%2E./" + OutsideName() + "/secret",
      "/.%2e/" + OutsideName() + "/secret",
      "/..%2f" + OutsideName() + "%2fsecret",
      "/%2e%2e%2f" + OutsideName() + "/secret",
      "/%252e%252e/" + OutsideName() + "/secret",
      "/..%5c" + OutsideName() + "%5csecret",
      "/..%c0%af" + OutsideName() + "/secret",
      "/../../../../../../../../etc/passwd",
      "/%2fetc/passwd",
      "/etc/passwd",
      "//etc/passwd",
      "http://h/" + up,
      "/absolute",
      "/relative",
      "/escape/secret",
      "/escape/",
      "/..",
      "/../",
      "/sub/../..",
      "/inside/../" + up,
  };
  for (const std::string& target : targets) {
    SCOPED_TRACE(target);
    Reply reply = Client(port_).Get(target);
    EXPECT_TRUE(reply.status == 400 || reply.status == 403 || reply.status == 404)
        << reply.status << reply.failure;
    EXPECT_EQ(reply.body.find("secret"), std::string::npos);
    EXPECT_EQ(reply.body.find("root:"), std::string::npos);
    EXPECT_EQ(Client(port_).Get("/file.txt").body, "contents");
  }
}

TEST_P(Http, ClosesOnRequestsThatAreNone) {
  const std::string long_name(8200, 'n');
  Check(port_,
        {
            {"nonsense", "\x16\x03\x01 nonsense\r\n\r\n", 400, kClosed},
            {"no version", "GET /file.txt\r\n\r\n", 400, kClosed},
            {"half a version", "GET / HT\r\n\r\n", 400, kClosed},
            {"a space in the target", "GET /a b HTTP/1.1\r\nHost: h\r\n\r\n", 400, kClosed},
            {"two spaces", "GET  / HTTP/1.1\r\nHost: h\r\n\r\n", 400, kClosed},
            {"bare line feeds", "GET / HTTP/1.1\nHost: h\n\n", 400, kClosed},
            {"a bare carriage return", "GET / HTTP/1.1\rHost: h\r\n\r\n", 400, kClosed},
            {"no host", "GET / HTTP/1.1\r\n\r\n", 400, kClosed},
            {"two hosts", "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400, kClosed},
            {"the same host twice", "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400, kClosed},
            {"a host with a space", "GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400, kClosed},
            {"a host with a slash", "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400, kClosed},
            {"a folded field", GetWith("X: a\r\n b\r\n"), 400, kClosed},
            {"a length in the second line", GetWith("Content-Length:\r\n 5\r\n") + "abcde", 400,
             kClosed},
            {"a refused HEAD has no body", "HEAD / HTTP/2.0\r\nHost: h\r\n\r\n", 505, kClosed},
            {"a space before the colon", GetWith("X : a\r\n"), 400, kClosed},
            {"a field without a name", GetWith(": a\r\n"), 400, kClosed},
            {"a field without a colon", GetWith("nonsense\r\n"), 400, kClosed},
            {"a NUL in a field", GetWith(std::string("X: a\0b\r\n", 8)), 400, kClosed},
            {"a relative target", Get("file.txt"), 400, kClosed},
            {"an asterisk", Get("*"), 400, kClosed},
            {"another scheme", Get("ftp://h/file.txt"), 400, kClosed},
            {"a fragment", Get("/file.txt#a"), 400, kClosed},
            {"an encoded NUL", Get("/file.txt%00.html"), 400, kClosed},
            {"a broken escape", Get("/%zz"), 400, kClosed},
            {"a cut escape", Get("/a%4"), 400, kClosed},
            {"HTTP/2.0", "GET / HTTP/2.0\r\nHost: h\r\n\r\n", 505, kClosed},
            {"the preface of HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505, kClosed},
            {"HTTP/0.9", "GET / HTTP/0.9\r\nHost: h\r\n\r\n", 505, kClosed},
            {"HTTP/1.2", "GET / HTTP/1.2\r\nHost: h\r\n\r\n", 505, kClosed},
            {"a target too long", Get("/" + std::string(5000, 'n')), 414, kClosed},
            {"a target without end", "GET /" + long_name, 414, kClosed},
            {"a field without end", GetWith("X: " + long_name + "\r\n"), 431, kClosed},
            {"fields without end", GetWith([] {
               std::string fields;
               for (int i = 0; i < 1000; ++i) fields += "X-Field-Of-Many: 1\r\n";
               return fields;
             }()),
             431, kClosed},
        });
}

TEST_P(Http, KeepsInStepOverBodies) {
  const std::string chunked = "Transfer-Encoding: chunked\r\n";
  Check(
      port_,
      {
          {"a length of zero", GetWith("Content-Length: 0\r\n"), 200, kKept, "contents"},
          {"a body", GetWith("Content-Length: 5\r\n") + "GET /", 200, kKept, "contents"},
          {"a body beyond the buffer",
           GetWith("Content-Length: 100000\r\n") + std::string(100000, 'b'), 200, kKept,
           "contents"},
          {"chunks", GetWith(chunked) + "5\r\nGET /\r\n1;e=1\r\nx\r\n0\r\nT: t\r\n\r\n", 200, kKept,
           "contents"},
          {"large chunks",
           GetWith(chunked) + "c350\r\n" + std::string(50000, 'c') + "\r\n0\r\n\r\n", 200, kKept,
           "contents"},
          {"HEAD with a body", "HEAD / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc", 200,
           kKept},
          {"too large a body", GetWith("Content-Length: 2000000\r\n"), 413, kClosed},
          {"too large a chunk", GetWith(chunked) + "fffffff\r\n", 413, kClosed},
          {"an endless chunk extension", GetWith(chunked) + "1;" + std::string(9000, 'e'), 413,
           kClosed},
          {"the client waits to be asked", GetWith("Content-Length: 5\r\nExpect: 100-continue\r\n"),
           200, kClosed, "Connection: close\r\n"},
          {"length and chunks", GetWith("Content-Length: 5\r\n" + chunked) + "0\r\n\r\n", 400,
           kClosed},
          {"chunks and length", GetWith(chunked + "Content-Length: 5\r\n") + "0\r\n\r\n", 400,
           kClosed},
          {"two lengths", GetWith("Content-Length: 5\r\nContent-Length: 6\r\n") + "abcde", 400,
           kClosed},
          {"one length twice", GetWith("Content-Length: 5\r\nContent-Length: 5\r\n") + "abcde", 400,
           kClosed},
          {"a list of lengths", GetWith("Content-Length: 5, 5\r\n") + "abcde", 400, kClosed},
          {"a negative length", GetWith("Content-Length: -1\r\n"), 400, kClosed},
          {"a signed length", GetWith("Content-Length: +5\r\n") + "abcde", 400, kClosed},
          {"a hexadecimal length", GetWith("Content-Length: 0x5\r\n") + "abcde", 400, kClosed},
          {"no length", GetWith("Content-Length:\r\n"), 400, kClosed},
          {"a length beyond 64 bits", GetWith("Content-Length: 18446744073709551617\r\n"), 400,
           kClosed},
          {"another coding", GetWith("Transfer-Encoding: gzip\r\n"), 400, kClosed},
          {"two codings", GetWith("Transfer-Encoding: gzip, chunked\r\n"), 501, kClosed},
          {"chunked twice", GetWith(chunked + chunked), 400, kClosed},
          {"a coding in HTTP/1.0", "GET / HTTP/1.0\r\n" + chunked + "\r\n0\r\n\r\n", 400, kClosed},
          {"a chunk size of no digits", GetWith(chunked) + "zz\r\n", 400, kClosed},
          {"a chunk longer than its size", GetWith(chunked) + "1\r\nabc\r\n0\r\n\r\n", 400,
           kClosed},
      });
}

TEST_P(Http, KeepsConnectionsAsEachVersionAsks) {
  Check(port_,
        {
            {"1.1", Get("/file.txt"), 200, kKept},
            {"1.1 close", GetWith("Connection: close\r\n"), 200, kClosed, "Connection: close\r\n"},
            {"1.1 close in a list", GetWith("Connection: x, Close\r\n"), 200, kClosed,
             "Connection: close\r\n"},
            {"1.1 close in a second field", GetWith("Connection: x\r\nConnection: close\r\n"), 200,
             kClosed},
            {"1.0", "GET /file.txt HTTP/1.0\r\n\r\n", 200, kClosed, "Connection: close\r\n"},
            {"1.0 keep-alive", "GET /file.txt HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", 200,
             kKept, "Connection: keep-alive\r\n"},
            {"1.0 without a file", "GET /none HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", 404,
             kKept, "Connection: keep-alive\r\n"},
        });
}

TEST_P(Http, AnswersPipelinedRequestsInOrder) {
  Client client(port_);
  std::string requests;
  for (int i = 0; i < 500; ++i) {
    requests += Get("/file.txt") + Get("/none") + "HEAD /file.txt" + kEnd + Get("/sub/");
  }
  ASSERT_TRUE(client.Send(requests));
  for (int i = 0; i < 500; ++i) {
    ASSERT_EQ(client.Read().body, "contents") << i;
    ASSERT_EQ(client.Read().status, 404) << i;
    ASSERT_EQ(client.Read(true).fields["content-length"], "8") << i;
    ASSERT_EQ(client.Read().body, "sub") << i;
  }
}

TEST_P(Http, AnswersWhatWasPipelinedBeforeABadRequest) {
  Client client(port_);
  client.Send(Get("/file.txt") + "nonsense\r\n\r\n" + Get("/file.txt"));
  EXPECT_EQ(client.Read().body, "contents");
  EXPECT_EQ(client.Read().status, 400);
  EXPECT_TRUE(client.AtEnd());
}

TEST_P(Http, TakesARequestByteByByte) {
  Client client(port_);
  for (int round = 0; round < 2; ++round) {
    for (char c : Get("/file.txt")) {
      ASSERT_TRUE(client.Send(std::string(1, c)));
      usleep(200);  // so that they come apart
    }
    EXPECT_EQ(client.Read().body, "contents");
  }
}

TEST_P(Http, TakesRequestsCutAnywhere) {
  const std::string two = Get("/file.txt") + Get("/sub/");
  for (size_t cut = 1; cut < two.size(); ++cut) {
    Client client(port_);
    client.Send(two.substr(0, cut));
    usleep(200);
    client.Send(two.substr(cut));
    ASSERT_EQ(client.Read().body, "contents") << cut;
    ASSERT_EQ(client.Read().body, "sub") << cut;
  }
}

TEST_P(Http, TakesAHeadThatJustFits) {
  std::string request = GetWith("X: \r\n");
  request.insert(request.size() - 4, 8192 - request.size(), 'x');
  Client client(port_);
  client.Send(request);
  EXPECT_EQ(client.Read().body, "contents");
  request.insert(request.size() - 4, 1, 'x');
  client.Send(request);
  EXPECT_EQ(client.Read().status, 431);
}

TEST_P(Http, SkipsABodyAfterAHeadThatJustFits) {
  for (const char* framing : {"Content-Length: 50000\r\n", "Transfer-Encoding: chunked\r\n"}) {
    std::string request = GetWith(std::string(framing) + "X: \r\n");
    request.insert(request.size() - 4, 8192 - request.size(), 'x');
    std::string body(50000, 'b');
    if (framing[0] == 'T') body = "c350\r\n" + body + "\r\n0\r\n\r\n";
    Client client(port_);
    client.Send(request + body + Get("/sub/"));
    EXPECT_EQ(client.Read().body, "contents") << framing;
    EXPECT_EQ(client.Read().body, "sub") << framing;
  }
}

TEST_P(Http, AnswersAClientThatHasFinishedSending) {
  Client client(port_);
  client.Send(Get("/file.txt"));
  client.CloseSending();
  EXPECT_EQ(client.Read().body, "contents");
  EXPECT_TRUE(client.AtEnd());
}

TEST_P(Http, SurvivesClientsThatLeaveInMidRequest) {
  for (const char* part : {"", "G", "GET / HTTP/1.1\r\n",
                           "GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\nab"}) {
    Client client(port_);
    client.Send(part);
    client.CloseSending();
    EXPECT_TRUE(client.AtEnd()) << part;
  }
  EXPECT_EQ(Client(port_).Get("/file.txt").body, "contents");
}

TEST_P(Http, LetsARefusedClientReadWhyWhileItStillSends) {
  Client client(port_);
  client.Send("GET / HTTP/9.9\r\n\r\n" + std::string(200'000, 'x'));
  EXPECT_EQ(client.Read().status, 505);
}

INSTANTIATE_FOR_BINARIES(Http);

}  // namespace
}  // namespace knot::test
