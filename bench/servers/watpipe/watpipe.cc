// A pipeline after the paper's WatPipe: accept; read; wait for writability; write.
//
// Each of the first three stages is one thread, the last --writers of them. Connections go from
// stage to stage in batches. There are no controllers: what limits the server is --max_conn.
//
// Differs from the paper: poll and epoll instead of select, which knows 1,024 descriptors. Stage 3
// always polls, since its set holds only the replies under way; stage 2 by --events, for which
// epoll is the default since its set is large and mostly idle.

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <deque>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/strings/str_cat.h"
#include "bench/servers/common/caching.h"
#include "bench/servers/common/program.h"
#include "bench/servers/watpipe/client.h"
#include "bench/servers/watpipe/read_stage.h"
#include "bench/servers/watpipe/write_stages.h"
#include "knot/choice.h"
#include "knot/clock.h"
#include "knot/command_line.h"

namespace knot {

template <>
struct Names<bench_server::Events> {
  static constexpr Name<bench_server::Events> kList[] = {{bench_server::Events::kEpoll, "epoll"},
                                                         {bench_server::Events::kPoll, "poll"}};
};

}  // namespace knot

ABSL_FLAG(int, writers, 25, "threads that write replies");
ABSL_FLAG(knot::Choice<bench_server::Events>, events, {bench_server::Events::kEpoll},
          "how stage 2 learns that there is input: epoll or poll");

namespace watpipe {
namespace {

using bench_server::HeldFile;
using bench_server::Program;
using bench_server::Serving;

constexpr int kAcceptBackOffMs = 100;

// For stage 2, which must not wait for the disk: what is not at hand is left to stage 4.
class FilesAtHand final : public bench_server::Files {
 public:
  explicit FilesAtHand(knot::FileCache& cache) : cache_(cache) {}

  int Find(bench_server::Connection& connection, absl::string_view path, HeldFile* file) override {
    knot::FileRef found;
    if (cache_.TryGet(path, knot::SecondsNow(), &found)) {
      *file = HeldFile(std::move(found));
      return 200;
    }
    ClientOf(connection).wanted = path;
    return kLater;
  }

 private:
  knot::FileCache& cache_;
};

// For stage 4.
class AllFiles final : public bench_server::Files {
 public:
  explicit AllFiles(knot::FileCache& cache) : cache_(cache) {}

  int Find(bench_server::Connection&, absl::string_view path, HeldFile* file) override {
    knot::Lookup found = cache_.Get(path, knot::SecondsNow());
    if (found.status == 200) *file = HeldFile(std::move(found.file));
    return found.status;
  }

 private:
  knot::FileCache& cache_;
};

// Stage 1.
class AcceptStage {
 public:
  AcceptStage(const Program& program, Clients& clients, ReadStage& readers)
      : name_(program.name()), clients_(clients), readers_(readers) {
    for (int socket : program.ListenersOf(0)) listeners_.push_back({socket, POLLIN, POLLIN});
  }

  [[noreturn]] void Run(Serving& serving) {
    for (;;) {
      Client* client = clients_.Take();
      int socket = Accept();
      serving.now_ms = MonotonicMs();
      client->finding = false;
      client->connection.Open(serving, socket);
      if (!readers_.Enter(*client)) clients_.Close(*client, serving);
    }
  }

 private:
  // Returns: a new connection. Blocks: this thread, until there is one.
  int Accept() {
    for (;;) {
      for (pollfd& listener : listeners_) {
        while (listener.revents != 0) {
          int socket = accept4(listener.fd, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
          if (socket >= 0) return socket;
          if (errno == EAGAIN) {
            listener.revents = 0;
          } else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
            BackOff();
          }  // the others, accept(2) says, are of the connection that was to be accepted
        }
      }
      poll(listeners_.data(), listeners_.size(), -1);
    }
  }

  void BackOff() {
    if (!std::exchange(said_accept_fails_, true)) {
      std::fprintf(stderr, "%s: cannot accept: %s; will accept again when it can\n", name_,
                   std::strerror(errno));
    }
    poll(nullptr, 0, kAcceptBackOffMs);
  }

  const char* const name_;
  Clients& clients_;
  ReadStage& readers_;
  std::vector<pollfd> listeners_;
  bool said_accept_fails_ = false;
};

struct Settings {
  int writers;
  int max_connections;
  bench_server::Events events;
  bench_server::Cache cache;
};

Settings ReadSettings(const Program& program) {
  Settings settings;
  settings.writers = absl::GetFlag(FLAGS_writers);
  program.FailUnless(knot::CheckRange("writers", settings.writers, 1, 1000));
  settings.max_connections = bench_server::MaxConnections(program, 1);
  settings.events = absl::GetFlag(FLAGS_events).value;
  settings.cache = bench_server::CacheFlag();
  if (settings.cache == bench_server::Cache::kDefault) {
    settings.cache = bench_server::Cache::kContents;
  }
  return settings;
}

// The stages, and the threads that run them.
class Pipeline {
 public:
  Pipeline(const Program& program, const Settings& settings, knot::FileCache::Limits limits)
      : program_(program),
        cache_(program.root(), program.types(), limits),
        at_hand_(cache_),
        all_files_(cache_),
        clients_(settings.max_connections),
        reader_(ReadStage::Make(settings.events, clients_)),
        writers_(clients_, *reader_),
        acceptor_(program, clients_, *reader_) {
    reader_->SendTo(writers_);
  }

  // Errors: std::system_error where the system has no room for so many threads.
  void Start(int writers) {
    for (int i = 0; i < writers; ++i) {
      Thread(all_files_, [this](Serving& serving) { writers_.RunWriter(serving); });
    }
    Thread(all_files_, [this](Serving& serving) { writers_.RunPoller(serving); });
    Thread(at_hand_, [this](Serving& serving) { reader_->Run(serving); });
    Thread(at_hand_, [this](Serving& serving) { acceptor_.Run(serving); });
  }

  void WriteStatistics() {
    bench_server::WriteCounters({&counters_});
    knot::FileCache::Counts cache = cache_.GetCounts();
    bench_server::WriteCounter("cache_loads", cache.loads);
    bench_server::WriteCounter("cache_checks", cache.checks);
    WriteStages::Counts counts = writers_.GetCounts();
    bench_server::WriteCounter("write_batches", counts.batches);
    bench_server::WriteCounter("writes", counts.writes);
    bench_server::WriteCounter("writes_blocked", counts.blocked);
  }

 private:
  template <typename Body>
  void Thread(bench_server::Files& files, Body body) {
    Serving& serving = servings_.emplace_back();
    program_.SetTimeouts(&serving);
    serving.files = &files;
    serving.counters = &counters_;
    serving.inputs = &inputs_;
    serving.replies = &replies_;
    serving.now_ms = MonotonicMs();
    std::thread([body, &serving] { body(serving); }).detach();
  }

  const Program& program_;
  knot::FileCache cache_;
  FilesAtHand at_hand_;
  AllFiles all_files_;
  knot::Counters counters_;
  knot::Pool<bench_server::Input> inputs_;
  knot::Pool<bench_server::Reply> replies_;
  Clients clients_;
  std::unique_ptr<ReadStage> reader_;
  WriteStages writers_;
  AcceptStage acceptor_;
  std::deque<Serving> servings_;
};

// Serves until SIGTERM or SIGINT.
[[noreturn]] void Serve(const Program& program, const Settings& settings) {
  int64_t limit = program.FitDescriptors(settings.max_connections);
  knot::FileCache::Limits limits =
      bench_server::CacheLimits(program, settings.cache, 1, limit, settings.max_connections);
  sigset_t stop = bench_server::BlockStopSignals();
  program.FailUnless(knot::StartClock());
  // Never destroyed: its threads go on until the process ends.
  auto& pipeline = *new Pipeline(program, settings, limits);
  try {
    pipeline.Start(settings.writers);
  } catch (const std::system_error& error) {
    program.Fail(absl::StrCat("cannot make ", settings.writers, " writers: ", error.what()));
  }
  program.SayServing(absl::StrCat(
      "writers=", settings.writers, " max_conn=", settings.max_connections,
      " events=", knot::NameOf(settings.events),
      " cache=", settings.cache == bench_server::Cache::kContents ? "contents" : "descriptors"));
  int signal;
  sigwait(&stop, &signal);
  if (program.stats()) pipeline.WriteStatistics();
  std::fflush(nullptr);
  _exit(0);
}

}  // namespace
}  // namespace watpipe

int main(int argc, char** argv) {
  bench_server::Program program(
      "watpipe",
      "Serves the files under DIR (default: the current directory) by HTTP, in a "
      "pipeline of four stages:\naccept, read, wait for writability, write.");
  program.Begin(argc, argv);
  watpipe::Settings settings = watpipe::ReadSettings(program);
  program.Listen();
  watpipe::Serve(program, settings);
}
