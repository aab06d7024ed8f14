// A small pool of kernel threads, each pinned to a processor, that serve one connection at a time
// from files mapped into memory.
//
// A thread accepts a connection, reads a request, writes the reply with one sendmsg and, as the
// server this is after did, closes the connection. Further connections wait in the system's queue.
//
// With --keep_alive=on a thread stays with its connection until that ends. --threads is then the
// most connections that can be open at a time: clients that think between requests hold their
// threads meanwhile, and the others wait.

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/strings/str_cat.h"
#include "bench/servers/common/program.h"
#include "bench/servers/mapped_files.h"
#include "knot/choice.h"
#include "knot/clock.h"
#include "knot/command_line.h"

namespace bench_server {
namespace {

enum class Switch : uint8_t { kOff, kOn };

}  // namespace
}  // namespace bench_server

namespace knot {

template <>
struct Names<bench_server::Switch> {
  static constexpr Name<bench_server::Switch> kList[] = {{bench_server::Switch::kOff, "off"},
                                                         {bench_server::Switch::kOn, "on"}};
};

}  // namespace knot

ABSL_FLAG(int, threads, 8, "threads, each of which serves one connection at a time");
ABSL_FLAG(knot::Choice<bench_server::Switch>, keep_alive, {bench_server::Switch::kOff},
          "off: a connection ends after one reply; on: it holds its thread until the client ends "
          "it or it idles too long");
ABSL_FLAG(int, mappings, 0,
          "most files mapped at a time; 0: as many as the system grants a process "
          "(vm.max_map_count), less some for its own memory");

namespace bench_server {
namespace {

constexpr int kAcceptBackOffMs = 100;

int64_t MonotonicMs() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
  return now.tv_sec * int64_t{1000} + now.tv_nsec / 1'000'000;
}

// Serves one connection to its end, on a socket that blocks up to its time-outs.
void ServeConnection(Serving& serving, int socket) {
  Connection connection;
  connection.Open(serving, socket);
  Next next = Next::kReceive;
  while (next != Next::kClose) {
    serving.now_ms = MonotonicMs();
    bool waits = next == Next::kReadable || next == Next::kWritable;
    if (waits && connection.deadline_ms() <= serving.now_ms) {
      next = connection.Expire(serving);
    } else if (next == Next::kSend || next == Next::kWritable) {
      next = connection.Send(serving);
    } else {
      next = connection.Receive(serving);
    }
  }
  connection.Close(serving);
}

class Worker {
 public:
  Worker(const char* name, int listener, const Serving& serving)
      : name_(name), listener_(listener), serving_(serving) {}

  [[noreturn]] void Run() {
    for (;;) {
      int socket = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
      serving_.now_ms = MonotonicMs();
      if (socket >= 0) {
        ServeConnection(serving_, socket);
      } else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
        BackOff();
      }  // the others, accept(2) says, are of the connection that was to be accepted
    }
  }

 private:
  void BackOff() {
    if (!said_accept_fails_) {
      said_accept_fails_ = true;
      std::fprintf(stderr, "%s: cannot accept: %s; will accept again when it can\n", name_,
                   std::strerror(errno));
    }
    usleep(kAcceptBackOffMs * 1000);
  }

  const char* const name_;
  const int listener_;
  Serving serving_;
  bool said_accept_fails_ = false;
};

struct Settings {
  int threads;
  bool keep_alive;
  int mappings;
};

int SystemMappings() {
  int count = 65'530;  // as Linux has it
  std::ifstream("/proc/sys/vm/max_map_count") >> count;
  return count;
}

Settings ReadSettings(const Program& program) {
  Settings settings;
  settings.threads = absl::GetFlag(FLAGS_threads);
  program.FailUnless(knot::CheckRange("threads", settings.threads, 1, 10'000));
  settings.keep_alive = absl::GetFlag(FLAGS_keep_alive).value == Switch::kOn;
  // A thread's stack and its guard, its heap and its guard; libraries.
  int most = SystemMappings() - 4 * settings.threads - 512;
  settings.mappings = absl::GetFlag(FLAGS_mappings);
  if (settings.mappings == 0) settings.mappings = most;
  if (most <= settings.threads) {
    program.Fail(absl::StrCat("--threads=", settings.threads, ": the system grants a process ",
                              SystemMappings(),
                              " mappings (vm.max_map_count), which leaves none "
                              "for files"));
  }
  program.FailUnless(knot::CheckRange("mappings", settings.mappings, settings.threads + 1, most));
  return settings;
}

// Sockets block, accept and connections alike, until a time-out has to be looked at.
void MakeBlocking(const Program& program, int listener, const Serving& serving) {
  uint32_t shortest_ms = std::min(serving.header_timeout_ms, serving.idle_timeout_ms);
  timeval timeout{shortest_ms / 1000, 0};
  if (fcntl(listener, F_SETFL, 0) != 0 ||
      setsockopt(listener, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout) != 0) {
    program.Fail("cannot make a listening socket block");
  }
}

// The processors that the process may use.
std::vector<int> Processors() {
  std::vector<int> result;
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) != 0) return result;
  for (int i = 0; i < CPU_SETSIZE; ++i) {
    if (CPU_ISSET(i, &set)) result.push_back(i);
  }
  return result;
}

void PinThisThread(int processor) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(processor, &set);
  pthread_setaffinity_np(pthread_self(), sizeof set, &set);  // where it fails, it floats
}

void StartThreads(const Program& program, const Settings& settings, const Serving& serving) {
  const std::vector<int> listeners = program.ListenersOf(0);
  const std::vector<int> processors = Processors();
  for (int listener : listeners) MakeBlocking(program, listener, serving);
  for (int i = 0; i < settings.threads; ++i) {
    int processor = processors.empty() ? -1 : processors[i % processors.size()];
    Worker worker(program.name(), listeners[i % listeners.size()], serving);
    try {
      std::thread([worker, processor]() mutable {
        if (processor >= 0) PinThisThread(processor);
        worker.Run();
      }).detach();
    } catch (const std::system_error& error) {
      program.Fail(absl::StrCat("cannot make ", settings.threads, " threads: ", error.what()));
    }
  }
}

// Serves until SIGTERM or SIGINT.
[[noreturn]] void Serve(const Program& program, const Settings& settings) {
  program.FitDescriptors(settings.threads);
  if (settings.threads < static_cast<int>(program.ListenersOf(0).size())) {
    program.Fail("--threads: each address needs a thread");
  }
  sigset_t stop = BlockStopSignals();
  program.FailUnless(knot::StartClock());
  // Never destroyed: threads go on until the process ends.
  auto& files = *new MappedFiles(program.root(), program.types(), settings.mappings);
  auto& counters = *new knot::Counters;
  Serving serving;
  program.SetTimeouts(&serving);
  serving.files = &files;
  serving.counters = &counters;
  serving.inputs = new knot::Pool<Input>;
  serving.replies = new knot::Pool<Reply>;
  serving.keep_alive = settings.keep_alive;
  StartThreads(program, settings, serving);
  program.SayServing(absl::StrCat("threads=", settings.threads,
                                  " keep_alive=", settings.keep_alive ? "on" : "off",
                                  " mappings=", settings.mappings));
  int signal;
  sigwait(&stop, &signal);
  if (program.stats()) {
    WriteCounters({&counters});
    MappedFiles::Counts counts = files.GetCounts();
    WriteCounter("files_mapped", counts.maps);
    WriteCounter("files_unmapped", counts.unmaps);
    WriteCounter("map_failures", counts.failures);
  }
  std::fflush(nullptr);
  _exit(0);
}

}  // namespace
}  // namespace bench_server

int main(int argc, char** argv) {
  bench_server::Program program("mmap_pool",
                                "Serves the files under DIR (default: the current directory) by "
                                "HTTP, from mapped memory,\nin a pool of threads with a connection "
                                "each.");
  program.Begin(argc, argv);
  bench_server::Settings settings = bench_server::ReadSettings(program);
  program.Listen();
  bench_server::Serve(program, settings);
}
