// Names and passwords: their file, what checking them costs, and who gets in.

#include <crypt.h>
#include <dlfcn.h>
#include <gtest/gtest.h>
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "knot/auth_rule.h"
#include "knot/basic_auth.h"
#include "knot/credentials.h"
#include "knot/password_checker.h"
#include "knot/password_file.h"
#include "knot/server.h"
#include "tests/knot/support/client.h"
#include "tests/knot/support/server_process.h"

namespace {
std::atomic<int> threads_made{0};
}

extern "C" int pthread_create(pthread_t* thread, const pthread_attr_t* attributes,
                              void* (*body)(void*), void* argument) noexcept {
  using Create = decltype(&pthread_create);
  static const auto create = reinterpret_cast<Create>(dlsym(RTLD_NEXT, "pthread_create"));
  ++threads_made;
  return create(thread, attributes, body, argument);
}

namespace knot {
namespace {

using namespace std::string_literals;

// A hash as htpasswd would make it, by default as cheap as bcrypt goes.
std::string Hash(const std::string& password, const char* method = "$2y$", unsigned long cost = 4) {
  char setting[CRYPT_GENSALT_OUTPUT_SIZE];
  EXPECT_NE(crypt_gensalt_rn(method, cost, nullptr, 0, setting, sizeof setting), nullptr) << method;
  auto data = std::make_unique<crypt_data>();
  std::string hash = crypt_r(password.c_str(), setting, data.get());
  EXPECT_NE(hash[0], '*');
  return hash;
}

std::string Basic(const std::string& text) {
  return absl::StrCat("Basic ", absl::Base64Escape(text));
}

TEST(Users, AreReadFromAFile) {
  const std::string bcrypt = Hash("a"), sha512 = Hash("b", "$6$", 1000);
  absl::StatusOr<Users> users = Users::Parse(
      absl::StrCat("# users\n\nbob:", bcrypt, "\r\nal ice:", sha512,
                   ":a remark\n"
                   "\xc3\xa4:",
                   bcrypt, "\nz:", Hash("c", "$y$", 1), "\n-:", Hash("d", "$5$", 1000)));
  ASSERT_TRUE(users.ok()) << users.status();
  EXPECT_EQ(users->size(), 5u);
  ASSERT_NE(users->HashOf("bob"), nullptr);
  EXPECT_EQ(*users->HashOf("bob"), bcrypt);
  ASSERT_NE(users->HashOf("al ice"), nullptr);
  EXPECT_EQ(*users->HashOf("al ice"), sha512);
  EXPECT_NE(users->HashOf("\xc3\xa4"), nullptr);
  for (const char* name : {"", "bo", "bobb", "Bob", "alice", "zz"}) {
    EXPECT_EQ(users->HashOf(name), nullptr) << name;
  }
  EXPECT_NE(users->Decoy(0), nullptr);
  EXPECT_NE(users->Decoy(~uint64_t{0}), nullptr);
}

TEST(Users, MayBeNone) {
  absl::StatusOr<Users> users = Users::Parse("# nobody\n");
  ASSERT_TRUE(users.ok());
  EXPECT_EQ(users->size(), 0u);
  EXPECT_EQ(users->Decoy(5), nullptr);
}

TEST(Users, AreRefusedByLine) {
  const std::string good = Hash("a");
  const struct {
    const char* name;
    std::string line;
    const char* says;
  } kCases[] = {
      {"no colon", "bob", "user:hash"},
      {"no name", ":" + good, "user:hash"},
      {"a control character", "b\tb:" + good, "user:hash"},
      {"a long name", std::string(256, 'b') + ":" + good, "user:hash"},
      {"no hash", "bob:", "htpasswd -B"},
      {"a plain password", "bob:secret", "htpasswd -B"},
      {"one like a DES hash", "bob:rqXexS6ZhobKA", "htpasswd -B"},
      {"Apache's MD5", "bob:$apr1$mEpfqQ2X$yTvSwLZ.KUHBN3ADIbIHk1", "htpasswd -B"},
      {"SHA-1", "bob:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=", "htpasswd -B"},
      {"salted SHA-1", "bob:{SSHA}x", "htpasswd -B"},
      {"MD5", "bob:$1$saltsalt$qjXMvbEw8oaL.CzflDtaK/", "htpasswd -B"},
      {"an unknown method", "bob:$zz$salt$hash", "htpasswd -B"},
      {"half a hash", "bob:" + good.substr(0, 40), "cut short"},
      {"a salt alone", "bob:$6$saltsalt$", "cut short"},
      {"locked", "bob:!", "htpasswd -B"},
      {"locked otherwise", "bob:*", "htpasswd -B"},
  };
  for (const auto& c : kCases) {
    SCOPED_TRACE(c.name);
    absl::StatusOr<Users> users = Users::Parse("# one\nal:" + good + "\n" + c.line + "\n");
    ASSERT_FALSE(users.ok());
    EXPECT_EQ(users.status().message().find("line 3: "), 0u) << users.status();
    EXPECT_NE(users.status().message().find(c.says), std::string::npos) << users.status();
  }
  EXPECT_FALSE(Users::Parse("bob:" + good + "\nbob:" + good).ok()) << "there twice";
}

TEST(Basic, IsTakenApart) {  // RFC 7617, 2
  const struct {
    std::string value, user, password;
  } kGood[] = {
      {Basic("Aladdin:open sesame"), "Aladdin", "open sesame"},
      {"bAsIc QWxhZGRpbjpvcGVuIHNlc2FtZQ==", "Aladdin", "open sesame"},
      {"Basic   QWxhZGRpbjpvcGVuIHNlc2FtZQ== ", "Aladdin", "open sesame"},
      {Basic("a:b:c"), "a", "b:c"},
      {Basic(":"), "", ""},
      {Basic("test:123\xc2\xa3"), "test", "123\xc2\xa3"},
      {Basic("a:" + std::string(511, 'x')), "a", std::string(511, 'x')},
  };
  for (const auto& c : kGood) {
    Credentials credentials;
    EXPECT_TRUE(ParseBasic(c.value, &credentials)) << c.value;
    EXPECT_EQ(credentials.user, c.user);
    EXPECT_EQ(credentials.password, c.password);
  }
  for (const std::string& value :
       {""s, "Basic"s, "Basic "s, "Basic a:b"s, "Bearer abc"s, "Basicx QTpi"s, Basic("nocolon"),
        Basic("a:b\n"), Basic("a\0:b"s), Basic("a:b\x7f"), "Basic QTpi!"s,
        Basic("a:" + std::string(512, 'x')), Basic(std::string(4000, 'x') + ":y")}) {
    Credentials credentials;
    EXPECT_FALSE(ParseBasic(value, &credentials)) << value;
  }
}

TEST(VerifiedCredentials, CountForAWhile) {  // V2
  VerifiedCredentials verified;
  VerifiedCredentials::Digest digest = verified.DigestOf({"a", "b"}, "hash");
  EXPECT_FALSE(verified.Has(digest, 10));
  verified.Add(digest, 10);
  EXPECT_TRUE(verified.Has(digest, 10));
  EXPECT_TRUE(verified.Has(digest, 9)) << "by a thread that read the clock before";
  EXPECT_TRUE(verified.Has(digest, 10 + VerifiedCredentials::kSeconds - 1));
  EXPECT_FALSE(verified.Has(digest, 10 + VerifiedCredentials::kSeconds));
  verified.Add(digest, 1000);
  EXPECT_TRUE(verified.Has(digest, 1001)) << "verified again";
}

TEST(VerifiedCredentials, AreToldApart) {
  VerifiedCredentials verified, other;
  std::set<VerifiedCredentials::Digest> digests;
  for (const auto& [user, password, hash] :
       std::vector<std::tuple<std::string, std::string, std::string>>{
           {"a", "b", "h"}, {"ab", "", "h"}, {"", "ab", "h"}, {"a", "b", "H"}, {"b", "a", "h"}}) {
    digests.insert(verified.DigestOf({user, password}, hash));
  }
  EXPECT_EQ(digests.size(), 5u);
  EXPECT_EQ(verified.DigestOf({"a", "b"}, "h"), verified.DigestOf({"a", "b"}, "h"));
  EXPECT_NE(verified.DigestOf({"a", "b"}, "h"), other.DigestOf({"a", "b"}, "h"))
      << "the key is not its own";
}

TEST(VerifiedCredentials, AreBounded) {  // V1
  VerifiedCredentials verified;
  auto digest = [&](size_t i) { return verified.DigestOf({std::to_string(i), ""}, ""); };
  const size_t kMost = VerifiedCredentials::kMost;
  for (size_t i = 0; i < 2 * kMost; ++i) verified.Add(digest(i), 1);
  EXPECT_EQ(verified.size(), kMost);
  EXPECT_FALSE(verified.Has(digest(kMost - 1), 1));
  EXPECT_TRUE(verified.Has(digest(kMost), 1));
  EXPECT_TRUE(verified.Has(digest(2 * kMost - 1), 1));
}

TEST(PasswordChecker, KnowsTheRightPassword) {
  absl::StatusOr<std::unique_ptr<PasswordChecker>> checker = PasswordChecker::Start();
  ASSERT_TRUE(checker.ok());
  PasswordChecker::Turn turn(**checker);
  ASSERT_TRUE(turn.given());
  const struct {
    const char* method;
    unsigned long cost;
  } kMethods[] = {{"$2y$", 4}, {"$2b$", 4}, {"$5$", 1000}, {"$6$", 1000}, {"$y$", 1}, {"$7$", 6}};
  for (const auto& c : kMethods) {
    SCOPED_TRACE(c.method);
    const std::string hash = Hash("open sesame", c.method, c.cost);
    EXPECT_TRUE(Users::Parse("u:" + hash).ok()) << hash;
    EXPECT_TRUE(turn.Check("open sesame", hash));
    for (const char* wrong : {"", "open sesam", "open sesame ", "Open sesame"}) {
      EXPECT_FALSE(turn.Check(wrong, hash)) << wrong;
    }
  }
  for (const char* no_hash : {"", "*", "*0", "*1", "secret", "$2y$04$short", "$6$saltsalt"}) {
    EXPECT_FALSE(turn.Check("secret", no_hash)) << no_hash;
  }
}

TEST(PasswordChecker, LetsNoMoreThanSoManyWait) {  // K2
  absl::StatusOr<std::unique_ptr<PasswordChecker>> checker = PasswordChecker::Start();
  ASSERT_TRUE(checker.ok());
  auto first = std::make_unique<PasswordChecker::Turn>(**checker);
  constexpr int kMore = 10;
  std::atomic<int> given{0}, refused{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < PasswordChecker::kMostWaiting + kMore; ++i) {
    threads.emplace_back([&] {
      PasswordChecker::Turn turn(**checker);
      (turn.given() ? given : refused).fetch_add(1);
    });
  }
  for (int i = 0; i < 6000 && refused.load() < kMore; ++i) usleep(10'000);
  EXPECT_EQ(refused.load(), kMore);
  EXPECT_EQ(given.load(), 0) << "two had their turn at once";
  first.reset();
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(given.load(), PasswordChecker::kMostWaiting);
}

TEST(AuthRule, NamesAPathAndAFile) {
  const struct {
    const char* text;
    const char* prefix;
    const char* file;
  } kGood[] = {{"/=f", "/", "f"},
               {"/a=f", "/a", "f"},
               {"/a/b c/=/etc/f=g", "/a/b c", "/etc/f=g"},
               {"/...=f", "/...", "f"}};
  for (const auto& c : kGood) {
    absl::StatusOr<AuthRule> rule = ParseAuthRule(c.text);
    ASSERT_TRUE(rule.ok()) << c.text;
    EXPECT_EQ(rule->prefix, c.prefix);
    EXPECT_EQ(rule->file, c.file);
  }
  for (const char* text :
       {"", "/a", "/a=", "a=f", "=f", "//=f", "/a//b=f", "/a/../b=f", "/.=f", "/a//=f"}) {
    EXPECT_FALSE(ParseAuthRule(text).ok()) << text;
  }
}

TEST(AuthRule, IsMatchedWithPlainPathsOnly) {
  for (const char* path : {"", "a", "a/", "a/b", "a/b/", ".a", "a./b", "..a/b"}) {
    EXPECT_TRUE(IsPlainPath(path)) << path;
  }
  for (const char* path : {"/", "/a", "a//", "a//b", ".", "./a", "a/.", "a/./b", "..", "../a",
                           "a/..", "a/../b", "a/../"}) {
    EXPECT_FALSE(IsPlainPath(path)) << path;
  }
}

class BasicAuthTest : public testing::Test {
 protected:
  void Begin(const std::vector<std::pair<std::string, std::string>>& rules) {
    std::vector<AuthRule> list;
    for (const auto& [prefix, file] : rules) list.push_back({prefix, directory_ / file});
    absl::StatusOr<std::unique_ptr<BasicAuth>> auth = BasicAuth::Read(list, "a realm");
    ASSERT_TRUE(auth.ok()) << auth.status();
    auth_ = *std::move(auth);
    ASSERT_TRUE(auth_->Start().ok());
  }

  bool Passes(const std::string& path, const std::string& credentials) {
    std::string value = credentials.empty() ? "" : Basic(credentials);
    BasicAuth::Verdict verdict = auth_->Judge(path, value, now_);
    return verdict == BasicAuth::Verdict::kPass || verdict == BasicAuth::Verdict::kOpen;
  }

  test::TempDirectory directory_;
  std::unique_ptr<BasicAuth> auth_;
  uint32_t now_ = 1;
};

TEST_F(BasicAuthTest, GoesByTheLongestPrefix) {
  test::WriteFile(directory_ / "one", "ann:" + Hash("1"));
  test::WriteFile(directory_ / "two", "bob:" + Hash("2"));
  Begin({{"/a", "one"}, {"/a/b", "two"}, {"/c d", "one"}});
  const struct {
    const char* path;
    bool anybody, ann, bob;
  } kCases[] = {
      {"", true, true, true},       {"x", true, true, true},         {"ab", true, true, true},
      {"x/a", true, true, true},    {"a", false, true, false},       {"a/", false, true, false},
      {"a/x", false, true, false},  {"a/bc", false, true, false},    {"a/b", false, false, true},
      {"a/b/", false, false, true}, {"a/b/c/d", false, false, true}, {"c d/x", false, true, false},
      {"A/x", true, true, true},
  };
  for (const auto& c : kCases) {
    SCOPED_TRACE(c.path);
    EXPECT_EQ(Passes(c.path, ""), c.anybody);
    EXPECT_EQ(Passes(c.path, "ann:1"), c.ann);
    EXPECT_EQ(Passes(c.path, "bob:2"), c.bob);
  }
  EXPECT_EQ(auth_->challenge(), "WWW-Authenticate: Basic realm=\"a realm\", charset=\"UTF-8\"\r\n");
}

TEST_F(BasicAuthTest, ProtectsEverythingBelowTheRoot) {
  test::WriteFile(directory_ / "one", "ann:" + Hash("1"));
  Begin({{"/", "one"}});
  for (const char* path : {"", "x", "x/y"}) {
    EXPECT_FALSE(Passes(path, "")) << path;
    EXPECT_TRUE(Passes(path, "ann:1")) << path;
  }
}

TEST_F(BasicAuthTest, ComputesAHashOncePerPasswordAndOnceForEachMistake) {
  test::WriteFile(directory_ / "one", "ann:" + Hash("1") + "\nbob:" + Hash("2"));
  Begin({{"/a", "one"}});
  for (int i = 0; i < 50; ++i) EXPECT_TRUE(Passes("a/" + std::to_string(i), "ann:1"));
  EXPECT_EQ(auth_->computed(), 1u);
  for (int i = 0; i < 3; ++i) EXPECT_FALSE(Passes("a", "ann:2"));
  EXPECT_EQ(auth_->computed(), 4u) << "a mistake is not remembered";
  for (int i = 0; i < 3; ++i) EXPECT_FALSE(Passes("a", "nobody:1"));
  EXPECT_EQ(auth_->computed(), 7u) << "a name that is none can be told from one that is";
  EXPECT_FALSE(Passes("a", ""));
  EXPECT_TRUE(Passes("b", "ann:2"));
  EXPECT_EQ(auth_->computed(), 7u);
  now_ += VerifiedCredentials::kSeconds;
  EXPECT_TRUE(Passes("a", "ann:1"));
  EXPECT_EQ(auth_->computed(), 8u);
}

TEST_F(BasicAuthTest, ComputesOneHashForManyWhoAskAtOnce) {
  test::WriteFile(directory_ / "one", "ann:" + Hash("1", "$2b$", 10));  // long enough to wait for
  Begin({{"/a", "one"}});
  std::vector<std::thread> threads;
  for (int i = 0; i < 32; ++i) {
    threads.emplace_back([&] { EXPECT_TRUE(Passes("a", "ann:1")); });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(auth_->computed(), 1u);
}

TEST_F(BasicAuthTest, FollowsTheFile) {
  test::WriteFile(directory_ / "one", "ann:" + Hash("1"));
  Begin({{"/a", "one"}});
  EXPECT_TRUE(Passes("a", "ann:1"));
  test::WriteFile(directory_ / "one", "ann:" + Hash("other") + "\nbob:" + Hash("2"));
  EXPECT_TRUE(Passes("a", "ann:1")) << "it was looked at in this second";
  ++now_;
  EXPECT_FALSE(Passes("a", "ann:1")) << "what was right is not any more";
  EXPECT_TRUE(Passes("a", "ann:other"));
  EXPECT_TRUE(Passes("a", "bob:2"));
  testing::internal::CaptureStderr();
  test::WriteFile(directory_ / "one", "ann:plain\n");
  for (int i = 0; i < 3; ++i) {
    ++now_;
    EXPECT_TRUE(Passes("a", "bob:2")) << "there is nothing better";
  }
  EXPECT_EQ(unlink((directory_ / "one").c_str()), 0);
  ++now_;
  EXPECT_TRUE(Passes("a", "bob:2"));
  std::string said = testing::internal::GetCapturedStderr();
  EXPECT_NE(said.find("line 1: "), std::string::npos) << said;
  EXPECT_EQ(said.find("knot: "), said.rfind("knot: ")) << "said more than once: " << said;
  test::WriteFile(directory_ / "one", "cat:" + Hash("3"));
  ++now_;
  EXPECT_FALSE(Passes("a", "bob:2"));
  EXPECT_TRUE(Passes("a", "cat:3"));
}

// The process that starts others checks what they are to serve, and must have one thread when it
// forks: a lock that another holds then is never released in the child.
TEST_F(BasicAuthTest, IsCheckedWithoutAThread) {
  test::WriteFile(directory_ / "one", "ann:" + Hash("1"));
  test::TempDirectory root;
  Options options;
  options.root = root.path();
  options.access_log = "off";
  options.policy.auth = {"/a=" + directory_ / "one"};
  const int before = threads_made;
  absl::StatusOr<std::string> checked = Server::Check(options);
  EXPECT_TRUE(checked.ok()) << checked.status();
  EXPECT_EQ(threads_made, before);
  Begin({{"/a", "one"}});
  EXPECT_EQ(threads_made, before + 1);
  options.policy.auth = {"/a=" + directory_ / "none"};
  EXPECT_FALSE(Server::Check(options).ok());
}

TEST_F(BasicAuthTest, RefusesFilesThatAreNone) {
  for (const char* file : {"none", "."}) {
    EXPECT_FALSE(BasicAuth::Read({{"/a", directory_ / file}}, "r").ok()) << file;
  }
  test::WriteFile(directory_ / "large", std::string(PasswordFile::kMaxBytes + 1, '#'));
  EXPECT_FALSE(BasicAuth::Read({{"/a", directory_ / "large"}}, "r").ok());
}

}  // namespace

namespace test {
namespace {

class Auth : public KnotTest {
 protected:
  void SetUp() override {
    WriteFile(root_ / "open", "open");
    WriteFile(root_ / "secret/file", "hidden");
    WriteFile(root_ / "secret/index.html", "hidden index");
    WriteFile(root_ / "secret/public/file", "for guests");
    WriteFile(root_ / "secretary", "open, too");
    WriteFile(Users(), "ann:" + Hash("pass word") + "\n");
    WriteFile(outside_ / "guests", "guest:" + Hash("guest") + "\n");
  }

  std::string Users() const { return outside_ / "users"; }

  void Begin(std::vector<std::string> more = {}) {
    more.insert(more.end(), {"--threads=8", "--auth=/secret=" + Users(),
                             "--auth=/secret/public/=" + (outside_ / "guests")});
    Start(more);
  }

  Reply Ask(const std::string& target, const std::string& credentials = "",
            const std::string& method = "GET", const std::string& fields = "") {
    Client client(port_);
    std::string line =
        credentials.empty() ? "" : absl::StrCat("Authorization: ", Basic(credentials), "\r\n");
    client.Send(method + " " + target + " HTTP/1.1\r\nHost: h\r\n" + line + fields + "\r\n");
    Reply reply = client.Read(method == "HEAD");
    EXPECT_EQ(client.Get("/open").body, "open") << "not kept, or out of step";
    return reply;
  }

  TempDirectory outside_;
};

TEST_P(Auth, LetsInWhoHasThePassword) {
  for (const char* send : {"--send=auto", "--send=inline"}) {
    SCOPED_TRACE(send);
    Begin({send, "--auth_realm=my files"});
    for (const char* target : {"/secret/file", "/secret/", "/secret", "/secret/none",
                               "/%73ecret/file", "http://h/secret/file", "/secret/file?x"}) {
      for (const char* method : {"GET", "HEAD", "OPTIONS"}) {
        SCOPED_TRACE(std::string(method) + " " + target);
        for (const char* credentials :
             {"", "ann:", "ann:wrong", "nobody:pass word", "guest:guest", "Ann:pass word"}) {
          Reply reply = Ask(target, credentials, method);
          EXPECT_EQ(reply.status, 401) << credentials;
          EXPECT_EQ(reply.fields["www-authenticate"],
                    "Basic realm=\"my files\", charset=\"UTF-8\"");
          EXPECT_EQ(reply.body.find("hidden"), std::string::npos);
        }
        EXPECT_NE(Ask(target, "ann:pass word", method).status, 401);
      }
    }
    Reply file = Ask("/secret/file", "ann:pass word");
    EXPECT_EQ(file.body, "hidden");
    EXPECT_EQ(file.fields["cache-control"], "private");
    EXPECT_EQ(Ask("/secret/", "ann:pass word").body, "hidden index");
    EXPECT_EQ(Ask("/secret/public/file", "guest:guest").body, "for guests");
    EXPECT_EQ(Ask("/secret/public/file", "ann:pass word").status, 401);
    EXPECT_EQ(Ask("/secretary").body, "open, too");
    EXPECT_EQ(Ask("/secretary", "ann:wrong").body, "open, too");
    EXPECT_EQ(Ask("/secretary").fields.count("cache-control"), 0u);
  }
}

TEST_P(Auth, CannotBeGotRound) {
  Begin();
  for (const char* target :
       {"//secret/file", "/./secret/file", "/x/../secret/file", "/secretary/../secret/file",
        "/secret//file", "/secret/./file", "/secret/public/../file", "/%2e/secret/file",
        "/secret/public/%2e%2e/file", "/secret%2ffile", "/secret/%66ile", "///secret///file"}) {
    for (const char* credentials : {"", "guest:guest"}) {
      Reply reply = Ask(target, credentials);
      EXPECT_TRUE(reply.status == 401 || reply.status == 404) << target << " " << reply.status;
      EXPECT_EQ(reply.body.find("hidden"), std::string::npos) << target;
    }
  }
  Client twice(port_);
  twice.Send(absl::StrCat("GET /secret/file HTTP/1.1\r\nHost: h\r\nAuthorization: ", Basic("x:y"),
                          "\r\nAuthorization: ", Basic("ann:pass word"), "\r\n\r\n"));
  EXPECT_EQ(twice.Read().status, 400);
}

TEST_P(Auth, IsNotAskedOfABrowsersPreflight) {
  Begin({"--cors=https://a.example", "--cors_headers=Authorization"});
  const std::string origin = "Origin: https://a.example\r\n";
  Reply preflight =
      Ask("/secret/file", "", "OPTIONS", origin + "Access-Control-Request-Method: GET\r\n");
  EXPECT_EQ(preflight.status, 204);
  EXPECT_EQ(preflight.fields["access-control-allow-headers"], "Authorization");
  EXPECT_EQ(Ask("/secret/file", "", "OPTIONS", origin).status, 401);
  Reply refused = Ask("/secret/file", "", "GET", origin);
  EXPECT_EQ(refused.status, 401);
  EXPECT_EQ(refused.fields["access-control-allow-origin"], "https://a.example");
}

TEST_P(Auth, NamesTheUserInTheLog) {
  Begin({"--access_log=" + (outside_ / "log")});
  Ask("/secret/file", "ann:pass word");
  Ask("/secret/file", "a \"b\\\xc3\xa4:x");
  Ask("/secret/file");
  Ask("/open", "forged:x");
  server_->Signal(SIGTERM);
  EXPECT_EQ(server_->WaitForExit(), 0);
  std::string log = ReadFile(outside_ / "log");
  EXPECT_NE(log.find("127.0.0.1 - ann ["), std::string::npos) << log;
  EXPECT_NE(log.find("127.0.0.1 - a\\x20\\x22b\\x5C\\xC3\\xA4 ["), std::string::npos) << log;
  EXPECT_NE(log.find("127.0.0.1 - - ["), std::string::npos) << log;
  EXPECT_EQ(log.find("pass"), std::string::npos) << log;
  EXPECT_EQ(log.find("forged"), std::string::npos) << "nobody asked for it" << log;
}

TEST_P(Auth, FollowsItsFile) {
  Begin();
  EXPECT_EQ(Ask("/secret/file", "ann:pass word").status, 200);
  WriteFile(Users(), "bob:" + Hash("other") + "\n");
  bool changed = false;
  for (int i = 0; i < 1000 && !changed; ++i) {
    changed = Ask("/secret/file", "bob:other").status == 200;
    if (!changed) usleep(10'000);
  }
  EXPECT_TRUE(changed);
  EXPECT_EQ(Ask("/secret/file", "ann:pass word").status, 401);
}

// A hash of this cost takes about a second, in which hundreds of files can be sent.
TEST_P(Auth, HoldsUpNoOtherRequest) {
  WriteFile(Users(), "slow:" + Hash("x", "$2b$", 13) + "\n");
  Begin({"--access_log=" + (outside_ / "log")});
  constexpr int kOthers = 20;
  Client other(port_);
  EXPECT_EQ(other.Get("/open").body, "open");
  Client slow(port_);
  slow.Send(absl::StrCat("GET /secret/file HTTP/1.1\r\nHost: h\r\nAuthorization: ", Basic("slow:x"),
                         "\r\n\r\n"));
  for (int i = 0; i < kOthers; ++i) ASSERT_EQ(other.Get("/open").status, 200);
  EXPECT_EQ(slow.Read().body, "hidden");
  server_->Signal(SIGTERM);
  EXPECT_EQ(server_->WaitForExit(), 0);
  std::string log = ReadFile(outside_ / "log");
  std::string before = log.substr(0, log.find("/secret/file"));
  int others = 0;
  for (size_t at = 0; (at = before.find("/open", at)) != std::string::npos; ++at) ++others;
  EXPECT_GT(others, 5) << log;
}

TEST_P(Auth, RefusesAtStartWhatIsWrong) {
  WriteFile(outside_ / "bad", "ann:" + Hash("1") + "\nbob:secret\n");
  WriteFile(root_ / "inside", "ann:" + Hash("1") + "\n");
  const struct {
    std::vector<std::string> flags;
    std::string says;
  } kCases[] = {
      {{"--auth=secret"}, "--auth=secret: must be PREFIX=FILE"},
      {{"--auth=secret=f"}, "--auth=secret=f: the prefix must begin with a slash"},
      {{"--auth=/a=" + (outside_ / "none")}, "No such file"},
      {{"--auth=/a=" + (outside_ / "bad")}, "line 2: "},
      {{"--auth=/a=" + Users(), "--auth=/b=" + (outside_ / "bad")}, "line 2: "},
      {{"--auth=/a=" + (root_ / "inside")}, "which is served"},
      {{"--auth=/a=" + Users(), "--auth_realm=\"x\""}, "--auth_realm: "},
  };
  for (const auto& c : kCases) {
    std::vector<std::string> arguments = c.flags;
    arguments.insert(arguments.end(), {"--listen=127.0.0.1:0", root_.path()});
    ServerProcess process(GetParam(), arguments);
    EXPECT_EQ(process.WaitForExit(), 2);
    std::string error = process.Error();
    EXPECT_NE(error.find(c.says), std::string::npos) << error;
    EXPECT_EQ(error.find('\n'), error.size() - 1) << error;
  }
}

TEST_P(Auth, StopsWhilePasswordsAreChecked) {
  WriteFile(Users(), "slow:" + Hash("x", "$2b$", 11) + "\n");
  Begin();
  std::vector<std::unique_ptr<Client>> clients;
  for (int i = 0; i < 6; ++i) {
    clients.push_back(std::make_unique<Client>(port_));
    clients.back()->Send(absl::StrCat(
        "GET /secret/file HTTP/1.1\r\nHost: h\r\nAuthorization: ", Basic("slow:y"), "\r\n\r\n"));
  }
  server_->Signal(SIGTERM);
  EXPECT_EQ(server_->WaitForExit(), 0);
  EXPECT_EQ(server_->Error(), "");
}

INSTANTIATE_FOR_BINARIES(Auth);

}  // namespace
}  // namespace test
}  // namespace knot
