// Session logs as httperf reads them (--wsesslog).
//
// A line is a request: a path, and think=SECONDS, the time from its reply to the session's next
// request. A blank line ends a session; a line that begins with # is a comment. httperf takes at
// most 1,000 sessions from a file and begins again with the first where it makes more.
//
// An indented line is, for httperf, one more request of the burst that the line before it began:
// sent without waiting for think. We make it as soon as the reply before it is there, on the same
// connection, and use the last think= of a burst for the burst; httperf, unless it is told
// --max-connections=1 --max-piped-calls=1, may use several connections. What WriteSessionLog writes
// has no bursts.
// Source: httperf(1), src/gen/wsesslog.c of httperf 0.9.0.
#ifndef BOBBIN_BENCH_LOAD_SESSION_LOG_H_
#define BOBBIN_BENCH_LOAD_SESSION_LOG_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "bench/load/sampler.h"

namespace load {

inline constexpr size_t kMaxLogSessions = 10'000'000;

// Returns: the sessions as text, `comment` before them (no line of it may need more than a #).
std::string SessionLogText(const std::vector<Session>& sessions, const std::string& comment);

// Returns: the sessions of a log.
// Errors:  kInvalidArgument, with the number of the line: a path that is no file of the file set, a
//          method other than GET, a body, an option httperf does not know, a session of more than
//          kMaxRequests, or no session at all.
absl::StatusOr<std::vector<Session>> ParseSessionLog(const std::string& text);

absl::Status WriteSessionLog(const std::string& path, const std::string& text);
absl::StatusOr<std::vector<Session>> ReadSessionLog(const std::string& path);

}  // namespace load

#endif  // BOBBIN_BENCH_LOAD_SESSION_LOG_H_
