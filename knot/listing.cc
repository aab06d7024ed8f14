#include "knot/listing.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "knot/codings.h"
#include "knot/file_cache.h"
#include "knot/path.h"

namespace knot {
namespace {

constexpr absl::string_view kReplacement = "\xef\xbf\xbd";  // U+FFFD

struct Entry {
  std::string name;
  bool directory;
  uint64_t size;
  int64_t modified;
};

// Finds what a symbolic link leads to, beneath the root like every file that is served.
bool StatBeneath(int root, const std::string& path, struct stat* stat) {
  open_how how{};
  how.flags = O_PATH | O_CLOEXEC;
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS;
  int descriptor = static_cast<int>(syscall(SYS_openat2, root, path.c_str(), &how, sizeof how));
  if (descriptor < 0) return false;
  bool good = fstat(descriptor, stat) == 0;
  close(descriptor);
  return good;
}

// Reads kListingEntries entries; sets `*more` where there are others. Returns: as ListDirectory.
int ReadEntries(int root, absl::string_view path, bool hidden, std::vector<Entry>* entries,
                bool* more) {
  std::string directory(path.empty() ? "." : path);
  int descriptor = OpenBeneath(root, directory.c_str());
  DIR* stream = descriptor >= 0 ? fdopendir(descriptor) : nullptr;
  if (stream == nullptr) {
    int error = descriptor >= 0 ? errno : -descriptor;
    if (descriptor >= 0) close(descriptor);
    return error == EMFILE || error == ENFILE || error == ENOMEM ? 503 : 403;
  }
  constexpr size_t kMost = kListingEntries + 2;  // with "." and ".."
  int status = 200;
  for (size_t seen = 0;; ++seen) {
    errno = 0;
    const dirent* read = readdir(stream);
    if (read == nullptr && errno != 0) status = 500;
    *more = read != nullptr && seen == kMost;
    if (read == nullptr || *more) break;
    absl::string_view name = read->d_name;
    if (name == "." || name == ".." || (!hidden && IsHiddenName(name, path.empty()))) continue;
    struct stat stat;
    if (fstatat(descriptor, read->d_name, &stat, AT_SYMLINK_NOFOLLOW) != 0) continue;  // gone since
    if (S_ISLNK(stat.st_mode) && !StatBeneath(root, absl::StrCat(path, name), &stat)) continue;
    if (!S_ISREG(stat.st_mode) && !S_ISDIR(stat.st_mode)) continue;
    entries->push_back({std::string(name), S_ISDIR(stat.st_mode),
                        static_cast<uint64_t>(stat.st_size), stat.st_mtim.tv_sec});
  }
  closedir(stream);
  std::sort(entries->begin(), entries->end(), [](const Entry& a, const Entry& b) {
    return a.directory != b.directory ? a.directory : a.name < b.name;
  });
  return status;
}

// Returns: the length of the character at the start of `text`, or 0 where it is not UTF-8.
// Source: RFC 3629, 4.
size_t CharacterLength(absl::string_view text) {
  auto byte = [text](size_t i) { return static_cast<unsigned char>(text[i]); };
  unsigned char lead = byte(0);
  if (lead < 0x80) return 1;
  size_t length = lead < 0xc2 ? 0 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : lead < 0xf5 ? 4 : 0;
  if (length == 0 || length > text.size()) return 0;
  // What would be an overlong form, a surrogate, or beyond U+10FFFF.
  unsigned char low = lead == 0xe0 ? 0xa0 : lead == 0xf0 ? 0x90 : 0x80;
  unsigned char high = lead == 0xed ? 0x9f : lead == 0xf4 ? 0x8f : 0xbf;
  if (byte(1) < low || byte(1) > high) return 0;
  for (size_t i = 2; i < length; ++i) {
    if ((byte(i) & 0xc0) != 0x80) return 0;
  }
  return length;
}

// Returns: what stands for an ASCII character in HTML text and attributes; empty for itself.
absl::string_view HtmlEscape(char c) {
  switch (c) {
    case '&':
      return "&amp;";
    case '<':
      return "&lt;";
    case '>':
      return "&gt;";
    case '"':
      return "&quot;";
    case '\'':
      return "&#39;";
    default:
      // Other control characters have no place in HTML.
      return static_cast<unsigned char>(c) < 0x20 || c == 0x7f ? kReplacement : absl::string_view();
  }
}

void AppendHtml(absl::string_view text, std::string* out) {
  while (!text.empty()) {
    size_t length = CharacterLength(text);
    absl::string_view escape = length == 0 ? kReplacement : length == 1 ? HtmlEscape(text[0]) : "";
    absl::StrAppend(out, escape.empty() ? text.substr(0, length) : escape);
    text.remove_prefix(std::max<size_t>(length, 1));
  }
}

// Source: RFC 8259, 7.
void AppendJson(absl::string_view text, std::string* out) {
  while (!text.empty()) {
    size_t length = CharacterLength(text);
    char c = text[0];
    if (length == 0) {
      absl::StrAppend(out, kReplacement);
    } else if (c == '"' || c == '\\') {
      out->append({'\\', c});
    } else if (static_cast<unsigned char>(c) < 0x20) {
      absl::StrAppend(out, "\\u", absl::Hex(c, absl::kZeroPad4));
    } else {
      absl::StrAppend(out, text.substr(0, length));
    }
    text.remove_prefix(std::max<size_t>(length, 1));
  }
}

std::string TimeText(int64_t seconds, absl::string_view form) {
  return absl::FormatTime(form, absl::FromUnixSeconds(seconds), absl::UTCTimeZone());
}

void WriteHtmlEntry(const Entry& entry, std::string* out) {
  absl::string_view slash = entry.directory ? "/" : "";
  absl::StrAppend(out, "<tr><td><a href=\"./");  // so that no name is taken for a scheme
  AppendPercentEncoded(entry.name, out);
  absl::StrAppend(out, slash, "\">");
  AppendHtml(entry.name, out);
  absl::StrAppend(out, slash, "</a></td><td>");
  if (!entry.directory) absl::StrAppend(out, entry.size);
  absl::StrAppend(out, "</td><td>", TimeText(entry.modified, "%Y-%m-%d %H:%M"), "</td></tr>\n");
}

void WriteJsonEntry(const Entry& entry, std::string* out) {
  absl::StrAppend(out, "{\"name\":\"");
  AppendJson(entry.name, out);
  absl::StrAppend(out, "\",\"type\":\"", entry.directory ? "directory" : "file", "\",\"size\":");
  if (entry.directory) {
    absl::StrAppend(out, "null");
  } else {
    absl::StrAppend(out, entry.size);
  }
  absl::StrAppend(out, ",\"modified\":\"", TimeText(entry.modified, "%Y-%m-%dT%H:%M:%SZ"), "\"}");
}

std::string HtmlListing(absl::string_view path, const std::vector<Entry>& entries, bool more) {
  std::string title = "Index of /";
  AppendHtml(path, &title);
  std::string text = absl::StrCat(
      "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
      "<meta name=\"viewport\" content=\"width=device-width\">\n<title>",
      title,
      "</title>\n<style>body{font-family:sans-serif}td{padding:0 1em}td+td{text-align:right}"
      "</style>\n</head>\n<body>\n<h1>",
      title,
      "</h1>\n<table>\n<thead><tr><th>Name</th><th>Size</th><th>Modified (UTC)</th></tr></thead>\n"
      "<tbody>\n");
  if (!path.empty())
    absl::StrAppend(&text, "<tr><td colspan=\"3\"><a href=\"../\">../</a></td></tr>\n");
  for (const Entry& entry : entries) {
    size_t before = text.size();
    WriteHtmlEntry(entry, &text);
    if (text.size() <= kListingBytes) continue;
    text.resize(before);
    more = true;
    break;
  }
  absl::StrAppend(&text, "</tbody>\n</table>\n",
                  more ? "<p>There is more, which is not listed.</p>\n" : "", "</body>\n</html>\n");
  return text;
}

std::string JsonListing(const std::vector<Entry>& entries) {
  std::string text = "[";
  for (const Entry& entry : entries) {
    size_t before = text.size();
    absl::StrAppend(&text, text.size() > 1 ? ",\n" : "\n");
    WriteJsonEntry(entry, &text);
    if (text.size() <= kListingBytes) continue;
    text.resize(before);
    break;
  }
  absl::StrAppend(&text, "\n]\n");
  return text;
}

// How well a media range of an Accept field fits a type: 0 not at all, 3 by its full name.
int Fit(absl::string_view range, absl::string_view type) {
  if (absl::EqualsIgnoreCase(range, type)) return 3;
  if (range == "*/*") return 1;
  absl::string_view whole = type.substr(0, type.find('/') + 1);
  return absl::EndsWith(range, "/*") &&
                 absl::EqualsIgnoreCase(range.substr(0, range.size() - 1), whole)
             ? 2
             : 0;
}

// The weight of a type, that of the range that fits it best. A range with parameters of its own,
// such as application/json;v=2, is none of these types.
class TypeWeight {
 public:
  explicit TypeWeight(absl::string_view type) : type_(type) {}

  void Note(absl::string_view range, int weight) {
    int fit = Fit(range, type_);
    if (fit == 0 || fit < fit_) return;
    fit_ = fit;
    weight_ = weight;
  }
  int weight() const { return weight_; }

 private:
  const absl::string_view type_;
  int fit_ = 0;
  int weight_ = 0;
};

}  // namespace

int ListDirectory(int root, absl::string_view path, bool hidden, ListingForm form,
                  std::string* text) {
  std::vector<Entry> entries;
  bool more = false;
  int status = ReadEntries(root, path, hidden, &entries, &more);
  if (status != 200) return status;
  *text = form == ListingForm::kJson ? JsonListing(entries) : HtmlListing(path, entries, more);
  return 200;
}

bool PrefersJson(absl::string_view accept) {
  TypeWeight json("application/json");
  TypeWeight html("text/html");
  while (!accept.empty()) {
    absl::string_view element = TakeElement(&accept, ',');
    absl::string_view range = TakeElement(&element, ';');
    int weight = 1000;
    bool counts = true;
    while (!element.empty()) {
      absl::string_view value = TakeElement(&element, ';');
      absl::string_view key = TakeElement(&value, '=');
      if (absl::EqualsIgnoreCase(key, "q")) {
        weight = ParseWeight(value);
      } else {
        counts = counts && absl::EqualsIgnoreCase(key, "charset");
      }
    }
    if (!counts || weight < 0) continue;
    json.Note(range, weight);
    html.Note(range, weight);
  }
  return json.weight() > html.weight();
}

}  // namespace knot
