// A client's connection: one HTTP/1.1 request at a time, each with its own time-out.
//
// Written in blocking style. On Bobbin a wait for a reply costs no system call of its own: poll
// parks the thread, and recv follows when there is something. Of a body whose bytes need not be
// looked at only the beginning is copied; MSG_TRUNC has the kernel discard the rest.
// Source: RFC 9112; tcp(7) for MSG_TRUNC; ip(7) for IP_BIND_ADDRESS_NO_PORT.
#ifndef BOBBIN_BENCH_LOAD_CONNECTION_H_
#define BOBBIN_BENCH_LOAD_CONNECTION_H_

#include <netinet/in.h>

#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "bench/load/tally.h"

namespace load {

// What is the same for all connections of a process.
struct Target {
  sockaddr_in address = {};
  std::string host;  // of the Host field
  std::string user_agent = "bobbin-workload";
  // Client addresses 127.0.0.2 and so on, taken in turn, each with ports of its own: one address
  // has 28,232 by default, and a connection that the client closed holds its port for a minute.
  // 0: the system chooses, which it must for a target that is not on loopback.
  int client_addresses = 0;
  uint64_t timeout = 0;          // for a connection, and for each whole reply; nanoseconds
  bool verify_contents = false;  // every byte of a body, not its length only
};

// Sets address and host from "ADDR:PORT".
absl::Status ParseTarget(absl::string_view text, Target* target);

// A request's bytes, with a hole for the path.
class RequestText {
 public:
  static constexpr size_t kMax = 256;

  // As httperf writes it, so that both can put the same bytes on the wire.
  // Errors: kInvalidArgument where it would be longer than kMax.
  absl::Status Set(const Target& target);

  // Writes the request for the file to `out` of kMax bytes. Returns: its size.
  size_t Write(uint32_t file, char* out) const {
    __builtin_memcpy(out, text_, sizeof text_);
    WritePath(file, out + kPathAt);
    return size_;
  }

 private:
  static constexpr size_t kPathAt = 4;  // behind "GET "

  char text_[kMax] = {};
  size_t size_ = 0;
};

class Connection {
 public:
  Connection(const Target& target, const RequestText& text) : target_(target), text_(text) {}
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;
  ~Connection() { Close(); }

  // Returns: kReply once connected, or why not. `number` chooses the client's address.
  // Blocks: this thread, until the time-out.
  Outcome Connect(unsigned number);

  // Asks for a file and receives the whole reply. `now` is the time; `body` counts the reply's
  // bytes as they come. Requires: connected, and no exchange before it ended other than with
  // kReply. Blocks: this thread, until the time-out.
  Outcome Exchange(uint32_t file, uint64_t now, Counter* body);

  void Close();

 private:
  // Receives up to `size` bytes; into nothing where `buffer` is null. Returns: how many, 0 at the
  // end of the stream, or -1 with errno, ETIMEDOUT at the deadline.
  ssize_t Receive(char* buffer, size_t size, uint64_t deadline);
  Outcome ReceiveHead(uint32_t file, char* buffer, uint64_t deadline, size_t* body_received,
                      Counter* body);
  Outcome ReceiveBody(uint32_t file, size_t received, uint64_t deadline, Counter* body);
  // Says what is wrong, the first few times: the length that the reply announced, or how many bytes
  // were right.
  Outcome WrongBody(uint32_t file, int64_t length, size_t right = 0);

  const Target& target_;
  const RequestText& text_;
  int fd_ = -1;
  bool drained_ = true;  // the last call took all there was: wait before the next
};

}  // namespace load

#endif  // BOBBIN_BENCH_LOAD_CONNECTION_H_
