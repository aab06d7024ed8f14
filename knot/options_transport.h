// The flags about how bytes get to Knot: TLS, proxies in front of it, rates.
#ifndef KNOT_OPTIONS_TRANSPORT_H_
#define KNOT_OPTIONS_TRANSPORT_H_

#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "knot/cidr.h"
#include "knot/listen_address.h"
#include "knot/tls_context.h"

namespace knot {

class Predecessor;

struct TransportOptions {
  TlsSettings tls;
  AddressSet proxy_protocol;   // peers that send a PROXY header
  AddressSet trusted_proxies;  // peers whose X-Forwarded-For is believed
  int min_send_rate = 0;       // bytes a second; 0: any
  int min_body_rate = 0;
};

// Errors: InvalidArgument, where a value of --tls is not two files.
absl::StatusOr<TransportOptions> TransportOptionsFromFlags();

// Errors: InvalidArgument, where something is out of range, or does not fit what is listened on.
absl::Status CheckTransport(const TransportOptions& options,
                            const std::vector<ListenAddress>& listen);

// Makes ready what processes have in common, before there are several: sockets that were passed to
// this one or to `predecessor`, which may be null, and the keys of TLS tickets. Requires: called
// once, while there is one thread. Errors: as ResolveInherited.
absl::Status PrepareTransport(const TransportOptions& options, std::vector<ListenAddress>* listen,
                              Predecessor* predecessor);

}  // namespace knot

#endif  // KNOT_OPTIONS_TRANSPORT_H_
