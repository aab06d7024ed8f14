// A histogram of times with a bounded relative error, in memory of a fixed size.
//
// Buckets are log-linear (HDR): 64 to each power of two, so that a quantile is told to within 1/128
// (0.8 %) of the true one; values below 64 ns are exact. Sum, count and maximum are exact. Plain
// data: it may lie in memory shared between processes, and its initial state is all zeros.
#ifndef BOBBIN_BENCH_LOAD_HISTOGRAM_H_
#define BOBBIN_BENCH_LOAD_HISTOGRAM_H_

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace load {

class Histogram {
 public:
  static constexpr uint64_t kMaxValue = (uint64_t{1} << 42) - 1;  // 73 minutes; more counts as this

  // Adds a value. Units: nanoseconds. Callers: any thread, also of several at a time.
  void Record(uint64_t value) {
    if (value > kMaxValue) value = kMaxValue;
    Add(&buckets_[BucketOf(value)], 1);
    Add(&count_, 1);
    Add(&sum_, value);
    std::atomic_ref<uint64_t> max(max_);
    uint64_t seen = max.load(std::memory_order_relaxed);
    while (seen < value && !max.compare_exchange_weak(seen, value, std::memory_order_relaxed)) {
    }
  }

  // Adds what `other` counted.
  void Merge(const Histogram& other);

  // Returns: a value that the part `q` of all values does not exceed, 0 where there are none.
  // Requires: 0 <= q <= 1.
  uint64_t Quantile(double q) const;

  uint64_t count() const { return Load(count_); }
  uint64_t max() const { return Load(max_); }
  double Mean() const;

 private:
  static constexpr int kBits = 6;
  static constexpr uint64_t kPerOctave = uint64_t{1} << kBits;
  static constexpr size_t kBuckets = (42 - kBits + 1) * kPerOctave;

  static size_t BucketOf(uint64_t value) {
    if (value < kPerOctave) return value;
    int shift = 63 - __builtin_clzll(value) - kBits;
    return static_cast<size_t>(shift) * kPerOctave + (value >> shift);
  }

  // Returns: the middle of a bucket.
  static uint64_t ValueOf(size_t bucket);

  static void Add(uint64_t* counter, uint64_t value) {
    std::atomic_ref<uint64_t>(*counter).fetch_add(value, std::memory_order_relaxed);
  }
  static uint64_t Load(const uint64_t& counter) {
    return std::atomic_ref<uint64_t>(const_cast<uint64_t&>(counter))
        .load(std::memory_order_relaxed);
  }

  uint64_t count_;
  uint64_t sum_;
  uint64_t max_;
  uint64_t buckets_[kBuckets];
};

}  // namespace load

#endif  // BOBBIN_BENCH_LOAD_HISTOGRAM_H_
