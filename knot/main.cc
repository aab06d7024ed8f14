// Knot, a web server: one thread a connection, written for plain POSIX threads.

#include <signal.h>
#include <unistd.h>

#include <cstdio>
#include <memory>
#include <optional>
#include <string>

#include "absl/strings/str_cat.h"
#include "knot/options.h"
#include "knot/orders.h"
#include "knot/processes.h"
#include "knot/server.h"
#include "knot/tuning.h"

namespace {

constexpr int kExitBadUsage = 2;
constexpr int kDrainSeconds = 10;

int Fail(absl::string_view reason) {
  std::fprintf(stderr, "knot: %.*s\n", static_cast<int>(reason.size()), reason.data());
  return kExitBadUsage;
}

// Must come before threads are made: they inherit the mask, so signals reach only the thread that
// waits for them.
void BlockSignals() {
  signal(SIGPIPE, SIG_IGN);
  signal(SIGXFSZ, SIG_IGN);  // a log that may not grow is an error of write(2)
  sigset_t set;
  sigemptyset(&set);
  for (int number : {SIGTERM, SIGINT, SIGUSR1, SIGCHLD}) sigaddset(&set, number);
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
}

// Serves until it is ordered to stop; prints statistics when that is ordered.
void WaitForStop(const knot::Server& server, knot::Orders& orders) {
  for (;;) {
    std::optional<knot::Order> order = orders.Next(-1);
    if (order == knot::Order::kStop) return;
    if (order == knot::Order::kStatistics) server.WriteStatistics(STDERR_FILENO);
  }
}

// Waits for replies under way. Returns: false where a second order or the deadline ended the wait.
bool Drain(const knot::Server& server, knot::Orders& orders) {
  constexpr int kStepMs = 20;
  for (int waited_ms = 0; waited_ms < kDrainSeconds * 1000; waited_ms += kStepMs) {
    if (server.Stopped()) return true;
    if (orders.Next(kStepMs) == knot::Order::kStop) {
      std::fputs("knot: stopped by a second signal, replies under way were cut short\n", stderr);
      return false;
    }
  }
  if (server.Stopped()) return true;
  std::fprintf(stderr, "knot: replies still under way after %d seconds were cut short\n",
               kDrainSeconds);
  return false;
}

absl::StatusOr<std::unique_ptr<knot::Server>> StartServer(const knot::Options& options,
                                                          const knot::Part& part) {
  absl::Status tuned = knot::tuning::Apply(options.tuning);
  if (!tuned.ok()) return tuned;
  return knot::Server::Start(options, part);
}

int Serve(const knot::Options& options, const knot::Part& part, knot::Orders orders,
          const knot::Announce& announce) {
  absl::StatusOr<std::unique_ptr<knot::Server>> started = StartServer(options, part);
  if (!started.ok()) {
    announce({false, absl::StrCat("knot: ", started.status().message(), "\n"), ""});
    return kExitBadUsage;
  }
  knot::Server& server = **started;
  knot::Announcement announcement{true, "", absl::StrCat(server.Summary(), "\n")};
  for (const std::string& warning : {knot::tuning::Describe().warning, server.Warning()}) {
    if (!warning.empty()) {
      absl::StrAppend(&announcement.errors, "knot: warning: ", warning, "\n");
    }
  }
  announce(announcement);
  WaitForStop(server, orders);
  server.Stop();
  bool drained = Drain(server, orders);
  bool logged = server.CloseLog();
  if (options.stats) server.WriteStatistics(STDERR_FILENO);
  // Threads that are cut short still look at the server, so it must not be destroyed.
  if (!drained || !logged) _exit(0);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  absl::StatusOr<knot::Options> options = knot::ParseCommandLine(argc, argv);
  if (!options.ok()) return Fail(options.status().message());
  switch (options->action) {
    case knot::Options::Action::kHelp:
      std::fputs(knot::HelpText().c_str(), stdout);
      return 0;
    case knot::Options::Action::kVersion:
      std::printf("knot %s\n", KNOT_VERSION);
      return 0;
    case knot::Options::Action::kPrintConfig:
      std::fputs(knot::ConfigText(*options).c_str(), stdout);
      return 0;
    case knot::Options::Action::kServe:
      break;
  }
  BlockSignals();
  absl::Status prepared = knot::PrepareTransport(options->transport, &options->listen);
  if (!prepared.ok()) return Fail(prepared.message());
  if (options->processes > 1) return knot::ServeByProcesses(*options, Serve);
  return Serve(*options, {}, knot::Orders::BySignals(), knot::Print);
}
