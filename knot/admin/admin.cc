#include "knot/admin/admin.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <mutex>
#include <utility>

#include "absl/strings/str_cat.h"
#include "knot/admin/exposition.h"
#include "knot/admin/page.h"
#include "knot/admin/report.h"
#include "knot/admin/visit.h"
#include "knot/listener.h"
#include "knot/shared_accept.h"
#include "knot/threads.h"
#include "knot/traffic.h"
#include "knot/tuning.h"

namespace knot {
namespace {

constexpr int kSendSeconds = 2;
constexpr int kSendBuffer = 128 * 1024;  // the longest reply is less than half of it

// HTTP/1.0 needs no Host, and what a browser sends has one.
bool MayBeAnswered(const Request& request, const AdminOptions& options) {
  if (request.hosts == 0) return !request.http11;
  return MayBeAsked(request.host, options);
}

}  // namespace

// What the threads share.
class Admin::Desk {
 public:
  Desk(const AdminOptions& options, int socket, std::unique_ptr<SharedAccept> accept, Seat seat,
       Source source)
      : options_(options),
        socket_(socket),
        accept_(std::move(accept)),
        seat_(std::move(seat)),
        source_(std::move(source)) {
    seat_.board->Take(seat_.place);
  }
  ~Desk() { close(socket_); }

  void Close() {
    left_.store(true);
    accept_->Stop();
  }
  bool Closed() const { return answering_.load() == 0; }
  void Enter() { answering_.fetch_add(1); }

  void End() {
    ending_.store(true);
    if (!left_.load()) shutdown(socket_, SHUT_RD);  // nobody who comes later is to wait
    accept_->Stop();
    std::lock_guard<std::mutex> lock(mutex_);
    source_ = {};
  }

  // Each in a thread of its own, until the end.
  void AnswerAll();
  void TellOthers();

 private:
  AdminReply Answer(const Request& request);
  AdminReply Health();
  bool MakeReport(Report* report);
  bool Publish();

  const AdminOptions options_;
  const int socket_;
  const std::unique_ptr<SharedAccept> accept_;  // a Knot that takes over has the socket, too
  std::atomic<bool> left_{false};               // the socket, to whom has it, too
  std::atomic<bool> ending_{false};
  std::atomic<int> answering_{0};  // threads in AnswerAll, or about to be
  AcceptBackOff back_off_;

  std::mutex mutex_;  // guards what follows
  const Seat seat_;
  Source source_;          // none after the end
  int64_t published_ = 0;  // when
};

void Admin::Desk::AnswerAll() {
  for (;;) {
    int socket = accept_->Accept(nullptr);
    if (socket < 0 && errno == ECANCELED) break;
    if (socket < 0) {
      back_off_.Wait(ending_);
      continue;
    }
    back_off_.Succeeded();
    auto visit = std::make_unique<Visit>(socket);
    int status = visit->Receive(kHeadMs);
    if (status != Visit::kGone) {
      visit->Send(status == 0 ? Answer(visit->request()) : StatusOnly(status));
    }
    visit.reset();
    close(socket);
  }
  answering_.fetch_sub(1);
}

// Where nobody looks, often enough not to be taken for stuck.
void Admin::Desk::TellOthers() {
  constexpr int kSteps = 5;  // a second
  for (int step = 0; !ending_.load(); ++step) {
    if (step % kSteps == 0 || seat_.board->Watched(MonotonicNs())) {
      std::lock_guard<std::mutex> lock(mutex_);
      Publish();
    }
    timespec rest{0, 1'000'000'000 / kSteps};
    nanosleep(&rest, nullptr);
  }
}

AdminReply Admin::Desk::Answer(const Request& request) {
  if (!MayBeAnswered(request, options_)) return StatusOnly(403);
  if (request.method != Method::kGet && request.method != Method::kHead) {
    return StatusOnly(405, "Allow: GET, HEAD\r\n");
  }
  const absl::string_view path = request.target.substr(0, request.target.find('?'));
  AdminReply reply;
  if (path == "/") {
    std::string nonce = NewNonce();
    reply.body = Page(nonce);
    reply.type = "text/html; charset=utf-8";
    reply.policy = PagePolicy(nonce);
    return reply;
  }
  if (path == "/healthz") return Health();
  if (path != "/metrics" && path != "/status.json") return StatusOnly(404);
  Report report;
  if (!MakeReport(&report)) return StatusOnly(503);
  if (path == "/metrics") {
    reply.body = MetricsText(report);
    reply.type = Exposition::kType;
  } else {
    reply.body = StatusJson(report);
    reply.type = "application/json";
  }
  return reply;
}

AdminReply Admin::Desk::Health() {
  std::lock_guard<std::mutex> lock(mutex_);
  AdminReply reply;
  if (source_.stopping == nullptr || source_.stopping()) {
    reply.status = 503;
    reply.body = "stopping\n";
  } else {
    reply.body = "ok\n";
  }
  return reply;
}

// Returns: false after the end.
bool Admin::Desk::MakeReport(Report* report) {
  std::lock_guard<std::mutex> lock(mutex_);
  if (!Publish()) return false;
  report->statistics = seat_.board->Sum(published_);
  report->threading = tuning::Describe();
  report->start_seconds = seat_.board->start_seconds();
  report->uptime_ns = published_ - seat_.board->start_ns();
  return true;
}

bool Admin::Desk::Publish() {
  if (source_.read == nullptr) return false;
  const int64_t now = MonotonicNs();
  if (published_ != 0 && now - published_ < kLeastNs) return true;
  Statistics statistics;
  source_.read(&statistics);
  seat_.board->Publish(statistics, now);
  published_ = now;
  return true;
}

std::string Admin::NameOf(const AdminOptions& options) {
  return absl::StrCat("admin ", AddressText(options.address));
}

absl::StatusOr<std::vector<int>> Admin::Listen(Predecessor* predecessor, AdminOptions* options,
                                               int count) {
  if (predecessor != nullptr) {
    absl::StatusOr<std::vector<int>> taken = predecessor->Take(NameOf(*options), count);
    if (!taken.ok()) return taken;
    if (!taken->empty()) {
      options->address.port = PortOf((*taken)[0]);
      return taken;
    }
  }
  absl::StatusOr<std::vector<int>> sockets = knot::Listen(&options->address, count, kSendSeconds);
  if (!sockets.ok()) return sockets;
  for (int socket : *sockets) {
    fcntl(socket, F_SETFL, fcntl(socket, F_GETFL) | O_NONBLOCK);  // for SharedAccept
    // The accepted ones inherit it.
    setsockopt(socket, SOL_SOCKET, SO_SNDBUF, &kSendBuffer, sizeof kSendBuffer);
  }
  return sockets;
}

absl::StatusOr<std::unique_ptr<Admin>> Admin::Start(const AdminOptions& options, int socket,
                                                    Seat seat, Source source) {
  const bool alone = seat.alone;
  absl::StatusOr<std::unique_ptr<SharedAccept>> accept = SharedAccept::Make(socket, kSendSeconds);
  if (!accept.ok()) {
    close(socket);
    return accept.status();
  }
  std::unique_ptr<Admin> admin(new Admin(std::make_shared<Desk>(
      options, socket, *std::move(accept), std::move(seat), std::move(source))));
  auto start = [&admin](void (Desk::*work)()) {
    struct Task {
      std::shared_ptr<Desk> desk;
      void (Desk::*work)();
    };
    auto task = std::make_unique<Task>(Task{admin->desk_, work});
    auto body = [](void* argument) -> void* {
      std::unique_ptr<Task> own(static_cast<Task*>(argument));
      ((*own->desk).*own->work)();
      return nullptr;
    };
    absl::Status status = StartThread(kServiceStackBytes, body, task.get());
    if (status.ok()) task.release();
    return status;
  };
  absl::Status status;
  for (int i = 0; i < kThreads && status.ok(); ++i) {
    admin->desk_->Enter();
    status = start(&Desk::AnswerAll);
  }
  if (status.ok() && !alone) status = start(&Desk::TellOthers);
  if (!status.ok()) return status;
  return admin;
}

void Admin::Close() { desk_->Close(); }

bool Admin::Closed() const { return desk_->Closed(); }

Admin::~Admin() { desk_->End(); }

}  // namespace knot
