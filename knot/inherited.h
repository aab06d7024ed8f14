// Listening sockets that whoever started Knot has passed to it.
//
// Source: sd_listen_fds(3). Differs: written by hand, for it takes an environment variable or two.
#ifndef KNOT_INHERITED_H_
#define KNOT_INHERITED_H_

#include <vector>

#include "absl/status/status.h"
#include "knot/listen_address.h"
#include "knot/takeover.h"

namespace knot {

// Puts the sockets that systemd has passed (LISTEN_FDS, for the process LISTEN_PID) in the place of
// the address that stands for them, and finds out what each inherited socket listens on. What a
// program started by this one would take for its own, the variables and the descriptors, is not
// passed on. Sockets that were passed to `predecessor`, which may be null, are taken from it, under
// the numbers they had there.
//
// Requires:  called once, by the process that was started, while there is one thread.
// Errors:    InvalidArgument none were passed, or not to this process; one is not a stream socket
//            that listens.
absl::Status ResolveInherited(std::vector<ListenAddress>* addresses, Predecessor* predecessor);

}  // namespace knot

#endif  // KNOT_INHERITED_H_
