// The fields a reply carries beside those Knot writes of itself.
//
// What a file's replies carry is found once, when its head is prepared: a cached reply costs no
// more than the bytes. Replies that send no file carry what every reply does.
//
// Source: RFC 9110, 5.1, 5.5, 5.6.2; RFC 9111, 5.2; fnmatch(3).
#ifndef KNOT_HEADER_RULES_H_
#define KNOT_HEADER_RULES_H_

#include <cstddef>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace knot {

// A GLOB is a pattern for the path of the file that is sent, from the root on, such as `/assets/*`
// or `*.woff2`: it begins with a slash or a star. In it `*` stands for any text, slashes included,
// `?` for one character, `[...]` for one of some; a backslash takes away their meaning.
//
// Filled before it is used, then read by any thread.
class HeaderRules {
 public:
  // Most bytes of all fields together: no reply can carry more, and clients refuse long heads.
  static constexpr size_t kMaxBytes = 8192;

  // Adds a field: `[GLOB:]Name: value`. Without a GLOB every reply carries it. All that match are
  // sent, in the order they were added.
  // Errors: InvalidArgument it is malformed, of a name that Knot itself writes, or beyond
  // kMaxBytes.
  absl::Status AddField(absl::string_view rule);

  // Adds a value of Cache-Control: `GLOB=VALUE`. Of several that match the first is sent.
  // Errors: InvalidArgument it is malformed, or beyond kMaxBytes.
  absl::Status AddCacheControl(absl::string_view rule);

  // Adds lines, each with its CRLF, that every reply carries.
  void AddToEvery(absl::string_view lines) { every_.append(lines.data(), lines.size()); }

  // Keeps shared caches from storing what lies at `path`, or below it, unless an earlier
  // Cache-Control matches. `path` begins with a slash and does not end in one, but for the root's.
  void AddPrivate(absl::string_view path);

  // Returns: the lines of a reply that sends the file `name`, relative to the root; each with its
  // CRLF.
  std::string FieldsOf(absl::string_view name) const;

  // Returns: the lines every reply carries, each with its CRLF.
  const std::string& Every() const { return every_; }

 private:
  struct Rule {
    std::string glob;
    std::string line;
  };

  absl::Status Count(size_t bytes);

  std::string every_;
  std::vector<Rule> fields_;
  std::vector<Rule> cache_controls_;
  size_t bytes_ = 0;
};

// Tells whether `text` is a token. Source: RFC 9110, 5.6.2.
bool IsToken(absl::string_view text);

// Tells whether `text` may be the value of a field: no line break, no NUL, no other control
// character but the tab. Source: RFC 9110, 5.5.
bool IsFieldValue(absl::string_view text);

}  // namespace knot

#endif  // KNOT_HEADER_RULES_H_
