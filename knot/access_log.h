// Writes the access log in combined format, away from the threads that serve requests.
//
// A request's thread formats its line into a bounded buffer in memory; one thread writes what has
// gathered, four times a second or when half the buffer is full. Lines that find the buffer full
// are dropped and counted.
#ifndef KNOT_ACCESS_LOG_H_
#define KNOT_ACCESS_LOG_H_

#include <netinet/in.h>

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace knot {

// Where a connection came from. sockaddr_in6 is the larger of the two that are accepted.
union PeerAddress {
  sockaddr any;
  sockaddr_in v4;
  sockaddr_in6 v6;
};

struct LogLine {
  const PeerAddress& peer;
  absl::string_view request;  // the request line as received, of any content
  int status = 0;
  uint64_t bytes = 0;  // of the reply's body
  absl::string_view referer;
  absl::string_view user_agent;
  absl::string_view user = {};  // the name given where one was asked for, right or not
};

class AccessLog {
 public:
  // Opens `name`, "-" being standard output, for appending and starts the writer. Never waits for
  // the reader of a FIFO: without one it is an error.
  // Errors: those of open(2); ResourceExhausted no thread could be made.
  static absl::StatusOr<std::unique_ptr<AccessLog>> Open(const std::string& name);

  AccessLog(const AccessLog&) = delete;
  AccessLog& operator=(const AccessLog&) = delete;

  // Blocks: as long as the file takes nothing.
  ~AccessLog();

  // Writes what has gathered and ends the writer. Lines appended later are dropped.
  // Blocks: up to `patience`. Returns: false where the file did not take everything until then; the
  // writer still tries.
  bool Close(std::chrono::milliseconds patience);

  // Adds a line dated now. Never blocks on the file.
  void Append(const LogLine& line);

  uint64_t dropped() const;

 private:
  static constexpr size_t kCapacity = 1 << 20;

  explicit AccessLog(int descriptor);
  void WriteUntilStopped();
  void WriteOut(absl::string_view text);

  int descriptor_;   // -1 once closed
  const bool pipe_;  // other processes may write to it, too: their lines must not mix
  mutable std::mutex mutex_;
  std::condition_variable wake_;     // the writer: half full, or stopping
  std::condition_variable stopped_;  // Close: the writer has ended
  std::string gathered_;
  uint64_t dropped_ = 0;
  bool failed_ = false;  // a write failed and it was said
  bool stopping_ = false;
  bool writer_ended_ = false;
};

// Appends `text` with quotes, backslashes, control and non-ASCII bytes escaped as \xHH, "-" where
// it is empty.
void AppendEscaped(absl::string_view text, std::string* out);

}  // namespace knot

#endif  // KNOT_ACCESS_LOG_H_
