#include "runtime/descriptors.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "runtime/raw_syscall.h"

namespace bobbin {

namespace {

int SocketOption(int fd, int option) {
  int value = 0;
  socklen_t size = sizeof value;
  long result = RawSyscall(SYS_getsockopt, fd, SOL_SOCKET, option, &value, &size);
  return result < 0 ? -1 : value;
}

FileKind SocketKind(int fd) {
  if (SocketOption(fd, SO_ACCEPTCONN) == 1) return FileKind::kListening;
  int domain = SocketOption(fd, SO_DOMAIN);
  bool tcp =
      (domain == AF_INET || domain == AF_INET6) && SocketOption(fd, SO_PROTOCOL) == IPPROTO_TCP;
  return tcp ? FileKind::kTcp : FileKind::kSocket;
}

}  // namespace

void* MapLazily(size_t bytes) {
  long at = RawSyscall(SYS_mmap, 0, bytes, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  return at < 0 && at > -4096 ? nullptr : reinterpret_cast<void*>(at);
}

bool Descriptors::Init() {
  if (table_ != nullptr) return true;
  struct rlimit limit = {};
  RawSyscall(SYS_prlimit64, 0, RLIMIT_NOFILE, 0, &limit);
  unsigned capacity =
      limit.rlim_max > kMaxCapacity ? kMaxCapacity : static_cast<unsigned>(limit.rlim_max);
  table_ = static_cast<Descriptor*>(MapLazily(capacity * sizeof(Descriptor)));
  if (table_ == nullptr) return false;
  capacity_ = capacity;
  return true;
}

FileKind Descriptors::Kind(int fd) {
  Descriptor* d = Find(fd);
  FileKind kind = d == nullptr ? FileKind::kUnknown : d->kind.load(std::memory_order_relaxed);
  if (kind != FileKind::kUnknown) return kind;
  struct stat status;
  if (RawSyscall(SYS_fstat, fd, &status) < 0) return FileKind::kUnknown;
  switch (status.st_mode & S_IFMT) {
    case S_IFSOCK:
      kind = SocketKind(fd);
      break;
    case S_IFIFO:
      kind = FileKind::kPipe;
      break;
    case S_IFREG:
    case S_IFBLK:
      kind = FileKind::kRegular;
      break;
    case S_IFDIR:
      kind = FileKind::kDirectory;
      break;
    default:
      kind = FileKind::kPollable;
      break;  // character devices, and the nameless kinds of anon_inode
  }
  if (d != nullptr) d->kind.store(kind, std::memory_order_relaxed);
  return kind;
}

bool Descriptors::ProgramNonblock(int fd) {
  Descriptor* d = Find(fd);
  constexpr uint16_t kTold = Descriptor::kModeKnown | Descriptor::kRuntimeNonblock;
  if (d != nullptr && (d->flags.load(std::memory_order_relaxed) & kTold) != 0) {
    return d->Has(Descriptor::kProgramNonblock);
  }
  // Any process that shares the open file description may change it at any time, so ask. Only an
  // attempt that would block comes here.
  long flags = RawSyscall(SYS_fcntl, fd, F_GETFL);
  if (flags < 0) return false;
  if (d != nullptr && (flags & O_DIRECT) != 0) d->Set(Descriptor::kDirect);
  return (flags & O_NONBLOCK) != 0;
}

void Descriptors::ForgetModes() {
  for (unsigned fd = 0; fd < capacity_; ++fd) {
    // Entries never used stay uncommitted.
    if (table_[fd].Has(Descriptor::kModeKnown)) table_[fd].Clear(Descriptor::kModeKnown);
    if (table_[fd].Has(Descriptor::kRuntimeNonblock)) table_[fd].Set(Descriptor::kForked);
  }
}

}  // namespace bobbin
