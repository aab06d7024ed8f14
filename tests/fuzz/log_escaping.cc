// What a log line makes of bytes that a client chose.

#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "knot/access_log.h"
#include "tests/fuzz/fuzz.h"

namespace knot::fuzz {
namespace {

int HexDigit(char c) { return c <= '9' ? c - '0' : c - 'A' + 10; }

std::string Unescape(absl::string_view text) {
  std::string bytes;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '\\') {
      bytes.push_back(text[i]);
      continue;
    }
    Claim(i + 3 < text.size() && text[i + 1] == 'x', "a backslash begins \\xHH");
    bytes.push_back(static_cast<char>(HexDigit(text[i + 2]) * 16 + HexDigit(text[i + 3])));
    i += 3;
  }
  return bytes;
}

void Check(absl::string_view text) {
  std::string line = "before ";
  AppendEscaped(Copy(text).view(), &line);
  Claim(absl::StartsWith(line, "before "), "what stood there remains");
  const std::string escaped = line.substr(7);
  for (char c : escaped) {
    Claim(c >= 0x20 && c < 0x7f, "a log line is one line of printable ASCII");
    Claim(c != '"', "no quote ends a field early");
  }
  Claim(Unescape(escaped) == (text.empty() ? "-" : text), "what was escaped can be had again");
}

}  // namespace
}  // namespace knot::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  knot::fuzz::Check(knot::fuzz::ToView(data, size));
  return 0;
}
