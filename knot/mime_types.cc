#include "knot/mime_types.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <iterator>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace knot {
namespace {

constexpr std::pair<absl::string_view, absl::string_view> kBuiltIn[] = {
    {"html", "text/html"},        {"htm", "text/html"},         {"css", "text/css"},
    {"js", "text/javascript"},    {"mjs", "text/javascript"},   {"json", "application/json"},
    {"txt", "text/plain"},        {"md", "text/markdown"},      {"xml", "application/xml"},
    {"csv", "text/csv"},          {"svg", "image/svg+xml"},     {"png", "image/png"},
    {"jpg", "image/jpeg"},        {"jpeg", "image/jpeg"},       {"gif", "image/gif"},
    {"webp", "image/webp"},       {"avif", "image/avif"},       {"ico", "image/vnd.microsoft.icon"},
    {"woff", "font/woff"},        {"woff2", "font/woff2"},      {"ttf", "font/ttf"},
    {"pdf", "application/pdf"},   {"zip", "application/zip"},   {"gz", "application/gzip"},
    {"tar", "application/x-tar"}, {"wasm", "application/wasm"}, {"mp3", "audio/mpeg"},
    {"mp4", "video/mp4"},         {"webm", "video/webm"},       {"ogg", "audio/ogg"},
};

constexpr absl::string_view kUnknown = "application/octet-stream";
constexpr const char* kSystemTable = "/etc/mime.types";
constexpr size_t kMostBytes = 1 << 20;  // of a table; the system's has some ten thousand

// Reads a table, up to one byte more than it may have. Returns: false and errno.
bool ReadTable(const char* name, std::string* table) {
  std::FILE* file = std::fopen(name, "re");
  if (file == nullptr) return false;
  char part[4096];
  while (size_t n =
             std::fread(part, 1, std::min(sizeof part, kMostBytes + 1 - table->size()), file)) {
    table->append(part, n);
  }
  bool good = std::ferror(file) == 0;
  int error = errno;
  std::fclose(file);
  errno = error;
  return good;
}

std::vector<absl::string_view> WordsOf(absl::string_view line) {
  return absl::StrSplit(line.substr(0, line.find('#')), absl::ByAnyChar(" \t\r"),
                        absl::SkipEmpty());
}

// type "/" subtype, of characters of a token (RFC 9110, 5.6.2): nothing that could end the field.
bool IsType(absl::string_view text) {
  size_t slash = text.find('/');
  if (slash == absl::string_view::npos || slash == 0 || slash + 1 == text.size()) return false;
  for (size_t i = 0; i < text.size(); ++i) {
    if (i == slash || absl::ascii_isalnum(static_cast<unsigned char>(text[i]))) continue;
    if (!absl::StrContains("!#$%&'*+-.^_`|~", text[i])) return false;
  }
  return true;
}

}  // namespace

MimeTypes::MimeTypes(absl::string_view table, absl::string_view charset) {
  for (const auto& [extension, type] : kBuiltIn) Add(extension, type, charset);
  for (absl::string_view line : absl::StrSplit(table, '\n')) {
    std::vector<absl::string_view> words = WordsOf(line);
    if (words.empty() || !IsType(words[0])) continue;
    for (size_t i = 1; i < words.size(); ++i) Add(words[i], words[0], charset);
  }
}

void MimeTypes::Add(absl::string_view extension, absl::string_view type,
                    absl::string_view charset) {
  // Knot cannot know the encoding of a text; UTF-8 is what nearly all are, and without it browsers
  // guess.
  bool named = absl::StartsWith(type, "text/") && charset != "none";
  type_by_extension_[absl::AsciiStrToLower(extension)] =
      named ? absl::StrCat(type, "; charset=", charset) : std::string(type);
}

MimeTypes MimeTypes::FromSystem() {
  std::string table;
  ReadTable(kSystemTable, &table);
  return MimeTypes(table);
}

absl::StatusOr<MimeTypes> MimeTypes::Load(const std::string& file, absl::string_view charset) {
  std::string system, own;
  ReadTable(kSystemTable, &system);
  if (file == "off") return MimeTypes(system, charset);
  if (!ReadTable(file.c_str(), &own)) {
    return absl::ErrnoToStatus(errno, absl::StrCat("cannot read the media types in ", file));
  }
  if (own.size() > kMostBytes) {
    return absl::InvalidArgumentError(absl::StrCat(file, ": more than ", kMostBytes, " bytes"));
  }
  int number = 0;
  for (absl::string_view line : absl::StrSplit(own, '\n')) {
    ++number;
    std::vector<absl::string_view> words = WordsOf(line);
    if (words.empty() || IsType(words[0])) continue;
    return absl::InvalidArgumentError(
        absl::StrCat(file, ":", number, ": '", absl::CHexEscape(words[0]), "' is no media type"));
  }
  return MimeTypes(absl::StrCat(system, "\n", own), charset);
}

bool IsCompressible(absl::string_view type) {
  constexpr absl::string_view kTypes[] = {"application/javascript",
                                          "application/json",
                                          "application/ld+json",
                                          "application/wasm",
                                          "application/xml",
                                          "application/x-tar",
                                          "font/ttf",
                                          "font/otf",
                                          "image/bmp",
                                          "image/svg+xml",
                                          "image/vnd.microsoft.icon"};
  type = type.substr(0, type.find(';'));
  if (absl::StartsWith(type, "text/") || absl::EndsWith(type, "+xml") ||
      absl::EndsWith(type, "+json")) {
    return true;
  }
  return std::find(std::begin(kTypes), std::end(kTypes), type) != std::end(kTypes);
}

absl::string_view MimeTypes::TypeOf(absl::string_view path) const {
  absl::string_view name = path.substr(path.rfind('/') + 1);  // npos + 1 is 0
  size_t dot = name.rfind('.');
  if (dot == absl::string_view::npos || dot == 0) return kUnknown;
  auto found = type_by_extension_.find(absl::AsciiStrToLower(name.substr(dot + 1)));
  return found == type_by_extension_.end() ? kUnknown : absl::string_view(found->second);
}

}  // namespace knot
