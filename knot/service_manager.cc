#include "knot/service_manager.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "knot/monotonic.h"

namespace knot {
namespace {

// Returns: half of the manager's patience with this process, or -1.
int HalfOfWatchdogMs() {
  const char* time = std::getenv("WATCHDOG_USEC");
  const char* process = std::getenv("WATCHDOG_PID");
  int64_t time_us;
  int64_t pid = getpid();
  if (time == nullptr || !absl::SimpleAtoi(time, &time_us) || time_us <= 0) return -1;
  if (process != nullptr && (!absl::SimpleAtoi(process, &pid) || pid != getpid())) return -1;
  return static_cast<int>(std::clamp(time_us / 2000, int64_t{1}, int64_t{3'600'000}));
}

std::string TextOf(pid_t pid) { return absl::StrCat(pid, "\n"); }

}  // namespace

ServiceManager::ServiceManager(bool speaks) {
  const char* name = std::getenv("NOTIFY_SOCKET");
  if (!speaks || name == nullptr || (name[0] != '/' && name[0] != '@') || name[1] == '\0') return;
  address_ = name;
  if (address_.size() > sizeof(sockaddr_un::sun_path) - 1) return;
  if (address_[0] == '@') address_[0] = '\0';
  socket_ = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (socket_ >= 0) watchdog_ms_ = HalfOfWatchdogMs();
}

ServiceManager::~ServiceManager() {
  if (socket_ >= 0) close(socket_);
}

void ServiceManager::Ready() { Send(absl::StrCat("READY=1\nMAINPID=", getpid(), "\n")); }

void ServiceManager::Reloading() {
  Send(absl::StrCat("RELOADING=1\nMONOTONIC_USEC=", MonotonicUs(), "\n"));
}

void ServiceManager::Stopping() { Send("STOPPING=1\n"); }

void ServiceManager::Replaced(pid_t successor) { Send(absl::StrCat("MAINPID=", successor, "\n")); }

void ServiceManager::WatchdogPassed() {
  if (watchdog_ms_ < 0) return;
  int64_t now = MonotonicUs() / 1000;
  if (now - said_ms_ < watchdog_ms_) return;
  said_ms_ = now;
  Send("WATCHDOG=1\n");
}

void ServiceManager::Send(absl::string_view lines) const {
  if (socket_ < 0) return;
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, address_.data(), address_.size());
  auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + address_.size());
  sendto(socket_, lines.data(), lines.size(), MSG_NOSIGNAL | MSG_DONTWAIT,
         reinterpret_cast<sockaddr*>(&address), size);
}

namespace {

// Tells whether there is nothing of that name, or what a daemon has left there: a file with a
// number.
bool MayBePidFile(const std::string& name) {
  struct stat there;
  if (lstat(name.c_str(), &there) != 0) return true;
  char text[32];
  if (!S_ISREG(there.st_mode) || there.st_size >= static_cast<off_t>(sizeof text)) return false;
  int descriptor = open(name.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
  if (descriptor < 0) return false;
  ssize_t size = read(descriptor, text, sizeof text);
  close(descriptor);
  return std::all_of(text, text + std::max<ssize_t>(size, 0), [](char c) {
    return absl::ascii_isdigit(static_cast<unsigned char>(c)) || c == '\n';
  });
}

}  // namespace

absl::Status PidFile::Prepare(const std::string& name) {
  if (!MayBePidFile(name)) {
    return absl::AlreadyExistsError(
        absl::StrCat("cannot write the process id to ", name, ": something else has that name"));
  }
  pid_ = getpid();
  std::string fresh = absl::StrCat(name, ".", pid_);
  std::string text = TextOf(pid_);
  int descriptor = open(fresh.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644);
  bool written = descriptor >= 0 &&
                 write(descriptor, text.data(), text.size()) == static_cast<ssize_t>(text.size());
  int error = errno;
  if (descriptor >= 0) close(descriptor);
  if (written) {
    name_ = name;
    fresh_ = fresh;
    return absl::OkStatus();
  }
  if (descriptor >= 0) unlink(fresh.c_str());
  return absl::ErrnoToStatus(error, absl::StrCat("cannot write the process id to ", name));
}

absl::Status PidFile::Publish() {
  if (fresh_.empty()) return absl::OkStatus();
  if (rename(fresh_.c_str(), name_.c_str()) != 0) {
    return absl::ErrnoToStatus(errno, absl::StrCat("cannot write the process id to ", name_));
  }
  fresh_.clear();
  return absl::OkStatus();
}

void PidFile::Remove() {
  if (name_.empty() || getpid() != pid_) return;
  if (!fresh_.empty()) {
    unlink(fresh_.c_str());
    fresh_.clear();
    name_.clear();
    return;
  }
  char text[32] = {};
  int descriptor = open(name_.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (descriptor < 0) return;
  ssize_t size = read(descriptor, text, sizeof text - 1);
  close(descriptor);
  if (size > 0 && TextOf(pid_) == text) unlink(name_.c_str());
  name_.clear();
}

}  // namespace knot
