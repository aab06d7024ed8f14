#include "knot/service.h"

#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "knot/confinement.h"
#include "knot/monotonic.h"
#include "knot/tuning.h"

namespace knot {
namespace {

constexpr int kStepMs = 20;
constexpr int kLongestStepMs = 1000;
constexpr int kPredecessorStepMs = 200;
constexpr int kSuccessorMs = 60'000;  // for one that starts

// Calls Server::Remind at growing intervals.
class Reminder {
 public:
  void Look(Server& server) {
    int64_t now = MonotonicMs();
    if (now < next_ms_) return;
    server.Remind();
    step_ms_ = std::min(2 * step_ms_, kLongestStepMs);
    next_ms_ = now + step_ms_;
  }

 private:
  int step_ms_ = kStepMs;
  int64_t next_ms_ = 0;
};

class Service {
 public:
  Service(Server& server, const Options& options, const Part& part, Orders orders,
          const Invocation& invocation, Doorbell& doorbell)
      : manager_(part.number == 0),
        server_(server),
        at_start_(options),
        options_(options),
        part_(part),
        orders_(orders),
        invocation_(invocation),
        doorbell_(doorbell) {}

  // Returns: whether all replies were sent.
  bool Run();

  // Tells whether the counters are to be printed at the end.
  bool stats() const { return options_.stats; }

 private:
  enum class Next { kServe, kStop, kLeave };

  Next Obey(Order order);
  void Reload();
  bool Leave();
  bool Drain();

  ServiceManager manager_;
  Server& server_;
  const Options at_start_;
  Options options_;
  const Part part_;
  Orders orders_;
  const Invocation& invocation_;
  Doorbell& doorbell_;
  std::unique_ptr<Successor> successor_;
};

bool Service::Run() {
  manager_.Ready();
  Next next = Next::kServe;
  while (next == Next::kServe) {
    manager_.WatchdogPassed();
    bool watches = options_.predecessor != nullptr;
    std::optional<Order> order =
        orders_.Next(Shorter(watches ? kPredecessorStepMs : -1, manager_.WatchdogMs()));
    if (watches && options_.predecessor->Gone(0)) {
      server_.SetShared(false);
      options_.predecessor = nullptr;
    }
    if (order.has_value()) next = Obey(*order);
  }
  doorbell_.Close(next == Next::kStop);
  if (next == Next::kLeave) return Leave();
  manager_.Stopping();
  return Drain();
}

Service::Next Service::Obey(Order order) {
  bool stop = false;
  switch (order) {
    case Order::kStop:
      return Next::kStop;
    case Order::kLeave:
      return Next::kLeave;
    case Order::kAlone:
      server_.SetShared(options_.predecessor != nullptr);
      break;
    case Order::kStatistics:
      server_.WriteStatistics(STDERR_FILENO);
      break;
    case Order::kReload:
      manager_.Reloading();
      Reload();
      manager_.Ready();
      break;
    case Order::kHandOver:
    case Order::kKnock:
      server_.SetShared(true);
      successor_ = HandOverTo(order, doorbell_.descriptor(), invocation_, server_.Sockets(),
                              orders_, manager_, &stop);
      if (successor_ != nullptr) return Next::kLeave;
      // When stopped meanwhile: the one that was starting may go on with the sockets.
      if (!stop) server_.SetShared(options_.predecessor != nullptr);
      break;
    case Order::kChild:
      while (waitpid(-1, nullptr, WNOHANG) > 0) {
      }
      break;
  }
  return stop ? Next::kStop : Next::kServe;
}

void Service::Reload() {
  std::optional<Options> options = ReadAgain(invocation_, at_start_, options_.predecessor);
  if (!options.has_value()) return;
  absl::Status status = server_.Reload(*options);
  if (!status.ok()) return SayNotReloaded(status);
  options_ = *std::move(options);
  if (part_.number == 0) SayReloaded(at_start_, options_);
}

// Connections are let go by and by: one that waits may be about to ask, and would take the end of
// its connection for a failure.
bool Service::Leave() {
  server_.Leave();
  Reminder reminder;
  int64_t patience_ends = MonotonicMs() + options_.operate.drain_timeout * int64_t{1000};
  while (!server_.Stopped()) {
    if (patience_ends != 0 && MonotonicMs() >= patience_ends) {
      server_.Stop();
      patience_ends = 0;
    }
    std::optional<Order> order = orders_.Next(kStepMs);
    if (order == Order::kStop) return Drain();
    if (order == Order::kStatistics) server_.WriteStatistics(STDERR_FILENO);
    reminder.Look(server_);
  }
  return true;
}

bool Service::Drain() {
  server_.Stop();
  Reminder reminder;
  int64_t end = MonotonicMs() + options_.operate.drain_timeout * int64_t{1000};
  while (!server_.Stopped()) {
    if (MonotonicMs() >= end) {
      Say(absl::StrCat("replies still under way after ", options_.operate.drain_timeout,
                       " seconds were cut short"));
      return false;
    }
    std::optional<Order> order = orders_.Next(kStepMs);
    if (order == Order::kStop) {
      Say("stopped by a second signal, replies under way were cut short");
      return false;
    }
    if (order == Order::kStatistics) server_.WriteStatistics(STDERR_FILENO);
    reminder.Look(server_);
  }
  return true;
}

absl::StatusOr<std::unique_ptr<Server>> StartServer(const Options& options, const Part& part,
                                                    Names& names) {
  absl::Status status = ConfineFiles(options, part.number == 0);
  status.Update(tuning::Apply(options.tuning));
  if (status.ok() && part.number == 0) status = names.Prepare(options.operate);
  if (!status.ok()) return status;
  return Server::Start(options, part);
}

// Lines of warnings and of what is served.
Announcement Welcome(const Options& options, const Server& server) {
  Announcement announcement{true, "", absl::StrCat(server.Summary(), "\n")};
  std::vector<std::string> warnings = options.warnings;
  warnings.push_back(tuning::Describe().warning);
  warnings.push_back(server.Warning());
  for (const std::string& warning : warnings) {
    if (!warning.empty()) {
      absl::StrAppend(&announcement.errors, "knot: warning: ", warning, "\n");
    }
  }
  return announcement;
}

}  // namespace

int Serve(const Options& options, const Part& part, Orders orders, const Announce& announce,
          const Invocation& invocation) {
  Names names;
  absl::StatusOr<std::unique_ptr<Server>> started = StartServer(options, part, names);
  absl::Status status = started.status();
  if (status.ok()) status = names.Publish();
  // Before a predecessor is told, which then ends this process.
  if (!status.ok()) names.Remove();
  if (started.ok() && !status.ok()) (*started)->Abandon();
  Announcement said = status.ok() ? Welcome(options, **started) : Refusal(status);
  bool wanted = AnnounceToPredecessor(options, part, &said);
  announce(said);
  if (!wanted || !status.ok()) {
    names.Remove();
    if (started.ok()) {
      (*started)->Abandon();    // which removes its unix sockets
      _exit(kExitCannotServe);  // its threads look at it
    }
    return kExitCannotServe;
  }
  Server& server = **started;
  Service service(server, options, part, orders, invocation, names.doorbell);
  bool drained = service.Run();
  bool logged = server.CloseLog();
  if (service.stats()) server.WriteStatistics(STDERR_FILENO);
  names.pid_file.Remove();
  // Threads that are cut short still look at the server, so it must not be destroyed.
  if (!drained || !logged) _exit(0);
  return 0;
}

absl::Status Names::Prepare(const OperateOptions& options) {
  absl::Status status = absl::OkStatus();
  if (!options.takeover.empty()) status = doorbell.Prepare(options.takeover);
  if (status.ok() && !options.pid_file.empty()) status = pid_file.Prepare(options.pid_file);
  if (!status.ok()) Remove();
  return status;
}

absl::Status Names::Publish() {
  absl::Status status = pid_file.Publish();
  return status.ok() ? doorbell.Publish() : status;
}

void Names::Remove() {
  doorbell.Close(true);
  pid_file.Remove();
}

Announcement Refusal(const absl::Status& status) {
  return {false, absl::StrCat("knot: ", status.message(), "\n"), ""};
}

bool AnnounceToPredecessor(const Options& options, const Part& part, Announcement* said) {
  if (options.predecessor == nullptr || part.number > 0) return true;
  options.predecessor->CloseRest();
  if (options.predecessor->Announce(*said)) return true;
  *said = Refusal(absl::CancelledError("the Knot to be replaced did not want to wait any longer"));
  return false;
}

int RefuseToServe(const Options& options, const absl::Status& status) {
  Announcement said = Refusal(status);
  AnnounceToPredecessor(options, {}, &said);
  Print(said);
  return kExitCannotServe;
}

int Shorter(int one_ms, int other_ms) {
  if (one_ms < 0 || other_ms < 0) return std::max(one_ms, other_ms);
  return std::min(one_ms, other_ms);
}

void Say(const std::string& line) { std::fprintf(stderr, "knot: %s\n", line.c_str()); }

std::optional<Options> ReadAgain(const Invocation& invocation, const Options& at_start,
                                 std::shared_ptr<Predecessor> predecessor) {
  absl::StatusOr<Options> options = ParseCommandLine(invocation.argc, invocation.argv);
  absl::Status status = options.status();
  if (status.ok()) status = CheckReload(at_start, *options);
  if (!status.ok()) {
    SayNotReloaded(status);
    return std::nullopt;
  }
  options->predecessor = std::move(predecessor);
  return *std::move(options);
}

void SayReloaded(const Options& at_start, const Options& now) {
  std::string line = "reloaded";
  std::vector<std::string> names = NeedRestart(at_start, now);
  if (!names.empty()) {
    absl::StrAppend(&line, "; as before until a restart: --", absl::StrJoin(names, ", --"));
  }
  Say(line);
}

void SayNotReloaded(const absl::Status& status) {
  Say(absl::StrCat("not reloaded, as before: ", status.message()));
}

bool HandOver(Successor& successor, const std::vector<Listening>& sockets, Orders& orders,
              ServiceManager& manager, bool* stop) {
  absl::Status given = successor.HandOver(sockets);
  int64_t deadline = MonotonicMs() + kSuccessorMs;
  std::vector<Order> later;
  bool late = false;
  while (given.ok() && !*stop && !late && !successor.HasSpoken(kStepMs)) {
    manager.WatchdogPassed();
    std::optional<Order> order = orders.Next(0);
    *stop = order == Order::kStop;
    if (order.has_value() && !*stop) later.push_back(*order);
    late = MonotonicMs() >= deadline;
  }
  for (Order order : later) orders.Keep(order);
  if (late) successor.Refuse();
  std::string reason = !given.ok() ? std::string(given.message())
                       : *stop     ? "it was stopped meanwhile"
                                   : "it did not say in a minute that it serves";
  if (given.ok() && !*stop && !late) {
    Announcement said = successor.Receive();
    if (said.serves) {
      manager.Replaced(successor.pid());  // before it says anything itself
      successor.LetGo();
      return true;
    }
    reason = said.errors.empty() ? "it ended before it served" : ReasonOf(said);
  }
  Say(absl::StrCat("not replaced by process ", successor.pid(), ": ", reason));
  return false;
}

std::unique_ptr<Successor> HandOverTo(Order order, int doorbell, const Invocation& invocation,
                                      const std::vector<Listening>& sockets, Orders& orders,
                                      ServiceManager& manager, bool* stop) {
  bool starts = order == Order::kHandOver;
  while (starts || doorbell >= 0) {
    absl::StatusOr<std::unique_ptr<Successor>> successor =
        starts ? Successor::Start(invocation.program, invocation.argv)
               : Successor::Accept(doorbell);
    if (!successor.ok()) Say(absl::StrCat("not replaced: ", successor.status().message()));
    if (successor.ok() && *successor == nullptr) break;
    if (successor.ok() && HandOver(**successor, sockets, orders, manager, stop)) {
      Say(absl::StrCat("replaced by process ", (*successor)->pid()));
      return *std::move(successor);
    }
    if (starts || *stop) break;
  }
  return nullptr;
}

}  // namespace knot
