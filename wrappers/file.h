// Handlers of calls on files: cached, else worker; and of what makes, copies and closes
// descriptors.
//
// Source: open(2), openat2(2), preadv2(2), close(2), dup(2), fcntl(2), fsync(2), io_submit(2).
#ifndef BOBBIN_WRAPPERS_FILE_H_
#define BOBBIN_WRAPPERS_FILE_H_

#include <sys/types.h>
#include <sys/uio.h>

#include "wrappers/call.h"

struct open_how;

namespace bobbin {

// Transfers to or from a regular file; `offset` -1: at the file position. Cached data is copied at
// once, what can be read ahead when it has come, the rest by a worker; O_DIRECT descriptors go
// through Linux AIO.
long ReadFile(Scheduler* scheduler, int fd, const struct iovec* vectors, int count, int64_t offset);
long WriteFile(Scheduler* scheduler, int fd, const struct iovec* vectors, int count,
               int64_t offset);

long Pread(Scheduler* scheduler, int fd, void* buffer, size_t size, int64_t offset);
long Pwrite(Scheduler* scheduler, int fd, const void* buffer, size_t size, int64_t offset);
long Preadv2(Scheduler* scheduler, Registers* registers);
long Pwritev2(Scheduler* scheduler, Registers* registers);
long Openat(Scheduler* scheduler, int directory, const char* path, int flags, unsigned mode);
long Openat2(Scheduler* scheduler, int directory, const char* path, struct open_how* how,
             size_t size);
long Close(Scheduler* scheduler, int fd);
long CloseRange(Scheduler* scheduler, unsigned first, unsigned last, unsigned flags);
long Dup(Scheduler* scheduler, int fd);
long Dup3(Scheduler* scheduler, int from, int to, int flags, long nr);
long Fcntl(Scheduler* scheduler, int fd, int command, long argument);

}  // namespace bobbin

#endif  // BOBBIN_WRAPPERS_FILE_H_
