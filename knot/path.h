// The one form of a path that every rule and every look-up sees: decoded once, relative to the
// root, without empty, "." and ".." segments.
//
// Source: RFC 3986, 2.4 and 5.2.4. Differs: a path that climbs above the root is refused, not cut
// short, and slashes in a row count as one, as they do for the file system.
#ifndef KNOT_PATH_H_
#define KNOT_PATH_H_

#include <cstddef>
#include <string>

#include "absl/strings/string_view.h"

namespace knot {

// Writes the canonical form of `path`, which is empty or begins with '/', to `out`, which has room
// for path.size() bytes: the segments with slashes between them, and one at the end where the path
// names a directory.
//
// Returns: 0; 400 for a malformed escape, an encoded NUL, or a path above the root; 404 for an
// encoded slash, since no name contains one.
int CanonicalPath(absl::string_view path, char* out, size_t* size);

// Tells whether a directory does not show an entry unless it is told to: its name begins with '.'.
// The one exception, `.well-known` in the root, is for others to read (RFC 8615).
bool IsHiddenName(absl::string_view name, bool in_root);

// Tells whether any segment of a canonical path is hidden.
bool HasHiddenSegment(absl::string_view path);

// Tells whether the last segment of a canonical path has a '.' in it.
bool HasExtension(absl::string_view path);

// Appends `path` as a URI has it. Everything but the plainest characters is escaped, so that no
// browser sees a backslash, nor a scheme.
void AppendPercentEncoded(absl::string_view path, std::string* out);

// Appends a query, with its question mark, as a URI has it: what is escaped stays so, and what may
// not stand in a URI is escaped. Source: RFC 3986, 3.4.
void AppendQuery(absl::string_view query, std::string* out);

}  // namespace knot

#endif  // KNOT_PATH_H_
