#include "bench/servers/watpipe/write_stages.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <utility>

#include "knot/clock.h"

namespace watpipe {

using bench_server::Next;
using bench_server::Serving;

namespace {

constexpr int kTickMs = 1000;  // deadlines are looked at so often

}  // namespace

WriteStages::WriteStages(Clients& clients, Returns& returns)
    : clients_(clients), returns_(returns), wake_(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) {
  set_.push_back({wake_, POLLIN, 0});
  set_clients_.push_back(nullptr);
}

void WriteStages::Add(std::vector<Client*>& batch) {
  bool waits, polls;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    added_.insert(added_.end(), batch.begin(), batch.end());
    waits = unfinished_ == 0;
    polls = std::exchange(polling_, false);
  }
  batch.clear();
  if (polls) {
    eventfd_write(wake_, 1);
  } else if (waits) {
    poller_.notify_one();
  }
}

void WriteStages::RunPoller(Serving& serving) {
  std::vector<Client*> added, work;
  for (;;) {
    {
      std::unique_lock<std::mutex> lock(mutex_);
      any_in_set_ = set_.size() > 1;
      poller_.wait(lock, [this] {
        return unfinished_ == 0 && (any_in_set_ || !added_.empty() || !blocked_.empty());
      });
      added.swap(added_);
      added.insert(added.end(), blocked_.begin(), blocked_.end());
      blocked_.clear();
      polling_ = true;
    }
    for (Client* client : added) {
      if (client->finding) {
        work.push_back(client);
      } else {
        set_.push_back({client->connection.socket(), POLLOUT, 0});
        set_clients_.push_back(client);
      }
    }
    added.clear();
    PollSet(work);
    serving.now_ms = MonotonicMs();
    if (serving.now_ms >= expired_ms_ + kTickMs) ExpireSet(serving);
    BeginWriting(work);
  }
}

// Moves the writable of the set to `work`; waits for one unless there is work already.
void WriteStages::PollSet(std::vector<Client*>& work) {
  int ready = 0;
  if (set_.size() > 1) ready = PollBesideWakeup(set_, work.empty() ? kTickMs : 0);
  // From the end, so that what takes the place of one that goes has been looked at.
  for (size_t i = set_.size() - 1; i > 0 && ready > 0; --i) {
    if (set_[i].revents == 0) continue;
    work.push_back(set_clients_[i]);
    RemoveFromSet(i);
    --ready;
  }
}

void WriteStages::RemoveFromSet(size_t i) {
  set_[i] = set_.back();
  set_.pop_back();
  set_clients_[i] = set_clients_.back();
  set_clients_.pop_back();
}

// Gives up clients that read nothing for too long.
void WriteStages::ExpireSet(Serving& serving) {
  expired_ms_ = serving.now_ms;
  for (size_t i = set_.size() - 1; i > 0; --i) {
    Client& client = *set_clients_[i];
    if (client.connection.deadline_ms() > serving.now_ms) continue;
    RemoveFromSet(i);
    client.connection.Expire(serving);  // what it says next is to close
    clients_.Close(client, serving);
  }
}

// Makes `work` that of the writers, and leaves it empty.
void WriteStages::BeginWriting(std::vector<Client*>& work) {
  bool wake;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    polling_ = false;
    if (work.empty()) return;
    work_.swap(work);
    next_ = 0;
    unfinished_ = work_.size();
    ++counts_.batches;
    counts_.writes += unfinished_;
    wake = idle_writers_ > 0 && !writer_woken_;
    if (wake) writer_woken_ = true;
  }
  work.clear();
  if (wake) writers_.notify_one();
}

void WriteStages::RunWriter(Serving& serving) {
  std::unique_lock<std::mutex> lock(mutex_);
  for (;;) {
    while (next_ == work_.size()) {
      ++idle_writers_;
      writers_.wait(lock);
      --idle_writers_;
      writer_woken_ = false;
    }
    Client& client = *work_[next_++];
    bool wake = next_ < work_.size() && idle_writers_ > 0 && !writer_woken_;
    if (wake) writer_woken_ = true;
    lock.unlock();
    if (wake) writers_.notify_one();
    serving.now_ms = MonotonicMs();
    bool blocked = Write(client, serving);
    lock.lock();
    if (blocked) {
      blocked_.push_back(&client);
      ++counts_.blocked;
    }
    if (--unfinished_ == 0 && (any_in_set_ || !added_.empty() || !blocked_.empty())) {
      // Unlocked first, or the other would wake up only to wait for the lock.
      lock.unlock();
      poller_.notify_one();
      lock.lock();
    }
  }
}

// Returns: whether the connection waits for room in its socket's buffer; else it has gone on, to
// stage 2 or to its end.
bool WriteStages::Write(Client& client, Serving& serving) {
  bench_server::Connection& connection = client.connection;
  Next next = Next::kSend;
  if (std::exchange(client.finding, false)) {
    bench_server::HeldFile file;
    int status = serving.files->Find(connection, client.wanted, &file);
    next = connection.Resume(serving, status, std::move(file));
  }
  while (next == Next::kSend) next = connection.Send(serving);
  switch (next) {
    case Next::kWritable:
      return true;
    case Next::kClose:
      clients_.Close(client, serving);
      return false;
    default:
      returns_.Return(client, next == Next::kReceive);
      return false;
  }
}

WriteStages::Counts WriteStages::GetCounts() {
  std::lock_guard<std::mutex> lock(mutex_);
  return counts_;
}

}  // namespace watpipe
