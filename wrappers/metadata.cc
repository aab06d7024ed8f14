#include "wrappers/metadata.h"

#include <fcntl.h>
#include <unistd.h>

#include "wrappers/cached_path.h"

namespace bobbin {

namespace {

uint64_t Argument(const Registers& r, int index) {
  const uint64_t values[] = {r.rdi, r.rsi, r.rdx, r.r10, r.r8, r.r9};
  return values[index];
}

// Tells whether the kernel knows all of the path without waiting. O_DIRECTORY has it refuse most
// files only after they were found, which spares the descriptor.
bool LookupIsCached(int directory, const char* path, bool follows) {
  const uint64_t flags = O_DIRECTORY | (follows ? 0 : O_NOFOLLOW);
  const long result = LookUpCached(directory, path, flags, 0, nullptr);
  if (result == -EAGAIN) return IsBeneathPlainFile(directory, path, 0);
  // No descriptor left to ask with; a kernel that cannot say.
  return result != -EMFILE && result != -ENFILE && result != -ENOSYS && result != -EINVAL;
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
  return CallOnWorker(scheduler, Lane::kMetadata, SignalEffect::kWait, SYS_lseek, fd, offset,
                      whence);
}

long Fadvise64(Scheduler* scheduler, int fd, int64_t offset, int64_t length, int advice) {
  // These two read, or write what is dirty; the others set a flag.
  if (advice != POSIX_FADV_WILLNEED && advice != POSIX_FADV_DONTNEED)
    return RawSyscall(SYS_fadvise64, fd, offset, length, advice);
  return CallOnWorker(scheduler, Lane::kDisk, SignalEffect::kWait, SYS_fadvise64, fd, offset,
                      length, advice);
}

long Bind(Scheduler* scheduler, int fd, const struct sockaddr* address, socklen_t length) {
  bool makes_file = length > sizeof address->sa_family && Readable(address, length) &&
                    address->sa_family == AF_UNIX && address->sa_data[0] != '\0';
  if (!makes_file) return RawSyscall(SYS_bind, fd, address, length);
  return CallOnWorker(scheduler, Lane::kMetadata, SignalEffect::kWait, SYS_bind, fd,
                      reinterpret_cast<long>(address), length);
}

}  // namespace bobbin
