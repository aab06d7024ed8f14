// Stage 2: one thread that waits for input, reads and parses.
//
// Invariants
//   R1  A connection is in the set of those waited for while stage 2 has it. By poll the set is an
//       array, and connections enter it at the beginning of a batch. By epoll it is the system's:
//       a connection is entered once, by stage 1, and which stage has it is told by its holder.
//   R2  No readiness is lost: by epoll it is reported once, so what is reported of a connection
//       that the writers have is marked there (kWritersMore), and they give it back as one to look
//       at.
#ifndef BENCH_SERVERS_WATPIPE_READ_STAGE_H_
#define BENCH_SERVERS_WATPIPE_READ_STAGE_H_

#include <memory>
#include <mutex>
#include <vector>

#include "bench/servers/common/poller.h"
#include "bench/servers/watpipe/client.h"
#include "bench/servers/watpipe/write_stages.h"

namespace watpipe {

class ReadStage : public Returns {
 public:
  static std::unique_ptr<ReadStage> Make(bench_server::Events events, Clients& clients);
  ~ReadStage() override = default;

  // Requires: called before Run.
  void SendTo(WriteStages& writers) { writers_ = &writers; }

  // Takes a new connection. Returns: false where the system has no room for it. Callers: stage 1.
  virtual bool Enter(Client& client) = 0;

  void Return(Client& client, bool more) override;

  // The body of the thread; does not return. `serving` is its own.
  [[noreturn]] void Run(bench_server::Serving& serving);

 protected:
  explicit ReadStage(Clients& clients);

  // Waits for what becomes ready, and calls Serve for it.
  virtual void Wait(bench_server::Serving& serving, int timeout_ms) = 0;
  // Enters a connection that is stage 2's again, or takes one out that is not any more.
  virtual void Include(Client& client) = 0;
  virtual void Exclude(Client& client) = 0;
  // Tells whether a connection that comes back has to be waited for anew.
  virtual bool ReturnsToSet() const = 0;

  void Queue(Client& client);
  void Receive(Client& client, bench_server::Serving& serving);

  const int wake_;  // an eventfd, for when the thread waits
  Clients& clients_;

 private:
  void Expire(bench_server::Serving& serving);
  void Act(Client& client, bench_server::Next next, bench_server::Serving& serving);

  WriteStages* writers_ = nullptr;
  std::vector<Client*> batch_;  // for the writers
  int64_t expired_ms_ = 0;

  std::mutex mutex_;
  std::vector<Client*> returned_;
  std::atomic<bool> waiting_{false};
};

}  // namespace watpipe

#endif  // BENCH_SERVERS_WATPIPE_READ_STAGE_H_
