#include "knot/group.h"

#include <gtest/gtest.h>

#include <atomic>

namespace knot {
namespace {

// Thousands of threads may wait for their turn; a tenth of a second each would take hours here.
TEST(AcceptBackOff, LetsEveryThreadGoOnceTheServerStops) {
  AcceptBackOff back_off;
  std::atomic<bool> stopping{false};
  back_off.Wait(stopping);
  stopping.store(true);
  for (int i = 0; i < 100'000; ++i) back_off.Wait(stopping);
}

}  // namespace
}  // namespace knot
