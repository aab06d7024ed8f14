// Limits how many connections a client has at a time, and how fast it asks.
//
// A client is an address: of IPv4 the whole, of IPv6 its first 64 bits, which is what a customer of
// a provider gets.
//
// State of a client   unknown --Enter--> connected --Leave, the last--> idle --Enter--> connected
//                     unknown --TakeRequest--> idle --others were used since--> unknown
//
// L1. Idle clients are at most kMostIdle; the one used longest ago goes first. Those connected are
//     never forgotten, and are no more than there are threads.
// L2. A client has no more connections than the limit, and Enter is refused only where it has so
//     many.
// L3. In any span of T seconds a client that is not forgotten is let through at most
//     burst + rate·T times.
// L4. A client that asks no faster than the rate is never held up.
#ifndef KNOT_CLIENT_LIMITS_H_
#define KNOT_CLIENT_LIMITS_H_

#include <cstddef>
#include <cstdint>
#include <list>
#include <optional>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "knot/access_log.h"
#include "knot/lock.h"

namespace knot {

struct ClientKey {
  uint64_t high = 0;  // both in the order of the host
  uint64_t low = 0;

  friend bool operator==(const ClientKey& a, const ClientKey& b) {
    return a.high == b.high && a.low == b.low;
  }
  template <typename H>
  friend H AbslHashValue(H h, const ClientKey& key) {
    return H::combine(std::move(h), key.high, key.low);
  }
};

// Returns: whom a peer counts as; an IPv4 address within an IPv6 one as the former. Nothing for one
// without an address: a unix socket's.
std::optional<ClientKey> ClientOf(const PeerAddress& peer);

// Callers: any thread. Never blocks for long.
class ClientLimits {
 public:
  static constexpr size_t kMostIdle = 65'536;

  // 0 in `connections` or `rate` is no limit.
  struct Limits {
    int connections = 0;
    int rate = 0;   // requests a second
    int burst = 1;  // requests at once, after a pause

    friend bool operator==(const Limits&, const Limits&) = default;
  };

  explicit ClientLimits(Limits limits, size_t most_idle = kMostIdle)
      : limits_(limits), most_idle_(most_idle) {
    by_key_.reserve(most_idle);  // the table does not survive that it cannot grow
  }

  // Counts a connection. Returns: false, and does not, where the client has as many as it may.
  bool Enter(const ClientKey& key);

  // Counts one less. Requires: an Enter that returned true.
  void Leave(const ClientKey& key);

  // Takes one request. Returns: 0, or in how many nanoseconds one would be let through. `now_ns` is
  // a clock that never goes back.
  // Source: the generic cell rate algorithm (ITU-T I.371), which is a bucket of tokens: kept is the
  // time at which it would be full again.
  int64_t TakeRequest(const ClientKey& key, int64_t now_ns);

  const Limits& limits() const { return limits_; }
  size_t idle() const;
  size_t connected() const;

 private:
  struct Client {
    ClientKey key;
    int connections = 0;
    int64_t full_at_ns = 0;
  };
  using Clients = std::list<Client>;

  Clients::iterator Find(const ClientKey& key);

  const Limits limits_;
  const size_t most_idle_;

  mutable Lock mutex_;
  Clients idle_;  // used last at the end
  Clients connected_;
  absl::flat_hash_map<ClientKey, Clients::iterator> by_key_;
};

}  // namespace knot

#endif  // KNOT_CLIENT_LIMITS_H_
