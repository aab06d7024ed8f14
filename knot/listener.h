// Opens the sockets connections arrive at.
#ifndef KNOT_LISTENER_H_
#define KNOT_LISTENER_H_

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "knot/listen_address.h"

namespace knot {

// Opens `count` sockets that listen on one address; with more than one the kernel spreads
// connections over them (SO_REUSEPORT). Sets `address->port` to the real port where it was 0.
// Options that accepted sockets inherit, TCP_NODELAY and SO_SNDTIMEO, are set here, once, instead
// of for each connection.
//
// Of an address that is Shared() there is one socket, of which all `count` are descriptors; it is
// for knot/shared_accept.h.
//
// Returns: `count` descriptors.
// Errors:  AlreadyExists the port is busy; others as socket(2), bind(2), listen(2) give them. One
// line, with the address.
absl::StatusOr<std::vector<int>> Listen(ListenAddress* address, int count, int send_timeout_s);

// Sets SO_SNDTIMEO, which connections accepted from now on inherit.
void SetSendTimeout(int descriptor, int seconds);

// Returns: the port that a socket is bound to.
uint16_t PortOf(int descriptor);

}  // namespace knot

#endif  // KNOT_LISTENER_H_
