// All files of a directory, read into memory once.
#ifndef BENCH_SERVERS_PRELOADED_FILES_H_
#define BENCH_SERVERS_PRELOADED_FILES_H_

#include <cstdint>
#include <string>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "bench/servers/common/files.h"

namespace bench_server {

// Invariants
//   P1  After Load nothing changes, in memory or by changes of the files: any thread may look up,
//   and
//       no look-up writes to memory that another reads.
class PreloadedFiles final : public Files {
 public:
  // Reads the files beneath the directory `root`, symbolic links that lead out of it excepted.
  //
  // Errors: ResourceExhausted their sizes add up to more than `limit_bytes`, which is found before
  // any is read, or there is no memory; others as the system gives them.
  absl::Status Load(int root, const knot::MimeTypes& types, uint64_t limit_bytes);

  int Find(Connection& connection, absl::string_view path, HeldFile* file) override;

  uint64_t count() const { return count_; }
  uint64_t bytes() const { return bytes_; }

 private:
  absl::Status List(int root, uint64_t limit_bytes);

  absl::flat_hash_map<std::string, knot::Lookup> by_path_;  // directories with and without slash
  uint64_t count_ = 0;
  uint64_t bytes_ = 0;
};

}  // namespace bench_server

#endif  // BENCH_SERVERS_PRELOADED_FILES_H_
