// The head of a request, whole and cut anywhere.

#include <algorithm>

#include "absl/strings/match.h"
#include "knot/buffer_pool.h"
#include "knot/request.h"
#include "tests/fuzz/fuzz.h"

namespace knot::fuzz {
namespace {

bool IsVerdict(int status) {
  for (int verdict :
       {RequestParser::kComplete, RequestParser::kPartial, 400, 413, 414, 417, 501, 505}) {
    if (status == verdict) return true;
  }
  return false;
}

void CheckViews(const Request& request, absl::string_view head) {
  for (absl::string_view view :
       {request.line, request.target, request.referer, request.user_agent}) {
    Claim(IsWithin(view, head), "a request's views point into its head");
  }
  const Conditions& conditions = request.conditions;
  for (absl::string_view view : {conditions.if_modified_since, conditions.if_unmodified_since,
                                 conditions.if_range, conditions.range}) {
    // "," stands for a field that was sent twice.
    Claim(view == "," || IsWithin(view, head), "a condition points into its head");
  }
  for (const FieldLines* list : {&conditions.if_match, &conditions.if_none_match}) {
    Claim(list->count <= FieldLines::kMost, "a list has no more lines than there is room for");
    for (size_t i = 0; i < list->count; ++i) {
      Claim(IsWithin(list->lines[i], head), "a line of a list points into its head");
    }
  }
}

void CheckComplete(const RequestParser& parser, absl::string_view head) {
  const Request& request = parser.request();
  CheckViews(request, head);
  Claim(FindHeadEnd(head, 0) == head.size(), "the first empty line ends the head");
  Claim(!IsHopelessHead(head), "no line of an accepted head ends in a bare line feed");
  Claim(!absl::StrContains(head, absl::string_view("\0", 1)), "no accepted head contains NUL");
  Claim(absl::StartsWith(head, request.line) && head[request.line.size()] == '\r',
        "the request line is the first line");
  Claim(IsWithin(request.target, request.line), "the target stands in the request line");
  Claim(!request.target.empty() && request.target.size() <= kMaxTargetBytes,
        "there is a target, of bounded length");
  Claim(request.hosts <= 1, "there is at most one Host");
  Claim(!request.http11 || request.hosts == 1, "HTTP/1.1 has a Host");
  Claim(!(request.content_length_seen && request.transfer_encoding),
        "the length of a body is given in one way only");
  Claim(request.http11 || !request.transfer_encoding, "HTTP/1.0 has no transfer coding");
}

void Check(absl::string_view bytes) {
  RequestParser parser;
  size_t used = 0;
  const int status = parser.ParseHead(bytes, &used);
  Claim(IsVerdict(status), "the verdict is one of those documented");
  Claim(used <= bytes.size(), "no more is used than there is");
  if (status == RequestParser::kComplete) CheckComplete(parser, bytes.substr(0, used));

  const size_t step = std::max<size_t>(1, bytes.size() / 64);
  for (size_t cut = step; cut < bytes.size(); cut += step) {
    Copy start(bytes.substr(0, cut));
    RequestParser first;
    size_t first_used = 0;
    const int verdict = first.ParseHead(start.view(), &first_used);
    if (verdict == RequestParser::kPartial) continue;
    Claim(verdict == status, "how a head is cut does not change the verdict");
    Claim(status != RequestParser::kComplete || first_used == used,
          "how a head is cut does not change where it ends");
  }

  const size_t end = FindHeadEnd(bytes, 0);
  for (size_t cut = 3; cut < bytes.size() && cut < end; cut += step) {
    Claim(FindHeadEnd(bytes, cut - 3) == end, "a search that goes on finds the same end");
  }
}

}  // namespace
}  // namespace knot::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size > 0 && size <= knot::kMaxHeadBytes) knot::fuzz::Check(knot::fuzz::ToView(data, size));
  return 0;
}
