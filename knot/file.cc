#include "knot/file.h"

#include <time.h>
#include <unistd.h>

#include "absl/strings/str_cat.h"
#include "knot/clock.h"

namespace knot {
namespace {

bool SameTime(const timespec& a, const timespec& b) {
  return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

// What changes when the file does. Weak while another change could still leave the same time. Not
// by the time of the last modification, which tools set as they like: of files of one size it is
// often the same.
std::string EntityTag(const File& file) {
  uint64_t time = static_cast<uint64_t>(file.changed.tv_sec) * 1'000'000'000 + file.changed.tv_nsec;
  return absl::StrCat(file.settled ? "" : "W/", "\"", absl::Hex(time), "-", absl::Hex(file.size),
                      file.coding == Coding::kIdentity ? "" : "-",
                      file.coding == Coding::kIdentity ? "" : CodingName(file.coding), "\"");
}

}  // namespace

File::~File() {
  if (descriptor >= 0) close(descriptor);
  if (use == nullptr) return;
  use->bytes.fetch_sub(charge, std::memory_order_relaxed);
  if (descriptor >= 0) use->descriptors.fetch_sub(1, std::memory_order_relaxed);
}

bool File::SameState(const struct stat& stat) const {
  return device == stat.st_dev && inode == stat.st_ino &&
         size == static_cast<uint64_t>(stat.st_size) && SameTime(modified, stat.st_mtim) &&
         SameTime(changed, stat.st_ctim);
}

void File::WriteHead(absl::string_view type, absl::string_view fields) {
  absl::StrAppend(&reply, "Content-Type: ", type, "\r\n");
  if (coding != Coding::kIdentity) {
    absl::StrAppend(&reply, "Content-Encoding: ", CodingName(coding), "\r\n");
  }
  type_size = reply.size();
  absl::StrAppend(&reply, "Content-Length: ", size, "\r\n");
  common_at = reply.size();
  char date[30];
  FormatHttpDate(modified_seconds, date);
  absl::StrAppend(&reply, "Last-Modified: ");
  modified_at = reply.size();
  absl::StrAppend(&reply, date, "\r\nETag: ");
  etag_at = reply.size();
  absl::StrAppend(&reply, EntityTag(*this));
  etag_size = reply.size() - etag_at;
  absl::StrAppend(&reply, "\r\nAccept-Ranges: bytes\r\n", varies ? "Vary: Accept-Encoding\r\n" : "",
                  fields, "\r\n");
  head_size = reply.size();
}

}  // namespace knot
