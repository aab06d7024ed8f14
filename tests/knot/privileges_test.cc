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
#include "tests/knot/support/admin_client.h"
#include "tests/knot/support/client.h"
#include "tests/knot/support/server_process.h"
#include "tests/knot/support/sockets.h"
#include "tests/knot/support/tls_client.h"

namespace knot::test {
namespace {

// A line of a file of passwords each, for u with the password one, and two.
constexpr char kUserOne[] = "u:$2y$04$LjhfOI5BxszZdmvgoU5/kea1mxSuJ8ZZ9pZ667.UM/WWJGa4N3qwy\n";
constexpr char kUserTwo[] = "u:$2y$04$rjJ3R33Pp4zNPQaXslLI5.R2JCecFVYbzADLLBtEXvddzfUJXB9FK\n";

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
#if defined(__SANITIZE_ADDRESS__)
    setenv("ASAN_OPTIONS", "detect_leaks=0",
           1);  // leaks are looked for in /proc, out of reach here
#endif
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

  // Starts a server with these addresses only, and waits until it serves.
  void StartOn(std::vector<std::string> arguments, const std::vector<std::string>& flags,
               const std::vector<int>& passed = {}) {
    arguments.insert(arguments.end(), flags.begin(), flags.end());
    arguments.push_back("--threads=16");
    arguments.push_back(root_.path());
    server_ = std::make_unique<test::ServerProcess>(GetParam(), arguments, 0, passed);
    std::vector<uint16_t> ports = server_->WaitForPorts();
    ASSERT_NE(server_->Output(), "") << server_->Error();
    port_ = ports.empty() ? 0 : ports[0];
  }

  void Stop() {
    server_->Signal(SIGTERM);
    EXPECT_EQ(server_->WaitForExit(), 0) << server_->Error();
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

TEST_P(Confined, ServesOnAUnixSocket) {
  const std::string path = files_ / "knot.sock";
  for (const std::vector<std::string>& flags :
       std::vector<std::vector<std::string>>{{"--sandbox=auto"},
                                             {"--sandbox=on"},
                                             {"--user=nobody"},
                                             {"--user=nobody", "--sandbox=on", "--processes=2"}}) {
    if (!HasLandlock()) continue;
    SCOPED_TRACE(testing::PrintToString(flags));
    StartOn({"--listen=unix:" + path}, flags);
    ASSERT_NE(FileId(path), 0u);
    EXPECT_EQ(Client(ConnectUnix(path)).Get("/file").body, "contents");
    Stop();
    EXPECT_EQ(FileId(path), 0u);
  }
}

// A file that is another's is not removed, nor is its directory written to.
TEST_P(Confined, WritesNothingForASocketThatWasPassed) {
  if (!HasLandlock()) GTEST_SKIP() << "this kernel has no Landlock";
  Passed local(AF_UNIX, files_ / "passed.sock");
  WriteFile(files_ / "conf/knot.conf", "");
  StartOn({"--listen=fd:3"}, {"--sandbox=auto", "--config=" + files_ / "conf/knot.conf"},
          {local.socket_});
  WriteFile(files_ / "conf/knot.conf", "access_log = " + files_ / "log\n");
  Reload("knot: not reloaded, as before: cannot open the access log");
  Stop();
}

TEST_P(Confined, ServesAllThatItIsGivenInASandbox) {
  if (!HasLandlock()) GTEST_SKIP() << "this kernel has no Landlock";
  // Certificates and passwords are often links into a directory of versions.
  WriteFile(files_ / "host/file", "by host");
  WriteFile(files_ / "types", "text/x-special special\n");
  WriteFile(root_ / "a.special", "special");
  WriteFile(root_ / "private/file", "private");
  WriteFile(files_ / "versions/users/1", kUserOne);
  WriteCertificate(files_ / "versions/cert", files_ / "versions/key", "DNS:a.test");
  mkdir((files_ / "live").c_str(), 0755);
  for (const char* name : {"cert", "key"}) {
    ASSERT_EQ(symlink((files_ / "versions/" + name).c_str(), (files_ / "live/" + name).c_str()), 0);
  }
  ASSERT_EQ(symlink((files_ / "versions/users/1").c_str(), (files_ / "live/users").c_str()), 0);
  for (const std::vector<std::string>& flags :
       std::vector<std::vector<std::string>>{{"--sandbox=on"},
                                             {"--sandbox=on", "--user=nobody"},
                                             {"--sandbox=on", "--processes=2"}}) {
    SCOPED_TRACE(testing::PrintToString(flags));
    StartOn({"--listen=https://127.0.0.1:0", "--host=a.test=" + files_ / "host",
             "--mime_types=" + files_ / "types", "--admin=127.0.0.1:0",
             "--auth=/private=" + files_ / "live/users",
             "--tls=" + files_ / "live/cert" + "," + files_ / "live/key"},
            flags);
    TlsClient client(port_);
    EXPECT_EQ(client.ServerName(), "a.test");
    EXPECT_EQ(client.Get("/a.special").fields["content-type"], "text/x-special; charset=utf-8");
    client.Send("GET /file HTTP/1.1\r\nHost: a.test\r\n\r\n");
    EXPECT_EQ(client.Read().body, "by host");
    EXPECT_EQ(client.Get("/private/file").status, 401);
    client.Send("GET /private/file HTTP/1.1\r\nHost: h\r\nAuthorization: Basic dTpvbmU=\r\n\r\n");
    EXPECT_EQ(client.Read().body, "private");
    const uint16_t admin = AdminPort(server_->Output());
    EXPECT_EQ(AskAdmin(admin, "/healthz").body, "ok\n");
    std::map<std::string, double> metrics =
        WaitForAdminMetrics(admin, [](std::map<std::string, double>& now) {
          return now["knot_requests_total{code=\"200\"}"] == 3 &&
                 now["knot_cpu_seconds_total{mode=\"user\"}"] > 0;
        });
    EXPECT_EQ(metrics["knot_requests_total{code=\"200\"}"], 3);
    EXPECT_GT(metrics["knot_cpu_seconds_total{mode=\"user\"}"], 0);
    Stop();
  }
}

TEST_P(Confined, ReadsNewCertificatesAndLetsNoTotalFall) {
  for (const std::vector<std::string>& flags :
       std::vector<std::vector<std::string>>{{"--user=nobody"},
                                             {"--user=nobody", "--processes=2"},
                                             {"--sandbox=on", "--user=nobody"}}) {
    if (flags[0] == "--sandbox=on" && !HasLandlock()) continue;
    SCOPED_TRACE(testing::PrintToString(flags));
    WriteFile(files_ / "users", kUserOne);
    std::string cert = files_ / "cert", key = files_ / "key";
    WriteCertificate(cert, key, "DNS:v0.test");
    chmod(key.c_str(), 0600);  // for root alone
    StartOn({"--listen=https://127.0.0.1:0", "--admin=127.0.0.1:0", "--tls=" + cert + "," + key,
             "--auth=/private=" + files_ / "users", "--drain_timeout=3600"},
            flags);
    const uint16_t admin = AdminPort(server_->Output());
    const std::string requests = "knot_requests_total{code=\"200\"}";
    std::map<std::string, double> before;
    std::vector<std::unique_ptr<TlsClient>> kept;  // so that the old ones stay, and go on telling
    double asked = 0;
    for (int version = 1; version <= 3; ++version) {
      for (int i = 0; i < 5; ++i) EXPECT_EQ(TlsClient(port_).Get("/file").body, "contents");
      kept.push_back(std::make_unique<TlsClient>(port_));
      EXPECT_EQ(kept.back()->Get("/file").body, "contents");
      asked += 6;
      std::map<std::string, double> now =
          WaitForAdminMetrics(admin, [&](auto& read) { return read[requests] == asked; });
      EXPECT_EQ(now[requests], asked);
      EXPECT_EQ(WhatFell(before, now), "");
      before = now;
      std::string name = "v" + std::to_string(version) + ".test";
      WriteCertificate(cert, key, "DNS:" + name);
      Reload("knot: reloaded\n");
      int in_a_row = 0;  // the old ones leave some time later
      for (int i = 0; i < 2000 && in_a_row < 12; ++i) {
        in_a_row = TlsClient(port_).ServerName() == name ? in_a_row + 1 : 0;
      }
      EXPECT_EQ(in_a_row, 12) << name;
      for (int i = 0; i < 6; ++i) {
        std::map<std::string, double> later = AdminMetrics(admin);
        EXPECT_EQ(WhatFell(before, later), "");
        before = later;
        usleep(100'000);
      }
    }
    WriteFile(cert, "no certificate");
    Reload("knot: not reloaded, as before: --tls: cannot use " + cert);
    EXPECT_EQ(TlsClient(port_).ServerName(), "v3.test");
    Stop();
  }
}

TEST_P(Confined, ReadsPasswordsAgainOrSaysThatItCannot) {
  WriteFile(files_ / "users", kUserOne);
  chmod((files_ / "users").c_str(), 0600);
  test::ServerProcess process(GetParam(), {"--user=nobody", "--auth=/=" + files_ / "users",
                                           "--listen=127.0.0.1:0", root_.path()});
  EXPECT_EQ(process.WaitForExit(), 2);
  std::string error = process.Error();
  EXPECT_EQ(std::count(error.begin(), error.end(), '\n'), 1) << error;
  EXPECT_NE(error.find("--auth: cannot read " + files_ / "users"), std::string::npos) << error;
  for (const std::vector<std::string>& flags : std::vector<std::vector<std::string>>{
           {"--user=nobody"}, {"--user=nobody", "--sandbox=on"}, {"--sandbox=on"}}) {
    if (flags.back() == "--sandbox=on" && !HasLandlock()) continue;
    SCOPED_TRACE(testing::PrintToString(flags));
    WriteFile(files_ / "users", kUserOne);
    chmod((files_ / "users").c_str(), 0644);
    StartOn({"--listen=127.0.0.1:0", "--auth=/=" + files_ / "users"}, flags);
    auto status = [&](const std::string& credentials) {
      Client client(port_);
      client.Send("GET /file HTTP/1.1\r\nHost: h\r\nAuthorization: Basic " + credentials +
                  "\r\n\r\n");
      return client.Read().status;
    };
    EXPECT_EQ(status("dTpvbmU="), 200);
    WriteFile(files_ / "new", kUserTwo);
    chmod((files_ / "new").c_str(), 0644);
    std::filesystem::rename(files_ / "new", files_ / "users");
    for (int i = 0; i < 1000 && status("dTp0d28=") != 200; ++i) usleep(10'000);
    EXPECT_EQ(status("dTp0d28="), 200);
    EXPECT_EQ(status("dTpvbmU="), 401);
    Stop();
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
