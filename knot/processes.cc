#include "knot/processes.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "knot/admin/admin.h"
#include "knot/listener.h"
#include "knot/tuning.h"
#include "knot/unix_socket.h"

namespace knot {
namespace {

constexpr int kCannotServe = 2;
constexpr int kLeastSeconds = 1;  // from one start of a process to its next

int64_t MonotonicSeconds() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec;
}

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

void Say(const std::string& line) { std::fprintf(stderr, "knot: %s\n", line.c_str()); }

// Descriptor `to` gets what `Receive` reads as the same announcement.
void Send(const Announcement& announcement, int to) {
  std::string text = absl::StrCat(announcement.serves ? "+" : "-", announcement.errors);
  text.push_back('\0');
  text += announcement.output;
  for (size_t done = 0; done < text.size();) {
    ssize_t count = write(to, text.data() + done, text.size() - done);
    if (count < 0 && errno != EINTR) return;  // nobody is left to be told
    if (count > 0) done += count;
  }
}

// Returns: an announcement without a word where the other end was closed before it.
Announcement Receive(int from) {
  std::string text;
  char part[4096];
  for (ssize_t count; (count = read(from, part, sizeof part)) != 0;) {
    if (count > 0) {
      text.append(part, count);
    } else if (errno != EINTR) {
      break;
    }
  }
  Announcement result;
  size_t end = text.find('\0');
  if (end == std::string::npos) return result;
  result.serves = text[0] == '+';
  result.errors = text.substr(1, end - 1);
  result.output = text.substr(end + 1);
  return result;
}

class Processes {
 public:
  Processes(const Options& options, const ServePart& serve) : options_(options), serve_(serve) {}
  ~Processes() { CloseSockets(); }

  absl::Status OpenSockets();
  absl::Status OpenAdmin();
  // Starts all. Returns: false after a line where one cannot serve; then none is left.
  bool StartAll();
  // Keeps them running until SIGTERM or SIGINT.
  void Supervise();
  // Returns: the exit status.
  int StopAll();

 private:
  struct Process {
    Part part;
    pid_t pid = -1;  // -1: down
    int orders = -1;
    int announcement = -1;  // to be received
    int64_t started = 0;
  };

  bool Start(Process& process);
  [[noreturn]] void RunChild(const Process& process, int orders, int announcement);
  Announcement Await(Process& process);
  void Tell(Order order);
  void Restart();
  // Takes notice of those that have ended. Returns: whether all ended as they should.
  bool Reap(bool stopping);
  bool AllRun() const;
  void CloseSockets();

  Options options_;  // the ports as they really are
  const ServePart& serve_;
  std::vector<Process> processes_;
};

absl::Status Processes::OpenSockets() {
  const int groups = tuning::ExpectedGroups(options_.tuning);
  const int sockets = groups * options_.processes;
  const int doors = sockets * static_cast<int>(options_.listen.size());
  if (options_.threads < doors) {
    return absl::InvalidArgumentError(absl::StrCat(
        "--threads=", options_.threads,
        ": each address and scheduler of each process needs one, so at least ", doors));
  }
  processes_.resize(options_.processes);
  for (ListenAddress& address : options_.listen) {
    absl::StatusOr<std::vector<int>> opened = Listen(&address, sockets, options_.send_timeout);
    if (!opened.ok()) return opened.status();
    for (int i = 0; i < sockets; ++i) {
      Part& part = processes_[i / groups].part;
      if (i % groups == 0) part.sockets.emplace_back();
      part.sockets.back().push_back((*opened)[i]);
    }
  }
  for (int i = 0; i < options_.processes; ++i) processes_[i].part.number = i + 1;
  return options_.admin.on ? OpenAdmin() : absl::OkStatus();
}

absl::Status Processes::OpenAdmin() {
  absl::StatusOr<std::vector<int>> opened = Admin::Listen(&options_.admin, options_.processes);
  if (!opened.ok()) return opened.status();
  std::shared_ptr<Board> board = Board::Make(options_.processes);
  for (int i = 0; i < options_.processes; ++i) {
    processes_[i].part.sockets.push_back({(*opened)[i]});
    processes_[i].part.board = board;
  }
  return absl::OkStatus();
}

bool Processes::Start(Process& process) {
  process.started = MonotonicSeconds();
  int orders[2], announcement[2];
  if (pipe(orders) != 0) return false;
  bool piped = pipe(announcement) == 0;
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
  for (const Process& other : processes_) {
    if (other.orders >= 0) close(other.orders);  // else it would not end with the first process
    if (other.announcement >= 0) close(other.announcement);
    if (&other == &process) continue;
    for (const std::vector<int>& sockets : other.part.sockets) {
      for (int socket : sockets) close(socket);
    }
  }
  Options options = options_;
  options.threads = options_.threads / options_.processes +
                    (process.part.number <= options_.threads % options_.processes ? 1 : 0);
  std::exit(serve_(options, process.part, Orders::ByPipe(orders),
                   [announcement](const Announcement& said) {
                     Send(said, announcement);
                     close(announcement);
                   }));
}

// Waits until a process that was started has said whether it serves. One that does not is down.
Announcement Processes::Await(Process& process) {
  Announcement said = Receive(process.announcement);
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
  bool serve = true;
  for (Process& process : processes_) {
    if (serve && !Start(process)) {
      Say(absl::StrCat("process ", process.part.number, " of ", options_.processes,
                       " could not be started: ", std::strerror(errno)));
      serve = false;
    }
  }
  bool said = !serve;
  for (Process& process : processes_) {
    if (process.pid < 0) continue;
    Announcement announcement = Await(process);
    serve = serve && announcement.serves;
    if (process.part.number == 1) first = announcement;
    if (!announcement.serves && !std::exchange(said, true)) Print(announcement);
  }
  if (serve) {
    Print(first);  // the others say the same
  } else {
    StopAll();
  }
  return serve;
}

void Processes::Supervise() {
  sigset_t signals;
  sigemptyset(&signals);
  for (int number : {SIGTERM, SIGINT, SIGUSR1, SIGCHLD}) sigaddset(&signals, number);
  for (;;) {
    timespec step{kLeastSeconds, 0};
    int number = AllRun() ? sigwaitinfo(&signals, nullptr) : sigtimedwait(&signals, nullptr, &step);
    if (number == SIGTERM || number == SIGINT) return;
    if (number == SIGUSR1) Tell(Order::kStatistics);
    Reap(false);
    Restart();
  }
}

void Processes::Restart() {
  for (Process& process : processes_) {
    if (process.pid >= 0 || MonotonicSeconds() < process.started + kLeastSeconds) continue;
    MakeBlocking(process.part, options_.listen);
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

int Processes::StopAll() {
  sigset_t signals;
  sigemptyset(&signals);
  for (int number : {SIGTERM, SIGINT, SIGCHLD}) sigaddset(&signals, number);
  CloseSockets();  // those of a process that is down would still take connections
  Tell(Order::kStop);
  bool well = Reap(true);
  while (std::any_of(processes_.begin(), processes_.end(),
                     [](const Process& process) { return process.pid >= 0; })) {
    int number = sigwaitinfo(&signals, nullptr);
    if (number == SIGTERM || number == SIGINT) Tell(Order::kStop);
    well = Reap(true) && well;
  }
  return well ? 0 : 1;
}

void Processes::Tell(Order order) {
  for (const Process& process : processes_) {
    // A pipe that is full, or without a reader, is that of a process that is about to end.
    if (process.orders >= 0 && write(process.orders, &order, 1) < 0) continue;
  }
}

bool Processes::Reap(bool stopping) {
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

void Processes::CloseSockets() {
  for (ListenAddress& address : options_.listen) RemoveUnixFile(&address);
  for (Process& process : processes_) {
    for (const std::vector<int>& sockets : process.part.sockets) {
      for (int socket : sockets) close(socket);
    }
    process.part.sockets.clear();
  }
}

}  // namespace

void Print(const Announcement& announcement) {
  std::fputs(announcement.errors.c_str(), stderr);
  std::fputs(announcement.output.c_str(), stdout);
  std::fflush(stdout);
}

int ServeByProcesses(const Options& options, const ServePart& serve) {
  Processes processes(options, serve);
  absl::Status opened = processes.OpenSockets();
  if (!opened.ok()) {
    Say(std::string(opened.message()));
    return kCannotServe;
  }
  if (!processes.StartAll()) return kCannotServe;
  processes.Supervise();
  return processes.StopAll();
}

}  // namespace knot
