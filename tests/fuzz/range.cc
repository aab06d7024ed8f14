// A Range field for a file of any size. The input: the size in decimal, a line feed, the value.

#include <algorithm>
#include <string>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "knot/ranges.h"
#include "tests/fuzz/fuzz.h"

namespace knot::fuzz {
namespace {

// A second reading of a list that is known to be well-formed: what each of its elements asks for.
std::vector<ByteRange> Wanted(absl::string_view list, uint64_t size) {
  std::vector<ByteRange> wanted;
  for (absl::string_view element : absl::StrSplit(list, ',')) {
    element = absl::StripAsciiWhitespace(element);
    std::pair<std::string, std::string> ends = absl::StrSplit(element, absl::MaxSplits('-', 1));
    uint64_t first = 0, last = 0;
    // What does not fit is larger than any file.
    if (!absl::SimpleAtoi(ends.first, &first)) first = UINT64_MAX;
    if (!absl::SimpleAtoi(ends.second, &last)) last = UINT64_MAX;
    if (element.empty()) continue;
    if (ends.first.empty()) {
      if (last > 0) wanted.push_back({size - std::min(last, size), size - 1});
    } else if (first < size) {
      wanted.push_back({first, std::min(last, size - 1)});
    }
  }
  return wanted;
}

bool Overlap(const ByteRange& a, const ByteRange& b) {
  return a.first <= b.last && b.first <= a.last;
}

void CheckSome(const Ranges& ranges, absl::string_view value, uint64_t size) {
  uint64_t sum = 0;
  for (size_t i = 0; i < ranges.count(); ++i) {
    Claim(ranges[i].first <= ranges[i].last, "a range does not end before it begins");
    Claim(ranges[i].last < size, "a range ends within the file");
    for (size_t k = 0; k < i; ++k) Claim(!Overlap(ranges[i], ranges[k]), "no byte is sent twice");
    sum += ranges[i].size();
  }
  Claim(sum <= size, "no more is sent than the file");

  const std::vector<ByteRange> wanted = Wanted(value.substr(6), size);
  auto begins = [&](uint64_t first) {
    return std::any_of(wanted.begin(), wanted.end(), [&](auto& w) { return w.first == first; });
  };
  auto ends = [&](uint64_t last) {
    return std::any_of(wanted.begin(), wanted.end(), [&](auto& w) { return w.last == last; });
  };
  for (size_t i = 0; i < ranges.count(); ++i) {
    Claim(begins(ranges[i].first) && ends(ranges[i].last), "a range begins and ends as asked for");
  }
  for (const ByteRange& want : wanted) {
    bool sent = false;
    for (size_t i = 0; i < ranges.count(); ++i) {
      sent = sent || (ranges[i].first <= want.first && want.last <= ranges[i].last);
    }
    Claim(sent, "each range asked for is sent");
  }
}

void Check(absl::string_view value, uint64_t size) {
  Copy exact(value);
  Ranges ranges(exact.view(), size);
  Claim(ranges.count() <= Ranges::kMost, "there are no more ranges than the limit");
  switch (ranges.kind()) {
    case Ranges::Kind::kSome:
      Claim(ranges.count() > 0, "some are at least one");
      CheckSome(ranges, value, size);
      break;
    case Ranges::Kind::kUnsatisfiable:
      Claim(size > 0, "an empty file is sent whole");
      Claim(Wanted(value.substr(6), size).empty(), "what lies within the file is sent");
      break;
    case Ranges::Kind::kIgnored:
      break;
  }
}

}  // namespace
}  // namespace knot::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  absl::string_view input = knot::fuzz::ToView(data, size);
  int64_t file_size;
  bool sized = absl::SimpleAtoi(knot::fuzz::TakeLine(&input), &file_size) && file_size >= 0;
  if (sized && input.size() <= 4096) knot::fuzz::Check(input, file_size);
  return 0;
}
