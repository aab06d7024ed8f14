// Decides whether what a client has is still good: conditional requests.
//
// Source: RFC 9110, 13, and 8.8 for validators; 5.6.7 for dates.
#ifndef KNOT_CONDITIONS_H_
#define KNOT_CONDITIONS_H_

#include <boost/beast/http/field.hpp>
#include <cstddef>
#include <cstdint>

#include "absl/strings/string_view.h"

namespace knot {

// A list field's lines. RFC 9110, 5.3: they may be several, and mean what their concatenation does.
struct FieldLines {
  static constexpr size_t kMost = 4;

  absl::string_view lines[kMost];
  uint8_t count = 0;

  // Returns: false where there are too many.
  bool Add(absl::string_view line) {
    if (count == kMost) return false;
    lines[count++] = line;
    return true;
  }
};

// The fields of a request that make it conditional, or partial.
struct Conditions {
  // Takes a field of the request in. Returns: false where it has too many lines.
  bool Note(boost::beast::http::field name, absl::string_view value);

  bool any = false;
  FieldLines if_match;
  FieldLines if_none_match;
  // Of those that may stand only once, an invalid value where they do not.
  absl::string_view if_modified_since;
  absl::string_view if_unmodified_since;
  absl::string_view if_range;
  absl::string_view range;
};

// What a file is known by.
struct Validators {
  absl::string_view etag;           // with its quotes, and W/ where it is weak
  absl::string_view last_modified;  // as sent
  int64_t modified = 0;             // the same, in Unix seconds
  bool date_is_strong = false;      // two contents cannot have had this date
};

enum class Verdict : uint8_t {
  kSend,
  kNotModified,         // 304
  kPreconditionFailed,  // 412
};

// Evaluates the preconditions of a GET or HEAD in their order (13.2.2), If-Range apart. `now` is in
// Unix seconds.
Verdict Evaluate(const Conditions& conditions, const Validators& file, int64_t now);

// Tells whether the Range field counts: there is no If-Range, or it names what the file is now.
bool RangeCounts(const Conditions& conditions, const Validators& file);

// Reads an HTTP date of any of the three forms. A year of two digits is at most 50 years after
// `now`. Returns: false where it is none.
bool ParseHttpDate(absl::string_view text, int64_t now, int64_t* seconds);

}  // namespace knot

#endif  // KNOT_CONDITIONS_H_
