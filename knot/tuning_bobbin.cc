#include <malloc.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "absl/strings/str_cat.h"
#include "bobbin/bobbin.h"
#include "knot/tuning.h"

namespace knot::tuning {
namespace {

// Whether there is a scheduler, the last, that runs no group.
bool apart = false;

int MaxGroups(const Settings& settings) {
  return bobbin::kMaxSchedulers - (settings.apart ? 1 : 0);
}

bobbin::SendfilePolicy ToBobbin(Sendfile sendfile) {
  switch (sendfile) {
    case Sendfile::kPoll:
      return bobbin::SendfilePolicy::kPoll;
    case Sendfile::kNonblocking:
      return bobbin::SendfilePolicy::kNonblocking;
    case Sendfile::kBlocking:
      return bobbin::SendfilePolicy::kBlocking;
    case Sendfile::kInline:
      break;
  }
  return bobbin::SendfilePolicy::kInline;
}

// Returns: 0 before the speed of the counter is known.
uint64_t Nanoseconds(uint64_t cycles, uint64_t cycles_per_second) {
  if (cycles_per_second == 0) return 0;
  return static_cast<uint64_t>(static_cast<unsigned __int128>(cycles) * 1'000'000'000 /
                               cycles_per_second);
}

absl::Status OutOfRange(const Settings& settings) {
  return absl::InvalidArgumentError(absl::StrCat("--schedulers takes up to ", MaxGroups(settings),
                                                 ", --workers up to ", bobbin::kMaxWorkers));
}

}  // namespace

absl::Status Check(const Settings& settings) {
  bool within =
      settings.schedulers <= MaxGroups(settings) && settings.workers <= bobbin::kMaxWorkers;
  return within ? absl::OkStatus() : OutOfRange(settings);
}

absl::Status Apply(const Settings& settings) {
  bobbin::Options options;
  options.schedulers = settings.schedulers;
  if (settings.apart) {
    if (options.schedulers == 0) options.schedulers = ExpectedGroups(settings);
    ++options.schedulers;
  }
  options.workers = settings.workers;
  options.poller =
      settings.poller == Poller::kPoll ? bobbin::PollerKind::kPoll : bobbin::PollerKind::kEpoll;
  options.sendfile = ToBobbin(settings.sendfile);
  options.accept = settings.accept == Accept::kFavorAccepts
                       ? bobbin::AcceptPolicy::kFavorAccepts
                       : bobbin::AcceptPolicy::kFavorConnections;
  switch (int error = bobbin::Configure(options)) {
    case 0:
      apart = settings.apart;
      // Threads of one scheduler never wait for each other's arena, so more of them would only
      // spread what they allocate over more of the cache.
      if (options.schedulers == 1) mallopt(M_ARENA_MAX, 1);
      return absl::OkStatus();
    case ENOTSUP:  // on kernel threads: Describe() says why
      return absl::OkStatus();
    case EINVAL:
      return OutOfRange(settings);
    case EAGAIN:
      return absl::ResourceExhaustedError("no kernel thread could be made for a scheduler");
    default:
      return absl::ErrnoToStatus(error, "Bobbin refused its options");
  }
}

Effective Describe() {
  if (!bobbin::Active()) {
    return {"kernel threads", "none", "none",
            absl::StrCat("running on kernel threads: ", bobbin::InactiveReason())};
  }
  bobbin::Options options = bobbin::CurrentOptions();
  return {"user threads", options.workers == 0 ? "auto" : absl::StrCat(options.workers),
          options.poller == bobbin::PollerKind::kPoll ? "poll" : "epoll", ""};
}

int Groups() {
  return bobbin::Active() ? bobbin::CurrentOptions().schedulers - (apart ? 1 : 0) : 1;
}

int ExpectedGroups(const Settings& settings) {
  if (!bobbin::Active()) return 1;
  int schedulers = settings.schedulers;
  if (schedulers == 0) schedulers = static_cast<int>(sysconf(_SC_NPROCESSORS_ONLN));
  return std::clamp(schedulers, 1, MaxGroups(settings));
}

void PlaceNextThread(int group) { bobbin::PlaceNextThread(group); }

void PlaceNextThreadApart() {
  if (apart) bobbin::PlaceNextThread(Groups());
}

bool Sample(ThreadingNow* now) {
  if (!bobbin::Active()) return false;
  bobbin::Statistics s;
  bobbin::GetStatistics(&s);
  ThreadingTotals& totals = now->totals;
  totals.application_ns = Nanoseconds(s.application_cycles, s.cycles_per_second);
  totals.threading_ns = Nanoseconds(s.threading_cycles, s.cycles_per_second);
  totals.event_ns = Nanoseconds(s.event_cycles, s.cycles_per_second);
  totals.idle_ns = Nanoseconds(s.idle_cycles, s.cycles_per_second);
  totals.switches = s.switches;
  totals.polls = s.polls;
  totals.poll_events = s.poll_events;
  totals.worker_calls = s.worker_calls;
  bobbin::ThreadStates states;
  bobbin::GetThreadStates(&states);
  ThreadingLevels& levels = now->levels;
  levels.running = states.running;
  levels.ready = states.ready;
  levels.readable = states.readable;
  levels.writable = states.writable;
  levels.poll = states.poll;
  levels.accept = states.accept;
  levels.lock = states.address;
  levels.worker = states.worker;
  levels.disk = states.disk;
  levels.time = states.time;
  levels.signal = states.signal;
  levels.other = states.other;
  levels.workers_busy = s.workers_busy;
  levels.workers_idle = s.workers > s.workers_busy ? s.workers - s.workers_busy : 0;
  levels.worker_queue = s.worker_queue;
  levels.poll_set = s.poll_set;
  return true;
}

void WriteStatistics(int fd) { bobbin::WriteStatistics(fd); }

}  // namespace knot::tuning
