#include "knot/path.h"

#include <algorithm>
#include <cstring>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"

namespace knot {
namespace {

int HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

// Decodes a segment into `out`, which has room for text.size() bytes. Returns: 0, 400 or 404.
int PercentDecode(absl::string_view text, char* out, size_t* size) {
  char* end = out;
  for (size_t i = 0; i < text.size(); ++i) {
    char c = text[i];
    if (c == '%') {
      int high = i + 2 < text.size() ? HexDigit(text[i + 1]) : -1;
      int low = i + 2 < text.size() ? HexDigit(text[i + 2]) : -1;
      if (high < 0 || low < 0) return 400;
      c = static_cast<char>(high * 16 + low);
      if (c == '\0') return 400;
      if (c == '/') return 404;
      i += 2;
    }
    *end++ = c;
  }
  *size = end - out;
  return 0;
}

absl::string_view LastSegment(absl::string_view path) { return path.substr(path.rfind('/') + 1); }

}  // namespace

int CanonicalPath(absl::string_view path, char* out, size_t* size) {
  char* end = out;        // behind the slash of the last segment that stays
  bool directory = true;  // the last segment of `path` is none that stays
  while (!path.empty()) {
    path.remove_prefix(1);  // the slash
    absl::string_view encoded = path.substr(0, path.find('/'));
    path.remove_prefix(encoded.size());
    size_t length;
    if (int refusal = PercentDecode(encoded, end, &length)) return refusal;
    absl::string_view segment(end, length);
    directory = segment.empty() || segment == "." || segment == "..";
    if (!directory) {
      end += length;
      *end++ = '/';
    } else if (segment == "..") {
      if (end == out) return 400;
      do {
        --end;
      } while (end != out && end[-1] != '/');
    }
  }
  *size = (end - out) - (directory ? 0 : 1);
  return 0;
}

bool IsHiddenName(absl::string_view name, bool in_root) {
  return absl::StartsWith(name, ".") && !(in_root && name == ".well-known");
}

bool HasHiddenSegment(absl::string_view path) {
  bool in_root = true;
  while (!path.empty()) {
    absl::string_view segment = path.substr(0, path.find('/'));
    if (IsHiddenName(segment, in_root)) return true;
    path.remove_prefix(std::min(segment.size() + 1, path.size()));
    in_root = false;
  }
  return false;
}

bool HasExtension(absl::string_view path) { return absl::StrContains(LastSegment(path), '.'); }

namespace {

// Appends letters, digits and the characters of `others` as they are, and the rest as %HH.
void AppendEncoded(absl::string_view text, absl::string_view others, std::string* out) {
  constexpr char kHex[] = "0123456789ABCDEF";
  for (char c : text) {
    if (absl::ascii_isalnum(static_cast<unsigned char>(c)) || absl::StrContains(others, c)) {
      out->push_back(c);
    } else {
      unsigned char byte = static_cast<unsigned char>(c);
      out->append({'%', kHex[byte >> 4], kHex[byte & 15]});
    }
  }
}

}  // namespace

void AppendPercentEncoded(absl::string_view path, std::string* out) {
  AppendEncoded(path, "-._~/", out);
}

void AppendQuery(absl::string_view query, std::string* out) {
  AppendEncoded(query, "-._~/?:@!$&'()*+,;=%", out);
}

}  // namespace knot
