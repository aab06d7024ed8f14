// What a log line in JSON makes of bytes that a client chose.

#include <string>

#include "absl/strings/match.h"
#include "knot/log_line.h"
#include "tests/fuzz/fuzz.h"

namespace knot::fuzz {
namespace {

constexpr uint32_t kReplacement = 0xfffd;

void AppendUtf8(uint32_t code, std::string* out) {
  if (code < 0x80) {
    out->push_back(static_cast<char>(code));
  } else if (code < 0x800) {
    out->append({static_cast<char>(0xc0 | code >> 6), static_cast<char>(0x80 | (code & 0x3f))});
  } else if (code < 0x10000) {
    out->append({static_cast<char>(0xe0 | code >> 12), static_cast<char>(0x80 | (code >> 6 & 0x3f)),
                 static_cast<char>(0x80 | (code & 0x3f))});
  } else {
    out->append(
        {static_cast<char>(0xf0 | code >> 18), static_cast<char>(0x80 | (code >> 12 & 0x3f)),
         static_cast<char>(0x80 | (code >> 6 & 0x3f)), static_cast<char>(0x80 | (code & 0x3f))});
  }
}

// Takes \uHHHH off the front.
uint32_t TakeUnit(absl::string_view* text) {
  Claim(text->size() >= 6 && absl::StartsWith(*text, "\\u"), "a backslash begins an escape");
  uint32_t unit = 0;
  for (char c : text->substr(2, 4)) {
    bool digit = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
    Claim(digit, "an escape has four digits");
    unit = unit * 16 + (c <= '9' ? c - '0' : c - 'a' + 10);
  }
  text->remove_prefix(6);
  return unit;
}

// Reads a JSON string, RFC 8259, 7, off the front of `text`. `*replaced` tells whether there was
// something in it that had been no UTF-8.
std::string TakeString(absl::string_view* text, bool* replaced) {
  std::string value;
  Claim(absl::StartsWith(*text, "\""), "a string begins with a quote");
  text->remove_prefix(1);
  for (;;) {
    Claim(!text->empty(), "a string ends");
    char c = text->front();
    if (c != '\\') {
      text->remove_prefix(1);
      if (c == '"') return value;
      value.push_back(c);
    } else if (text->size() > 1 && ((*text)[1] == '"' || (*text)[1] == '\\')) {
      value.push_back((*text)[1]);
      text->remove_prefix(2);
    } else {
      uint32_t code = TakeUnit(text);
      if (code >= 0xd800 && code < 0xdc00) {
        uint32_t low = TakeUnit(text);
        Claim(low >= 0xdc00 && low < 0xe000, "half a pair is followed by the other half");
        code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
      }
      *replaced |= code == kReplacement;
      AppendUtf8(code, &value);
    }
  }
}

void CheckLine(absl::string_view line) {
  Claim(absl::EndsWith(line, "\n"), "a line has an end");
  line.remove_suffix(1);
  for (char c : line) {
    Claim(c >= 0x20 && c < 0x7f, "a log line is one line of printable ASCII");
  }
}

void Check(absl::string_view text) {
  Copy exact(text);
  std::string quoted;
  AppendJsonString(exact.view(), &quoted);
  absl::string_view rest = quoted;
  bool replaced = false;
  std::string value = TakeString(&rest, &replaced);
  Claim(rest.empty(), "a string ends once");
  Claim(replaced || value == text, "text that is UTF-8 can be had again");

  PeerAddress peer{};
  LogLine line{peer, exact.view()};
  line.referer = line.user_agent = line.host = line.user = line.tls = exact.view();
  std::string json, combined;
  AppendJson(line, {1, 2}, &json);
  CheckLine(json);
  AppendCombined(line, "[06/Nov/1994:08:49:37 +0000]", &combined);
  CheckLine(combined);
}

}  // namespace
}  // namespace knot::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  knot::fuzz::Check(knot::fuzz::ToView(data, size));
  return 0;
}
