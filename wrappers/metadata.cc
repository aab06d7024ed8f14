#include "wrappers/metadata.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <unistd.h>

namespace bobbin {

namespace {

uint64_t Argument(const Registers& r, int index) {
  const uint64_t values[] = {r.rdi, r.rsi, r.rdx, r.r10, r.r8, r.r9};
  return values[index];
}

// Tells whether the kernel knows all of the path without waiting. O_DIRECTORY has it refuse most
// files only after they were found, which spares the descriptor.
bool LookupIsCached(int directory, const char* path, bool follows) {
  struct open_how how = {};
  how.flags = O_PATH | O_CLOEXEC | O_DIRECTORY | (follows ? 0 : O_NOFOLLOW);
  how.resolve = RESOLVE_CACHED;
  long result = RawSyscall(SYS_openat2, directory, path, &how, sizeof how);
  if (result >= 0) {
    RawSyscall(SYS_close, result);
    return true;
  }
  // Not to be had without waiting; no descriptor left to ask with; a kernel that cannot say.
  return result != -EAGAIN && result != -EMFILE && result != -ENFILE && result != -ENOSYS &&
         result != -EINVAL;
}

// AT_EMPTY_PATH with an empty path means the descriptor itself: there is nothing to look up.
bool NamesDescriptor(const char* path, uint64_t flags) {
  if ((flags & AT_EMPTY_PATH) == 0) return false;
  if (path == nullptr) return true;
  return Readable(path, 1) && path[0] == '\0';
}

}  // namespace

long LookAtPath(Scheduler* scheduler, const Registers& registers, const PathShape& shape) {
  auto directory =
      shape.directory < 0 ? AT_FDCWD : static_cast<int>(Argument(registers, shape.directory));
  auto* path = reinterpret_cast<const char*>(Argument(registers, shape.path));
  uint64_t flags = shape.flags < 0 ? 0 : Argument(registers, shape.flags);
  bool follows = shape.follows && (flags & AT_SYMLINK_NOFOLLOW) == 0;
  if (NamesDescriptor(path, flags) || LookupIsCached(directory, path, follows))
    return CallHere(registers);
  return CallOnWorker(scheduler, Lane::kMetadata, SignalEffect::kWait, registers);
}

long Lseek(Scheduler* scheduler, int fd, int64_t offset, int whence) {
  // Where data and holes lie is on the disk.
  if (whence != SEEK_DATA && whence != SEEK_HOLE) return RawSyscall(SYS_lseek, fd, offset, whence);
  Registers r = {};
  r.rax = SYS_lseek;
  r.rdi = static_cast<uint64_t>(fd);
  r.rsi = static_cast<uint64_t>(offset);
  r.rdx = static_cast<uint64_t>(whence);
  return CallOnWorker(scheduler, Lane::kMetadata, SignalEffect::kWait, r);
}

long Fadvise64(Scheduler* scheduler, int fd, int64_t offset, int64_t length, int advice) {
  // These two read, or write what is dirty; the others set a flag.
  if (advice != POSIX_FADV_WILLNEED && advice != POSIX_FADV_DONTNEED)
    return RawSyscall(SYS_fadvise64, fd, offset, length, advice);
  Registers r = {};
  r.rax = SYS_fadvise64;
  r.rdi = static_cast<uint64_t>(fd);
  r.rsi = static_cast<uint64_t>(offset);
  r.rdx = static_cast<uint64_t>(length);
  r.r10 = static_cast<uint64_t>(advice);
  return CallOnWorker(scheduler, Lane::kDisk, SignalEffect::kWait, r);
}

long Bind(Scheduler* scheduler, int fd, const struct sockaddr* address, socklen_t length) {
  bool makes_file = length > sizeof address->sa_family && Readable(address, length) &&
                    address->sa_family == AF_UNIX && address->sa_data[0] != '\0';
  if (!makes_file) return RawSyscall(SYS_bind, fd, address, length);
  Registers r = {};
  r.rax = SYS_bind;
  r.rdi = static_cast<uint64_t>(fd);
  r.rsi = reinterpret_cast<uint64_t>(address);
  r.rdx = length;
  return CallOnWorker(scheduler, Lane::kMetadata, SignalEffect::kWait, r);
}

}  // namespace bobbin
