// Understands the host that a request is for: the Host field, or the authority in its target.
//
// Source: RFC 3986, 3.2.2 and 3.2.3; RFC 9110, 4.2.1 and 7.2.
#ifndef KNOT_HOST_H_
#define KNOT_HOST_H_

#include "absl/strings/string_view.h"

namespace knot {

// Takes `text`, host [":" port], apart: the host is a name, an IPv4 address, or in brackets an IPv6
// address or one of a later version; the port is up to 65535 or, as the grammar allows, of no
// digits at all. `*host` is set to the host as it stands, brackets included.
//
// Returns: false where it is none. An empty host is none, since no http URI has one; nor is one
// with a user in front.
bool ParseAuthority(absl::string_view text, absl::string_view* host);

// Tells whether `value` may stand in a Host field: host [":" port], or nothing, which is what a
// client sends whose URI names no host.
bool IsHostField(absl::string_view value);

}  // namespace knot

#endif  // KNOT_HOST_H_
