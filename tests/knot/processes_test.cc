// Several processes that serve together: shared addresses, orders to all, and one that dies.

#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "tests/knot/support/client.h"
#include "tests/knot/support/server_process.h"

namespace knot::test {
namespace {

constexpr int kProcesses = 2;

class Processes : public KnotTest {
 protected:
  void SetUp() override {
    WriteFile(root_ / "small", "small");
    WriteFile(root_ / "big", big_);
  }

  void StartAll(std::vector<std::string> arguments) {
    arguments.push_back("--processes=" + std::to_string(kProcesses));
    Start(arguments);
  }

  // Asks for the counters. Returns: the ids of the processes that printed them, by number.
  std::vector<pid_t> Ids() {
    server_->Signal(SIGUSR1);
    std::vector<pid_t> ids;
    for (int i = 1; i <= kProcesses; ++i) {
      std::string says =
          "process " + std::to_string(i) + " of " + std::to_string(kProcesses) + " (";
      EXPECT_TRUE(server_->WaitForError(says)) << server_->Error();
      std::string error = server_->Error();
      ids.push_back(std::atoi(error.c_str() + error.rfind(says) + says.size()));
    }
    return ids;
  }

  // Kills each and waits until that was noticed.
  void KillAll() {
    std::vector<pid_t> ids = Ids();
    for (pid_t id : ids) kill(id, SIGKILL);
    for (pid_t id : ids) {
      std::string says = "(" + std::to_string(id) + ") was ended by signal 9, Killed";
      EXPECT_TRUE(server_->WaitForError(says)) << server_->Error();
    }
  }

  // With so many, a process that is passed over is not one by chance.
  void ExpectAllAreServed() {
    for (int i = 0; i < 60; ++i) ASSERT_EQ(Client(port_).Get("/small").body, "small");
  }

  const std::string big_ = Pattern(20'000'000);
};

TEST_P(Processes, EachServesItsPart) {
  StartAll({"--threads=16", "--stats"});
  ExpectAllAreServed();
  EXPECT_NE(server_->Output().find("processes=2, each: threads=8 "), std::string::npos)
      << server_->Output();
  server_->Signal(SIGTERM);
  EXPECT_EQ(server_->WaitForExit(), 0);
  const std::string error = server_->Error(), name = "knot: connections=";
  int served = 0;
  for (size_t at = error.find(name); at != std::string::npos; at = error.find(name, at + 1)) {
    int count = std::atoi(error.c_str() + at + name.size());
    EXPECT_GT(count, 0) << error;
    served += count;
  }
  EXPECT_EQ(served, 60) << error;
}

TEST_P(Processes, ServeMoreConnectionsThanOneHasThreads) {
  StartAll({"--threads=200"});
  std::vector<std::unique_ptr<Client>> clients;
  for (int i = 0; i < 120; ++i) {  // one process has 100
    clients.push_back(std::make_unique<Client>(port_));
    ASSERT_EQ(clients.back()->Get("/small").body, "small");
  }
}

TEST_P(Processes, FinishRepliesAndEndTogether) {
  for (int number : {SIGTERM, SIGINT}) {
    StartAll({"--threads=16", "--send=inline"});
    Client idle(port_), slow(port_, 16384);
    EXPECT_EQ(idle.Get("/small").body, "small");
    slow.Send("GET /big HTTP/1.1\r\nHost: h\r\n\r\n");
    std::string got = slow.ReadBytes(100'000);  // the reply is under way
    server_->Signal(number);
    EXPECT_TRUE(idle.AtEnd());
    got += slow.ReadBytes(big_.size() + 10'000);
    EXPECT_TRUE(got.substr(got.find("\r\n\r\n") + 4) == big_) << got.size() << " bytes came";
    EXPECT_EQ(server_->WaitForExit(), 0);
    EXPECT_EQ(server_->Error(), "");
    EXPECT_FALSE(Client(port_).connected());
  }
}

TEST_P(Processes, EndAtOnceOnASecondSignal) {
  StartAll({"--threads=16", "--send=inline", "--send_timeout=50"});
  Client slow(port_, 16384);
  slow.Send("GET /big HTTP/1.1\r\nHost: h\r\n\r\n");
  slow.ReadBytes(1000);
  server_->Signal(SIGTERM);
  while (Client(port_).connected()) usleep(1000);  // until the first was seen
  server_->Signal(SIGTERM);
  EXPECT_EQ(server_->WaitForExit(), 0);
  EXPECT_NE(server_->Error().find("second signal"), std::string::npos) << server_->Error();
}

// A terminal's Ctrl-C and a service manager's stop go to all processes at once: taken by each, too,
// they would be second signals.
TEST_P(Processes, TakeOrdersFromTheFirstOnly) {
  StartAll({"--threads=16"});
  for (pid_t id : Ids()) {
    kill(id, SIGTERM);
    kill(id, SIGINT);
  }
  ExpectAllAreServed();
}

TEST_P(Processes, OneThatDiesIsStartedAgain) {
  StartAll({"--threads=16"});
  ExpectAllAreServed();
  KillAll();
  ExpectAllAreServed();  // connections wait until they are served
  server_->Signal(SIGTERM);
  EXPECT_EQ(server_->WaitForExit(), 0);
}

TEST_P(Processes, EndWithTheFirst) {
  StartAll({"--threads=16"});
  Client client(port_);
  EXPECT_EQ(client.Get("/small").body, "small");
  server_->Signal(SIGKILL);
  EXPECT_EQ(server_->WaitForExit(), 128 + SIGKILL);
  EXPECT_TRUE(client.AtEnd());
  for (int i = 0; i < 6000 && Client(port_).connected(); ++i) usleep(10'000);
  EXPECT_FALSE(Client(port_).connected());
}

TEST_P(Processes, SayInOneLineWhyTheyCannotServe) {
  StartAll({"--threads=16"});
  for (const auto& [arguments, says] :
       std::vector<std::pair<std::vector<std::string>, std::string>>{
           {{"--listen=127.0.0.1:" + std::to_string(port_), root_.path()},
            "Address already in use"},
           {{"--listen=127.0.0.1:0", root_ / "none"}, "none"},
           {{"--listen=127.0.0.1:0", "--access_log=/none/log", root_.path()}, "/none/log"},
           {{"--listen=127.0.0.1:0", "--threads=1", root_.path()}, "at least 2"}}) {
    std::vector<std::string> all = arguments;
    all.insert(all.begin(), "--processes=2");
    ServerProcess process(GetParam(), all);
    EXPECT_EQ(process.WaitForExit(), 2) << says;
    std::string error = process.Error();
    EXPECT_EQ(std::count(error.begin(), error.end(), '\n'), 1) << error;
    EXPECT_EQ(error.find("knot: "), 0u) << error;
    EXPECT_NE(error.find(says), std::string::npos) << error;
    EXPECT_EQ(process.Output(), "");
  }
}

INSTANTIATE_FOR_BINARIES(Processes);

class ProcessesOfTwoSchedulers : public Processes {};

TEST_P(ProcessesOfTwoSchedulers, ServeOnAllOfThem) {
  StartAll({"--threads=16", "--schedulers=2"});
  ExpectAllAreServed();
  KillAll();
  ExpectAllAreServed();
  server_->Signal(SIGTERM);
  EXPECT_EQ(server_->WaitForExit(), 0);
}

INSTANTIATE_FOR_BINARIES(ProcessesOfTwoSchedulers);

}  // namespace
}  // namespace knot::test
