#include "wrappers/readiness.h"

#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/time.h>

#include "wrappers/io.h"
#include "wrappers/signal.h"

namespace bobbin {

namespace {

constexpr int kOnStack = 8;  // descriptors of one poll whose waits fit the thread's stack

// Memory for one call: on the caller's stack where it fits, else mapped, for malloc's locks are out
// of reach here.
class Scratch {
 public:
  Scratch(void* small, size_t small_size, size_t wanted) : memory_(small) {
    if (wanted <= small_size) return;
    memory_ = MapLazily(wanted);
    mapped_ = wanted;
  }
  ~Scratch() {
    if (mapped_ != 0 && memory_ != nullptr) RawSyscall(SYS_munmap, memory_, mapped_);
  }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  template <typename T>
  T* as() const {
    return static_cast<T*>(memory_);
  }

 private:
  void* memory_;
  size_t mapped_ = 0;
};

long AskKernel(struct pollfd* set, unsigned long count) {
  struct timespec now = {0, 0};
  return RawSyscall(SYS_ppoll, set, count, &now, nullptr, 8);
}

uint64_t Deadline(int64_t timeout) {
  return timeout < 0 ? kNever : runtime().clock.Now() + static_cast<uint64_t>(timeout);
}

// The directions that a pollfd's events are about: pollers know them by one name each.
uint32_t DirectionsOf(short events) {
  constexpr short kReads = POLLIN | POLLRDNORM | POLLRDBAND;
  constexpr short kWrites = POLLOUT | POLLWRNORM | POLLWRBAND;
  return static_cast<uint16_t>(events) | ((events & kReads) != 0 ? POLLIN : 0) |
         ((events & kWrites) != 0 ? POLLOUT : 0);
}

// Parks until something in `set` may be ready. Returns: 0, -ETIMEDOUT, -EINTR, -errno.
long ParkOnAll(Scheduler* scheduler, struct pollfd* set, unsigned long count, uint64_t deadline) {
  Waiter small[kOnStack];
  Scratch scratch(small, sizeof small, count * sizeof(Waiter));
  auto* waiters = scratch.as<Waiter>();
  if (waiters == nullptr) return -ENOMEM;
  int used = 0;
  for (unsigned long i = 0; i < count; ++i) {
    if (set[i].fd < 0) continue;
    // A file that is always ready would have made the kernel answer: what the poller refuses cannot
    // become ready.
    waiters[used] = Waiter();
    waiters[used].fd = set[i].fd;
    waiters[used].events = DirectionsOf(set[i].events);
    ++used;
  }
  ParkRequest request;
  request.waiting = used == 0 ? Waiting::kTime : Waiting::kPoll;
  request.argument = used == 0 ? 0 : static_cast<uintptr_t>(waiters[0].fd);
  request.deadline = deadline;
  request.interruptible = true;
  long result = scheduler->WaitReady(waiters, used, request);
  for (int i = 0, at = 0; i < used; ++i, ++at) {
    while (set[at].fd < 0) ++at;
    // Closed meanwhile: Linux goes on with the file it had; we report it as poll does a closed
    // number from now on.
    if (waiters[i].fd != set[at].fd) scheduler->ReleaseOrphan(waiters[i].fd);
  }
  return result;
}

// One stream socket, waited for to be readable, which is known not to be: the wait for the next
// request. Returns: -EAGAIN when the common path must decide.
//
// Not inlined, nor PollAll: what the common path keeps on the stack must not lie under this wait,
// whose frames are cold when it ends.
[[gnu::noinline]] long PollRemembered(Scheduler* scheduler, struct pollfd* one, int64_t timeout) {
  constexpr short kRead = POLLIN | POLLRDNORM | POLLRDHUP;
  View* view = scheduler->ViewOf(one->fd);
  if (view == nullptr || (one->events & ~kRead) != 0 || (one->events & POLLIN) == 0) return -EAGAIN;
  Descriptor* d = runtime().descriptors.Find(one->fd);
  if (d->kind.load(std::memory_order_relaxed) != FileKind::kTcp || d->Has(Descriptor::kShared))
    return -EAGAIN;
  // Not yet watched: the poller will report what is there at once, which is as good as asking.
  bool fresh = view->watched == 0 && scheduler->poller()->persistent();
  if ((view->ready & View::kRead) != 0 && !fresh) return -EAGAIN;
  if (fresh) scheduler->Expect(one->fd, POLLIN);
  uint64_t deadline = Deadline(timeout);
  DescriptorWait wait(scheduler, one->fd);
  long waited = wait.Wait(static_cast<uint16_t>(one->events), Waiting::kPoll, deadline);
  if (waited == -ETIMEDOUT) {
    one->revents = 0;
    return 0;
  }
  if (waited == -EINTR && !GoesOnUnhandled(scheduler)) return -EINTR;
  if (waited < 0) return -EAGAIN;
  one->revents = static_cast<short>(wait.happened() &
                                    (static_cast<unsigned>(one->events) | POLLERR | POLLHUP));
  // An end of the stream is readable too, whatever bits announced it, and data has two names.
  if ((wait.happened() & (POLLIN | POLLRDHUP | POLLHUP | POLLERR)) != 0)
    one->revents |= one->events & (POLLIN | POLLRDNORM);
  return one->revents != 0 ? 1 : -EAGAIN;
}

[[gnu::noinline]] long PollAll(Scheduler* scheduler, struct pollfd* set, unsigned long count,
                               int64_t timeout, const uint64_t* mask) {
  if (timeout != 0 && count > 0) {
    struct rlimit limit = {};
    RawSyscall(SYS_prlimit64, 0, RLIMIT_NOFILE, 0, &limit);
    if (count > limit.rlim_cur) return -EINVAL;
    if (!Writable(set, count * sizeof *set)) return -EFAULT;
  }
  TemporaryMask masked(scheduler, mask);
  uint64_t deadline = timeout == 0 ? 0 : Deadline(timeout);
  for (;;) {
    for (unsigned long i = 0; i < count && timeout != 0; ++i) {
      if (set[i].fd >= 0) scheduler->Expect(set[i].fd, DirectionsOf(set[i].events));
    }
    long result = AskKernel(set, count);
    // What is ready stays ready for whoever reads or writes next.
    for (unsigned long i = 0; i < count && timeout != 0 && result > 0; ++i) {
      if (set[i].fd >= 0 && set[i].revents != 0) scheduler->MayBeReady(set[i].fd);
    }
    if (result == 0 && masked.delivered()) return -EINTR;
    if (result != 0 || timeout == 0) return result;
    result = ParkOnAll(scheduler, set, count, deadline);
    if (result == -ETIMEDOUT) return AskKernel(set, count);
    if (result == -EINTR && !GoesOnUnhandled(scheduler)) return -EINTR;
    if (result < 0 && result != -EINTR) {
      // A descriptor the poller cannot watch for us: look again now and then.
      uint64_t again = runtime().clock.Now() + 2'000'000;
      if (ParkOnAll(scheduler, set, 0, again < deadline ? again : deadline) == -EINTR &&
          !GoesOnUnhandled(scheduler)) {
        return -EINTR;
      }
      if (runtime().clock.Now() >= deadline) return AskKernel(set, count);
    }
  }
}

}  // namespace

long Poll(Scheduler* scheduler, struct pollfd* set, unsigned long count, int64_t timeout,
          const uint64_t* mask) {
  if (mask != nullptr && !Readable(mask, sizeof *mask)) return -EFAULT;
  if (count == 1 && !Readable(set, sizeof *set)) return -EFAULT;
  if (count == 1 && timeout != 0 && mask == nullptr && set->fd >= 0) {
    long result = PollRemembered(scheduler, set, timeout);
    if (result != -EAGAIN) return result;
  }
  return PollAll(scheduler, set, count, timeout, mask);
}

long PollMilliseconds(Scheduler* scheduler, struct pollfd* set, unsigned long count,
                      int milliseconds) {
  return Poll(scheduler, set, count, milliseconds < 0 ? -1 : int64_t{milliseconds} * 1'000'000,
              nullptr);
}

long Ppoll(Scheduler* scheduler, struct pollfd* set, unsigned long count, struct timespec* timeout,
           const uint64_t* mask, size_t mask_size) {
  if (timeout != nullptr && !Readable(timeout, sizeof *timeout)) return -EFAULT;
  if (mask != nullptr && mask_size != sizeof *mask) return -EINVAL;
  if (timeout != nullptr && !ValidTime(*timeout)) return -EINVAL;
  int64_t limit = timeout == nullptr ? -1 : static_cast<int64_t>(ToNanoseconds(*timeout));
  uint64_t start = timeout == nullptr ? 0 : runtime().clock.Now();
  long result = Poll(scheduler, set, count, limit, mask);
  if (timeout != nullptr) {
    // The system call, unlike libc's ppoll, says how much time was left.
    uint64_t spent = runtime().clock.Now() - start;
    *timeout =
        ToTimespec(spent < static_cast<uint64_t>(limit) ? static_cast<uint64_t>(limit) - spent : 0);
  }
  return result;
}

namespace {

bool Has(const fd_set* set, int fd) { return set != nullptr && FD_ISSET(fd, set); }

// select(2) in terms of poll(2), as the kernel itself has it.
long SelectByPoll(Scheduler* scheduler, int count, fd_set* read, fd_set* write, fd_set* except,
                  int64_t timeout, const uint64_t* mask) {
  if (count < 0) return -EINVAL;
  struct rlimit limit = {};
  RawSyscall(SYS_prlimit64, 0, RLIMIT_NOFILE, 0, &limit);
  if (static_cast<unsigned long>(count) > limit.rlim_cur) count = static_cast<int>(limit.rlim_cur);
  for (fd_set* part : {read, write, except}) {
    size_t bytes = (static_cast<size_t>(count) + 63) / 64 * 8;
    if (part != nullptr && !Writable(part, bytes)) return -EFAULT;
  }
  struct pollfd small[kOnStack];
  Scratch scratch(small, sizeof small, static_cast<size_t>(count) * sizeof(struct pollfd));
  auto* set = scratch.as<struct pollfd>();
  if (set == nullptr) return -ENOMEM;
  unsigned long used = 0;
  for (int fd = 0; fd < count; ++fd) {
    int events = (Has(read, fd) ? POLLIN | POLLRDNORM : 0) |
                 (Has(write, fd) ? POLLOUT | POLLWRNORM : 0) | (Has(except, fd) ? POLLPRI : 0);
    if (events != 0) set[used++] = {fd, static_cast<short>(events), 0};
  }
  long result = Poll(scheduler, set, used, timeout, mask);
  if (result < 0) return result;
  long bits = 0;
  for (unsigned long i = 0; i < used; ++i) {
    if ((set[i].revents & POLLNVAL) != 0) return -EBADF;
  }
  auto answer = [&](fd_set* out, const struct pollfd& one, short asked, short counts) {
    if (!Has(out, one.fd) || (one.events & asked) == 0) return;
    if ((one.revents & counts) != 0) {
      ++bits;
    } else {
      FD_CLR(one.fd, out);
    }
  };
  for (unsigned long i = 0; i < used; ++i) {
    answer(read, set[i], POLLIN, POLLIN | POLLRDNORM | POLLHUP | POLLERR);
    answer(write, set[i], POLLOUT, POLLOUT | POLLWRNORM | POLLERR);
    answer(except, set[i], POLLPRI, POLLPRI);
  }
  return bits;
}

}  // namespace

long Select(Scheduler* scheduler, int count, fd_set* read, fd_set* write, fd_set* except,
            struct timeval* timeout) {
  if (timeout != nullptr && !Readable(timeout, sizeof *timeout)) return -EFAULT;
  int64_t limit = -1;
  if (timeout != nullptr) {
    if (timeout->tv_sec < 0 || timeout->tv_usec < 0) return -EINVAL;
    limit = static_cast<int64_t>(ToNanoseconds(
        {timeout->tv_sec + timeout->tv_usec / 1'000'000, timeout->tv_usec % 1'000'000 * 1000}));
  }
  uint64_t start = timeout == nullptr ? 0 : runtime().clock.Now();
  long result = SelectByPoll(scheduler, count, read, write, except, limit, nullptr);
  if (timeout != nullptr) {
    uint64_t spent = runtime().clock.Now() - start;
    uint64_t left = spent < static_cast<uint64_t>(limit) ? static_cast<uint64_t>(limit) - spent : 0;
    *timeout = {static_cast<time_t>(left / 1'000'000'000),
                static_cast<suseconds_t>(left % 1'000'000'000 / 1000)};
  }
  return result;
}

long Pselect6(Scheduler* scheduler, int count, fd_set* read, fd_set* write, fd_set* except,
              struct timespec* timeout, const MaskArgument* mask) {
  if (timeout != nullptr && !Readable(timeout, sizeof *timeout)) return -EFAULT;
  if (mask != nullptr && !Readable(mask, sizeof *mask)) return -EFAULT;
  if (timeout != nullptr && !ValidTime(*timeout)) return -EINVAL;
  const uint64_t* bits = mask == nullptr ? nullptr : mask->mask;
  if (bits != nullptr && mask->size != sizeof *bits) return -EINVAL;
  int64_t limit = timeout == nullptr ? -1 : static_cast<int64_t>(ToNanoseconds(*timeout));
  uint64_t start = timeout == nullptr ? 0 : runtime().clock.Now();
  long result = SelectByPoll(scheduler, count, read, write, except, limit, bits);
  if (timeout != nullptr) {
    uint64_t spent = runtime().clock.Now() - start;
    *timeout =
        ToTimespec(spent < static_cast<uint64_t>(limit) ? static_cast<uint64_t>(limit) - spent : 0);
  }
  return result;
}

long EpollWait(Scheduler* scheduler, int epoll, struct epoll_event* events, int capacity,
               int64_t timeout, const uint64_t* mask) {
  if (mask != nullptr && !Readable(mask, sizeof *mask)) return -EFAULT;
  TemporaryMask masked(scheduler, mask);
  uint64_t deadline = timeout == 0 ? 0 : Deadline(timeout);
  DescriptorWait wait(scheduler, epoll);
  for (;;) {
    scheduler->Expect(wait.fd(), POLLIN);
    long result = RawSyscall(SYS_epoll_wait, wait.fd(), events, capacity, 0);
    if (result == 0 && masked.delivered()) return -EINTR;
    if (result != 0 || timeout == 0) return result;
    long waited = wait.Wait(POLLIN, Waiting::kPoll, deadline);
    if (waited == -ETIMEDOUT) return RawSyscall(SYS_epoll_wait, wait.fd(), events, capacity, 0);
    if (waited == -EINTR && GoesOnUnhandled(scheduler)) continue;
    if (waited < 0) return waited;
  }
}

}  // namespace bobbin
