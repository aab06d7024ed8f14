// Knot, a web server: one thread a connection, written for plain POSIX threads.

#include <signal.h>
#include <time.h>
#include <unistd.h>

#include <cstdio>
#include <memory>
#include <string>

#include "knot/options.h"
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
sigset_t BlockSignals() {
  signal(SIGPIPE, SIG_IGN);
  sigset_t set;
  sigemptyset(&set);
  for (int number : {SIGTERM, SIGINT, SIGUSR1}) sigaddset(&set, number);
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
  return set;
}

// Serves until SIGTERM or SIGINT; prints statistics on SIGUSR1.
void WaitForStop(const knot::Server& server, const sigset_t& signals) {
  for (;;) {
    int number = 0;
    if (sigwait(&signals, &number) != 0) continue;
    if (number != SIGUSR1) return;
    server.WriteStatistics(STDERR_FILENO);
  }
}

// Waits for replies under way. Returns: false where a second signal or the deadline ended the wait.
bool Drain(const knot::Server& server, const sigset_t& signals) {
  constexpr int kStepMs = 20;
  for (int waited_ms = 0; waited_ms < kDrainSeconds * 1000; waited_ms += kStepMs) {
    if (server.Stopped()) return true;
    timespec step{0, kStepMs * 1'000'000};
    int number = sigtimedwait(&signals, nullptr, &step);
    if (number == SIGTERM || number == SIGINT) {
      std::fputs("knot: stopped by a second signal, replies under way were cut short\n", stderr);
      return false;
    }
  }
  if (server.Stopped()) return true;
  std::fprintf(stderr, "knot: replies still under way after %d seconds were cut short\n",
               kDrainSeconds);
  return false;
}

int Serve(const knot::Options& options, const sigset_t& signals) {
  absl::StatusOr<std::unique_ptr<knot::Server>> started = knot::Server::Start(options);
  if (!started.ok()) return Fail(started.status().message());
  knot::Server& server = **started;
  for (const std::string& warning : {knot::tuning::Describe().warning, server.Warning()}) {
    if (!warning.empty()) std::fprintf(stderr, "knot: warning: %s\n", warning.c_str());
  }
  std::printf("%s\n", server.Summary().c_str());
  std::fflush(stdout);
  WaitForStop(server, signals);
  server.Stop();
  bool drained = Drain(server, signals);
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
  sigset_t signals = BlockSignals();
  absl::Status tuned = knot::tuning::Apply(options->tuning);
  if (!tuned.ok()) return Fail(tuned.message());
  return Serve(*options, signals);
}
