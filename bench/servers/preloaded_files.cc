#include "bench/servers/preloaded_files.h"

#include <filesystem>
#include <system_error>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "bench/servers/common/caching.h"

namespace bench_server {
namespace {

constexpr uint32_t kOneSecond = 1;  // in which the cache asks for each file once

}  // namespace

absl::Status PreloadedFiles::Load(int root, const knot::MimeTypes& types, uint64_t limit_bytes) {
  absl::Status listed = List(root, limit_bytes);
  if (!listed.ok()) return listed;
  knot::FileCache::Limits limits;
  limits.bytes = INT64_MAX;
  limits.in_memory = UINT64_MAX;
  limits.headers = &SharedHeaderRules();
  knot::FileCache reader(root, types, limits);
  count_ = bytes_ = 0;
  for (auto& [path, lookup] : by_path_) {
    lookup = reader.Get(path, kOneSecond);
    if (lookup.status == 200 && lookup.file->use != nullptr) {
      ++count_;
      bytes_ += lookup.file->size;
    } else if (lookup.status >= 500 || lookup.status == 200) {
      return absl::ResourceExhaustedError(absl::StrCat("cannot read ", path, " into memory"));
    }
  }
  return absl::OkStatus();
}

// Makes an entry for each path that has an answer.
absl::Status PreloadedFiles::List(int root, uint64_t limit_bytes) {
  namespace fs = std::filesystem;
  const std::string top = absl::StrCat("/proc/self/fd/", root, "/");
  std::error_code error;
  uint64_t bytes = 0;
  by_path_[""];
  fs::recursive_directory_iterator entry(top, error), end;
  for (; !error && entry != end; entry.increment(error)) {
    std::string path = entry->path().native().substr(top.size());
    std::error_code unknown;  // a link that leads nowhere, or a file that has just gone
    if (entry->is_directory(unknown)) {
      by_path_[absl::StrCat(path, "/")];
    } else if (entry->is_regular_file(unknown)) {
      bytes += entry->file_size(unknown);
    }
    by_path_[path];
  }
  if (error) return absl::ErrnoToStatus(error.value(), "cannot list the directory");
  if (bytes > limit_bytes) {
    return absl::ResourceExhaustedError(
        absl::StrCat("the files have ", bytes >> 20, " MiB, and --preload_limit is ",
                     limit_bytes >> 20, "; raise it if the machine has that memory to spare"));
  }
  return absl::OkStatus();
}

int PreloadedFiles::Find(Connection&, absl::string_view path, HeldFile* file) {
  auto found = by_path_.find(path);
  if (found == by_path_.end()) {
    std::string plain = std::filesystem::path(std::string(path)).lexically_normal().native();
    if (plain == ".") plain.clear();
    if (plain == ".." || absl::StartsWith(plain, "../")) return 403;  // out of the root
    found = by_path_.find(plain);
    if (found == by_path_.end()) return 404;
  }
  const knot::Lookup& lookup = found->second;
  if (lookup.status != 200) return lookup.status;
  *file = HeldFile(lookup.file->reply, lookup.file->head_size, lookup.file->size, -1, nullptr);
  return 200;
}

}  // namespace bench_server
