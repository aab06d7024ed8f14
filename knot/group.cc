#include "knot/group.h"

#include <algorithm>

namespace knot {

Group::Group(Traffic& traffic, std::shared_ptr<const Configuration> all, FileCache::Limits limits)
    : configuration(std::move(all)),
      buffers(traffic.buffers),
      send_buffers(traffic.send_buffers),
      files(configuration->sites->first().root, configuration->types, std::move(limits)),
      listings(traffic.listings),
      counters(traffic.counters),
      open(traffic.open),
      sites(configuration->sites.get()),
      health(configuration->health),
      metrics(traffic.metrics.get()),
      policy(configuration->policy.get()),
      fields(configuration->headers.Every()),
      trusted_proxies(configuration->trusted_proxies.empty() ? nullptr
                                                             : &configuration->trusted_proxies),
      stopping(traffic.stopping),
      left(traffic.left),
      crowded_doors(traffic.crowded_doors) {
  for (size_t i = 1; i < sites->list().size(); ++i) files.AddRoot(sites->list()[i]->root);
}

void GroupSlot::Replace(std::shared_ptr<Group> next) {
  {
    std::lock_guard<Lock> lock(mutex_);
    std::swap(group_, next);
  }
  // A connection that got the old one just now sees this before it serves its next request.
  next->replaced.store(true);
  next->files.Clear();
  replaced_.push_back(next);
}

size_t GroupSlot::InUse() {
  std::erase_if(replaced_, [](const std::weak_ptr<Group>& group) { return group.expired(); });
  return replaced_.size();
}

}  // namespace knot
