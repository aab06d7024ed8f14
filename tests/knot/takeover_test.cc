// One Knot takes the place of another: no request fails, whatever it is doing.

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <functional>
#include <memory>
#include <set>
#include <sstream>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "tests/knot/support/admin_client.h"
#include "tests/knot/support/client.h"
#include "tests/knot/support/server_process.h"
#include "tests/knot/support/sockets.h"
#include "tests/knot/support/tls_client.h"

namespace knot::test {
namespace {

constexpr int kSteps = 6000;  // of 10 ms, which only guard against a hang

class Takeover : public KnotTest {
 protected:
  void SetUp() override {
    AdoptOrphans();
    WriteFile(root_ / "small", "small");
    WriteFile(root_ / "big", big_);
  }

  ~Takeover() override {
    server_ = nullptr;
    EndChildren();
  }

  // Waits until the first server, or one that took its place, says that a process replaces it for
  // the `nth` time. Returns: its id.
  pid_t WaitForSuccessor(size_t nth = 1) {
    const std::string says = "knot: replaced by process ";
    for (int i = 0; i < kSteps; ++i) {
      std::string error = server_->Error();
      size_t at = error.find(says);
      for (size_t n = 1; n < nth && at != std::string::npos; ++n) at = error.find(says, at + 1);
      if (at != std::string::npos && error.find('\n', at) != std::string::npos) {
        pid_t id = std::atoi(error.c_str() + at + says.size());
        return id;
      }
      usleep(10'000);
    }
    ADD_FAILURE() << server_->Error();
    return -1;
  }

  void WaitForEnd(pid_t id) {
    for (int i = 0; i < kSteps && kill(id, 0) == 0; ++i) {
      if (waitpid(id, nullptr, WNOHANG) != id) usleep(10'000);
    }
    EXPECT_NE(kill(id, 0), 0);
  }

  // Starts a server with these addresses only, and waits until it serves.
  void StartOn(std::vector<std::string> arguments, const std::vector<int>& passed = {}) {
    arguments.push_back("--threads=40");
    arguments.push_back(root_.path());
    server_ = std::make_unique<ServerProcess>(GetParam(), arguments, 0, passed);
    ports_ = server_->WaitForPorts();
    ASSERT_NE(server_->Output(), "") << server_->Error();
    serving_ = server_->pid();
    successors_ = 0;
  }

  // Has what serves replaced by SIGUSR2, and waits for its end.
  void Replace() {
    kill(serving_, SIGUSR2);
    pid_t successor = WaitForSuccessor(++successors_);
    ASSERT_GT(successor, 0);
    if (serving_ == server_->pid()) {
      EXPECT_EQ(server_->WaitForExit(), 0);
    } else {
      WaitForEnd(serving_);
    }
    serving_ = successor;
  }

  void StopSuccessor() {
    kill(serving_, SIGTERM);
    WaitForEnd(serving_);
  }

  // Asks until a reply says that it is the last: the old server leaves a little after it has said
  // that it is replaced.
  void ExpectLastReply(Client& client) {
    Reply reply;
    for (int i = 0; i < kSteps && reply.fields.count("connection") == 0; ++i) {
      reply = client.Get("/small");
      ASSERT_EQ(reply.body, "small") << reply.failure;
    }
    EXPECT_EQ(reply.fields["connection"], "close");
    EXPECT_TRUE(client.AtEnd());
  }

  const std::string big_ = Pattern(20'000'000);
  TempDirectory files_;
  std::vector<uint16_t> ports_;
  pid_t serving_ = -1;  // after StartOn
  size_t successors_ = 0;
};

// Clients that ask without a pause, half of them on kept connections, and count what goes wrong.
class Load {
 public:
  using Connect = std::function<std::unique_ptr<Client>()>;

  explicit Load(uint16_t port) : Load([port] { return std::make_unique<Client>(port); }) {}
  explicit Load(Connect connect, std::string target = "/small", std::string body = "small")
      : connect_(std::move(connect)), target_(std::move(target)), body_(std::move(body)) {
    for (int i = 0; i < 6; ++i) threads_.emplace_back([this, i] { Ask(i % 2 == 0); });
  }

  ~Load() { End(); }

  // Returns: how many requests failed.
  int End() {
    stop_.store(true);
    for (std::thread& thread : threads_) thread.join();
    threads_.clear();
    return failures_.load();
  }

  int requests() const { return requests_.load(); }

  // Waits for some more requests.
  void More() const {
    int enough = requests_.load() + 200;
    for (int i = 0; i < kSteps && requests_.load() < enough; ++i) usleep(10'000);
  }

 private:
  void Ask(bool keep) {
    std::unique_ptr<Client> client = connect_();
    while (!stop_.load()) {
      Reply reply = client->Get(target_);
      bool good = reply.status == 200 && reply.body == body_;
      if (!good) {
        failures_.fetch_add(1);
        ADD_FAILURE() << "after " << requests_.load() << " requests: " << reply.status << " "
                      << reply.failure << " connected: " << client->connected();
      }
      requests_.fetch_add(1);
      if (!keep || !good || reply.fields.count("connection") > 0) {
        client = connect_();
      }
    }
  }

  const Connect connect_;
  const std::string target_, body_;
  std::atomic<bool> stop_{false};
  std::atomic<int> requests_{0}, failures_{0};
  std::vector<std::thread> threads_;
};

TEST_P(Takeover, UnderLoadFailsNoRequest) {
  for (const std::vector<std::string>& flags : std::vector<std::vector<std::string>>{
           {}, {"--spawn=on_demand"}, {"--schedulers=2"}, {"--processes=2"}}) {
    SCOPED_TRACE(testing::PrintToString(flags));
    std::vector<std::string> arguments = flags;
    arguments.push_back("--threads=40");
    Start(arguments);
    Load load(port_);
    load.More();
    pid_t serving = server_->pid();
    for (size_t i = 1; i <= 3; ++i) {
      kill(serving, SIGUSR2);
      pid_t successor = WaitForSuccessor(i);
      ASSERT_GT(successor, 0);
      if (serving == server_->pid()) {
        EXPECT_EQ(server_->WaitForExit(), 0);
      } else {
        WaitForEnd(serving);
      }
      load.More();
      serving = successor;
    }
    EXPECT_EQ(load.End(), 0) << "of " << load.requests() << "\n" << server_->Error();
    // What took over ends as any Knot does.
    kill(serving, SIGTERM);
    WaitForEnd(serving);
    EXPECT_FALSE(Client(port_).connected());
  }
}

TEST_P(Takeover, LetsRepliesEndAndConnectionsThatWaitAskOnceMore) {
  for (const char* send : {"--send=cache", "--send=inline"}) {
    Start({send, "--threads=16", "--drain_timeout=3600"});
    Client waiting(port_), slow(port_, 16384), half(port_);
    EXPECT_EQ(waiting.Get("/small").body, "small");
    half.Send("GET /small HTTP/1.1\r\n");
    slow.Send("GET /big HTTP/1.1\r\nHost: h\r\n\r\n");
    std::string got = slow.ReadBytes(100'000);
    server_->Signal(SIGUSR2);
    pid_t successor = WaitForSuccessor();
    EXPECT_EQ(Client(port_).Get("/small").body, "small");
    ExpectLastReply(waiting);
    half.Send("Host: h\r\n\r\n");
    EXPECT_EQ(half.Read().body, "small");
    size_t head = got.find("\r\n\r\n") + 4;
    got += slow.ReadBytes(big_.size() + head - got.size());
    EXPECT_TRUE(got.substr(head) == big_) << got.size() << " bytes came";
    // That reply was begun as one that others follow.
    ExpectLastReply(slow);
    EXPECT_EQ(server_->WaitForExit(), 0);
    EXPECT_EQ(Client(port_).Get("/small").body, "small");
    kill(successor, SIGTERM);
    WaitForEnd(successor);
  }
}

TEST_P(Takeover, EndsConnectionsThatWaitWhenTheTimeIsOver) {
  Start({"--threads=16", "--drain_timeout=1"});
  Client waiting(port_), slow(port_, 16384);
  EXPECT_EQ(waiting.Get("/small").body, "small");
  slow.Send("GET /big HTTP/1.1\r\nHost: h\r\n\r\n");
  std::string got = slow.ReadBytes(100'000);
  server_->Signal(SIGUSR2);
  WaitForSuccessor();
  EXPECT_TRUE(waiting.AtEnd());
  // A reply has as long as it takes.
  got += slow.ReadBytes(big_.size() + 10'000);
  EXPECT_TRUE(got.substr(got.find("\r\n\r\n") + 4) == big_) << got.size() << " bytes came";
  EXPECT_EQ(server_->WaitForExit(), 0);
}

TEST_P(Takeover, TheOldOneStillObeys) {
  Start({"--threads=16", "--send=inline", "--send_timeout=50", "--drain_timeout=3600"});
  Client slow(port_, 16384);
  slow.Send("GET /big HTTP/1.1\r\nHost: h\r\n\r\n");
  slow.ReadBytes(1000);
  server_->Signal(SIGUSR2);
  WaitForSuccessor();
  server_->Signal(SIGTERM);
  usleep(100'000);  // the second must not merge with the first
  server_->Signal(SIGTERM);
  EXPECT_EQ(server_->WaitForExit(), 0);
  EXPECT_NE(server_->Error().find("second signal"), std::string::npos) << server_->Error();
  // Its stop is its own: the address is still served.
  for (int i = 0; i < 20; ++i) EXPECT_EQ(Client(port_).Get("/small").body, "small");
}

TEST_P(Takeover, ThatFailsLeavesTheOldOneServing) {
  TempDirectory files;
  for (const char* processes : {"--processes=1", "--processes=2"}) {
    WriteFile(files / "knot.conf", "");
    Start({"--threads=16", processes, "--config=" + files / "knot.conf"});
    Client waiting(port_);
    EXPECT_EQ(waiting.Get("/small").body, "small");
    for (const auto& [lines, says] : std::vector<std::pair<std::string, std::string>>{
             {"nonsense = 1\n", "it ended before it served"},
             {"access_log = /none/log\n", "cannot open the access log /none/log"},
             {"schedulers = 3\n", "--processes and --schedulers cannot change so"}}) {
      bool kernel_threads = GetParam().ends_with("-kernel-threads");
      if (lines.starts_with("schedulers") && kernel_threads) continue;  // they are not used there
      WriteFile(files / "knot.conf", lines);
      server_->Signal(SIGUSR2);
      EXPECT_TRUE(server_->WaitForError(says)) << server_->Error();
      EXPECT_EQ(waiting.Get("/small").body, "small");
      for (int i = 0; i < 20; ++i) EXPECT_EQ(Client(port_).Get("/small").body, "small");
    }
    EXPECT_NE(server_->Error().find("knot: not replaced by process "), std::string::npos);
    server_->Signal(SIGTERM);
    EXPECT_EQ(server_->WaitForExit(), 0);
  }
}

TEST_P(Takeover, BySocketFailsNoRequest) {
  TempDirectory files;
  for (const char* processes : {"--processes=1", "--processes=2"}) {
    SCOPED_TRACE(processes);
    std::vector<std::string> arguments = {"--threads=40", processes,
                                          "--takeover=" + files / "socket"};
    Start(arguments);
    struct stat status;
    ASSERT_EQ(stat((files / "socket").c_str(), &status), 0);
    EXPECT_EQ(status.st_mode & 0777, 0600u);
    Load load(port_);
    load.More();
    std::unique_ptr<ServerProcess> first = std::move(server_);
    for (int i = 0; i < 3; ++i) {
      uint16_t port = port_;
      Start(arguments);
      EXPECT_EQ(port_, port);
      EXPECT_TRUE(
          first->WaitForError("knot: replaced by process " + std::to_string(server_->pid())))
          << first->Error();
      EXPECT_EQ(first->WaitForExit(), 0) << first->Error();
      load.More();
      first = std::move(server_);
    }
    EXPECT_EQ(load.End(), 0) << "of " << load.requests();
    first->Signal(SIGTERM);
    EXPECT_EQ(first->WaitForExit(), 0);
    EXPECT_NE(stat((files / "socket").c_str(), &status), 0);
  }
}

TEST_P(Takeover, BySocketThatNobodyListensAtIsAStart) {
  TempDirectory files;
  Start({"--threads=16", "--takeover=" + files / "socket"});
  server_->Signal(SIGKILL);
  server_->WaitForExit();
  Start({"--threads=16", "--takeover=" + files / "socket"});
  EXPECT_EQ(Client(port_).Get("/small").body, "small");
}

TEST_P(Takeover, BySocketLeavesThatOfAnother) {
  TempDirectory files;
  for (const char* processes : {"--processes=1", "--processes=2"}) {
    Start({"--threads=16", processes, "--takeover=" + files / "socket"});
    ASSERT_EQ(unlink((files / "socket").c_str()), 0);
    WriteFile(files / "socket", "another's");
    server_->Signal(SIGTERM);
    EXPECT_EQ(server_->WaitForExit(), 0);
    EXPECT_EQ(ReadFile(files / "socket"), "another's");
    unlink((files / "socket").c_str());
  }
}

TEST_P(Takeover, GivesNothingToOneThatSaysNothing) {
  TempDirectory files;
  Start({"--threads=16", "--takeover=" + files / "socket"});
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::strcpy(address.sun_path, (files / "socket").c_str());
  int rude = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
  ASSERT_EQ(connect(rude, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  EXPECT_EQ(Client(port_).Get("/small").body, "small");
  close(rude);
  EXPECT_TRUE(server_->WaitForError("not replaced by process " + std::to_string(getpid())));
  for (int i = 0; i < 20; ++i) EXPECT_EQ(Client(port_).Get("/small").body, "small");
}

TEST_P(Takeover, BySocketOfAnotherKindIsRefused) {
  TempDirectory files;
  ServerProcess process(GetParam(), {"--takeover=" + std::string(200, 'x'), root_.path()});
  EXPECT_EQ(process.WaitForExit(), 2);
  EXPECT_NE(process.Error().find("must be shorter"), std::string::npos) << process.Error();
  ServerProcess nowhere(GetParam(),
                        {"--takeover=/none/socket", "--listen=127.0.0.1:0", root_.path()});
  EXPECT_EQ(nowhere.WaitForExit(), 2);
  EXPECT_NE(nowhere.Error().find("/none/socket"), std::string::npos) << nowhere.Error();
  WriteFile(files / "precious", "precious");
  ServerProcess file(GetParam(),
                     {"--takeover=" + files / "precious", "--listen=127.0.0.1:0", root_.path()});
  EXPECT_EQ(file.WaitForExit(), 2);
  EXPECT_EQ(ReadFile(files / "precious"), "precious");
}

TEST_P(Takeover, OfAUnixSocketKeepsItsFile) {
  const std::string path = files_ / "knot.sock";
  for (const char* flag : {"--processes=1", "--processes=2", "--schedulers=2"}) {
    SCOPED_TRACE(flag);
    StartOn({"--listen=unix:" + path + ",mode=0600", flag});
    const ino_t file = FileId(path);
    ASSERT_NE(file, 0u);
    Load load([&] { return std::make_unique<Client>(ConnectUnix(path)); });
    for (int i = 0; i < 3; ++i) {
      load.More();
      Replace();
      EXPECT_EQ(FileId(path), file);
    }
    load.More();
    EXPECT_EQ(load.End(), 0) << "of " << load.requests() << server_->Error();
    StopSuccessor();
    EXPECT_EQ(FileId(path), 0u);
  }
}

TEST_P(Takeover, OfAUnixSocketThatFailsLeavesItsFileAndFailsNoRequest) {
  const std::string path = files_ / "knot.sock";
  const std::string config = "--config=" + files_ / "knot.conf";
  for (const char* processes : {"--processes=1", "--processes=2"}) {
    SCOPED_TRACE(processes);
    const std::string good = "listen = unix:" + path + "\n";
    WriteFile(files_ / "knot.conf", good);
    StartOn({config, processes});
    const ino_t file = FileId(path);
    for (const auto& [lines, says] : std::vector<std::pair<std::string, std::string>>{
             {good + "nonsense = 1\n", "it ended before it served"},
             {good + "access_log = /none/log\n", "cannot open the access log /none/log"},
             {good + "listen = unix:/none/socket\n", "cannot listen on unix:/none/socket"},
             {good + "access_log = /none/log2\npid_file = " + files_ / "pid" +
                  "\ntakeover = " + files_ / "bell" + "\n",
              "cannot open the access log /none/log2"},
             {good + "pid_file = /none/pid\n", "/none/pid"},
             {good + "listen = 192.0.2.1:1\n", "cannot listen on 192.0.2.1:1"},
             {good + "listen = unix:" + files_ / "new.sock" + "\nlisten = 192.0.2.1:2\n",
              "cannot listen on 192.0.2.1:2"},
             {good + "listen = 192.0.2.1:3\npid_file = " + files_ / "pid" +
                  "\ntakeover = " + files_ / "bell" + "\n",
              "cannot listen on 192.0.2.1:3"},
             {good + "listen = unix:" + files_ / "new.sock" + "\npid_file = /none/pid2\n",
              "/none/pid2"}}) {
      SCOPED_TRACE(lines);
      WriteFile(files_ / "knot.conf", lines);
      Load load([&] { return std::make_unique<Client>(ConnectUnix(path)); });
      for (int i = 0; i < 4; ++i) {
        const size_t before = server_->Error().size();
        server_->Signal(SIGUSR2);
        for (int k = 0; k < kSteps && server_->Error().find(says, before) == std::string::npos; ++k)
          usleep(10'000);
        EXPECT_NE(server_->Error().find(says, before), std::string::npos) << server_->Error();
        EXPECT_EQ(FileId(path), file);
      }
      load.More();
      EXPECT_EQ(load.End(), 0) << "of " << load.requests();
    }
    std::set<std::string> left;  // what one that fails made itself it removes
    for (const auto& entry : std::filesystem::directory_iterator(files_.path())) {
      left.insert(entry.path().filename());
    }
    EXPECT_EQ(left, (std::set<std::string>{"knot.conf", "knot.sock"}));
    server_->Signal(SIGTERM);
    EXPECT_EQ(server_->WaitForExit(), 0);
    EXPECT_EQ(FileId(path), 0u);
  }
}

// Its own program would find nothing in its environment.
TEST_P(Takeover, PassesOnWhatWasPassed) {
  const std::string path = files_ / "passed.sock";
  Passed ip(AF_INET), local(AF_UNIX, path);
  for (const std::vector<std::string>& flags : std::vector<std::vector<std::string>>{
           {"--listen=systemd"},
           {"--listen=fd:4", "--listen=fd:3"},
           {"--listen=systemd", "--listen=127.0.0.1:0"},
           {"--listen=systemd", "--processes=2"},
           {"--listen=fd:3", "--listen=fd:4", "--processes=2", "--schedulers=2"}}) {
    SCOPED_TRACE(testing::PrintToString(flags));
    StartOn(flags, {ip.socket_, local.socket_});
    Load load(ip.port_), by_unix([&] { return std::make_unique<Client>(ConnectUnix(path)); });
    for (int i = 0; i < 3; ++i) {
      load.More();
      Replace();
    }
    load.More();
    EXPECT_EQ(load.End() + by_unix.End(), 0) << load.requests() << server_->Error();
    StopSuccessor();
    std::istringstream said(server_->Output());
    int lines = 0;
    for (std::string line; std::getline(said, line); ++lines) {
      EXPECT_NE(line.find("http://127.0.0.1:" + std::to_string(ip.port_) + "/ (fd 3)"),
                std::string::npos)
          << line;
      EXPECT_NE(line.find("unix:" + path + " (fd 4)"), std::string::npos) << line;
    }
    EXPECT_EQ(lines, 4);
    EXPECT_NE(FileId(path), 0u);
    EXPECT_TRUE(Client(ip.port_).connected());
  }
}

TEST_P(Takeover, AnswersAtTheAdminAddress) {
  for (const char* processes : {"--processes=1", "--processes=2"}) {
    SCOPED_TRACE(processes);
    StartOn({"--listen=127.0.0.1:0", "--admin=127.0.0.1:0", "--admin_hosts=test", processes});
    const uint16_t admin = AdminPort(server_->Output());
    // Each reply is the last of its connection.
    Load load([admin] { return std::make_unique<Client>(admin); }, "/healthz", "ok\n");
    for (int i = 0; i < 5; ++i) {
      load.More();
      Replace();
    }
    load.More();
    EXPECT_EQ(load.End(), 0) << "of " << load.requests() << server_->Error();
    EXPECT_NE(AdminMetrics(admin).size(), 0u);
    StopSuccessor();
    EXPECT_FALSE(Client(admin).connected());
  }
}

// The service goes on: whoever watches it is not to take it from those who ask.
TEST_P(Takeover, TellsNobodyThatItStops) {
  Start({"--threads=16", "--health=/health", "--drain_timeout=3600"});
  Client watcher(port_);
  EXPECT_EQ(watcher.Get("/health").status, 200);
  server_->Signal(SIGUSR2);
  WaitForSuccessor();
  Reply reply;
  for (int i = 0; i < kSteps && reply.fields.count("connection") == 0; ++i) {
    reply = watcher.Get("/health");
    ASSERT_EQ(reply.body, "ok\n");
    EXPECT_EQ(reply.status, 200);
  }
  EXPECT_EQ(reply.fields["connection"], "close");
}

// Port 0 each: the system chooses, and the addresses are called the same.
TEST_P(Takeover, OfTlsBesidePlainAddresses) {
  WriteCertificate(files_ / "cert", files_ / "key", "DNS:a.test");
  for (const char* flag : {"--processes=1", "--processes=2"}) {
    SCOPED_TRACE(flag);
    StartOn({"--listen=https://127.0.0.1:0", "--listen=127.0.0.1:0", "--listen=127.0.0.1:0",
             "--tls=" + files_ / "cert" + "," + files_ / "key", flag});
    ASSERT_EQ(ports_.size(), 3u);
    Load load([this] { return std::make_unique<TlsClient>(ports_[0]); });
    for (int i = 0; i < 2; ++i) {
      load.More();
      Replace();
      EXPECT_EQ(TlsClient(ports_[0]).ServerName(), "a.test");
      EXPECT_EQ(Client(ports_[1]).Get("/small").body, "small");
      EXPECT_EQ(Client(ports_[2]).Get("/small").body, "small");
    }
    load.More();
    EXPECT_EQ(load.End(), 0) << "of " << load.requests() << server_->Error();
    StopSuccessor();
  }
}

INSTANTIATE_FOR_BINARIES(Takeover);

}  // namespace
}  // namespace knot::test
