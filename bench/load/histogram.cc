#include "bench/load/histogram.h"

#include <math.h>

#include <algorithm>

namespace load {

void Histogram::Merge(const Histogram& other) {
  for (size_t i = 0; i < kBuckets; ++i) buckets_[i] += Load(other.buckets_[i]);
  count_ += other.count();
  sum_ += Load(other.sum_);
  max_ = std::max(max_, other.max());
}

uint64_t Histogram::ValueOf(size_t bucket) {
  if (bucket < 2 * kPerOctave) return bucket;
  size_t shift = bucket / kPerOctave - 1;
  uint64_t low = (bucket % kPerOctave + kPerOctave) << shift;
  return low + (uint64_t{1} << shift) / 2;
}

uint64_t Histogram::Quantile(double q) const {
  uint64_t all = 0;
  for (size_t i = 0; i < kBuckets; ++i) all += Load(buckets_[i]);
  if (all == 0) return 0;
  uint64_t wanted =
      std::max<uint64_t>(1, static_cast<uint64_t>(ceil(q * static_cast<double>(all))));
  if (wanted >= all) return max();
  uint64_t seen = 0;
  for (size_t i = 0; i < kBuckets; ++i) {
    seen += Load(buckets_[i]);
    if (seen >= wanted) return std::min(ValueOf(i), max());
  }
  return max();
}

double Histogram::Mean() const {
  uint64_t all = count();
  return all == 0 ? 0 : static_cast<double>(Load(sum_)) / static_cast<double>(all);
}

}  // namespace load
