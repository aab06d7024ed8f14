// Writes replies, and sends them.
#ifndef KNOT_RESPONSE_H_
#define KNOT_RESPONSE_H_

#include <sys/uio.h>

#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"
#include "knot/clock.h"
#include "knot/file_cache.h"
#include "knot/ranges.h"
#include "knot/request.h"
#include "knot/stream.h"

namespace knot {

// What a reply says of the connection.
enum class Persistence : uint8_t {
  kSilent,     // HTTP/1.1, kept: nothing
  kKeepAlive,  // HTTP/1.0, kept
  kClose,
};

inline constexpr size_t kMaxReplyParts = 3;

// Lays out a reply of status 200. `rest` is the head from Content-Type on, with or without contents
// behind it.
//
// Returns: how many parts it has. The first is `start`, the last is `rest`.
size_t FileReply(const ReplyStart& start, absl::string_view rest, Persistence persistence,
                 iovec parts[kMaxReplyParts]);

// Returns: a whole reply of another status, with a small page where the status may have one.
// `field` is one more header line with its CRLF, or empty.
std::string StatusReply(int status, bool head_only, Persistence persistence,
                        absl::string_view field, uint64_t* body_bytes);

// Returns: the header line that sends the client to a directory's name with its slash. The path
// begins with one slash, whatever the client sent: two would name another host. Everything but the
// plainest characters is escaped, so that no browser sees a backslash either.
std::string LocationField(const Target& target);

// What became of a reply.
struct Sent {
  bool whole = false;  // false: the connection is of no more use
  uint64_t body_bytes = 0;
};

// Sends `file` with status 200. A file in memory leaves in one system call. `field`, here as below,
// is one more header line with its CRLF, or empty.
//
// Blocks:  this thread, while the client takes the reply; up to the send time-out for each
// step. Returns: whole is false where the client went away or stopped reading, or the file shrank:
// never wrong bytes.
Sent SendFile(Stream& stream, const File& file, bool head_only, Persistence persistence,
              absl::string_view field = {});

// Sends parts of `file` with status 206: one as it is, several as multipart/byteranges. Requires:
// ranges.kind() is kSome, for the file's size. Blocks, returns: as SendFile.
Sent SendRanges(Stream& stream, const File& file, const Ranges& ranges, Persistence persistence,
                absl::string_view field = {});

// Tells the client, with status 304, that what it has of `file` is still good.
Sent SendNotModified(Stream& stream, const File& file, Persistence persistence,
                     absl::string_view field = {});

// Sends `file` as the page of a status that is an error: without validators, and always whole.
// `field` as StatusReply. Blocks, returns: as SendFile.
Sent SendErrorPage(Stream& stream, int status, const File& file, bool head_only,
                   Persistence persistence, absl::string_view field);

// Sends a body that was made for this reply. `fields` are header lines with their CRLF,
// Content-Type among them.
Sent SendMade(Stream& stream, int status, absl::string_view fields, absl::string_view body,
              bool head_only, Persistence persistence);

// Sends the reply of StatusReply.
Sent SendStatus(Stream& stream, int status, bool head_only, Persistence persistence,
                absl::string_view field = {});

}  // namespace knot

#endif  // KNOT_RESPONSE_H_
