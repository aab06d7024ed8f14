#include "knot/descriptor_limit.h"

#include <sys/resource.h>

#include <algorithm>

namespace knot {

int64_t RaiseDescriptorLimit(int64_t needed) {
  rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return 1024;
  rlim_t most = std::max(limit.rlim_max, static_cast<rlim_t>(needed));
  rlimit raised{most, most};
  if (setrlimit(RLIMIT_NOFILE, &raised) != 0) {
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
  }
  getrlimit(RLIMIT_NOFILE, &limit);
  return static_cast<int64_t>(std::min<rlim_t>(limit.rlim_cur, 1 << 30));
}

int64_t CachedDescriptors(int64_t limit, int64_t connections) {
  constexpr int64_t kMost = 4096;
  int64_t spare = limit - connections - kOtherDescriptors - kFileDescriptors;
  return std::clamp(spare / 2, int64_t{0}, kMost);
}

}  // namespace knot
