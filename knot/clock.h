// Publishes the date once a second, so that no request asks for the time.
//
// One background thread formats each second into the next of kSeconds slots and publishes the slot;
// readers follow one pointer and take no lock. A slot is written again only after kSeconds - 1
// seconds, which is longer than a reader may keep the reference.
#ifndef KNOT_CLOCK_H_
#define KNOT_CLOCK_H_

#include <cstdint>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace knot {

// Everything that changes once a second. All strings have a fixed length.
struct Second {
  uint32_t number = 0;   // seconds since the clock started, from 1; monotonic
  char reply_start[56];  // "HTTP/1.1 200 OK\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
  char log_date[32];     // "[06/Nov/1994:08:49:37 +0000]"

  absl::string_view ReplyStart() const { return {reply_start, 54}; }
  absl::string_view HttpDate() const { return {reply_start + 23, 29}; }
  absl::string_view LogDate() const { return {log_date, 28}; }
};

// Starts the clock. Requires: called once, before Now(). Errors: ResourceExhausted no thread could
// be made.
absl::Status StartClock();

// Publishes the current second, for a program with a loop of its own that calls this as each second
// begins instead of starting the clock.
//
// Requires: called by one thread only, the first time before Now().
// Returns:  milliseconds until the next second begins, at least 1.
int PublishSecond();

// Returns: the current second. The reference may be used for up to 60 seconds. Never blocks, makes
// no system call.
const Second& Now();

// Writes `time` (Unix seconds) as an HTTP date, 29 characters and a NUL, to `out`; what lies before
// 1970 or after 9999 as the nearest date that does not. Source: RFC 9110, 5.6.7.
void FormatHttpDate(int64_t time, char out[30]);

}  // namespace knot

#endif  // KNOT_CLOCK_H_
