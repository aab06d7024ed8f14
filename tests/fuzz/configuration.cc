// The config file.

#include <string>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "knot/config_file.h"
#include "tests/fuzz/fuzz.h"

namespace knot::fuzz {
namespace {

void CheckLine(const ConfigLine& line) {
  Claim(!line.name.empty(), "a line has a name");
  for (char c : line.name + line.value) {
    Claim(c == '\t' || !absl::ascii_iscntrl(static_cast<unsigned char>(c)),
          "a line has no control characters");
  }
  std::string text = FormatConfigLine(line.name, line.value);
  absl::StatusOr<std::vector<ConfigLine>> again = ParseConfig(text);
  Claim(again.ok() && again->size() == 1, "a line that is written can be read");
  Claim(again->front().name == line.name && again->front().value == line.value,
        "a line that is written means the same");
}

void Check(absl::string_view text) {
  const int count =
      static_cast<int>(std::vector<absl::string_view>(absl::StrSplit(text, '\n')).size());
  absl::StatusOr<std::vector<ConfigLine>> lines = ParseConfig(Copy(text).view());
  if (!lines.ok()) {
    std::pair<std::string, std::string> message =
        absl::StrSplit(lines.status().message(), absl::MaxSplits(": ", 1));
    int number = 0;
    Claim(absl::SimpleAtoi(message.first, &number) && number >= 1 && number <= count,
          "an error names its line");
    Claim(!message.second.empty(), "an error says what is wrong");
    return;
  }
  int number = 0;
  for (const ConfigLine& line : *lines) {
    Claim(line.number > number && line.number <= count, "lines come in order");
    number = line.number;
    CheckLine(line);
  }
}

}  // namespace
}  // namespace knot::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  knot::fuzz::Check(knot::fuzz::ToView(data, size));
  return 0;
}
