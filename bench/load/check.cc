#include "bench/load/check.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <algorithm>
#include <set>
#include <string>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "bench/load/clock.h"
#include "bench/load/file_set.h"

namespace load {
namespace {

constexpr size_t kMaxHead = 16'384;

// A reply as it came.
struct Reply {
  std::string error;  // not empty: there was none, and this is why
  int status = 0;
  int64_t length = -1;  // Content-Length
  std::string body;
};

// A connection that keeps what came behind a reply for the next.
class Client {
 public:
  explicit Client(const Target& target) : target_(target) {}
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;
  ~Client() { Close(); }

  // Returns: "" or what went wrong. Connects where that is needed.
  std::string Send(const std::string& request) {
    if (fd_ < 0 && !Connect()) return absl::StrCat("cannot connect: ", strerror(errno));
    for (size_t sent = 0; sent < request.size();) {
      ssize_t count = send(fd_, request.data() + sent, request.size() - sent, MSG_NOSIGNAL);
      if (count < 0) return absl::StrCat("cannot send: ", strerror(errno));
      sent += static_cast<size_t>(count);
    }
    return "";
  }

  Reply Receive(bool with_body) {
    Reply reply;
    size_t end;
    while ((end = input_.find("\r\n\r\n")) == std::string::npos) {
      if (input_.size() > kMaxHead) reply.error = "a head without end";
      if (!reply.error.empty() || !Fill(&reply.error)) return reply;
    }
    ParseHead(input_.substr(0, end + 2), &reply);
    input_.erase(0, end + 4);
    if (!reply.error.empty() || !with_body) return reply;
    const auto length = static_cast<size_t>(std::max<int64_t>(reply.length, 0));
    while (input_.size() < length && Fill(&reply.error)) {
    }
    reply.body = input_.substr(0, length);
    input_.erase(0, length);
    return reply;
  }

  void Close() {
    if (fd_ >= 0) close(fd_);
    fd_ = -1;
    input_.clear();
  }

 private:
  bool Connect() {
    fd_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    timeval timeout = {static_cast<time_t>(target_.timeout / kSecond),
                       static_cast<suseconds_t>(target_.timeout % kSecond / 1000)};
    setsockopt(fd_, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof timeout);
    setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
    return connect(fd_, reinterpret_cast<const sockaddr*>(&target_.address),
                   sizeof target_.address) == 0;
  }

  bool Fill(std::string* error) {
    char buffer[65536];
    ssize_t count = recv(fd_, buffer, sizeof buffer, 0);
    if (count > 0) {
      input_.append(buffer, static_cast<size_t>(count));
      return true;
    }
    if (count == 0) {
      *error = absl::StrCat("the connection ended after ", input_.size(), " bytes");
    } else {
      *error = errno == EAGAIN ? absl::StrCat("no more came after ", input_.size(), " bytes")
                               : absl::StrCat("the connection broke: ", strerror(errno));
    }
    return false;
  }

  static void ParseHead(const std::string& head, Reply* reply) {
    if (!absl::StartsWith(head, "HTTP/1.1 ") ||
        !absl::SimpleAtoi(head.substr(9, 3), &reply->status)) {
      reply->error = absl::StrCat("no HTTP/1.1 reply: ", absl::CHexEscape(head.substr(0, 60)));
      return;
    }
    const std::string lower = absl::AsciiStrToLower(head);
    size_t field = lower.find("\r\ncontent-length:");
    if (field != std::string::npos) {
      std::string value = lower.substr(field + 17, lower.find('\r', field + 17) - field - 17);
      if (!absl::SimpleAtoi(value, &reply->length)) reply->error = "Content-Length is no number";
    }
    if (absl::StrContains(lower, "\r\ntransfer-encoding:")) {
      reply->error = "Transfer-Encoding where a Content-Length is wanted";
    }
  }

  const Target& target_;
  int fd_ = -1;
  std::string input_;
};

// Does the checks and counts those that fail.
class Checker {
 public:
  Checker(const Target& target, uint32_t directories)
      : target_(target), directories_(directories), client_(target) {}

  int Check() {
    // The most and the least popular, and some between.
    const std::set<uint32_t> chosen = {0, 1 % directories_, directories_ / 2, directories_ - 1};
    for (uint32_t directory : chosen) {
      for (uint32_t i = 0; i < kFilesPerDirectory; ++i) Get(FileIndex(directory, 0, 1) + i);
    }
    Head();
    NotFound();
    Pipelined();
    SurvivesNotFound();
    return failures_;
  }

 private:
  std::string Request(const char* method, const std::string& path) {
    return absl::StrCat(method, " ", path, " HTTP/1.1\r\nUser-Agent: ", target_.user_agent,
                        "\r\nHost: ", target_.host, "\r\n\r\n");
  }

  void Fail(const std::string& what, const std::string& why) {
    ++failures_;
    fprintf(stderr, "workload: %s: %s\n", what.c_str(), why.c_str());
    client_.Close();  // whatever follows on this connection would be wrong, too
  }

  Reply Ask(const std::string& request, bool with_body) {
    Reply reply;
    reply.error = client_.Send(request);
    return reply.error.empty() ? client_.Receive(with_body) : reply;
  }

  // Returns: "" or how the reply differs from the file.
  static std::string Difference(uint32_t file, const Reply& reply) {
    if (reply.status != 200 && reply.status != 0)
      return absl::StrCat("status ", reply.status, " instead of 200");
    if (!reply.error.empty()) return reply.error;
    const size_t size = FileSize(file);
    if (reply.length != static_cast<int64_t>(size)) {
      return absl::StrCat("Content-Length ", reply.length, " instead of ", size);
    }
    size_t right = MatchingBytes(file, 0, reply.body.data(), reply.body.size());
    if (right == size) return "";
    char expected[8];
    const size_t shown = std::min(sizeof expected, size - right);
    FillContents(file, right, expected, shown);
    auto hex = [](absl::string_view bytes) {
      std::string text;
      for (unsigned char byte : bytes)
        absl::StrAppend(&text, absl::Hex(byte, absl::kZeroPad2), " ");
      return text;
    };
    return absl::StrFormat("differs from byte %d of %d on: %sinstead of %s", right, size,
                           hex(reply.body.substr(right, shown)),
                           hex(absl::string_view(expected, shown)));
  }

  void Get(uint32_t file) {
    Reply reply = Ask(Request("GET", PathOf(file)), true);
    if (std::string why = Difference(file, reply); !why.empty()) Fail(PathOf(file), why);
  }

  void Head() {
    const uint32_t file = FileIndex(0, 1, 5);
    Reply reply = Ask(Request("HEAD", PathOf(file)), false);
    if (!reply.error.empty()) return Fail("HEAD", reply.error);
    if (reply.status != 200) return Fail("HEAD", absl::StrCat("status ", reply.status));
    if (reply.length != static_cast<int64_t>(FileSize(file))) {
      return Fail("HEAD",
                  absl::StrCat("Content-Length ", reply.length, " instead of ", FileSize(file)));
    }
    Get(file);  // would begin with a body that came in spite of HEAD
  }

  void NotFound() {
    Reply reply = Ask(Request("GET", "/dir00000/class0_0"), true);
    if (!reply.error.empty()) return Fail("a file that is not there", reply.error);
    if (reply.status != 404) {
      Fail("a file that is not there", absl::StrCat("status ", reply.status, " instead of 404"));
    }
  }

  void Pipelined() {
    const uint32_t files[] = {FileIndex(0, 0, 1), FileIndex(0, 2, 9), FileIndex(0, 1, 3)};
    std::string requests;
    client_.Close();
    for (uint32_t file : files) requests += Request("GET", PathOf(file));
    Reply reply;
    reply.error = client_.Send(requests);
    for (uint32_t file : files) {
      if (reply.error.empty()) reply = client_.Receive(true);
      std::string why = Difference(file, reply);
      if (!why.empty())
        return Fail("requests in one segment", absl::StrCat(PathOf(file), ": ", why));
    }
    Get(FileIndex(0, 0, 9));
  }

  // Servers may close after an error, but then they must take a new connection.
  void SurvivesNotFound() {
    client_.Close();
    NotFound();
    client_.Close();
    Get(FileIndex(0, 3, 9));
    Get(FileIndex(0, 0, 1));
  }

  const Target& target_;
  const uint32_t directories_;
  Client client_;
  int failures_ = 0;
};

}  // namespace

int CheckServer(const Target& target, uint32_t directories) {
  return Checker(target, directories).Check();
}

}  // namespace load
