// What is served and by which rules: all that a reload replaces as a whole.
#ifndef KNOT_CONFIGURATION_H_
#define KNOT_CONFIGURATION_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "knot/cidr.h"
#include "knot/file_cache.h"
#include "knot/header_rules.h"
#include "knot/mime_types.h"
#include "knot/options.h"
#include "knot/site.h"

namespace knot {

class Policy;

// What all groups have in common, and nobody changes; a policy keeps count of clients.
struct Configuration {
  // Opens the directories and reads the files that `options` name. What clients may do is counted
  // on from `before`, the one in force or null, where the limits are the same. Starts no thread, so
  // that a process that forks may call it to see whether all is right.
  //
  // Errors: one line for people. Blocks: on the disk.
  static absl::StatusOr<std::shared_ptr<const Configuration>> Read(const Options& options,
                                                                   const Configuration* before);

  // As Read, and starts the threads that the rules need.
  static absl::StatusOr<std::shared_ptr<const Configuration>> Open(const Options& options,
                                                                   const Configuration* before);

  Configuration();
  Configuration(const Configuration&) = delete;
  Configuration& operator=(const Configuration&) = delete;
  ~Configuration();

  std::unique_ptr<Sites> sites;
  std::string health;  // empty: off
  MimeTypes types;
  HeaderRules headers;
  std::unique_ptr<Policy> policy;  // null: no rules
  AddressSet trusted_proxies;
  std::string warning;  // files that the rules of the sites name and that are not there, or ""
};

// Returns: for how many descriptors each host's directory, which stays open, counts.
int64_t HostRoots(const Options& options);

// Returns: the limits of one group's files: each of `groups` has its share, so that they share
// nothing. They refer to `configuration`.
FileCache::Limits CacheLimits(const Options& options, const Configuration& configuration,
                              int64_t descriptor_limit, int groups);

}  // namespace knot

#endif  // KNOT_CONFIGURATION_H_
