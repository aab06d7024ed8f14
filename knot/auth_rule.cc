#include "knot/auth_rule.h"

#include <algorithm>

#include "absl/strings/match.h"

namespace knot {

bool IsPlainPath(absl::string_view path) {
  while (!path.empty()) {
    size_t end = std::min(path.find('/'), path.size());
    absl::string_view segment = path.substr(0, end);
    if (segment.empty() || segment == "." || segment == "..") return false;
    path.remove_prefix(std::min(end + 1, path.size()));
  }
  return true;
}

absl::StatusOr<AuthRule> ParseAuthRule(absl::string_view text) {
  size_t equals = text.find('=');
  if (equals == absl::string_view::npos || equals + 1 == text.size()) {
    return absl::InvalidArgumentError("must be PREFIX=FILE");
  }
  absl::string_view prefix = text.substr(0, equals);
  if (!absl::StartsWith(prefix, "/") || !IsPlainPath(prefix.substr(1))) {
    return absl::InvalidArgumentError(
        "the prefix must begin with a slash and have no empty segment, no . and no ..");
  }
  if (prefix.size() > 1 && absl::EndsWith(prefix, "/")) prefix.remove_suffix(1);
  return AuthRule{std::string(prefix), std::string(text.substr(equals + 1))};
}

}  // namespace knot
