// The type of a flag that takes one of a few words.
#ifndef KNOT_CHOICE_H_
#define KNOT_CHOICE_H_

#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace knot {

template <typename Enum>
struct Name {
  Enum value;
  const char* text;
};

// The words of an enumeration: each one that is the type of a flag has a specialization with an
// array `kList` of its names.
template <typename Enum>
struct Names;

// A flag's value as one of its words.
template <typename Enum>
struct Choice {
  Enum value;
};

template <typename Enum>
const char* NameOf(Enum value) {
  for (const Name<Enum>& name : Names<Enum>::kList) {
    if (name.value == value) return name.text;
  }
  return nullptr;
}

template <typename Enum>
bool AbslParseFlag(absl::string_view text, Choice<Enum>* choice, std::string* error) {
  std::string words;
  for (const Name<Enum>& name : Names<Enum>::kList) {
    if (text == name.text) {
      choice->value = name.value;
      return true;
    }
    absl::StrAppend(&words, words.empty() ? "" : ", ", name.text);
  }
  *error = absl::StrCat("must be one of ", words);
  return false;
}

template <typename Enum>
std::string AbslUnparseFlag(Choice<Enum> choice) {
  return NameOf(choice.value);
}

}  // namespace knot

#endif  // KNOT_CHOICE_H_
