#include "knot/options_site.h"

#include <algorithm>

#include "absl/flags/flag.h"
#include "absl/status/statusor.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "knot/choice.h"
#include "knot/repeated.h"
#include "knot/site.h"

namespace knot {
namespace {

enum class Listing : uint8_t { kOff, kOn };

// Names of files, separated by commas, or "off".
struct FileNames {
  std::vector<std::string> list;
};

bool AbslParseFlag(absl::string_view text, FileNames* names, std::string* error) {
  constexpr size_t kMost = 16;
  constexpr size_t kLongest = 255;  // NAME_MAX
  names->list.clear();
  if (text == "off") return true;
  for (absl::string_view name : absl::StrSplit(text, ',')) {
    if (name.empty() || name.size() > kLongest || name == "." || name == ".." ||
        absl::StrContains(name, '/')) {
      *error = absl::StrCat("'", name, "' is not the name of a file");
      return false;
    }
    names->list.emplace_back(name);
  }
  if (names->list.size() > kMost) {
    *error = absl::StrCat("more than ", kMost, " names");
    return false;
  }
  return true;
}

std::string AbslUnparseFlag(const FileNames& names) {
  return names.list.empty() ? "off" : absl::StrJoin(names.list, ",");
}

}  // namespace

template <>
struct Names<Listing> {
  static constexpr Name<Listing> kList[] = {{Listing::kOff, "off"}, {Listing::kOn, "on"}};
};

}  // namespace knot

using knot::Choice;
using knot::FileNames;
using knot::Listing;
using knot::RepeatedText;

ABSL_FLAG(RepeatedText, host, {},
          "NAME[,NAME...]=DIR: serve DIR to requests for these hosts, and the positional directory "
          "to others; *.NAME covers every host below NAME; may be given more than once");
ABSL_FLAG(FileNames, index, (FileNames{{"index.html"}}),
          "names of the file that is sent for a directory, the first there is, or off");
ABSL_FLAG(bool, dotfiles, false,
          "serve files and directories whose name begins with a dot; without it only /.well-known/ "
          "is");
ABSL_FLAG(Choice<Listing>, listing, {Listing::kOff},
          "on: list the files of a directory that has no index; off: refuse to");
ABSL_FLAG(RepeatedText, error_page, {},
          "STATUS=/PATH: the file sent with this status, 400 to 599, instead of a page of Knot's; "
          "may be given more than once");
ABSL_FLAG(std::string, spa, "off",
          "path of the file that is sent, with status 200, for what is not found and has no "
          "extension, or off: for applications that route in the browser");
ABSL_FLAG(
    std::string, health, "off",
    "path that answers 200 while the server serves and 503 while it stops, and is not logged, "
    "or off");
ABSL_FLAG(std::string, mime_types, "off",
          "file of media types in the format of /etc/mime.types, which go before those, or off");
ABSL_FLAG(std::string, charset, "utf-8",
          "character set that the Content-Type of text files names, or none");

namespace knot {
namespace {

absl::Status CheckHosts(const std::vector<std::string>& hosts) {
  constexpr size_t kMost = 256;  // each has a descriptor
  if (hosts.size() > kMost) {
    return absl::InvalidArgumentError(absl::StrCat("--host: more than ", kMost, " directories"));
  }
  std::vector<std::string> names;
  for (const std::string& text : hosts) {
    absl::StatusOr<HostRule> rule = ParseHostRule(text);
    if (!rule.ok()) return rule.status();
    names.insert(names.end(), rule->names.begin(), rule->names.end());
  }
  std::sort(names.begin(), names.end());
  auto twice = std::adjacent_find(names.begin(), names.end());
  if (twice == names.end()) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("--host: ", *twice, " is named twice"));
}

absl::Status CheckCharset(absl::string_view charset) {
  constexpr size_t kLongest = 40;  // RFC 2978, 2.3
  bool good = !charset.empty() && charset.size() <= kLongest;
  for (char c : charset) {
    good = good && (absl::ascii_isalnum(c) || absl::StrContains("-_.+", c));
  }
  if (good) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("--charset=", charset, ": must be the name of a character set, or none"));
}

}  // namespace

SiteOptions SiteOptionsFromFlags() {
  SiteOptions options;
  options.hosts = absl::GetFlag(FLAGS_host).values;
  options.index = absl::GetFlag(FLAGS_index).list;
  options.dotfiles = absl::GetFlag(FLAGS_dotfiles);
  options.listing = absl::GetFlag(FLAGS_listing).value == Listing::kOn;
  options.error_pages = absl::GetFlag(FLAGS_error_page).values;
  options.spa = absl::GetFlag(FLAGS_spa);
  options.health = absl::GetFlag(FLAGS_health);
  options.mime_types = absl::GetFlag(FLAGS_mime_types);
  options.charset = absl::GetFlag(FLAGS_charset);
  return options;
}

absl::Status CheckSite(const SiteOptions& options) {
  absl::Status status = CheckHosts(options.hosts);
  status.Update(RulesOf(options).status());
  status.Update(ParsePathFlag("health", options.health).status());
  status.Update(CheckCharset(options.charset));
  if (options.mime_types.empty()) {
    status.Update(absl::InvalidArgumentError("--mime_types= : must be a file or off"));
  }
  return status;
}

}  // namespace knot
