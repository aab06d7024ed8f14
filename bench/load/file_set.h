// The file set of the static part of SPECweb99, and what every byte of it is.
//
// ROOT/dirNNNNN/classC_F: N from 00000, classes C = 0..3, files F = 1..9 of F times 102.4 bytes
// (rounded down), 1, 10 and 100 KiB: 36 files, 5,119,484 bytes a directory. 680 directories
// are the paper's 24,480 files, 3.2 GiB.
//
// A file is named by its index: directory * 36 + class * 9 + (F - 1). Its contents are a function
// of index and offset, so that a reply can be checked without a copy.
// Source: SPECweb99 Release 1.02; Pariag et al., EuroSys 2007, 3.3.
#ifndef BOBBIN_BENCH_LOAD_FILE_SET_H_
#define BOBBIN_BENCH_LOAD_FILE_SET_H_

#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace load {

inline constexpr uint32_t kClasses = 4;
inline constexpr uint32_t kFilesPerClass = 9;
inline constexpr uint32_t kFilesPerDirectory = kClasses * kFilesPerClass;
inline constexpr uint32_t kMaxDirectories = 99'999;  // five digits
inline constexpr size_t kPathLength = 18;            // of "/dirNNNNN/classC_F"
inline constexpr size_t kMaxFileSize = 921'600;

constexpr uint32_t FileIndex(uint32_t directory, uint32_t file_class, uint32_t file) {
  return directory * kFilesPerDirectory + file_class * kFilesPerClass + file - 1;
}

// Returns: 0..35, which of the 36 sizes the file has: class * 9 + (F - 1).
constexpr uint32_t SizeIndex(uint32_t index) { return index % kFilesPerDirectory; }

// Returns: the file's size. Units: bytes.
constexpr size_t FileSize(uint32_t index) {
  size_t file = index % kFilesPerClass + 1;
  switch (SizeIndex(index) / kFilesPerClass) {
    case 0:
      return file * 1024 / 10;
    case 1:
      return file * 1024;
    case 2:
      return file * 10'240;
    default:
      return file * 102'400;
  }
}

// Writes the path, kPathLength bytes without a NUL, to `out`.
void WritePath(uint32_t index, char* out);
std::string PathOf(uint32_t index);

// Returns: false where `path` is not one that WritePath makes.
bool ParsePath(absl::string_view path, uint32_t* index);

// Writes the `size` bytes at `offset` of the file's contents to `out`.
void FillContents(uint32_t index, size_t offset, char* out, size_t size);

// Returns: how many of the `size` bytes of `data`, from the first, are those at `offset` of the
// file.
size_t MatchingBytes(uint32_t index, size_t offset, const char* data, size_t size);

// Makes the file set under `root`, which may hold part of it: files of the right size whose first
// and last bytes are right are kept (with `verify` all bytes are looked at), others are replaced. A
// file appears whole or not at all. Progress goes to standard error.
//
// Errors: kResourceExhausted there is not enough room on the disk, said before anything is written
// where that is known; kInternal with the system's word for anything else.
// Blocks: this thread, for as long as the disk takes.
absl::Status MakeFileSet(const std::string& root, uint32_t directories, bool verify);

}  // namespace load

#endif  // BOBBIN_BENCH_LOAD_FILE_SET_H_
