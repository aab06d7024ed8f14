// Learns from the kernel which descriptors have become ready; one per scheduler.
//
// Contract, the same for every implementation
//   * Watch(fd, …, events) makes sure that a later Wait reports the descriptor once one of `events`
//     is there, also when it is there already.
//   * A poller that is persistent() needs one Watch in the life of a descriptor, which is for
//     reading whatever else it is for, one WatchWriting where that is wanted later, and reports
//     edges. One that is not reports a watched direction once and then forgets it.
//   * Closing a descriptor needs no call to the kernel (Closed only keeps the books); an event of
//     an earlier generation is reported as such and is the caller's to drop.
// Source: epoll(7), poll(2). Callers: the owning scheduler.
#ifndef BOBBIN_RUNTIME_POLLER_H_
#define BOBBIN_RUNTIME_POLLER_H_

#include <cstdint>

namespace bobbin {

// Readiness bits are those of poll(2), which epoll shares: POLLIN, POLLOUT, POLLPRI, POLLERR,
// POLLHUP, POLLRDHUP. The layout is that of struct epoll_event, so that the kernel fills it in
// place.
struct __attribute__((packed)) PollEvent {
  uint32_t events;
  int32_t fd;
  uint32_t generation;
};
static_assert(sizeof(PollEvent) == 12);

class Poller {
 public:
  virtual ~Poller() = default;

  virtual bool persistent() const = 0;

  // Returns: 0, or -errno of epoll_ctl(2): -EPERM where the kind of file is always ready.
  virtual long Watch(int fd, uint32_t generation, uint32_t events) = 0;

  // Watches a descriptor that was watched for reading alone for writing as well: persistent pollers
  // only. Returns: as Watch.
  virtual long WatchWriting(int fd, uint32_t generation) = 0;

  // Stops watching a descriptor that stays open under another number.
  virtual void Forget(int fd) = 0;

  // Learns that a watched descriptor was closed.
  virtual void Closed(int fd) = 0;

  // Waits up to `timeout` nanoseconds (negative: for ever, 0: not at all) with the signal mask
  // `mask` (null: as it is) and fills `events`. Returns: their number, 0 at the time-out, of which
  // a long one may end up to a millisecond early, -EINTR. Blocks: this kernel thread, for the
  // time-out.
  virtual int Wait(PollEvent* events, int capacity, int64_t timeout, const uint64_t* mask) = 0;

  // Descriptors watched now.
  virtual uint64_t size() const = 0;
};

}  // namespace bobbin

#endif  // BOBBIN_RUNTIME_POLLER_H_
