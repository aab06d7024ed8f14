// The addresses that are listened on: unix sockets, and sockets that were passed.

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "tests/knot/support/client.h"
#include "tests/knot/support/server_process.h"
#include "tests/knot/support/sockets.h"
#include "tests/knot/support/tls_client.h"

namespace knot::test {
namespace {

class Listening : public KnotTest {
 protected:
  void SetUp() override {
    WriteFile(root_ / "small", "small");
    WriteFile(root_ / "big", big_);
  }

  // Starts a server with these addresses only, and waits until it serves.
  void StartOn(std::vector<std::string> arguments, const std::vector<int>& passed = {}) {
    arguments.push_back("--threads=16");
    arguments.push_back(root_.path());
    server_ = std::make_unique<ServerProcess>(GetParam(), arguments, 0, passed);
    server_->WaitForPorts();
    ASSERT_NE(server_->Output().find(" serves "), std::string::npos) << server_->Error();
  }

  void Stop() {
    server_->Signal(SIGTERM);
    EXPECT_EQ(server_->WaitForExit(), 0);
    EXPECT_EQ(server_->Error(), "");
  }

  void ExpectRefusal(const std::vector<std::string>& arguments, const std::string& says,
                     const std::vector<int>& passed = {}) {
    std::vector<std::string> all = arguments;
    all.push_back(root_.path());
    ServerProcess process(GetParam(), all, 0, passed);
    EXPECT_EQ(process.WaitForExit(), 2) << says;
    std::string error = process.Error();
    EXPECT_EQ(std::count(error.begin(), error.end(), '\n'), 1) << error;
    EXPECT_NE(error.find(says), std::string::npos) << error;
    EXPECT_EQ(process.Output(), "");
  }

  bool Exists(const std::string& path) {
    struct stat status;
    return lstat(path.c_str(), &status) == 0;
  }

  const std::string big_ = Pattern(20'000'000);
  TempDirectory sockets_;
  const std::string path_ = sockets_ / "knot.sock";
};

TEST_P(Listening, OnAUnixSocketServesAndRemovesIt) {
  for (const char* spawn : {"--spawn=prefork", "--spawn=on_demand"}) {
    StartOn({"--listen=unix:" + path_, spawn});
    EXPECT_NE(server_->Output().find("knot: unix:" + path_ + " serves "), std::string::npos);
    std::vector<std::unique_ptr<Client>> clients;
    for (int i = 0; i < 10; ++i) clients.push_back(std::make_unique<Client>(ConnectUnix(path_)));
    for (int round = 0; round < 3; ++round) {
      for (auto& client : clients) {
        ASSERT_TRUE(client->connected());
        EXPECT_EQ(client->Get("/small").body, "small");
      }
    }
    EXPECT_TRUE(clients[0]->Get("/big").body == big_);
    Stop();
    EXPECT_FALSE(Exists(path_));
    EXPECT_TRUE(clients[0]->AtEnd());
  }
}

TEST_P(Listening, OnAUnixSocketGivesUpWhoReadsNothing) {
  for (const char* send : {"--send=cache", "--send=inline"}) {
    StartOn({"--listen=unix:" + path_, "--send_timeout=1", "--cache_mb=200", send});
    Client dead(ConnectUnix(path_));
    dead.Send("GET /big HTTP/1.0\r\n\r\n");
    dead.ReadBytes(1);
    Stop();  // the server waits for replies under way: this one it has given up
  }
}

TEST_P(Listening, OnAUnixSocketGivesItTheModeAsked) {
  for (const auto& [suffix, mode] : std::vector<std::pair<std::string, mode_t>>{
           {"", 0660}, {",mode=0600", 0600}, {",mode=666", 0666}, {",mode=0", 0}}) {
    StartOn({"--listen=unix:" + path_ + suffix});
    struct stat status;
    ASSERT_EQ(lstat(path_.c_str(), &status), 0);
    EXPECT_TRUE(S_ISSOCK(status.st_mode));
    EXPECT_EQ(status.st_mode & 07777, mode) << suffix;
    Stop();
  }
}

TEST_P(Listening, OnAUnixSocketReplacesOneThatNobodyListensAt) {
  StartOn({"--listen=unix:" + path_});
  server_->Signal(SIGKILL);
  EXPECT_EQ(server_->WaitForExit(), 128 + SIGKILL);
  ASSERT_TRUE(Exists(path_));
  EXPECT_LT(ConnectUnix(path_).descriptor, 0);
  StartOn({"--listen=unix:" + path_});
  EXPECT_EQ(Client(ConnectUnix(path_)).Get("/small").body, "small");
  Stop();
}

TEST_P(Listening, OnAUnixSocketReplacesNothingElse) {
  StartOn({"--listen=unix:" + path_});
  ExpectRefusal({"--listen=unix:" + path_}, "cannot listen on unix:" + path_);
  EXPECT_EQ(Client(ConnectUnix(path_)).Get("/small").body, "small");
  WriteFile(sockets_ / "file", "precious");
  ExpectRefusal({"--listen=unix:" + sockets_ / "file"}, "Address already in use");
  EXPECT_EQ(ReadFile(sockets_ / "file"), "precious");
  ASSERT_EQ(symlink(path_.c_str(), (sockets_ / "link").c_str()), 0);
  ExpectRefusal({"--listen=unix:" + sockets_ / "link"}, "Address already in use");
  ExpectRefusal({"--listen=unix:" + sockets_ / "none/sock"}, "No such file or directory");
  Stop();
}

TEST_P(Listening, OnAUnixSocketLeavesWhatHasTakenItsPlace) {
  StartOn({"--listen=unix:" + path_});
  ASSERT_EQ(unlink(path_.c_str()), 0);
  Passed other(AF_UNIX, path_);
  Stop();
  EXPECT_TRUE(Exists(path_));
}

TEST_P(Listening, OnAUnixSocketTheProcessesAndSchedulersShareIt) {
  for (const char* flag : {"--processes=2", "--schedulers=2", "--spawn=on_demand"}) {
    StartOn({"--listen=unix:" + path_, "--listen=127.0.0.1:0", "--processes=2", flag});
    std::vector<std::unique_ptr<Client>> clients;
    for (int i = 0; i < 4; ++i) {
      clients.push_back(std::make_unique<Client>(ConnectUnix(path_)));
      ASSERT_EQ(clients.back()->Get("/small").body, "small");
    }
    for (int i = 0; i < 30; ++i) {
      ASSERT_EQ(Client(ConnectUnix(path_)).Get("/small").body, "small");
    }
    Stop();
    EXPECT_FALSE(Exists(path_));
  }
}

TEST_P(Listening, OnAUnixSocketByTls) {
  WriteCertificate(sockets_ / "cert", sockets_ / "key", "DNS:a.test");
  StartOn(
      {"--listen=https://unix:" + path_, "--tls=" + sockets_ / "cert" + "," + sockets_ / "key"});
  TlsClient client(ConnectUnix(path_), TlsClientOptions{});
  ASSERT_TRUE(client.ready());
  EXPECT_EQ(client.Get("/small").body, "small");
  EXPECT_TRUE(client.Get("/big").body == big_);
  Stop();
}

TEST_P(Listening, OnAPassedSocketLeavesItToOthers) {
  Passed ip(AF_INET);
  for (const char* spawn : {"--spawn=prefork", "--spawn=on_demand"}) {
    StartOn({"--listen=fd:3", spawn}, {ip.socket_});
    EXPECT_NE(server_->Output().find("knot: http://127.0.0.1:" + std::to_string(ip.port_) +
                                     "/ (fd 3) serves "),
              std::string::npos)
        << server_->Output();
    Client kept(ip.port_);
    EXPECT_EQ(kept.Get("/small").body, "small");
    EXPECT_TRUE(kept.Get("/big").body == big_);
    Stop();
    EXPECT_TRUE(kept.AtEnd());
    // It still listens: a connection waits for whoever is started next.
    EXPECT_TRUE(Client(ip.port_).connected());
  }
}

TEST_P(Listening, OnAllThatSystemdHasPassed) {
  Passed ip(AF_INET), local(AF_UNIX, path_);
  StartOn({"--listen=systemd", "--listen=127.0.0.1:0"}, {ip.socket_, local.socket_});
  EXPECT_NE(server_->Output().find("http://127.0.0.1:" + std::to_string(ip.port_) +
                                   "/ (fd 3) unix:" + path_ + " (fd 4) http://127.0.0.1:"),
            std::string::npos)
      << server_->Output();
  EXPECT_EQ(Client(ip.port_).Get("/small").body, "small");
  EXPECT_EQ(Client(ConnectUnix(path_)).Get("/small").body, "small");
  Stop();
  EXPECT_TRUE(Exists(path_)) << "it is not ours to remove";
}

TEST_P(Listening, OnAPassedSocketByProcessesThatShareIt) {
  Passed ip(AF_INET);
  StartOn({"--listen=systemd", "--processes=2", "--schedulers=2"}, {ip.socket_});
  for (int i = 0; i < 30; ++i) ASSERT_EQ(Client(ip.port_).Get("/small").body, "small");
  Stop();
  EXPECT_TRUE(Client(ip.port_).connected());
}

TEST_P(Listening, RefusesSocketsThatWereNotPassedAsTheyShould) {
  Passed ip(AF_INET);
  int plain = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  int datagrams = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  ExpectRefusal({"--listen=systemd"}, "no sockets were passed");
  ExpectRefusal({"--listen=fd:3"}, "--listen=fd:3: Bad file descriptor");
  ExpectRefusal({"--listen=fd:3"}, "does not listen", {plain});
  ExpectRefusal({"--listen=systemd"}, "is no stream socket", {ip.socket_, datagrams});
  ExpectRefusal({"--listen=fd:3", "--listen=fd:3"}, "is given twice", {ip.socket_});
  ExpectRefusal({"--listen=systemd", "--listen=fd:3"}, "is given twice", {ip.socket_});
  close(plain);
  close(datagrams);
  // Another's: the shell that was started is not the one that starts Knot.
  ServerProcess process("/bin/sh",
                        {"-c", "\"$0\" --listen=systemd \"$1\"; exit $?", GetParam(), root_.path()},
                        0, {ip.socket_});
  EXPECT_EQ(process.WaitForExit(), 2);
  EXPECT_NE(process.Error().find("were passed to process"), std::string::npos) << process.Error();
}

TEST_P(Listening, RefusesAddressesThatAreNone) {
  for (const auto& [address, says] : std::vector<std::pair<std::string, std::string>>{
           {"unix:", "absolute path"},
           {"unix:relative", "absolute path"},
           {"unix:/" + std::string(200, 'x'), "at most 107 bytes"},
           {"unix:/a,mode=", "octal"},
           {"unix:/a,mode=0888", "octal"},
           {"unix:/a,mode=1000", "octal"},
           {"unix:/a,mode=-1", "octal"},
           {"unix:/a,mode=0600,mode=0600", "must be a numeric"},
           {"127.0.0.1:0,mode=0600", "must be a numeric"},
           {"mode=0600", "must be a numeric"},
           {"fd:", "from 3 on"},
           {"fd:2", "from 3 on"},
           {"fd:-1", "from 3 on"},
           {"fd:x", "from 3 on"},
           {"ftp://127.0.0.1:0", "must be a numeric"},
           {"https://", "must be a numeric"},
           {"http://https://127.0.0.1:0", "must be a numeric"},
           {"systemd:3", "must be a numeric"}}) {
    ExpectRefusal({"--listen=" + address}, says);
  }
}

TEST_P(Listening, PrintsItsAddressesAsTheyAreGiven) {
  ServerProcess process(
      GetParam(), {"--print_config", "--listen=unix:/a/b,mode=0600", "--listen=http://[::1]:1",
                   "--listen=unix:/c", "--listen=fd:7", "--listen=systemd"});
  EXPECT_EQ(process.WaitForExit(), 0);
  EXPECT_NE(process.Output().find("\nlisten = unix:/a/b,mode=0600\nlisten = [::1]:1\n"
                                  "listen = unix:/c\nlisten = fd:7\nlisten = systemd\n"),
            std::string::npos)
      << process.Output();
}

INSTANTIATE_FOR_BINARIES(Listening);

}  // namespace
}  // namespace knot::test
