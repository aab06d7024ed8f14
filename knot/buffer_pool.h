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
#include <optional>
#include <vector>

#include "knot/request.h"

namespace knot {

inline constexpr size_t kMaxHeadBytes = 8192;
inline constexpr size_t kMaxTargetBytes = 4096;

// Room for a body behind the longest head. Less would do, but each byte less is more calls to skip
// one.
inline constexpr size_t kBodyRoom = 1024;

struct RequestBuffer {
  char input[kMaxHeadBytes + kBodyRoom];  // a request's head, and what came after it
  char path[kMaxTargetBytes];             // a target decoded, where it needs decoding
  std::optional<RequestParser> parser;
};

// What one record of TLS carries, and OpenSSL takes at a time.
struct SendBuffer {
  char bytes[16 * 1024];
};

template <typename T>
class Pool {
 public:
  // Giving back must not want memory.
  Pool() { spare_.reserve(kMaxSpare); }
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;
  ~Pool() {
    delete hot_.load();
    for (T* buffer : spare_) delete buffer;
  }

  // One atomic exchange where no more than one buffer is in use at a time, the rule on one
  // scheduler.
  T* Take() {
    T* buffer = hot_.exchange(nullptr, std::memory_order_acquire);
    return buffer != nullptr ? buffer : TakeSpare();
  }

  void Give(T* buffer) {
    T* displaced = hot_.exchange(buffer, std::memory_order_acq_rel);
    if (displaced != nullptr) GiveSpare(displaced);
  }

  // Holds a buffer for a scope.
  class Lease {
   public:
    explicit Lease(Pool& pool) : pool_(pool), buffer_(pool.Take()) {}
    Lease(const Lease&) = delete;
    Lease& operator=(const Lease&) = delete;
    ~Lease() { pool_.Give(buffer_); }
    T& operator*() const { return *buffer_; }

   private:
    Pool& pool_;
    T* const buffer_;
  };

 private:
  static constexpr size_t kMaxSpare = 64;  // more are freed: a burst must not be kept for ever

  T* TakeSpare() {
    {
      std::lock_guard<std::mutex> lock(mutex_);
      if (!spare_.empty()) {
        T* buffer = spare_.back();
        spare_.pop_back();
        return buffer;
      }
    }
    return new T;
  }

  void GiveSpare(T* buffer) {
    {
      std::lock_guard<std::mutex> lock(mutex_);
      if (spare_.size() < kMaxSpare) {
        spare_.push_back(buffer);
        return;
      }
    }
    delete buffer;
  }

  std::atomic<T*> hot_{nullptr};
  std::mutex mutex_;
  std::vector<T*> spare_;
};

using BufferPool = Pool<RequestBuffer>;
using SendBufferPool = Pool<SendBuffer>;

}  // namespace knot

#endif  // KNOT_BUFFER_POOL_H_
