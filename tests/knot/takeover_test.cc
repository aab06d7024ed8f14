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
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "tests/knot/support/client.h"
#include "tests/knot/support/server_process.h"

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
};

// Clients that ask without a pause, half of them on kept connections, and count what goes wrong.
class Load {
 public:
  explicit Load(uint16_t port) : port_(port) {
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
    auto client = std::make_unique<Client>(port_);
    while (!stop_.load()) {
      Reply reply = client->Get("/small");
      bool good = reply.status == 200 && reply.body == "small";
      if (!good) {
        failures_.fetch_add(1);
        ADD_FAILURE() << "after " << requests_.load() << " requests: " << reply.status << " "
                      << reply.failure << " connected: " << client->connected();
      }
      requests_.fetch_add(1);
      if (!keep || !good || reply.fields.count("connection") > 0) {
        client = std::make_unique<Client>(port_);
      }
    }
  }

  const uint16_t port_;
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
}

INSTANTIATE_FOR_BINARIES(Takeover);

}  // namespace
}  // namespace knot::test
