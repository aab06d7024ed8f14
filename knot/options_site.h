// The flags that say what is served, and how a path becomes a reply.
#ifndef KNOT_OPTIONS_SITE_H_
#define KNOT_OPTIONS_SITE_H_

#include <string>
#include <vector>

#include "absl/status/status.h"

namespace knot {

// As given; knot/site.h takes the rules apart.
struct SiteOptions {
  std::vector<std::string> hosts;  // NAME[,NAME...]=DIR
  std::vector<std::string> index;  // names of files, the first there is
  bool dotfiles = false;
  bool listing = false;
  std::vector<std::string> error_pages;  // STATUS=/PATH
  std::string spa = "off";               // a path, or "off", as the next
  std::string health = "off";
  std::string mime_types = "off";  // a file, or "off"
  std::string charset = "utf-8";   // or "none"
};

// Requires: flags were parsed.
SiteOptions SiteOptionsFromFlags();

// Errors: InvalidArgument, one line that names the flag and what is wrong with it.
absl::Status CheckSite(const SiteOptions& options);

}  // namespace knot

#endif  // KNOT_OPTIONS_SITE_H_
