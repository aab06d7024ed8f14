// Understands the header of the PROXY protocol, by which a load balancer tells for whom it
// connects.
//
// Source: HAProxy, doc/proxy-protocol.txt, versions 1 and 2. Differs: stricter where it says "may";
// a version 2 header above kMaxProxyHeader bytes is refused, as are datagrams.
#ifndef KNOT_PROXY_HEADER_H_
#define KNOT_PROXY_HEADER_H_

#include <cstddef>
#include <cstdint>

#include "absl/strings/string_view.h"
#include "knot/access_log.h"

namespace knot {

// Addresses take 232 bytes at most; what comes beside them, such as a client's certificate's names,
// must fit, too.
inline constexpr size_t kMaxProxyHeader = 4096;

struct ProxyHeader {
  enum class Outcome : uint8_t {
    kComplete,
    kPartial,  // all of the bytes are the header's, and more must come
    kMalformed,
  };

  Outcome outcome = Outcome::kMalformed;
  size_t size = 0;          // kComplete: of the header; what follows is the connection's
  bool has_source = false;  // kComplete: whether it names the client; else the peer is the client
  PeerAddress source{};
};

// Parses the header that `bytes` begin with. Makes no allocation and no system call.
ProxyHeader ParseProxyHeader(absl::string_view bytes);

}  // namespace knot

#endif  // KNOT_PROXY_HEADER_H_
