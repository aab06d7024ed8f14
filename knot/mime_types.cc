#include "knot/mime_types.h"

#include <algorithm>
#include <cstdio>
#include <iterator>
#include <utility>

#include "absl/strings/ascii.h"
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

}  // namespace

MimeTypes::MimeTypes(absl::string_view table) {
  for (const auto& [extension, type] : kBuiltIn) Add(extension, type);
  for (absl::string_view line : absl::StrSplit(table, '\n')) {
    line = line.substr(0, line.find('#'));
    absl::string_view type;
    for (absl::string_view word :
         absl::StrSplit(line, absl::ByAnyChar(" \t\r"), absl::SkipEmpty())) {
      if (type.empty()) {
        type = word;
      } else {
        Add(word, type);
      }
    }
  }
}

void MimeTypes::Add(absl::string_view extension, absl::string_view type) {
  // Knot cannot know the encoding of a text; UTF-8 is what nearly all are, and without it browsers
  // guess.
  std::string value =
      absl::StartsWith(type, "text/") ? absl::StrCat(type, "; charset=utf-8") : std::string(type);
  type_by_extension_[absl::AsciiStrToLower(extension)] = std::move(value);
}

MimeTypes MimeTypes::FromSystem() {
  std::string table;
  if (std::FILE* file = std::fopen("/etc/mime.types", "re")) {
    char part[4096];
    while (size_t n = std::fread(part, 1, sizeof part, file)) table.append(part, n);
    std::fclose(file);
  }
  return MimeTypes(table);
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
