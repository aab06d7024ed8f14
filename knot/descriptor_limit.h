// How many descriptors a server may open, and what it uses them for.
#ifndef KNOT_DESCRIPTOR_LIMIT_H_
#define KNOT_DESCRIPTOR_LIMIT_H_

#include <cstdint>

namespace knot {

inline constexpr int64_t kOtherDescriptors =
    64;  // standard streams, root, log, listening sockets, the runtime
inline constexpr int64_t kFileDescriptors = 64;  // files being sent that the cache has no room for

// Raises the soft limit as far as it goes, and the hard one where that is below `needed` and we
// may. Returns: the limit in force.
int64_t RaiseDescriptorLimit(int64_t needed);

// Returns: how many descriptors of files may be kept open beside so many connections.
int64_t CachedDescriptors(int64_t limit, int64_t connections);

}  // namespace knot

#endif  // KNOT_DESCRIPTOR_LIMIT_H_
