// What the servers send: a file's prepared head, and its contents or a descriptor.
#ifndef BENCH_SERVERS_COMMON_FILES_H_
#define BENCH_SERVERS_COMMON_FILES_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <utility>

#include "absl/strings/string_view.h"
#include "knot/clock.h"
#include "knot/file_cache.h"

namespace bench_server {

// A file as a reply sends it, kept as it is for as long as this object holds it.
class HeldFile {
 public:
  HeldFile() = default;

  // Holds a file of Knot's cache.
  explicit HeldFile(knot::FileRef file)
      : reply_(file->reply),
        head_size_(file->head_size),
        size_(file->size),
        descriptor_(file->descriptor),
        keeper_(std::move(file)) {}

  // Holds a file that somebody else keeps until `*users`, counted up by the caller before, is down
  // again; with no `users` for ever. `reply` is the head from Content-Type on, followed by the
  // contents where `descriptor` is negative.
  HeldFile(absl::string_view reply, size_t head_size, uint64_t size, int descriptor,
           std::atomic<uint32_t>* users)
      : reply_(reply), head_size_(head_size), size_(size), descriptor_(descriptor), users_(users) {}

  // Likewise, of a file whose contents are in memory, but not behind its head.
  HeldFile(absl::string_view head, absl::string_view contents, std::atomic<uint32_t>* users)
      : reply_(head),
        contents_(contents),
        head_size_(head.size()),
        size_(contents.size()),
        users_(users) {}

  HeldFile(HeldFile&& other) noexcept { *this = std::move(other); }
  HeldFile& operator=(HeldFile&& other) noexcept {
    if (this == &other) return *this;
    Release();
    reply_ = other.reply_;
    contents_ = other.contents_;
    head_size_ = other.head_size_;
    size_ = other.size_;
    descriptor_ = other.descriptor_;
    keeper_ = std::move(other.keeper_);
    users_ = std::exchange(other.users_, nullptr);
    return *this;
  }
  ~HeldFile() { Release(); }

  // Lets go of the file.
  void Release() {
    keeper_.reset();
    if (users_ != nullptr) {
      std::exchange(users_, nullptr)->fetch_sub(1, std::memory_order_release);
    }
  }

  absl::string_view reply() const { return reply_; }
  absl::string_view contents_apart() const { return contents_; }  // empty: they are in reply()
  absl::string_view head() const { return reply_.substr(0, head_size_); }
  uint64_t size() const { return size_; }
  int descriptor() const { return descriptor_; }
  bool in_memory() const { return descriptor_ < 0; }

 private:
  absl::string_view reply_;
  absl::string_view contents_;
  size_t head_size_ = 0;
  uint64_t size_ = 0;
  int descriptor_ = -1;
  knot::FileRef keeper_;
  std::atomic<uint32_t>* users_ = nullptr;
};

class Connection;

// Where a server finds files.
class Files {
 public:
  // Returned by Find where the answer comes later, through Connection::Resume.
  static constexpr int kLater = 0;

  virtual ~Files() = default;

  // Finds what `path` names, as knot::FileCache::Get does, for a request of `connection`.
  // Returns: 200 and `*file`; another status; or kLater.
  virtual int Find(Connection& connection, absl::string_view path, HeldFile* file) = 0;
};

// Knot's own cache.
class CachedFiles final : public Files {
 public:
  CachedFiles(int root, const knot::MimeTypes& types, knot::FileCache::Limits limits)
      : cache_(root, types, limits) {}

  int Find(Connection&, absl::string_view path, HeldFile* file) override {
    knot::Lookup found = cache_.Get(path, knot::SecondsNow());
    if (found.status == 200) *file = HeldFile(std::move(found.file));
    return found.status;
  }

  knot::FileCache& cache() { return cache_; }

 private:
  knot::FileCache cache_;
};

}  // namespace bench_server

#endif  // BENCH_SERVERS_COMMON_FILES_H_
