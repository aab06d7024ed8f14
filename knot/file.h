// A file with its prepared reply: the head, and the contents or an open descriptor.
#ifndef KNOT_FILE_H_
#define KNOT_FILE_H_

#include <sys/stat.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "absl/strings/string_view.h"
#include "knot/codings.h"
#include "knot/conditions.h"

namespace knot {

// What a cache holds at present. A File subtracts itself when it dies.
struct CacheUse {
  std::atomic<int64_t> bytes{0};
  std::atomic<int64_t> descriptors{0};
};

// A file as a reply sends it. Immutable once it is shared.
struct File {
  File() = default;
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  ~File();

  absl::string_view Head() const { return {reply.data(), head_size}; }
  // The parts of the head: its Content-Type and Content-Encoding, and what replies of other
  // statuses have in common with it, the empty line included.
  absl::string_view TypeField() const { return Head().substr(0, type_size); }
  absl::string_view CommonFields() const { return Head().substr(common_at); }
  Validators GetValidators() const {
    return {Head().substr(etag_at, etag_size), Head().substr(modified_at, 29), modified_seconds,
            settled};
  }
  bool InMemory() const { return descriptor < 0; }

  // Tells whether the file on disk is as it was when it was loaded, by its times: see `settled`.
  bool SameState(const struct stat& stat) const;

  // Writes the head, whose last lines are `fields`. Requires: `reply` is empty, and what the head
  // tells of is set.
  void WriteHead(absl::string_view type, absl::string_view fields);

  // The head from Content-Type to its empty line; in memory: followed by the contents.
  std::string reply;
  std::string name;  // of the file, relative to the root
  Coding coding = Coding::kIdentity;
  bool varies = false;  // there are other codings of it
  size_t head_size = 0;
  uint16_t type_size = 0, common_at = 0, modified_at = 0, etag_at = 0, etag_size = 0;
  int64_t modified_seconds = 0;  // as the head says
  uint64_t size = 0;             // of the contents
  int descriptor = -1;           // open for reading where the contents are not in memory
  dev_t device = 0;              // these five identify the state of the file on disk
  ino_t inode = 0;
  timespec modified{};
  timespec changed{};
  bool settled = false;     // it had not changed for a while when it was loaded, so its times will
                            // tell of a change
  CacheUse* use = nullptr;  // where it is accounted, null where it is not kept
  int64_t charge = 0;
};

using FileRef = std::shared_ptr<const File>;

}  // namespace knot

#endif  // KNOT_FILE_H_
