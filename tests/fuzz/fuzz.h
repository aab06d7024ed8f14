// What the fuzzers share.
//
// Each fuzzer is one file that defines LLVMFuzzerTestOneInput: it makes claims about a part of Knot
// that must hold for any input. `./dev fuzz` looks for an input for which one does not; the tests
// replay those that were kept (replay.cc).
#ifndef TESTS_FUZZ_FUZZ_H_
#define TESTS_FUZZ_FUZZ_H_

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <vector>

#include "absl/strings/string_view.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace knot::fuzz {

// Ends the program, and so the run, where a claim does not hold.
inline void Claim(bool holds, const char* claim) {
  if (holds) return;
  std::fprintf(stderr, "It does not hold that %s.\n", claim);
  std::abort();
}

inline absl::string_view ToView(const uint8_t* data, size_t size) {
  return {reinterpret_cast<const char*>(data), size};
}

// A copy without a byte behind it that could be read unnoticed.
class Copy {
 public:
  explicit Copy(absl::string_view bytes) : bytes_(bytes.begin(), bytes.end()) {}
  absl::string_view view() const { return {bytes_.data(), bytes_.size()}; }

 private:
  const std::vector<char> bytes_;
};

// Tells whether `part` lies within `whole`. An empty one lies anywhere.
inline bool IsWithin(absl::string_view part, absl::string_view whole) {
  return part.empty() ||
         (part.data() >= whole.data() && part.data() + part.size() <= whole.data() + whole.size());
}

// Takes off what stands before the next line feed, or everything.
inline absl::string_view TakeLine(absl::string_view* text) {
  size_t end = text->find('\n');
  absl::string_view line = text->substr(0, end);
  text->remove_prefix(end == absl::string_view::npos ? text->size() : end + 1);
  return line;
}

}  // namespace knot::fuzz

#endif  // TESTS_FUZZ_FUZZ_H_
