// Accept-Encoding. The input: the field's lines.

#include <array>
#include <vector>

#include "absl/strings/str_split.h"
#include "knot/codings.h"
#include "tests/fuzz/fuzz.h"

namespace knot::fuzz {
namespace {

constexpr int kSets = 1 << kCodings;

CodingSet SetOf(int bits) {
  CodingSet set;
  for (size_t i = 0; i < kCodings; ++i) {
    if ((bits >> i & 1) != 0) set.Add(static_cast<Coding>(i));
  }
  return set;
}

// What is chosen of each set there may be.
std::array<Coding, kSets> Choices(const AcceptedCodings& accepted) {
  std::array<Coding, kSets> choices;
  for (int bits = 0; bits < kSets; ++bits) choices[bits] = accepted.Best(SetOf(bits));
  return choices;
}

AcceptedCodings Read(const std::vector<absl::string_view>& lines) {
  AcceptedCodings accepted;
  for (absl::string_view line : lines) accepted.Note(Copy(line).view());
  return accepted;
}

void Check(absl::string_view text) {
  const AcceptedCodings accepted = Read(absl::StrSplit(text, '\n'));
  const std::array<Coding, kSets> choices = Choices(accepted);
  for (int bits = 0; bits < kSets; ++bits) {
    const Coding best = choices[bits];
    Claim(best == Coding::kIdentity || SetOf(bits).Has(best), "what is chosen is there");
    for (int fewer = 0; fewer < kSets; ++fewer) {
      bool still = (fewer & bits) == fewer && (best == Coding::kIdentity || SetOf(fewer).Has(best));
      Claim(!still || choices[fewer] == best, "the choice does not depend on what is not chosen");
    }
  }
  Claim(accepted.any() || choices[kSets - 1] == Coding::kIdentity,
        "nothing else is chosen of none");

  // RFC 9110, 5.3: lines mean what their concatenation does.
  Claim(Choices(Read(absl::StrSplit(text, absl::ByAnyChar("\n,")))) == choices,
        "a list means the same in several lines");
}

}  // namespace
}  // namespace knot::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size <= 4096) knot::fuzz::Check(knot::fuzz::ToView(data, size));
  return 0;
}
