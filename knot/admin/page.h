// The live page: knot/admin/page.html as it was at the build.
#ifndef KNOT_ADMIN_PAGE_H_
#define KNOT_ADMIN_PAGE_H_

#include <string>

#include "absl/strings/string_view.h"

namespace knot {

// Returns: the page, whose script and style a browser knows by `nonce`.
std::string Page(absl::string_view nonce);

// Returns: 128 random bits as text. Blocks: until the kernel has random bits, once after it
// started.
std::string NewNonce();

// Returns: the value of Content-Security-Policy (CSP level 3) that lets the page with `nonce` run
// its own script and ask its own server, and nothing else.
std::string PagePolicy(absl::string_view nonce);

}  // namespace knot

#endif  // KNOT_ADMIN_PAGE_H_
