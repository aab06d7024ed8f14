// Writes the access log, away from the threads that serve requests.
//
// A request's thread formats its line into a bounded buffer in memory; one thread writes what has
// gathered, four times a second or when half the buffer is full. Lines that find the buffer full
// are dropped and counted, as those are that cannot be written: to a full disk, or a pipe without a
// reader. That is said once, and once more when lines are written again.
//
//   A1  A line is in the file whole or not at all, but for one that the disk had no room for; the
//       next that is written begins a line of its own.
//   A2  Every line appended is written or counted as dropped.
#ifndef KNOT_ACCESS_LOG_H_
#define KNOT_ACCESS_LOG_H_

#include <sys/types.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "knot/log_line.h"

namespace knot {

class AccessLog {
 public:
  // Opens `name`, "-" being standard output, for appending and starts the writer. Never waits for
  // the reader of a FIFO: without one it is an error.
  // Errors: those of open(2); ResourceExhausted no thread could be made.
  static absl::StatusOr<std::unique_ptr<AccessLog>> Open(const std::string& name,
                                                         LogFormat format = LogFormat::kCombined);

  // Errors: those of open(2) where Open would fail, as far as can be told without making the file.
  static absl::Status Check(const std::string& name);

  AccessLog(const AccessLog&) = delete;
  AccessLog& operator=(const AccessLog&) = delete;

  // Blocks: as long as the file takes nothing.
  ~AccessLog();

  // Opens `name` anew: what gathers from now on, and perhaps what was not written yet, goes there.
  // Lines appended from now on are in `format`. Never waits for the file that was open.
  // Errors: those of open(2), and nothing has changed.
  absl::Status Reopen(const std::string& name, LogFormat format);

  // Makes the file, where it is a regular one, another user's. Requires: Reopen was not called.
  void GiveTo(uid_t user, gid_t group);

  // Writes what has gathered and ends the writer. Lines appended later are dropped.
  // Blocks: up to `patience`. Returns: false where the file did not take everything until then; the
  // writer still tries.
  bool Close(std::chrono::milliseconds patience);

  // Adds a line dated now. Never blocks on the file.
  void Append(const LogLine& line);

  uint64_t dropped() const;

 private:
  static constexpr size_t kCapacity = 1 << 20;

  AccessLog(int descriptor, LogFormat format);
  void WriteUntilStopped();
  void TakeReplacement(std::unique_lock<std::mutex>& lock);
  // Returns: how many lines were lost.
  uint64_t WriteOut(absl::string_view text);
  ssize_t WriteSome(absl::string_view text);
  void NoteFailure(int error);
  void NoteSuccess();

  std::atomic<LogFormat> format_;
  // Of the writer, once it runs.
  int descriptor_;       // -1 once closed
  bool pipe_;            // other processes may write to it, too: their lines must not mix
  bool failed_ = false;  // a write failed and it was said
  bool torn_ = false;    // the file ends in part of a line
  uint64_t lost_ = 0;    // lines since it was said

  mutable std::mutex mutex_;
  std::condition_variable wake_;     // the writer: half full, or stopping
  std::condition_variable stopped_;  // Close: the writer has ended
  std::string gathered_;
  int replacement_ = -1;  // what Reopen has opened, until the writer takes it
  uint64_t dropped_ = 0;
  bool stopping_ = false;
  bool writer_ended_ = false;
};

}  // namespace knot

#endif  // KNOT_ACCESS_LOG_H_
