// Which paths need a password, and whose.
#ifndef KNOT_AUTH_RULE_H_
#define KNOT_AUTH_RULE_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace knot {

// One --auth.
struct AuthRule {
  std::string prefix;  // a path, decoded, from its slash on and without one at its end; "/" is all
  std::string file;
};

// Reads `PREFIX=FILE`. Errors: InvalidArgument.
absl::StatusOr<AuthRule> ParseAuthRule(absl::string_view text);

// Tells whether a path, decoded and relative to the root, is written in the one way rules are
// matched with: no empty segment, no `.`, no `..`.
bool IsPlainPath(absl::string_view path);

}  // namespace knot

#endif  // KNOT_AUTH_RULE_H_
