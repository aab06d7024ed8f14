#include "knot/codings.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"

namespace knot {
namespace {

constexpr absl::string_view kNames[] = {"br", "zstd", "gzip", "identity"};
constexpr absl::string_view kSuffixes[] = {".br", ".zst", ".gz", ""};

absl::string_view Trim(absl::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

}  // namespace

absl::string_view TakeElement(absl::string_view* text, char separator) {
  size_t end = std::min(text->find(separator), text->size());
  absl::string_view part = Trim(text->substr(0, end));
  text->remove_prefix(std::min(end + 1, text->size()));
  return part;
}

int ParseWeight(absl::string_view text) {
  if (text.empty() || text.size() > 5 || (text[0] != '0' && text[0] != '1')) return -1;
  if (text.size() > 1 && text[1] != '.') return -1;
  int weight = (text[0] - '0') * 1000;
  int unit = 100;
  for (char digit : text.substr(std::min<size_t>(2, text.size()))) {
    if (!absl::ascii_isdigit(digit)) return -1;
    weight += (digit - '0') * unit;
    unit /= 10;
  }
  return weight <= 1000 ? weight : -1;
}

absl::string_view CodingName(Coding coding) { return kNames[static_cast<int>(coding)]; }

absl::string_view CodingSuffix(Coding coding) { return kSuffixes[static_cast<int>(coding)]; }

void AcceptedCodings::Note(absl::string_view line) {
  while (!line.empty()) {
    absl::string_view element = TakeElement(&line, ',');
    absl::string_view name = TakeElement(&element, ';');
    int weight = 1000;
    bool malformed = false;
    while (!element.empty()) {
      absl::string_view value = TakeElement(&element, ';');
      absl::string_view key = TakeElement(&value, '=');
      if (absl::EqualsIgnoreCase(key, "q")) weight = ParseWeight(value);
      malformed = malformed || weight < 0;
    }
    if (malformed) continue;
    if (name == "*") {
      others_ = static_cast<int16_t>(weight);
      continue;
    }
    if (absl::EqualsIgnoreCase(name, "x-gzip")) name = "gzip";
    for (size_t i = 0; i <= kCodings; ++i) {
      if (absl::EqualsIgnoreCase(name, kNames[i])) weights_[i] = static_cast<int16_t>(weight);
    }
  }
}

int AcceptedCodings::WeightOf(Coding coding) const {
  int weight = weights_[static_cast<int>(coding)];
  if (weight != kUnset) return weight;
  if (others_ != kUnset) return others_;
  // Accepted unless it is said not to be, but after whatever is named.
  return coding == Coding::kIdentity ? 1 : 0;
}

bool AcceptedCodings::any() const {
  for (size_t i = 0; i < kCodings; ++i) {
    if (WeightOf(static_cast<Coding>(i)) > 0) return true;
  }
  return false;
}

Coding AcceptedCodings::Best(CodingSet available) const {
  Coding best = Coding::kIdentity;
  int weight = WeightOf(best);
  for (size_t i = kCodings; i-- > 0;) {
    auto coding = static_cast<Coding>(i);
    if (!available.Has(coding) || WeightOf(coding) == 0 || WeightOf(coding) < weight) continue;
    best = coding;
    weight = WeightOf(coding);
  }
  return best;
}

}  // namespace knot
