#include "knot/ranges.h"

#include <gtest/gtest.h>

#include <string>

#include "absl/strings/str_cat.h"

namespace knot {
namespace {

// "first-last ..." of what is sent, "ignored" or "unsatisfiable".
std::string Read(absl::string_view value, uint64_t size = 10'000) {
  Ranges ranges(value, size);
  if (ranges.kind() == Ranges::Kind::kIgnored) return "ignored";
  if (ranges.kind() == Ranges::Kind::kUnsatisfiable) return "unsatisfiable";
  std::string text;
  for (size_t i = 0; i < ranges.count(); ++i) {
    absl::StrAppend(&text, i > 0 ? " " : "", ranges[i].first, "-", ranges[i].last);
  }
  return text;
}

// RFC 9110, 14.1.2, for a file of 10,000 bytes as its examples have it.
TEST(Ranges, ReadsTheExamplesOfTheRfc) {
  EXPECT_EQ(Read("bytes=0-499"), "0-499");
  EXPECT_EQ(Read("bytes=500-999"), "500-999");
  EXPECT_EQ(Read("bytes=-500"), "9500-9999");
  EXPECT_EQ(Read("bytes=9500-"), "9500-9999");
  EXPECT_EQ(Read("bytes=0-0,-1"), "0-0 9999-9999");
  EXPECT_EQ(Read("bytes= 0-999, 4500-5499, -1000"), "0-999 4500-5499 9000-9999");
  EXPECT_EQ(Read("bytes=500-600,601-999"), "500-999");
  EXPECT_EQ(Read("bytes=500-700,601-999"), "500-999");
}

TEST(Ranges, EndAtTheEndOfTheFile) {
  EXPECT_EQ(Read("bytes=9999-10000"), "9999-9999");
  EXPECT_EQ(Read("bytes=0-99999999999999999999999999"), "0-9999");
  EXPECT_EQ(Read("bytes=-99999999999999999999999999"), "0-9999");
  EXPECT_EQ(Read("bytes=10000-"), "unsatisfiable");
  EXPECT_EQ(Read("bytes=99999999999999999999999999-"), "unsatisfiable");
  EXPECT_EQ(Read("bytes=-0"), "unsatisfiable");
  EXPECT_EQ(Read("bytes=20000-,5-5"), "5-5");
}

TEST(Ranges, AreIgnoredWhereTheyAreNotOurs) {
  for (const char* value :
       {"", "bytes", "bytes=", "bytes=,", "lines=0-1", "bytes:0-1", "bytes=a-b", "bytes=1",
        "bytes=-", "bytes=5-4", "bytes=0-1-2", "bytes=--1", "bytes=0 -1", "bytes=0x0-1",
        "bytes=+1-2", "bytes=0-1;2-3", "bytes=0-1,x"}) {
    EXPECT_EQ(Read(value), "ignored") << value;
  }
  EXPECT_EQ(Read("BYTES=0-1"), "0-1");  // 14.1: range units are case-insensitive
  EXPECT_EQ(Read("bytes=,0-1 ,\t, 500-501,"), "0-1 500-501");
  EXPECT_EQ(Read("bytes=0-1", 0), "ignored") << "an empty file is sent whole";
}

TEST(Ranges, KeepTheirOrderAndNeverSendAByteTwice) {
  EXPECT_EQ(Read("bytes=5000-5001,0-1"), "5000-5001 0-1");
  EXPECT_EQ(Read("bytes=0-,0-,0-"), "0-9999");
  EXPECT_EQ(Read("bytes=0-1,3000-3001,80-90"), "0-90 3000-3001");
  EXPECT_EQ(Read("bytes=3000-3001,0-1,6000-6001,0-4000"), "0-4000 6000-6001");
  EXPECT_EQ(Read("bytes=0-9,1000-1009,2000-2009,5-2001"), "0-2009");
}

TEST(Ranges, TooManyAreIgnored) {
  std::string value = "bytes=0-0";
  for (size_t i = 1; i < Ranges::kMost; ++i) absl::StrAppend(&value, ",", i * 500, "-", i * 500);
  EXPECT_EQ(Ranges(value, 10'000).count(), Ranges::kMost);
  absl::StrAppend(&value, ",0-1");
  EXPECT_EQ(Ranges(value, 10'000).count(), Ranges::kMost) << "joined";
  absl::StrAppend(&value, ",9000-9000");
  EXPECT_EQ(Read(value), "ignored");
}

}  // namespace
}  // namespace knot
