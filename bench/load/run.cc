#include "bench/load/run.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "bench/load/clock.h"
#include "bench/load/processes.h"
#include "bench/load/report.h"

namespace load {
namespace {

constexpr uint64_t kTick = 50 * kMillisecond;         // between looks at the counters
constexpr uint64_t kBeforeStart = 20 * kMillisecond;  // for all processes to see it coming

// What a session is taken to wait for replies, in time-outs: one ends it, and before it there may
// have been many waits that were nearly as long, though not on average.
constexpr double kTimeouts = 2;

volatile sig_atomic_t stop_asked = 0;

void AskToStop(int) { stop_asked = 1; }

unsigned UsableProcessors(unsigned processes) {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof set, &set) != 0) return processes;
  return std::min(processes, static_cast<unsigned>(std::max(1, CPU_COUNT(&set))));
}

// The live counters of all processes together, at one moment.
struct Snapshot {
  uint64_t time = 0;
  uint64_t requests = 0, bytes = 0, open = 0;
  uint64_t outcomes[kOutcomes] = {};
  double cpu = 0;

  uint64_t replies() const { return outcomes[static_cast<size_t>(Outcome::kReply)]; }
  uint64_t timeouts() const { return outcomes[static_cast<size_t>(Outcome::kTimeout)]; }
  uint64_t errors() const {
    uint64_t sum = 0;
    for (uint64_t outcome : outcomes) sum += outcome;
    return sum - replies() - timeouts();
  }
};

Snapshot Look(Processes& processes) {
  Snapshot snapshot;
  snapshot.time = Now();
  for (unsigned i = 0; i < processes.count(); ++i) {
    const LiveTally& live = processes.tally(i).live;
    snapshot.requests += live.requests.Get();
    snapshot.bytes += live.bytes.Get();
    snapshot.open += live.open.Get();
    for (size_t k = 0; k < kOutcomes; ++k) snapshot.outcomes[k] += live.outcomes[k].Get();
  }
  snapshot.cpu = processes.CpuSeconds();
  return snapshot;
}

// Watches the processes from the start to their end.
class Watch {
 public:
  Watch(const RunOptions& options, Processes& processes)
      : options_(options), processes_(processes), control_(processes.control()) {
    result_.offered_rate = options.rate;
    result_.processes = processes.count();
    result_.processors = UsableProcessors(processes.count());
  }

  RunResult Observe() {
    SetTimes();
    Until(control_.begin.Get(), false);
    Say("begin");
    begin_ = second_ = last_ = Look(processes_);
    Until(control_.end.Get(), true);
    last_ = Look(processes_);
    Say("end");
    if (second_.time + kSecond / 10 < last_.time) EndSecond(true);
    Finish();
    while (processes_.AnyLeft()) {  // they wait for the replies still to come
      LookForStop();
      SleepUntil(Now() + 5 * kMillisecond);
    }
    if (processes_.failed()) result_.complete = false;
    return result_;
  }

 private:
  void SetTimes() {
    const uint64_t start = Now() + kBeforeStart;
    const bool counted = options_.generator.max_sessions != UINT64_MAX;
    const uint64_t begin = start + (counted ? 0 : options_.generator.warmup);
    control_.start.Set(start);
    control_.begin.Set(begin);
    control_.end.Set(counted ? UINT64_MAX : begin + static_cast<uint64_t>(options_.duration * 1e9));
    control_.go.Set(1);
    start_ = second_ = Look(processes_);
  }

  static void Say(const char* word) {
    puts(word);
    fflush(stdout);
  }

  void LookForStop() {
    if ((stop_asked == 0 && !processes_.failed()) || control_.stop.Get() != 0) return;
    control_.stop.Set(1);
    result_.complete = false;
    fputs(stop_asked != 0 ? "workload: stopped\n" : "workload: a process of the generator died\n",
          stderr);
  }

  void Until(uint64_t then, bool measured) {
    for (uint64_t now = Now(); now < then; now = Now()) {
      const bool any = processes_.AnyLeft();
      LookForStop();
      if (!any || control_.stop.Get() != 0) return;
      SleepUntil(std::min({then, now + kTick, second_.time + kSecond}));
      last_ = Look(processes_);
      if (measured) {
        open_sum_ += static_cast<double>(last_.open);
        ++samples_;
        result_.connections_peak = std::max(result_.connections_peak, last_.open);
      }
      if (last_.time >= second_.time + kSecond) EndSecond(measured);
    }
  }

  void EndSecond(bool measured) {
    const double passed = static_cast<double>(last_.time - second_.time) / 1e9;
    const uint64_t requests = last_.requests - second_.requests;
    const uint64_t replies = last_.replies() - second_.replies();
    if (measured) {
      result_.per_second.push_back({static_cast<double>(last_.time - begin_.time) / 1e9, requests,
                                    replies, last_.timeouts() - second_.timeouts(), last_.open});
    }
    fprintf(stderr,
            "workload: %5.1f s%s  %.0f requests/s  %.0f replies/s  %.0f Mbit/s  %lu open  "
            "%lu timed out  %lu errors\n",
            static_cast<double>(last_.time - start_.time) / 1e9, measured ? "" : " (warm-up)",
            static_cast<double>(requests) / passed, static_cast<double>(replies) / passed,
            static_cast<double>(last_.bytes - second_.bytes) * 8e-6 / passed, last_.open,
            last_.timeouts(), last_.errors());
    second_ = last_;
  }

  void Finish() {
    result_.seconds = static_cast<double>(last_.time - begin_.time) / 1e9;
    result_.generator_cpu_seconds = last_.cpu - begin_.cpu;
    result_.replies_in_window = last_.replies() - begin_.replies();
    result_.bytes_in_window = last_.bytes - begin_.bytes;
    result_.connections_mean = samples_ == 0 ? 0 : open_sum_ / static_cast<double>(samples_);
  }

  const RunOptions& options_;
  Processes& processes_;
  Control& control_;
  RunResult result_;
  Snapshot start_, begin_, second_, last_;  // second_: where the second at hand began
  double open_sum_ = 0;
  uint64_t samples_ = 0;
};

void MergeInto(WindowTally* sum, const WindowTally& part) {
  sum->sessions.Add(part.sessions.Get());
  sum->connections.Add(part.connections.Get());
  sum->requests.Add(part.requests.Get());
  for (size_t i = 0; i < kOutcomes; ++i) sum->outcomes[i].Add(part.outcomes[i].Get());
  sum->abandoned.Add(part.abandoned.Get());
  for (uint32_t i = 0; i < kFilesPerDirectory; ++i) {
    sum->sizes[i].requests.Add(part.sizes[i].requests.Get());
    sum->sizes[i].timeouts.Add(part.sizes[i].timeouts.Get());
  }
  sum->latency.Merge(part.latency);
  sum->response.Merge(part.response);
  sum->arrival_lateness.Merge(part.arrival_lateness);
  sum->request_lateness.Merge(part.request_lateness);
}

// Where a report is written before it is whole: beside its file, or straight to what is no file,
// such as a pipe or /dev/null.
std::string PartialPath(const std::string& path) {
  struct stat status;
  bool special = stat(path.c_str(), &status) == 0 && !S_ISREG(status.st_mode);
  return special ? path : path + ".partial";
}

bool WriteReport(const RunOptions& options, const std::string& partial, int fd,
                 const std::string& json) {
  if (options.json.empty()) return true;
  if (options.json == "-") {
    fputs(json.c_str(), stdout);
    return fflush(stdout) == 0;
  }
  bool written = write(fd, json.data(), json.size()) == static_cast<ssize_t>(json.size()) &&
                 close(fd) == 0 &&
                 (partial == options.json || rename(partial.c_str(), options.json.c_str()) == 0);
  if (written) return true;
  fprintf(stderr, "workload: cannot write %s: %s; the results are:\n%s", options.json.c_str(),
          strerror(errno), json.c_str());
  return false;
}

void HandleSignals() {
  struct sigaction action = {};
  action.sa_handler = &AskToStop;
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
  signal(SIGPIPE, SIG_IGN);
}

}  // namespace

unsigned ProcessesFor(const RunOptions& options) {
  double requests, off_seconds = 0;
  if (options.generator.log.empty()) {
    Sampler sampler(options.generator.sampler);
    requests = sampler.MeanRequests();
    off_seconds = sampler.MeanOffSeconds();
  } else {
    size_t sum = 0;
    for (const Session& session : options.generator.log) {
      sum += session.size();
      for (const Request& request : session) off_seconds += request.off_us / 1e6;
    }
    const auto sessions = static_cast<double>(options.generator.log.size());
    requests = static_cast<double>(sum) / sessions;
    off_seconds *= options.generator.sampler.off_scale / sessions;
  }
  const double timeout = static_cast<double>(options.generator.target.timeout) / 1e9;
  double open = options.rate / requests * (off_seconds + kTimeouts * timeout);
  if (options.generator.max_sessions != UINT64_MAX) {
    open = std::min(open, static_cast<double>(options.generator.max_sessions));
  }
  const double wanted = ceil(open / options.generator.max_open);
  return static_cast<unsigned>(std::clamp(wanted, 1.0, double{kMaxProcesses}));
}

int Run(const RunOptions& options, const std::vector<std::string>& arguments) {
  const bool to_file = !options.json.empty() && options.json != "-";
  const std::string partial = to_file ? PartialPath(options.json) : "";
  int fd = to_file ? open(partial.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644) : -1;
  if (to_file && fd < 0) {
    fprintf(stderr, "workload: cannot write %s: %s\n", options.json.c_str(), strerror(errno));
    return 1;
  }
  HandleSignals();
  Processes processes;
  const unsigned count = options.processes != 0 ? options.processes : ProcessesFor(options);
  if (absl::Status started = processes.Start(count, arguments); !started.ok()) {
    fprintf(stderr, "workload: %s\n", std::string(started.message()).c_str());
    if (to_file && partial != options.json) unlink(partial.c_str());
    return 1;
  }
  RunResult result = Watch(options, processes).Observe();
  auto window = std::make_unique<WindowTally>();
  for (unsigned i = 0; i < count; ++i) MergeInto(window.get(), processes.tally(i).window);
  fputs(ReportText(result, *window).c_str(), stderr);
  const bool written = WriteReport(options, partial, fd, ReportJson(result, *window));
  return written && result.complete ? 0 : 1;
}

void RunPart(const RunOptions& options, const std::string& part) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  signal(SIGINT, SIG_IGN);  // whoever watches tells when to stop
  signal(SIGTERM, SIG_IGN);
  std::vector<std::string> numbers = absl::StrSplit(part, ',');
  unsigned index, count;
  int fd;
  if (numbers.size() != 3 || !absl::SimpleAtoi(numbers[0], &index) ||
      !absl::SimpleAtoi(numbers[1], &fd) || !absl::SimpleAtoi(numbers[2], &count)) {
    _exit(2);
  }
  SharedMemory* shared = MapShared(fd, count);
  if (shared == nullptr) _exit(1);
  close(fd);
  GeneratorOptions generator = options.generator;
  generator.part = index;
  generator.parts = count;
  generator.session_rate /= count;
  generator.seed = generator.seed * kMaxProcesses + index;
  if (generator.max_sessions != UINT64_MAX) {
    generator.max_sessions =
        generator.max_sessions / count + (index < generator.max_sessions % count);
  }
  Tally* tally = &shared->tallies[index];
  tally->ready.Set(1);
  while (shared->control.go.Get() == 0) {
    if (getppid() == 1) _exit(1);
    SleepUntil(Now() + kMillisecond);
  }
  RunGenerator(generator, &shared->control, tally);
  tally->ended.Set(1);
  _exit(0);  // users that sleep have nothing more to do
}

}  // namespace load
