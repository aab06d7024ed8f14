#include "bench/load/file_set.h"

#include <string.h>

#include <algorithm>

#include "absl/strings/ascii.h"

namespace load {
namespace {

// Steele et al.'s splitmix64: each word of a file by itself, a few cycles each.
uint64_t Word(uint64_t seed, uint64_t number) {
  uint64_t z = seed + number * 0x9E3779B97F4A7C15u;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
  return z ^ (z >> 31);
}

// Files must differ from their first word on, so that one served for another is seen.
uint64_t SeedOf(uint32_t index) { return Word(0x626f6262696e, index + 1u); }

bool ParseDigits(absl::string_view text, uint32_t* number) {
  *number = 0;
  for (char c : text) {
    if (!absl::ascii_isdigit(static_cast<unsigned char>(c))) return false;
    *number = *number * 10 + static_cast<uint32_t>(c - '0');
  }
  return true;
}

}  // namespace

void WritePath(uint32_t index, char* out) {
  memcpy(out, "/dir00000/class0_0", kPathLength);
  uint32_t directory = index / kFilesPerDirectory;
  for (char* digit = out + 8; directory != 0; directory /= 10, --digit) {
    *digit = static_cast<char>('0' + directory % 10);
  }
  out[15] = static_cast<char>('0' + SizeIndex(index) / kFilesPerClass);
  out[17] = static_cast<char>('1' + index % kFilesPerClass);
}

std::string PathOf(uint32_t index) {
  std::string path(kPathLength, '\0');
  WritePath(index, path.data());
  return path;
}

bool ParsePath(absl::string_view path, uint32_t* index) {
  uint32_t directory, file_class, file;
  if (path.size() != kPathLength || path.substr(0, 4) != "/dir" || path.substr(9, 6) != "/class" ||
      path[16] != '_' || !ParseDigits(path.substr(4, 5), &directory) ||
      !ParseDigits(path.substr(15, 1), &file_class) || !ParseDigits(path.substr(17, 1), &file) ||
      directory >= kMaxDirectories || file_class >= kClasses || file == 0) {
    return false;
  }
  *index = FileIndex(directory, file_class, file);
  return true;
}

void FillContents(uint32_t index, size_t offset, char* out, size_t size) {
  const uint64_t seed = SeedOf(index);
  uint64_t number = offset / sizeof(uint64_t);
  if (size_t skip = offset % sizeof(uint64_t); skip != 0 && size != 0) {
    uint64_t word = Word(seed, number++);
    size_t part = std::min(size, sizeof word - skip);
    memcpy(out, reinterpret_cast<char*>(&word) + skip, part);
    out += part;
    size -= part;
  }
  for (; size >= sizeof(uint64_t); size -= sizeof(uint64_t), out += sizeof(uint64_t)) {
    uint64_t word = Word(seed, number++);
    memcpy(out, &word, sizeof word);
  }
  if (size != 0) {
    uint64_t word = Word(seed, number);
    memcpy(out, &word, size);
  }
}

size_t MatchingBytes(uint32_t index, size_t offset, const char* data, size_t size) {
  char right[1024];
  for (size_t done = 0; done < size;) {
    size_t part = std::min(size - done, sizeof right);
    FillContents(index, offset + done, right, part);
    if (memcmp(right, data + done, part) != 0) {
      return done +
             static_cast<size_t>(std::mismatch(right, right + part, data + done).first - right);
    }
    done += part;
  }
  return size;
}

}  // namespace load
