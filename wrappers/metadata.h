// Handlers of calls on names, directories and attributes of files.
//
// What only looks is answered at once where the kernel has the path at hand, which a lookup that
// may not wait (openat2 with RESOLVE_CACHED) tells; else a worker makes the call. What changes a
// file system is always a worker's (docs/decisions/0016-metadata-calls.md). None is interrupted by
// a signal, as on Linux.
//
// Source: openat2(2), stat(2), access(2), rename(2), getdents(2), and so on.
#ifndef BOBBIN_WRAPPERS_METADATA_H_
#define BOBBIN_WRAPPERS_METADATA_H_

#include <sys/socket.h>

#include "wrappers/call.h"

namespace bobbin {

// Where a call has its path.
struct PathShape {
  int directory;  // argument that holds the directory's descriptor; -1: the working directory
  int path;       // argument that holds the path
  int flags;      // argument that holds AT_ flags; -1: none
  bool follows;   // the last symbolic link is followed, where no flag says otherwise
};

// Makes the call here where its path is cached, else on a worker.
long LookAtPath(Scheduler* scheduler, const Registers& registers, const PathShape& shape);

template <int directory, int path, int flags, bool follows>
long LookAt(Scheduler* scheduler, Registers* registers) {
  return LookAtPath(scheduler, *registers, {directory, path, flags, follows});
}

// Makes the call on a worker of `lane`, whatever it is.
template <Lane lane, SignalEffect on_signal>
long OnWorker(Scheduler* scheduler, Registers* registers) {
  return CallOnWorker(scheduler, lane, on_signal, *registers);
}

long Lseek(Scheduler* scheduler, int fd, int64_t offset, int whence);
long Fadvise64(Scheduler* scheduler, int fd, int64_t offset, int64_t length, int advice);
long Bind(Scheduler* scheduler, int fd, const struct sockaddr* address, socklen_t length);

}  // namespace bobbin

#endif  // BOBBIN_WRAPPERS_METADATA_H_
