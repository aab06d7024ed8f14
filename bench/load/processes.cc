#include "bench/load/processes.h"

#include <errno.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "absl/strings/str_cat.h"
#include "bench/load/clock.h"

extern char** environ;

namespace load {
namespace {

constexpr uint64_t kMostToStart = 30 * kSecond;

size_t SharedSize(unsigned processes) { return sizeof(SharedMemory) + processes * sizeof(Tally); }

double Seconds(clockid_t clock) {
  timespec time;
  if (clock_gettime(clock, &time) != 0) return -1;
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) / 1e9;
}

}  // namespace

SharedMemory* MapShared(int fd, unsigned processes) {
  void* memory = mmap(nullptr, SharedSize(processes), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  return memory == MAP_FAILED ? nullptr : static_cast<SharedMemory*>(memory);
}

Processes::~Processes() {
  for (const Child& child : children_) {
    if (child.left && kill(child.pid, SIGKILL) == 0) waitpid(child.pid, nullptr, 0);
  }
  if (fd_ >= 0) close(fd_);
}

absl::Status Processes::Start(unsigned count, const std::vector<std::string>& arguments) {
  fd_ = memfd_create("workload", 0);  // inherited
  if (fd_ >= 0 && ftruncate(fd_, static_cast<off_t>(SharedSize(count))) == 0) {
    shared_ = MapShared(fd_, count);
  }
  if (shared_ == nullptr) {
    return absl::InternalError(absl::StrCat("no memory for the counters: ", strerror(errno)));
  }
  for (unsigned i = 0; i < count; ++i) {
    if (absl::Status status = Spawn(i, count, arguments); !status.ok()) return status;
  }
  const uint64_t deadline = Now() + kMostToStart;
  for (unsigned i = 0; i < count; ++i) {
    while (tally(i).ready.Get() == 0) {
      AnyLeft();
      if (failed_ || Now() > deadline) {
        return absl::InternalError("a process of the generator did not start");
      }
      SleepUntil(Now() + 2 * kMillisecond);
    }
  }
  return absl::OkStatus();
}

absl::Status Processes::Spawn(unsigned i, unsigned count,
                              const std::vector<std::string>& arguments) {
  std::vector<std::string> words = {"workload", "run",
                                    absl::StrCat("--part=", i, ",", fd_, ",", count)};
  words.insert(words.end(), arguments.begin(), arguments.end());
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  Child child = {0, true, 0, 0};
  int error = posix_spawn(&child.pid, "/proc/self/exe", nullptr, nullptr, argv.data(), environ);
  if (error == 0) error = clock_getcpuclockid(child.pid, &child.clock);
  if (error != 0) {
    return absl::InternalError(
        absl::StrCat("cannot start a process of the generator: ", strerror(error)));
  }
  children_.push_back(child);
  return absl::OkStatus();
}

bool Processes::AnyLeft() {
  bool any = false;
  for (Child& child : children_) {
    if (!child.left) continue;
    int status = 0;
    if (waitpid(child.pid, &status, WNOHANG) == child.pid) {
      child.left = false;
      if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) failed_ = true;
    }
    any = any || child.left;
  }
  return any;
}

double Processes::CpuSeconds() {
  double sum = Seconds(CLOCK_PROCESS_CPUTIME_ID);
  for (Child& child : children_) {
    double cpu = child.left ? Seconds(child.clock) : -1;
    if (cpu >= 0) child.cpu = cpu;
    sum += child.cpu;
  }
  return sum;
}

}  // namespace load
