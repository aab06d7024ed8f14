// Handlers of calls on sockets: data, connections, and what changes how a socket behaves.
//
// Sockets are left in the mode the program gave them and tried with MSG_DONTWAIT; only where no
// flag can do that (accept, sendfile) is O_NONBLOCK set behind the program's back, and hidden from
// it (Descriptor::kRuntimeNonblock). Source: socket(2), connect(2), accept(2), recv(2), send(2),
// recvmmsg(2), sendmmsg(2), shutdown(2), socket(7).
#ifndef BOBBIN_WRAPPERS_SOCKET_H_
#define BOBBIN_WRAPPERS_SOCKET_H_

#include <sys/socket.h>
#include <sys/uio.h>

#include "wrappers/io.h"

namespace bobbin {

// Requires, of those that take vectors: all `count` of them can be read.
long ReadSocket(Scheduler* scheduler, int fd, void* buffer, size_t size);
long ReadvSocket(Scheduler* scheduler, int fd, const struct iovec* vectors, int count);
long WriteSocket(Scheduler* scheduler, int fd, const void* buffer, size_t size);
long WritevSocket(Scheduler* scheduler, int fd, const struct iovec* vectors, int count);

long Recvfrom(Scheduler* scheduler, int fd, void* buffer, size_t size, int flags,
              struct sockaddr* address, socklen_t* length);
long Sendto(Scheduler* scheduler, int fd, const void* buffer, size_t size, int flags,
            const struct sockaddr* address, socklen_t length);
long Recvmsg(Scheduler* scheduler, int fd, struct msghdr* message, int flags);
long Sendmsg(Scheduler* scheduler, int fd, const struct msghdr* message, int flags);
long Recvmmsg(Scheduler* scheduler, int fd, struct mmsghdr* messages, unsigned count, int flags,
              struct timespec* limit);
long Sendmmsg(Scheduler* scheduler, int fd, struct mmsghdr* messages, unsigned count, int flags);

long Accept4(Scheduler* scheduler, int fd, struct sockaddr* address, socklen_t* length, int flags);
long Connect(Scheduler* scheduler, int fd, const struct sockaddr* address, socklen_t length);
long Socket(Scheduler* scheduler, int domain, int type, int protocol);
long Shutdown(Scheduler* scheduler, int fd, int how);
long Setsockopt(Scheduler* scheduler, int fd, int level, int option, const void* value,
                socklen_t size);

// Puts `fd` in non-blocking mode unseen by the program. Returns: false where that might be seen,
// because the open file description has other descriptors, unless `force` says that blocking would
// be worse.
bool Manage(int fd, bool force = false);

// Undoes Manage: the kernel's mode is the program's again.
void Unmanage(int fd);

// Repeats step(scheduler, fd, vectors, count, bytes, first) until every byte is written, as a
// blocking write does. Returns: the bytes written, or the first error when there are none.
template <typename Step>
long WriteAll(Scheduler* scheduler, int fd, const struct iovec* vectors, int count, Step step) {
  size_t total = 0;
  for (int i = 0; i < count; ++i) total += vectors[i].iov_len;
  size_t done = 0;
  size_t offset = 0;  // into vectors[0]
  for (bool first = true;; first = false) {
    long result;
    if (offset == 0) {
      result = step(scheduler, fd, vectors, count, total - done, first);
    } else {
      struct iovec rest = {static_cast<char*>(vectors->iov_base) + offset,
                           vectors->iov_len - offset};
      result = step(scheduler, fd, &rest, 1, rest.iov_len, first);
    }
    if (result < 0) return done != 0 ? static_cast<long>(done) : result;
    done += static_cast<size_t>(result);
    if (result == 0 || done >= total) return static_cast<long>(done);
    for (offset += static_cast<size_t>(result); count > 0 && offset >= vectors->iov_len;
         ++vectors, --count) {
      offset -= vectors->iov_len;
    }
  }
}

}  // namespace bobbin

#endif  // BOBBIN_WRAPPERS_SOCKET_H_
