// A whole connection: requests one after the other, as they are and in pieces.
//
// The input: a byte that says how large the pieces are, then what the client sends.

#include "knot/connection.h"

#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "knot/clock.h"
#include "knot/group.h"
#include "knot/mime_types.h"
#include "knot/site.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/site.h"

namespace knot::fuzz {
namespace {

// Less than a request's buffer, so that a piece never has to be divided.
constexpr size_t kMostBytes = 2048;
constexpr size_t kMostPieces = 100;  // that the socket has room for

class Server {
 public:
  Server() : group_(traffic_, Configure(site_), Limits()) {
    PublishSecond();  // and never again, so that replies do not depend on the time
    group_.header_timeout_ms = group_.idle_timeout_ms = 10'000;
  }

  uint64_t requests() const { return group_.counters.requests.Get(); }
  uint64_t cut_short() const { return group_.counters.cut_short.Get(); }

  // Serves a client that sends `bytes` in pieces of `size` and then nothing. Returns: what it got.
  std::string Serve(absl::string_view bytes, size_t size) {
    // Of packets: each is one of the pieces that Knot receives.
    int ends[2];
    Claim(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) == 0, "there is a socket");
    timeval patience{0, 200'000};  // as if the client did not read
    setsockopt(ends[1], SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    for (size_t at = 0; at < bytes.size(); at += size) {
      absl::string_view piece = bytes.substr(at, size);
      Claim(send(ends[0], piece.data(), piece.size(), 0) == static_cast<ssize_t>(piece.size()),
            "the socket takes the input");
    }
    shutdown(ends[0], SHUT_WR);
    Stream stream(ends[1], group_.least_sent);
    PeerAddress peer{};
    Connection(group_, stream, peer).Serve();
    close(ends[1]);
    std::string received;
    static char packet[1 << 18];
    for (ssize_t n; (n = recv(ends[0], packet, sizeof packet, 0)) > 0;) received.append(packet, n);
    close(ends[0]);
    return received;
  }

 private:
  static std::shared_ptr<const Configuration> Configure(const fuzz::Site& site) {
    auto configuration = std::make_shared<Configuration>();
    configuration->sites = *Sites::Open(site.root(), {});
    return configuration;
  }

  static FileCache::Limits Limits() {
    FileCache::Limits limits;
    limits.bytes = limits.in_memory = 1 << 20;
    for (size_t i = 0; i < kCodings; ++i) limits.compress.Add(static_cast<Coding>(i));
    return limits;
  }

  const fuzz::Site site_;
  Traffic traffic_;
  Group group_;
};

// The boundaries of multipart replies are random.
std::string WithoutBoundaries(std::string text) {
  constexpr absl::string_view kStart = "knot-";
  constexpr size_t kDigits = 32;
  for (size_t at = 0; (at = text.find(kStart.data(), at)) != std::string::npos;
       at += kStart.size()) {
    for (size_t i = at + kStart.size(); i < at + kStart.size() + kDigits && i < text.size(); ++i) {
      text[i] = '0';
    }
  }
  return text;
}

std::vector<std::string> Replies(absl::string_view text) {
  std::vector<std::string> replies;
  while (!text.empty()) {
    Claim(absl::StartsWith(text, "HTTP/1.1 "), "what is sent is replies");
    size_t end = std::min(text.find("HTTP/1.1 ", 1), text.size());
    replies.emplace_back(text.substr(0, end));
    text.remove_prefix(end);
  }
  return replies;
}

bool IsRefusal(absl::string_view reply) {
  int status = 0;
  bool error = absl::SimpleAtoi(reply.substr(9, 3), &status) && status >= 400;
  return error && absl::StrContains(reply, "\r\nConnection: close\r\n");
}

// Of a request that is wrong in two ways it may be told in which only when all of it has come.
bool SameReply(absl::string_view a, absl::string_view b) {
  return a == b || (IsRefusal(a) && IsRefusal(b));
}

void Check(absl::string_view bytes, size_t size) {
  static Server server;
  const uint64_t requests = server.requests(), cut_short = server.cut_short();
  const std::vector<std::string> whole =
      Replies(WithoutBoundaries(server.Serve(bytes, bytes.size())));
  const uint64_t answered = server.requests() - requests;
  const std::vector<std::string> pieces = Replies(WithoutBoundaries(server.Serve(bytes, size)));
  if (server.cut_short() != cut_short) return;
  Claim(whole.size() == answered, "each request has one reply");
  // A client that leaves in the midst of a head may or may not be told that it was a bad one.
  Claim(pieces.size() <= whole.size(), "requests that are cut are no more requests");
  for (size_t i = 0; i < pieces.size(); ++i) {
    Claim(SameReply(whole[i], pieces[i]), "the replies do not depend on how requests are cut");
  }
}

}  // namespace
}  // namespace knot::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 2 || size > knot::fuzz::kMostBytes) return 0;
  knot::fuzz::Check(knot::fuzz::ToView(data + 1, size - 1),
                    std::max(data[0] + size_t{1}, size / knot::fuzz::kMostPieces));
  return 0;
}
