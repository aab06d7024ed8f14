// Publishes the date once a second, so that no request asks for the time.
//
// One background thread formats each second into one of two slots, in turns, and publishes it.
// Readers take no lock: they copy a text out, and again where a second ended meanwhile.
//
// Invariant: a text that is copied is of one second, whole, and no earlier one than SecondsNow()
// has told of.
#ifndef KNOT_CLOCK_H_
#define KNOT_CLOCK_H_

#include <cstdint>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace knot {

// How a reply of status 200 begins: "HTTP/1.1 200 OK\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n".
struct ReplyStart {
  char bytes[56];

  absl::string_view text() const { return {bytes, 54}; }
  absl::string_view date() const { return {bytes + 23, 29}; }
};

// When a request is logged: "[06/Nov/1994:08:49:37 +0000]".
struct LogDate {
  char bytes[32];

  absl::string_view text() const { return {bytes, 28}; }
};

// Starts the clock. Requires: called once, before what follows. Errors: ResourceExhausted no thread
// could be made.
absl::Status StartClock();

// Publishes the current second, for a program with a loop of its own that calls this as each second
// begins instead of starting the clock.
//
// Requires: called by one thread only, the first time before what follows.
// Returns:  milliseconds until the next second begins, at least 1.
int PublishSecond();

// What follows never blocks and makes no system call. Callers: any thread.

// Returns: how many seconds have passed since the clock started, from 1; it never falls.
uint32_t SecondsNow();

// Returns: the texts of the current second.
ReplyStart ReplyStartNow();
LogDate LogDateNow();

// Writes `time` (Unix seconds) as an HTTP date, 29 characters and a NUL, to `out`; what lies before
// 1970 or after 9999 as the nearest date that does not. Source: RFC 9110, 5.6.7.
void FormatHttpDate(int64_t time, char out[30]);

}  // namespace knot

#endif  // KNOT_CLOCK_H_
