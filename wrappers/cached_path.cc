#include "wrappers/cached_path.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>

namespace bobbin {

long LookUpCached(int directory, const char* path, uint64_t flags, uint64_t resolve,
                  unsigned* mode) {
  struct open_how how = {};
  how.flags = O_PATH | O_CLOEXEC | flags;
  how.resolve = resolve | RESOLVE_CACHED;
  const long fd = RawSyscall(SYS_openat2, directory, path, &how, sizeof how);
  if (fd < 0) return fd;
  long result = 0;
  if (mode != nullptr) {
    struct stat status;
    result = RawSyscall(SYS_fstat, fd, &status) == 0 ? 0 : -EAGAIN;
    *mode = result == 0 ? status.st_mode : 0;
  }
  RawSyscall(SYS_close, fd);
  return result;
}

bool IsBeneathPlainFile(int directory, const char* path, uint64_t resolve) {
  constexpr size_t kLongest = 512;
  char parent[kLongest];
  size_t length = 0, end = 0;
  for (; length < kLongest && path[length] != '\0'; ++length) {
    parent[length] = path[length];
    if (path[length] == '/') end = length;
  }
  if (length == kLongest || end == 0) return false;
  parent[end] = '\0';
  unsigned mode;
  return LookUpCached(directory, parent, 0, resolve, &mode) == 0 && S_ISREG(mode);
}

}  // namespace bobbin
