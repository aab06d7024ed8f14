#include "wrappers/file.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <unistd.h>

#include "wrappers/cached_path.h"
#include "wrappers/io.h"
#include "wrappers/ioctl.h"
#include "wrappers/page_cache.h"
#include "wrappers/socket.h"

#ifndef RWF_NOWAIT
#define RWF_NOWAIT 8
#endif

namespace bobbin {

namespace {

constexpr int kAioDepth = 256;

struct DirectTransfer : DiskRequest {
  Thread* thread;
};

// One transfer through Linux AIO. Returns: -EOPNOTSUPP where AIO is not to be had for it.
long TransferDirect(Scheduler* scheduler, int fd, const struct iovec& vector, int64_t offset,
                    bool write) {
  RuntimeSection section(scheduler);
  DiskAio* disk = scheduler->disk();
  if (!disk->ready()) {
    if (disk->Init(kAioDepth) < 0) return -EOPNOTSUPP;
    if (scheduler->poller()->Watch(disk->event_fd(), 0, POLLIN) < 0) return -EOPNOTSUPP;
  }
  DirectTransfer transfer;
  transfer.thread = scheduler->current();
  transfer.done = [](DiskRequest* request) {
    Scheduler::MakeReady(static_cast<DirectTransfer*>(request)->thread);
  };
  long result = disk->Submit(&transfer, fd, vector.iov_base, vector.iov_len, offset, write);
  if (result < 0) return result == -EAGAIN ? -EOPNOTSUPP : result;
  ParkRequest request;
  request.waiting = Waiting::kDisk;
  request.argument = static_cast<uintptr_t>(fd);
  scheduler->Park(request);  // like any disk wait, not to be interrupted
  return transfer.result;
}

long DirectFile(Scheduler* scheduler, int fd, const struct iovec& vector, int64_t offset,
                bool write) {
  int64_t at = offset;
  if (offset < 0) {
    long flags = RawSyscall(SYS_fcntl, fd, F_GETFL);
    at = RawSyscall(SYS_lseek, fd, 0,
                    flags >= 0 && (flags & O_APPEND) != 0 && write ? SEEK_END : SEEK_CUR);
    if (at < 0) return at;
  }
  long result = TransferDirect(scheduler, fd, vector, at, write);
  if (offset < 0 && result > 0) RawSyscall(SYS_lseek, fd, at + result, SEEK_SET);
  return result;
}

// Reads what is not in the page cache as soon as it is. Returns: -EAGAIN where a worker must.
long ReadAwaited(Scheduler* scheduler, int fd, const struct iovec* vectors, int count,
                 int64_t offset) {
  constexpr size_t kMost = 1024 * 1024;  // at a time
  int64_t at = offset >= 0 ? offset : RawSyscall(SYS_lseek, fd, 0, SEEK_CUR);
  if (at < 0) return -EAGAIN;
  size_t length = 0;
  for (int i = 0; i < count && length < kMost; ++i) length += vectors[i].iov_len;
  SameFile file(fd);
  bool come = BringIn(scheduler, fd, at, length < kMost ? length : kMost);
  if (!file.Still()) return -EBADF;
  if (!come) return -EAGAIN;
  return RawSyscall(SYS_preadv2, fd, vectors, count, offset, -1L, RWF_NOWAIT);
}

long TransferFile(Scheduler* scheduler, int fd, const struct iovec* vectors, int count,
                  int64_t offset, bool write) {
  Descriptor* d = runtime().descriptors.Find(fd);
  if (d != nullptr && d->Has(Descriptor::kDirect) && count == 1) {
    long result = DirectFile(scheduler, fd, vectors[0], offset, write);
    if (result != -EOPNOTSUPP) return result;
  }
  int64_t at = offset;
  return WriteAll(scheduler, fd, vectors, count,
                  [&](Scheduler* s, int file, const struct iovec* rest, int parts, size_t, bool) {
                    long result = RawSyscall(write ? SYS_pwritev2 : SYS_preadv2, file, rest, parts,
                                             at, -1L, RWF_NOWAIT);
                    if (result == -EAGAIN && !write) result = ReadAwaited(s, file, rest, parts, at);
                    if (result == -EAGAIN || result == -EOPNOTSUPP) {
                      result = at < 0
                                   ? CallOnWorker(s, Lane::kDisk, write ? SYS_writev : SYS_readv,
                                                  file, reinterpret_cast<long>(rest), parts)
                                   : CallOnWorker(s, Lane::kDisk, write ? SYS_pwritev : SYS_preadv,
                                                  file, reinterpret_cast<long>(rest), parts, at, 0);
                    }
                    if (at >= 0 && result > 0) at += result;
                    return result;
                  });
}

// What open(2) would have given: the mode bits of the program's flags, and the descriptor's kind
// noted.
long FinishOpen(long fd, int flags) {
  if (fd < 0) return fd;
  runtime().descriptors.Reset(static_cast<int>(fd));
  Descriptor* d = runtime().descriptors.Find(static_cast<int>(fd));
  if (d != nullptr && (flags & O_DIRECT) != 0) d->Set(Descriptor::kDirect);
  return fd;
}

// Tells whether the kernel knows, without waiting, that the path names a file or directory. Others
// are not opened for a try: a FIFO's open is seen at its other end, a terminal's may wait.
// Returns: 0, -EAGAIN, or the error of the lookup.
long LookUpPlainFile(int directory, const char* path, const struct open_how& how) {
  unsigned mode;
  long result =
      LookUpCached(directory, path, how.flags & (O_DIRECTORY | O_NOFOLLOW), how.resolve, &mode);
  if (result < 0) return result;
  return S_ISREG(mode) || S_ISDIR(mode) ? 0 : -EAGAIN;
}

// Opens what the kernel has cached, without blocking. Returns: the descriptor; -EAGAIN when a
// worker must try.
long OpenCached(int directory, const char* path, const struct open_how& how) {
  auto flags = static_cast<int>(how.flags);
  if ((flags & (O_CREAT | O_TRUNC | __O_TMPFILE)) != 0) return -EAGAIN;
  struct open_how cached = how;
  cached.resolve |= RESOLVE_CACHED;
  bool asked = (flags & (O_NONBLOCK | O_PATH)) != 0;
  long fd = asked ? 0 : LookUpPlainFile(directory, path, how);
  if (fd == 0) {
    // A lease of another process is waited for otherwise.
    if (!asked) cached.flags |= O_NONBLOCK;
    fd = RawSyscall(SYS_openat2, directory, path, &cached, sizeof cached);
  }
  // ENXIO: a FIFO without a reader, whose blocking open would wait. EINVAL, ENOSYS: flags or a call
  // the kernel lacks.
  if (fd == -ENXIO || fd == -EINVAL || fd == -ENOSYS) return -EAGAIN;
  if (fd == -EAGAIN && IsBeneathPlainFile(directory, path, how.resolve)) return -ENOTDIR;
  if (fd >= 0 && !asked) RawSyscall(SYS_fcntl, fd, F_SETFL, flags);
  return fd;
}

}  // namespace

long ReadFile(Scheduler* scheduler, int fd, const struct iovec* vectors, int count,
              int64_t offset) {
  if (count <= 0 || count > IOV_MAX) {
    return offset < 0 ? RawSyscall(SYS_readv, fd, vectors, count)
                      : RawSyscall(SYS_preadv, fd, vectors, count, offset, 0);
  }
  return TransferFile(scheduler, fd, vectors, count, offset, false);
}

long WriteFile(Scheduler* scheduler, int fd, const struct iovec* vectors, int count,
               int64_t offset) {
  if (count <= 0 || count > IOV_MAX) {
    return offset < 0 ? RawSyscall(SYS_writev, fd, vectors, count)
                      : RawSyscall(SYS_pwritev, fd, vectors, count, offset, 0);
  }
  return TransferFile(scheduler, fd, vectors, count, offset, true);
}

long Pread(Scheduler* scheduler, int fd, void* buffer, size_t size, int64_t offset) {
  if (offset < 0 || size == 0 || runtime().descriptors.Kind(fd) != FileKind::kRegular) {
    return RawSyscall(SYS_pread64, fd, buffer, size, offset);
  }
  struct iovec vector = {buffer, size};
  return ReadFile(scheduler, fd, &vector, 1, offset);
}

long Pwrite(Scheduler* scheduler, int fd, const void* buffer, size_t size, int64_t offset) {
  if (offset < 0 || size == 0 || runtime().descriptors.Kind(fd) != FileKind::kRegular) {
    return RawSyscall(SYS_pwrite64, fd, buffer, size, offset);
  }
  struct iovec vector = {const_cast<void*>(buffer), size};
  return WriteFile(scheduler, fd, &vector, 1, offset);
}

namespace {

// preadv2 and pwritev2: without flags the older calls; with RWF_NOWAIT they do not wait; else a
// worker waits.
long TransferWithFlags(Scheduler* scheduler, const Registers& r, bool write) {
  auto fd = static_cast<int>(r.rdi);
  auto* vectors = reinterpret_cast<const struct iovec*>(r.rsi);
  auto count = static_cast<int>(r.rdx);
  auto offset = static_cast<int64_t>(r.r10);
  if ((r.r9 & RWF_NOWAIT) != 0) return CallHere(r);
  bool regular = runtime().descriptors.Kind(fd) == FileKind::kRegular;
  if (r.r9 == 0 && offset == -1)
    return write ? Writev(scheduler, fd, vectors, count) : Readv(scheduler, fd, vectors, count);
  if (r.r9 == 0 && regular && offset >= 0 && count > 0 &&
      Readable(vectors, count * sizeof *vectors))
    return write ? WriteFile(scheduler, fd, vectors, count, offset)
                 : ReadFile(scheduler, fd, vectors, count, offset);
  return CallOnWorker(scheduler, regular ? Lane::kDisk : Lane::kOther,
                      regular ? SignalEffect::kWait : SignalEffect::kRestart, r);
}

}  // namespace

long Preadv2(Scheduler* scheduler, Registers* registers) {
  return TransferWithFlags(scheduler, *registers, false);
}

long Pwritev2(Scheduler* scheduler, Registers* registers) {
  return TransferWithFlags(scheduler, *registers, true);
}

long Openat(Scheduler* scheduler, int directory, const char* path, int flags, unsigned mode) {
  struct open_how how = {};
  how.flags = static_cast<unsigned>(flags);
  long fd = OpenCached(directory, path, how);
  if (fd == -EAGAIN) {
    fd = CallOnWorker(scheduler, Lane::kMetadata, SYS_openat, directory,
                      reinterpret_cast<long>(path), flags, mode);
  }
  return FinishOpen(fd, flags);
}

long Openat2(Scheduler* scheduler, int directory, const char* path, struct open_how* how,
             size_t size) {
  if (size == sizeof *how && !Readable(how, size)) return -EFAULT;
  long fd = size == sizeof *how ? OpenCached(directory, path, *how) : -EAGAIN;
  if (fd == -EAGAIN) {
    fd = CallOnWorker(scheduler, Lane::kMetadata, SYS_openat2, directory,
                      reinterpret_cast<long>(path), reinterpret_cast<long>(how),
                      static_cast<long>(size));
  }
  return FinishOpen(fd, size >= sizeof how->flags ? static_cast<int>(how->flags) : 0);
}

long Close(Scheduler* scheduler, int fd) {
  Descriptors& table = runtime().descriptors;
  Descriptor* d = table.Find(fd);
  if (d == nullptr) return RawSyscall(SYS_close, fd);
  scheduler->BeforeClose(fd);
  bool lingers = d->Has(Descriptor::kLingers);
  // Before the number is free: from then on another kernel thread may be given it.
  table.Reset(fd);
  scheduler->ViewOf(fd);
  return lingers ? CallOnWorker(scheduler, Lane::kOther, SYS_close, fd) : RawSyscall(SYS_close, fd);
}

long CloseRange(Scheduler* scheduler, unsigned first, unsigned last, unsigned flags) {
  constexpr unsigned kCloseRangeCloexec = 4;
  if (first <= last && (flags & kCloseRangeCloexec) == 0) {
    Descriptors& table = runtime().descriptors;
    unsigned end = last < table.capacity() ? last + 1 : table.capacity();
    for (unsigned fd = first; fd < end; ++fd) {
      scheduler->BeforeClose(static_cast<int>(fd));
      table.Reset(static_cast<int>(fd));
    }
  }
  return RawSyscall(SYS_close_range, first, last, flags);
}

namespace {

// `to` is now another number for what `from` names.
void NoteDuplicate(int from, int to) {
  Descriptors& table = runtime().descriptors;
  Descriptor* source = table.Find(from);
  Descriptor* copy = table.Find(to);
  if (source == nullptr || copy == nullptr) return;
  table.Reset(to);
  source->Clear(Descriptor::kModeKnown);
  source->Set(Descriptor::kShared);
  copy->kind.store(source->kind.load(std::memory_order_relaxed), std::memory_order_relaxed);
  copy->flags.store(source->flags.load(std::memory_order_relaxed), std::memory_order_relaxed);
}

// A hidden O_NONBLOCK is for one number only, but a listening socket cannot do without.
void BeforeDuplicate(int fd) {
  Descriptor* d = runtime().descriptors.Find(fd);
  if (d != nullptr && d->kind.load(std::memory_order_relaxed) != FileKind::kListening) Unmanage(fd);
}

}  // namespace

long Dup(Scheduler*, int fd) {
  BeforeDuplicate(fd);
  long copy = RawSyscall(SYS_dup, fd);
  if (copy >= 0) NoteDuplicate(fd, static_cast<int>(copy));
  return copy;
}

long Dup3(Scheduler* scheduler, int from, int to, int flags, long nr) {
  bool valid = from != to && RawSyscall(SYS_fcntl, from, F_GETFD) >= 0;
  if (!valid) return RawSyscall(nr, from, to, flags);
  BeforeDuplicate(from);
  if (runtime().descriptors.Find(to) != nullptr) scheduler->BeforeClose(to);
  long copy = RawSyscall(nr, from, to, flags);
  if (copy >= 0) NoteDuplicate(from, to);
  return copy;
}

long Fcntl(Scheduler* scheduler, int fd, int command, long argument) {
  Descriptor* d = runtime().descriptors.Find(fd);
  bool managed = d != nullptr && d->Has(Descriptor::kRuntimeNonblock);
  switch (command) {
    case F_DUPFD:
    case F_DUPFD_CLOEXEC: {
      BeforeDuplicate(fd);
      long copy = RawSyscall(SYS_fcntl, fd, command, argument);
      if (copy >= 0) NoteDuplicate(fd, static_cast<int>(copy));
      return copy;
    }
    case F_GETFL: {
      long flags = RawSyscall(SYS_fcntl, fd, command, argument);
      bool hide = managed && flags >= 0 && !d->Has(Descriptor::kProgramNonblock);
      return hide ? flags & ~O_NONBLOCK : flags;
    }
    case F_SETFL: {
      long result = RawSyscall(SYS_fcntl, fd, command, managed ? argument | O_NONBLOCK : argument);
      if (result < 0 || d == nullptr) return result;
      NoteProgramMode(d, (argument & O_NONBLOCK) != 0);
      (argument & O_DIRECT) != 0 ? d->Set(Descriptor::kDirect) : d->Clear(Descriptor::kDirect);
      return result;
    }
    case F_SETLKW:
    case F_OFD_SETLKW: {
      long result =
          RawSyscall(SYS_fcntl, fd, command == F_SETLKW ? F_SETLK : F_OFD_SETLK, argument);
      if (result != -EAGAIN && result != -EACCES) return result;
      return CallOnWorker(scheduler, Lane::kOther, SYS_fcntl, fd, command, argument);
    }
    default:
      return RawSyscall(SYS_fcntl, fd, command, argument);
  }
}

}  // namespace bobbin
