// The processes of the generator, and the memory they share with the one that watches them.
#ifndef BOBBIN_BENCH_LOAD_PROCESSES_H_
#define BOBBIN_BENCH_LOAD_PROCESSES_H_

#include <sys/types.h>
#include <time.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "bench/load/tally.h"

namespace load {

struct SharedMemory {
  Control control;
  Tally tallies[];
};

// Maps the memory behind `fd` for so many processes. Returns: null with errno.
SharedMemory* MapShared(int fd, unsigned processes);

class Processes {
 public:
  Processes() = default;
  Processes(const Processes&) = delete;
  Processes& operator=(const Processes&) = delete;
  ~Processes();  // kills those that are left

  // Starts this program `count` times over with the arguments and waits until all are ready.
  absl::Status Start(unsigned count, const std::vector<std::string>& arguments);

  // Collects those that have ended. Returns: whether any are left.
  bool AnyLeft();

  // Tells whether one has ended other than with status 0.
  bool failed() const { return failed_; }

  // Returns: the CPU time of this process and of all it started. Units: seconds.
  double CpuSeconds();

  Control& control() { return shared_->control; }
  const Tally& tally(unsigned i) const { return shared_->tallies[i]; }
  unsigned count() const { return static_cast<unsigned>(children_.size()); }

 private:
  struct Child {
    pid_t pid;
    bool left;
    clockid_t clock;
    double cpu;  // as last seen
  };

  absl::Status Spawn(unsigned i, unsigned count, const std::vector<std::string>& arguments);

  SharedMemory* shared_ = nullptr;
  int fd_ = -1;
  std::vector<Child> children_;
  bool failed_ = false;
};

}  // namespace load

#endif  // BOBBIN_BENCH_LOAD_PROCESSES_H_
