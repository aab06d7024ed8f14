// Lists a directory for people and for programs.
#ifndef KNOT_LISTING_H_
#define KNOT_LISTING_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <string>

#include "absl/strings/string_view.h"

namespace knot {

enum class ListingForm : uint8_t {
  kHtml,
  kJson,  // an array of {"name", "type", "size", "modified"}; the size of a directory is null
};

// Limits of one listing: what is beyond is not listed.
inline constexpr size_t kListingEntries = 10'000;
inline constexpr size_t kListingBytes = 4 << 20;

// Writes a listing of the directory `path`, canonical and ending in '/' or empty, beneath the
// descriptor `root`: what in it would be served, directories first, by name. Hidden names only with
// `hidden`. A symbolic link is listed as what it leads to, one that leads out of the root not at
// all. In JSON, and as text in HTML, what is not UTF-8 in a name is replaced by U+FFFD.
//
// Returns: 200 and `*text`; 403 where the directory cannot be opened; 500 where it cannot be read
// to its end; 503 for want of descriptors or memory. Blocks: this thread, for a system call or two
// an entry.
int ListDirectory(int root, absl::string_view path, bool hidden, ListingForm form,
                  std::string* text);

// Tells whether a client rather has JSON than HTML, by the value of its Accept field. Of equal
// weights it is HTML. Source: RFC 9110, 12.5.1.
bool PrefersJson(absl::string_view accept);

// Bounds the memory of listings: one at a time is made, the others wait; what is being sent is held
// within a limit.
class ListingMemory {
 public:
  static constexpr size_t kMost = 4 * kListingBytes;

  std::mutex turn;  // to be held while one is made

  // Returns: false where so much is held that `bytes` more would pass the limit.
  bool Hold(size_t bytes) {
    bool fits = held_.fetch_add(bytes) + bytes <= kMost;
    if (!fits) held_.fetch_sub(bytes);
    return fits;
  }
  void Release(size_t bytes) { held_.fetch_sub(bytes); }

 private:
  std::atomic<size_t> held_{0};
};

}  // namespace knot

#endif  // KNOT_LISTING_H_
