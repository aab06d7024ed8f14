// What a process that serves has given up: root's rights, other files, other calls.

#include "knot/privileges.h"

#include <dirent.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

#include "knot/sandbox.h"
#include "tests/knot/support/client.h"
#include "tests/knot/support/server_process.h"

namespace knot::test {
namespace {

bool HasLandlock() { return syscall(SYS_landlock_create_ruleset, nullptr, 0, 1) >= 1; }

// Runs `body` in a child. Returns: its exit status.
int InChild(const std::function<int()>& body) {
  pid_t child = fork();
  if (child == 0) _exit(body());
  int status = 0;
  waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

TEST(FindIdentity, TakesNamesAndNumbers) {
  absl::StatusOr<Identity> nobody = FindIdentity("nobody");
  ASSERT_TRUE(nobody.ok()) << nobody.status();
  EXPECT_NE(nobody->user, 0u);
  EXPECT_FALSE(nobody->groups.empty());
  absl::StatusOr<Identity> numbers = FindIdentity("1234:5678");
  ASSERT_TRUE(numbers.ok()) << numbers.status();
  EXPECT_EQ(numbers->user, 1234u);
  EXPECT_EQ(numbers->group, 5678u);
  EXPECT_EQ(numbers->groups, std::vector<gid_t>{5678});
  absl::StatusOr<Identity> mixed = FindIdentity("nobody:0");
  ASSERT_TRUE(mixed.ok()) << mixed.status();
  EXPECT_EQ(mixed->group, 0u);
  for (const char* wrong : {"", ":", "no-such-user", "nobody:no-such-group", "nobody:", "root",
                            "0:0", "1234", "-1:5", "4294967295:5", "5:4294967295", "1234:x y"}) {
    EXPECT_FALSE(FindIdentity(wrong).ok()) << wrong;
  }
}

TEST(Become, LeavesNoWayBack) {
  if (getuid() != 0) GTEST_SKIP() << "only root can become another";
  EXPECT_EQ(InChild([] {
              absl::StatusOr<Identity> nobody = FindIdentity("nobody");
              if (!nobody.ok() || !Become(*nobody).ok()) return 1;
              if (getuid() != nobody->user || getgid() != nobody->group) return 2;
              if (setuid(0) == 0 || setgid(0) == 0) return 3;
              gid_t groups[64];
              int count = getgroups(64, groups);
              if (std::find(groups, groups + count, 0u) != groups + count) return 4;
              if (!Become(*nobody).ok()) return 5;  // it is, already
              return Become(Identity{1234, 1234, {}}).ok() ? 6 : 0;
            }),
            0);
}

TEST(ChangeRoot, NamesADirectoryThatIsNone) {
  absl::Status status = ChangeRoot("/none");
  EXPECT_NE(status.message().find("--chroot=/none"), absl::string_view::npos) << status;
}

class Files : public testing::TestWithParam<Sandbox> {
 protected:
  // Runs `body` where "read" can be read and "written" be written.
  int Restricted(const std::function<int()>& body) {
    for (const char* name : {"read", "written", "other"})
      WriteFile(directory_ / name + "/file", "");
    return InChild([&] {
      ForbidNewPrivileges();
      Reachable reachable{{directory_ / "read", directory_ / "none"},
                          {directory_ / "written", "/dev/null"}};
      if (!RestrictFiles(GetParam(), reachable).ok()) return 100;
      return body();
    });
  }

  static bool Opens(const std::string& name, int flags) {
    int descriptor = open(name.c_str(), flags | O_CLOEXEC, 0600);
    if (descriptor >= 0) close(descriptor);
    return descriptor >= 0;
  }

  test::TempDirectory directory_;
};

TEST_P(Files, CanBeWrittenWhereTheyAreToBe) {
  if (!HasLandlock()) GTEST_SKIP() << "this kernel has no Landlock";
  EXPECT_EQ(Restricted([&] {
              if (!Opens(directory_ / "written/file", O_WRONLY | O_APPEND)) return 1;
              if (!Opens(directory_ / "written/new", O_WRONLY | O_CREAT)) return 2;
              if (unlink((directory_ / "written/new").c_str()) != 0) return 3;
              if (!Opens("/dev/null", O_WRONLY)) return 4;
              for (const char* name : {"read/file", "other/file"}) {
                if (Opens(directory_ / name, O_WRONLY)) return 5;
                if (truncate((directory_ / name).c_str(), 0) == 0 ||
                    unlink((directory_ / name).c_str()) == 0)
                  return 6;
              }
              if (Opens(directory_ / "read/new", O_WRONLY | O_CREAT)) return 7;
              if (mkdir((directory_ / "other/new").c_str(), 0700) == 0) return 8;
              return Opens(directory_ / "read/file", O_RDONLY) ? 0 : 9;
            }),
            0);
}

TEST_P(Files, CanBeReadElsewhereOnlyIfThatIsNotRestricted) {
  if (!HasLandlock()) GTEST_SKIP() << "this kernel has no Landlock";
  bool strict = GetParam() == Sandbox::kOn;
  EXPECT_EQ(Restricted([&] {
              if (Opens(directory_ / "other/file", O_RDONLY) == strict) return 1;
              if (Opens("/etc/passwd", O_RDONLY) == strict) return 2;
              if ((opendir(directory_.path().c_str()) != nullptr) == strict) return 3;
              char* const arguments[] = {const_cast<char*>("true"), nullptr};
              if (strict && (execv("/bin/true", arguments) == 0 || errno != EACCES)) return 4;
              return 0;
            }),
            0);
}

INSTANTIATE_TEST_SUITE_P(With, Files, testing::Values(Sandbox::kAuto, Sandbox::kOn),
                         [](const auto& info) {
                           return info.param == Sandbox::kOn ? "On" : "Auto";
                         });

TEST(RestrictCalls, RefusesWhatAServerNeverDoes) {
  EXPECT_EQ(InChild([] {
              ForbidNewPrivileges();
              if (!RestrictCalls().ok()) return 1;
              auto refused = [](long result) { return result == -1 && errno == EPERM; };
              char* const arguments[] = {const_cast<char*>("true"), nullptr};
              if (!refused(execv("/bin/true", arguments))) return 2;
              if (!refused(ptrace(PTRACE_TRACEME, 0, nullptr, nullptr))) return 3;
              if (!refused(syscall(SYS_mount, "", "", "", 0, nullptr))) return 4;
              if (!refused(syscall(SYS_vhangup))) return 5;        // the last
              if (!refused(syscall(SYS_acct, "/none"))) return 6;  // the first
              int fd = socket(AF_INET, SOCK_STREAM, 0);
              sockaddr address{};
              address.sa_family = AF_INET;
              if (fd < 0 || !refused(connect(fd, &address, sizeof address))) return 7;
              if (!refused(syscall(0x40000000L + SYS_getpid))) return 8;  // as x32
              // And nothing else.
              if (getpid() <= 0 || close(fd) != 0 || getuid() == static_cast<uid_t>(-1)) return 9;
              int ends[2];
              return pipe(ends) == 0 && write(ends[1], "x", 1) == 1 ? 0 : 10;
            }),
            0);
}

class Confined : public test::KnotTest {
 protected:
  void SetUp() override {
    if (getuid() != 0) GTEST_SKIP() << "only root can become another";
    std::filesystem::permissions(root_.path(), std::filesystem::perms(0755));
    WriteFile(root_ / "file", "contents");
    std::filesystem::permissions(files_.path(), std::filesystem::perms(0755));
  }

  // What /proc says of the process that serves: a child of the one that was started, or that one.
  std::map<std::string, std::string> Status() {
    pid_t id = Server();
    std::istringstream text(ReadFile("/proc/" + std::to_string(id) + "/status"));
    std::map<std::string, std::string> fields;
    for (std::string line; std::getline(text, line);) {
      size_t colon = line.find(":\t");
      if (colon != std::string::npos) fields[line.substr(0, colon)] = line.substr(colon + 2);
    }
    return fields;
  }

  std::vector<pid_t> Children() {
    std::string id = std::to_string(server_->pid());
    std::istringstream text(ReadFile("/proc/" + id + "/task/" + id + "/children"));
    std::vector<pid_t> children;
    for (pid_t child; text >> child;) children.push_back(child);
    return children;
  }

  pid_t Server() {
    std::vector<pid_t> children = Children();
    return children.empty() ? server_->pid() : children.back();
  }

  // Waits until the server says `says` once more after SIGHUP.
  void Reload(const std::string& says) {
    auto count = [&] {
      size_t n = 0;
      std::string text = server_->Error();
      for (size_t at = text.find(says); at != std::string::npos; at = text.find(says, at + 1)) ++n;
      return n;
    };
    size_t before = count();
    server_->Signal(SIGHUP);
    for (int i = 0; i < 6000 && count() == before; ++i) usleep(10'000);
    EXPECT_GT(count(), before) << server_->Error();
  }

  test::TempDirectory files_;
};

TEST_P(Confined, NeverGetsNewPrivileges) {
  Start({"--threads=16"});
  EXPECT_EQ(Status()["NoNewPrivs"], "1");
}

TEST_P(Confined, ServesAsAnotherUser) {
  for (const char* processes : {"--processes=1", "--processes=2"}) {
    Start({"--threads=16", "--user=nobody:nogroup", processes, "--access_log=" + files_ / "log"});
    absl::StatusOr<Identity> nobody = FindIdentity("nobody:nogroup");
    ASSERT_TRUE(nobody.ok());
    std::string user = std::to_string(nobody->user), group = std::to_string(nobody->group);
    auto four = [](const std::string& id) { return id + "\t" + id + "\t" + id + "\t" + id; };
    std::map<std::string, std::string> status = Status();
    EXPECT_EQ(status["Uid"], four(user));
    EXPECT_EQ(status["Gid"], four(group));
    EXPECT_EQ(status["Groups"], group + " ");
    EXPECT_EQ(status["CapEff"], "0000000000000000");
    EXPECT_EQ(status["CapPrm"], "0000000000000000");
    for (const auto& thread :
         std::filesystem::directory_iterator("/proc/" + std::to_string(Server()) + "/task")) {
      std::string text = ReadFile(thread.path().string() + "/status");
      EXPECT_NE(text.find("Uid:\t" + four(user)), std::string::npos) << text;
    }
    EXPECT_EQ(Client(port_).Get("/file").body, "contents");
    struct stat log;
    ASSERT_EQ(stat((files_ / "log").c_str(), &log), 0);
    EXPECT_EQ(log.st_uid, nobody->user);
    // What that user cannot read it does not serve.
    WriteFile(root_ / "secret", "secret");
    chmod((root_ / "secret").c_str(), 0600);
    EXPECT_EQ(Client(port_).Get("/secret").status, 403);
    server_->Signal(SIGTERM);
    EXPECT_EQ(server_->WaitForExit(), 0);
    EXPECT_EQ(server_->Error(), "");
    EXPECT_NE(ReadFile(files_ / "log").find("GET /file"), std::string::npos);
    unlink((files_ / "log").c_str());
  }
}

TEST_P(Confined, ServesInAnotherFileTree) {
  Start({"--threads=16", "--chroot=" + root_.path(), "--user=nobody"});
  EXPECT_EQ(std::filesystem::read_symlink("/proc/" + std::to_string(Server()) + "/root"),
            std::filesystem::canonical(root_.path()));
  EXPECT_EQ(Client(port_).Get("/file").body, "contents");
  server_->Signal(SIGTERM);
  EXPECT_EQ(server_->WaitForExit(), 0);
}

TEST_P(Confined, ServesInASandbox) {
  if (!HasLandlock()) GTEST_SKIP() << "this kernel has no Landlock";
  for (const char* flag :
       {"--schedulers=1", "--schedulers=2", "--send=inline", "--spawn=on_demand"}) {
    Start(
        {"--threads=16", "--sandbox=on", "--user=nobody", flag, "--access_log=" + files_ / "log"});
    EXPECT_EQ(Status()["Seccomp"], "2");
    EXPECT_EQ(Client(port_).Get("/file").body, "contents");
    WriteFile(root_ / "big", test::Pattern(3'000'000));
    EXPECT_EQ(Client(port_).Get("/big").body.size(), 3'000'000u);
    EXPECT_EQ(Client(port_).Get("/none").status, 404);
    server_->Signal(SIGTERM);
    EXPECT_EQ(server_->WaitForExit(), 0);
    EXPECT_EQ(server_->Error(), "");
  }
}

// The process that serves could neither read the configuration anew nor bind the port.
TEST_P(Confined, IsReloadedByAnotherInItsPlace) {
  WriteFile(root_ / "one/file", "one");
  WriteFile(root_ / "two/file", "two");
  std::string config = files_ / "knot.conf";
  auto write = [&](const std::string& text) {
    WriteFile(config, text);
    chmod(config.c_str(), 0600);
  };
  for (const std::vector<std::string>& flags :
       std::vector<std::vector<std::string>>{{"--user=nobody"},
                                             {"--user=nobody", "--processes=2"},
                                             {"--chroot=" + root_.path()},
                                             {"--sandbox=on"}}) {
    if (flags[0] == "--sandbox=on" && !HasLandlock()) continue;
    SCOPED_TRACE(testing::PrintToString(flags));
    write("root = " + root_ / "one" + "\nlisten = 127.0.0.1:0\nthreads = 16\n");
    std::vector<std::string> arguments = flags;
    arguments.push_back("--config=" + config);
    server_ = std::make_unique<test::ServerProcess>(GetParam(), arguments);
    std::vector<uint16_t> ports = server_->WaitForPorts();
    ASSERT_EQ(ports.size(), 1u) << server_->Error();
    port_ = ports[0];
    Client waiting(port_);
    EXPECT_EQ(waiting.Get("/file").body, "one");
    std::vector<pid_t> old = Children();
    write("nonsense = 1\n");
    Reload("knot: not reloaded, as before: ");
    write("root = " + root_ / "two" + "\nlisten = 127.0.0.1:0\nthreads = 77\n");
    Reload("knot: reloaded; as before until a restart: --threads\n");
    // The old processes leave the sockets some time later, and let their connections ask once more.
    test::Reply last;
    for (int i = 0; i < 6000 && last.fields.count("connection") == 0; ++i) {
      last = waiting.Get("/file");
      ASSERT_EQ(last.body, "one") << last.failure;
    }
    EXPECT_EQ(last.fields["connection"], "close");
    for (pid_t child : old) {
      for (int i = 0; i < 6000 && kill(child, 0) == 0; ++i) usleep(10'000);
      EXPECT_NE(kill(child, 0), 0);
    }
    for (int i = 0; i < 50; ++i) EXPECT_EQ(Client(port_).Get("/file").body, "two");
    server_->Signal(SIGTERM);
    EXPECT_EQ(server_->WaitForExit(), 0);
    EXPECT_FALSE(Client(port_).connected());
  }
}

TEST_P(Confined, SaysInOneLineWhatItCannotBe) {
  for (const auto& [flag, says] : std::vector<std::pair<std::string, std::string>>{
           {"--user=no-such-user", "--user=no-such-user: there is no user no-such-user"},
           {"--user=root", "--user=root: must not be root"},
           {"--chroot=/none", "--chroot=/none: cannot be the root"},
           {"--sandbox=perhaps", "auto, on, off"}}) {
    test::ServerProcess process(GetParam(), {flag, "--listen=127.0.0.1:0", root_.path()});
    EXPECT_EQ(process.WaitForExit(), 2) << flag;
    std::string error = process.Error();
    EXPECT_EQ(std::count(error.begin(), error.end(), '\n'), 1) << error;
    EXPECT_NE(error.find(says), std::string::npos) << error;
  }
}

INSTANTIATE_FOR_BINARIES(Confined);

}  // namespace
}  // namespace knot::test
