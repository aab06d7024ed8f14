#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <memory>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "bench/load/file_set.h"

namespace load {
namespace {

constexpr size_t kSample = 64;  // bytes looked at, at either end, of a file that is there

absl::Status Failed(absl::string_view what, const std::string& path) {
  int error = errno;
  std::string text = absl::StrCat(what, " ", path, ": ", strerror(error));
  if (error == ENOSPC || error == EDQUOT) {
    return absl::ResourceExhaustedError(
        absl::StrCat(text, "; make room and start again: what is there is kept"));
  }
  return absl::InternalError(text);
}

bool RightPart(int fd, uint32_t index, size_t offset, char* buffer, size_t size) {
  return pread(fd, buffer, size, static_cast<off_t>(offset)) == static_cast<ssize_t>(size) &&
         MatchingBytes(index, offset, buffer, size) == size;
}

// Writes one file set.
class Maker {
 public:
  Maker(const std::string& root, uint32_t directories, bool verify)
      : root_(root), directories_(directories), verify_(verify), buffer_(new char[kMaxFileSize]) {}

  absl::Status Make() {
    if (mkdir(root_.c_str(), 0755) != 0 && errno != EEXIST) return Failed("cannot make", root_);
    if (absl::Status status = CheckRoom(); !status.ok()) return status;
    for (uint32_t directory = 0; directory < directories_; ++directory) {
      if (absl::Status status = MakeDirectory(directory); !status.ok()) return status;
      if (directory % 64 == 63 || directory + 1 == directories_) {
        fprintf(stderr, "workload: %u of %u directories, %zu files written, %zu kept\n",
                directory + 1, directories_, written_, kept_);
      }
    }
    return absl::OkStatus();
  }

 private:
  // A disk that is too small is told now and not in a minute.
  absl::Status CheckRoom() {
    struct statvfs disk;
    if (statvfs(root_.c_str(), &disk) != 0) return Failed("cannot look at", root_);
    uint64_t needed = 0;
    for (uint32_t directory = 0; directory < directories_; ++directory) {
      struct stat found;
      std::string last = root_ + PathOf(FileIndex(directory, kClasses - 1, kFilesPerClass));
      if (stat(last.c_str(), &found) != 0) needed += DirectorySize();
    }
    uint64_t free = uint64_t{disk.f_bavail} * disk.f_frsize;
    if (needed <= free) return absl::OkStatus();
    return absl::ResourceExhaustedError(
        absl::StrFormat("not enough room in %s: %d MiB more are needed, %d MiB are free", root_,
                        (needed + (1 << 20) - 1) >> 20, free >> 20));
  }

  static uint64_t DirectorySize() {
    uint64_t sum = 0;
    for (uint32_t i = 0; i < kFilesPerDirectory; ++i) sum += (FileSize(i) + 4095) / 4096 * 4096;
    return sum;
  }

  absl::Status MakeDirectory(uint32_t directory) {
    uint32_t first = FileIndex(directory, 0, 1);
    std::string name = root_ + PathOf(first).substr(0, 9);
    if (mkdir(name.c_str(), 0755) != 0 && errno != EEXIST) return Failed("cannot make", name);
    for (uint32_t i = 0; i < kFilesPerDirectory; ++i) {
      if (IsThere(first + i)) {
        ++kept_;
      } else if (absl::Status status = WriteFile(first + i, name); !status.ok()) {
        return status;
      }
    }
    return absl::OkStatus();
  }

  bool IsThere(uint32_t index) {
    int fd = open((root_ + PathOf(index)).c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0) return false;
    absl::Cleanup close_fd = [fd] { close(fd); };
    struct stat found;
    const size_t size = FileSize(index);
    if (fstat(fd, &found) != 0 || !S_ISREG(found.st_mode) ||
        found.st_size != static_cast<off_t>(size)) {
      return false;
    }
    if (verify_) return RightPart(fd, index, 0, buffer_.get(), size);
    size_t sample = std::min(size, kSample);
    return RightPart(fd, index, 0, buffer_.get(), sample) &&
           RightPart(fd, index, size - sample, buffer_.get(), sample);
  }

  // Under another name first: a file under its own is whole, whatever happens meanwhile.
  absl::Status WriteFile(uint32_t index, const std::string& directory) {
    const std::string path = root_ + PathOf(index);
    const std::string partial = directory + "/.partial";
    const size_t size = FileSize(index);
    FillContents(index, 0, buffer_.get(), size);
    int fd = open(partial.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0) return Failed("cannot write", partial);
    absl::Cleanup remove_partial = [&] { unlink(partial.c_str()); };
    size_t done = 0;
    while (done < size) {
      ssize_t count = write(fd, buffer_.get() + done, size - done);
      if (count < 0 && errno == EINTR) continue;
      if (count < 0) {
        absl::Status failed = Failed("cannot write", path);
        close(fd);
        return failed;
      }
      done += static_cast<size_t>(count);
    }
    if (close(fd) != 0 || rename(partial.c_str(), path.c_str()) != 0) {
      return Failed("cannot write", path);
    }
    std::move(remove_partial).Cancel();
    ++written_;
    return absl::OkStatus();
  }

  const std::string root_;
  const uint32_t directories_;
  const bool verify_;
  const std::unique_ptr<char[]> buffer_;
  size_t written_ = 0;
  size_t kept_ = 0;
};

}  // namespace

absl::Status MakeFileSet(const std::string& root, uint32_t directories, bool verify) {
  return Maker(root, directories, verify).Make();
}

}  // namespace load
