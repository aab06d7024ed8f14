// An event-driven server after the paper's µserver: one process (SPED), several that share their
// listening sockets and nothing else (SYMPED), or several that share one cache of heads and
// descriptors as well (shared-SYMPED).
//
// A process serves its connections in one loop. It waits for the disk, and with
// --sendfile=blocking also for clients that read slowly; the other processes go on meanwhile.

#include <cstdio>
#include <memory>
#include <new>
#include <string>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/strings/str_cat.h"
#include "bench/servers/common/caching.h"
#include "bench/servers/common/event_loop.h"
#include "bench/servers/common/process_group.h"
#include "bench/servers/common/program.h"
#include "bench/servers/userver_shared_cache.h"
#include "knot/choice.h"
#include "knot/command_line.h"
#include "knot/descriptor_limit.h"

namespace bench_server {
namespace {

enum class Mode : uint8_t { kSped, kSymped, kShared };
enum class Sendfile : uint8_t { kNonblocking, kBlocking };

}  // namespace
}  // namespace bench_server

namespace knot {

template <>
struct Names<bench_server::Mode> {
  static constexpr Name<bench_server::Mode> kList[] = {{bench_server::Mode::kSped, "sped"},
                                                       {bench_server::Mode::kSymped, "symped"},
                                                       {bench_server::Mode::kShared, "shared"}};
};

template <>
struct Names<bench_server::Sendfile> {
  static constexpr Name<bench_server::Sendfile> kList[] = {
      {bench_server::Sendfile::kNonblocking, "nonblocking"},
      {bench_server::Sendfile::kBlocking, "blocking"}};
};

template <>
struct Names<bench_server::Events> {
  static constexpr Name<bench_server::Events> kList[] = {{bench_server::Events::kEpoll, "epoll"},
                                                         {bench_server::Events::kPoll, "poll"}};
};

}  // namespace knot

using knot::Choice;

ABSL_FLAG(Choice<bench_server::Mode>, mode, {bench_server::Mode::kSymped},
          "sped: one process; symped: --processes that share the listening sockets; shared: also "
          "one cache of heads and descriptors, and one table of descriptors");
ABSL_FLAG(int, processes, 4, "processes, with --mode=symped and shared");
ABSL_FLAG(Choice<bench_server::Sendfile>, sendfile, {bench_server::Sendfile::kNonblocking},
          "blocking: a process waits until the socket has taken the whole reply; nonblocking: it "
          "goes on with others meanwhile");
ABSL_FLAG(Choice<bench_server::Events>, events, {bench_server::Events::kEpoll},
          "how readiness is learnt: epoll or poll");

namespace bench_server {
namespace {

// What processes write and the first one reads.
struct Report {
  knot::Counters counters;
  std::atomic<uint64_t> loads{0};
  std::atomic<uint64_t> checks{0};
};

struct Settings {
  Mode mode;
  int processes;
  int max_connections;
  bool blocking;
  Events events;
  Cache cache;
};

Settings ReadSettings(const Program& program) {
  Settings settings;
  settings.mode = absl::GetFlag(FLAGS_mode).value;
  settings.processes = absl::GetFlag(FLAGS_processes);
  program.FailUnless(knot::CheckRange("processes", settings.processes, 1, 1000));
  if (settings.mode == Mode::kSped) settings.processes = 1;
  settings.max_connections = MaxConnections(program, settings.processes);
  settings.blocking = absl::GetFlag(FLAGS_sendfile).value == Sendfile::kBlocking;
  settings.events = absl::GetFlag(FLAGS_events).value;
  settings.cache = CacheFlag();
  bool shared = settings.mode == Mode::kShared;
  if (shared && settings.cache == Cache::kContents) {
    program.Fail("--cache=contents: with --mode=shared only heads and descriptors are shared");
  }
  if (settings.cache == Cache::kDefault) {
    settings.cache = shared ? Cache::kDescriptors : Cache::kContents;
  }
  return settings;
}

// Serves until the process is ended.
[[noreturn]] void RunProcess(const Program& program, const Settings& settings, int index,
                             Files& files, Report& report) {
  Serving serving;
  program.SetTimeouts(&serving);
  serving.files = &files;
  serving.counters = &report.counters;
  serving.blocking = settings.blocking;
  EventLoop::Options options;
  options.name = program.name();
  options.events = settings.events;
  options.shared_listeners = settings.processes > 1;
  options.max_connections = ShareOf(settings.max_connections, settings.processes, index);
  EventLoop loop(options, serving, program.ListenersOf(0));
  if (auto* cached = dynamic_cast<CachedFiles*>(&files); cached && program.stats()) {
    loop.AfterEachBatch([&report, cached] {
      knot::FileCache::Counts counts = cached->cache().GetCounts();
      report.loads.store(counts.loads, std::memory_order_relaxed);
      report.checks.store(counts.checks, std::memory_order_relaxed);
    });
  }
  loop.Run();
  std::abort();  // nobody stops it
}

std::string Describe(const Settings& settings) {
  return absl::StrCat("mode=", knot::NameOf(settings.mode), " processes=", settings.processes,
                      " max_conn=", settings.max_connections,
                      " sendfile=", settings.blocking ? "blocking" : "nonblocking",
                      " events=", knot::NameOf(settings.events),
                      " cache=", settings.cache == Cache::kContents ? "contents" : "descriptors");
}

int Serve(const Program& program, const Settings& settings) {
  bool shared = settings.mode == Mode::kShared;
  // One table of descriptors has to hold all connections, and a loop's own few for each process.
  int64_t connections = shared ? settings.max_connections + settings.processes
                               : ShareOf(settings.max_connections, settings.processes, 0);
  int64_t limit = program.FitDescriptors(connections);
  knot::FileCache::Limits limits =
      CacheLimits(program, settings.cache, settings.processes, limit, connections);
  std::unique_ptr<SharedCache> shared_cache;
  if (shared) {
    shared_cache = std::make_unique<SharedCache>(limits, program.root(), program.types());
  }
  auto* reports = static_cast<Report*>(SharedMemory(sizeof(Report) * settings.processes));
  ProcessGroup group(program.name());
  for (int i = 0; i < settings.processes; ++i) {
    Report* report = new (&reports[i]) Report;
    auto body = [&] {
      if (shared) RunProcess(program, settings, i, *shared_cache, *report);
      CachedFiles files(program.root(), program.types(), limits);
      RunProcess(program, settings, i, files, *report);
    };
    if (!group.Start(body, shared)) {
      group.EndAll();
      program.Fail(absl::StrCat("no more than ", i, " processes could be made"));
    }
  }
  program.SayServing(Describe(settings));
  int status = group.WaitForStop();
  if (!program.stats()) return status;
  std::vector<const knot::Counters*> counters;
  uint64_t loads = 0, checks = 0;
  for (int i = 0; i < settings.processes; ++i) {
    counters.push_back(&reports[i].counters);
    loads += reports[i].loads.load();
    checks += reports[i].checks.load();
  }
  WriteCounters(counters);
  WriteCounter("cache_loads", shared ? shared_cache->GetCounts().loads : loads);
  WriteCounter("cache_checks", shared ? shared_cache->GetCounts().checks : checks);
  return status;
}

}  // namespace
}  // namespace bench_server

int main(int argc, char** argv) {
  bench_server::Program program("userver",
                                "Serves the files under DIR (default: the current directory) by "
                                "HTTP, event-driven: one process\n"
                                "or several, each waiting for all of its connections at once.");
  program.Begin(argc, argv);
  bench_server::Settings settings = bench_server::ReadSettings(program);
  program.Listen();
  return bench_server::Serve(program, settings);
}
