#include "wrappers/io.h"

#include <fcntl.h>
#include <sys/time.h>

#include "runtime/ready_now.h"
#include "wrappers/file.h"
#include "wrappers/socket.h"

#ifndef RWF_NOWAIT
#define RWF_NOWAIT 8
#endif

namespace bobbin {

namespace {

constexpr size_t kAtomicPipeWrite = 4096;  // PIPE_BUF

// An attempt on a pipe, tty or other descriptor that is no socket and may be in blocking mode.
// RWF_NOWAIT never blocks; where the file does not know it, poll(2) says whether plain I/O would,
// and nobody else is on this kernel thread to take what it promised.
long NowaitAttempt(int fd, Direction direction, const struct iovec* vectors, int count) {
  bool write = direction == Direction::kWrite;
  long result =
      RawSyscall(write ? SYS_pwritev2 : SYS_preadv2, fd, vectors, count, -1L, -1L, RWF_NOWAIT);
  if (result != -EOPNOTSUPP) return result;
  if (!ReadyNow(fd, static_cast<short>(PollBits(direction)))) {
    // Nothing to wait for where the descriptor is not open that way.
    long allowed = RawSyscall(write ? SYS_writev : SYS_readv, fd, vectors, 0);
    return allowed < 0 ? allowed : -EAGAIN;
  }
  if (write && count > 0) {
    struct iovec first = vectors[0];
    if (first.iov_len > kAtomicPipeWrite) first.iov_len = kAtomicPipeWrite;
    return RawSyscall(SYS_write, fd, first.iov_base, first.iov_len);
  }
  return RawSyscall(SYS_readv, fd, vectors, count);
}

bool ProgramWantsEagain(int fd) { return runtime().descriptors.ProgramNonblock(fd); }

size_t TotalLength(const struct iovec* vectors, int count) {
  size_t total = 0;
  for (int i = 0; i < count; ++i) total += vectors[i].iov_len;
  return total;
}

// Plain read or write on a non-socket that poll can wait for.
long PollableTransfer(Scheduler* scheduler, int fd, Direction direction,
                      const struct iovec* vectors, int count) {
  if (ProgramWantsEagain(fd)) {
    return RawSyscall(direction == Direction::kWrite ? SYS_writev : SYS_readv, fd, vectors, count);
  }
  size_t total = TotalLength(vectors, count);
  if (direction == Direction::kRead) {
    return TryElsePark(scheduler, fd, direction, false, total,
                       [=](int at) { return NowaitAttempt(at, Direction::kRead, vectors, count); });
  }
  return WriteAll(
      scheduler, fd, vectors, count,
      [](Scheduler* s, int at, const struct iovec* rest, int parts, size_t length, bool) {
        return TryElsePark(s, at, Direction::kWrite, false, length, [=](int file) {
          return NowaitAttempt(file, Direction::kWrite, rest, parts);
        });
      });
}

}  // namespace

uint64_t SocketDeadline(int fd, Direction direction) {
  bool write = direction == Direction::kWrite;
  uint16_t none = write ? Descriptor::kNoSendTimeout : Descriptor::kNoReceiveTimeout;
  Descriptor* d = runtime().descriptors.Find(fd);
  if (d != nullptr && d->Has(none)) return kNever;
  struct timeval time = {};
  socklen_t size = sizeof time;
  if (RawSyscall(SYS_getsockopt, fd, SOL_SOCKET, write ? SO_SNDTIMEO : SO_RCVTIMEO, &time, &size) <
      0)
    return kNever;
  if (time.tv_sec == 0 && time.tv_usec == 0) {
    if (d != nullptr) d->Set(none);
    return kNever;
  }
  return runtime().clock.Now() + ToNanoseconds({time.tv_sec, time.tv_usec * 1000});
}

void NoteAttempt(Scheduler* scheduler, View* view, FileKind kind, Direction direction, long result,
                 size_t wanted) {
  if (result == -EAGAIN) {
    ++scheduler->counters().try_again;
    return;
  }
  // A short answer has drained (or filled) a TCP socket: the next attempt would fail. Not so after
  // hang-up or error, which are still to be reported, or at an urgent mark, where reads stop early.
  constexpr uint8_t kProvesNothing = View::kHangUp | View::kError | View::kUrgent;
  bool drained = kind == FileKind::kTcp && result > 0 && static_cast<size_t>(result) < wanted;
  if (!drained || (view->ready & kProvesNothing) != 0) view->ready |= ReadyBit(direction);
}

long ParkAndTry(Scheduler* scheduler, int fd, Direction direction, long (*attempt)(void*, int),
                void* state, size_t wanted) {
  Descriptors& table = runtime().descriptors;
  FileKind kind = table.Kind(fd);
  auto try_once = [&](int at) {
    scheduler->Expect(at, PollBits(direction));
    long result = attempt(state, at);
    if (View* view = scheduler->ViewOf(at))
      NoteAttempt(scheduler, view, kind, direction, result, wanted);
    return result;
  };
  if (table.ProgramNonblock(fd)) return try_once(fd);
  bool socket = kind == FileKind::kTcp || kind == FileKind::kSocket;
  uint64_t deadline = socket ? SocketDeadline(fd, direction) : kNever;
  Waiting waiting = direction == Direction::kRead ? Waiting::kReadable : Waiting::kWritable;
  DescriptorWait wait(scheduler, fd);
  for (;;) {
    long waited = wait.Wait(PollBits(direction), waiting, deadline);
    if (waited == -ETIMEDOUT) return -EAGAIN;
    // Calls on a socket with a time-out never restart (signal(7)).
    if (waited == -EINTR &&
        (!GoesOn(scheduler) || (deadline != kNever && scheduler->current()->handled))) {
      return -EINTR;
    }
    if (waited < 0 && waited != -EINTR) return waited == -EPERM ? attempt(state, fd) : waited;
    if (waited == -EINTR) continue;
    long result = try_once(wait.fd());
    if (result != -EAGAIN) return result;
  }
}

long Readv(Scheduler* scheduler, int fd, const struct iovec* vectors, int count) {
  if (count > 0 && count <= IOV_MAX && !Readable(vectors, count * sizeof *vectors)) return -EFAULT;
  switch (runtime().descriptors.Kind(fd)) {
    case FileKind::kTcp:
    case FileKind::kSocket:
      return ReadvSocket(scheduler, fd, vectors, count);
    case FileKind::kPipe:
    case FileKind::kPollable:
      if (count > 0 && count <= IOV_MAX)
        return PollableTransfer(scheduler, fd, Direction::kRead, vectors, count);
      break;
    case FileKind::kRegular:
      return ReadFile(scheduler, fd, vectors, count, -1);
    default:
      break;
  }
  return RawSyscall(SYS_readv, fd, vectors, count);
}

long Writev(Scheduler* scheduler, int fd, const struct iovec* vectors, int count) {
  if (count > 0 && count <= IOV_MAX && !Readable(vectors, count * sizeof *vectors)) return -EFAULT;
  switch (runtime().descriptors.Kind(fd)) {
    case FileKind::kTcp:
    case FileKind::kSocket:
      return WritevSocket(scheduler, fd, vectors, count);
    case FileKind::kPipe:
    case FileKind::kPollable:
      if (count > 0 && count <= IOV_MAX)
        return PollableTransfer(scheduler, fd, Direction::kWrite, vectors, count);
      break;
    case FileKind::kRegular:
      return WriteFile(scheduler, fd, vectors, count, -1);
    default:
      break;
  }
  return RawSyscall(SYS_writev, fd, vectors, count);
}

long Read(Scheduler* scheduler, int fd, void* buffer, size_t size) {
  FileKind kind = runtime().descriptors.Kind(fd);
  bool socket = kind == FileKind::kTcp || kind == FileKind::kSocket;
  if (socket && size != 0) return ReadSocket(scheduler, fd, buffer, size);
  if (size == 0 ||
      (kind != FileKind::kPipe && kind != FileKind::kPollable && kind != FileKind::kRegular)) {
    return RawSyscall(SYS_read, fd, buffer, size);
  }
  struct iovec vector = {buffer, size};
  return Readv(scheduler, fd, &vector, 1);
}

long Write(Scheduler* scheduler, int fd, const void* buffer, size_t size) {
  FileKind kind = runtime().descriptors.Kind(fd);
  if (kind == FileKind::kTcp || kind == FileKind::kSocket)
    return WriteSocket(scheduler, fd, buffer, size);
  if (size == 0 ||
      (kind != FileKind::kPipe && kind != FileKind::kPollable && kind != FileKind::kRegular)) {
    return RawSyscall(SYS_write, fd, buffer, size);
  }
  struct iovec vector = {const_cast<void*>(buffer), size};
  return Writev(scheduler, fd, &vector, 1);
}

long Vmsplice(Scheduler* scheduler, int fd, const struct iovec* vectors, size_t count,
              unsigned flags) {
  long mode = RawSyscall(SYS_fcntl, fd, F_GETFL);
  if (mode < 0 || count == 0) return RawSyscall(SYS_vmsplice, fd, vectors, count, flags);
  Direction direction = (mode & O_ACCMODE) == O_RDONLY ? Direction::kRead : Direction::kWrite;
  bool dont_wait = (flags & SPLICE_F_NONBLOCK) != 0;
  return TryElsePark(scheduler, fd, direction, dont_wait, SIZE_MAX, [=](int at) {
    return RawSyscall(SYS_vmsplice, at, vectors, count, flags | SPLICE_F_NONBLOCK);
  });
}

}  // namespace bobbin
