// Stages 3 and 4: one thread that waits for writability, and those that write.
//
// They take turns. Stage 3 polls the connections that have a reply to be sent and makes those that
// are writable the work of stage 4; when that is done, and what did not fit into a socket's buffer
// is back in the set, it polls again.
//
// State     polling --some are writable--> writing --all were written--> polling
//
// Invariants
//   W1  Stage 3 polls only while no writer has work, and writers have work only until each item was
//       written as far as it could.
//   W2  While there is work that nobody has begun, a writer is running or has been woken: each that
//       begins wakes one more. A writer that waits for the disk holds up nobody's work but its own,
//       and where none waits few are woken.
#ifndef BENCH_SERVERS_WATPIPE_WRITE_STAGES_H_
#define BENCH_SERVERS_WATPIPE_WRITE_STAGES_H_

#include <poll.h>

#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <vector>

#include "bench/servers/watpipe/client.h"

namespace watpipe {

// Where connections go whose replies were sent.
class Returns {
 public:
  virtual ~Returns() = default;

  // Gives a connection back to stage 2, which is to look for input at once where `more`.
  // Callers: the writers.
  virtual void Return(Client& client, bool more) = 0;
};

class WriteStages {
 public:
  struct Counts {
    uint64_t batches = 0;  // pieces of work of stage 4
    uint64_t writes = 0;   // their items
    uint64_t blocked = 0;  // of those, how many a socket's buffer had no room for
  };

  WriteStages(Clients& clients, Returns& returns);

  // Takes connections that have a reply ready, or whose file is yet to be found. Leaves `batch`
  // empty. Callers: stage 2.
  void Add(std::vector<Client*>& batch);

  // The bodies of the threads; they do not return. `serving` is the thread's own.
  [[noreturn]] void RunPoller(bench_server::Serving& serving);
  [[noreturn]] void RunWriter(bench_server::Serving& serving);

  Counts GetCounts();

 private:
  void Merge(const std::vector<Client*>& added);
  void PollSet(std::vector<Client*>& work);
  void ExpireSet(bench_server::Serving& serving);
  void RemoveFromSet(size_t i);
  void BeginWriting(std::vector<Client*>& work);
  bool Write(Client& client, bench_server::Serving& serving);

  Clients& clients_;
  Returns& returns_;
  const int wake_;  // an eventfd, for when stage 3 is inside of poll

  // Stage 3's own. The first place of the set is for wake_.
  std::vector<pollfd> set_;
  std::vector<Client*> set_clients_;
  int64_t expired_ms_ = 0;

  std::mutex mutex_;  // for what follows
  std::condition_variable poller_;
  std::condition_variable writers_;
  std::vector<Client*> added_;    // by stage 2
  std::vector<Client*> blocked_;  // by stage 4
  std::vector<Client*> work_;
  size_t next_ = 0;        // of work_: what nobody has begun
  size_t unfinished_ = 0;  // of work_
  bool polling_ = false;   // stage 3 is inside of poll
  bool any_in_set_ = false;
  int idle_writers_ = 0;
  bool writer_woken_ = false;  // one was, and does not run yet
  Counts counts_;
};

}  // namespace watpipe

#endif  // BENCH_SERVERS_WATPIPE_WRITE_STAGES_H_
