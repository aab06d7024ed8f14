#include "knot/access_log.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "knot/clock.h"
#include "knot/threads.h"

namespace knot {

void AppendEscaped(absl::string_view text, std::string* out) {
  constexpr char kHex[] = "0123456789ABCDEF";
  if (text.empty()) out->push_back('-');
  for (char c : text) {
    unsigned char byte = static_cast<unsigned char>(c);
    if (byte >= 0x20 && byte < 0x7f && c != '"' && c != '\\') {
      out->push_back(c);
    } else {
      out->append({'\\', 'x', kHex[byte >> 4], kHex[byte & 15]});
    }
  }
}

namespace {

// Returns: a descriptor, or -1 and errno. The writer may wait for the file, but whoever starts the
// server should be told at once that nobody reads the FIFO.
int OpenForAppending(const char* name) {
  int descriptor = open(name, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NONBLOCK, 0640);
  if (descriptor >= 0) fcntl(descriptor, F_SETFL, O_APPEND);
  return descriptor;
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

absl::StatusOr<std::unique_ptr<AccessLog>> AccessLog::Open(const std::string& name) {
  int descriptor = name == "-" ? dup(STDOUT_FILENO) : OpenForAppending(name.c_str());
  if (descriptor < 0) {
    return absl::ErrnoToStatus(errno, absl::StrCat("cannot open the access log ", name));
  }
  std::unique_ptr<AccessLog> log(new AccessLog(descriptor));
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

AccessLog::AccessLog(int descriptor) : descriptor_(descriptor), pipe_(IsPipe(descriptor)) {}

AccessLog::~AccessLog() {
  while (!Close(std::chrono::hours(1))) {
  }
}

bool AccessLog::Close(std::chrono::milliseconds patience) {
  std::unique_lock<std::mutex> lock(mutex_);
  stopping_ = true;
  wake_.notify_one();
  if (!stopped_.wait_for(lock, patience, [this] { return writer_ended_; })) return false;
  if (descriptor_ >= 0) close(descriptor_);
  descriptor_ = -1;
  return true;
}

void AccessLog::Append(const LogLine& line) {
  char address[INET6_ADDRSTRLEN] = "-";
  if (line.peer.any.sa_family == AF_INET) {
    inet_ntop(AF_INET, &line.peer.v4.sin_addr, address, sizeof address);
  } else if (line.peer.any.sa_family == AF_INET6) {
    inet_ntop(AF_INET6, &line.peer.v6.sin6_addr, address, sizeof address);
  }
  std::string text = absl::StrCat(address, " - ");
  std::string user;
  AppendEscaped(line.user, &user);
  absl::StrReplaceAll({{" ", "\\x20"}}, &user);  // which would end the column
  absl::StrAppend(&text, user, " ", Now().LogDate(), " \"");
  AppendEscaped(line.request, &text);
  absl::StrAppend(&text, "\" ", line.status, " ", line.bytes, " \"");
  AppendEscaped(line.referer, &text);
  text.append("\" \"");
  AppendEscaped(line.user_agent, &text);
  text.append("\"\n");

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
    wake_.wait_for(lock, std::chrono::milliseconds(250),
                   [this] { return stopping_ || gathered_.size() >= kCapacity / 2; });
    if (gathered_.empty() && stopping_) break;
    std::swap(writing, gathered_);
    lock.unlock();
    WriteOut(writing);
    writing.clear();
    lock.lock();
  }
  writer_ended_ = true;
  stopped_.notify_one();
}

void AccessLog::WriteOut(absl::string_view text) {
  while (!text.empty()) {
    ssize_t n = write(descriptor_, text.data(), pipe_ ? WholeLines(text) : text.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) {
      if (!std::exchange(failed_, true)) {
        std::fprintf(stderr, "knot: the access log cannot be written: %s\n", std::strerror(errno));
      }
      return;
    }
    failed_ = false;
    text.remove_prefix(n);
  }
}

}  // namespace knot
