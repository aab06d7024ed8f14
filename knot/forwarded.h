// Finds the client behind proxies that are trusted.
#ifndef KNOT_FORWARDED_H_
#define KNOT_FORWARDED_H_

#include "absl/strings/string_view.h"
#include "knot/access_log.h"
#include "knot/cidr.h"

namespace knot {

inline constexpr absl::string_view kForwardedFor = "X-Forwarded-For";

// Goes from `peer` back along those that each proxy says it had the request from, as long as who
// says it is trusted. `fields` is what a head has from the value of its first X-Forwarded-For to
// that of its last, with whatever other fields stand between them.
//
// Returns: the first that is not trusted, or the last of which an address is known.
PeerAddress ClientBehind(const PeerAddress& peer, absl::string_view fields,
                         const AddressSet& trusted);

}  // namespace knot

#endif  // KNOT_FORWARDED_H_
