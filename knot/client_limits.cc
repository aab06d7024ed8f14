#include "knot/client_limits.h"

#include <netinet/in.h>

#include <algorithm>
#include <cstring>
#include <iterator>
#include <mutex>

namespace knot {
namespace {

constexpr int64_t kSecondNs = 1'000'000'000;
constexpr uint64_t kMapped = 0xffff'0000'0000;  // ::ffff:0:0/96, RFC 4291, 2.5.5.2

ClientKey OfIpv4(uint32_t address) { return {0, kMapped | address}; }

uint64_t ReadBigEndian(const unsigned char* bytes) {
  uint64_t number = 0;
  for (int i = 0; i < 8; ++i) number = number << 8 | bytes[i];
  return number;
}

}  // namespace

std::optional<ClientKey> ClientOf(const PeerAddress& peer) {
  if (peer.any.sa_family == AF_INET) return OfIpv4(ntohl(peer.v4.sin_addr.s_addr));
  if (peer.any.sa_family != AF_INET6) return std::nullopt;
  const unsigned char* bytes = peer.v6.sin6_addr.s6_addr;
  uint64_t high = ReadBigEndian(bytes), low = ReadBigEndian(bytes + 8);
  if (high == 0 && (low >> 32 << 32) == kMapped) return OfIpv4(static_cast<uint32_t>(low));
  return ClientKey{high, 0};
}

// Returns: the client, known from now on, and the one used last. Requires: mutex_ held.
ClientLimits::Clients::iterator ClientLimits::Find(const ClientKey& key) {
  auto place = by_key_.find(key);
  if (place != by_key_.end()) {
    Clients::iterator client = place->second;
    if (client->connections == 0) idle_.splice(idle_.end(), idle_, client);
    return client;
  }
  idle_.push_back({key});
  Clients::iterator client = std::prev(idle_.end());
  by_key_.emplace(key, client);
  if (idle_.size() > most_idle_) {
    by_key_.erase(idle_.front().key);
    idle_.pop_front();
  }
  return client;
}

bool ClientLimits::Enter(const ClientKey& key) {
  std::lock_guard<Lock> lock(mutex_);
  Clients::iterator client = Find(key);
  if (limits_.connections > 0 && client->connections >= limits_.connections) return false;
  if (client->connections++ == 0) connected_.splice(connected_.end(), idle_, client);
  return true;
}

void ClientLimits::Leave(const ClientKey& key) {
  std::lock_guard<Lock> lock(mutex_);
  Clients::iterator client = Find(key);
  if (--client->connections > 0) return;
  idle_.splice(idle_.end(), connected_, client);
  if (idle_.size() > most_idle_) {
    by_key_.erase(idle_.front().key);
    idle_.pop_front();
  }
}

int64_t ClientLimits::TakeRequest(const ClientKey& key, int64_t now_ns) {
  if (limits_.rate <= 0) return 0;
  const int64_t interval = kSecondNs / limits_.rate;
  std::lock_guard<Lock> lock(mutex_);
  Client& client = *Find(key);
  // Threads may come here in another order than they read the clock.
  const int64_t full_at = std::max(client.full_at_ns, now_ns);
  const int64_t wait = full_at - now_ns - interval * (limits_.burst - 1);
  if (wait > 0) return wait;
  client.full_at_ns = full_at + interval;
  return 0;
}

size_t ClientLimits::idle() const {
  std::lock_guard<Lock> lock(mutex_);
  return idle_.size();
}

size_t ClientLimits::connected() const {
  std::lock_guard<Lock> lock(mutex_);
  return connected_.size();
}

}  // namespace knot
