// The poller over epoll(7): each descriptor is registered once, edge-triggered (invariant P1), and
// a second time where a thread has to wait for writing: few ever do, and a socket that is
// registered for writing is reported at once, which costs an event a connection. Closing a
// descriptor deregisters it in the kernel.
#ifndef BOBBIN_RUNTIME_POLLER_EPOLL_H_
#define BOBBIN_RUNTIME_POLLER_EPOLL_H_

#include "runtime/poller.h"

namespace bobbin {

class EpollPoller final : public Poller {
 public:
  // Starts afresh, with nothing watched. Returns: 0 or -errno of epoll_create1(2).
  long Init();
  ~EpollPoller() override;

  bool persistent() const override { return true; }
  long Watch(int fd, uint32_t generation, uint32_t events) override;
  long WatchWriting(int fd, uint32_t generation) override;
  void Forget(int fd) override;
  void Closed(int) override { --added_; }
  int Wait(PollEvent* events, int capacity, int64_t timeout, const uint64_t* mask) override;
  uint64_t size() const override { return added_; }

 private:
  int fd_ = -1;
  uint64_t added_ = 0;
  bool has_pwait2_ = true;  // Linux 5.11
};

}  // namespace bobbin

#endif  // BOBBIN_RUNTIME_POLLER_EPOLL_H_
