// What the kernel knows of a path without waiting.
//
// Callers: handlers of calls with a path that the kernel can read. Blocks: never. Source:
// openat2(2), RESOLVE_CACHED.
#ifndef BOBBIN_WRAPPERS_CACHED_PATH_H_
#define BOBBIN_WRAPPERS_CACHED_PATH_H_

#include <cstdint>

#include "wrappers/call.h"

namespace bobbin {

// Looks `path` up. `flags`: O_DIRECTORY, O_NOFOLLOW; `resolve`: RESOLVE_ flags. `mode`: where its
// st_mode goes; may be null. Returns: 0, -EAGAIN where the kernel does not know, or the lookup's
// error.
long LookUpCached(int directory, const char* path, uint64_t flags, uint64_t resolve,
                  unsigned* mode);

// Tells whether all but the last part of `path` is a regular file: the one error that a lookup
// which may not wait does not find out (it says -EAGAIN, not -ENOTDIR). Servers that look for a
// file beneath every part of a path meet it with each request.
bool IsBeneathPlainFile(int directory, const char* path, uint64_t resolve);

}  // namespace bobbin

#endif  // BOBBIN_WRAPPERS_CACHED_PATH_H_
