#include "bench/load/user.h"

#include "bench/load/clock.h"

namespace load {
namespace {

// The counting of one session.
class Accounts {
 public:
  Accounts(const Company& company, const Visit& visit)
      : live_(company.tally->live),
        window_(company.tally->window),
        begin_(company.control->begin.Get()),
        end_(company.control->end.Get()) {
    if (InWindow(visit.arrival)) window_.sessions.Add();
  }

  bool InWindow(uint64_t intended) const { return intended >= begin_ && intended < end_; }

  void Opening() {
    live_.open.Add();
    uint64_t open = live_.open.Get();
    if (open > live_.peak.Get()) live_.peak.Set(open);
  }
  void Closed() { live_.open.Subtract(); }

  void Connected(uint64_t intended, uint64_t took) {
    connect_time_ = took;
    if (InWindow(intended)) window_.connections.Add();
  }

  void Begin(uint32_t file, uint64_t intended, uint64_t now) {
    live_.requests.Add();
    live_.busy.Add();
    if (!InWindow(intended)) return;
    window_.requests.Add();
    window_.sizes[SizeIndex(file)].requests.Add();
    window_.request_lateness.Record(now > intended ? now - intended : 0);
  }

  void End(uint32_t file, uint64_t intended, uint64_t sent, uint64_t now, Outcome outcome) {
    live_.busy.Subtract();
    live_.outcomes[static_cast<size_t>(outcome)].Add();
    const bool reply = outcome == Outcome::kReply;
    if (reply) {
      replies_[reply_count_].time = now - sent;
      replies_[reply_count_++].counted = InWindow(intended);
    }
    if (!InWindow(intended)) return;
    window_.outcomes[static_cast<size_t>(outcome)].Add();
    if (reply) window_.latency.Record(now > intended ? now - intended : 0);
    if (outcome == Outcome::kTimeout) window_.sizes[SizeIndex(file)].timeouts.Add();
  }

  void Abandon(uint64_t intended, size_t requests) {
    if (InWindow(intended)) window_.abandoned.Add(requests);
  }

  // The paper's response time needs to know how many replies share the time to connect.
  void Leave() {
    for (size_t i = 0; i < reply_count_; ++i) {
      if (replies_[i].counted)
        window_.response.Record(replies_[i].time + connect_time_ / reply_count_);
    }
  }

 private:
  LiveTally& live_;
  WindowTally& window_;
  const uint64_t begin_, end_;
  uint64_t connect_time_ = 0;
  size_t reply_count_ = 0;
  struct {
    uint64_t time : 63;
    uint64_t counted : 1;
  } replies_[kMaxRequests];
};

// Returns: whether the session may go on.
bool MakeRequest(Connection& connection, Accounts& accounts, const Company& company,
                 const Visit& visit, size_t i, uint64_t intended, uint64_t* ended) {
  const uint32_t file = visit.session[i].file;
  uint64_t now = Now();
  accounts.Begin(file, intended, now);
  Outcome outcome = Outcome::kReply;
  if (i == visit.first) {
    accounts.Opening();
    outcome = connection.Connect(visit.number);
    const uint64_t started = now;
    now = Now();
    if (outcome == Outcome::kReply) accounts.Connected(intended, now - started);
  }
  if (outcome == Outcome::kReply) {
    outcome = connection.Exchange(file, now, &company.tally->live.bytes);
  }
  *ended = Now();
  accounts.End(file, intended, now, *ended, outcome);
  if (outcome == Outcome::kReply) return true;
  accounts.Abandon(intended, visit.session.size() - i - 1);
  return false;
}

}  // namespace

void RunVisit(const Company& company, const Visit& visit) {
  Accounts accounts(company, visit);
  {
    Connection connection(company.target, company.text);
    uint64_t intended = visit.arrival;
    uint64_t ended = 0;
    for (size_t i = visit.first; i < visit.session.size(); ++i) {
      if (i > visit.first) {
        intended = ended + uint64_t{visit.session[i].off_us} * 1000;
        if (i == visit.first + 1 && visit.resume > ended) intended = visit.resume;
        SleepUntil(intended);  // also past the end: to leave now would take load from the server
        if (intended >= company.control->end.Get() || company.control->stop.Get() != 0) break;
      }
      if (!MakeRequest(connection, accounts, company, visit, i, intended, &ended)) break;
    }
  }
  accounts.Closed();
  accounts.Leave();
}

void RefuseVisit(const Company& company, const Visit& visit) {
  Accounts accounts(company, visit);
  const uint64_t now = Now();
  const uint32_t file = visit.session[visit.first].file;
  accounts.Begin(file, visit.arrival, now);
  accounts.End(file, visit.arrival, now, now, Outcome::kClient);
  accounts.Abandon(visit.arrival, visit.session.size() - visit.first - 1);
}

}  // namespace load
