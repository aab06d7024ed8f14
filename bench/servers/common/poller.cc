#include "bench/servers/common/poller.h"

#include <poll.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <vector>

namespace bench_server {
namespace {

// What epoll_wait touches of a socket is still in the caches when its connection is served; with a
// thousand at a time it is not.
constexpr int kMostAtOnce = 32;

// A connection is registered once, edge-triggered, and a second time where it first has to wait for
// writing: most never have to, and would be reported as writable right after they are registered.
class EpollPoller final : public Poller {
 public:
  EpollPoller() : epoll_(epoll_create1(EPOLL_CLOEXEC)), ready_(kMostAtOnce), events_(kMostAtOnce) {
    if (epoll_ < 0) {
      std::perror("epoll_create1");
      std::exit(1);
    }
  }
  ~EpollPoller() override { close(epoll_); }

  int Add(int descriptor, Watch* watch, bool exclusive) override {
    bool connection = watch->kind == Watch::Kind::kConnection;
    uint32_t wanted = EPOLLIN;
    if (connection) wanted |= EPOLLRDHUP | EPOLLET;
    if (exclusive) wanted |= EPOLLEXCLUSIVE;
    watch->registered = 0;
    return Control(EPOLL_CTL_ADD, descriptor, watch, wanted);
  }

  void Want(int descriptor, Watch* watch, Interest interest) override {
    if (interest != Interest::kWrite || watch->registered != 0) return;
    watch->registered = 1;
    Control(EPOLL_CTL_MOD, descriptor, watch, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET);
  }

  void Remove(int descriptor, Watch* watch, bool closing) override {
    if (!closing) Control(EPOLL_CTL_DEL, descriptor, watch, 0);
  }

  int Wait(int timeout_ms, const Ready** ready) override {
    int count = epoll_wait(epoll_, events_.data(), kMostAtOnce, timeout_ms);
    for (int i = 0; i < count; ++i) {
      uint32_t events = events_[i].events;
      ready_[i] = {static_cast<Watch*>(events_[i].data.ptr),
                   (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0,
                   (events & (EPOLLOUT | EPOLLHUP | EPOLLERR)) != 0,
                   (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0};
    }
    *ready = ready_.data();
    return count < 0 ? 0 : count;
  }

 private:
  int Control(int operation, int descriptor, Watch* watch, uint32_t events) {
    epoll_event event{};
    event.events = events;
    event.data.ptr = watch;
    return epoll_ctl(epoll_, operation, descriptor, &event) == 0 ? 0 : -errno;
  }

  const int epoll_;
  std::vector<Ready> ready_;
  std::vector<epoll_event> events_;
};

class PollPoller final : public Poller {
 public:
  int Add(int descriptor, Watch* watch, bool) override {
    watch->place = static_cast<int>(polled_.size());
    polled_.push_back({descriptor, POLLIN, 0});
    watches_.push_back(watch);
    return 0;
  }

  // A negative descriptor is passed over, where POLLHUP would be reported again and again.
  void Want(int descriptor, Watch* watch, Interest interest) override {
    pollfd& polled = polled_[watch->place];
    polled.fd = interest == Interest::kNone ? ~descriptor : descriptor;
    polled.events = interest == Interest::kWrite ? POLLOUT : POLLIN;
  }

  void Remove(int, Watch* watch, bool) override {
    int place = watch->place;
    polled_[place] = polled_.back();
    watches_[place] = watches_.back();
    watches_[place]->place = place;
    polled_.pop_back();
    watches_.pop_back();
    watch->place = -1;
  }

  int Wait(int timeout_ms, const Ready** ready) override {
    int left = poll(polled_.data(), polled_.size(), timeout_ms);
    ready_.clear();
    for (size_t i = 0; left > 0 && i < polled_.size(); ++i) {
      short events = polled_[i].revents;
      if (events == 0) continue;
      --left;
      bool bad = (events & (POLLHUP | POLLERR | POLLNVAL)) != 0;
      // Without interest in reading, what there is to be read will be reported when there is.
      ready_.push_back({watches_[i], (events & POLLIN) != 0 || (bad && polled_[i].events == POLLIN),
                        (events & POLLOUT) != 0 || (bad && polled_[i].events == POLLOUT), false});
    }
    *ready = ready_.data();
    return static_cast<int>(ready_.size());
  }

 private:
  std::vector<pollfd> polled_;
  std::vector<Watch*> watches_;  // of the same places
  std::vector<Ready> ready_;
};

}  // namespace

std::unique_ptr<Poller> Poller::Make(Events events) {
  if (events == Events::kPoll) return std::make_unique<PollPoller>();
  return std::make_unique<EpollPoller>();
}

}  // namespace bench_server
