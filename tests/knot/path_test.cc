// One path for every rule: what is canonical, and what is hidden.

#include "knot/path.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace knot {
namespace {

struct Result {
  int status;
  std::string path;
};

Result Canonical(const std::string& path) {
  std::string out(path.size(), '?');
  size_t size = 0;
  int status = CanonicalPath(path, out.data(), &size);
  return {status, status == 0 ? out.substr(0, size) : ""};
}

TEST(CanonicalPath, IsDecodedOnceAndHasNoSegmentsThatAreNone) {
  const struct {
    const char* path;
    int status;
    const char* canonical;
  } kCases[] = {
      {"", 0, ""},
      {"/", 0, ""},
      {"//", 0, ""},
      {"/a", 0, "a"},
      {"/a/", 0, "a/"},
      {"/a//", 0, "a/"},
      {"//a//b", 0, "a/b"},
      {"/.", 0, ""},
      {"/./", 0, ""},
      {"/./a", 0, "a"},
      {"/a/.", 0, "a/"},
      {"/a/./b", 0, "a/b"},
      {"/a/..", 0, ""},
      {"/a/../", 0, ""},
      {"/a/../b", 0, "b"},
      {"/a/b/..", 0, "a/"},
      {"/a/b/../..", 0, ""},
      {"/a/b/../c/", 0, "a/c/"},
      {"/ab/cd/../../e", 0, "e"},
      {"/a//../b", 0, "b"},  // an empty segment is none that ".." could take away
      {"/...", 0, "..."},
      {"/..a", 0, "..a"},
      {"/a..", 0, "a.."},
      {"/.a/..b", 0, ".a/..b"},
      {"/%61%6A%4a", 0, "ajJ"},
      {"/%2541", 0, "%41"},
      {"/%252e%252e/a", 0, "%2e%2e/a"},
      {"/%c3%a9", 0, "\xc3\xa9"},
      {"/%2e", 0, ""},
      {"/a/%2E%2e/b", 0, "b"},
      {"/a/.%2e", 0, ""},
      {"/a%5C..%5Cb", 0, "a\\..\\b"},
      {"/a%20b", 0, "a b"},
      {"/%3F%23", 0, "?#"},
      {"/..", 400, ""},
      {"/../", 400, ""},
      {"/../a", 400, ""},
      {"/./../a", 400, ""},
      {"//..", 400, ""},
      {"/a/../..", 400, ""},
      {"/a/../../a", 400, ""},
      {"/%2e%2e", 400, ""},
      {"/%2E./a", 400, ""},
      {"/a%2fb", 404, ""},
      {"/a%2Fb", 404, ""},
      {"/..%2f..", 404, ""},
      {"/%00", 400, ""},
      {"/a%00b", 400, ""},
      {"/%", 400, ""},
      {"/%4", 400, ""},
      {"/%zz", 400, ""},
      {"/a/%4/b", 400, ""},
      {"/%%341", 400, ""},
  };
  for (const auto& c : kCases) {
    Result result = Canonical(c.path);
    EXPECT_EQ(result.status, c.status) << c.path;
    EXPECT_EQ(result.path, c.canonical) << c.path;
  }
}

// Calls `check` with every text of up to `most` of the pieces.
template <typename Check>
void ForAll(const std::vector<std::string>& pieces, int most, const std::string& start,
            const Check& check) {
  check(start);
  if (most == 0) return;
  for (const std::string& piece : pieces) ForAll(pieces, most - 1, start + piece, check);
}

std::vector<std::string> Segments(const std::string& path) {
  std::vector<std::string> segments(1);
  for (char c : path) {
    if (c == '/') {
      segments.emplace_back();
    } else {
      segments.back().push_back(c);
    }
  }
  return segments;
}

TEST(CanonicalPath, IsCanonicalItself) {
  int accepted = 0;
  ForAll({"/", ".", "a", "%2e", "%41"}, 7, "/", [&](const std::string& path) {
    Result result = Canonical(path);
    if (result.status != 0) return;
    ++accepted;
    std::vector<std::string> segments = Segments(result.path);
    for (size_t i = 0; i < segments.size(); ++i) {
      bool last = i + 1 == segments.size();
      ASSERT_TRUE(last || !segments[i].empty()) << path << " " << result.path;
      ASSERT_NE(segments[i], ".") << path;
      ASSERT_NE(segments[i], "..") << path;
    }
    ASSERT_LE(result.path.size(), path.size());
    Result again = Canonical("/" + result.path);
    ASSERT_EQ(again.status, 0) << path;
    ASSERT_EQ(again.path, result.path) << path;
  });
  EXPECT_GT(accepted, 10'000);
}

TEST(HiddenNames, BeginWithADot) {
  for (const char* path : {".", ".a", "a/.b", "a/.b/c", ".git/config", ".well-known2/a",
                           "a/.well-known/b", ".well-known/.a", ".well-known/a/.b/c"}) {
    EXPECT_TRUE(HasHiddenSegment(path)) << path;
  }
  for (const char* path : {"", "a", "a/", "a.b/c.d", "a./b", ".well-known", ".well-known/",
                           ".well-known/a", ".well-known/a/b.c"}) {
    EXPECT_FALSE(HasHiddenSegment(path)) << path;
  }
}

TEST(Extension, IsWhatTheLastSegmentHas) {
  for (const char* path : {"a.b", "c/a.b", ".a", "a."}) EXPECT_TRUE(HasExtension(path)) << path;
  for (const char* path : {"", "a", "a.b/", "a.b/c"}) EXPECT_FALSE(HasExtension(path)) << path;
}

TEST(PercentEncoding, LeavesOnlyThePlainest) {
  std::string out = "x";
  AppendPercentEncoded("az/AZ09-._~ \"\\:?#%&<\xc3\xa9\r\n", &out);
  EXPECT_EQ(out, "xaz/AZ09-._~%20%22%5C%3A%3F%23%25%26%3C%C3%A9%0D%0A");
}

}  // namespace
}  // namespace knot
