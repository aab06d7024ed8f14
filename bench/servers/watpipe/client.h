// A connection on its way through the pipeline, and all of them.
#ifndef BENCH_SERVERS_WATPIPE_CLIENT_H_
#define BENCH_SERVERS_WATPIPE_CLIENT_H_

#include <poll.h>
#include <sys/eventfd.h>
#include <time.h>

#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "absl/strings/string_view.h"
#include "bench/servers/common/connection.h"

namespace watpipe {

// Which stage has a connection. No other may touch more of it than this word.
enum class Holder : uint8_t {
  kNobody,       // not open
  kReader,       // stage 2
  kWriters,      // stages 3 and 4
  kWritersMore,  // likewise; and meanwhile stage 2 was told of input
};

struct Client {
  bench_server::Connection connection;  // first, so that one is found from the other
  std::atomic<Holder> holder{Holder::kNobody};
  bool finding = false;      // stage 4 is to look up `wanted` before it writes
  absl::string_view wanted;  // lies in the request's buffer
  int place = -1;            // in the reader's set, where it polls
};

inline Client& ClientOf(bench_server::Connection& connection) {
  return reinterpret_cast<Client&>(connection);
}

// As many clients as there may be connections.
class Clients {
 public:
  explicit Clients(int count) : count_(count), all_(std::make_unique<Client[]>(count)) {
    unused_.reserve(count);
    for (int i = count - 1; i >= 0; --i) unused_.push_back(&all_[i]);
  }

  // Returns: one that is in no use. Blocks: this thread, until there is one. Callers: one thread.
  Client* Take() {
    std::unique_lock<std::mutex> lock(mutex_);
    wanted_ = true;
    given_.wait(lock, [this] { return !unused_.empty(); });
    wanted_ = false;
    Client* client = unused_.back();
    unused_.pop_back();
    return client;
  }

  // Closes the connection and takes its client back. Callers: the stage that has it.
  void Close(Client& client, bench_server::Serving& serving) {
    client.holder.store(Holder::kNobody, std::memory_order_relaxed);
    client.connection.Close(serving);
    bool wanted;
    {
      std::lock_guard<std::mutex> lock(mutex_);
      unused_.push_back(&client);
      wanted = wanted_;
    }
    if (wanted) given_.notify_one();
  }

  Client* begin() { return all_.get(); }
  Client* end() { return all_.get() + count_; }

 private:
  const int count_;
  const std::unique_ptr<Client[]> all_;
  std::mutex mutex_;
  std::condition_variable given_;
  std::vector<Client*> unused_;
  bool wanted_ = false;
};

inline int64_t MonotonicMs() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
  return now.tv_sec * int64_t{1000} + now.tv_nsec / 1'000'000;
}

// Polls a set whose first member is the eventfd that wakes its thread, and takes in the wake-up.
// Returns: how many of the others are ready.
inline int PollBesideWakeup(std::vector<pollfd>& set, int timeout_ms) {
  int ready = poll(set.data(), set.size(), timeout_ms);
  if (ready <= 0 || set[0].revents == 0) return ready;
  eventfd_t count;
  eventfd_read(set[0].fd, &count);
  return ready - 1;
}

}  // namespace watpipe

#endif  // BENCH_SERVERS_WATPIPE_CLIENT_H_
