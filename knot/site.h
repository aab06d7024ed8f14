// What is served: directories, each under its host names, and the rules by which a path becomes a
// reply where it is not simply a file.
#ifndef KNOT_SITE_H_
#define KNOT_SITE_H_

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "knot/options_site.h"

namespace knot {

// What a site does beside sending the file that a path names. All paths are canonical
// (knot/path.h), so every rule sees the same one. Never changes while it is used.
struct SiteRules {
  bool dotfiles = false;                   // hidden segments are served like others
  bool listing = false;                    // of directories without an index
  std::string spa;                         // sent for what is not found; empty: off
  std::map<int, std::string> error_pages;  // a file by the status it is sent with
};

// A directory and its rules.
struct Site {
  int number = 0;  // of its root in each FileCache
  int root = -1;   // descriptor
  std::string directory;
  SiteRules rules;
};

// The sites of a server, and which of them is meant by a host. Immutable.
class Sites {
 public:
  // Opens `directory`, the default site, and those that `options` names.
  // Errors: one line for people that names the directory, or the flag that is wrong.
  static absl::StatusOr<std::unique_ptr<Sites>> Open(const std::string& directory,
                                                     const SiteOptions& options);

  Sites(const Sites&) = delete;
  Sites& operator=(const Sites&) = delete;
  ~Sites();

  // Returns: the default site. Without --host it is the only one.
  const Site& first() const { return *list_.front(); }
  const std::vector<std::unique_ptr<Site>>& list() const { return list_; }

  // Finds the site of a host, in any case, with or without a port and a dot at its end: by its
  // name, else by the longest wildcard that covers it, else the default one. What is no host is
  // that of the default one, too. Never blocks.
  const Site& Find(absl::string_view host) const {
    return only_ != nullptr ? *only_ : FindByName(host);
  }

 private:
  Sites() = default;
  const Site& FindByName(absl::string_view host) const;
  absl::Status Add(const std::string& directory, const SiteRules& rules);

  std::vector<std::unique_ptr<Site>> list_;
  const Site* only_ = nullptr;  // null where there are several
  absl::flat_hash_map<std::string, const Site*> by_name_;
  absl::flat_hash_map<std::string, const Site*> by_ending_;  // ".example.org" of a wildcard
};

// A --host flag taken apart.
struct HostRule {
  std::vector<std::string> names;  // in lower case; a wildcard with its "*."
  std::string directory;
};

// Errors: InvalidArgument, one line that names the flag.
absl::StatusOr<HostRule> ParseHostRule(absl::string_view text);
absl::StatusOr<SiteRules> RulesOf(const SiteOptions& options);

// Takes the value of a flag that is a path beneath the root, or "off". Returns: the canonical path,
// or nothing for "off". Errors: as above.
absl::StatusOr<std::string> ParsePathFlag(absl::string_view flag, absl::string_view value);

}  // namespace knot

#endif  // KNOT_SITE_H_
