// Which hosts are hosts (RFC 3986, 3.2.2; RFC 9110, 7.2), and whose site answers for them.

#include <gtest/gtest.h>

#include <filesystem>
#include <string>
#include <vector>

#include "knot/host.h"
#include "knot/options_site.h"
#include "knot/site.h"
#include "tests/knot/support/server_process.h"

namespace knot {
namespace {

TEST(Authority, IsAHostAndPerhapsAPort) {
  const struct {
    const char* text;
    const char* host;
  } kCases[] = {
      {"h", "h"},
      {"h:80", "h"},
      {"h:0", "h"},
      {"h:65535", "h"},
      {"h:00080", "h"},
      {"h:", "h"},  // RFC 3986, 3.2.3: port = *DIGIT
      {"example.org", "example.org"},
      {"example.org.", "example.org."},
      {"EXAMPLE.org:8080", "EXAMPLE.org"},
      {"a_b-c.~d", "a_b-c.~d"},
      {"!$&'()*+,;=", "!$&'()*+,;="},
      {"caf%C3%A9.example", "caf%C3%A9.example"},
      {"%41:1", "%41"},
      {"127.0.0.1", "127.0.0.1"},
      {"127.0.0.1:80", "127.0.0.1"},
      {"999.0.0.1", "999.0.0.1"},  // no address, but a name
      {"[::1]", "[::1]"},
      {"[::1]:80", "[::1]"},
      {"[::]:", "[::]"},
      {"[2001:DB8::7:8]", "[2001:DB8::7:8]"},
      {"[1:2:3:4:5:6:7:8]", "[1:2:3:4:5:6:7:8]"},
      {"[1:2:3:4:5:6:7::]", "[1:2:3:4:5:6:7::]"},
      {"[::ffff:192.0.2.1]", "[::ffff:192.0.2.1]"},
      {"[v1.a]", "[v1.a]"},
      {"[vF0.a:b!~]:9", "[vF0.a:b!~]"},
  };
  for (const auto& c : kCases) {
    absl::string_view host;
    EXPECT_TRUE(ParseAuthority(c.text, &host)) << c.text;
    EXPECT_EQ(host, c.host);
    EXPECT_TRUE(IsHostField(c.text)) << c.text;
  }
}

TEST(Authority, IsNothingElse) {
  const std::string kCases[] = {
      "",
      ":",
      ":80",
      "h:65536",
      "h:99999999999999999999",
      "h:-1",
      "h:+1",
      "h:8a",
      "h: 80",
      "h:80:80",
      "a b",
      "a\tb",
      "a/b",
      "a?b",
      "a#b",
      "a@b",
      "user:password@h",
      "a\\b",
      "a\"b",
      "<h>",
      "a^b",
      "a`b",
      "{h}",
      "a|b",
      "a[b",
      "a]b",
      "caf\xc3\xa9",
      std::string("a\0b", 3),
      "%",
      "%4",
      "%4g",
      "h%",
      "::1",
      "2001:db8::1",
      "[]",
      "[",
      "[::1",
      "::1]",
      "[::1]h",
      "[::1]80",
      "[::1]]",
      "[[::1]]",
      "h[::1]",
      "[::1%25eth0]",
      "[::1%eth0]",
      "[h]",
      "[127.0.0.1]",
      "[:::]",
      "[::1::]",
      "[1:2:3:4:5:6:7]",
      "[1:2:3:4:5:6:7:8:9]",
      "[1:2:3:4:5:6:7::8]",
      "[12345::]",
      "[::ffff:192.0.2]",
      "[::ffff:192.0.2.256]",
      "[::ffff:192.0.2.01]",
      std::string("[::1\0]", 6),
      "[" + std::string(100, ':') + "]",
      "[v]",
      "[v1]",
      "[v1.]",
      "[v.a]",
      "[vg.a]",
      "[v1.a b]",
      "[v1.a[]",
  };
  for (const std::string& text : kCases) {
    absl::string_view host;
    EXPECT_FALSE(ParseAuthority(text, &host)) << text;
    EXPECT_EQ(IsHostField(text), text.empty()) << text;
  }
}

class SitesTest : public testing::Test {
 protected:
  SitesTest() {
    for (const char* name : {"default", "exact", "wild", "deep", "address"}) {
      std::filesystem::create_directories(directory_ / name);
    }
  }

  std::string Rule(const std::string& names, const std::string& name) {
    return names + "=" + (directory_ / name);
  }

  std::string Found(const Sites& sites, absl::string_view host) {
    return std::filesystem::path(sites.Find(host).directory).filename();
  }

  test::TempDirectory directory_;
};

TEST_F(SitesTest, AreFoundByTheirNamesFirstThenByTheLongestWildcard) {
  SiteOptions options;
  options.hosts = {Rule("*.example.org", "wild"), Rule("*.deep.example.org", "deep"),
                   Rule("example.org,www.Example.org,x.deep.example.org.", "exact"),
                   Rule("127.0.0.1,[::1]", "address")};
  absl::StatusOr<std::unique_ptr<Sites>> sites = Sites::Open(directory_ / "default", options);
  ASSERT_TRUE(sites.ok()) << sites.status();
  ASSERT_EQ((*sites)->list().size(), 5u);
  const struct {
    const char* host;
    const char* directory;
  } kCases[] = {
      {"example.org", "exact"},
      {"EXAMPLE.ORG", "exact"},
      {"example.org.", "exact"},
      {"example.org:8080", "exact"},
      {"example.org.:8080", "exact"},
      {"www.example.org", "exact"},
      {"x.deep.example.org", "exact"},
      {"y.deep.example.org", "deep"},
      {"a.y.deep.example.org", "deep"},
      {"deep.example.org", "wild"},
      {"a.example.org", "wild"},
      {"A.B.EXAMPLE.ORG:1", "wild"},
      {"127.0.0.1:80", "address"},
      {"[::1]:80", "address"},
      {"127.0.0.2", "default"},
      {"org", "default"},
      {"example.com", "default"},
      {"badexample.org", "default"},
      {".example.org", "default"},  // there is no label for the wildcard
      {"example.org..", "default"},
      {"", "default"},
      {".", "default"},
      {"*.example.org", "wild"},  // a name like others to a client
  };
  for (const auto& c : kCases) EXPECT_EQ(Found(**sites, c.host), c.directory) << c.host;
  EXPECT_EQ(Found(**sites, std::string(300, 'a') + ".example.org"), "default");
}

TEST_F(SitesTest, HaveTheirNumbersInTheOrderOfTheFlags) {
  SiteOptions options;
  options.hosts = {Rule("a", "exact"), Rule("b", "wild")};
  absl::StatusOr<std::unique_ptr<Sites>> sites = Sites::Open(directory_ / "default", options);
  ASSERT_TRUE(sites.ok()) << sites.status();
  EXPECT_EQ((*sites)->Find("").number, 0);
  EXPECT_EQ((*sites)->Find("a").number, 1);
  EXPECT_EQ((*sites)->Find("b").number, 2);
  EXPECT_EQ(&(*sites)->first(), (*sites)->list()[0].get());
}

TEST_F(SitesTest, WithoutHostsIsOneForAll) {
  absl::StatusOr<std::unique_ptr<Sites>> sites = Sites::Open(directory_ / "default", {});
  ASSERT_TRUE(sites.ok()) << sites.status();
  for (const char* host : {"", "a", "[::1]", "*"}) EXPECT_EQ(Found(**sites, host), "default");
}

TEST_F(SitesTest, AreNotOpenedWhereADirectoryIsMissing) {
  SiteOptions options;
  options.hosts = {Rule("a", "exact"), Rule("b", "none")};
  absl::StatusOr<std::unique_ptr<Sites>> sites = Sites::Open(directory_ / "default", options);
  EXPECT_NE(sites.status().message().find("cannot serve " + (directory_ / "none")),
            std::string::npos);
}

TEST(HostRules, AreNamesAndADirectory) {
  absl::StatusOr<HostRule> rule = ParseHostRule("A.example,*.B.example.,[::1]=/srv/a=b,c");
  ASSERT_TRUE(rule.ok()) << rule.status();
  EXPECT_EQ(rule->names, (std::vector<std::string>{"a.example", "*.b.example", "[::1]"}));
  EXPECT_EQ(rule->directory, "/srv/a=b,c");
  for (const char* text : {"",        "a",         "a=",     "=d",    ",a=d",   "a,=d",  "a,,b=d",
                           "a:80=d",  "*=d",       "*.=d",   "*..=d", ".=d",    "a.*=d", "a*b=d",
                           "*.*.a=d", "*.[::1]=d", "[::1=d", "a b=d", "a%41=d", "a/b=d"}) {
    EXPECT_FALSE(ParseHostRule(text).ok()) << text;
  }
  EXPECT_FALSE(ParseHostRule(std::string(254, 'a') + "=d").ok());
}

TEST(SiteRules, AreReadFromTheirFlags) {
  SiteOptions options;
  options.error_pages = {"404=/errors/./not%20found.html", "503=/busy.html"};
  options.spa = "/app.html";
  absl::StatusOr<SiteRules> rules = RulesOf(options);
  ASSERT_TRUE(rules.ok()) << rules.status();
  EXPECT_EQ(rules->error_pages.at(404), "errors/not found.html");
  EXPECT_EQ(rules->error_pages.at(503), "busy.html");
  EXPECT_EQ(rules->spa, "app.html");
  for (const char* page :
       {"", "404", "404=", "404=a", "404=/", "404=/a/", "404=/../a", "404=/a?b", "404=/a%2fb",
        "404=off", "=/a", "399=/a", "600=/a", "4x4=/a", "-404=/a", "503=/twice"}) {
    SiteOptions wrong = options;
    wrong.error_pages.push_back(page);
    EXPECT_FALSE(RulesOf(wrong).ok()) << page;
  }
}

}  // namespace
}  // namespace knot
