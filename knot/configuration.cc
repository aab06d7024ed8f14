#include "knot/configuration.h"

#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "knot/descriptor.h"
#include "knot/descriptor_limit.h"
#include "knot/policy.h"

namespace knot {

namespace {

// Returns: which files that the rules name are not there. They may come later, so it is no error.
std::string MissingFiles(const Sites& sites) {
  std::vector<std::string> missing;
  for (const auto& site : sites.list()) {
    std::vector<std::string> files;
    if (!site->rules.spa.empty()) files.push_back(site->rules.spa);
    for (const auto& [status, file] : site->rules.error_pages) files.push_back(file);
    for (const std::string& file : files) {
      Descriptor opened(OpenBeneath(site->root, file.c_str()));
      if (opened.get() < 0) missing.push_back(absl::StrCat(site->directory, "/", file));
    }
  }
  if (missing.empty()) return "";
  return absl::StrCat("--error_page or --spa name what is not there: ",
                      absl::StrJoin(missing, ", "));
}

}  // namespace

Configuration::Configuration() = default;
Configuration::~Configuration() = default;

absl::StatusOr<std::shared_ptr<const Configuration>> Configuration::Read(
    const Options& options, const Configuration* before) {
  auto result = std::make_shared<Configuration>();
  absl::StatusOr<std::unique_ptr<Sites>> sites = Sites::Open(options.root, options.site);
  if (!sites.ok()) return sites.status();
  result->sites = *std::move(sites);
  absl::StatusOr<std::string> health = ParsePathFlag("health", options.site.health);
  if (!health.ok()) return health.status();
  result->health = *std::move(health);
  absl::StatusOr<MimeTypes> types = MimeTypes::Load(options.site.mime_types, options.site.charset);
  if (!types.ok()) return types.status();
  result->types = *std::move(types);
  absl::StatusOr<HeaderRules> headers = HeaderRulesOf(options.policy);
  if (!headers.ok()) return headers.status();
  result->headers = *std::move(headers);
  absl::StatusOr<std::unique_ptr<Policy>> policy = Policy::Make(
      options.policy, *result->sites, before != nullptr ? before->policy.get() : nullptr);
  if (!policy.ok()) return policy.status();
  result->policy = *std::move(policy);
  result->warning = MissingFiles(*result->sites);
  result->trusted_proxies = options.transport.trusted_proxies;
  return result;
}

absl::StatusOr<std::shared_ptr<const Configuration>> Configuration::Open(
    const Options& options, const Configuration* before) {
  absl::StatusOr<std::shared_ptr<const Configuration>> read = Read(options, before);
  if (!read.ok() || (*read)->policy == nullptr) return read;
  absl::Status status = (*read)->policy->Start();
  if (!status.ok()) return status;
  return read;
}

int64_t HostRoots(const Options& options) {
  return static_cast<int64_t>(options.site.hosts.size());
}

FileCache::Limits CacheLimits(const Options& options, const Configuration& configuration,
                              int64_t descriptor_limit, int groups) {
  constexpr uint64_t kSmallFile = 64 * 1024;  // --send=auto keeps files up to this in memory
  FileCache::Limits limits;
  limits.bytes = (int64_t{options.cache_mb} << 20) / options.processes / groups;
  limits.valid_seconds = options.cache_valid;
  limits.precompressed = options.precompressed;
  limits.compress = options.compress;
  limits.index = options.site.index;
  limits.headers = &configuration.headers;
  limits.descriptors =
      CachedDescriptors(descriptor_limit, options.threads + HostRoots(options)) / groups;
  switch (options.send) {
    case Send::kAuto:
      limits.in_memory = kSmallFile;
      break;
    case Send::kCache:
      limits.in_memory = limits.bytes / 4;  // one file must not sweep out all others
      break;
    default:
      limits.in_memory = 0;
  }
  return limits;
}

}  // namespace knot
