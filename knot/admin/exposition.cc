#include "knot/admin/exposition.h"

#include "absl/strings/str_cat.h"

namespace knot {
namespace {

// Help texts and the values of labels are escaped alike, but for quotes.
void AppendEscaped(absl::string_view text, bool quotes, std::string* out) {
  for (char c : text) {
    if (c == '\\') {
      out->append("\\\\");
    } else if (c == '\n') {
      out->append("\\n");
    } else if (c == '"' && quotes) {
      out->append("\\\"");
    } else {
      out->push_back(c);
    }
  }
}

}  // namespace

void Exposition::Begin(absl::string_view name, absl::string_view type, absl::string_view help) {
  name_ = std::string(name);
  absl::StrAppend(&text_, "# HELP ", name, " ");
  AppendEscaped(help, false, &text_);
  absl::StrAppend(&text_, "\n# TYPE ", name, " ", type, "\n");
}

void Exposition::Line(absl::string_view value, std::initializer_list<Label> labels,
                      absl::string_view suffix) {
  absl::StrAppend(&text_, name_, suffix);
  const char* before = "{";
  for (const Label& label : labels) {
    absl::StrAppend(&text_, before, label.first, "=\"");
    AppendEscaped(label.second, true, &text_);
    text_.push_back('"');
    before = ",";
  }
  absl::StrAppend(&text_, labels.size() == 0 ? " " : "} ", value, "\n");
}

std::string SecondsText(uint64_t nanoseconds) {
  constexpr uint64_t kSecond = 1'000'000'000;
  std::string text = absl::StrCat(nanoseconds / kSecond);
  if (nanoseconds % kSecond == 0) return text;
  // Of nine digits, those behind the last that counts are left out.
  std::string digits = absl::StrCat(nanoseconds % kSecond + kSecond).substr(1);
  return absl::StrCat(text, ".", digits.substr(0, digits.find_last_not_of('0') + 1));
}

}  // namespace knot
