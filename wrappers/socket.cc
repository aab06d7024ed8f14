#include "wrappers/socket.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stddef.h>

#include "runtime/ready_now.h"

namespace bobbin {

namespace {

bool Streams(FileKind kind) { return kind == FileKind::kTcp || kind == FileKind::kSocket; }

// MSG_WAITALL: goes on where the first attempt `got` less than asked, until everything, the end or
// an error. A stream's matter; on other sockets the flag means nothing and one attempt is all.
long ReceiveRest(Scheduler* scheduler, int fd, char* buffer, size_t size, int flags, long got) {
  while (got > 0 && static_cast<size_t>(got) < size) {
    char* rest = buffer + got;
    size_t wanted = size - static_cast<size_t>(got);
    long more = TryElsePark(scheduler, fd, Direction::kRead, false, wanted, [=](int at) {
      return RawSyscall6(SYS_recvfrom, at, reinterpret_cast<long>(rest), static_cast<long>(wanted),
                         flags | MSG_DONTWAIT, 0, 0);
    });
    if (more <= 0) break;
    got += more;
  }
  return got;
}

bool IsStreamSocket(int fd) {
  int type = 0;
  socklen_t size = sizeof type;
  return RawSyscall(SYS_getsockopt, fd, SOL_SOCKET, SO_TYPE, &type, &size) == 0 &&
         type == SOCK_STREAM;
}

long Attempt(long nr, int fd, const struct msghdr* message, int flags) {
  return RawSyscall(nr, fd, message, flags | MSG_DONTWAIT);
}

bool VectorsReadable(const struct msghdr* message) {
  return Readable(message, sizeof *message) &&
         (message->msg_iovlen > IOV_MAX ||
          Readable(message->msg_iov, message->msg_iovlen * sizeof *message->msg_iov));
}

// Calls visit(fd) for each descriptor that travels in the control data of `message`.
template <typename Visit>
void ForEachPassed(const struct msghdr* message, Visit visit) {
  if (message->msg_control == nullptr) return;
  auto* m = const_cast<struct msghdr*>(message);
  for (struct cmsghdr* part = CMSG_FIRSTHDR(m); part != nullptr; part = CMSG_NXTHDR(m, part)) {
    if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS ||
        part->cmsg_len < CMSG_LEN(0))
      continue;
    auto* fds = reinterpret_cast<const int*>(CMSG_DATA(part));
    for (size_t i = 0; i < (part->cmsg_len - CMSG_LEN(0)) / sizeof(int); ++i) visit(fds[i]);
  }
}

// Whoever receives a descriptor sees its real mode, which must be the program's; but a listening
// socket, at which threads may be parked, cannot do without.
void BeforePassing(int fd) {
  Descriptor* d = runtime().descriptors.Find(fd);
  if (d == nullptr) return;
  if (d->kind.load(std::memory_order_relaxed) != FileKind::kListening) Unmanage(fd);
  d->Clear(Descriptor::kModeKnown);
  d->Set(Descriptor::kShared);
}

// MSG_ERRQUEUE and MSG_OOB do not wait for what POLLIN says.
bool NeverWaits(int flags) { return (flags & (MSG_DONTWAIT | MSG_ERRQUEUE | MSG_OOB)) != 0; }

}  // namespace

long ReadSocket(Scheduler* scheduler, int fd, void* buffer, size_t size) {
  return Recvfrom(scheduler, fd, buffer, size, 0, nullptr, nullptr);
}

long Recvfrom(Scheduler* scheduler, int fd, void* buffer, size_t size, int flags,
              struct sockaddr* address, socklen_t* length) {
  size_t drains = (flags & MSG_PEEK) != 0 ? 0 : size;  // what is only looked at is still there
  long result =
      TryElsePark(scheduler, fd, Direction::kRead, NeverWaits(flags), drains, [=](int at) {
        return RawSyscall6(SYS_recvfrom, at, reinterpret_cast<long>(buffer),
                           static_cast<long>(size), flags | MSG_DONTWAIT,
                           reinterpret_cast<long>(address), reinterpret_cast<long>(length));
      });
  bool rest = (flags & (MSG_WAITALL | MSG_PEEK)) == MSG_WAITALL && result > 0 &&
              static_cast<size_t>(result) < size;
  if (__builtin_expect(rest, 0) && !NeverWaits(flags) &&
      !runtime().descriptors.ProgramNonblock(fd) && IsStreamSocket(fd)) {
    return ReceiveRest(scheduler, fd, static_cast<char*>(buffer), size, flags, result);
  }
  return result;
}

namespace {

// Requires: VectorsReadable(message).
long ReceiveMessage(Scheduler* scheduler, int fd, struct msghdr* message, int flags) {
  if (message->msg_iovlen > IOV_MAX) return -EMSGSIZE;
  size_t total = 0;
  for (size_t i = 0; i < message->msg_iovlen; ++i) total += message->msg_iov[i].iov_len;
  size_t drains = (flags & MSG_PEEK) != 0 ? 0 : total;
  long result = TryElsePark(scheduler, fd, Direction::kRead, NeverWaits(flags), drains,
                            [=](int at) { return Attempt(SYS_recvmsg, at, message, flags); });
  if (result >= 0 && message->msg_controllen != 0) {
    ForEachPassed(message, [](int passed) {
      runtime().descriptors.Reset(passed);
      if (Descriptor* d = runtime().descriptors.Find(passed)) d->Set(Descriptor::kShared);
    });
  }
  bool rest = (flags & (MSG_WAITALL | MSG_PEEK)) == MSG_WAITALL && result > 0 &&
              static_cast<size_t>(result) < total;
  if (!__builtin_expect(rest, 0) || NeverWaits(flags) ||
      runtime().descriptors.ProgramNonblock(fd) || !IsStreamSocket(fd)) {
    return result;
  }
  size_t skip = static_cast<size_t>(result);
  for (size_t i = 0; i < message->msg_iovlen; ++i) {
    const struct iovec& vector = message->msg_iov[i];
    if (skip >= vector.iov_len) {
      skip -= vector.iov_len;
      continue;
    }
    // The part already received counts as got, the rest of this vector is waited for.
    char* at = static_cast<char*>(vector.iov_base) + skip;
    size_t wanted = vector.iov_len - skip;
    skip = 0;
    long got = TryElsePark(scheduler, fd, Direction::kRead, false, wanted, [=](int file) {
      return RawSyscall6(SYS_recvfrom, file, reinterpret_cast<long>(at), static_cast<long>(wanted),
                         flags | MSG_DONTWAIT, 0, 0);
    });
    if (got > 0) got = ReceiveRest(scheduler, fd, at, wanted, flags, got);
    if (got <= 0) break;
    result += got;
    if (static_cast<size_t>(got) < wanted) break;
  }
  return result;
}

}  // namespace

long Recvmsg(Scheduler* scheduler, int fd, struct msghdr* message, int flags) {
  return VectorsReadable(message) ? ReceiveMessage(scheduler, fd, message, flags) : -EFAULT;
}

long ReadvSocket(Scheduler* scheduler, int fd, const struct iovec* vectors, int count) {
  if (count < 0 || count > IOV_MAX) return -EINVAL;
  struct msghdr message = {};
  message.msg_iov = const_cast<struct iovec*>(vectors);
  message.msg_iovlen = static_cast<size_t>(count);
  return ReceiveMessage(scheduler, fd, &message, 0);
}

long Sendto(Scheduler* scheduler, int fd, const void* buffer, size_t size, int flags,
            const struct sockaddr* address, socklen_t length) {
  auto attempt = [=](int at, const void* from, size_t bytes) {
    return RawSyscall6(SYS_sendto, at, reinterpret_cast<long>(from), static_cast<long>(bytes),
                       flags | MSG_DONTWAIT, reinterpret_cast<long>(address),
                       static_cast<long>(length));
  };
  bool dont_wait = (flags & MSG_DONTWAIT) != 0;
  long result = TryElsePark(scheduler, fd, Direction::kWrite, dont_wait, size,
                            [=](int at) { return attempt(at, buffer, size); });
  if (__builtin_expect(result < 0 || static_cast<size_t>(result) >= size || dont_wait, 1))
    return result;
  if (runtime().descriptors.ProgramNonblock(fd)) return result;
  struct iovec rest = {static_cast<char*>(const_cast<void*>(buffer)) + result,
                       size - static_cast<size_t>(result)};
  long more =
      WriteAll(scheduler, fd, &rest, 1,
               [&](Scheduler* s, int at, const struct iovec* part, int, size_t bytes, bool) {
                 const void* from = part->iov_base;
                 return TryElsePark(s, at, Direction::kWrite, false, bytes,
                                    [&](int file) { return attempt(file, from, bytes); });
               });
  return more < 0 ? result : result + more;
}

long WriteSocket(Scheduler* scheduler, int fd, const void* buffer, size_t size) {
  return Sendto(scheduler, fd, buffer, size, 0, nullptr, 0);
}

namespace {

// Requires: VectorsReadable(message).
long SendMessage(Scheduler* scheduler, int fd, const struct msghdr* message, int flags) {
  if (message->msg_iovlen > IOV_MAX) return -EMSGSIZE;
  size_t total = 0;
  for (size_t i = 0; i < message->msg_iovlen; ++i) total += message->msg_iov[i].iov_len;
  if (__builtin_expect(message->msg_controllen != 0, 0)) ForEachPassed(message, &BeforePassing);
  bool dont_wait = (flags & MSG_DONTWAIT) != 0;
  long result = TryElsePark(scheduler, fd, Direction::kWrite, dont_wait, total,
                            [=](int at) { return Attempt(SYS_sendmsg, at, message, flags); });
  if (__builtin_expect(result < 0 || static_cast<size_t>(result) >= total || dont_wait, 1))
    return result;
  if (runtime().descriptors.ProgramNonblock(fd)) return result;
  // Partly sent: the rest goes without the control data, which went with the first byte.
  size_t skip = static_cast<size_t>(result);
  struct iovec* vectors = message->msg_iov;
  int count = static_cast<int>(message->msg_iovlen);
  for (; skip >= vectors->iov_len; ++vectors, --count) skip -= vectors->iov_len;
  auto step = [&](Scheduler* s, int at, const struct iovec* part, int parts, size_t bytes, bool) {
    struct msghdr rest = {};
    rest.msg_name = message->msg_name;
    rest.msg_namelen = message->msg_namelen;
    rest.msg_iov = const_cast<struct iovec*>(part);
    rest.msg_iovlen = static_cast<size_t>(parts);
    return TryElsePark(s, at, Direction::kWrite, false, bytes,
                       [&](int file) { return Attempt(SYS_sendmsg, file, &rest, flags); });
  };
  struct iovec partial = {static_cast<char*>(vectors->iov_base) + skip, vectors->iov_len - skip};
  long more = WriteAll(scheduler, fd, &partial, 1, step);
  if (more > 0) result += more;
  if (more == static_cast<long>(partial.iov_len) && count > 1) {
    more = WriteAll(scheduler, fd, vectors + 1, count - 1, step);
    if (more > 0) result += more;
  }
  return result;
}

}  // namespace

long Sendmsg(Scheduler* scheduler, int fd, const struct msghdr* message, int flags) {
  return VectorsReadable(message) ? SendMessage(scheduler, fd, message, flags) : -EFAULT;
}

long WritevSocket(Scheduler* scheduler, int fd, const struct iovec* vectors, int count) {
  if (count < 0 || count > IOV_MAX) return -EINVAL;
  struct msghdr message = {};
  message.msg_iov = const_cast<struct iovec*>(vectors);
  message.msg_iovlen = static_cast<size_t>(count);
  return SendMessage(scheduler, fd, &message, 0);
}

long Recvmmsg(Scheduler* scheduler, int fd, struct mmsghdr* messages, unsigned count, int flags,
              struct timespec* limit) {
  if (limit != nullptr && !Readable(limit, sizeof *limit)) return -EFAULT;
  if (limit != nullptr && !ValidTime(*limit)) return -EINVAL;
  uint64_t start = limit != nullptr ? runtime().clock.Now() : 0;
  unsigned received = 0;
  for (; received < count && received < IOV_MAX; ++received) {
    if (!Writable(&messages[received], sizeof *messages))
      return received != 0 ? static_cast<long>(received) : -EFAULT;
    int each = flags & ~MSG_WAITFORONE;
    if ((flags & MSG_WAITFORONE) != 0 && received != 0) each |= MSG_DONTWAIT;
    long result = Recvmsg(scheduler, fd, &messages[received].msg_hdr, each);
    if (result < 0) return received != 0 ? static_cast<long>(received) : result;
    messages[received].msg_len = static_cast<unsigned>(result);
    // As the kernel does, the time is looked at after each message only (recvmmsg(2), BUGS).
    if (limit != nullptr && runtime().clock.Now() - start >= ToNanoseconds(*limit))
      return received + 1;
  }
  return received;
}

long Sendmmsg(Scheduler* scheduler, int fd, struct mmsghdr* messages, unsigned count, int flags) {
  unsigned sent = 0;
  for (; sent < count && sent < IOV_MAX; ++sent) {
    if (!Writable(&messages[sent], sizeof *messages))
      return sent != 0 ? static_cast<long>(sent) : -EFAULT;
    long result = Sendmsg(scheduler, fd, &messages[sent].msg_hdr, flags);
    if (result < 0) return sent != 0 ? static_cast<long>(sent) : result;
    messages[sent].msg_len = static_cast<unsigned>(result);
  }
  return sent;
}

bool Manage(int fd, bool force) {
  Descriptor* d = runtime().descriptors.Find(fd);
  if (d == nullptr) return false;
  if (d->Has(Descriptor::kRuntimeNonblock)) return true;
  if (d->Has(Descriptor::kShared) && !force) return false;
  long flags = RawSyscall(SYS_fcntl, fd, F_GETFL);
  if (flags < 0) return false;
  if (flags & O_NONBLOCK) return true;
  if (RawSyscall(SYS_fcntl, fd, F_SETFL, flags | O_NONBLOCK) < 0) return false;
  d->Clear(Descriptor::kProgramNonblock);
  d->Set(Descriptor::kRuntimeNonblock);
  return true;
}

void Unmanage(int fd) {
  Descriptor* d = runtime().descriptors.Find(fd);
  if (d == nullptr || !d->Has(Descriptor::kRuntimeNonblock)) return;
  long flags = RawSyscall(SYS_fcntl, fd, F_GETFL);
  if (flags >= 0 && !d->Has(Descriptor::kProgramNonblock))
    RawSyscall(SYS_fcntl, fd, F_SETFL, flags & ~O_NONBLOCK);
  d->Clear(Descriptor::kRuntimeNonblock);
}

namespace {

// Tries where a connection may be waiting, and hands further ones to parked threads. Returns:
// -EAGAIN where none is.
long AcceptNow(Scheduler* scheduler, int fd, const Acceptance& wanted) {
  View* view = scheduler->ViewOf(fd);
  bool program_asks = runtime().descriptors.ProgramNonblock(fd);
  if ((view->ready & View::kRead) == 0 && !program_asks) return -EAGAIN;
  scheduler->Expect(fd, POLLIN);
  if (!program_asks && !ReadyNow(fd, POLLIN)) return -EAGAIN;
  long result = RawSyscall(SYS_accept4, fd, wanted.address, wanted.address_length, wanted.flags);
  if (result == -EAGAIN) {
    ++scheduler->counters().try_again;
    return result;
  }
  view->ready |= View::kRead;
  if (result < 0) return result;
  scheduler->NoteAccepted(fd, static_cast<int>(result), wanted.flags);
  if (__builtin_expect(view->acceptors != nullptr, 0)) {
    RuntimeSection section(scheduler);
    scheduler->AcceptForWaiters(view, fd, 1 << 30);
  }
  return result;
}

long FinishAccept(Scheduler* scheduler, int asked, int used, long result) {
  if (used != asked) scheduler->ReleaseOrphan(used);
  return result;
}

}  // namespace

long Accept4(Scheduler* scheduler, int fd, struct sockaddr* address, socklen_t* length, int flags) {
  Descriptors& table = runtime().descriptors;
  View* view = scheduler->ViewOf(fd);
  if (view == nullptr) return RawSyscall(SYS_accept4, fd, address, length, flags);
  Descriptor* d = table.Find(fd);
  if (__builtin_expect(d->kind.load(std::memory_order_relaxed) != FileKind::kListening, 0)) {
    FileKind kind = table.Kind(fd);
    if (kind != FileKind::kListening) {
      // Perhaps it listens since: learn its kind anew. What is no listening socket answers at once.
      d->kind.store(FileKind::kUnknown, std::memory_order_relaxed);
      if (table.Kind(fd) != FileKind::kListening)
        return RawSyscall(SYS_accept4, fd, address, length, flags);
    }
    int protocol = 0;
    socklen_t size = sizeof protocol;
    RawSyscall(SYS_getsockopt, fd, SOL_SOCKET, SO_PROTOCOL, &protocol, &size);
    if (protocol == IPPROTO_TCP) d->Set(Descriptor::kTcpListener);
    SocketDeadline(fd, Direction::kRead);
    SocketDeadline(fd, Direction::kWrite);
  }
  if ((flags & ~(SOCK_NONBLOCK | SOCK_CLOEXEC)) != 0) return -EINVAL;
  // There is no flag for an accept that does not block, so the listening socket itself must not.
  Manage(fd, true);
  uint64_t deadline = kNever;
  bool asked = false;
  Acceptance acceptance = {address, length, flags, 0};
  Waiter waiter;
  waiter.fd = fd;
  waiter.events = POLLIN;
  waiter.acceptance = &acceptance;
  for (;;) {
    long result = AcceptNow(scheduler, waiter.fd, acceptance);
    if (result != -EAGAIN || table.ProgramNonblock(waiter.fd))
      return FinishAccept(scheduler, fd, waiter.fd, result);
    if (!asked) deadline = SocketDeadline(fd, Direction::kRead);
    asked = true;
    ParkRequest request;
    request.argument = static_cast<uintptr_t>(waiter.fd);
    request.deadline = deadline;
    request.interruptible = true;
    long waited = scheduler->WaitConnection(&waiter, request);
    if (waited == -EAGAIN) continue;
    if (waited == -EINTR && GoesOn(scheduler) &&
        !(deadline != kNever && scheduler->current()->handled))
      continue;
    result = waited == 0 ? acceptance.result : waited == -ETIMEDOUT ? -EAGAIN : waited;
    return FinishAccept(scheduler, fd, waiter.fd, result);
  }
}

namespace {

// Requires: `fd` is non-blocking.
long ConnectOrPark(Scheduler* scheduler, int fd, const struct sockaddr* address, socklen_t length) {
  Descriptor* d = runtime().descriptors.Find(fd);
  uint64_t deadline = SocketDeadline(fd, Direction::kWrite);
  // From here on the socket becomes another: forget what its views remember.
  if (d != nullptr) d->generation.fetch_add(2, std::memory_order_release);
  scheduler->Expect(fd, POLLOUT);
  long result = RawSyscall(SYS_connect, fd, address, length);
  if (result == -EAGAIN) {
    // A unix socket whose listener's backlog is full: no event announces room (unix(7)), so ask
    // again now and then.
    for (uint64_t pause = 1'000'000; result == -EAGAIN;
         pause = pause < 16'000'000 ? pause * 2 : pause) {
      uint64_t until = runtime().clock.Now() + pause;
      if (deadline <= until) return -EAGAIN;
      RuntimeSection section(scheduler);
      ParkRequest request;
      request.waiting = Waiting::kTime;
      request.deadline = until;
      request.withdraw = [](Thread*) { return true; };
      request.interruptible = true;
      if (scheduler->Park(request) == Wake::kInterrupted) return -EINTR;
      result = RawSyscall(SYS_connect, fd, address, length);
    }
    return result;
  }
  if (result != -EINPROGRESS) return result;
  DescriptorWait wait(scheduler, fd);
  for (;;) {
    long waited = wait.Wait(POLLOUT, Waiting::kWritable, deadline);
    if (waited == -ETIMEDOUT) return -EINPROGRESS;
    if (waited < 0 && (waited != -EINTR || !GoesOn(scheduler))) return waited;
    // Asking again finishes the connection, or says why there is none.
    scheduler->Expect(wait.fd(), POLLOUT);
    result = RawSyscall(SYS_connect, wait.fd(), address, length);
    if (result != -EALREADY && result != -EINPROGRESS) {
      scheduler->MayBeReady(wait.fd());
      return result;
    }
  }
}

}  // namespace

long Connect(Scheduler* scheduler, int fd, const struct sockaddr* address, socklen_t length) {
  Descriptors& table = runtime().descriptors;
  if (!Streams(table.Kind(fd)) || table.ProgramNonblock(fd)) {
    return RawSyscall(SYS_connect, fd, address, length);
  }
  Descriptor* d = table.Find(fd);
  bool was_managed = d != nullptr && d->Has(Descriptor::kRuntimeNonblock);
  if (!Manage(fd)) {
    return CallOnWorker(scheduler, Lane::kOther, SYS_connect, fd, reinterpret_cast<long>(address),
                        length);
  }
  long result = ConnectOrPark(scheduler, fd, address, length);
  if (!was_managed) Unmanage(fd);
  return result;
}

long Socket(Scheduler*, int domain, int type, int protocol) {
  long fd = RawSyscall(SYS_socket, domain, type, protocol);
  Descriptor* d = fd < 0 ? nullptr : runtime().descriptors.Find(static_cast<int>(fd));
  if (d == nullptr) return fd;
  bool tcp = (domain == AF_INET || domain == AF_INET6) && (type & 0xf) == SOCK_STREAM &&
             (protocol == 0 || protocol == IPPROTO_TCP);
  runtime().descriptors.Reset(static_cast<int>(fd));
  d->kind.store(tcp ? FileKind::kTcp : FileKind::kSocket, std::memory_order_relaxed);
  d->Set(Descriptor::kNoReceiveTimeout | Descriptor::kNoSendTimeout | Descriptor::kModeKnown);
  if ((type & SOCK_NONBLOCK) != 0) d->Set(Descriptor::kProgramNonblock);
  return fd;
}

long Shutdown(Scheduler* scheduler, int fd, int how) {
  long result = RawSyscall(SYS_shutdown, fd, how);
  uint32_t events = how == SHUT_RD ? POLLIN : how == SHUT_WR ? POLLOUT : POLLIN | POLLOUT;
  if (result == 0) scheduler->AfterShutdown(fd, events);
  return result;
}

long Setsockopt(Scheduler*, int fd, int level, int option, const void* value, socklen_t size) {
  Descriptor* d = runtime().descriptors.Find(fd);
  if (d != nullptr) {
    // The numbers of SO_RCVTIMEO and SO_SNDTIMEO, and of their 64-bit variants.
    if (level == SOL_SOCKET && (option == 20 || option == 66))
      d->Clear(Descriptor::kNoReceiveTimeout);
    if (level == SOL_SOCKET && (option == 21 || option == 67)) d->Clear(Descriptor::kNoSendTimeout);
    if (level == SOL_SOCKET && option == SO_LINGER) d->Set(Descriptor::kLingers);
    // Kernel TLS reads stop at record boundaries: a short read proves nothing.
    if (level == IPPROTO_TCP && option == TCP_ULP)
      d->kind.store(FileKind::kSocket, std::memory_order_relaxed);
  }
  return RawSyscall(SYS_setsockopt, fd, level, option, value, size);
}

}  // namespace bobbin
