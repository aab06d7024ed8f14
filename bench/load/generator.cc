#include "bench/load/generator.h"

#include <pthread.h>
#include <sched.h>
#include <semaphore.h>

#include <algorithm>
#include <deque>
#include <mutex>
#include <utility>

#include "bench/load/clock.h"
#include "bench/load/user.h"

namespace load {
namespace {

constexpr size_t kStackSize = 32 * 1024;
constexpr uint64_t kLook = 100 * kMillisecond;  // how often a sleeping dispatcher looks for `stop`
constexpr int kBatch = 8;                       // sessions begun before the users have their turn
constexpr double kPast = 120;  // seconds before the start that a warm start looks back to
constexpr uint64_t kPastSeed = 0x70617374;

// The threads of users, the one that became free last first: its stack is the warmest.
class Crew {
 public:
  explicit Crew(const Company& company) : company_(company) {
    pthread_attr_init(&attributes_);
    pthread_attr_setstacksize(&attributes_, kStackSize);
    pthread_attr_setdetachstate(&attributes_, PTHREAD_CREATE_DETACHED);
  }
  Crew(const Crew&) = delete;
  Crew& operator=(const Crew&) = delete;

  // Hands the visit to a thread and takes another's used one for it. Returns: false where no thread
  // could be made.
  bool Send(Visit* visit) {
    Member* member = TakeFree();
    if (member == nullptr) member = Hire();
    if (member == nullptr) return false;
    std::swap(member->visit, *visit);
    sem_post(&member->wake);
    return true;
  }

 private:
  struct Member {
    Crew* crew;
    Visit visit;
    sem_t wake;
  };

  Member* TakeFree() {
    std::lock_guard<std::mutex> lock(mutex_);
    if (free_.empty()) return nullptr;
    Member* member = free_.back();
    free_.pop_back();
    return member;
  }

  Member* Hire() {
    auto member = std::make_unique<Member>();
    member->crew = this;
    member->visit.session.reserve(kMaxRequests / 4);
    sem_init(&member->wake, 0, 0);
    pthread_t thread;
    if (pthread_create(&thread, &attributes_, &Work, member.get()) != 0) return nullptr;
    return member.release();  // it lives as long as the process, as its thread does
  }

  static void* Work(void* argument) {
    auto* member = static_cast<Member*>(argument);
    Crew* crew = member->crew;
    for (;;) {
      while (sem_wait(&member->wake) != 0) {
      }
      RunVisit(crew->company_, member->visit);
      crew->company_.tally->live.sessions.Subtract();
      std::lock_guard<std::mutex> lock(crew->mutex_);
      crew->free_.push_back(member);
    }
  }

  const Company& company_;
  pthread_attr_t attributes_;
  std::mutex mutex_;
  std::vector<Member*> free_;
};

// The visits of a process in the order of their arrival.
class Arrivals {
 public:
  Arrivals(const GeneratorOptions& options, uint64_t start)
      : options_(options),
        sampler_(options.sampler),
        random_(options.seed),
        start_(start),
        next_(options.part) {
    if (options.warm_start && options.warmup != 0 && options.log.empty()) LookBack();
    Advance();
  }

  bool Next(Visit* visit) {
    if (past_ < in_progress_.size() && in_progress_[past_].arrival <= arrival_) {
      *visit = std::move(in_progress_[past_++]);
    } else {
      if (made_++ >= options_.max_sessions) return false;
      Fill(&visit->session);
      visit->arrival = arrival_;
      visit->first = 0;
      visit->resume = 0;
      Advance();
    }
    visit->number = number_++;
    return true;
  }

 private:
  void Advance() {
    after_start_ += random_.Exponential(1e9 / options_.session_rate);
    arrival_ = start_ + static_cast<uint64_t>(after_start_);
  }

  void Fill(Session* session) {
    if (options_.log.empty()) {
      sampler_.Draw(random_, session);
      return;
    }
    *session = options_.log[next_ % options_.log.size()];
    for (Request& request : *session) {
      double scaled = request.off_us * options_.sampler.off_scale;
      request.off_us = static_cast<uint32_t>(std::min(scaled, double{UINT32_MAX}));
    }
    next_ += options_.parts;
  }

  // Finds the sessions that would be in progress at the start.
  void LookBack() {
    Random random(options_.seed ^ kPastSeed);
    Session session;
    const double begin = -kPast * 1e9 * options_.sampler.off_scale;
    for (double at = begin; at < 0; at += random.Exponential(1e9 / options_.session_rate)) {
      sampler_.Draw(random, &session);
      double request_at = at;
      size_t next = 1;
      for (; next < session.size(); ++next) {
        request_at += session[next].off_us * 1e3;
        if (request_at >= 0) break;
      }
      if (next == session.size()) continue;
      double joins = random.Uniform() * std::min(request_at, static_cast<double>(options_.warmup));
      Visit visit;
      visit.session = session;
      visit.first = next - 1;
      visit.arrival = start_ + static_cast<uint64_t>(joins);
      visit.resume = start_ + static_cast<uint64_t>(request_at);
      in_progress_.push_back(std::move(visit));
    }
    std::sort(in_progress_.begin(), in_progress_.end(),
              [](const Visit& a, const Visit& b) { return a.arrival < b.arrival; });
  }

  const GeneratorOptions& options_;
  const Sampler sampler_;
  Random random_;
  const uint64_t start_;
  double after_start_ = 0;  // of the next new session; nanoseconds
  uint64_t arrival_ = 0;
  size_t next_;  // of the log
  uint64_t made_ = 0;
  unsigned number_ = 0;
  std::vector<Visit> in_progress_;
  size_t past_ = 0;  // the next of those
};

// Sends sessions on their way until the end.
class Dispatcher {
 public:
  Dispatcher(const GeneratorOptions& options, const Company& company)
      : options_(options), company_(company), crew_(company) {}

  void Dispatch(Arrivals& arrivals) {
    const uint64_t end = company_.control->end.Get();
    Visit visit;
    for (int batch = 0; arrivals.Next(&visit) && visit.arrival < end; ++batch) {
      uint64_t now = Now();
      if (now < visit.arrival) {
        batch = 0;
        now = WaitFor(visit.arrival);
      }
      if (Stopped()) return;
      if (visit.arrival >= company_.control->begin.Get()) {
        company_.tally->window.arrival_lateness.Record(now - visit.arrival);
      }
      Begin(&visit);
      if (batch % kBatch == kBatch - 1) sched_yield();
    }
    if (options_.max_sessions == UINT64_MAX) WaitFor(end);
  }

  // Waits for what is under way: every session where their number was given, else every request.
  void Drain() {
    const LiveTally& live = company_.tally->live;
    const bool all = options_.max_sessions != UINT64_MAX;
    const uint64_t deadline = Now() + options_.drain;
    while (!Stopped() && (all || Now() < deadline)) {
      SleepUntil(Now() +
                 10 * kMillisecond);  // also for those who were to begin just before the end
      if ((all ? live.sessions.Get() : live.busy.Get()) == 0) return;
    }
  }

 private:
  bool Stopped() const { return company_.control->stop.Get() != 0; }

  // Returns: the time then, or an earlier one where everything is to stop.
  uint64_t WaitFor(uint64_t then) {
    uint64_t now = Now();
    for (; now < then && !Stopped(); now = Now()) SleepUntil(std::min(then, now + kLook));
    return now;
  }

  void Begin(Visit* visit) {
    LiveTally& live = company_.tally->live;
    if (live.sessions.Get() < static_cast<uint64_t>(options_.max_open)) {
      live.sessions.Add();
      if (crew_.Send(visit)) return;
      live.sessions.Subtract();
    }
    RefuseVisit(company_, *visit);
  }

  const GeneratorOptions& options_;
  const Company& company_;
  Crew crew_;
};

}  // namespace

void RunGenerator(const GeneratorOptions& options, Control* control, Tally* tally) {
  RequestText text;
  (void)text.Set(options.target);  // it was tried before
  const Company company = {options.target, text, control, tally};
  Arrivals arrivals(options, control->start.Get());
  Dispatcher dispatcher(options, company);
  dispatcher.Dispatch(arrivals);
  dispatcher.Drain();
}

}  // namespace load
