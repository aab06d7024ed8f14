#include "bench/load/session_log.h"

#include <errno.h>
#include <string.h>

#include <cmath>
#include <fstream>
#include <iterator>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "bench/load/file_set.h"

namespace load {
namespace {

constexpr double kMaxThinkSeconds = 4000;  // what fits Request::off_us

// Reads a log line by line.
class Parser {
 public:
  absl::Status Line(absl::string_view line) {
    ++number_;
    if (!line.empty() && line[0] == '#') return absl::OkStatus();
    std::vector<absl::string_view> words =
        absl::StrSplit(line, absl::ByAnyChar(" \t\r"), absl::SkipEmpty());
    if (words.empty()) return EndSession();
    const bool starts_burst = !absl::ascii_isspace(static_cast<unsigned char>(line[0]));
    Request request = {};
    if (!ParsePath(words[0], &request.file)) {
      return Wrong(absl::StrCat(words[0], " is no /dirNNNNN/classC_F"));
    }
    if (session_.size() == kMaxRequests) {
      return Wrong(absl::StrCat("a session has at most ", kMaxRequests, " requests"));
    }
    if (starts_burst) {
      request.off_us = session_.empty() ? 0 : think_us_;
      think_us_ = 0;
    }
    session_.push_back(request);
    for (size_t i = 1; i < words.size(); ++i) {
      if (absl::Status status = Option(words[i]); !status.ok()) return status;
    }
    return absl::OkStatus();
  }

  absl::Status EndSession() {
    if (session_.empty()) return absl::OkStatus();
    if (sessions_.size() == kMaxLogSessions) {
      return Wrong(absl::StrCat("a log has at most ", kMaxLogSessions, " sessions"));
    }
    sessions_.push_back(session_);
    session_.clear();
    think_us_ = 0;
    return absl::OkStatus();
  }

  std::vector<Session>& sessions() { return sessions_; }

 private:
  absl::Status Option(absl::string_view option) {
    if (option == "method=GET") return absl::OkStatus();
    double seconds;
    absl::string_view value = option;
    if (!absl::ConsumePrefix(&value, "think=")) {
      return Wrong(absl::StrCat(option, " is not known; think=SECONDS and method=GET are"));
    }
    if (!absl::SimpleAtod(value, &seconds) || !(seconds >= 0 && seconds <= kMaxThinkSeconds)) {
      return Wrong(absl::StrCat(option, ": must be a time from 0 to ", kMaxThinkSeconds, " s"));
    }
    think_us_ = static_cast<uint32_t>(std::lround(seconds * 1e6));
    return absl::OkStatus();
  }

  absl::Status Wrong(const std::string& what) {
    return absl::InvalidArgumentError(absl::StrCat("line ", number_, ": ", what));
  }

  int number_ = 0;
  uint32_t think_us_ = 0;  // of the burst at hand
  Session session_;
  std::vector<Session> sessions_;
};

}  // namespace

std::string SessionLogText(const std::vector<Session>& sessions, const std::string& comment) {
  std::string text;
  for (absl::string_view line : absl::StrSplit(comment, '\n'))
    absl::StrAppend(&text, "# ", line, "\n");
  for (const Session& session : sessions) {
    absl::StrAppend(&text, "\n");
    for (size_t i = 0; i < session.size(); ++i) {
      absl::StrAppend(&text, PathOf(session[i].file));
      if (i + 1 < session.size()) {
        absl::StrAppendFormat(&text, " think=%.6f", session[i + 1].off_us / 1e6);
      }
      absl::StrAppend(&text, "\n");
    }
  }
  return text;
}

absl::StatusOr<std::vector<Session>> ParseSessionLog(const std::string& text) {
  Parser parser;
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    if (absl::Status status = parser.Line(line); !status.ok()) return status;
  }
  if (absl::Status status = parser.EndSession(); !status.ok()) return status;
  if (parser.sessions().empty()) return absl::InvalidArgumentError("no session");
  return std::move(parser.sessions());
}

absl::Status WriteSessionLog(const std::string& path, const std::string& text) {
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file << text;
  file.close();
  if (file) return absl::OkStatus();
  return absl::InternalError(absl::StrCat("cannot write ", path, ": ", strerror(errno)));
}

absl::StatusOr<std::vector<Session>> ReadSessionLog(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::string text{std::istreambuf_iterator<char>(file), {}};
  if (!file || file.bad()) {
    return absl::InvalidArgumentError(absl::StrCat("cannot read ", path, ": ", strerror(errno)));
  }
  absl::StatusOr<std::vector<Session>> sessions = ParseSessionLog(text);
  if (sessions.ok()) return sessions;
  return absl::InvalidArgumentError(absl::StrCat(path, ": ", sessions.status().message()));
}

}  // namespace load
