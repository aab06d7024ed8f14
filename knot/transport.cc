#include "knot/transport.h"

#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>

#include "knot/connection.h"
#include "knot/deadline.h"
#include "knot/policy.h"
#include "knot/proxy_header.h"
#include "knot/stream.h"
#include "knot/tls_stream.h"

namespace knot {
namespace {

// Whoever comes through a proxy that is trusted is somebody else, whom only the requests name.
Policy* LimitsFor(const Group& group, const PeerAddress& client) {
  bool proxy = group.trusted_proxies != nullptr && group.trusted_proxies->Contains(client);
  return proxy ? nullptr : group.policy;
}

// Serves requests until the connection is of no more use.
void ServeRequests(const GroupSlot& groups, std::shared_ptr<Group> group, Stream& stream,
                   PeerAddress client) {
  while (Connection(*group, stream, client).Serve()) {
    group = groups.Get();
    stream.SetLeastSent(group->least_sent);
    // The rules that are in force now may ask what nobody did when it came.
    if (client.any.sa_family != AF_UNSPEC) continue;
    socklen_t size = sizeof client;
    getpeername(stream.socket(), &client.any, &size);
  }
}

// Serves what comes after the PROXY header, if there is one. Not inlined into its caller, nor are
// the others: the frames below a waiting Connection::Serve are to be small.
[[gnu::noinline]] void ServeTls(const TlsContext& tls, const GroupSlot& groups,
                                std::shared_ptr<Group> group, int socket, const PeerAddress& peer) {
  Policy::Place place(LimitsFor(*group, peer), peer);
  if (!place.given()) return group->counters.turned_away.Add();
  TlsSession session(socket, group->send_buffers, group->least_sent);
  switch (session.Handshake(tls, group->header_timeout_ms)) {
    case TlsSession::Outcome::kFailed:
      group->counters.tls_failures.Add();
      return;
    case TlsSession::Outcome::kPlainHttp: {
      group->counters.tls_failures.Add();
      Stream plain(socket, group->least_sent);
      Connection(*group, plain, peer).Decline(400);
      return;
    }
    case TlsSession::Outcome::kDone:
      break;
  }
  group->counters.tls_handshakes.Add();
  if (session.resumed()) group->counters.tls_resumed.Add();
  Stream stream(socket, group->least_sent, &session);
  ServeRequests(groups, std::move(group), stream, peer);
  session.End();
}

}  // namespace

void ServePlain(const GroupSlot& groups, int socket, const PeerAddress& client) {
  std::shared_ptr<Group> group = groups.Get();
  Policy::Place place(LimitsFor(*group, client), client);
  if (!place.given()) return group->counters.turned_away.Add();
  Stream stream(socket, group->least_sent);
  ServeRequests(groups, std::move(group), stream, client);
}

void ServeBy(const Transport& transport, const GroupSlot& groups, int socket,
             const PeerAddress& peer) {
  PeerAddress client = peer;
  std::shared_ptr<Group> group = groups.Get();
  if (transport.proxies != nullptr && transport.proxies->Contains(peer) &&
      !ReceiveProxyHeader(*group, socket, &client)) {
    group->counters.proxy_refusals.Add();
    return;
  }
  if (transport.tls != nullptr) {
    ServeTls(*transport.tls, groups, std::move(group), socket, client);
  } else {
    group.reset();  // it may be replaced, and is not used here any more
    ServePlain(groups, socket, client);
  }
}

// What has come is looked at, and taken only as far as it is the header's: what follows it is for
// the TLS library, or the first request's.
[[gnu::noinline]] bool ReceiveProxyHeader(Group& group, int socket, PeerAddress* peer) {
  static_assert(sizeof(RequestBuffer::input) >= kMaxProxyHeader);
  Deadline deadline(group.header_timeout_ms);
  BufferPool::Lease lease(group.buffers);
  char* const buffer = (*lease).input;
  for (size_t taken = 0;;) {
    pollfd wait{socket, POLLIN, 0};
    int ready = poll(&wait, 1, deadline.Left());
    if (ready < 0 && errno == EINTR) continue;
    if (ready <= 0) return false;
    ssize_t seen = recv(socket, buffer + taken, kMaxProxyHeader - taken, MSG_PEEK);
    if (seen < 0 && errno == EINTR) continue;
    if (seen <= 0) return false;
    ProxyHeader header = ParseProxyHeader({buffer, taken + seen});
    if (header.outcome == ProxyHeader::Outcome::kMalformed) return false;
    bool complete = header.outcome == ProxyHeader::Outcome::kComplete;
    size_t its_own = complete ? header.size - taken : seen;
    if (recv(socket, buffer + taken, its_own, 0) != static_cast<ssize_t>(its_own)) return false;
    taken += its_own;
    if (!complete) continue;
    if (header.has_source) *peer = header.source;
    return true;
  }
}

}  // namespace knot
