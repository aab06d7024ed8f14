#include "runtime/poller_poll.h"

#include <errno.h>
#include <sys/mman.h>
#include <time.h>

#include "runtime/raw_syscall.h"

namespace bobbin {

namespace {

template <typename T>
T* MapArray(size_t count) {
  long at = RawSyscall(SYS_mmap, 0, count * sizeof(T), PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  return at < 0 && at > -4096 ? nullptr : reinterpret_cast<T*>(at);
}

template <typename T>
void UnmapArray(T* array, size_t count) {
  if (array != nullptr) RawSyscall(SYS_munmap, array, count * sizeof(T));
}

}  // namespace

long PollPoller::Init(int descriptors) {
  while (count_ > 0) RemoveAt(count_ - 1);
  if (capacity_ != 0) return 0;
  capacity_ = descriptors;
  set_ = MapArray<struct pollfd>(capacity_);
  generations_ = MapArray<uint32_t>(capacity_);
  places_ = MapArray<int>(capacity_);
  return set_ != nullptr && generations_ != nullptr && places_ != nullptr ? 0 : -ENOMEM;
}

PollPoller::~PollPoller() {
  UnmapArray(set_, capacity_);
  UnmapArray(generations_, capacity_);
  UnmapArray(places_, capacity_);
}

long PollPoller::Watch(int fd, uint32_t generation, uint32_t events) {
  if (fd < 0 || fd >= capacity_) return -ENOSPC;
  int place = places_[fd];
  if (place == 0) {
    place = ++count_;
    places_[fd] = place;
    set_[place - 1] = {fd, 0, 0};
  }
  if (generations_[place - 1] != generation) set_[place - 1].events = 0;
  generations_[place - 1] = generation;
  set_[place - 1].events |= static_cast<short>(events);
  return 0;
}

void PollPoller::RemoveAt(int index) {
  places_[set_[index].fd] = 0;
  int last = --count_;
  if (index == last) return;
  set_[index] = set_[last];
  generations_[index] = generations_[last];
  places_[set_[index].fd] = index + 1;
}

void PollPoller::Forget(int fd) {
  if (fd >= 0 && fd < capacity_ && places_[fd] != 0) RemoveAt(places_[fd] - 1);
}

int PollPoller::Wait(PollEvent* events, int capacity, int64_t timeout, const uint64_t* mask) {
  struct timespec spec = {timeout / 1'000'000'000, timeout % 1'000'000'000};
  long ready =
      RawSyscall(SYS_ppoll, set_, count_, timeout < 0 ? nullptr : &spec, mask, sizeof *mask);
  if (ready <= 0) return static_cast<int>(ready);
  int reported = 0;
  for (int i = count_ - 1; i >= 0 && reported < capacity && reported < ready; --i) {
    short what = set_[i].revents;
    if (what == 0) continue;
    // A number closed behind our back: whoever waits on it learns so by trying.
    uint32_t bits =
        (what & POLLNVAL) != 0 ? uint32_t{POLLIN | POLLOUT | POLLERR} : static_cast<uint32_t>(what);
    events[reported++] = {bits, set_[i].fd, generations_[i]};
    set_[i].events &= static_cast<short>(~what);
    bool finished = set_[i].events == 0 || (what & (POLLERR | POLLHUP | POLLNVAL)) != 0;
    if (finished) RemoveAt(i);
  }
  return reported;
}

}  // namespace bobbin
