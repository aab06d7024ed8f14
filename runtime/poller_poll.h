// The poller over poll(2), as the paper's Knot had it: the descriptors somebody waits on, handed
// over at each call.
//
// Each call costs the kernel a look at every member of the set; that is what the paper measures as
// poll overhead. Level-triggered: a direction is reported once, then taken out of the set until it
// is watched again.
#ifndef BOBBIN_RUNTIME_POLLER_POLL_H_
#define BOBBIN_RUNTIME_POLLER_POLL_H_

#include <poll.h>

#include <cstddef>

#include "runtime/poller.h"

namespace bobbin {

class PollPoller final : public Poller {
 public:
  // Starts afresh, with nothing watched and room for every descriptor below `descriptors`. Returns:
  // 0 or -ENOMEM.
  long Init(int descriptors);
  ~PollPoller() override;

  bool persistent() const override { return false; }
  long Watch(int fd, uint32_t generation, uint32_t events) override;
  long WatchWriting(int fd, uint32_t generation) override { return Watch(fd, generation, POLLOUT); }
  void Forget(int fd) override;
  void Closed(int fd) override { Forget(fd); }
  int Wait(PollEvent* events, int capacity, int64_t timeout, const uint64_t* mask) override;
  uint64_t size() const override { return static_cast<uint64_t>(count_); }

 private:
  void RemoveAt(int index);

  struct pollfd* set_ = nullptr;     // count_ members
  uint32_t* generations_ = nullptr;  // of the members, by their place in the set
  int* places_ = nullptr;            // by descriptor: place in the set + 1, 0 when absent
  int count_ = 0;
  int capacity_ = 0;
};

}  // namespace bobbin

#endif  // BOBBIN_RUNTIME_POLLER_POLL_H_
