// Runs a server as several processes, and ends them together.
#ifndef BENCH_SERVERS_COMMON_PROCESS_GROUP_H_
#define BENCH_SERVERS_COMMON_PROCESS_GROUP_H_

#include <sys/types.h>

#include <functional>
#include <vector>

namespace bench_server {

class ProcessGroup {
 public:
  // `name` is the program's, for messages. SIGTERM, SIGINT and SIGCHLD are blocked from then on.
  explicit ProcessGroup(const char* name);

  // Starts a process that calls `body`, which does not return. It ends by SIGTERM as by default,
  // and with this process however that ends. With `one_descriptor_table` descriptors opened or
  // closed by one process are so in all, but memory is its own; no thread but the caller's may
  // exist. Returns: false where the system has no room for another process.
  bool Start(const std::function<void()>& body, bool one_descriptor_table);

  // Waits for SIGTERM or SIGINT, or for a process that ends unasked, and ends them all.
  // Returns: the exit status: 0, or 1 after a line that says what ended.
  int WaitForStop();

  // Ends all processes and waits until they are gone.
  void EndAll();

 private:
  const char* const name_;
  std::vector<pid_t> processes_;
};

// Returns: `bytes` of zeroed memory shared with processes started later. Ends the process where
// there is none.
void* SharedMemory(size_t bytes);

}  // namespace bench_server

#endif  // BENCH_SERVERS_COMMON_PROCESS_GROUP_H_
