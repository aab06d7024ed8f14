// The type of a flag that may be given more than once.
#ifndef KNOT_REPEATED_H_
#define KNOT_REPEATED_H_

#include <string>
#include <vector>

#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"

namespace knot {

// Texts in the order they were given: `--header=a --header=b` on the command line, a line for each
// in a file, KNOT_HEADER with a line for each in the environment. Given in one of these they
// replace what the others, or the default, say; an empty value stands for no texts at all.
//
//   ABSL_FLAG(knot::RepeatedText, header, {}, "field that each reply carries; may be given more "
//                                             "than once");
//
// What the texts mean, and which are wrong, is for Check<Part>() to say: its message begins with
// `--header=TEXT: `. As the value of a flag the texts are joined by line breaks, which is how
// Abseil gets and prints them; no text can contain one, since each way in refuses it.
struct RepeatedText {
  std::vector<std::string> values;
};

inline constexpr char kRepeatedSeparator = '\n';

inline bool AbslParseFlag(absl::string_view text, RepeatedText* repeated, std::string* /*error*/) {
  repeated->values.clear();
  if (!text.empty()) repeated->values = absl::StrSplit(text, kRepeatedSeparator);
  return true;
}

inline std::string AbslUnparseFlag(const RepeatedText& repeated) {
  return absl::StrJoin(repeated.values, absl::string_view(&kRepeatedSeparator, 1));
}

}  // namespace knot

#endif  // KNOT_REPEATED_H_
