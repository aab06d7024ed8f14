// Keeps files mapped into memory, with their heads.
//
// State of a path   unknown --Find--> mapped --room is needed, and nobody sends it--> unknown
//
// Invariants
//   M1  At most `limit` files are mapped. One that is being sent stays mapped.
//   M2  A mapped file is not looked at again: files are taken to stay as they are. Where one
//   shrinks
//       nevertheless, what is missing cannot be written (EFAULT), and its connection is closed.
#ifndef BENCH_SERVERS_MAPPED_FILES_H_
#define BENCH_SERVERS_MAPPED_FILES_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"
#include "bench/servers/common/caching.h"
#include "bench/servers/common/files.h"

namespace bench_server {

class MappedFiles final : public Files {
 public:
  struct Counts {
    uint64_t maps = 0;      // files mapped
    uint64_t unmaps = 0;    // of those, how many had to go again
    uint64_t failures = 0;  // files that could not be mapped
  };

  // Requires: limit is above the number of threads.
  MappedFiles(int root, const knot::MimeTypes& types, int limit)
      : loader_(root, types, LoaderLimits()), limit_(limit) {
    files_.reserve(limit);
  }

  int Find(Connection& connection, absl::string_view path, HeldFile* file) override;

  Counts GetCounts();

 private:
  struct Mapped {
    Mapped(absl::string_view name, const knot::File& file);
    ~Mapped();

    const std::string path;
    const std::string head;
    const absl::string_view contents;  // null where they could not be mapped
    std::atomic<uint32_t> users{0};
    bool used = true;  // since the hand last passed
  };

  static HeldFile Hold(Mapped& mapped);
  std::unique_ptr<Mapped>& Place();

  knot::FileCache loader_;  // keeps nothing: finds a file and prepares its head
  const size_t limit_;
  std::mutex mutex_;
  absl::flat_hash_map<absl::string_view, Mapped*> by_path_;  // keys are Mapped::path
  std::vector<std::unique_ptr<Mapped>> files_;
  size_t hand_ = 0;  // of the clock that chooses what to unmap
  Counts counts_;
};

}  // namespace bench_server

#endif  // BENCH_SERVERS_MAPPED_FILES_H_
