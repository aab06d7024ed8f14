// What comes between accept(2) and the first request: the PROXY header, the TLS handshake.
#ifndef KNOT_TRANSPORT_H_
#define KNOT_TRANSPORT_H_

#include "absl/status/status.h"
#include "knot/access_log.h"
#include "knot/cidr.h"
#include "knot/group.h"
#include "knot/tls_context.h"

namespace knot {

// How connections by one listening address begin, in this order.
struct Transport {
  const AddressSet* proxies =
      nullptr;                      // whose connections begin with a PROXY header; null: nobody's
  const TlsContext* tls = nullptr;  // null: plain

  bool plain() const { return proxies == nullptr && tls == nullptr; }
};

// Serves one connection that is plain, from its first byte to close, each request by the group that
// is in force in `groups`. Leaves `socket` open. One of a client that has as many as it may is
// turned away. Blocks: this thread.
void ServePlain(const GroupSlot& groups, int socket, const PeerAddress& client);

// Serves one connection that is not plain, from accept to close. Leaves `socket` open. `peer` is
// who connected.
//
// Blocks: this thread; up to group.header_timeout_ms for the PROXY header, and as long for the
// handshake, before the connection's own time-outs begin.
void ServeBy(const Transport& transport, const GroupSlot& groups, int socket,
             const PeerAddress& peer);

// Receives the PROXY header, not a byte more, and sets `*peer` to the client it names.
//
// Returns: false where it is malformed, or did not come whole in time.
// Blocks:  this thread, up to group.header_timeout_ms.
bool ReceiveProxyHeader(Group& group, int socket, PeerAddress* peer);

}  // namespace knot

#endif  // KNOT_TRANSPORT_H_
