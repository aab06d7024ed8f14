// What the threads of one scheduler share, and no thread of another touches.
#ifndef KNOT_GROUP_H_
#define KNOT_GROUP_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "knot/access_log.h"
#include "knot/cidr.h"
#include "knot/configuration.h"
#include "knot/file_cache.h"
#include "knot/lock.h"
#include "knot/pace.h"
#include "knot/traffic.h"

namespace knot {

class Policy;

// A group under one configuration. A reload makes another in its place.
struct Group {
  // `traffic` outlives the group.
  Group(Traffic& traffic, std::shared_ptr<const Configuration> all, FileCache::Limits limits);

  const std::shared_ptr<const Configuration> configuration;
  BufferPool& buffers;
  SendBufferPool& send_buffers;
  FileCache files;
  ListingMemory& listings;
  Counters& counters;
  OpenConnections& open;
  const Sites* const sites;
  const absl::string_view health;  // the path of --health; empty: off
  AccessLog* log = nullptr;        // null: off
  RequestMetrics* const metrics;   // null: off
  Policy* const policy;            // null: no rules
  const absl::string_view fields;  // of replies that send no file: lines with their CRLF
  bool timed = false;              // the metrics, or the log, want to know how long a request took
  int header_timeout_ms = 0;
  int idle_timeout_ms = 0;
  LeastRate least_sent;  // what a client must take of a reply, and send of a body
  LeastRate least_body;
  const AddressSet* const trusted_proxies;  // null: nobody's X-Forwarded-For is believed
  std::atomic<bool>& stopping;
  std::atomic<bool>& left;
  std::atomic<int>& crowded_doors;
  uint32_t turn_seconds = 0;          // see crowded_doors
  std::atomic<bool> replaced{false};  // by a reload: requests that begin now are another's
};

// The group that is in force, and those before it that requests still use.
//
//   state of a group   in force --Replace--> replaced --its last connection lets go--> gone
//
//   R1  Whoever got a group may use it as long as it likes.
//   R2  A request is served by the group that was in force when its first bytes were received, or
//       by one that came into force meanwhile.
//   R3  A replaced group gives up the files it holds, but for those that are being sent.
class GroupSlot {
 public:
  explicit GroupSlot(std::shared_ptr<Group> group) : group_(std::move(group)) {}

  // Callers: any thread. Blocks: never.
  std::shared_ptr<Group> Get() const {
    std::lock_guard<Lock> lock(mutex_);
    return group_;
  }

  // Puts `next` in force.
  void Replace(std::shared_ptr<Group> next);

  // Returns: how many groups that were replaced are still in use. Callers: that of Replace.
  size_t InUse();

 private:
  mutable Lock mutex_;
  std::shared_ptr<Group> group_;
  std::vector<std::weak_ptr<Group>> replaced_;
};

}  // namespace knot

#endif  // KNOT_GROUP_H_
