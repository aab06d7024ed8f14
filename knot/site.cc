#include "knot/site.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "knot/file_cache.h"
#include "knot/host.h"
#include "knot/request.h"

namespace knot {
namespace {

constexpr size_t kLongestName = 253;  // RFC 1035, 2.3.4, without the root's label

absl::Status Refuse(absl::string_view flag, absl::string_view value, absl::string_view why) {
  return absl::InvalidArgumentError(absl::StrCat("--", flag, "=", value, ": ", why));
}

// A name as --host takes it: simpler than what a Host field may hold, in which '*', ',' and '=' are
// characters like others.
bool IsSiteName(absl::string_view name) {
  absl::string_view host;
  bool wildcard = absl::ConsumePrefix(&name, "*.");
  if (name.size() > kLongestName || !ParseAuthority(name, &host) || host != name) return false;
  if (absl::StartsWith(name, "[")) return !wildcard;
  return std::all_of(name.begin(), name.end(), [](char c) {
    return absl::ascii_isalnum(static_cast<unsigned char>(c)) || absl::StrContains("-._", c);
  });
}

absl::Status OpenRoot(const std::string& directory, Site* site) {
  site->directory = directory;
  site->root = open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (site->root < 0) return absl::ErrnoToStatus(errno, absl::StrCat("cannot serve ", directory));
  int self = OpenBeneath(site->root, ".");
  if (self < 0) return absl::ErrnoToStatus(-self, "openat2, which Knot needs to stay in its root");
  close(self);
  if (char* path = realpath(directory.c_str(), nullptr)) {
    site->directory = path;
    std::free(path);
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<Sites>> Sites::Open(const std::string& directory,
                                                   const SiteOptions& options) {
  absl::StatusOr<SiteRules> rules = RulesOf(options);
  if (!rules.ok()) return rules.status();
  std::unique_ptr<Sites> sites(new Sites);
  absl::Status status = sites->Add(directory, *rules);
  for (const std::string& text : options.hosts) {
    absl::StatusOr<HostRule> rule = ParseHostRule(text);
    status.Update(rule.status());
    if (status.ok()) status = sites->Add(rule->directory, *rules);
    if (!status.ok()) break;
    const Site* site = sites->list_.back().get();
    for (absl::string_view name : rule->names) {
      bool wildcard = absl::ConsumePrefix(&name, "*");
      (wildcard ? sites->by_ending_ : sites->by_name_).emplace(name, site);
    }
  }
  if (!status.ok()) return status;
  if (sites->list_.size() == 1) sites->only_ = &sites->first();
  return sites;
}

absl::Status Sites::Add(const std::string& directory, const SiteRules& rules) {
  auto site = std::make_unique<Site>();
  site->number = static_cast<int>(list_.size());
  site->rules = rules;
  list_.push_back(std::move(site));
  return OpenRoot(directory, list_.back().get());
}

Sites::~Sites() {
  for (const auto& site : list_) {
    if (site->root >= 0) close(site->root);
  }
}

[[gnu::noinline]] const Site& Sites::FindByName(absl::string_view host) const {
  absl::string_view name;
  if (!ParseAuthority(host, &name)) return first();
  absl::ConsumeSuffix(&name, ".");
  if (name.size() > kLongestName) return first();
  char copy[kLongestName];
  std::transform(name.begin(), name.end(), copy,
                 [](unsigned char c) { return absl::ascii_tolower(c); });
  name = absl::string_view(copy, name.size());
  auto found = by_name_.find(name);
  if (found != by_name_.end()) return *found->second;
  // The longest ending comes first. A label stands before it.
  for (size_t dot = name.find('.', 1); dot != absl::string_view::npos;
       dot = name.find('.', dot + 1)) {
    found = by_ending_.find(name.substr(dot));
    if (found != by_ending_.end()) return *found->second;
  }
  return first();
}

absl::StatusOr<HostRule> ParseHostRule(absl::string_view text) {
  size_t equals = text.find('=');
  if (equals == absl::string_view::npos || equals + 1 == text.size()) {
    return Refuse("host", text, "must be NAME[,NAME...]=DIR");
  }
  HostRule rule;
  rule.directory = std::string(text.substr(equals + 1));
  for (absl::string_view name : absl::StrSplit(text.substr(0, equals), ',')) {
    absl::ConsumeSuffix(&name, ".");
    if (!IsSiteName(name)) {
      return Refuse("host", text, absl::StrCat("'", name, "' is not the name of a host"));
    }
    rule.names.push_back(absl::AsciiStrToLower(name));
  }
  return rule;
}

absl::StatusOr<std::string> ParsePathFlag(absl::string_view flag, absl::string_view value) {
  if (value == "off") return std::string();
  std::string scratch(value.size(), '\0');
  Target target = ParseTarget(value, scratch.data());
  if (target.status != 0 || !target.host.empty() || !target.query.empty() || target.path.empty() ||
      absl::EndsWith(target.path, "/")) {
    return Refuse(flag, value, "must be the path of a file, as /NAME, or off");
  }
  return std::string(target.path);
}

absl::StatusOr<SiteRules> RulesOf(const SiteOptions& options) {
  SiteRules rules;
  rules.dotfiles = options.dotfiles;
  rules.listing = options.listing;
  absl::StatusOr<std::string> spa = ParsePathFlag("spa", options.spa);
  if (!spa.ok()) return spa.status();
  rules.spa = *spa;
  for (const std::string& text : options.error_pages) {
    absl::string_view digits = absl::string_view(text).substr(0, text.find('='));
    absl::string_view rest = absl::StripPrefix(text, digits);
    int status = 0;
    if (!absl::SimpleAtoi(digits, &status) || status < 400 || status > 599 ||
        !absl::StartsWith(rest, "=/")) {
      return Refuse("error_page", text, "must be STATUS=/PATH, the status between 400 and 599");
    }
    absl::StatusOr<std::string> path = ParsePathFlag("error_page", rest.substr(1));
    if (!path.ok()) return Refuse("error_page", text, "the page must be the path of a file");
    if (!rules.error_pages.emplace(status, *std::move(path)).second) {
      return Refuse("error_page", text, "the status has one already");
    }
  }
  return rules;
}

}  // namespace knot
