#include "bench/servers/watpipe/read_stage.h"

#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <utility>

namespace watpipe {

using bench_server::Next;
using bench_server::Serving;

namespace {

constexpr int kTickMs = 1000;    // deadlines are looked at so often
constexpr int kMaxEvents = 256;  // a batch; more are taken with the next

class EpollReadStage final : public ReadStage {
 public:
  explicit EpollReadStage(Clients& clients)
      : ReadStage(clients), epoll_(epoll_create1(EPOLL_CLOEXEC)) {
    if (!Control(wake_, EPOLLIN | EPOLLET, nullptr)) std::abort();
  }

  bool Enter(Client& client) override {
    client.holder.store(Holder::kReader, std::memory_order_release);
    return Control(client.connection.socket(), EPOLLIN | EPOLLRDHUP | EPOLLET, &client);
  }

 private:
  bool Control(int descriptor, uint32_t events, Client* client) {
    epoll_event event{};
    event.events = events;
    event.data.ptr = client;
    return epoll_ctl(epoll_, EPOLL_CTL_ADD, descriptor, &event) == 0;
  }

  void Wait(Serving& serving, int timeout_ms) override {
    int count = epoll_wait(epoll_, events_.data(), kMaxEvents, timeout_ms);
    serving.now_ms = MonotonicMs();
    for (int i = 0; i < count; ++i) {
      auto* client = static_cast<Client*>(events_[i].data.ptr);
      // An event can also be of a connection that was closed since; whoever has its client now
      // finds nothing to read.
      if (client == nullptr || !IsOurs(*client)) continue;
      if ((events_[i].events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0) {
        client->connection.MarkHangup();
      }
      Receive(*client, serving);
    }
  }

  // Tells whether stage 2 has the connection; if the writers do, marks it (R2).
  static bool IsOurs(Client& client) {
    Holder holder = client.holder.load(std::memory_order_acquire);
    while (holder == Holder::kWriters &&
           !client.holder.compare_exchange_weak(holder, Holder::kWritersMore,
                                                std::memory_order_acquire)) {
    }
    return holder == Holder::kReader;
  }

  void Include(Client&) override {}
  void Exclude(Client&) override {}
  bool ReturnsToSet() const override { return false; }

  const int epoll_;
  std::array<epoll_event, kMaxEvents> events_;
};

class PollReadStage final : public ReadStage {
 public:
  explicit PollReadStage(Clients& clients) : ReadStage(clients) {
    set_.push_back({wake_, POLLIN, 0});
    set_clients_.push_back(nullptr);
  }

  bool Enter(Client& client) override {
    client.holder.store(Holder::kWriters, std::memory_order_relaxed);
    Queue(client);
    return true;
  }

 private:
  void Wait(Serving& serving, int timeout_ms) override {
    int ready = PollBesideWakeup(set_, timeout_ms);
    serving.now_ms = MonotonicMs();
    // From the end, so that what takes the place of one that goes has been looked at.
    for (size_t i = set_.size() - 1; i > 0 && ready > 0; --i) {
      if (set_[i].revents == 0) continue;
      --ready;
      Receive(*set_clients_[i], serving);
    }
  }

  void Include(Client& client) override {
    client.place = static_cast<int>(set_.size());
    set_.push_back({client.connection.socket(), POLLIN, 0});
    set_clients_.push_back(&client);
  }

  void Exclude(Client& client) override {
    int place = std::exchange(client.place, -1);
    set_[place] = set_.back();
    set_.pop_back();
    set_clients_[place] = set_clients_.back();
    if (set_clients_[place] != &client) set_clients_[place]->place = place;
    set_clients_.pop_back();
  }

  bool ReturnsToSet() const override { return true; }

  // The first place is for wake_.
  std::vector<pollfd> set_;
  std::vector<Client*> set_clients_;
};

}  // namespace

std::unique_ptr<ReadStage> ReadStage::Make(bench_server::Events events, Clients& clients) {
  if (events == bench_server::Events::kPoll) return std::make_unique<PollReadStage>(clients);
  return std::make_unique<EpollReadStage>(clients);
}

ReadStage::ReadStage(Clients& clients)
    : wake_(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)), clients_(clients) {}

void ReadStage::Return(Client& client, bool more) {
  if (!more && !ReturnsToSet()) {
    Holder expected = Holder::kWriters;
    if (client.holder.compare_exchange_strong(expected, Holder::kReader,
                                              std::memory_order_release)) {
      return;
    }
  }
  Queue(client);
}

void ReadStage::Queue(Client& client) {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    returned_.push_back(&client);
  }
  if (waiting_.exchange(false)) eventfd_write(wake_, 1);
}

void ReadStage::Run(Serving& serving) {
  std::vector<Client*> returned;
  for (;;) {
    {
      std::lock_guard<std::mutex> lock(mutex_);
      returned.swap(returned_);
      // From here on whoever adds to it sees this, and wakes the thread.
      waiting_.store(returned.empty());
    }
    for (Client* client : returned) {
      if (client->holder.exchange(Holder::kReader) == Holder::kWritersMore) {
        client->connection.MarkHangup();  // it may have been told of, and will not be again
      }
      Include(*client);
      // By poll what is there is reported; but there may be the rest of what was read before.
      Receive(*client, serving);
    }
    Wait(serving, returned.empty() ? kTickMs : 0);
    waiting_.store(false, std::memory_order_relaxed);
    returned.clear();
    if (serving.now_ms >= expired_ms_ + kTickMs) Expire(serving);
    if (!batch_.empty()) writers_->Add(batch_);
  }
}

void ReadStage::Receive(Client& client, Serving& serving) {
  Act(client, client.connection.Receive(serving), serving);
}

void ReadStage::Act(Client& client, Next next, Serving& serving) {
  while (next == Next::kReceive) next = client.connection.Receive(serving);
  if (next == Next::kReadable) return;
  Exclude(client);
  if (next == Next::kClose) return clients_.Close(client, serving);
  client.finding = next == Next::kLater;
  client.holder.store(Holder::kWriters, std::memory_order_release);
  batch_.push_back(&client);
}

void ReadStage::Expire(Serving& serving) {
  expired_ms_ = serving.now_ms;
  for (Client& client : clients_) {
    if (client.holder.load(std::memory_order_acquire) != Holder::kReader) continue;
    if (client.connection.deadline_ms() > serving.now_ms) continue;
    Act(client, client.connection.Expire(serving), serving);
  }
}

}  // namespace watpipe
