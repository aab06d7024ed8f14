// Workers with an epoll loop and a listening socket each, which the kernel spreads connections over
// (SO_REUSEPORT), and all files in memory before the first is asked for.
//
// A small reply leaves with one call. Workers share nothing that is written to. A worker at its
// share of --max_conn leaves its further connections waiting, though others may have room: the
// kernel has chosen it for them.
//
// A set of files above --preload_limit is refused: what this server is for is memory. Where the set
// does not fit, there is nothing to be compared.

#include <unistd.h>

#include <cstdio>
#include <deque>
#include <new>
#include <system_error>
#include <thread>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/strings/str_cat.h"
#include "bench/servers/common/event_loop.h"
#include "bench/servers/common/program.h"
#include "bench/servers/preloaded_files.h"
#include "knot/clock.h"
#include "knot/command_line.h"

ABSL_FLAG(int, workers, 1, "threads with an event loop each; no more than processors");
ABSL_FLAG(int, preload_limit, 1024, "most memory for the files, in MiB");

namespace bench_server {
namespace {

struct Settings {
  int workers;
  int max_connections;
};

Settings ReadSettings(const Program& program) {
  Settings settings;
  settings.workers = absl::GetFlag(FLAGS_workers);
  program.FailUnless(knot::CheckRange("workers", settings.workers, 1, 1000));
  settings.max_connections = MaxConnections(program, settings.workers);
  return settings;
}

void Preload(const Program& program, PreloadedFiles& files) {
  int limit = absl::GetFlag(FLAGS_preload_limit);
  program.FailUnless(knot::CheckRange("preload_limit", limit, 1, 1 << 20));
  try {
    program.FailUnless(files.Load(program.root(), program.types(), uint64_t{1} * limit << 20));
  } catch (const std::bad_alloc&) {
    program.Fail("no memory for the names of so many files");
  }
}

// A worker, which is a thread with its loop.
class Worker {
 public:
  Worker(const Program& program, const Settings& settings, Files& files, int index)
      : listeners_(program.ListenersOf(index)) {
    program.SetTimeouts(&serving_);
    serving_.files = &files;
    serving_.counters = &counters_;
    options_.name = program.name();
    options_.publishes_clock = false;
    options_.max_connections = ShareOf(settings.max_connections, settings.workers, index);
  }

  void Run() {
    EventLoop loop(options_, serving_, listeners_);
    loop.Run();
  }

  const knot::Counters& counters() const { return counters_; }

 private:
  const std::vector<int> listeners_;
  EventLoop::Options options_;
  knot::Counters counters_;
  Serving serving_;
};

// Serves until SIGTERM or SIGINT.
[[noreturn]] void Serve(const Program& program, const Settings& settings,
                        const PreloadedFiles& preloaded, Files& files) {
  sigset_t stop = BlockStopSignals();
  program.FailUnless(knot::StartClock());
  auto& workers = *new std::deque<Worker>;  // never destroyed, as its threads go on until the end
  for (int i = 0; i < settings.workers; ++i) {
    Worker& worker = workers.emplace_back(program, settings, files, i);
    try {
      std::thread([&worker] { worker.Run(); }).detach();
    } catch (const std::system_error& error) {
      program.Fail(absl::StrCat("cannot make ", settings.workers, " workers: ", error.what()));
    }
  }
  program.SayServing(absl::StrCat("workers=", settings.workers,
                                  " max_conn=", settings.max_connections,
                                  " files=", preloaded.count(), " mb=", preloaded.bytes() >> 20));
  int signal;
  sigwait(&stop, &signal);
  if (program.stats()) {
    std::vector<const knot::Counters*> counters;
    for (const Worker& worker : workers) counters.push_back(&worker.counters());
    WriteCounters(counters);
    WriteCounter("files", preloaded.count());
    WriteCounter("file_bytes", preloaded.bytes());
  }
  std::fflush(nullptr);
  _exit(0);
}

}  // namespace
}  // namespace bench_server

int main(int argc, char** argv) {
  bench_server::Program program("reuseport",
                                "Serves the files under DIR (default: the current directory) by "
                                "HTTP, from memory they are read into\nat start, in threads with "
                                "an event loop and listening sockets of their own.");
  program.Begin(argc, argv);
  bench_server::Settings settings = bench_server::ReadSettings(program);
  program.FitDescriptors(settings.max_connections);
  auto& files = *new bench_server::PreloadedFiles;
  bench_server::Preload(program, files);
  // Not before: clients would connect, and wait while gigabytes are read.
  program.Listen(settings.workers);
  bench_server::Serve(program, settings, files, files);
}
