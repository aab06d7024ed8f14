// An event-driven server with helpers for the disk, after Flash (AMPED): one process waits for all
// connections and sends what is in memory; what is not, helpers bring there.
//
// Source: Pai, Druschel, Zwaenepoel, "Flash: An efficient and portable web server", 1999. Differs:
// the helpers are threads, and what is in memory is asked of the kernel instead of guessed.

#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/flags/flag.h"
#include "absl/strings/str_cat.h"
#include "bench/servers/amped_helpers.h"
#include "bench/servers/common/caching.h"
#include "bench/servers/common/event_loop.h"
#include "bench/servers/common/program.h"
#include "knot/clock.h"
#include "knot/command_line.h"

ABSL_FLAG(int, helpers, 16, "threads that find and load what is not in memory");

namespace bench_server {
namespace {

// State of a request   found in memory --> sent
//                      not --job--> found --> sent as far as it is in memory --job--> ...
class Amped final : public Files, public Gate {
 public:
  Amped(int helpers, knot::FileCache& cache) : cache_(cache), helpers_(helpers, cache) {}

  void ServeWith(EventLoop* loop) {
    loop->OnReadable(helpers_.descriptor(), [this, loop] { GoOn(*loop); });
    loop->AfterEachBatch([this] { helpers_.Flush(); });
  }

  int Find(Connection& connection, absl::string_view path, HeldFile* file) override {
    uint32_t now = knot::SecondsNow();
    knot::FileRef found;
    if (cache_.TryGet(path, now, &found)) {
      *file = HeldFile(std::move(found));
      return 200;
    }
    std::vector<Connection*>& waiting = finding_[path];
    waiting.push_back(&connection);
    if (waiting.size() == 1) {
      Job job;
      job.path = std::string(path);
      job.now = now;
      helpers_.Add(std::move(job));
      ++finds_;
    }
    return kLater;
  }

  uint64_t Allowed(Connection& connection, const Reply& reply) override {
    constexpr uint64_t kMostSent = 1 << 20;
    constexpr uint64_t kMostLoaded = 256 * 1024;  // so that the client need not wait for all
    uint64_t length = std::min(reply.left(), kMostSent);
    if (IsResident(reply.descriptor(), reply.offset(), length)) return length;
    Job job;
    job.connection = &connection;
    job.descriptor = reply.descriptor();
    job.offset = reply.offset();
    job.length = std::min(reply.left(), kMostLoaded);
    helpers_.Add(std::move(job));
    ++loads_;
    return 0;
  }

  void WriteCounts() const {
    WriteCounter("helper_finds", finds_);
    WriteCounter("helper_loads", loads_);
  }

 private:
  void GoOn(EventLoop& loop) {
    for (Job& job : helpers_.TakeDone()) {
      // What was loaded is sent without asking again: it might have been evicted again and again.
      if (job.descriptor >= 0) {
        loop.Loaded(*job.connection, job.length);
        continue;
      }
      auto found = finding_.find(job.path);
      std::vector<Connection*> waiting = std::move(found->second);
      finding_.erase(found);
      for (Connection* connection : waiting) {
        HeldFile file;
        if (job.result.status == 200) file = HeldFile(job.result.file);
        loop.Resume(*connection, job.result.status, std::move(file));
      }
    }
  }

  knot::FileCache& cache_;
  absl::flat_hash_map<std::string, std::vector<Connection*>> finding_;  // by path
  uint64_t finds_ = 0;
  uint64_t loads_ = 0;
  Helpers helpers_;
};

int Serve(const Program& program, int helpers, int max_connections) {
  sigset_t signals = BlockStopSignals();  // before threads are made
  int64_t limit = program.FitDescriptors(max_connections);
  Cache cache = CacheFlag() == Cache::kDefault ? Cache::kContents : CacheFlag();
  CachedFiles files(program.root(), program.types(),
                    CacheLimits(program, cache, 1, limit, max_connections));
  Amped amped(helpers, files.cache());
  knot::Counters counters;
  Serving serving;
  program.SetTimeouts(&serving);
  serving.files = &amped;
  serving.gate = &amped;
  serving.counters = &counters;
  EventLoop::Options options;
  options.name = program.name();
  options.max_connections = max_connections;
  EventLoop loop(options, serving, program.ListenersOf(0));
  amped.ServeWith(&loop);
  loop.OnReadable(SignalDescriptor(signals), [&loop] { loop.Stop(); });
  program.SayServing(absl::StrCat("helpers=", helpers, " max_conn=", max_connections, " cache=",
                                  cache == Cache::kContents ? "contents" : "descriptors"));
  loop.Run();
  if (program.stats()) {
    WriteCounters({&counters});
    amped.WriteCounts();
    WriteCounter("cache_loads", files.cache().GetCounts().loads);
    WriteCounter("cache_checks", files.cache().GetCounts().checks);
  }
  return 0;
}

}  // namespace
}  // namespace bench_server

int main(int argc, char** argv) {
  bench_server::Program program(
      "amped",
      "Serves the files under DIR (default: the current directory) by HTTP, event-driven, with\n"
      "helpers for what is not in memory.");
  program.Begin(argc, argv);
  int helpers = absl::GetFlag(FLAGS_helpers);
  program.FailUnless(knot::CheckRange("helpers", helpers, 1, 1000));
  int max_connections = bench_server::MaxConnections(program, 1);
  program.Listen();
  return bench_server::Serve(program, helpers, max_connections);
}
