// Writes one line of the access log, of whatever bytes a client sent, such that it stays one line.
//
// combined   ADDRESS - USER [DATE] "REQUEST LINE" STATUS BYTES "REFERER" "USER AGENT", the format
// of
//            Apache's name. Bytes that are no plain ASCII text, quotes and backslashes are \xHH.
// json       An object a line (RFC 8259), all strings there, empty where there is nothing to say:
//              time         when the reply had been sent, RFC 3339 in UTC, with milliseconds
//              client       address; empty for a unix socket
//              user         who was let in by name and password
//              method, target, protocol    of the request line
//              status, bytes               of the reply; bytes of its body, as far as it was sent
//              duration_us                 from the request's arrival on, microseconds
//              referer, user_agent, host   fields of the request
//              tls                         the protocol's version
//            The text is ASCII: what is not is \uHHHH, and what is no UTF-8 either is \ufffd.
#ifndef KNOT_LOG_LINE_H_
#define KNOT_LOG_LINE_H_

#include <netinet/in.h>
#include <time.h>

#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"

namespace knot {

enum class LogFormat : uint8_t { kCombined, kJson };

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
  absl::string_view referer = {};
  absl::string_view user_agent = {};
  absl::string_view host = {};
  absl::string_view user = {};
  absl::string_view tls = {};
  int64_t duration_us = 0;  // for json
};

// Appends the line, with its end. `date` is as LogDate has it.
void AppendCombined(const LogLine& line, absl::string_view date, std::string* out);

// Appends the line, with its end. `now` is by the real-time clock.
void AppendJson(const LogLine& line, const timespec& now, std::string* out);

// Appends `text` with quotes, backslashes, control and non-ASCII bytes escaped as \xHH, "-" where
// it is empty.
void AppendEscaped(absl::string_view text, std::string* out);

// Appends `text`, of any bytes, as a JSON string with its quotes, in ASCII. Source: RFC 8259, 7;
// what is UTF-8: RFC 3629, 4.
void AppendJsonString(absl::string_view text, std::string* out);

}  // namespace knot

#endif  // KNOT_LOG_LINE_H_
