#include "knot/conditions.h"

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "knot/request.h"

namespace knot {
namespace {

constexpr int64_t kNow = 1'800'000'000;     // Fri, 15 Jan 2027 08:00:00 GMT
constexpr int64_t kModified = 784'111'777;  // the RFC's
constexpr char kDate[] = "Sun, 06 Nov 1994 08:49:37 GMT";
constexpr char kEarlier[] = "Sun, 06 Nov 1994 08:49:36 GMT";
constexpr char kLater[] = "Sun, 06 Nov 1994 08:49:38 GMT";
const Validators kStrong = {"\"a-1\"", kDate, kModified, true};
const Validators kWeak = {"W/\"a-1\"", kDate, kModified, false};

// The conditions of a request with these lines, by way of the parser.
class Parsed {
 public:
  explicit Parsed(const std::string& lines)
      : bytes_("GET / HTTP/1.1\r\nHost: h\r\n" + lines + "\r\n") {
    size_t used;
    EXPECT_EQ(parser_.ParseHead(bytes_, &used), RequestParser::kComplete) << lines;
  }
  const Conditions& get() const { return parser_.request().conditions; }

 private:
  std::string bytes_;
  RequestParser parser_;
};

Verdict Of(const std::string& lines, const Validators& file = kStrong) {
  return Evaluate(Parsed(lines).get(), file, kNow);
}

std::string Line(const char* name, const char* value) {
  return std::string(name) + ": " + value + "\r\n";
}

TEST(Conditions, AreNoneWhereNothingSaysSo) {
  EXPECT_FALSE(Parsed("Accept: */*\r\n").get().any);
  EXPECT_TRUE(Parsed("Range: bytes=0-0\r\n").get().any);
  EXPECT_EQ(Of(""), Verdict::kSend);
}

TEST(Conditions, IfNoneMatchComparesWeakly) {  // RFC 9110, 13.1.2
  for (const char* value :
       {"\"a-1\"", "W/\"a-1\"", "*", "\"x\", \"a-1\"", "\"x\" , W/\"a-1\",", "\"x,\",\"a-1\""}) {
    EXPECT_EQ(Of(Line("If-None-Match", value)), Verdict::kNotModified) << value;
    EXPECT_EQ(Of(Line("If-None-Match", value), kWeak), Verdict::kNotModified) << value;
  }
  for (const char* value : {"\"a-2\"", "a-1", "\"a-1", "w/\"a-1\"", "\"A-1\"", "\"\"", "**", ""}) {
    EXPECT_EQ(Of(Line("If-None-Match", value)), Verdict::kSend) << value;
  }
}

TEST(Conditions, IfMatchComparesStrongly) {  // 13.1.1
  EXPECT_EQ(Of("If-Match: \"x\", \"a-1\"\r\n"), Verdict::kSend);
  EXPECT_EQ(Of("If-Match: *\r\n"), Verdict::kSend);
  EXPECT_EQ(Of("If-Match: *\r\n", kWeak), Verdict::kSend);
  EXPECT_EQ(Of("If-Match: W/\"a-1\"\r\n"), Verdict::kPreconditionFailed);
  EXPECT_EQ(Of("If-Match: \"a-1\"\r\n", kWeak), Verdict::kPreconditionFailed);
  EXPECT_EQ(Of("If-Match: \"x\"\r\n"), Verdict::kPreconditionFailed);
}

TEST(Conditions, ListsMayBeInSeveralLines) {  // 5.3
  EXPECT_EQ(Of("If-None-Match: \"x\"\r\nIf-None-Match: \"a-1\"\r\n"), Verdict::kNotModified);
  EXPECT_EQ(Of("If-Match: \"x\"\r\nIf-Match: \"a-1\"\r\n"), Verdict::kSend);
  std::string bytes = "GET / HTTP/1.1\r\nHost: h\r\n";
  for (size_t i = 0; i <= FieldLines::kMost; ++i) bytes += "If-Match: \"x\"\r\n";
  RequestParser parser;
  size_t used;
  EXPECT_EQ(parser.ParseHead(bytes + "\r\n", &used), 400);
}

TEST(Conditions, DatesAreCompared) {  // 13.1.3, 13.1.4
  EXPECT_EQ(Of(Line("If-Modified-Since", kDate)), Verdict::kNotModified);
  EXPECT_EQ(Of(Line("If-Modified-Since", kLater)), Verdict::kNotModified);
  EXPECT_EQ(Of(Line("If-Modified-Since", kEarlier)), Verdict::kSend);
  EXPECT_EQ(Of(Line("If-Unmodified-Since", kDate)), Verdict::kSend);
  EXPECT_EQ(Of(Line("If-Unmodified-Since", kLater)), Verdict::kSend);
  EXPECT_EQ(Of(Line("If-Unmodified-Since", kEarlier)), Verdict::kPreconditionFailed);
  for (const char* nonsense : {"yesterday", "0", "Sun, 06 Nov 1994", ","}) {
    EXPECT_EQ(Of(Line("If-Modified-Since", nonsense)), Verdict::kSend) << nonsense;
    EXPECT_EQ(Of(Line("If-Unmodified-Since", nonsense)), Verdict::kSend) << nonsense;
  }
  EXPECT_EQ(Of(Line("If-Modified-Since", kDate) + Line("If-Modified-Since", kDate)), Verdict::kSend)
      << "twice is not valid";
}

TEST(Conditions, HaveTheirPrecedence) {  // 13.2.2
  EXPECT_EQ(Of(Line("If-None-Match", "\"x\"") + Line("If-Modified-Since", kLater)), Verdict::kSend);
  EXPECT_EQ(Of(Line("If-None-Match", "\"a-1\"") + Line("If-Modified-Since", kEarlier)),
            Verdict::kNotModified);
  EXPECT_EQ(Of(Line("If-Match", "\"a-1\"") + Line("If-Unmodified-Since", kEarlier)),
            Verdict::kSend);
  EXPECT_EQ(Of(Line("If-Match", "\"x\"") + Line("If-None-Match", "\"a-1\"")),
            Verdict::kPreconditionFailed);
  EXPECT_EQ(Of(Line("If-Match", "\"a-1\"") + Line("If-None-Match", "\"a-1\"")),
            Verdict::kNotModified);
}

TEST(Conditions, IfRangeWantsTheSameBytes) {  // 13.1.5
  auto counts = [](const std::string& lines, const Validators& file) {
    return RangeCounts(Parsed("Range: bytes=0-0\r\n" + lines).get(), file);
  };
  EXPECT_TRUE(counts("", kStrong));
  EXPECT_TRUE(counts("", kWeak));
  EXPECT_TRUE(counts(Line("If-Range", "\"a-1\""), kStrong));
  EXPECT_TRUE(counts(Line("If-Range", kDate), kStrong));
  EXPECT_FALSE(counts(Line("If-Range", "\"a-1\""), kWeak));
  EXPECT_FALSE(counts(Line("If-Range", "W/\"a-1\""), kStrong));
  EXPECT_FALSE(counts(Line("If-Range", "W/\"a-1\""), kWeak));
  EXPECT_FALSE(counts(Line("If-Range", "\"x\""), kStrong));
  EXPECT_FALSE(counts(Line("If-Range", kDate), kWeak));
  EXPECT_FALSE(counts(Line("If-Range", kLater), kStrong)) << "an exact match, not a comparison";
  EXPECT_FALSE(counts(Line("If-Range", "*"), kStrong));
  EXPECT_FALSE(counts(Line("If-Range", ""), kStrong)) << "no validator is none that matches";
}

TEST(HttpDate, HasThreeForms) {  // 5.6.7
  for (const char* text : {"Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT",
                           "Sun Nov  6 08:49:37 1994"}) {
    int64_t seconds = 0;
    EXPECT_TRUE(ParseHttpDate(text, kNow, &seconds)) << text;
    EXPECT_EQ(seconds, kModified) << text;
  }
  int64_t seconds;
  for (const char* text : {"", " ", "Sun, 06 Nov 1994 08:49:37", "Sun, 06 Nov 1994 08:49:37 PST",
                           "Sun, 32 Nov 1994 08:49:37 GMT", "Sun, 06 Nov 1994 24:49:37 GMT",
                           " Sun, 06 Nov 1994 08:49:37 GMT", "784111777"}) {
    EXPECT_FALSE(ParseHttpDate(text, kNow, &seconds)) << text;
  }
}

TEST(HttpDate, TwoDigitsOfAYearAreThoseNearest) {
  const std::pair<const char*, const char*> kPairs[] = {
      {"Sunday, 06-Nov-26 08:49:37 GMT", "Fri, 06 Nov 2026 08:49:37 GMT"},
      {"Sunday, 06-Nov-77 08:49:37 GMT", "Sat, 06 Nov 2077 08:49:37 GMT"},
      {"Sunday, 06-Nov-78 08:49:37 GMT", "Mon, 06 Nov 1978 08:49:37 GMT"},
      {"Sunday, 06-Nov-00 08:49:37 GMT", "Mon, 06 Nov 2000 08:49:37 GMT"}};
  for (const auto& [two, four] : kPairs) {
    int64_t a = 0, b = 1;
    EXPECT_TRUE(ParseHttpDate(two, kNow, &a));
    EXPECT_TRUE(ParseHttpDate(four, kNow, &b));
    EXPECT_EQ(a, b) << two;
  }
}

}  // namespace
}  // namespace knot
