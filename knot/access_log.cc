#include "knot/access_log.h"

#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "knot/clock.h"
#include "knot/file_name.h"
#include "knot/threads.h"

namespace knot {
namespace {

// Returns: a descriptor, or -1 and errno. The writer may wait for the file, but whoever starts the
// server should be told at once that nobody reads the FIFO.
int OpenForAppending(const std::string& name) {
  if (name == "-") return fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 0);
  int descriptor =
      open(name.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, 0640);
  if (descriptor >= 0) fcntl(descriptor, F_SETFL, O_APPEND);
  return descriptor;
}

absl::Status CannotOpen(const std::string& name, int error) {
  return absl::ErrnoToStatus(error, absl::StrCat("cannot open the access log ", name));
}

bool IsPipe(int descriptor) {
  struct stat status;
  return fstat(descriptor, &status) == 0 && S_ISFIFO(status.st_mode);
}

// Returns: the size of the lines at the start of `text` that a pipe takes in one piece, at least
// one line.
size_t WholeLines(absl::string_view text) {
  if (text.size() <= PIPE_BUF) return text.size();
  size_t end = text.rfind('\n', PIPE_BUF - 1);
  if (end == absl::string_view::npos) end = text.find('\n');
  return end == absl::string_view::npos ? text.size() : end + 1;
}

}  // namespace

absl::StatusOr<std::unique_ptr<AccessLog>> AccessLog::Open(const std::string& name,
                                                           LogFormat format) {
  int descriptor = OpenForAppending(name);
  if (descriptor < 0) return CannotOpen(name, errno);
  std::unique_ptr<AccessLog> log(new AccessLog(descriptor, format));
  auto body = [](void* self) -> void* {
    static_cast<AccessLog*>(self)->WriteUntilStopped();
    return nullptr;
  };
  absl::Status status = StartThread(kServiceStackBytes, body, log.get());
  if (!status.ok()) {
    log->writer_ended_ = true;
    return status;
  }
  return log;
}

absl::Status AccessLog::Check(const std::string& name) {
  if (name == "-") return absl::OkStatus();
  struct stat stat_of_name;
  if (stat(name.c_str(), &stat_of_name) == 0) {
    if (S_ISDIR(stat_of_name.st_mode)) return CannotOpen(name, EISDIR);
    return access(name.c_str(), W_OK) == 0 ? absl::OkStatus() : CannotOpen(name, errno);
  }
  if (errno != ENOENT || name.empty()) return CannotOpen(name, errno);
  bool possible = access(DirectoryOf(name).c_str(), W_OK | X_OK) == 0;
  return possible ? absl::OkStatus() : CannotOpen(name, errno);
}

AccessLog::AccessLog(int descriptor, LogFormat format)
    : format_(format), descriptor_(descriptor), pipe_(IsPipe(descriptor)) {}

AccessLog::~AccessLog() {
  while (!Close(std::chrono::hours(1))) {
  }
}

absl::Status AccessLog::Reopen(const std::string& name, LogFormat format) {
  int descriptor = OpenForAppending(name);
  if (descriptor < 0) return CannotOpen(name, errno);
  std::lock_guard<std::mutex> lock(mutex_);
  format_.store(format, std::memory_order_relaxed);
  std::swap(descriptor, replacement_);
  if (descriptor >= 0) close(descriptor);  // of a Reopen before, and nothing was written to it yet
  wake_.notify_one();
  return absl::OkStatus();
}

void AccessLog::GiveTo(uid_t user, gid_t group) {
  struct stat status;
  bool regular = fstat(descriptor_, &status) == 0 && S_ISREG(status.st_mode);
  if (regular && fchown(descriptor_, user, group) != 0) {
    std::fprintf(stderr, "knot: warning: the access log stays another user's: %s\n",
                 std::strerror(errno));
  }
}

bool AccessLog::Close(std::chrono::milliseconds patience) {
  std::unique_lock<std::mutex> lock(mutex_);
  stopping_ = true;
  wake_.notify_one();
  if (!stopped_.wait_for(lock, patience, [this] { return writer_ended_; })) return false;
  for (int* descriptor : {&descriptor_, &replacement_}) {
    if (*descriptor >= 0) close(*descriptor);
    *descriptor = -1;
  }
  return true;
}

void AccessLog::Append(const LogLine& line) {
  std::string text;
  if (format_.load(std::memory_order_relaxed) == LogFormat::kJson) {
    timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    AppendJson(line, now, &text);
  } else {
    AppendCombined(line, LogDateNow().text(), &text);
  }

  std::lock_guard<std::mutex> lock(mutex_);
  if (gathered_.size() + text.size() > kCapacity || stopping_) {
    ++dropped_;
    return;
  }
  bool was_below_half = gathered_.size() < kCapacity / 2;
  gathered_ += text;
  if (was_below_half && gathered_.size() >= kCapacity / 2) wake_.notify_one();
}

uint64_t AccessLog::dropped() const {
  std::lock_guard<std::mutex> lock(mutex_);
  return dropped_;
}

void AccessLog::WriteUntilStopped() {
  std::string writing;
  std::unique_lock<std::mutex> lock(mutex_);
  for (;;) {
    wake_.wait_for(lock, std::chrono::milliseconds(250), [this] {
      return stopping_ || replacement_ >= 0 || gathered_.size() >= kCapacity / 2;
    });
    if (replacement_ >= 0) TakeReplacement(lock);
    if (gathered_.empty() && stopping_) break;
    std::swap(writing, gathered_);
    lock.unlock();
    uint64_t lost = WriteOut(writing);
    writing.clear();
    lock.lock();
    dropped_ += lost;
  }
  writer_ended_ = true;
  stopped_.notify_one();
}

void AccessLog::TakeReplacement(std::unique_lock<std::mutex>& lock) {
  int old = std::exchange(descriptor_, std::exchange(replacement_, -1));
  pipe_ = IsPipe(descriptor_);
  torn_ = false;
  lock.unlock();
  close(old);
  lock.lock();
}

uint64_t AccessLog::WriteOut(absl::string_view text) {
  if (text.empty()) return 0;
  for (bool mend = torn_; mend || !text.empty();) {
    ssize_t n = mend ? WriteSome("\n") : WriteSome(pipe_ ? text.substr(0, WholeLines(text)) : text);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) {
      NoteFailure(n < 0 ? errno : ENOSPC);
      uint64_t lost = std::count(text.begin(), text.end(), '\n');
      lost_ += lost;
      return lost;
    }
    if (!std::exchange(mend, false)) text.remove_prefix(n);
  }
  NoteSuccess();
  return 0;
}

// What write(2) does, and notes whether the file ends in part of a line.
ssize_t AccessLog::WriteSome(absl::string_view text) {
  ssize_t n = write(descriptor_, text.data(), text.size());
  if (n > 0) torn_ = text[n - 1] != '\n';
  return n;
}

void AccessLog::NoteFailure(int error) {
  if (std::exchange(failed_, true)) return;
  std::fprintf(stderr, "knot: the access log cannot be written: %s; its lines are dropped\n",
               std::strerror(error));
}

void AccessLog::NoteSuccess() {
  if (!std::exchange(failed_, false)) return;
  std::fprintf(stderr, "knot: the access log is written again; %llu lines were dropped\n",
               static_cast<unsigned long long>(std::exchange(lost_, 0)));
}

}  // namespace knot
