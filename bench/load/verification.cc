#include "bench/load/verification.h"

#include <math.h>

#include "absl/strings/str_format.h"

namespace load {
namespace {

constexpr double kAboveMean = 0.02;
constexpr double kMostOfSize = 0.05;
constexpr double kMostOfAll = 0.10;
constexpr double kChance = 0.001;

// Checks one size against one limit.
void CheckSize(uint32_t size, uint64_t requests, uint64_t timeouts, double limit, const char* rule,
               Verification* result) {
  if (static_cast<double>(timeouts) <= limit * static_cast<double>(requests)) return;
  result->strict = false;
  if (BinomialTail(requests, timeouts, limit) >= kChance) return;
  result->why.push_back(absl::StrFormat("%d bytes: %d of %d requests timed out, %s (%.2f %%)",
                                        FileSize(size), timeouts, requests, rule, limit * 100));
}

}  // namespace

double BinomialTail(uint64_t tries, uint64_t count, double p) {
  if (count == 0 || p >= 1) return 1;
  if (count > tries || p <= 0) return 0;
  const auto n = static_cast<double>(tries);
  double tail = 0;
  for (uint64_t i = count; i <= tries; ++i) {
    const auto k = static_cast<double>(i);
    double term =
        exp(lgamma(n + 1) - lgamma(k + 1) - lgamma(n - k + 1) + k * log(p) + (n - k) * log1p(-p));
    tail += term;
    if (k > n * p && term < 1e-12 * tail) break;  // they only become smaller
    if (k > n * p && tail == 0) break;
  }
  return fmin(tail, 1);
}

Verification Verify(const WindowTally& window) {
  Verification result;
  result.strict = true;
  const uint64_t requests = window.requests.Get();
  auto count = [&](Outcome outcome) { return window.outcomes[static_cast<size_t>(outcome)].Get(); };
  if (requests == 0) result.why.push_back("no requests were made");
  const uint64_t timeouts = count(Outcome::kTimeout);
  const double mean =
      requests == 0 ? 0 : static_cast<double>(timeouts) / static_cast<double>(requests);
  for (uint32_t size = 0; size < kFilesPerDirectory; ++size) {
    uint64_t of_size = window.sizes[size].requests.Get();
    uint64_t late = window.sizes[size].timeouts.Get();
    CheckSize(size, of_size, late, mean + kAboveMean, "above the mean and 2 points", &result);
    CheckSize(size, of_size, late, kMostOfSize, "above what is allowed", &result);
  }
  uint64_t unfinished = requests;
  for (const Counter& outcome : window.outcomes) unfinished -= outcome.Get();
  const uint64_t unserved = unfinished + timeouts + count(Outcome::kConnect) +
                            count(Outcome::kReset) + count(Outcome::kClosed);
  if (static_cast<double>(unserved) > kMostOfAll * static_cast<double>(requests)) {
    result.why.push_back(absl::StrFormat(
        "%d of %d requests were not served, above 10 %%: %d timed out, %d were refused, %d reset, "
        "%d closed early, %d still waiting at the end",
        unserved, requests, timeouts, count(Outcome::kConnect), count(Outcome::kReset),
        count(Outcome::kClosed), unfinished));
  }
  if (uint64_t wrong = count(Outcome::kStatus); wrong != 0) {
    result.why.push_back(absl::StrFormat("%d replies had a wrong status or head", wrong));
  }
  if (uint64_t wrong = count(Outcome::kWrongBody); wrong != 0) {
    result.why.push_back(absl::StrFormat("%d replies had a wrong body", wrong));
  }
  if (uint64_t refused = count(Outcome::kClient); refused != 0) {
    result.why.push_back(absl::StrFormat(
        "%d requests could not be made for want of descriptors, ports or memory of the generator",
        refused));
  }
  result.passed = result.why.empty();
  result.strict = result.strict && result.passed;
  return result;
}

}  // namespace load
