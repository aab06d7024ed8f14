// SIGHUP: another configuration for requests that begin from then on.

#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "tests/knot/support/client.h"
#include "tests/knot/support/server_process.h"

namespace knot::test {
namespace {

size_t Count(const std::string& text, const std::string& part) {
  size_t count = 0;
  for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++count;
  return count;
}

class Reload : public KnotTest {
 protected:
  void SetUp() override {
    for (const char* version : {"one", "two"}) {
      WriteFile(root_ / version + "/file", version);
      WriteFile(root_ / version + "/big", std::string(20'000'000, version[0]));
    }
  }

  void WriteConfig(const std::string& lines) {
    WriteFile(files_ / "new", lines);
    // At once, so that nobody reads half of it.
    std::rename((files_ / "new").c_str(), (files_ / "knot.conf").c_str());
  }

  void StartWith(const std::string& lines, std::vector<std::string> arguments = {}) {
    WriteConfig(lines);
    arguments.insert(arguments.begin(), "--threads=32");  // few, for slow machines
    arguments.push_back("--config=" + files_ / "knot.conf");
    arguments.push_back("--listen=127.0.0.1:0");
    server_ = std::make_unique<ServerProcess>(GetParam(), arguments);
    std::vector<uint16_t> ports = server_->WaitForPorts();
    ASSERT_EQ(ports.size(), 1u) << server_->Error();
    port_ = ports[0];
  }

  // Sends SIGHUP and waits until the server says `says` once more.
  void ReloadAndExpect(const std::string& says) {
    size_t before = Count(server_->Error(), says);
    server_->Signal(SIGHUP);
    for (int i = 0; i < 6000 && Count(server_->Error(), says) == before; ++i) usleep(10'000);
    ASSERT_GT(Count(server_->Error(), says), before) << server_->Error();
  }

  std::string Root(const std::string& version) { return "root = " + root_ / version + "\n"; }

  // Waits until so many connections get `body` that none of the processes can be passed over: each
  // reloads a little after the first one says so.
  void ExpectSoon(const std::string& body) {
    int in_a_row = 0;
    for (int i = 0; i < 6000 && in_a_row < 40; ++i) {
      in_a_row = Client(port_).Get("/file").body == body ? in_a_row + 1 : 0;
    }
    EXPECT_EQ(in_a_row, 40) << body << server_->Error();
  }

  TempDirectory files_;
};

TEST_P(Reload, IsSeenByNewConnectionsAndThoseThatWait) {
  StartWith(Root("one"));
  Client old(port_), silent(port_);
  EXPECT_EQ(old.Get("/file").body, "one");
  WriteConfig(Root("two"));
  ReloadAndExpect("knot: reloaded\n");
  EXPECT_EQ(Client(port_).Get("/file").body, "two");
  EXPECT_EQ(old.Get("/file").body, "two");
  EXPECT_EQ(silent.Get("/file").body, "two");
  EXPECT_EQ(old.Get("/file").body, "two");
  server_->Signal(SIGTERM);
  EXPECT_EQ(server_->WaitForExit(), 0);
}

TEST_P(Reload, LeavesRepliesUnderWayAlone) {
  for (const char* send : {"--send=cache", "--send=inline"}) {
    StartWith(Root("one"), {send});
    Client slow(port_, 16384);
    slow.Send("GET /big HTTP/1.1\r\nHost: h\r\n\r\n");
    std::string got = slow.ReadBytes(100'000);
    WriteConfig(Root("two"));
    ReloadAndExpect("knot: reloaded\n");
    got += slow.ReadBytes(20'000'000 + got.find("\r\n\r\n") + 4 - got.size());
    EXPECT_TRUE(got.substr(got.find("\r\n\r\n") + 4) == std::string(20'000'000, 'o'));
    EXPECT_EQ(slow.Get("/file").body, "two");
  }
}

TEST_P(Reload, DropsNoRequest) {
  for (const char* flag : {"--schedulers=1", "--schedulers=2", "--spawn=on_demand"}) {
    SCOPED_TRACE(flag);
    StartWith(Root("one"), {flag});
    std::atomic<bool> stop{false};
    std::atomic<int> requests{0}, failures{0};
    auto ask = [&](bool keep) {
      auto client = std::make_unique<Client>(port_);
      while (!stop.load()) {
        Reply reply = client->Get("/file");
        bool good = reply.status == 200 && (reply.body == "one" || reply.body == "two");
        if (!good) failures.fetch_add(1);
        requests.fetch_add(1);
        if (!keep || !good) client = std::make_unique<Client>(port_);
      }
    };
    std::vector<std::thread> clients;
    for (int i = 0; i < 4; ++i) clients.emplace_back(ask, i % 2 == 0);
    for (int i = 0; i < 20; ++i) {
      WriteConfig(Root(i % 2 == 0 ? "two" : "one"));
      ReloadAndExpect("knot: reloaded\n");
    }
    stop.store(true);
    for (std::thread& client : clients) client.join();
    EXPECT_EQ(failures.load(), 0) << "of " << requests.load();
    EXPECT_GT(requests.load(), 0);
    EXPECT_EQ(Client(port_).Get("/file").body, "one");
  }
}

TEST_P(Reload, OfAWrongConfigurationChangesNothing) {
  StartWith(Root("one"));
  Client client(port_);
  std::string name = files_ / "knot.conf";
  for (const auto& [lines, says] : std::vector<std::pair<std::string, std::string>>{
           {"nonsense = 1\n" + Root("two"), name + ":1: unknown name nonsense"},
           {Root("two") + "idle_timeout = 0\n", name + ":2: --idle_timeout=0: must be"},
           {Root("none"), "cannot serve " + root_ / "none"},
           {Root("two") + "access_log = /none/log\n", "/none/log"}}) {
    WriteConfig(lines);
    ReloadAndExpect("knot: not reloaded, as before: ");
    EXPECT_NE(server_->Error().find(says), std::string::npos) << says << server_->Error();
    EXPECT_EQ(client.Get("/file").body, "one");
    EXPECT_EQ(Client(port_).Get("/file").body, "one");
  }
  WriteConfig(Root("two"));
  ReloadAndExpect("knot: reloaded\n");
  EXPECT_EQ(client.Get("/file").body, "two");
}

TEST_P(Reload, NamesWhatItCannotChange) {
  StartWith(Root("one") + "workers = 2\n");
  WriteConfig(Root("two") + "workers = 3\nstack_kb = 128\nidle_timeout = 5\n");
  ReloadAndExpect("knot: reloaded; as before until a restart: --stack_kb, --workers\n");
  EXPECT_EQ(Client(port_).Get("/file").body, "two");
  WriteConfig(Root("one") + "workers = 2\n");
  ReloadAndExpect("knot: reloaded\n");
}

TEST_P(Reload, TimesOutByTheNewConfiguration) {
  StartWith(Root("one") + "idle_timeout = 1000\n");
  WriteConfig(Root("one") + "idle_timeout = 1\n");
  ReloadAndExpect("knot: reloaded\n");
  Client client(port_);
  EXPECT_EQ(client.Get("/file").body, "one");
  EXPECT_TRUE(client.AtEnd());
}

TEST_P(Reload, OpensTheLogAnew) {
  std::string log = files_ / "log";
  StartWith(Root("one") + "access_log = " + log + "\n");
  Client client(port_);
  auto wait_for = [](const std::string& name, const std::string& text) {
    for (int i = 0; i < 1000 && ReadFile(name).find(text) == std::string::npos; ++i) usleep(10'000);
    return ReadFile(name).find(text) != std::string::npos;
  };
  client.Get("/file?first");
  EXPECT_TRUE(wait_for(log, "first"));
  std::rename(log.c_str(), (log + ".1").c_str());
  client.Get("/file?second");
  EXPECT_TRUE(wait_for(log + ".1", "second"));
  ReloadAndExpect("knot: reloaded\n");
  client.Get("/file?third");
  EXPECT_TRUE(wait_for(log, "third"));
  EXPECT_EQ(ReadFile(log + ".1").find("third"), std::string::npos);
  // Off, on in another format, and at another place.
  WriteConfig(Root("one"));
  ReloadAndExpect("knot: reloaded\n");
  client.Get("/file?fourth");
  WriteConfig(Root("one") + "access_log = " + log + ".json\nlog_format = json\n");
  ReloadAndExpect("knot: reloaded\n");
  client.Get("/file?fifth");
  EXPECT_TRUE(wait_for(log + ".json", "\"target\":\"/file?fifth\""));
  for (const std::string& name : {log, log + ".1", log + ".json"}) {
    EXPECT_EQ(ReadFile(name).find("fourth"), std::string::npos) << name;
  }
  server_->Signal(SIGTERM);
  EXPECT_EQ(server_->WaitForExit(), 0);
}

TEST_P(Reload, BeginsALogThatWasOffIfTheSandboxLetsIt) {
  StartWith(Root("one"));
  WriteConfig(Root("one") + "access_log = " + files_ / "log" + "\n");
  server_->Signal(SIGHUP);
  EXPECT_TRUE(server_->WaitForError("reloaded"));
  if (server_->Error().find("not reloaded") != std::string::npos) {  // there is Landlock
    EXPECT_NE(server_->Error().find("--sandbox lets a log be where it was"), std::string::npos);
    EXPECT_EQ(Client(port_).Get("/file").body, "one");
  }
  StartWith(Root("one"), {"--sandbox=off"});
  Client before(port_);
  before.Get("/file");
  WriteConfig(Root("one") + "access_log = " + files_ / "log" + "\n");
  ReloadAndExpect("knot: reloaded\n");
  before.Get("/file?before");
  Client(port_).Get("/file?after");
  server_->Signal(SIGTERM);
  EXPECT_EQ(server_->WaitForExit(), 0);
  std::string text = ReadFile(files_ / "log");
  EXPECT_NE(text.find("/file?before"), std::string::npos) << text;
  EXPECT_NE(text.find("127.0.0.1 - - ["), std::string::npos) << text;
}

// Each configuration lives as long as a connection that began under it waits.
TEST_P(Reload, KeepsABoundedNumberOfConfigurations) {
  StartWith(Root("one"));
  std::vector<std::unique_ptr<Client>> waiting;
  for (int i = 0; i < 16; ++i) {
    waiting.push_back(std::make_unique<Client>(port_));
    EXPECT_EQ(waiting.back()->Get("/file").body, "one");
    ReloadAndExpect("knot: reloaded\n");
  }
  ReloadAndExpect("knot: not reloaded, as before: ");
  EXPECT_EQ(waiting.front()->Get("/file").body, "one");  // it takes the new one, the first goes
  WriteConfig(Root("two"));
  ReloadAndExpect("knot: reloaded\n");
  for (auto& client : waiting) EXPECT_EQ(client->Get("/file").body, "two");
}

TEST_P(Reload, ReachesAllProcesses) {
  StartWith(Root("one"), {"--processes=2", "--threads=20"});
  ExpectSoon("one");
  WriteConfig("nonsense\n");
  ReloadAndExpect("knot: not reloaded, as before: ");
  ExpectSoon("one");
  WriteConfig(Root("two"));
  ReloadAndExpect("knot: reloaded\n");
  ExpectSoon("two");
  EXPECT_EQ(Count(server_->Error(), "not reloaded"), 1u) << server_->Error();
}

INSTANTIATE_FOR_BINARIES(Reload);

}  // namespace
}  // namespace knot::test
