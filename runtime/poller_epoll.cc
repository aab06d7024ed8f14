#include "runtime/poller_epoll.h"

#include <errno.h>
#include <sys/epoll.h>
#include <time.h>

#include "runtime/high_descriptor.h"
#include "runtime/raw_syscall.h"

namespace bobbin {

namespace {
constexpr int64_t kMillisecond = 1'000'000;
constexpr int64_t kLongWait = 100 * kMillisecond;
constexpr int64_t kMaxWait = int64_t{24} * 3600 * 1000 * kMillisecond;

constexpr uint32_t kReading = EPOLLIN | EPOLLPRI | EPOLLRDHUP | EPOLLET;
}  // namespace

long EpollPoller::Init() {
  if (fd_ >= 0) RawSyscall(SYS_close, fd_);
  fd_ = -1;
  added_ = 0;
  long fd = RawSyscall(SYS_epoll_create1, EPOLL_CLOEXEC);
  if (fd < 0) return fd;
  fd_ = MoveDescriptorHigh(static_cast<int>(fd));
  return 0;
}

EpollPoller::~EpollPoller() {
  if (fd_ >= 0) RawSyscall(SYS_close, fd_);
}

long EpollPoller::Watch(int fd, uint32_t generation, uint32_t events) {
  PollEvent event = {kReading | (events & EPOLLOUT), fd, generation};
  long result = RawSyscall(SYS_epoll_ctl, fd_, EPOLL_CTL_ADD, fd, &event);
  // Still registered from an earlier generation that somebody closed where we did not see it, or
  // that lives on elsewhere: the new registration replaces it, and the kernel reports its state at
  // once.
  if (result == -EEXIST) result = RawSyscall(SYS_epoll_ctl, fd_, EPOLL_CTL_MOD, fd, &event);
  if (result == 0) ++added_;
  return result;
}

long EpollPoller::WatchWriting(int fd, uint32_t generation) {
  PollEvent event = {kReading | EPOLLOUT, fd, generation};
  long result = RawSyscall(SYS_epoll_ctl, fd_, EPOLL_CTL_MOD, fd, &event);
  if (result != -ENOENT) return result;
  --added_;  // closed, and another file under its number, where nobody saw it
  return Watch(fd, generation, EPOLLOUT);
}

void EpollPoller::Forget(int fd) {
  PollEvent unused = {};
  if (RawSyscall(SYS_epoll_ctl, fd_, EPOLL_CTL_DEL, fd, &unused) == 0) --added_;
}

int EpollPoller::Wait(PollEvent* events, int capacity, int64_t timeout, const uint64_t* mask) {
  if (timeout > kMaxWait) timeout = kMaxWait;
  // The two ends need no struct that the kernel must fetch, and a long wait can end a fraction of a
  // millisecond early, to be asked for again; what lies between wants the finer call.
  if (timeout >= kLongWait && mask == nullptr) {
    timeout -= timeout % kMillisecond;
  } else if (timeout > 0 && has_pwait2_) {
    struct timespec spec = {timeout / 1'000'000'000, timeout % 1'000'000'000};
    long result = RawSyscall(SYS_epoll_pwait2, fd_, events, capacity, &spec, mask, sizeof *mask);
    if (result != -ENOSYS) return static_cast<int>(result);
    has_pwait2_ = false;
  }
  int milliseconds =
      timeout < 0 ? -1 : static_cast<int>((timeout + kMillisecond - 1) / kMillisecond);
  if (mask == nullptr) {
    return static_cast<int>(RawSyscall(SYS_epoll_wait, fd_, events, capacity, milliseconds));
  }
  return static_cast<int>(
      RawSyscall(SYS_epoll_pwait, fd_, events, capacity, milliseconds, mask, sizeof *mask));
}

}  // namespace bobbin
