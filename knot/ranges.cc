#include "knot/ranges.h"

#include <algorithm>
#include <limits>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/strip.h"

namespace knot {
namespace {

// About what a further part of a reply costs in its head.
constexpr uint64_t kPartOverhead = 100;

// Takes digits off the front; a number too large for 64 bits is the largest. Returns: false where
// there are none.
bool TakeNumber(absl::string_view* text, uint64_t* number) {
  constexpr uint64_t kLargest = std::numeric_limits<uint64_t>::max();
  if (text->empty() || !absl::ascii_isdigit(text->front())) return false;
  *number = 0;
  while (!text->empty() && absl::ascii_isdigit(text->front())) {
    uint64_t digit = text->front() - '0';
    *number = *number > (kLargest - digit) / 10 ? kLargest : *number * 10 + digit;
    text->remove_prefix(1);
  }
  return true;
}

// Takes the next element of a list off the front, without the white space around it.
absl::string_view TakeElement(absl::string_view* list) {
  size_t comma = std::min(list->find(','), list->size());
  absl::string_view element = list->substr(0, comma);
  list->remove_prefix(std::min(comma + 1, list->size()));
  while (!element.empty() && (element.front() == ' ' || element.front() == '\t')) {
    element.remove_prefix(1);
  }
  while (!element.empty() && (element.back() == ' ' || element.back() == '\t')) {
    element.remove_suffix(1);
  }
  return element;
}

}  // namespace

Ranges::Ranges(absl::string_view value, uint64_t size) {
  if (size == 0 || !absl::StartsWithIgnoreCase(value, "bytes=")) return;
  value.remove_prefix(6);
  bool any = false;
  while (!value.empty()) {
    absl::string_view spec = TakeElement(&value);
    if (spec.empty()) continue;  // RFC 9110, 5.6.1.2
    any = true;
    if (!Add(spec, size)) {
      count_ = 0;
      return;
    }
  }
  if (any) kind_ = count_ > 0 ? Kind::kSome : Kind::kUnsatisfiable;
}

// Returns: false where the whole field is to be ignored.
bool Ranges::Add(absl::string_view spec, uint64_t size) {
  uint64_t first = 0, last = size - 1;
  if (absl::ConsumePrefix(&spec, "-")) {
    uint64_t suffix;
    if (!TakeNumber(&spec, &suffix) || !spec.empty()) return false;
    if (suffix == 0) return true;
    first = suffix < size ? size - suffix : 0;
  } else {
    if (!TakeNumber(&spec, &first) || !absl::ConsumePrefix(&spec, "-")) return false;
    if (!spec.empty() && (!TakeNumber(&spec, &last) || !spec.empty() || last < first)) return false;
    if (first >= size) return true;
    last = std::min(last, size - 1);
  }
  return Join({first, last});
}

// Puts a range into the list, in the place of the first that it is joined with.
bool Ranges::Join(ByteRange added) {
  size_t place = count_;
  for (size_t i = 0; i < count_;) {
    const ByteRange& other = list_[i];
    bool apart =
        added.first > other.last + kPartOverhead || other.first > added.last + kPartOverhead;
    if (apart) {
      ++i;
      continue;
    }
    added = {std::min(added.first, other.first), std::max(added.last, other.last)};
    // The larger one may reach others that were apart: from the beginning.
    place = std::min(place, i);
    std::copy(&list_[i + 1], &list_[count_], &list_[i]);
    --count_;
    i = 0;
  }
  if (count_ == kMost) return false;
  place = std::min(place, count_);
  std::copy_backward(&list_[place], &list_[count_], &list_[count_ + 1]);
  list_[place] = added;
  ++count_;
  return true;
}

}  // namespace knot
