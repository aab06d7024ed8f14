// The flags that say what is kept of files.
#ifndef BENCH_SERVERS_COMMON_CACHING_H_
#define BENCH_SERVERS_COMMON_CACHING_H_

#include <cstdint>

#include "bench/servers/common/program.h"
#include "knot/file_cache.h"
#include "knot/header_rules.h"

namespace bench_server {

// kContents: small files in memory, of larger ones the head and a descriptor, as Knot's
// --send=auto. kDescriptors: heads and descriptors, as in the paper. kDefault: the flag is not
// given.
enum class Cache : uint8_t { kDefault, kContents, kDescriptors };

// Returns: the value of --cache.
Cache CacheFlag();

// Returns: the limits of one of `caches` that share --cache_mb, and of which each has its own
// descriptors beside `connections`.
knot::FileCache::Limits CacheLimits(const Program& program, Cache cache, int caches,
                                    int64_t descriptor_limit, int64_t connections);

// Returns: what replies carry beside their own fields: what Knot's do where no flag says otherwise.
const knot::HeaderRules& SharedHeaderRules();

// Returns: the limits of a cache that keeps nothing, only finds files and prepares their heads.
knot::FileCache::Limits LoaderLimits();

}  // namespace bench_server

#endif  // BENCH_SERVERS_COMMON_CACHING_H_
