// A chunked body, in one piece and in any pieces, against a second reading of the grammar.

#include <algorithm>
#include <string>

#include "absl/strings/ascii.h"
#include "knot/request.h"
#include "tests/fuzz/fuzz.h"

namespace knot::fuzz {
namespace {

constexpr size_t kNone = absl::string_view::npos;

int HexDigit(char c) {
  return absl::ascii_isdigit(c) ? c - '0' : (absl::ascii_tolower(c) - 'a') + 10;
}

// Returns: where the next line ends, before its CRLF; kNone where there is no end, or a line feed
// or carriage return before it.
size_t LineEnd(absl::string_view body, size_t at) {
  size_t end = body.find_first_of("\r\n", at);
  return end != kNone && body.substr(end, 2) == "\r\n" ? end : kNone;
}

// RFC 9112, 7.1. Returns: where the body ends, kNone where it does not or is none.
size_t EndOfBody(absl::string_view body) {
  size_t at = 0;
  for (uint64_t size = 1; size > 0;) {
    size_t end = LineEnd(body, at);
    if (end == kNone || end == at || !absl::ascii_isxdigit(body[at])) return kNone;
    for (size = 0; at < end && absl::ascii_isxdigit(body[at]); ++at) {
      size = size * 16 + HexDigit(body[at]);
      if (size > kMaxBodyBytes) return kNone;
    }
    bool extended = at < end;
    if (extended && body[at] != ';' && body[at] != ' ' && body[at] != '\t') return kNone;
    at = end + 2;
    if (size == 0) break;
    if (body.size() - at < size + 2 || body.substr(at + size, 2) != "\r\n") return kNone;
    at += size + 2;
  }
  for (;;) {  // trailers
    size_t end = LineEnd(body, at);
    if (end == kNone) return kNone;
    if (end == at) return at + 2;
    at = end + 2;
  }
}

struct Outcome {
  int status = RequestParser::kComplete;
  bool done = false;
  size_t used = 0;
};

// Goes over a body of which `first` bytes arrive, then `step` at a time.
Outcome Skip(absl::string_view body, size_t first, size_t step) {
  RequestParser parser;
  size_t used = 0;
  Claim(parser.ParseHead("GET / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n",
                         &used) == RequestParser::kComplete,
        "the head is understood");
  Outcome outcome;
  for (size_t arrived = std::min(first, body.size());;
       arrived = std::min(arrived + step, body.size())) {
    Copy waiting(body.substr(outcome.used, arrived - outcome.used));
    if (!waiting.view().empty()) {
      outcome.status = parser.ParseBody(waiting.view(), &used);
      Claim(used <= waiting.view().size(), "no more is used than there is");
      outcome.used += used;
    }
    outcome.done = parser.Done();
    bool over = outcome.status != RequestParser::kComplete || outcome.done;
    if (over || arrived == body.size()) return outcome;
  }
}

void Check(absl::string_view body) {
  const Outcome whole = Skip(body, body.size(), 1);
  Claim(whole.status == RequestParser::kComplete || whole.status == 400 || whole.status == 413,
        "the verdict is one of those documented");
  if (whole.status == RequestParser::kComplete && whole.done) {
    Claim(whole.used == EndOfBody(body), "the body ends where the grammar says");
  }
  auto compare = [&](const Outcome& other) {
    // Not which refusal it is: a chunk above the limit may also be malformed.
    bool refused = whole.status != RequestParser::kComplete;
    Claim((other.status != RequestParser::kComplete) == refused,
          "how a body is cut does not change the verdict");
    Claim(refused || other.done == whole.done,
          "how a body is cut does not change whether it is whole");
    Claim(refused || !whole.done || other.used == whole.used,
          "how a body is cut does not change where it ends");
  };
  const size_t step = std::max<size_t>(1, body.size() / 64);
  for (size_t cut = 1; cut < body.size(); cut += step) compare(Skip(body, cut, body.size()));
  for (size_t size : {1, 2, 7}) compare(Skip(body, size, size));
}

}  // namespace
}  // namespace knot::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size <= 4096) knot::fuzz::Check(knot::fuzz::ToView(data, size));
  return 0;
}
