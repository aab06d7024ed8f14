// Many connections, slow ones, dead ones, and the log of what they asked.

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <memory>
#include <regex>
#include <string>
#include <thread>
#include <vector>

#include "tests/knot/support/client.h"
#include "tests/knot/support/server_process.h"

namespace knot::test {
namespace {

class Connections : public KnotTest {
 protected:
  void SetUp() override {
    WriteFile(root_ / "small", "small");
    WriteFile(root_ / "big", Pattern(20'000'000));
  }
};

TEST_P(Connections, AThousandAreServedAtATime) {
  for (const char* spawn : {"--spawn=prefork", "--spawn=on_demand"}) {
    SCOPED_TRACE(spawn);
    Start({spawn, "--threads=1000"});
    std::vector<std::unique_ptr<Client>> clients;
    for (int i = 0; i < 1000; ++i) clients.push_back(std::make_unique<Client>(port_));
    for (int round = 0; round < 3; ++round) {
      for (auto& client : clients)
        ASSERT_TRUE(client->Send("GET /small HTTP/1.1\r\nHost: h\r\n\r\n"));
      for (auto& client : clients) ASSERT_EQ(client->Read().body, "small");
    }
    server_->Signal(SIGTERM);
    EXPECT_EQ(server_->WaitForExit(), 0);
  }
}

TEST_P(Connections, BeyondTheThreadsWaitForOneToEnd) {
  for (const char* spawn : {"--spawn=prefork", "--spawn=on_demand"}) {
    SCOPED_TRACE(spawn);
    Start({spawn, "--threads=2"});
    auto first = std::make_unique<Client>(port_), second = std::make_unique<Client>(port_);
    EXPECT_EQ(first->Get("/small").body, "small");
    EXPECT_EQ(second->Get("/small").body, "small");
    Client third(port_);
    third.Send("GET /small HTTP/1.1\r\nHost: h\r\n\r\n");
    EXPECT_EQ(first->Get("/small").body, "small");
    first.reset();
    EXPECT_EQ(third.Read().body, "small");
  }
}

TEST_P(Connections, FromManyClientsAtOnceGetTheirOwnReplies) {
  for (int i = 0; i < 16; ++i)
    WriteFile(root_ / std::to_string(i), std::string(i * 10'000, 'a' + i));
  Start({"--threads=32"});
  std::vector<std::thread> clients;
  for (int i = 0; i < 16; ++i) {
    clients.emplace_back([&, i] {
      for (int round = 0; round < 20; ++round) {
        Client client(port_);
        for (int k = 0; k < 10; ++k) {
          ASSERT_TRUE(client.Get("/" + std::to_string(i)).body == std::string(i * 10'000, 'a' + i));
        }
      }
    });
  }
  for (std::thread& client : clients) client.join();
}

TEST_P(Connections, ThatSendHalfARequestGet408) {
  Start({"--threads=8", "--header_timeout=1", "--idle_timeout=60"});
  Client head(port_), body(port_);
  head.Send("GET /small HTTP/1.1\r\nHo");
  body.Send("GET /small HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\nabc");
  for (Client* client : {&head, &body}) {
    EXPECT_EQ(client->Read().status, 408);
    EXPECT_TRUE(client->AtEnd());
  }
}

TEST_P(Connections, CannotPutOffTheHeaderTimeoutByTrickling) {
  Start({"--threads=8", "--header_timeout=1", "--idle_timeout=60"});
  Client client(port_);
  client.Send("GET /small HTTP/1.1\r\nX: ");
  bool refused = false;
  for (int i = 0; i < 600 && !refused; ++i) {  // a byte each tenth of a second
    refused = !client.Send("x");
    usleep(100'000);
    if (i == 30) break;
  }
  EXPECT_EQ(client.Read().status, 408);
}

// Each of them comes by itself, and the wait for what follows begins anew.
TEST_P(Connections, CannotPutOffTheIdleTimeoutByEmptyLines) {
  Start({"--threads=1", "--idle_timeout=600", "--make_room_after=0"});
  Client client(port_);
  for (int round = 0; round < 2; ++round) {
    for (int i = 0; i < 4; ++i, usleep(20'000)) ASSERT_TRUE(client.Send("\r\n"));
    EXPECT_EQ(client.Get("/small").body, "small") << "four before each request are fine";
  }
  for (int i = 0; i < 5; ++i, usleep(20'000)) ASSERT_TRUE(client.Send("\r\n"));
  EXPECT_EQ(client.Read().status, 400);
  EXPECT_TRUE(client.AtEnd());
}

TEST_P(Connections, MayPipelineFourEmptyLinesBeforeEachRequestButNotFive) {
  Start({"--threads=1"});
  const std::string four = "\r\n\r\n\r\n\r\n", get = "GET /small HTTP/1.1\r\nHost: h\r\n\r\n";
  Client client(port_);
  client.Send(four + get + four + get + four + "\r\n" + get);
  EXPECT_EQ(client.Read().body, "small");
  EXPECT_EQ(client.Read().body, "small");
  EXPECT_EQ(client.Read().status, 400);
  EXPECT_TRUE(client.AtEnd());
}

TEST_P(Connections, ThatSayNothingAreClosedWithoutAWord) {
  Start({"--threads=8", "--idle_timeout=1", "--header_timeout=60"});
  Client silent(port_), idle(port_);
  EXPECT_EQ(idle.Get("/small").body, "small");
  EXPECT_TRUE(silent.AtEnd());
  EXPECT_TRUE(idle.AtEnd());
}

TEST_P(Connections, ThatReadNothingAreGivenUp) {
  for (const char* send :
       {"--send=cache", "--send=inline", "--send=nonblocking", "--send=blocking", "--send=poll"}) {
    SCOPED_TRACE(send);
    Start({"--threads=1", send, "--send_timeout=1", "--cache_mb=200"});
    Client dead(port_, 16384);
    dead.Send("GET /big HTTP/1.1\r\nHost: h\r\n\r\n");
    dead.ReadBytes(1);
    EXPECT_EQ(Client(port_).Get("/small").body, "small") << "the one thread was not freed";
  }
}

TEST_P(Connections, AreAcceptedAgainWhenThereAreDescriptors) {
  Start({"--threads=64", "--spawn=on_demand"});
  Client early(port_);
  EXPECT_EQ(early.Get("/small").body, "small");
  rlimit before;
  ASSERT_EQ(prlimit(server_->pid(), RLIMIT_NOFILE, nullptr, &before), 0);
  rlimit none{3, before.rlim_max};
  ASSERT_EQ(prlimit(server_->pid(), RLIMIT_NOFILE, &none, nullptr), 0);
  std::vector<std::unique_ptr<Client>> late;
  for (int i = 0; i < 20; ++i) {
    late.push_back(std::make_unique<Client>(port_));
    late.back()->Send("GET /small HTTP/1.1\r\nHost: h\r\n\r\n");
  }
  EXPECT_TRUE(server_->WaitForError("cannot accept: Too many open files"));
  EXPECT_EQ(early.Get("/none").status, 503) << "no descriptor for a file either, but an answer";
  EXPECT_TRUE(early.AtEnd());
  ASSERT_EQ(prlimit(server_->pid(), RLIMIT_NOFILE, &before, nullptr), 0);
  for (auto& client : late) EXPECT_EQ(client->Read().body, "small");
  std::string error = server_->Error();
  EXPECT_EQ(error.find("cannot accept"), error.rfind("cannot accept")) << "said more than once";
}

TEST_P(Connections, ComeByEveryAddress) {
  ServerProcess server(GetParam(), {"--listen=127.0.0.1:0", "--listen=[::1]:0",
                                    "--listen=127.0.0.1:0", "--threads=9", root_.path()});
  std::vector<uint16_t> ports = server.WaitForPorts();
  ASSERT_EQ(ports.size(), 3u) << server.Error();
  EXPECT_EQ(Client(ports[0]).Get("/small").body, "small");
  EXPECT_EQ(Client(ports[1], 0, true).Get("/small").body, "small");
  EXPECT_EQ(Client(ports[2]).Get("/small").body, "small");
}

TEST_P(Connections, AreServedOnTwoSchedulersAndByPoll) {
  for (const char* poller : {"--poller=epoll", "--poller=poll"}) {
    SCOPED_TRACE(poller);
    Start({"--threads=200", "--schedulers=2", poller});
    std::vector<std::unique_ptr<Client>> clients;
    for (int i = 0; i < 60; ++i) clients.push_back(std::make_unique<Client>(port_));
    for (auto& client : clients) EXPECT_EQ(client->Get("/small").body, "small");
    server_->Signal(SIGTERM);
    EXPECT_EQ(server_->WaitForExit(), 0);
  }
}

TEST_P(Connections, AreLogged) {
  TempDirectory logs;
  Start({"--threads=8", "--access_log=" + logs / "log"});
  {
    Client client(port_);
    client.Send(
        "GET /small?q HTTP/1.1\r\nHost: h\r\nReferer: http://from/\r\nUser-Agent: a\"b\r\n\r\n");
    EXPECT_EQ(client.Read().status, 200);
    client.Send("HEAD /none HTTP/1.1\r\nHost: h\r\n\r\n");
    EXPECT_EQ(client.Read(true).status, 404);
    client.Send("nonsense\x1b[0m\r\n\r\n");
    EXPECT_EQ(client.Read().status, 400);
  }
  server_->Signal(SIGTERM);
  EXPECT_EQ(server_->WaitForExit(), 0);
  std::string log = ReadFile(logs / "log");
  std::string start = "127\\.0\\.0\\.1 - - \\[[^\\]]{26}\\] ";
  EXPECT_TRUE(std::regex_match(
      log,
      std::regex(start + "\"GET /small\\?q HTTP/1\\.1\" 200 5 \"http://from/\" \"a\\\\x22b\"\n" +
                 start + "\"HEAD /none HTTP/1\\.1\" 404 0 \"-\" \"-\"\n" + start +
                 "\"nonsense\\\\x1B\\[0m\" 400 \\d+ \"-\" \"-\"\n")))
      << log;
}

TEST_P(Connections, AreLoggedToStandardOutput) {
  Start({"--threads=8", "--access_log=-"});
  Client(port_).Get("/small");
  server_->Signal(SIGTERM);
  EXPECT_EQ(server_->WaitForExit(), 0);
  EXPECT_NE(server_->Output().find("\"GET /small HTTP/1.1\" 200 5 "), std::string::npos);
}

TEST_P(Connections, LoseNoLogLineUnderLoad) {
  TempDirectory logs;
  Start({"--threads=32", "--access_log=" + logs / "log"});
  std::vector<std::thread> clients;
  for (int i = 0; i < 8; ++i) {
    clients.emplace_back([&] {
      Client client(port_);
      for (int k = 0; k < 500; ++k) ASSERT_EQ(client.Get("/small").status, 200);
    });
  }
  for (std::thread& client : clients) client.join();
  server_->Signal(SIGTERM);
  EXPECT_EQ(server_->WaitForExit(), 0);
  std::string log = ReadFile(logs / "log");
  EXPECT_EQ(std::count(log.begin(), log.end(), '\n'), 4000);
}

INSTANTIATE_FOR_BINARIES(Connections);

}  // namespace
}  // namespace knot::test
