#include "bench/servers/common/caching.h"

#include "absl/flags/flag.h"
#include "knot/choice.h"
#include "knot/command_line.h"
#include "knot/descriptor_limit.h"
#include "knot/options_policy.h"
namespace knot {

template <>
struct Names<bench_server::Cache> {
  static constexpr Name<bench_server::Cache> kList[] = {
      {bench_server::Cache::kDefault, "default"},
      {bench_server::Cache::kContents, "contents"},
      {bench_server::Cache::kDescriptors, "descriptors"}};
};

}  // namespace knot

ABSL_FLAG(
    knot::Choice<bench_server::Cache>, cache, {bench_server::Cache::kDefault},
    "contents: small files are kept in memory, of larger ones the head and a descriptor; "
    "descriptors: of all files the head and a descriptor; default: the better for this server");
ABSL_FLAG(int, cache_mb, 64, "most memory for cached files, in MiB, in all");
ABSL_FLAG(int, cache_valid, 1,
          "seconds for which a cached file is served before it is asked whether the file on disk "
          "has changed");

namespace bench_server {

Cache CacheFlag() { return absl::GetFlag(FLAGS_cache).value; }

knot::FileCache::Limits CacheLimits(const Program& program, Cache cache, int caches,
                                    int64_t descriptor_limit, int64_t connections) {
  constexpr uint64_t kSmallFile = 64 * 1024;  // as Knot's --send=auto
  int megabytes = absl::GetFlag(FLAGS_cache_mb);
  program.FailUnless(knot::CheckRange("cache_mb", megabytes, 0, 1 << 20));
  int valid = absl::GetFlag(FLAGS_cache_valid);
  program.FailUnless(knot::CheckRange("cache_valid", valid, 1, 86'400));
  knot::FileCache::Limits limits;
  limits.valid_seconds = valid;
  limits.bytes = (int64_t{megabytes} << 20) / caches;
  limits.descriptors = knot::CachedDescriptors(descriptor_limit, connections);
  limits.in_memory = cache == Cache::kContents ? kSmallFile : 0;
  limits.headers = &SharedHeaderRules();
  return limits;
}

knot::FileCache::Limits LoaderLimits() {
  knot::FileCache::Limits limits;
  limits.headers = &SharedHeaderRules();
  return limits;
}

const knot::HeaderRules& SharedHeaderRules() {
  static const knot::HeaderRules& rules =
      *new knot::HeaderRules(*knot::HeaderRulesOf(knot::PolicyOptions()));
  return rules;
}

}  // namespace bench_server
