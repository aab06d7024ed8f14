// One cache of heads and descriptors for all processes of a server that share one table of
// descriptors.
//
// It lies in memory that is mapped before the processes are started. What is not in it is looked up
// with Knot's code; the descriptor that results is valid in every process.
//
// State of an entry   unused --Keep--> kept --changed, gone, or room needed--> doomed, while
// replies
//                     use it --Sweep--> unused
//
// Invariants
//   H1  The table changes only under the lock, which is not held over a system call on a file but
//       close.
//   H2  An entry that is used is neither changed nor its descriptor closed. `users` is counted up
//       under the lock only.
#ifndef BENCH_SERVERS_USERVER_SHARED_CACHE_H_
#define BENCH_SERVERS_USERVER_SHARED_CACHE_H_

#include <sys/types.h>
#include <time.h>

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "absl/strings/string_view.h"
#include "bench/servers/common/files.h"

namespace bench_server {

// A lock between processes: one atomic operation where nobody waits, else a futex.
// Source: Drepper, "Futexes are tricky", mutex 2.
class SharedLock {
 public:
  void lock();
  void unlock();

 private:
  std::atomic<uint32_t> state_{0};  // 0 free, 1 held, 2 held and perhaps waited for
};

class SharedCache final : public Files {
 public:
  // Makes a cache of at most limits.descriptors files. Requires: called before the processes are
  // started.
  SharedCache(knot::FileCache::Limits limits, int root, const knot::MimeTypes& types);

  int Find(Connection& connection, absl::string_view path, HeldFile* file) override;

  struct Counts {
    uint64_t entries, loads, checks;
  };
  Counts GetCounts() const;

 private:
  static constexpr int kNone = -1;
  static constexpr size_t kMostPath = 176;  // a longer path, or head, is served but not kept
  static constexpr size_t kMostHead = 320;

  struct Entry {
    std::atomic<uint32_t> users;
    int next;  // in its bucket, or among the doomed or the unused
    uint32_t checked;
    uint32_t hash;
    bool kept;
    bool used;  // since the hand of the clock last passed
    bool settled;
    int descriptor;
    uint16_t path_size;
    uint16_t head_size;
    uint64_t size;
    dev_t device;
    ino_t inode;
    timespec modified;
    timespec changed;
    char path[kMostPath];
    char head[kMostHead];

    absl::string_view Path() const { return {path, path_size}; }
  };

  struct Shared {
    SharedLock lock;
    int unused;
    int doomed;
    int hand;  // of the clock
    std::atomic<uint64_t> kept, loads, checks;
  };

  int FindEntry(absl::string_view path, uint32_t hash) const;
  HeldFile Hold(Entry& entry);
  int Keep(absl::string_view path, uint32_t hash, const knot::File& file, uint32_t now);
  int TakeUnused();
  void Drop(int index);
  void Sweep();
  bool EvictOne();

  const int entries_count_;
  const int buckets_count_;  // a power of two
  const int32_t valid_seconds_;
  Shared* shared_;
  int* buckets_;
  Entry* entries_;
  knot::FileCache loader_;  // keeps nothing
};

}  // namespace bench_server

#endif  // BENCH_SERVERS_USERVER_SHARED_CACHE_H_
