#include "knot/header_rules.h"

#include <fnmatch.h>

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace knot {
namespace {

// A second one would contradict the first, or end the reply where it does not end.
constexpr absl::string_view kWrittenByKnot[] = {
    "Accept-Ranges", "Allow",           "Connection",        "Content-Encoding",
    "Content-Range", "Content-Type",    "Content-Length",    "Date",
    "ETag",          "Keep-Alive",      "Last-Modified",     "Location",
    "Retry-After",   "Trailer",         "Transfer-Encoding", "Upgrade",
    "Vary",          "WWW-Authenticate"};

absl::Status Wrong(absl::string_view what) { return absl::InvalidArgumentError(what); }

bool IsGlob(absl::string_view text) { return !text.empty() && (text[0] == '/' || text[0] == '*'); }

absl::string_view WithoutSpace(absl::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

// What fnmatch takes for itself again.
std::string Literally(absl::string_view path) {
  std::string glob;
  for (char c : path) {
    if (absl::StrContains("*?[\\", c)) glob.push_back('\\');
    glob.push_back(c);
  }
  return glob;
}

bool Matches(const std::string& glob, const std::string& path) {
  return fnmatch(glob.c_str(), path.c_str(), 0) == 0;
}

absl::Status CheckName(absl::string_view name) {
  if (!IsToken(name)) return Wrong(absl::StrCat("'", name, "' is no name of a field"));
  for (absl::string_view written : kWrittenByKnot) {
    if (absl::EqualsIgnoreCase(name, written)) {
      return Wrong(absl::StrCat("Knot itself writes ", written));
    }
  }
  if (absl::EqualsIgnoreCase(name, "Cache-Control")) return Wrong("see --cache_control");
  if (absl::EqualsIgnoreCase(name, "X-Content-Type-Options")) return Wrong("see --nosniff");
  return absl::OkStatus();
}

}  // namespace

bool IsToken(absl::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
    return absl::ascii_isalnum(c) || absl::StrContains("!#$%&'*+-.^_`|~", c);
  });
}

bool IsFieldValue(absl::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) {
    return c == '\t' || (static_cast<unsigned char>(c) >= 0x20 && c != 0x7f);
  });
}

absl::Status HeaderRules::Count(size_t bytes) {
  bytes_ += bytes;
  if (bytes_ <= kMaxBytes) return absl::OkStatus();
  return Wrong(absl::StrCat("the fields are together more than ", kMaxBytes, " bytes"));
}

absl::Status HeaderRules::AddField(absl::string_view rule) {
  absl::string_view glob, field = rule;
  if (IsGlob(rule)) {
    size_t end = std::min(rule.find(':'), rule.size() - 1);
    glob = rule.substr(0, end);
    field = rule.substr(end + 1);
  }
  size_t colon = field.find(':');
  if (colon == absl::string_view::npos) return Wrong("must be [GLOB:]Name: value");
  absl::string_view name = field.substr(0, colon);
  absl::string_view value = WithoutSpace(field.substr(colon + 1));
  absl::Status status = CheckName(name);
  if (!status.ok()) return status;
  if (value.empty() || !IsFieldValue(value)) {
    return Wrong("the value must be text without line breaks and control characters");
  }
  std::string line = absl::StrCat(name, ": ", value, "\r\n");
  status = Count(line.size());
  if (!status.ok()) return status;
  if (glob.empty()) {
    AddToEvery(line);
  } else {
    fields_.push_back({std::string(glob), std::move(line)});
  }
  return absl::OkStatus();
}

absl::Status HeaderRules::AddCacheControl(absl::string_view rule) {
  size_t equals = rule.find('=');
  if (equals == absl::string_view::npos || !IsGlob(rule)) {
    return Wrong("must be GLOB=VALUE, with a GLOB that begins with / or *");
  }
  absl::string_view value = WithoutSpace(rule.substr(equals + 1));
  if (value.empty() || !IsFieldValue(value)) {
    return Wrong("the value must be text without line breaks and control characters");
  }
  std::string line = absl::StrCat("Cache-Control: ", value, "\r\n");
  absl::Status status = Count(line.size());
  if (!status.ok()) return status;
  cache_controls_.push_back({std::string(rule.substr(0, equals)), std::move(line)});
  return absl::OkStatus();
}

void HeaderRules::AddPrivate(absl::string_view path) {
  const std::string line = "Cache-Control: private\r\n";
  std::string glob = path == "/" ? "" : Literally(path);
  if (!glob.empty()) cache_controls_.push_back({glob, line});
  cache_controls_.push_back({absl::StrCat(glob, "/*"), line});
}

std::string HeaderRules::FieldsOf(absl::string_view name) const {
  std::string fields = every_;
  if (fields_.empty() && cache_controls_.empty()) return fields;
  std::string path = absl::StrCat("/", name);
  for (const Rule& rule : fields_) {
    if (Matches(rule.glob, path)) fields += rule.line;
  }
  for (const Rule& rule : cache_controls_) {
    if (!Matches(rule.glob, path)) continue;
    fields += rule.line;
    break;
  }
  return fields;
}

}  // namespace knot
