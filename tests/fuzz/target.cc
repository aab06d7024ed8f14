// The target of a request, and what it opens.

#include <unistd.h>

#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "knot/file_cache.h"
#include "knot/path.h"
#include "knot/request.h"
#include "knot/response.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/site.h"

namespace knot::fuzz {
namespace {

// ParseTarget with a scratch of the least size it asks for.
class Parsed {
 public:
  explicit Parsed(absl::string_view target)
      : input_(target),
        scratch_(target.size()),
        target_(ParseTarget(input_.view(), scratch_.data())) {
    absl::string_view scratch(scratch_.data(), scratch_.size());
    const Target& result = target_;
    Claim(result.status == 0 || result.status == 400 || result.status == 404,
          "the verdict is one of those documented");
    Claim(IsWithin(result.path, input_.view()) || IsWithin(result.path, scratch),
          "a path points into the target or what was decoded");
    Claim(IsWithin(result.query, input_.view()), "a query points into the target");
  }
  const Target& get() const { return target_; }

 private:
  const Copy input_;
  std::vector<char> scratch_;
  const Target target_;
};

void CheckOpening(absl::string_view path) {
  static const Site* const site = [] {
    static Site lasting;  // removed at exit
    return &lasting;
  }();
  int descriptor = OpenBeneath(site->descriptor(), std::string(path).c_str());
  if (descriptor < 0) return;
  Claim(site->Holds(descriptor), "nothing outside of the root is opened");
  close(descriptor);
}

void CheckLocation(const Target& target) {
  std::string field = LocationField(target);
  Claim(absl::StartsWith(field, "Location: /") && absl::EndsWith(field, "\r\n"),
        "a redirect is one field");
  absl::string_view location(field);
  absl::ConsumePrefix(&location, "Location: ");
  absl::ConsumeSuffix(&location, "\r\n");
  for (unsigned char c : location) Claim(c > 0x20 && c != 0x7f, "a redirect has no controls");
  absl::string_view path = location.substr(0, location.find('?'));
  Claim(!absl::StrContains(path, "\\"), "a redirect has nothing that a browser takes for a slash");
  Claim(location.size() == 1 || location[1] != '/' || target.path.empty(),
        "a redirect stays on the host");
  Parsed again(location);
  Claim(again.get().status == 0, "a redirect can be followed");
  Claim(again.get().query == target.query, "a redirect keeps the query");
  Claim(again.get().path == absl::StrCat(absl::StripSuffix(target.path, "/"), "/") ||
            target.path.empty(),
        "a redirect leads to the same path with a slash");
}

void Check(absl::string_view text) {
  // As the parser of heads lets it through.
  const std::string head = absl::StrCat("GET ", text, " HTTP/1.1\r\nHost: h\r\n\r\n");
  RequestParser parser;
  size_t used = 0;
  if (parser.ParseHead(head, &used) != RequestParser::kComplete) return;
  if (IsServer(parser.request().target)) return;
  Parsed parsed(parser.request().target);
  const Target& target = parsed.get();
  if (target.status != 0) return;
  Claim(!absl::StrContains(target.path, absl::string_view("\0", 1)), "a path contains no NUL");
  Claim(!absl::StartsWith(target.path, "/"), "a path is relative");
  absl::string_view inside = absl::StripSuffix(target.path, "/");
  for (absl::string_view segment : absl::StrSplit(inside, '/')) {
    Claim(segment != "." && segment != "..", "a path goes down only");
    Claim(!segment.empty() || inside.empty(), "a path has one form");
  }
  Claim(target.hidden == HasHiddenSegment(target.path), "what is hidden is seen in the path");
  Claim(target.path.size() <= text.size(), "decoding makes nothing longer");
  Claim(target.query.empty() || target.query[0] == '?', "a query begins with its question mark");
  CheckOpening(target.path);
  CheckLocation(target);
}

}  // namespace
}  // namespace knot::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size <= 4096) knot::fuzz::Check(knot::fuzz::ToView(data, size));
  return 0;
}
