#include "bench/servers/userver_shared_cache.h"

#include <fcntl.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <mutex>
#include <new>

#include "absl/hash/hash.h"
#include "bench/servers/common/caching.h"
#include "bench/servers/common/process_group.h"

namespace bench_server {
namespace {

bool SameTime(const timespec& a, const timespec& b) {
  return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

// Knot's clock counts from the start of each process, so it is not that of all.
uint32_t Second() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
  return static_cast<uint32_t>(now.tv_sec) + 1;
}

}  // namespace

// Neither is inlined, so that a profile shows what locking costs.
[[gnu::noinline]] void SharedLock::lock() {
  uint32_t state = 0;
  if (state_.compare_exchange_strong(state, 1, std::memory_order_acquire)) return;
  if (state != 2) state = state_.exchange(2, std::memory_order_acquire);
  while (state != 0) {
    syscall(SYS_futex, &state_, FUTEX_WAIT, 2, nullptr, nullptr, 0);
    state = state_.exchange(2, std::memory_order_acquire);
  }
}

[[gnu::noinline]] void SharedLock::unlock() {
  if (state_.exchange(0, std::memory_order_release) == 2) {
    syscall(SYS_futex, &state_, FUTEX_WAKE, 1, nullptr, nullptr, 0);
  }
}

SharedCache::SharedCache(knot::FileCache::Limits limits, int root, const knot::MimeTypes& types)
    : entries_count_(static_cast<int>(std::max(limits.descriptors, int64_t{1}))),
      buckets_count_(static_cast<int>(std::bit_ceil(static_cast<unsigned>(entries_count_) * 2))),
      valid_seconds_(limits.valid_seconds),
      loader_(root, types, LoaderLimits()) {
  shared_ = new (SharedMemory(sizeof(Shared))) Shared;
  buckets_ = static_cast<int*>(SharedMemory(sizeof(int) * buckets_count_));
  std::fill_n(buckets_, buckets_count_, kNone);
  entries_ = static_cast<Entry*>(SharedMemory(sizeof(Entry) * entries_count_));
  for (int i = 0; i < entries_count_; ++i)
    entries_[i].next = i + 1 < entries_count_ ? i + 1 : kNone;
  shared_->unused = 0;
  shared_->doomed = kNone;
  shared_->hand = 0;
}

int SharedCache::Find(Connection&, absl::string_view path, HeldFile* file) {
  const uint32_t now = Second();
  const uint32_t hash = static_cast<uint32_t>(absl::HashOf(path));
  bool known;
  {
    std::lock_guard<SharedLock> lock(shared_->lock);
    int index = FindEntry(path, hash);
    known = index != kNone;
    if (known) {
      Entry& entry = entries_[index];
      entry.used = true;
      if (static_cast<int32_t>(now - entry.checked) < valid_seconds_) {
        *file = Hold(entry);
        return 200;
      }
      entry.checked = now;  // this process checks; the others serve what there is meanwhile
    }
  }
  (known ? shared_->checks : shared_->loads).fetch_add(1, std::memory_order_relaxed);
  knot::Lookup found = loader_.Get(path, now);
  std::lock_guard<SharedLock> lock(shared_->lock);
  int index = FindEntry(path, hash);
  if (found.status != 200) {
    if (index != kNone) Drop(index);
    return found.status;
  }
  const knot::File& loaded = *found.file;
  if (index != kNone) {
    const Entry& entry = entries_[index];
    bool same = entry.settled && entry.device == loaded.device && entry.inode == loaded.inode &&
                entry.size == loaded.size && SameTime(entry.modified, loaded.modified) &&
                SameTime(entry.changed, loaded.changed);
    if (!same) {
      Drop(index);
      index = kNone;
    }
  }
  if (index == kNone) index = Keep(path, hash, loaded, now);
  *file = index != kNone ? Hold(entries_[index]) : HeldFile(std::move(found.file));
  return 200;
}

int SharedCache::FindEntry(absl::string_view path, uint32_t hash) const {
  int index = buckets_[hash & (buckets_count_ - 1)];
  while (index != kNone && (entries_[index].hash != hash || entries_[index].Path() != path)) {
    index = entries_[index].next;
  }
  return index;
}

HeldFile SharedCache::Hold(Entry& entry) {
  entry.users.fetch_add(1, std::memory_order_relaxed);
  return HeldFile(absl::string_view(entry.head, entry.head_size), entry.head_size, entry.size,
                  entry.descriptor, &entry.users);
}

// Returns: its entry, or kNone where there is no room.
int SharedCache::Keep(absl::string_view path, uint32_t hash, const knot::File& file, uint32_t now) {
  if (path.size() > kMostPath || file.head_size > kMostHead) return kNone;
  int index = TakeUnused();
  if (index == kNone) return kNone;
  Entry& entry = entries_[index];
  entry.descriptor = fcntl(file.descriptor, F_DUPFD_CLOEXEC, 0);
  if (entry.descriptor < 0) {
    entry.next = shared_->unused;
    shared_->unused = index;
    return kNone;
  }
  entry.checked = now;
  entry.hash = hash;
  entry.kept = true;
  entry.used = false;
  entry.settled = file.settled;
  entry.path_size = static_cast<uint16_t>(path.size());
  entry.head_size = static_cast<uint16_t>(file.head_size);
  entry.size = file.size;
  entry.device = file.device;
  entry.inode = file.inode;
  entry.modified = file.modified;
  entry.changed = file.changed;
  std::memcpy(entry.path, path.data(), path.size());
  std::memcpy(entry.head, file.reply.data(), file.head_size);
  int& bucket = buckets_[hash & (buckets_count_ - 1)];
  entry.next = bucket;
  bucket = index;
  shared_->kept.fetch_add(1, std::memory_order_relaxed);
  return index;
}

int SharedCache::TakeUnused() {
  if (shared_->doomed != kNone) Sweep();
  if (shared_->unused == kNone && !EvictOne()) return kNone;
  int index = shared_->unused;
  shared_->unused = entries_[index].next;
  return index;
}

// Takes an entry out of the table. It is unused once nobody uses it.
void SharedCache::Drop(int index) {
  Entry& entry = entries_[index];
  int* link = &buckets_[entry.hash & (buckets_count_ - 1)];
  while (*link != index) link = &entries_[*link].next;
  *link = entry.next;
  entry.kept = false;
  shared_->kept.fetch_sub(1, std::memory_order_relaxed);
  entry.next = shared_->doomed;
  shared_->doomed = index;
  Sweep();
}

void SharedCache::Sweep() {
  for (int* link = &shared_->doomed; *link != kNone;) {
    int index = *link;
    Entry& entry = entries_[index];
    if (entry.users.load(std::memory_order_acquire) != 0) {
      link = &entry.next;
      continue;
    }
    *link = entry.next;
    close(entry.descriptor);
    entry.next = shared_->unused;
    shared_->unused = index;
  }
}

// Drops the first entry, in the order of the clock, that was not used since the hand passed and is
// not being sent. Returns: false where all are being sent.
bool SharedCache::EvictOne() {
  for (int steps = 2 * entries_count_; steps > 0; --steps) {
    int index = shared_->hand;
    shared_->hand = (index + 1) % entries_count_;
    Entry& entry = entries_[index];
    if (!entry.kept) continue;
    if (!entry.used && entry.users.load(std::memory_order_acquire) == 0) {
      Drop(index);
      return true;
    }
    entry.used = false;
  }
  return false;
}

SharedCache::Counts SharedCache::GetCounts() const {
  return {shared_->kept.load(), shared_->loads.load(), shared_->checks.load()};
}

}  // namespace bench_server
