#include "knot/admin/page.h"

#include <sys/random.h>

#include <cstdint>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"

namespace knot {

extern const char kPageHtml[];  // written by CMake

// A nonce rather than hashes, which the build would need a tool for and an editor of the page to
// run; it is worth as much, since nothing from outside ever stands in the page.
std::string Page(absl::string_view nonce) {
  return absl::StrReplaceAll(kPageHtml,
                             {{"nonce=\"NONCE\"", absl::StrCat("nonce=\"", nonce, "\"")}});
}

std::string NewNonce() {
  uint64_t random[2];
  while (getrandom(random, sizeof random, 0) != sizeof random) {
  }
  return absl::StrCat(absl::Hex(random[0], absl::kZeroPad16),
                      absl::Hex(random[1], absl::kZeroPad16));
}

std::string PagePolicy(absl::string_view nonce) {
  return absl::StrCat("default-src 'none'; script-src 'nonce-", nonce, "'; style-src 'nonce-",
                      nonce,
                      "'; img-src data:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
                      "frame-ancestors 'none'");
}

}  // namespace knot
