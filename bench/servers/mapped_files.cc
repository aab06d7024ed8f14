#include "bench/servers/mapped_files.h"

#include <sys/mman.h>

#include <utility>

#include "knot/clock.h"

namespace bench_server {
namespace {

// All of it will be sent at once, so its pages are made present at once.
absl::string_view Map(const knot::File& file) {
  if (file.size == 0) return {"", 0};
  void* start = mmap(nullptr, file.size, PROT_READ, MAP_SHARED | MAP_POPULATE, file.descriptor, 0);
  if (start == MAP_FAILED) return {};
  return {static_cast<const char*>(start), file.size};
}

}  // namespace

MappedFiles::Mapped::Mapped(absl::string_view name, const knot::File& file)
    : path(name), head(file.Head()), contents(Map(file)) {}

MappedFiles::Mapped::~Mapped() {
  if (!contents.empty()) munmap(const_cast<char*>(contents.data()), contents.size());
}

// Requires: the mutex is held.
HeldFile MappedFiles::Hold(Mapped& mapped) {
  mapped.users.fetch_add(1, std::memory_order_relaxed);
  mapped.used = true;
  return HeldFile(mapped.head, mapped.contents, &mapped.users);
}

int MappedFiles::Find(Connection&, absl::string_view path, HeldFile* file) {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    auto found = by_path_.find(path);
    if (found != by_path_.end()) {
      *file = Hold(*found->second);
      return 200;
    }
  }
  knot::Lookup loaded = loader_.Get(path, knot::SecondsNow());
  if (loaded.status != 200) return loaded.status;
  auto mapped = std::make_unique<Mapped>(path, *loaded.file);
  std::unique_ptr<Mapped> old;  // goes when the mutex does not stand in others' way any more
  std::lock_guard<std::mutex> lock(mutex_);
  if (mapped->contents.data() == nullptr) {
    ++counts_.failures;
    return 503;
  }
  auto found = by_path_.find(path);
  if (found != by_path_.end()) {  // another thread was faster
    *file = Hold(*found->second);
    old = std::move(mapped);
    return 200;
  }
  std::unique_ptr<Mapped>& place = Place();
  old = std::exchange(place, std::move(mapped));
  by_path_[place->path] = place.get();
  ++counts_.maps;
  *file = Hold(*place);
  return 200;
}

// Returns: a new place, or that of a file that nobody sends and that was not asked for lately; it
// is not found any more.
std::unique_ptr<MappedFiles::Mapped>& MappedFiles::Place() {
  if (files_.size() < limit_) return files_.emplace_back();
  for (;;) {
    std::unique_ptr<Mapped>& place = files_[hand_];
    hand_ = (hand_ + 1) % files_.size();
    if (place->users.load(std::memory_order_acquire) != 0) continue;
    if (std::exchange(place->used, false)) continue;
    by_path_.erase(place->path);
    ++counts_.unmaps;
    return place;
  }
}

MappedFiles::Counts MappedFiles::GetCounts() {
  std::lock_guard<std::mutex> lock(mutex_);
  return counts_;
}

}  // namespace bench_server
