// Lends the buffer a request is read into, the one used last first.
//
// A connection holds a buffer only between the arrival of a request and the end of its reply.
// Thousands of waiting connections therefore share the few buffers in use, and the one lent is warm
// in the processor's cache.
#ifndef KNOT_BUFFER_POOL_H_
#define KNOT_BUFFER_POOL_H_

#include <atomic>
#include <cstddef>
#include <mutex>
#include <vector>

namespace knot {

inline constexpr size_t kMaxHeadBytes = 8192;
inline constexpr size_t kMaxTargetBytes = 4096;

// Room for a body behind the longest head. Less would do, but each byte less is more calls to skip
// one.
inline constexpr size_t kBodyRoom = 1024;

struct RequestBuffer {
  char input[kMaxHeadBytes + kBodyRoom];  // a request's head, and what came after it
  char path[kMaxTargetBytes];             // a target decoded, where it needs decoding
};

class BufferPool {
 public:
  BufferPool() = default;
  BufferPool(const BufferPool&) = delete;
  BufferPool& operator=(const BufferPool&) = delete;
  ~BufferPool() {
    delete hot_.load();
    for (RequestBuffer* buffer : spare_) delete buffer;
  }

  // One atomic exchange where no more than one buffer is in use at a time, the rule on one
  // scheduler.
  RequestBuffer* Take() {
    RequestBuffer* buffer = hot_.exchange(nullptr, std::memory_order_acquire);
    return buffer != nullptr ? buffer : TakeSpare();
  }

  void Give(RequestBuffer* buffer) {
    RequestBuffer* displaced = hot_.exchange(buffer, std::memory_order_acq_rel);
    if (displaced != nullptr) GiveSpare(displaced);
  }

  // Holds a buffer for a scope.
  class Lease {
   public:
    explicit Lease(BufferPool& pool) : pool_(pool), buffer_(pool.Take()) {}
    Lease(const Lease&) = delete;
    Lease& operator=(const Lease&) = delete;
    ~Lease() { pool_.Give(buffer_); }
    RequestBuffer& operator*() const { return *buffer_; }

   private:
    BufferPool& pool_;
    RequestBuffer* const buffer_;
  };

 private:
  static constexpr size_t kMaxSpare = 64;  // more are freed: a burst must not be kept for ever

  RequestBuffer* TakeSpare() {
    {
      std::lock_guard<std::mutex> lock(mutex_);
      if (!spare_.empty()) {
        RequestBuffer* buffer = spare_.back();
        spare_.pop_back();
        return buffer;
      }
    }
    return new RequestBuffer;
  }

  void GiveSpare(RequestBuffer* buffer) {
    {
      std::lock_guard<std::mutex> lock(mutex_);
      if (spare_.size() < kMaxSpare) {
        spare_.push_back(buffer);
        return;
      }
    }
    delete buffer;
  }

  std::atomic<RequestBuffer*> hot_{nullptr};
  std::mutex mutex_;
  std::vector<RequestBuffer*> spare_;
};

}  // namespace knot

#endif  // KNOT_BUFFER_POOL_H_
