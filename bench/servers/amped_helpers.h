// Threads that do for an event-driven server what waits for the disk.
//
// Invariant A1: a connection has at most one job, so that there are never more jobs than
// connections.
#ifndef BENCH_SERVERS_AMPED_HELPERS_H_
#define BENCH_SERVERS_AMPED_HELPERS_H_

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "bench/servers/common/files.h"
#include "knot/file_cache.h"

namespace bench_server {

// Brings part of a file into memory, or, where `descriptor` is negative, finds a path.
struct Job {
  Connection* connection = nullptr;  // to load for
  int descriptor = -1;
  uint64_t offset = 0;
  uint64_t length = 0;
  std::string path;
  uint32_t now = 0;     // for the cache
  knot::Lookup result;  // of finding
};

class Helpers {
 public:
  // `cache` outlives the helpers. Ends the process where descriptors or threads cannot be had.
  Helpers(int count, knot::FileCache& cache);
  ~Helpers();
  Helpers(const Helpers&) = delete;
  Helpers& operator=(const Helpers&) = delete;

  // Adds a job to the batch that Flush hands over. Callers: the server's thread, as of the next
  // two.
  void Add(Job job) { batch_.push_back(std::move(job)); }
  void Flush();

  // Returns: the jobs done since it was called last.
  std::vector<Job> TakeDone();

  // Returns: a descriptor that is readable while there are jobs for TakeDone.
  int descriptor() const { return done_event_; }

 private:
  void Work();
  void Load(const Job& job);

  knot::FileCache& cache_;
  const int done_event_;
  const int sink_;  // takes pages without copying them
  std::vector<Job> batch_;
  std::mutex mutex_;
  std::condition_variable wanted_;
  std::deque<Job> jobs_;
  std::vector<Job> done_;
  bool stopping_ = false;
  std::vector<std::thread> threads_;
};

// Tells whether `length` bytes of a file from `offset` on are in memory, as far as that can be told
// without reading them. Never waits for the disk.
bool IsResident(int descriptor, uint64_t offset, uint64_t length);

}  // namespace bench_server

#endif  // BENCH_SERVERS_AMPED_HELPERS_H_
