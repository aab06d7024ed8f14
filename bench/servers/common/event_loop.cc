#include "bench/servers/common/event_loop.h"

#include <sys/socket.h>
#include <time.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdio>
#include <cstring>
#include <utility>

#include "knot/clock.h"

namespace bench_server {
namespace {

constexpr int kTickMs = 1000;  // deadlines are looked at, and the date changes, at least so often
constexpr int kAcceptBackOffMs = 100;

int64_t MonotonicMs() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
  return now.tv_sec * int64_t{1000} + now.tv_nsec / 1'000'000;
}

}  // namespace

EventLoop::EventLoop(const Options& options, Serving& serving, const std::vector<int>& listeners)
    : options_(options), serving_(serving), poller_(Poller::Make(options.events)) {
  serving_.inputs = &inputs_;
  serving_.replies = &replies_;
  ReadClock();
  wheel_ms_ = serving_.now_ms / kSlotMs * kSlotMs;
  for (int socket : listeners) {
    listeners_.push_back({{Watch::Kind::kListener}, socket});
  }
  WatchListeners();
}

EventLoop::~EventLoop() {
  for (Client& client : clients_) {
    if (client.connection.is_open()) Close(client);
  }
}

EventLoop::Client& EventLoop::ClientOf(Watch* watch) {
  return *reinterpret_cast<Client*>(reinterpret_cast<char*>(watch) - offsetof(Client, watch));
}

EventLoop::Client& EventLoop::ClientOf(Connection& connection) {
  static_assert(offsetof(Client, connection) == 0);
  return reinterpret_cast<Client&>(connection);
}

void EventLoop::ReadClock() {
  serving_.now_ms = MonotonicMs();
  if (options_.publishes_clock && serving_.now_ms >= second_ends_ms_) {
    second_ends_ms_ = serving_.now_ms + knot::PublishSecond();
  }
}

void EventLoop::OnReadable(int descriptor, std::function<void()> ready) {
  others_.push_back({{Watch::Kind::kOther}, std::move(ready)});
  poller_->Add(descriptor, &others_.back().watch);
}

void EventLoop::WatchListeners() {
  if (listening_) return;
  listening_ = true;
  for (Listener& listener : listeners_) {
    poller_->Add(listener.socket, &listener.watch, options_.shared_listeners);
  }
}

void EventLoop::IgnoreListeners() {
  if (!listening_) return;
  listening_ = false;
  for (Listener& listener : listeners_) poller_->Remove(listener.socket, &listener.watch, false);
}

void EventLoop::Run() {
  while (!stopping_) {
    const Ready* ready;
    int count = poller_->Wait(kTickMs, &ready);
    ReadClock();
    for (int i = 0; i < count; ++i) {
      switch (ready[i].watch->kind) {
        case Watch::Kind::kConnection:
          Serve(ClientOf(ready[i].watch), ready[i]);
          if (serving_.blocking) ReadClock();  // it may have taken long
          break;
        case Watch::Kind::kListener:
          Accept(*reinterpret_cast<Listener*>(ready[i].watch));
          break;
        case Watch::Kind::kOther:
          reinterpret_cast<Other*>(ready[i].watch)->ready();
          break;
      }
    }
    if (after_) after_();
    ExpireUntilNow();
  }
}

void EventLoop::Accept(Listener& listener) {
  while (listening_) {
    if (open_ >= options_.max_connections) return IgnoreListeners();
    int flags = SOCK_CLOEXEC | (serving_.blocking ? 0 : SOCK_NONBLOCK);
    int socket = accept4(listener.socket, nullptr, nullptr, flags);
    if (socket >= 0) {
      Open(socket);
      continue;
    }
    if (errno == EAGAIN) return;
    // The others, accept(2) says, are of the connection that was to be accepted, not of the server.
    if (errno != EMFILE && errno != ENFILE && errno != ENOBUFS && errno != ENOMEM) continue;
    if (!std::exchange(said_accept_fails_, true)) {
      std::fprintf(stderr, "%s: cannot accept: %s; will accept again when it can\n", options_.name,
                   std::strerror(errno));
    }
    accept_again_ms_ = serving_.now_ms + kAcceptBackOffMs;
    IgnoreListeners();
  }
}

void EventLoop::Open(int socket) {
  Client* client = unused_;
  if (client != nullptr) {
    unused_ = client->next;
  } else {
    client = &clients_.emplace_back();
    client->watch.kind = Watch::Kind::kConnection;
  }
  client->connection.Open(serving_, socket);
  client->interest = Interest::kRead;
  ++open_;
  Enlist(*client);
  if (poller_->Add(socket, &client->watch) != 0) Close(*client);
}

void EventLoop::Close(Client& client) {
  poller_->Remove(client.connection.socket(), &client.watch, true);
  client.connection.Close(serving_);
  Delist(client);
  client.next = unused_;
  unused_ = &client;
  --open_;
  if (accept_again_ms_ == 0) WatchListeners();
}

void EventLoop::Serve(Client& client, const Ready& ready) {
  if (ready.hangup) client.connection.MarkHangup();
  switch (client.interest) {
    case Interest::kRead:
      if (!ready.readable) return;
      return Act(client, client.connection.Receive(serving_));
    case Interest::kWrite:
      if (ready.readable) client.connection.MarkReadable();
      if (ready.writable) Act(client, Next::kSend);
      return;
    case Interest::kNone:
      client.connection.MarkReadable();
      return;
  }
}

void EventLoop::Act(Client& client, Next next) {
  for (;;) {
    switch (next) {
      case Next::kReceive:
        next = client.connection.Receive(serving_);
        break;
      case Next::kSend:
        next = client.connection.Send(serving_);
        break;
      case Next::kReadable:
        return Wait(client, Interest::kRead);
      case Next::kWritable:
        return Wait(client, Interest::kWrite);
      case Next::kLater:
        return Wait(client, Interest::kNone);
      case Next::kClose:
        return Close(client);
    }
  }
}

void EventLoop::Wait(Client& client, Interest interest) {
  if (client.interest != interest) {
    client.interest = interest;
    poller_->Want(client.connection.socket(), &client.watch, interest);
  }
  if (client.connection.deadline_ms() < client.looked_at_ms) {
    Delist(client);
    Enlist(client);
  }
}

void EventLoop::Resume(Connection& connection, int status, HeldFile file) {
  Act(ClientOf(connection), connection.Resume(serving_, status, std::move(file)));
}

void EventLoop::Loaded(Connection& connection, uint64_t allowed) {
  Act(ClientOf(connection), connection.Send(serving_, allowed));
}

// A deadline beyond the wheel is looked at when the wheel has gone round.
void EventLoop::Enlist(Client& client) {
  int64_t due = std::clamp(client.connection.deadline_ms(), wheel_ms_ + 1,
                           wheel_ms_ + int64_t{kSlotMs} * (kSlots - 1));
  int64_t slots = (due + kSlotMs - 1) / kSlotMs;
  client.looked_at_ms = slots * kSlotMs;
  client.slot = static_cast<uint16_t>(slots % kSlots);
  Client*& head = wheel_[client.slot];
  client.previous = nullptr;
  client.next = head;
  if (head != nullptr) head->previous = &client;
  head = &client;
}

void EventLoop::Delist(Client& client) {
  (client.previous != nullptr ? client.previous->next : wheel_[client.slot]) = client.next;
  if (client.next != nullptr) client.next->previous = client.previous;
}

void EventLoop::ExpireUntilNow() {
  int64_t now = serving_.now_ms;
  while (wheel_ms_ + kSlotMs <= now) {
    wheel_ms_ += kSlotMs;
    Client* due = std::exchange(wheel_[wheel_ms_ / kSlotMs % kSlots], nullptr);
    while (due != nullptr) {
      Client& client = *due;
      due = client.next;
      if (due != nullptr) due->previous = nullptr;
      client.next = nullptr;  // it stands alone now, as Delist takes a list's head to
      client.previous = nullptr;
      Enlist(client);
      if (client.connection.deadline_ms() <= now) {
        Act(client, client.connection.Expire(serving_));
      }
    }
  }
  if (accept_again_ms_ != 0 && now >= accept_again_ms_) {
    accept_again_ms_ = 0;
    if (open_ < options_.max_connections) WatchListeners();
  }
  // Where processes share a listening socket only one was told of each connection, and it may have
  // been at its limit.
  if (options_.shared_listeners && listening_ && now >= looked_round_ms_ + kTickMs) {
    looked_round_ms_ = now;
    for (Listener& listener : listeners_) Accept(listener);
  }
}

}  // namespace bench_server
