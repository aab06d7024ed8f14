// Try, else park: how every call on a socket, pipe or other pollable descriptor is answered.
//
// An attempt that cannot block is made; where the kernel answers EAGAIN, and the program did not
// ask for that answer, the thread parks on the descriptor with its time-out and tries again.
// Readiness is remembered, so that an attempt known to fail is not made (the short-read rule,
// design section 5).
//
// Source: read(2), write(2), recv(2), send(2), socket(7) for SO_RCVTIMEO and SO_SNDTIMEO.
#ifndef BOBBIN_WRAPPERS_IO_H_
#define BOBBIN_WRAPPERS_IO_H_

#include <sys/socket.h>
#include <sys/uio.h>

#include "wrappers/call.h"

namespace bobbin {

// Which way a call moves data.
enum class Direction : uint8_t { kRead, kWrite };

inline uint32_t PollBits(Direction direction) {
  return direction == Direction::kRead ? POLLIN : POLLOUT;
}
inline uint8_t ReadyBit(Direction direction) {
  return direction == Direction::kRead ? View::kRead : View::kWrite;
}

// The time at which a blocking call on `fd` gives up for SO_RCVTIMEO or SO_SNDTIMEO; kNever where
// none is set.
uint64_t SocketDeadline(int fd, Direction direction);

// Tells whether a descriptor still names the file that it did.
class SameFile {
 public:
  explicit SameFile(int fd) : descriptor_(runtime().descriptors.Find(fd)), before_(Generation()) {}
  bool Still() const { return Generation() == before_; }

 private:
  uint32_t Generation() const {
    return descriptor_ == nullptr ? 0 : descriptor_->generation.load(std::memory_order_acquire);
  }

  const Descriptor* descriptor_;  // null: not known
  uint32_t before_;
};

// One wait of a call on one descriptor, which the descriptor's closing may move to a stand-in.
class DescriptorWait {
 public:
  DescriptorWait(Scheduler* scheduler, int fd) : scheduler_(scheduler), original_(fd) {
    waiter_.fd = fd;
  }
  ~DescriptorWait() {
    if (waiter_.fd != original_) scheduler_->ReleaseOrphan(waiter_.fd);
  }
  DescriptorWait(const DescriptorWait&) = delete;
  DescriptorWait& operator=(const DescriptorWait&) = delete;

  // Returns: 0 ready, -ETIMEDOUT, -EINTR, or another -errno of the poller.
  long Wait(uint32_t events, Waiting waiting, uint64_t deadline) {
    waiter_.events = events;
    ParkRequest request;
    request.waiting = waiting;
    request.argument = static_cast<uintptr_t>(waiter_.fd);
    request.deadline = deadline;
    request.interruptible = true;
    return scheduler_->WaitReady(&waiter_, 1, request);
  }

  // The number under which the file is open now.
  int fd() const { return waiter_.fd; }
  uint32_t happened() const { return waiter_.happened; }

 private:
  Scheduler* scheduler_;
  int original_;
  Waiter waiter_;
};

// Parks until `fd` is ready and repeats `attempt` until it answers something else than EAGAIN: the
// slow half of TryElsePark. `once` is the attempt's state; attempt(state, fd).
long ParkAndTry(Scheduler* scheduler, int fd, Direction direction, long (*attempt)(void*, int),
                void* state, size_t wanted);

// Updates what is known after an attempt for `wanted` bytes answered `result`. The direction's
// ready bit was cleared before the attempt, so that an event between the two is not lost.
void NoteAttempt(Scheduler* scheduler, View* view, FileKind kind, Direction direction, long result,
                 size_t wanted);

// Makes `attempt(fd)`, which never blocks, until it answers other than EAGAIN or the program wants
// to see EAGAIN. `dont_wait`: this call was asked not to block (MSG_DONTWAIT).
template <typename Attempt>
inline long TryElsePark(Scheduler* scheduler, int fd, Direction direction, bool dont_wait,
                        size_t wanted, Attempt attempt) {
  View* view = scheduler->ViewOf(fd);
  if (__builtin_expect(view == nullptr, 0)) return attempt(fd);
  FileKind kind = runtime().descriptors.Kind(fd);
  uint8_t bit = ReadyBit(direction);
  if (__builtin_expect((view->ready & bit) != 0 || dont_wait, 1)) {
    view->ready &= static_cast<uint8_t>(~bit);
    long result = attempt(fd);
    NoteAttempt(scheduler, view, kind, direction, result, wanted);
    if (__builtin_expect(result != -EAGAIN || dont_wait, 1)) {
      scheduler->CountCall();
      return result;
    }
  }
  return ParkAndTry(
      scheduler, fd, direction,
      [](void* state, int at) { return (*static_cast<Attempt*>(state))(at); }, &attempt, wanted);
}

// Handlers.
long Read(Scheduler* scheduler, int fd, void* buffer, size_t size);
long Write(Scheduler* scheduler, int fd, const void* buffer, size_t size);
long Readv(Scheduler* scheduler, int fd, const struct iovec* vectors, int count);
long Writev(Scheduler* scheduler, int fd, const struct iovec* vectors, int count);
long Vmsplice(Scheduler* scheduler, int fd, const struct iovec* vectors, size_t count,
              unsigned flags);

}  // namespace bobbin

#endif  // BOBBIN_WRAPPERS_IO_H_
