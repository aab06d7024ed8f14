#include "knot/processes.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "knot/admin/admin.h"
#include "knot/confinement.h"
#include "knot/door.h"
#include "knot/listener.h"
#include "knot/monotonic.h"
#include "knot/tuning.h"
#include "knot/unix_socket.h"

namespace knot {
namespace {

constexpr int kLeastMs = 1000;                  // from one start of a process to its next
constexpr size_t kMostLeaving = 16;             // for each that serves
constexpr int kGenerations = kMostLeaving + 2;  // of processes at a time, those that start included

std::string HowItEnded(int status) {
  if (WIFEXITED(status)) return absl::StrCat("ended with status ", WEXITSTATUS(status));
  return absl::StrCat("was ended by signal ", WTERMSIG(status), ", ", strsignal(WTERMSIG(status)));
}

// A runtime beneath accept(2) may have left a socket in non-blocking mode, which is that of every
// process that has it, and the process after the one that died counts on the other. One that all
// share is to be in non-blocking mode.
void MakeBlocking(const Part& part, const std::vector<ListenAddress>& addresses) {
  for (size_t i = 0; i < addresses.size(); ++i) {
    if (addresses[i].Shared()) continue;
    for (int socket : part.sockets[i]) {
      fcntl(socket, F_SETFL, fcntl(socket, F_GETFL) & ~O_NONBLOCK);
    }
  }
}

class Processes {
 public:
  Processes(const Options& options, const ServePart& serve, const Invocation& invocation)
      : at_start_(options), options_(options), serve_(serve), invocation_(invocation) {}
  ~Processes() { CloseSockets(); }

  absl::Status OpenSockets();
  // Removes the files of unix sockets, but not those of a predecessor that goes on.
  void RemoveFiles();
  absl::Status OpenAdmin();
  // Starts all. Returns: false after a line where one cannot serve; then none is left.
  bool StartAll();
  // Keeps them running until they are to end.
  void Supervise();
  // Returns: the exit status.
  int EndAll();

 private:
  struct Process {
    Part part;
    pid_t pid = -1;  // -1: down
    int orders = -1;
    int announcement = -1;  // to be received
    int64_t started_ms = 0;
  };

  bool Start(Process& process);
  [[noreturn]] void RunChild(const Process& process, int orders, int announcement);
  Announcement Await(Process& process);
  static void TellOne(const Process& process, Order order);
  void Tell(Order order);
  void Obey(Order order);
  void Reload();
  bool ReplaceAll();
  void Restart();
  // Takes notice of those that have ended. Returns: whether all ended as they should.
  bool Reap(bool stopping);
  void ReapLeaving();
  bool AllRun() const;
  bool IsShared(int number) const;
  int FreeSeat() const;
  void CloseSockets();

  const Options at_start_;
  Options options_;  // the ports as they really are
  const ServePart& serve_;
  const Invocation& invocation_;
  ServiceManager manager_{true};
  Orders orders_ = Orders::BySignals();
  std::vector<Process> processes_;
  std::vector<Process> fresh_;        // to take the place of processes_
  std::vector<Process> leaving_;      // whose place was taken, or who were to take it
  std::vector<Listening> listening_;  // the sockets of all
  int seats_ = 1;                     // with --admin: how many processes can tell of themselves
  Names names_;
  bool served_ = false;
  std::unique_ptr<Successor> successor_;  // that serves
  bool stop_ = false;
};

absl::Status Processes::OpenSockets() {
  const int groups = tuning::ExpectedGroups(options_.tuning);
  const int sockets = groups * options_.processes;
  const int doors = sockets * static_cast<int>(options_.listen.size());
  absl::Status enough = CheckDoors(options_.threads, doors);
  if (!enough.ok()) return enough;
  processes_.resize(options_.processes);
  for (ListenAddress& address : options_.listen) {
    std::string name = AddressText(address);  // before its port is known
    absl::StatusOr<std::vector<int>> opened =
        ListenOrTake(options_.predecessor.get(), &address, sockets, options_.send_timeout);
    if (!opened.ok()) return opened.status();
    listening_.push_back(ToHandOver(std::move(name), address, *opened));
    for (int i = 0; i < sockets; ++i) {
      Part& part = processes_[i / groups].part;
      if (i % groups == 0) part.sockets.emplace_back();
      part.sockets.back().push_back((*opened)[i]);
    }
  }
  for (int i = 0; i < options_.processes; ++i) {
    processes_[i].part.number = i + 1;
    processes_[i].part.seat = i;
    processes_[i].part.shared = options_.predecessor != nullptr;
  }
  absl::Status status = options_.admin.on ? OpenAdmin() : absl::OkStatus();
  if (status.ok()) status = names_.Prepare(options_.operate);
  if (options_.predecessor != nullptr) options_.predecessor->CloseRest();
  return status;
}

absl::Status Processes::OpenAdmin() {
  std::string name = Admin::NameOf(options_.admin);  // before its port is known
  absl::StatusOr<std::vector<int>> opened =
      Admin::Listen(options_.predecessor.get(), &options_.admin, options_.processes);
  if (!opened.ok()) return opened.status();
  listening_.push_back({std::move(name), *opened});
  seats_ = options_.processes * (IsConfined(options_) ? kGenerations : 1);
  std::shared_ptr<Board> board = Board::Make(seats_);
  for (int i = 0; i < options_.processes; ++i) {
    processes_[i].part.sockets.push_back({(*opened)[i]});
    processes_[i].part.board = board;
  }
  return absl::OkStatus();
}

bool Processes::Start(Process& process) {
  process.started_ms = MonotonicMs();
  int orders[2], announcement[2];
  if (pipe2(orders, O_CLOEXEC) != 0) return false;
  bool piped = pipe2(announcement, O_CLOEXEC) == 0;
  std::fflush(nullptr);  // what is buffered must not be written twice
  pid_t pid = piped ? fork() : -1;
  if (pid == 0) {
    close(orders[1]);
    close(announcement[0]);
    RunChild(process, orders[0], announcement[1]);
  }
  int error = errno;
  close(orders[0]);
  if (piped) close(announcement[1]);
  if (pid < 0) {
    close(orders[1]);
    if (piped) close(announcement[0]);
    errno = error;
    return false;
  }
  process.pid = pid;
  process.orders = orders[1];
  process.announcement = announcement[0];
  return true;
}

void Processes::RunChild(const Process& process, int orders, int announcement) {
  names_.doorbell.Close(false);  // else it would seem to be answered after the first's end
  for (const std::vector<Process>* all : {&processes_, &fresh_, &leaving_}) {
    for (const Process& other : *all) {
      if (other.orders >= 0) close(other.orders);  // else it would not end with the first process
      if (other.announcement >= 0) close(other.announcement);
    }
  }
  for (const Process& other : processes_) {
    if (other.part.number == process.part.number) continue;
    for (const std::vector<int>& sockets : other.part.sockets) {
      for (int socket : sockets) close(socket);
    }
  }
  Options options = options_;
  options.threads = options_.threads / options_.processes +
                    (process.part.number <= options_.threads % options_.processes ? 1 : 0);
  std::exit(serve_(
      options, process.part, Orders::ByPipe(orders),
      [announcement](const Announcement& said) {
        SendAnnouncement(said, announcement);
        close(announcement);
      },
      invocation_));
}

// Waits until a process that was started has said whether it serves. One that does not is down.
Announcement Processes::Await(Process& process) {
  Announcement said = ReceiveAnnouncement(process.announcement);
  close(process.announcement);
  process.announcement = -1;
  if (said.serves) return said;
  int status = 0;
  while (waitpid(process.pid, &status, 0) < 0 && errno == EINTR) {
  }
  if (said.errors.empty()) {
    said.errors = absl::StrCat("knot: process ", process.part.number, " (", process.pid, ") ",
                               HowItEnded(status), " before it served\n");
  }
  close(std::exchange(process.orders, -1));
  process.pid = -1;
  return said;
}

bool Processes::StartAll() {
  Announcement first;
  for (Process& process : processes_) {
    if (Start(process)) continue;
    first.errors = absl::StrCat("knot: process ", process.part.number, " of ", options_.processes,
                                " could not be started: ", std::strerror(errno), "\n");
    break;
  }
  bool serve = first.errors.empty();
  for (Process& process : processes_) {
    if (process.pid < 0) continue;
    Announcement announcement = Await(process);
    bool tells = serve && (process.part.number == 1 || !announcement.serves);
    serve = serve && announcement.serves;
    if (tells) first = announcement;  // the others say the same
  }
  if (serve) {
    absl::Status published = names_.Publish();
    serve = published.ok();
    if (!serve) first = Refusal(published);
  }
  if (!serve) {
    names_.Remove();
    RemoveFiles();
  }
  serve = AnnounceToPredecessor(options_, {}, &first) && serve;
  served_ = serve;
  Print(first);
  if (!serve) EndAll();
  return serve;
}

void Processes::Supervise() {
  manager_.Ready();
  while (!stop_ && successor_ == nullptr) {
    manager_.WatchdogPassed();
    std::optional<Order> order =
        orders_.Next(Shorter(AllRun() ? -1 : kLeastMs, manager_.WatchdogMs()));
    if (order.has_value()) Obey(*order);
    if (stop_ || successor_ != nullptr) break;
    Reap(false);
    Restart();
  }
}

void Processes::Obey(Order order) {
  switch (order) {
    case Order::kStop:
    case Order::kLeave:
      stop_ = true;
      break;
    case Order::kStatistics:
      Tell(order);
      break;
    case Order::kReload:
      manager_.Reloading();
      Reload();
      manager_.Ready();
      break;
    case Order::kHandOver:
    case Order::kKnock:
      successor_ = HandOverTo(order, names_.doorbell.descriptor(), invocation_, listening_, orders_,
                              manager_, &stop_);
      break;
    case Order::kChild:
    case Order::kAlone:
      break;  // Reap() sees which
  }
}

// The others read it for themselves; what is wrong with it is said here, once.
void Processes::Reload() {
  std::optional<Options> options = ReadAgain(invocation_, at_start_, options_.predecessor);
  if (!options.has_value()) return;
  absl::Status status = Server::Check(*options).status();
  if (leaving_.size() >= kMostLeaving * processes_.size()) {
    status =
        absl::ResourceExhaustedError("too many processes of earlier configurations still send");
  }
  if (!status.ok()) return SayNotReloaded(status);
  Options before = std::exchange(options_, AfterReload(options_, *options));
  if (!IsConfined(options_)) {
    Tell(Order::kReload);
  } else if (!ReplaceAll()) {
    options_ = before;
    return;
  }
  SayReloaded(at_start_, *options);
}

// What is confined cannot read its configuration anew, so others are started in its place.
bool Processes::ReplaceAll() {
  bool serve = true;
  for (const Process& process : processes_) {
    Process& next = fresh_.emplace_back();
    next.part = process.part;
    next.part.shared = true;
    next.part.seat = FreeSeat();
    if (Start(next)) continue;
    SayNotReloaded(absl::ErrnoToStatus(errno, "no process could be started"));
    serve = false;
    break;
  }
  for (Process& process : fresh_) {
    if (process.pid < 0) continue;
    Announcement said = Await(process);
    if (!said.serves && std::exchange(serve, false)) {
      SayNotReloaded(absl::UnavailableError(ReasonOf(said)));
    }
  }
  for (size_t i = 0; i < fresh_.size(); ++i) {
    // Those that serve go when others cannot.
    Process& goes = serve ? processes_[i] : fresh_[i];
    if (goes.orders >= 0) TellOne(goes, Order::kLeave);
    if (goes.pid >= 0) leaving_.push_back(goes);
    if (serve) processes_[i] = fresh_[i];
  }
  fresh_.clear();
  return serve;
}

void Processes::Restart() {
  for (Process& process : processes_) {
    if (process.pid >= 0 || MonotonicMs() < process.started_ms + kLeastMs) continue;
    process.part.shared = IsShared(process.part.number);
    if (!process.part.shared) MakeBlocking(process.part, options_.listen);
    if (Start(process)) {
      Announcement said = Await(process);
      // Its warnings, and what it serves, were said at the first start.
      if (!said.serves) Print(said);
    } else {
      Say(absl::StrCat("process ", process.part.number,
                       " could not be started: ", std::strerror(errno)));
    }
  }
}

int Processes::EndAll() {
  if (successor_ == nullptr) manager_.Stopping();
  names_.doorbell.Close(successor_ == nullptr);
  CloseSockets();  // those of a process that is down would still take connections
  Tell(successor_ != nullptr ? Order::kLeave : Order::kStop);
  bool well = Reap(true);
  while (!leaving_.empty() ||
         std::any_of(processes_.begin(), processes_.end(),
                     [](const Process& process) { return process.pid >= 0; })) {
    std::optional<Order> order = orders_.Next(-1);
    if (order == Order::kStop || order == Order::kStatistics) Tell(*order);
    well = Reap(true) && well;
  }
  return well ? 0 : 1;
}

void Processes::TellOne(const Process& process, Order order) {
  // A pipe that is full, or without a reader, is that of a process that is about to end.
  if (process.orders >= 0 && write(process.orders, &order, 1) < 0) return;
}

void Processes::Tell(Order order) {
  for (const std::vector<Process>* all : {&processes_, &leaving_}) {
    for (const Process& process : *all) TellOne(process, order);
  }
}

// Tells whether others than process `number` accept from its sockets, too.
bool Processes::IsShared(int number) const {
  if (options_.predecessor != nullptr && !options_.predecessor->Gone(0)) return true;
  return std::any_of(leaving_.begin(), leaving_.end(),
                     [number](const Process& one) { return one.part.number == number; });
}

// Returns: a place at the board that no process has.
int Processes::FreeSeat() const {
  for (int seat = 0; seat < seats_; ++seat) {
    bool taken = false;
    for (const std::vector<Process>* all : {&processes_, &fresh_, &leaving_}) {
      taken = taken || std::any_of(all->begin(), all->end(), [seat](const Process& process) {
                return process.part.seat == seat;
              });
    }
    if (!taken) return seat;
  }
  return 0;
}

void Processes::ReapLeaving() {
  for (size_t i = 0; i < leaving_.size();) {
    Process& process = leaving_[i];
    int status = 0;
    if (waitpid(process.pid, &status, WNOHANG) != process.pid) {
      ++i;
      continue;
    }
    if (status != 0) {
      Say(absl::StrCat("process ", process.part.number, " (", process.pid, ") ",
                       HowItEnded(status)));
    }
    close(process.orders);
    int number = process.part.number;
    leaving_.erase(leaving_.begin() + static_cast<std::ptrdiff_t>(i));
    bool others = std::any_of(leaving_.begin(), leaving_.end(),
                              [number](const Process& one) { return one.part.number == number; });
    if (!others) TellOne(processes_[number - 1], Order::kAlone);
  }
}

bool Processes::Reap(bool stopping) {
  ReapLeaving();
  bool well = true;
  for (Process& process : processes_) {
    int status = 0;
    if (process.pid < 0 || waitpid(process.pid, &status, WNOHANG) != process.pid) continue;
    if (!stopping || status != 0) {
      Say(absl::StrCat("process ", process.part.number, " (", process.pid, ") ", HowItEnded(status),
                       stopping ? "" : "; it is started again"));
      well = false;
    }
    close(std::exchange(process.orders, -1));
    process.pid = -1;
  }
  return well;
}

bool Processes::AllRun() const {
  return std::all_of(processes_.begin(), processes_.end(),
                     [](const Process& process) { return process.pid >= 0; });
}

void Processes::RemoveFiles() {
  for (ListenAddress& address : options_.listen) {
    if (!served_) DisownUnixFile(&address);
    RemoveUnixFile(&address);
  }
}

void Processes::CloseSockets() {
  if (successor_ == nullptr) RemoveFiles();
  for (Process& process : processes_) {
    for (const std::vector<int>& sockets : process.part.sockets) {
      for (int socket : sockets) close(socket);
    }
    process.part.sockets.clear();
  }
}

}  // namespace

int ServeByProcesses(const Options& options, const ServePart& serve, const Invocation& invocation) {
  Processes processes(options, serve, invocation);
  absl::Status opened = processes.OpenSockets();
  if (!opened.ok()) {
    processes.RemoveFiles();  // a predecessor ends this process when it is told
    return RefuseToServe(options, opened);
  }
  if (!processes.StartAll()) return kExitCannotServe;
  processes.Supervise();
  return processes.EndAll();
}

}  // namespace knot
