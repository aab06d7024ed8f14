#include "knot/takeover.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "knot/listener.h"
#include "knot/unix_socket.h"

extern char** environ;

namespace knot {
namespace {

constexpr const char* kVariable = "KNOT_INHERIT";
constexpr absl::string_view kEnd = ".";  // no address looks so
constexpr absl::string_view kGo = "go";
constexpr absl::string_view kNo = "no";
constexpr size_t kMostAtATime = 200;  // descriptors in a message; Linux takes 253
constexpr size_t kMostText = 256;     // of an address
constexpr int kPatienceMs = 10'000;   // with one that should answer at once

// Requires: at most kMostAtATime sockets.
bool SendSockets(int to, absl::string_view text, const int* sockets, size_t count) {
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int) * kMostAtATime)] = {};
  iovec part{const_cast<char*>(text.data()), text.size()};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  if (count > 0) {
    message.msg_control = control;
    message.msg_controllen = CMSG_SPACE(sizeof(int) * count);
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int) * count);
    std::memcpy(CMSG_DATA(header), sockets, sizeof(int) * count);
  }
  ssize_t sent;
  do {
    sent = sendmsg(to, &message, MSG_NOSIGNAL);
  } while (sent < 0 && errno == EINTR);
  return sent == static_cast<ssize_t>(text.size());
}

// Returns: false at the end, on an error, or where a message is not one of SendSockets.
bool ReceiveSockets(int from, std::string* text, std::vector<int>* sockets) {
  pollfd wait{from, POLLIN, 0};
  if (poll(&wait, 1, kPatienceMs) <= 0) return false;
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int) * kMostAtATime)];
  char buffer[kMostText];
  iovec part{buffer, sizeof buffer};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  ssize_t count;
  do {
    count = recvmsg(from, &message, MSG_CMSG_CLOEXEC);
  } while (count < 0 && errno == EINTR);
  if (count <= 0) return false;
  text->assign(buffer, count);
  for (cmsghdr* header = CMSG_FIRSTHDR(&message); header != nullptr;
       header = CMSG_NXTHDR(&message, header)) {
    if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
    size_t passed = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    size_t before = sockets->size();
    sockets->resize(before + passed);
    std::memcpy(sockets->data() + before, CMSG_DATA(header), passed * sizeof(int));
  }
  return (message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) == 0;
}

bool IsListening(int descriptor) {
  int listens = 0;
  socklen_t size = sizeof listens;
  return getsockopt(descriptor, SOL_SOCKET, SO_ACCEPTCONN, &listens, &size) == 0 && listens != 0;
}

// Tells whether the other end is root's, or of the same user as this process.
bool IsOurs(int socket, pid_t* pid) {
  ucred peer{};
  socklen_t size = sizeof peer;
  if (getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0) return false;
  *pid = peer.pid;
  return peer.uid == 0 || peer.uid == geteuid();
}

absl::Status SetPath(const std::string& path, sockaddr_un* address) {
  address->sun_family = AF_UNIX;
  if (path.size() >= sizeof address->sun_path) {
    return absl::InvalidArgumentError(absl::StrCat("--takeover=", path, ": must be shorter than ",
                                                   sizeof address->sun_path, " bytes"));
  }
  std::memcpy(address->sun_path, path.c_str(), path.size() + 1);
  return absl::OkStatus();
}

// Returns: a socket, or -1 where nobody is there.
absl::StatusOr<int> Connect(const std::string& path) {
  sockaddr_un address{};
  absl::Status status = SetPath(path, &address);
  if (!status.ok()) return status;
  int descriptor = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
  if (descriptor < 0) return absl::ErrnoToStatus(errno, "cannot make a socket");
  if (connect(descriptor, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0) {
    pid_t pid;
    if (IsOurs(descriptor, &pid)) return descriptor;
    close(descriptor);
    return absl::PermissionDeniedError(
        absl::StrCat("what listens at ", path, " is another user's"));
  }
  int error = errno;
  close(descriptor);
  if (error == ENOENT || error == ECONNREFUSED) return -1;
  return absl::ErrnoToStatus(error, absl::StrCat("cannot ask at ", path, " for the sockets"));
}

// Returns: the environment of this process with the variable that a successor looks for.
std::vector<std::string> SuccessorEnvironment(int descriptor) {
  std::vector<std::string> variables;
  for (char** variable = environ; *variable != nullptr; ++variable) {
    absl::string_view name = absl::string_view(*variable).substr(0, std::strcspn(*variable, "="));
    // The last was for this process alone: sd_watchdog_enabled(3).
    if (name != kVariable && name != "WATCHDOG_PID") variables.emplace_back(*variable);
  }
  variables.push_back(absl::StrCat(kVariable, "=", descriptor));
  return variables;
}

}  // namespace

absl::StatusOr<std::shared_ptr<Predecessor>> Predecessor::Find(const std::string& path) {
  int descriptor = -1;
  if (const char* inherited = std::getenv(kVariable)) {
    bool good = absl::SimpleAtoi(inherited, &descriptor) && descriptor > STDERR_FILENO &&
                fcntl(descriptor, F_SETFD, FD_CLOEXEC) == 0;
    unsetenv(kVariable);
    if (!good) {
      return absl::InvalidArgumentError(absl::StrCat(kVariable, " names no socket of a Knot"));
    }
  } else if (!path.empty()) {
    absl::StatusOr<int> connected = Connect(path);
    if (!connected.ok()) return connected.status();
    descriptor = *connected;
  }
  if (descriptor < 0) return nullptr;
  std::shared_ptr<Predecessor> predecessor(new Predecessor(descriptor));
  absl::Status status = predecessor->Receive();
  if (!status.ok()) return status;
  return predecessor;
}

absl::Status Predecessor::Receive() {
  for (;;) {
    Listening listening;
    bool good = ReceiveSockets(socket_, &listening.address, &listening.sockets);
    if (good && listening.address == kEnd) return absl::OkStatus();
    good = good && !listening.sockets.empty() &&
           std::all_of(listening.sockets.begin(), listening.sockets.end(), IsListening);
    // Two addresses may have one name: 127.0.0.1:0, of which the system chooses the port.
    bool more = !rest_.empty() && rest_.back().address == listening.address &&
                rest_.back().sockets.size() % kMostAtATime == 0;
    rest_.push_back(std::move(listening));  // so that what came is closed at the end
    if (!good) {
      return absl::UnavailableError("the Knot to be replaced does not hand over its sockets");
    }
    if (!more) continue;
    std::vector<int>& last = rest_[rest_.size() - 2].sockets;
    last.insert(last.end(), rest_.back().sockets.begin(), rest_.back().sockets.end());
    rest_.pop_back();
  }
}

Predecessor::~Predecessor() {
  CloseRest();
  close(socket_);
}

void Predecessor::CloseRest() {
  for (const Listening& listening : rest_) {
    for (int socket : listening.sockets) close(socket);
  }
  rest_.clear();
}

std::vector<std::string> Predecessor::Names() const {
  std::vector<std::string> names;
  for (const Listening& listening : rest_) names.push_back(listening.address);
  return names;
}

absl::StatusOr<std::vector<int>> Predecessor::Take(ListenAddress* address, size_t count) {
  absl::StatusOr<std::vector<int>> taken = Take(AddressText(*address), count);
  if (taken.ok() && !taken->empty() && !address->host.empty()) address->port = PortOf((*taken)[0]);
  return taken;
}

absl::StatusOr<std::vector<int>> Predecessor::Take(const std::string& text, size_t count) {
  auto found = std::find_if(rest_.begin(), rest_.end(),
                            [&](const Listening& one) { return one.address == text; });
  if (found == rest_.end()) return std::vector<int>();
  if (found->sockets.size() != count) {
    return absl::FailedPreconditionError(
        absl::StrCat("the Knot to be replaced has ", found->sockets.size(), " sockets for ", text,
                     ", not ", count, "; --processes and --schedulers cannot change so"));
  }
  std::vector<int> sockets = std::move(found->sockets);
  rest_.erase(found);
  return sockets;
}

bool Predecessor::Announce(const Announcement& announcement) {
  SendAnnouncement(announcement, socket_);
  shutdown(socket_, SHUT_WR);
  pollfd wait{socket_, POLLIN, 0};
  if (!announcement.serves || poll(&wait, 1, kPatienceMs) <= 0) return true;
  char answer[2];
  // One that has ended meanwhile has nothing against it.
  ssize_t count = read(socket_, answer, sizeof answer);
  return count <= 0 || absl::string_view(answer, count) != kNo;
}

bool Predecessor::Gone(int timeout_ms) const {
  pollfd wait{socket_, POLLIN, 0};
  if (poll(&wait, 1, timeout_ms) <= 0) return false;
  char byte;  // perhaps of an answer that Announce has not read yet
  return recv(socket_, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0;
}

absl::StatusOr<std::unique_ptr<Successor>> Successor::Start(const std::string& program,
                                                            char** argv) {
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) {
    return absl::ErrnoToStatus(errno, "cannot make a socket");
  }
  std::vector<std::string> variables = SuccessorEnvironment(ends[1]);
  std::vector<char*> environment;
  for (std::string& variable : variables) environment.push_back(variable.data());
  environment.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, ends[1], ends[1]);  // clears FD_CLOEXEC
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  sigset_t none;
  sigemptyset(&none);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
  pid_t pid;
  int error = posix_spawn(&pid, program.c_str(), &actions, &attributes, argv, environment.data());
  posix_spawnattr_destroy(&attributes);
  posix_spawn_file_actions_destroy(&actions);
  close(ends[1]);
  if (error == 0) return std::unique_ptr<Successor>(new Successor(ends[0], pid, true));
  close(ends[0]);
  return absl::ErrnoToStatus(error, absl::StrCat("cannot start ", program));
}

absl::StatusOr<std::unique_ptr<Successor>> Successor::Accept(int doorbell) {
  int descriptor = accept4(doorbell, nullptr, nullptr, SOCK_CLOEXEC);
  if (descriptor < 0) return nullptr;
  pid_t pid = -1;
  if (!IsOurs(descriptor, &pid)) {
    close(descriptor);
    return absl::PermissionDeniedError("a process of another user asked for the sockets");
  }
  return std::unique_ptr<Successor>(new Successor(descriptor, pid, false));
}

Successor::~Successor() {
  close(socket_);
  if (!child_ || serves_) return;
  kill(pid_, SIGKILL);
  while (waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
  }
}

absl::Status Successor::HandOver(const std::vector<Listening>& all) {
  SetSendTimeout(socket_, kPatienceMs / 1000);
  // What follows a full message under the same name belongs to it.
  for (const Listening& listening : all) {
    for (size_t at = 0; at < listening.sockets.size(); at += kMostAtATime) {
      size_t count = std::min(listening.sockets.size() - at, kMostAtATime);
      if (SendSockets(socket_, listening.address, &listening.sockets[at], count)) continue;
      return absl::UnavailableError("it ended before it served");
    }
  }
  if (SendSockets(socket_, kEnd, nullptr, 0)) return absl::OkStatus();
  return absl::UnavailableError("it ended before it served");
}

bool Successor::HasSpoken(int timeout_ms) const {
  pollfd wait{socket_, POLLIN, 0};
  return poll(&wait, 1, timeout_ms) > 0;
}

Announcement Successor::Receive() {
  Announcement said = ReceiveAnnouncement(socket_);
  serves_ = said.serves;
  return said;
}

void Successor::LetGo() { SendSockets(socket_, kGo, nullptr, 0); }

void Successor::Refuse() { SendSockets(socket_, kNo, nullptr, 0); }

absl::Status Doorbell::Prepare(const std::string& path) {
  sockaddr_un address{};
  path_ = path;
  fresh_ = absl::StrCat(path, ".", getpid());
  absl::Status status = SetPath(fresh_, &address);
  if (!status.ok()) return status;
  struct stat there;
  if (lstat(path.c_str(), &there) == 0 && !S_ISSOCK(there.st_mode)) {
    return absl::AlreadyExistsError(
        absl::StrCat("cannot listen at ", path, ": something else has that name"));
  }
  int descriptor = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (descriptor < 0) return absl::ErrnoToStatus(errno, "cannot make a socket");
  unlink(fresh_.c_str());
  // Of a socket that has no name yet it is the mode that its name will get.
  bool bound = fchmod(descriptor, 0600) == 0 &&
               bind(descriptor, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
  // SIGIO is one of the signals that are orders: see knot/orders.h.
  bool open = bound && lstat(fresh_.c_str(), &file_) == 0 && listen(descriptor, 8) == 0 &&
              fcntl(descriptor, F_SETOWN, getpid()) == 0 &&
              fcntl(descriptor, F_SETFL, fcntl(descriptor, F_GETFL) | O_ASYNC) == 0;
  if (open) {
    descriptor_ = descriptor;
    return absl::OkStatus();
  }
  int error = errno;
  if (bound) unlink(fresh_.c_str());
  close(descriptor);
  return absl::ErrnoToStatus(error, absl::StrCat("cannot listen at ", path));
}

absl::Status Doorbell::Publish() {
  if (descriptor_ < 0) return absl::OkStatus();
  if (rename(fresh_.c_str(), path_.c_str()) != 0) {
    return absl::ErrnoToStatus(errno, absl::StrCat("cannot listen at ", path_));
  }
  fresh_.clear();
  return absl::OkStatus();
}

void Doorbell::Close(bool unlink_it) {
  if (descriptor_ < 0) return;
  const std::string& name = fresh_.empty() ? path_ : fresh_;
  struct stat now;
  bool ours =
      lstat(name.c_str(), &now) == 0 && now.st_dev == file_.st_dev && now.st_ino == file_.st_ino;
  if (unlink_it && ours) unlink(name.c_str());
  close(std::exchange(descriptor_, -1));
}

Listening ToHandOver(std::string name, const ListenAddress& address,
                     const std::vector<int>& sockets) {
  if (!address.Shared()) return {std::move(name), sockets};
  return {std::move(name), {sockets[0]}};
}

absl::StatusOr<std::vector<int>> ListenOrTake(Predecessor* predecessor, ListenAddress* address,
                                              int count, int send_timeout_s) {
  if (predecessor != nullptr && address->Shared() && address->descriptor < 0) {
    absl::StatusOr<std::vector<int>> taken = predecessor->Take(address, 1);
    if (!taken.ok()) return taken;
    if (!taken->empty()) {
      address->descriptor = (*taken)[0];
      AdoptUnixFile(address);
    }
  } else if (predecessor != nullptr && !address->Shared()) {
    absl::StatusOr<std::vector<int>> taken = predecessor->Take(address, count);
    if (!taken.ok() || !taken->empty()) {
      if (taken.ok()) {
        for (int socket : *taken) SetSendTimeout(socket, send_timeout_s);
      }
      return taken;
    }
  }
  return Listen(address, count, send_timeout_s);
}

std::string ProgramPath() {
  char path[4096];
  ssize_t size = readlink("/proc/self/exe", path, sizeof path);
  return size > 0 ? std::string(path, size) : "";
}

}  // namespace knot
