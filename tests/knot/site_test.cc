// How a host and a path become a reply: sites, dotfiles, indexes, redirects, error pages, the
// fall-back of applications, the health endpoint, media types.

#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <string>
#include <vector>

#include "tests/knot/support/client.h"
#include "tests/knot/support/server_process.h"

namespace knot::test {
namespace {

class Site : public KnotTest {
 protected:
  void SetUp() override { WriteFile(root_ / "index.html", "index"); }

  // Sends a request on a connection of its own.
  Reply Ask(const std::string& method, const std::string& target,
            const std::string& fields = "Host: h\r\n") {
    Client client(port_);
    client.Send(method + " " + target + " HTTP/1.1\r\n" + fields + "\r\n");
    Reply reply = client.Read(method == "HEAD");
    EXPECT_EQ(reply.failure, "");
    bool kept = reply.fields["connection"] != "close";
    if (kept) {
      EXPECT_NE(client.Get("/index.html").status, 0) << "not kept, or out of step";
    } else {
      EXPECT_TRUE(client.AtEnd());
    }
    return reply;
  }
  Reply Get(const std::string& target, const std::string& fields = "Host: h\r\n") {
    return Ask("GET", target, fields);
  }
  std::string Body(const std::string& host, const std::string& target = "/who") {
    return Get(target, "Host: " + host + "\r\n").body;
  }
};

// --host

TEST_P(Site, IsChosenByTheHost) {
  WriteFile(root_ / "who", "default");
  TempDirectory one, wild, deep;
  WriteFile(one / "who", "one");
  WriteFile(one / "index.html", "index of one");
  WriteFile(wild / "who", "wild");
  WriteFile(deep / "who", "deep");
  WriteFile(deep / "only", "only here");
  Start({"--threads=4", "--host=one.example,[::1]=" + one.path(), "--host=*.example=" + wild.path(),
         "--host=*.deep.example=" + deep.path()});
  EXPECT_NE(server_->Output().find(root_.path() + " and 3 by host;"), std::string::npos);
  EXPECT_EQ(Body("one.example"), "one");
  EXPECT_EQ(Body("ONE.Example:8080"), "one");
  EXPECT_EQ(Body("one.example."), "one");
  EXPECT_EQ(Body("[::1]:1"), "one");
  EXPECT_EQ(Body("two.example"), "wild");
  EXPECT_EQ(Body("a.two.example"), "wild");
  EXPECT_EQ(Body("a.deep.example"), "deep");
  EXPECT_EQ(Body("deep.example"), "wild");
  EXPECT_EQ(Body("example"), "default");
  EXPECT_EQ(Body("example.com"), "default");
  EXPECT_EQ(Body(""), "default");
  EXPECT_EQ(Body("one.example", "/"), "index of one");
  EXPECT_EQ(Body("a.deep.example", "/only"), "only here");
  EXPECT_EQ(Get("/only", "Host: one.example\r\n").status, 404);

  Client old(port_);
  old.Send("GET /who HTTP/1.0\r\n\r\n");
  EXPECT_EQ(old.Read().body, "default");
}

TEST_P(Site, IsChosenByTheTargetBeforeTheHostField) {  // RFC 9112, 3.2.2
  WriteFile(root_ / "who", "default");
  TempDirectory one, two;
  WriteFile(one / "who", "one");
  WriteFile(two / "who", "two");
  Start({"--threads=4", "--host=one.example=" + one.path(), "--host=two.example=" + two.path()});
  EXPECT_EQ(Body("two.example", "http://one.example/who"), "one");
  EXPECT_EQ(Body("two.example", "http://one.example:80/who"), "one");
  EXPECT_EQ(Body("two.example", "http://other.example/who"), "default");
  EXPECT_EQ(Body("two.example", "/who"), "two");
  EXPECT_EQ(Get("http://one.example/who", "").status, 400) << "the field must still be there";
  EXPECT_EQ(Get("http://one.example/who", "Host: a b\r\n").status, 400);
  for (const char* target :
       {"http://user@one.example/who", "http://user:pass@one.example/who", "http:///who",
        "http://:80/who", "http://one.example:99999/who", "http://[::1/who", "http://a b/who",
        "http://?q", "http:/who", "https:who"}) {
    EXPECT_EQ(Get(target).status, 400) << target;
  }
}

TEST_P(Site, HasFilesOfItsOwnInTheSharedCache) {
  TempDirectory other;
  const std::string a(200'000, 'a'), b(200'000, 'b');
  for (int i = 0; i < 20; ++i) {
    WriteFile(root_ / std::to_string(i), a);
    WriteFile(other / std::to_string(i), b);
  }
  Start({"--threads=4", "--send=cache", "--cache_mb=1", "--host=other=" + other.path()});
  for (int round = 0; round < 3; ++round) {
    for (int i = 0; i < 20; ++i) {
      std::string target = "/" + std::to_string(i);
      ASSERT_TRUE(Body("other", target) == b) << i;
      ASSERT_TRUE(Body("default", target) == a) << i;
    }
  }
}

TEST_P(Site, RefusesEveryHostThatIsNone) {
  Start({"--threads=4"});
  for (const char* host : {"a b", "a/b", "a@b", "h:x", "h:65536", ":80", "[::1", "::1", "[1.2.3.4]",
                           "%zz", "a\"b", "\xe4.example", "h:80:80"}) {
    EXPECT_EQ(Get("/", "Host: " + std::string(host) + "\r\n").status, 400) << host;
  }
  EXPECT_EQ(Get("/", "").status, 400);
  EXPECT_EQ(Get("/", "Host: a\r\nHost: a\r\n").status, 400);
  EXPECT_EQ(Get("/", "Host: a\r\nhost: b\r\n").status, 400);
  for (const char* host :
       {"", "a", "a:", "a:0", "[::1]:8080", "[v1.x]", "%41", "a_b.c~d!$&'()*+,;="}) {
    EXPECT_EQ(Get("/", "Host: " + std::string(host) + "\r\n").status, 200) << host;
  }
}

TEST_P(Site, AsteriskIsForOptionsAlone) {
  Start({"--threads=4"});
  EXPECT_EQ(Ask("OPTIONS", "*").status, 204);
  EXPECT_EQ(Ask("OPTIONS", "http://h").status, 204) << "RFC 9110, 4.2.3: the same as *";
  EXPECT_EQ(Ask("OPTIONS", "http://h/none").status, 404);
  EXPECT_EQ(Ask("GET", "*").status, 400);
  EXPECT_EQ(Ask("HEAD", "*").status, 400);
}

// Paths

TEST_P(Site, HidesDotfiles) {
  WriteFile(root_ / ".htpasswd", "secret");
  WriteFile(root_ / ".git/config", "secret");
  WriteFile(root_ / "...", "secret");
  WriteFile(root_ / "sub/.env", "secret");
  WriteFile(root_ / "sub/.well-known/x", "secret");
  WriteFile(root_ / ".well-known/acme/token", "token");
  WriteFile(root_ / ".well-known/.x", "secret");
  WriteFile(root_ / ".well-known2", "secret");
  WriteFile(root_ / "a.b/c.d", "shown");
  const std::vector<std::string> hidden = {"/.htpasswd",
                                           "/%2ehtpasswd",
                                           "/./.htpasswd",
                                           "//.htpasswd",
                                           "/sub/../.htpasswd",
                                           "/.git/config",
                                           "/.git",
                                           "/.git/",
                                           "/...",
                                           "/sub/.env",
                                           "/sub/%2Eenv",
                                           "/sub/.well-known/x",
                                           "/.well-known/.x",
                                           "/.well-known2",
                                           "http://h/.htpasswd",
                                           "/.none",
                                           "/.none/x"};
  Start({"--threads=4"});
  for (const std::string& target : hidden) EXPECT_EQ(Get(target).status, 404) << target;
  EXPECT_EQ(Get("/.well-known/acme/token").body, "token");
  EXPECT_EQ(Get("/%2ewell-known/acme/token").body, "token");
  EXPECT_EQ(Get("/.git/../a.b/c.d").body, "shown") << "the segment is not in the path";
  EXPECT_EQ(Ask("OPTIONS", "/.htpasswd").status, 404);
  Start({"--threads=4", "--dotfiles"});
  for (const char* target : {"/.htpasswd", "/%2ehtpasswd", "/.git/config", "/...", "/sub/.env",
                             "/.well-known/.x", "/.well-known2"}) {
    EXPECT_EQ(Get(target).body, "secret") << target;
  }
  EXPECT_EQ(Get("/.none").status, 404);
}

TEST_P(Site, HasOneFormOfAPath) {
  WriteFile(root_ / "sub/file", "contents");
  Start({"--threads=4"});
  for (const char* target :
       {"/sub/file", "/sub//file", "//sub/file", "/./sub/./file", "/sub/../sub/file",
        "/none/../sub/file", "/sub/file/../file", "/%73ub/file", "/sub/%2e/file",
        "/sub/x/%2e%2E/file", "http://h//sub/./file", "/sub/file?/../.."}) {
    EXPECT_EQ(Get(target).body, "contents") << target;
  }
  for (const char* target :
       {"/..", "/../", "/../sub/file", "/sub/../..", "/sub/../../sub/file", "/%2e%2e/x", "//../x",
        "http://h/../x", "/%00", "/sub%00", "/%", "/%4", "/%zz", "/a#b", "/a?b#c"}) {
    EXPECT_EQ(Get(target).status, 400) << target;
  }
  for (const char* target :
       {"/sub%2ffile", "/sub%2Ffile", "/..%2f..", "/sub/file/", "/sub/file/.", "/sub/file/x/.."}) {
    EXPECT_EQ(Get(target).status, 404) << target;
  }
}

TEST_P(Site, RedirectsToNoOtherHost) {
  for (const char* name : {"evil.example", "\\evil.example", "a b", "javascript:x", "h\xc3\xa9"}) {
    std::filesystem::create_directories(root_ / name);
  }
  std::filesystem::create_directories(root_ / "sub/evil.example");
  Start({"--threads=4"});
  const struct {
    const char* target;
    const char* location;
  } kCases[] = {
      {"/evil.example", "/evil.example/"},
      {"//evil.example", "/evil.example/"},
      {"///evil.example", "/evil.example/"},
      {"/./evil.example", "/evil.example/"},
      {"/.//evil.example", "/evil.example/"},
      {"/%2e//evil.example", "/evil.example/"},
      {"/sub/..//evil.example", "/evil.example/"},
      {"//sub/evil.example", "/sub/evil.example/"},
      {"/%5Cevil.example", "/%5Cevil.example/"},
      {"/\\evil.example", "/%5Cevil.example/"},
      {"//\\evil.example", "/%5Cevil.example/"},
      {"/a%20b", "/a%20b/"},
      {"/javascript:x", "/javascript%3Ax/"},
      {"/h%C3%A9", "/h%C3%A9/"},
      {"http://evil.example//evil.example", "/evil.example/"},
      {"/evil.example?a=//b", "/evil.example/?a=//b"},
      {"/evil.example??", "/evil.example/??"},
  };
  for (const auto& c : kCases) {
    Reply reply = Get(c.target);
    EXPECT_EQ(reply.status, 301) << c.target;
    EXPECT_EQ(reply.fields["location"], c.location) << c.target;
  }
  EXPECT_EQ(Get("//evil.example/..").body, "index");
  EXPECT_EQ(Get("//evil.example/%2e%2e").body, "index");
  EXPECT_EQ(Get("/%2Fevil.example").status, 404);
  EXPECT_EQ(Get("/%2F%2Fevil.example/..").status, 404);
  EXPECT_EQ(Get("/%0d%0aLocation:x").status, 404);
}

// --index

TEST_P(Site, SendsTheFirstIndexThereIs) {
  WriteFile(root_ / "one/index.htm", "htm");
  WriteFile(root_ / "both/index.html", "html");
  WriteFile(root_ / "both/index.htm", "htm");
  WriteFile(root_ / "other/default.txt", "other");
  std::filesystem::create_directories(root_ / "bare");
  std::filesystem::create_directories(root_ / "odd/index.html");
  Start({"--threads=4", "--index=index.html,index.htm"});
  EXPECT_EQ(Get("/both/").body, "html");
  EXPECT_EQ(Get("/one/").body, "htm");
  EXPECT_EQ(Get("/one/").fields["content-type"], "text/html; charset=utf-8");
  EXPECT_EQ(Get("/bare/").status, 403);
  EXPECT_EQ(Get("/other/").status, 403);
  EXPECT_EQ(Get("/none/").status, 404);
  EXPECT_EQ(Get("/odd/").status, 403) << "an index that is a directory";
  EXPECT_EQ(Get("/both").status, 301);
  WriteFile(root_ / "one/index.html", "html");
  std::string body = "htm";
  for (int i = 0; i < 2000 && body == "htm"; ++i, usleep(10'000)) body = Get("/one/").body;
  EXPECT_EQ(body, "html") << "an index that goes before the one there was";
  std::filesystem::remove(root_ / "one/index.html");
  for (int i = 0; i < 2000 && body == "html"; ++i, usleep(10'000)) body = Get("/one/").body;
  EXPECT_EQ(body, "htm");
  Start({"--threads=4", "--index=default.txt"});
  EXPECT_EQ(Get("/other/").body, "other");
  EXPECT_EQ(Get("/both/").status, 403);
  Start({"--threads=4", "--index=off"});
  EXPECT_EQ(Get("/both/").status, 403);
  EXPECT_EQ(Get("/none/").status, 404);
  EXPECT_EQ(Get("/both/index.html").body, "html");
}

// --error_page

TEST_P(Site, SendsPagesOfItsOwnForErrors) {
  WriteFile(root_ / "errors/404.html", "not here");
  WriteFile(root_ / "405.json", "{}");
  WriteFile(root_ / "416.txt", "");
  WriteFile(root_ / "big.html", Pattern(300'000));
  WriteFile(root_ / "file", "contents");
  std::filesystem::create_directories(root_ / "bare");
  Start({"--threads=4", "--error_page=404=/errors/404.html", "--error_page=405=/405.json",
         "--error_page=416=/416.txt", "--error_page=403=/none.html", "--error_page=501=/big.html"});
  Reply reply = Get("/none", "Host: h\r\nRange: bytes=0-0\r\nIf-None-Match: *\r\n");
  EXPECT_EQ(reply.status, 404);
  EXPECT_EQ(reply.body, "not here");
  EXPECT_EQ(reply.head.find("HTTP/1.1 404 Not Found\r\n"), 0u);
  EXPECT_EQ(reply.fields["content-type"], "text/html; charset=utf-8");
  for (const char* field : {"etag", "last-modified", "accept-ranges", "content-range"}) {
    EXPECT_EQ(reply.fields.count(field), 0u) << field;
  }
  EXPECT_EQ(Get("/.hidden").body, "not here");
  EXPECT_EQ(Get("/a%2fb").body, "not here");
  Reply head = Ask("HEAD", "/none");
  EXPECT_EQ(head.status, 404);
  EXPECT_EQ(head.fields["content-length"], "8");
  Reply post = Ask("POST", "/file");
  EXPECT_EQ(post.status, 405);
  EXPECT_EQ(post.fields["allow"], "GET, HEAD, OPTIONS");
  EXPECT_EQ(post.fields["content-type"], "application/json");
  EXPECT_EQ(post.body, "{}");
  Reply range = Get("/file", "Host: h\r\nRange: bytes=9-\r\n");
  EXPECT_EQ(range.status, 416);
  EXPECT_EQ(range.fields["content-range"], "bytes */8");
  EXPECT_EQ(range.fields["content-length"], "0");
  Reply missing = Get("/bare/");
  EXPECT_EQ(missing.status, 403);
  EXPECT_NE(missing.body.find("403 Forbidden"), std::string::npos) << "its page is missing";
  Reply unknown = Ask("BREW", "/");
  EXPECT_EQ(unknown.status, 501);
  EXPECT_TRUE(unknown.body == Pattern(300'000)) << "by sendfile";
  EXPECT_NE(Get("/", "Host: a b\r\n").body.find("400 Bad Request"), std::string::npos);
  Reply page = Get("/errors/404.html");
  EXPECT_EQ(page.status, 200) << "it is a file like others";
  EXPECT_EQ(page.fields.count("etag"), 1u);
}

// --spa

TEST_P(Site, SendsAnApplicationsPageForWhatIsNotFound) {
  WriteFile(root_ / "app.html", "application");
  WriteFile(root_ / "file", "contents");
  WriteFile(root_ / ".git/x", "secret");
  std::filesystem::create_directories(root_ / "bare");
  Start({"--threads=4", "--spa=/app.html"});
  for (const char* target : {"/none", "/users/17", "/users/", "/a.b/c", "/none?x=y.z", "/file/x"}) {
    Reply reply = Get(target);
    EXPECT_EQ(reply.status, 200) << target;
    EXPECT_EQ(reply.body, "application") << target;
    EXPECT_EQ(reply.fields["content-type"], "text/html; charset=utf-8");
  }
  for (const char* target : {"/none.js", "/users/photo.png", "/.git/none", "/.none", "/a%2fb"}) {
    EXPECT_EQ(Get(target).status, 404) << target;
  }
  EXPECT_EQ(Get("/file").body, "contents");
  EXPECT_EQ(Get("/").body, "index");
  EXPECT_EQ(Get("/bare").status, 301);
  EXPECT_EQ(Get("/bare/").status, 403);
  EXPECT_EQ(Ask("HEAD", "/users/17").fields["content-length"], "11");
  EXPECT_EQ(Ask("OPTIONS", "/users/17").status, 204);
  EXPECT_EQ(Ask("POST", "/users/17").status, 405);
  Reply reply = Get("/users/17");
  EXPECT_EQ(Get("/users/18", "Host: h\r\nIf-None-Match: " + reply.fields["etag"] + "\r\n").status,
            304);
  EXPECT_EQ(Get("/users/18", "Host: h\r\nRange: bytes=0-2\r\n").body, "app");
  Start({"--threads=4", "--spa=/none.html"});
  EXPECT_EQ(Get("/users/17").status, 404);
}

// --health

TEST_P(Site, TellsWhetherItServesWithoutAWord) {
  WriteFile(root_ / "healthz", "a file");
  Start({"--threads=4", "--stats", "--health=/healthz", "--access_log=" + (root_ / "log")});
  for (const char* target : {"/healthz", "/./healthz", "/healthz?x", "http://h/healthz"}) {
    Reply reply = Get(target);
    EXPECT_EQ(reply.status, 200) << target;
    EXPECT_EQ(reply.body, "ok\n");
    EXPECT_EQ(reply.fields["content-type"], "text/plain; charset=utf-8");
    EXPECT_EQ(reply.fields["cache-control"], "no-store");
  }
  EXPECT_EQ(Ask("HEAD", "/healthz").fields["content-length"], "3");
  EXPECT_EQ(Get("/healthz/").status, 404);
  EXPECT_EQ(Ask("POST", "/healthz").status, 405);
  server_->Signal(SIGTERM);
  ASSERT_EQ(server_->WaitForExit(), 0);
  const std::string log = ReadFile(root_ / "log");
  EXPECT_EQ(log.find("GET /healthz HTTP"), std::string::npos) << log;
  EXPECT_NE(log.find("GET /healthz/ HTTP"), std::string::npos) << log;
  EXPECT_NE(server_->Error().find(" health=5\n"), std::string::npos) << server_->Error();
  Start({"--threads=4"});
  EXPECT_EQ(Get("/healthz").body, "a file");
  EXPECT_EQ(Get("/").body, "index") << "an empty path is not that of no endpoint";
}

TEST_P(Site, SaysThatItIsNotHealthyOnceItStops) {
  WriteFile(root_ / "big", Pattern(30'000'000));
  Start({"--threads=4", "--health=/healthz"});
  Client client(port_, 16384);
  client.Send("GET /big HTTP/1.1\r\nHost: h\r\n\r\nGET /healthz HTTP/1.1\r\nHost: h\r\n\r\n");
  std::string first = client.ReadBytes(1);
  server_->Signal(SIGTERM);
  while (Client(port_).connected()) usleep(1000);  // from then on it is stopping
  std::string rest = client.ReadBytes(40'000'000);
  size_t second = rest.rfind("HTTP/1.1 503 Service Unavailable\r\n");
  ASSERT_NE(second, std::string::npos) << rest.substr(rest.size() - 300);
  EXPECT_NE(rest.find("\r\nConnection: close\r\n", second), std::string::npos);
  EXPECT_EQ(rest.substr(rest.size() - 13), "\r\n\r\nstopping\n");
  EXPECT_TRUE(client.AtEnd());
}

// --mime_types, --charset

TEST_P(Site, TakesMediaTypesFromAFileOfItsOwn) {
  TempDirectory etc;
  WriteFile(etc / "types", "# mine\ntext/x-mine\tmine own\napplication/x-page html\n");
  for (const char* name : {"a.mine", "b.OWN", "c.html", "d.css", "e.json"})
    WriteFile(root_ / name, "x");
  Start({"--threads=4", "--mime_types=" + (etc / "types"), "--charset=iso-8859-1"});
  EXPECT_EQ(Get("/a.mine").fields["content-type"], "text/x-mine; charset=iso-8859-1");
  EXPECT_EQ(Get("/b.OWN").fields["content-type"], "text/x-mine; charset=iso-8859-1");
  EXPECT_EQ(Get("/c.html").fields["content-type"], "application/x-page");
  EXPECT_EQ(Get("/d.css").fields["content-type"], "text/css; charset=iso-8859-1");
  EXPECT_EQ(Get("/e.json").fields["content-type"], "application/json");
  Start({"--threads=4", "--charset=none"});
  EXPECT_EQ(Get("/d.css").fields["content-type"], "text/css");
  EXPECT_EQ(Get("/c.html").fields["content-type"], "text/html");
}

// What is wrong at start

TEST_P(Site, RefusesFlagsThatAreWrong) {
  TempDirectory etc;
  WriteFile(etc / "types", "text/plain txt\nnonsense x\n");
  WriteFile(etc / "control", "te\x01xt/plain txt\n");
  WriteFile(etc / "large", std::string((1 << 20) + 1, '\n'));
  const struct {
    std::vector<std::string> flags;
    std::string says;
  } kCases[] = {
      {{"--host=a"}, "--host=a: must be NAME[,NAME...]=DIR"},
      {{"--host=a="}, "--host=a=: must be NAME[,NAME...]=DIR"},
      {{"--host=a:80=/tmp"}, "'a:80' is not the name of a host"},
      {{"--host=a=" + (root_ / "none")}, "cannot serve " + (root_ / "none")},
      {{"--host=a=/tmp", "--host=b,A=/"}, "a is named twice"},
      {{"--error_page=404"}, "must be STATUS=/PATH"},
      {{"--error_page=200=/a"}, "between 400 and 599"},
      {{"--error_page=404=/a/"}, "must be the path of a file"},
      {{"--error_page=404=/a", "--error_page=404=/b"}, "the status has one already"},
      {{"--spa=index.html"}, "--spa=index.html: must be the path of a file"},
      {{"--spa=/"}, "--spa=/: must be the path of a file"},
      {{"--spa=/../a"}, "must be the path of a file"},
      {{"--health="}, "--health=: must be the path of a file"},
      {{"--health=/a?b"}, "must be the path of a file"},
      {{"--index="}, "'' is not the name of a file"},
      {{"--index=a,b/c"}, "'b/c' is not the name of a file"},
      {{"--index=.."}, "'..' is not the name of a file"},
      {{"--listing=yes"}, "must be one of off, on"},
      {{"--mime_types="}, "must be a file or off"},
      {{"--mime_types=" + (etc / "none")}, "cannot read the media types in " + (etc / "none")},
      {{"--mime_types=" + etc.path()}, "cannot read the media types"},
      {{"--mime_types=" + (etc / "types")}, "types:2: 'nonsense' is no media type"},
      {{"--mime_types=" + (etc / "control")}, "control:1: 'te\\x01xt/plain' is no media type"},
      {{"--mime_types=" + (etc / "large")}, "more than 1048576 bytes"},
      {{"--charset="}, "must be the name of a character set"},
      {{"--charset=utf-8;x"}, "must be the name of a character set"},
      {{"--charset=" + std::string(41, 'a')}, "must be the name of a character set"},
  };
  for (const auto& c : kCases) {
    std::vector<std::string> arguments = c.flags;
    arguments.push_back("--listen=127.0.0.1:0");
    arguments.push_back(root_.path());
    ServerProcess process(GetParam(), arguments);
    EXPECT_EQ(process.WaitForExit(), 2) << c.says;
    const std::string error = process.Error();
    EXPECT_NE(error.find(c.says), std::string::npos) << c.says << "\n" << error;
    EXPECT_EQ(std::count(error.begin(), error.end(), '\n'), 1) << error;
  }
}

TEST_P(Site, PrintsEachValueOfARepeatedFlagOnALineOfItsOwn) {
  ServerProcess process(GetParam(), {"--print_config", "--host=a,b=/x,y", "--host=c=/z",
                                     "--error_page=404=/a", "--index=a,b", "--listing=on", "."});
  EXPECT_EQ(process.WaitForExit(), 0);
  for (const char* lines :
       {"\nhost = a,b=/x,y\nhost = c=/z\n", "\nerror_page = 404=/a\n", "\nindex = a,b\n",
        "\nlisting = on\n", "\ndotfiles = false\n", "\nspa = off\n", "\nhealth = off\n",
        "\nmime_types = off\n", "\ncharset = utf-8\n"}) {
    EXPECT_NE(process.Output().find(lines), std::string::npos) << lines << process.Output();
  }
}

INSTANTIATE_FOR_BINARIES(Site);

}  // namespace
}  // namespace knot::test
