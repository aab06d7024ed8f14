// Sends replies.
#ifndef KNOT_RESPONSE_H_
#define KNOT_RESPONSE_H_

#include <cstdint>

#include "absl/strings/string_view.h"
#include "knot/file_cache.h"

namespace knot {

// What a reply says of the connection.
enum class Persistence : uint8_t {
  kSilent,     // HTTP/1.1, kept: nothing
  kKeepAlive,  // HTTP/1.0, kept
  kClose,
};

// What became of a reply.
struct Sent {
  bool whole = false;  // false: the connection is of no more use
  uint64_t body_bytes = 0;
};

// Sends `file` with status 200. A file in memory leaves in one system call.
//
// Blocks:  this thread, while the client takes the reply; up to the socket's SO_SNDTIMEO for each
// step. Returns: whole is false where the client went away or stopped reading, or the file shrank:
// never wrong bytes.
Sent SendFile(int socket, const File& file, bool head_only, Persistence persistence);

// Sends a reply of another status with a small page. `field` is one more header line with its CRLF,
// or empty.
Sent SendStatus(int socket, int status, bool head_only, Persistence persistence,
                absl::string_view field = {});

}  // namespace knot

#endif  // KNOT_RESPONSE_H_
