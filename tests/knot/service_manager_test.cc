#include "knot/service_manager.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstddef>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "tests/knot/support/client.h"
#include "tests/knot/support/server_process.h"

namespace knot::test {
namespace {

// The manager's end: a socket that NOTIFY_SOCKET names while this lives.
class Manager {
 public:
  explicit Manager(const std::string& name) {
    socket_ = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, name.data(), name.size());
    if (name[0] == '@') address.sun_path[0] = '\0';
    auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + name.size());
    EXPECT_EQ(bind(socket_, reinterpret_cast<sockaddr*>(&address), size), 0);
    setenv("NOTIFY_SOCKET", name.c_str(), 1);
  }

  ~Manager() {
    unsetenv("NOTIFY_SOCKET");
    close(socket_);
  }

  // Returns: the next message, or "" where none comes for too long.
  std::string Next(int timeout_ms = 60'000) {
    pollfd wait{socket_, POLLIN, 0};
    if (poll(&wait, 1, timeout_ms) <= 0) return "";
    char text[4096];
    ssize_t size = recv(socket_, text, sizeof text, 0);
    return size > 0 ? std::string(text, size) : "";
  }

 private:
  int socket_;
};

std::string MainPid(pid_t pid) { return "MAINPID=" + std::to_string(pid) + "\n"; }

TEST(ServiceManager, SpeaksToASocketWithAndWithoutAFile) {
  test::TempDirectory directory;
  for (const std::string& name : {directory / "notify", "@knot-test-" + std::to_string(getpid())}) {
    Manager manager(name);
    ServiceManager service(true), silent(false);
    silent.Ready();
    service.Ready();
    EXPECT_EQ(manager.Next(), "READY=1\n" + MainPid(getpid()));
    service.Reloading();
    std::string text = manager.Next();
    EXPECT_EQ(text.find("RELOADING=1\nMONOTONIC_USEC="), 0u) << text;
    service.Stopping();
    EXPECT_EQ(manager.Next(), "STOPPING=1\n");
    service.Replaced(42);
    EXPECT_EQ(manager.Next(), "MAINPID=42\n");
  }
}

TEST(ServiceManager, IsSilentWithoutOne) {
  for (const char* name : {"", "relative", "/none/socket", "@"}) {
    setenv("NOTIFY_SOCKET", name, 1);
    setenv("WATCHDOG_USEC", "1000000", 1);
    ServiceManager service(true);
    service.Ready();
    service.WatchdogPassed();
  }
  setenv("NOTIFY_SOCKET", std::string(200, '/').c_str(), 1);
  ServiceManager(true).Ready();
  unsetenv("NOTIFY_SOCKET");
  EXPECT_EQ(ServiceManager(true).WatchdogMs(), -1);
  unsetenv("WATCHDOG_USEC");
}

TEST(ServiceManager, KeepsTheWatchdogAtHalfItsTime) {
  test::TempDirectory directory;
  Manager manager(directory / "notify");
  std::string self = std::to_string(getpid()), other = std::to_string(getppid());
  struct Case {
    const char *time, *process;
    int ms;
  };
  for (const Case& c : std::vector<Case>{{"1000000", nullptr, 500},
                                         {"1000000", self.c_str(), 500},
                                         {"1000000", other.c_str(), -1},
                                         {"1000000", "x", -1},
                                         {"1", nullptr, 1},
                                         {"0", nullptr, -1},
                                         {"-5", nullptr, -1},
                                         {"x", nullptr, -1}}) {
    setenv("WATCHDOG_USEC", c.time, 1);
    c.process != nullptr ? setenv("WATCHDOG_PID", c.process, 1) : unsetenv("WATCHDOG_PID");
    EXPECT_EQ(ServiceManager(true).WatchdogMs(), c.ms) << c.time;
  }
  unsetenv("WATCHDOG_PID");
  setenv("WATCHDOG_USEC", "1000000000", 1);
  ServiceManager service(true);
  service.WatchdogPassed();
  EXPECT_EQ(manager.Next(), "WATCHDOG=1\n");
  service.WatchdogPassed();  // it is not time
  service.Stopping();
  EXPECT_EQ(manager.Next(), "STOPPING=1\n");
  unsetenv("WATCHDOG_USEC");
}

TEST(PidFile, NamesThisProcessUntilItIsRemoved) {
  test::TempDirectory directory;
  {
    PidFile file;
    ASSERT_TRUE(file.Prepare(directory / "pid").ok());
    ASSERT_TRUE(file.Publish().ok());
    EXPECT_EQ(test::ReadFile(directory / "pid"), std::to_string(getpid()) + "\n");
  }
  struct stat status;
  EXPECT_NE(stat((directory / "pid").c_str(), &status), 0);
  {
    PidFile file;
    ASSERT_TRUE(file.Prepare(directory / "pid").ok());
    ASSERT_TRUE(file.Publish().ok());
    test::WriteFile(directory / "pid", "42\n");  // of a successor
  }
  EXPECT_EQ(test::ReadFile(directory / "pid"), "42\n");
  PidFile file;
  EXPECT_FALSE(file.Prepare(directory / "none/pid").ok());
}

TEST(PidFile, TakesThePlaceOfNothingElse) {
  test::TempDirectory directory;
  PidFile file;
  for (const char* text : {"threads = 4\n", "11111111111111111111111111111111111111\n"}) {
    test::WriteFile(directory / "other", text);
    absl::Status status = file.Prepare(directory / "other");
    EXPECT_NE(status.message().find("something else"), absl::string_view::npos) << status;
    EXPECT_EQ(test::ReadFile(directory / "other"), text);
  }
  EXPECT_FALSE(file.Prepare(directory.path()).ok());
  EXPECT_FALSE(file.Prepare("/dev/null").ok());
  test::WriteFile(directory / "old", "42\n");
  EXPECT_TRUE(file.Prepare(directory / "old").ok());
  test::WriteFile(directory / "empty", "");
  EXPECT_TRUE(file.Prepare(directory / "empty").ok());
}

class ManagedService : public test::KnotTest {
 protected:
  ~ManagedService() override {
    server_ = nullptr;
    test::EndChildren();
  }

  void SetUp() override { test::WriteFile(root_ / "file", "contents"); }

  // Skips what the watchdog says.
  std::string NextButWatchdog() {
    std::string text;
    do {
      text = manager_.Next();
    } while (text == "WATCHDOG=1\n");
    return text;
  }

  test::TempDirectory files_;
  Manager manager_{files_ / "notify"};
};

TEST_P(ManagedService, IsTold) {
  for (const char* processes : {"--processes=1", "--processes=2"}) {
    Start({"--threads=16", processes, "--pid_file=" + files_ / "pid"});
    EXPECT_EQ(manager_.Next(), "READY=1\n" + MainPid(server_->pid()));
    EXPECT_EQ(test::ReadFile(files_ / "pid"), std::to_string(server_->pid()) + "\n");
    server_->Signal(SIGHUP);
    EXPECT_EQ(manager_.Next().find("RELOADING=1\nMONOTONIC_USEC="), 0u);
    EXPECT_EQ(manager_.Next(), "READY=1\n" + MainPid(server_->pid()));
    server_->Signal(SIGTERM);
    EXPECT_EQ(manager_.Next(), "STOPPING=1\n");
    EXPECT_EQ(server_->WaitForExit(), 0);
    struct stat status;
    EXPECT_NE(stat((files_ / "pid").c_str(), &status), 0);
  }
}

TEST_P(ManagedService, FeedsTheWatchdog) {
  setenv("WATCHDOG_USEC", "20000", 1);
  for (const char* processes : {"--processes=1", "--processes=2"}) {
    Start({"--threads=16", processes});
    EXPECT_EQ(manager_.Next().find("READY=1\n"), 0u);
    for (int i = 0; i < 5; ++i) EXPECT_EQ(manager_.Next(), "WATCHDOG=1\n");
    server_->Signal(SIGTERM);
    EXPECT_EQ(NextButWatchdog(), "STOPPING=1\n");
    EXPECT_EQ(server_->WaitForExit(), 0);
  }
  unsetenv("WATCHDOG_USEC");
}

TEST_P(ManagedService, HasAnotherMainProcessAfterATakeover) {
  test::AdoptOrphans();
  for (const char* processes : {"--processes=1", "--processes=2"}) {
    Start({"--threads=16", processes, "--pid_file=" + files_ / "pid"});
    EXPECT_EQ(manager_.Next(), "READY=1\n" + MainPid(server_->pid()));
    server_->Signal(SIGUSR2);
    std::string text = manager_.Next();
    ASSERT_EQ(text.find("MAINPID="), 0u) << text << server_->Error();
    pid_t successor = std::atoi(text.c_str() + 8);
    EXPECT_EQ(manager_.Next(), "READY=1\n" + MainPid(successor));
    EXPECT_EQ(server_->WaitForExit(), 0);
    EXPECT_EQ(test::ReadFile(files_ / "pid"), std::to_string(successor) + "\n");
    EXPECT_EQ(test::Client(port_).Get("/file").body, "contents");
    kill(successor, SIGTERM);
    EXPECT_EQ(manager_.Next(), "STOPPING=1\n");
    EXPECT_EQ(waitpid(successor, nullptr, 0), successor);
  }
}

TEST_P(ManagedService, CannotServeWithoutItsPidFile) {
  for (const char* processes : {"--processes=1", "--processes=2"}) {
    test::ServerProcess process(
        GetParam(), {processes, "--pid_file=/none/pid", "--listen=127.0.0.1:0", root_.path()});
    EXPECT_EQ(process.WaitForExit(), 2);
    EXPECT_NE(process.Error().find("/none/pid"), std::string::npos) << process.Error();
    EXPECT_EQ(process.Output(), "");
  }
}

INSTANTIATE_FOR_BINARIES(ManagedService);

}  // namespace
}  // namespace knot::test
