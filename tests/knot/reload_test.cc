// SIGHUP: another configuration for requests that begin from then on.

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <map>
#include <memory>
#include <sstream>
#include <string>
#include <thread>
#include <tuple>
#include <vector>

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
    if (lines.find("listen = ") == std::string::npos) arguments.push_back("--listen=127.0.0.1:0");
    server_ = std::make_unique<ServerProcess>(GetParam(), arguments);
    std::vector<uint16_t> ports = server_->WaitForPorts();
    ASSERT_NE(server_->Output(), "") << server_->Error();
    port_ = ports.empty() ? 0 : ports[0];
  }

  // Writes the config file and waits until it is in force in the one process.
  void ReloadWith(const std::string& lines) {
    WriteConfig(lines);
    ReloadAndExpect("knot: reloaded\n");
  }

  // Stops the server. Nothing may have been cut short.
  void Stop() {
    server_->Signal(SIGTERM);
    EXPECT_EQ(server_->WaitForExit(), 0);
    EXPECT_EQ(server_->Error().find("cut short"), std::string::npos) << server_->Error();
  }

  static Reply Ask(Client& client, const std::string& fields, const std::string& target = "/file") {
    client.Send("GET " + target + " HTTP/1.1\r\n" + fields + "\r\n");
    return client.Read();
  }

  // Makes a certificate for `name` and its key. Returns: the line that names them.
  std::string Certificate(const std::string& file, const std::string& name) {
    WriteCertificate(files_ / (file + ".pem"), files_ / (file + ".key"), "DNS:" + name);
    return "tls = " + files_ / (file + ".pem") + "," + files_ / (file + ".key") + "\n";
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

TEST_P(Reload, ReadsCertificatesAgain) {
  const std::string https = "listen = https://127.0.0.1:0\n";
  for (const char* processes : {"--processes=1", "--processes=2"}) {
    SCOPED_TRACE(processes);
    std::string first = Certificate("a", "a.test"), other = Certificate("b", "b.test");
    StartWith(Root("one") + https + first + "access_log = " + files_ / "log\n", {processes});
    TlsClient kept(port_);
    auto expect = [&](const std::string& name, const std::string& body) {
      int in_a_row = 0;  // of several processes each reloads a little later
      for (int i = 0; i < 2000 && in_a_row < 12; ++i) {
        TlsClient client(port_);
        bool good = client.ServerName() == name && client.Get("/file").body == body;
        in_a_row = good ? in_a_row + 1 : 0;
      }
      EXPECT_EQ(in_a_row, 12) << name << " " << body << server_->Error();
      EXPECT_EQ(kept.Get("/file").body, body);
      EXPECT_EQ(kept.ServerName(), "a.test");
    };
    expect("a.test", "one");
    Certificate("a", "c.test");
    ReloadAndExpect("knot: reloaded\n");
    expect("c.test", "one");
    ReloadWith(Root("two") + https + other + "access_log = " + files_ / "log\n");
    expect("b.test", "two");
    // One that cannot be used leaves all as it was.
    WriteFile(files_ / "a.pem", "no certificate");
    WriteConfig(Root("one") + https + first + "access_log = " + files_ / "log2\n" +
                "header = X-New: new\n");
    ReloadAndExpect("knot: not reloaded, as before: --tls: cannot use " + files_ / "a.pem");
    expect("b.test", "two");
    EXPECT_EQ(kept.Get("/file?last").fields.count("x-new"), 0u);
    Stop();
    EXPECT_NE(ReadFile(files_ / "log").find("/file?last"), std::string::npos);
    EXPECT_EQ(ReadFile(files_ / "log2"), "");
  }
}

TEST_P(Reload, AddsAndRemovesHosts) {
  StartWith(Root("one"));
  Client kept(port_);
  auto expect = [&](const std::string& body) {
    EXPECT_EQ(Ask(kept, "Host: a.test\r\n").body, body);
    Client client(port_);
    EXPECT_EQ(Ask(client, "Host: a.test\r\n").body, body);
    EXPECT_EQ(client.Get("/file").body, "one");
  };
  expect("one");
  ReloadWith(Root("one") + "host = b.test,a.test=" + root_ / "two" + "\n");
  expect("two");
  ReloadWith(Root("one") + "host = b.test=" + root_ / "two" + "\n");
  expect("one");
  WriteConfig(Root("one") + "host = a.test=" + root_ / "none" + "\n");
  ReloadAndExpect("knot: not reloaded, as before: ");
  expect("one");
}

TEST_P(Reload, ChangesTheRulesOfReplies) {
  StartWith(Root("one") + "header = X-A: 1\n");
  Client kept(port_);
  kept.Get("/file");
  for (const auto& [lines, name, value] :
       std::vector<std::tuple<std::string, std::string, std::string>>{
           {"header = X-A: 2\n", "x-a", "2"},
           {"", "x-a", ""},
           {"header = /f*:X-B: b\n", "x-b", "b"},
           {"cache_control = *=no-cache\n", "cache-control", "no-cache"},
           {"nosniff = false\n", "x-content-type-options", ""},
           {"cors = https://a.test\n", "access-control-allow-origin", "https://a.test"},
           {"cors = https://b.test\n", "access-control-allow-origin", ""},
           {"cors = *\n", "access-control-allow-origin", "*"}}) {
    SCOPED_TRACE(lines);
    ReloadWith(Root("one") + lines);
    Client client(port_);
    for (Client* one : {&kept, &client}) {
      EXPECT_EQ(Ask(*one, "Host: h\r\nOrigin: https://a.test\r\n").fields[name], value);
    }
  }
}

TEST_P(Reload, ChangesWhatPasswordsAreAskedFor) {
  WriteFile(files_ / "users", kUserOne);
  WriteFile(files_ / "others", kUserTwo);
  WriteFile(root_ / "one/private/file", "private");
  const std::string one = "Host: h\r\nAuthorization: Basic dTpvbmU=\r\n";
  const std::string two = "Host: h\r\nAuthorization: Basic dTp0d28=\r\n";
  for (const char* processes : {"--processes=1", "--processes=2"}) {
    SCOPED_TRACE(processes);
    StartWith(Root("one") + "auth = /private=" + files_ / "users\n", {processes});
    Client kept(port_);
    auto expect = [&](const std::string& fields, const std::string& path, int status) {
      int in_a_row = 0;  // as above
      for (int i = 0; i < 2000 && in_a_row < 12; ++i) {
        Client client(port_);
        in_a_row = Ask(client, fields, path).status == status ? in_a_row + 1 : 0;
      }
      EXPECT_EQ(in_a_row, 12) << fields << path << status;
      EXPECT_EQ(Ask(kept, fields, path).status, status);
    };
    expect("Host: h\r\n", "/private/file", 401);
    expect(one, "/private/file", 200);
    expect("Host: h\r\n", "/file", 200);
    ReloadWith(Root("one") +
               "auth = /private=" + files_ / "others\nauth = /file=" + files_ / "users\n");
    expect(two, "/private/file", 200);
    expect(one, "/private/file", 401);
    expect(one, "/file", 200);
    expect("Host: h\r\n", "/file", 401);
    ReloadWith(Root("one"));
    expect("Host: h\r\n", "/private/file", 200);
    ReloadWith(Root("one") + "auth = /private=" + files_ / "users\n");
    expect("Host: h\r\n", "/private/file", 401);
    Stop();
  }
}

TEST_P(Reload, AsksForNoPasswordsWhereThereWereNoneAtTheStart) {
  WriteFile(files_ / "users", kUserOne);
  for (const char* processes : {"--processes=1", "--processes=2"}) {
    StartWith(Root("one"), {processes});
    WriteConfig(Root("two") + "auth = /=" + files_ / "users\n");
    ReloadAndExpect("knot: not reloaded, as before: --auth: ");
    EXPECT_EQ(Count(server_->Error(), "\n"), 1u) << server_->Error();
    ExpectSoon("one");
  }
}

TEST_P(Reload, CountsTheConnectionsOfClientsOn) {
  const std::string limit = "client_connections = 2\n";
  StartWith(Root("one") + limit);
  auto first = std::make_unique<Client>(port_);
  Client second(port_);
  first->Get("/file");
  second.Get("/file");
  for (const char* version : {"two", "one"}) {
    ReloadWith(Root(version) + limit);
    EXPECT_TRUE(Client(port_).AtEnd());
    EXPECT_EQ(first->Get("/file").body, version);
    EXPECT_EQ(second.Get("/file").body, version);
    EXPECT_TRUE(Client(port_).AtEnd());
  }
  first.reset();
  bool served = false;  // once the server has seen the end
  for (int i = 0; i < 1000 && !served; ++i) {
    served = Client(port_).Get("/file").status == 200;
    if (!served) usleep(10'000);
  }
  EXPECT_TRUE(served);
  ReloadWith(Root("one"));
  EXPECT_EQ(Client(port_).Get("/file").body, "one");
}

// Where nobody asked whom a connection comes from when it came.
TEST_P(Reload, LimitsTheRequestsOfConnectionsThatAreOpen) {
  for (const std::string& listen : {std::string("127.0.0.1:0"), "unix:" + files_ / "socket"}) {
    bool local = listen.starts_with("unix");
    StartWith(Root("one") + "listen = " + listen + "\n");
    Client tcp(local ? uint16_t{1} : port_), by_unix(ConnectUnix(files_ / "socket"));
    Client& kept = local ? by_unix : tcp;
    EXPECT_EQ(kept.Get("/file").body, "one");
    ReloadWith(Root("one") + "listen = " + listen + "\nclient_rate = 1\nclient_burst = 2\n");
    int status = 0;
    for (int i = 0; i < 100 && status != 429; ++i) status = kept.Get("/file").status;
    EXPECT_EQ(status, local ? 200 : 429) << "a unix socket's peer has no address";
  }
}

TEST_P(Reload, ChangesWhomItTrusts) {
  const std::string log = "access_log = " + files_ / "log\n";
  const std::string forwarded = "Host: h\r\nX-Forwarded-For: 192.0.2.7\r\n";
  StartWith(Root("one") + log);
  Client kept(port_);
  Ask(kept, forwarded);
  ReloadWith(Root("one") + log + "trusted_proxies = 127.0.0.1\n");
  Ask(kept, forwarded);
  Client later(port_);
  Ask(later, forwarded);
  ReloadWith(Root("one") + log);
  Ask(later, forwarded);
  Stop();
  std::istringstream text(ReadFile(files_ / "log"));
  std::string clients;
  for (std::string line; std::getline(text, line);) clients += line.substr(0, line.find(' ')) + " ";
  EXPECT_EQ(clients, "127.0.0.1 192.0.2.7 192.0.2.7 127.0.0.1 ");
}

TEST_P(Reload, GivesUpWhoReadsNothingByTheNewTimeOut) {
  for (const char* send : {"--send=cache", "--send=inline"}) {
    SCOPED_TRACE(send);
    const std::string lines = Root("one") + "listen = unix:" + files_ / "socket" + "\n";
    StartWith(lines + "send_timeout = 50\n", {send, "--cache_mb=200"});
    ReloadWith(lines + "send_timeout = 1\n");
    Client dead(ConnectUnix(files_ / "socket"));
    dead.Send("GET /big HTTP/1.0\r\n\r\n");
    dead.ReadBytes(1);
    Stop();  // waits for replies under way: this one was given up
  }
}

TEST_P(Reload, GivesUpSlowReadersOnConnectionsThatAreOpen) {
  for (const char* listen : {"127.0.0.1:0", "https://127.0.0.1:0"}) {
    SCOPED_TRACE(listen);
    bool tls = std::string(listen).starts_with("https");
    const std::string lines = Root("one") + "listen = " + listen + "\nsend_timeout = 1\n" +
                              "drain_timeout = 5\n" + (tls ? Certificate("a", "a.test") : "");
    StartWith(lines + "min_send_rate = 1\n");
    TlsClientOptions options;
    options.receive_buffer = 16384;
    std::unique_ptr<Client> kept =
        tls ? std::make_unique<TlsClient>(port_, options) : std::make_unique<Client>(port_, 16384);
    EXPECT_EQ(kept->Get("/file").body, "one");
    ReloadWith(lines + "min_send_rate = 100000000\n");
    kept->Send("GET /big HTTP/1.1\r\nHost: h\r\n\r\n");
    std::atomic<bool> over{false};
    std::thread reader([&] {
      char part[1000];
      while (!over.load() && recv(kept->socket(), part, sizeof part, MSG_DONTWAIT) != 0) {
        usleep(100'000);
      }
    });
    usleep(100'000);  // for the request to arrive
    Stop();
    over.store(true);
    reader.join();
  }
}

TEST_P(Reload, LetsNoTotalFall) {
  for (const char* processes : {"--processes=1", "--processes=2"}) {
    SCOPED_TRACE(processes);
    StartWith(Root("one"), {processes, "--admin=127.0.0.1:0"});
    const uint16_t admin = AdminPort(server_->Output());
    double asked = 0;
    auto ask = [&] {
      for (int i = 0; i < 10; ++i) Client(port_).Get("/file");
      asked += 10;
      return WaitForAdminMetrics(admin, [&](std::map<std::string, double>& now) {
        return now["knot_requests_total{code=\"200\"}"] == asked;
      });
    };
    std::map<std::string, double> before = ask();
    for (int i = 1; i <= 3; ++i) {
      ReloadWith(Root("one"));
      std::map<std::string, double> now = AdminMetrics(admin);
      EXPECT_EQ(WhatFell(before, now), "");
      now = ask();
      EXPECT_EQ(WhatFell(before, now), "");
      EXPECT_EQ(now["knot_requests_total{code=\"200\"}"], asked);
      EXPECT_GT(now["knot_cache_loads_total"], before["knot_cache_loads_total"]);
      EXPECT_LE(now["knot_cache_loads_total"], asked);
      before = now;
    }
  }
}

TEST_P(Reload, NamesTheAddressesThatItCannotChange) {
  StartWith(Root("one"));
  WriteConfig(Root("two") + "admin = 127.0.0.1:0\nproxy_protocol = 127.0.0.1\n");
  ReloadAndExpect("knot: reloaded; as before until a restart: --admin, --proxy_protocol\n");
  EXPECT_EQ(Client(port_).Get("/file").body, "two");
}

TEST_P(Reload, DecidesWhetherTheCountersArePrintedAtExit) {
  StartWith(Root("one"));
  ReloadWith(Root("one") + "stats = true\n");
  Stop();
  EXPECT_NE(server_->Error().find("knot: connections="), std::string::npos) << server_->Error();
}

INSTANTIATE_FOR_BINARIES(Reload);

}  // namespace
}  // namespace knot::test
