// The fields that make a request conditional. The input: lines of a head, or a date.

#include "knot/conditions.h"

#include "absl/strings/str_cat.h"
#include "knot/clock.h"
#include "knot/request.h"
#include "tests/fuzz/fuzz.h"

namespace knot::fuzz {
namespace {

constexpr int64_t kNow = 1'800'000'000;
constexpr int64_t kEndOf9999 = 253402300799;
constexpr Validators kStrong = {"\"a-1\"", "Sun, 06 Nov 1994 08:49:37 GMT", 784'111'777, true};
constexpr Validators kWeak = {"W/\"a-1\"", "Sun, 06 Nov 1994 08:49:37 GMT", 784'111'777, false};

void CheckDate(absl::string_view text) {
  Copy exact(text);
  int64_t seconds = 0;
  if (!ParseHttpDate(exact.view(), kNow, &seconds)) return;
  if (seconds < 0 || seconds > kEndOf9999) return;  // no date of HTTP
  char canonical[30];
  FormatHttpDate(seconds, canonical);
  int64_t again = 0;
  Claim(ParseHttpDate(canonical, kNow, &again) && again == seconds,
        "a date that was understood is the same when it is written and read again");
}

void CheckVerdict(const Conditions& conditions, const Validators& file) {
  bool may_fail = conditions.if_match.count > 0 || !conditions.if_unmodified_since.empty();
  bool may_match = conditions.if_none_match.count > 0 || !conditions.if_modified_since.empty();
  switch (Evaluate(conditions, file, kNow)) {
    case Verdict::kSend:
      break;
    case Verdict::kNotModified:
      Claim(may_match, "304 answers If-None-Match or If-Modified-Since");
      break;
    case Verdict::kPreconditionFailed:
      Claim(may_fail, "412 answers If-Match or If-Unmodified-Since");
      break;
  }
  bool counts = RangeCounts(conditions, file);
  Claim(!conditions.if_range.empty() || counts, "a range counts where there is no If-Range");
  Claim(conditions.if_range.empty() || file.date_is_strong || !counts,
        "If-Range needs a strong validator");
}

void Check(absl::string_view fields) {
  CheckDate(fields);
  const std::string head = absl::StrCat("GET / HTTP/1.1\r\nHost: h\r\n", fields, "\r\n\r\n");
  RequestParser parser;
  size_t used = 0;
  if (parser.ParseHead(head, &used) != RequestParser::kComplete) return;
  const Conditions& conditions = parser.request().conditions;
  CheckVerdict(conditions, kStrong);
  CheckVerdict(conditions, kWeak);
  for (absl::string_view value :
       {conditions.if_modified_since, conditions.if_unmodified_since, conditions.if_range}) {
    CheckDate(value);
  }
}

}  // namespace
}  // namespace knot::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size <= 4096) knot::fuzz::Check(knot::fuzz::ToView(data, size));
  return 0;
}
