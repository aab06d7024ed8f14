#include "bench/servers/common/reply.h"

#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "absl/strings/str_cat.h"
#include "bench/servers/common/caching.h"

namespace bench_server {

void Reply::SetFile(HeldFile file, bool head_only, knot::Persistence persistence) {
  file_ = std::move(file);
  status_ = 200;
  part_ = 0;
  start_ = knot::ReplyStartNow();
  parts_end_ = static_cast<uint8_t>(
      knot::FileReply(start_, head_only ? file_.head() : file_.reply(), persistence, parts_));
  absl::string_view contents = file_.contents_apart();
  if (!head_only && !contents.empty()) {
    parts_[parts_end_++] = {const_cast<char*>(contents.data()), contents.size()};
  }
  bool body_in_memory = !head_only && file_.in_memory();
  body_bytes_ = 0;
  memory_bytes_ = body_in_memory ? file_.size() : 0;
  offset_ = 0;
  end_ = head_only || file_.in_memory() ? 0 : file_.size();
}

void Reply::SetStatus(int status, bool head_only, knot::Persistence persistence,
                      absl::string_view field) {
  text_ = knot::StatusReply(status, head_only, persistence,
                            absl::StrCat(field, SharedHeaderRules().Every()), &memory_bytes_);
  status_ = static_cast<uint16_t>(status);
  parts_[0] = {text_.data(), text_.size()};
  part_ = 0;
  parts_end_ = 1;
  body_bytes_ = offset_ = end_ = 0;
}

Reply::Outcome Reply::Step(int socket, uint64_t allowed) {
  if (part_ < parts_end_) {
    Outcome outcome = SendParts(socket);
    if (outcome != Outcome::kSent) return outcome;
  }
  return SendContents(socket, allowed);
}

void Reply::Clear() {
  file_.Release();
  text_.clear();
}

Reply::Outcome Reply::SendParts(int socket) {
  while (part_ < parts_end_) {
    // As knot/response.cc, and for its reason. MSG_MORE: the contents come at once, so that the
    // head need not leave in a segment of its own.
    msghdr message{};
    message.msg_iov = parts_ + part_;
    message.msg_iovlen = parts_end_ - part_;
    ssize_t n = sendmsg(socket, &message, left() == 0 ? 0 : MSG_MORE);
    if (n < 0) {
      if (errno == EINTR) continue;
      return errno == EAGAIN ? Outcome::kBlocked : Outcome::kGone;
    }
    Advance(n);
  }
  body_bytes_ = memory_bytes_;
  return Outcome::kSent;
}

void Reply::Advance(size_t sent) {
  while (part_ < parts_end_ && sent >= parts_[part_].iov_len) sent -= parts_[part_++].iov_len;
  if (part_ == parts_end_) return;
  parts_[part_].iov_base = static_cast<char*>(parts_[part_].iov_base) + sent;
  parts_[part_].iov_len -= sent;
}

Reply::Outcome Reply::SendContents(int socket, uint64_t allowed) {
  constexpr uint64_t kMostAtOnce = 0x7ffff000;  // of Linux
  while (offset_ < end_) {
    if (allowed == 0) return Outcome::kPaused;
    off_t offset = static_cast<off_t>(offset_);
    size_t wanted = std::min({end_ - offset_, allowed, kMostAtOnce});
    ssize_t n = sendfile(socket, file_.descriptor(), &offset, wanted);
    if (n < 0) {
      if (errno == EINTR) continue;
      return errno == EAGAIN ? Outcome::kBlocked : Outcome::kGone;
    }
    if (n == 0) return Outcome::kGone;  // the file shrank
    offset_ += n;
    allowed -= n;
    // The socket is full, and will say when it no longer is: trying again would tell no more.
    if (static_cast<size_t>(n) < wanted) return Shrank() ? Outcome::kGone : Outcome::kBlocked;
  }
  return Outcome::kSent;
}

bool Reply::Shrank() const {
  struct stat stat;
  return fstat(file_.descriptor(), &stat) != 0 || static_cast<uint64_t>(stat.st_size) < end_;
}

}  // namespace bench_server
