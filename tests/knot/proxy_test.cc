// The client's address where proxies stand before Knot: by the PROXY protocol, by X-Forwarded-For.

#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <memory>
#include <numeric>
#include <string>
#include <vector>

#include "tests/knot/support/client.h"
#include "tests/knot/support/server_process.h"
#include "tests/knot/support/tls_client.h"

namespace knot::test {
namespace {

const std::string kGet = "GET /small HTTP/1.1\r\nHost: h\r\n\r\n";
const std::string kText = "PROXY TCP4 192.0.2.1 127.0.0.1 12345 80\r\n";
const std::string kBinary = std::string("\r\n\r\n\0\r\nQUIT\n\x21\x21\x00\x27", 16) +
                            std::string("\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01", 16) +
                            std::string(16, '\0') + std::string("\x30\x39\x00\x50", 4) +
                            std::string("\x04\x00\x00", 3);
const std::string kLocal("\r\n\r\n\0\r\nQUIT\n\x20\x00\x00\x00", 16);

class Proxy : public KnotTest {
 protected:
  void SetUp() override { WriteFile(root_ / "small", "small"); }

  void StartLogging(std::vector<std::string> arguments) {
    arguments.push_back("--access_log=" + logs_ / "log");
    arguments.push_back("--threads=8");
    Start(arguments);
  }

  // Stops the server. Returns: the addresses in its log, each with a line break behind it; of
  // several connections sorted, since a line is written after its reply.
  std::string Clients(bool sorted = true) {
    server_->Signal(SIGTERM);
    EXPECT_EQ(server_->WaitForExit(), 0);
    std::vector<std::string> clients;
    const std::string log = ReadFile(logs_ / "log");
    for (size_t at = 0; at < log.size(); at = log.find('\n', at) + 1) {
      clients.push_back(log.substr(at, log.find(' ', at) - at) + "\n");
    }
    if (sorted) std::sort(clients.begin(), clients.end());
    return std::accumulate(clients.begin(), clients.end(), std::string());
  }

  TempDirectory logs_;
};

TEST_P(Proxy, ItsHeaderNamesTheClient) {
  StartLogging({"--proxy_protocol=127.0.0.0/8"});
  for (const std::string& header : {kText, kBinary, kLocal, std::string("PROXY UNKNOWN\r\n"),
                                    std::string("PROXY TCP6 2001:db8::2 ::1 1 2\r\n")}) {
    Client client(port_);
    client.Send(header + kGet + kGet);
    EXPECT_EQ(client.Read().body, "small");
    EXPECT_EQ(client.Read().body, "small");
    EXPECT_EQ(client.Get("/small").body, "small");
  }
  std::string clients;
  for (const char* address :
       {"127.0.0.1", "127.0.0.1", "192.0.2.1", "2001:db8::1", "2001:db8::2"}) {
    for (int i = 0; i < 3; ++i) clients += std::string(address) + "\n";
  }
  EXPECT_EQ(Clients(), clients);
}

TEST_P(Proxy, ItsHeaderMayComeInPieces) {
  StartLogging({"--proxy_protocol=127.0.0.1"});
  for (const std::string& header : {kText, kBinary}) {
    Client client(port_);
    for (char c : header) {
      client.Send(std::string(1, c));
      usleep(1000);
    }
    client.Send(kGet);
    EXPECT_EQ(client.Read().body, "small");
  }
  EXPECT_EQ(Clients(), "192.0.2.1\n2001:db8::1\n");
}

TEST_P(Proxy, AConnectionWithoutItsHeaderIsClosedWithoutAWord) {
  StartLogging({"--proxy_protocol=127.0.0.1", "--header_timeout=1", "--stats"});
  for (const std::string& bytes :
       {kGet, std::string("PROXY nonsense\r\n") + kGet, "x" + kText + kGet,
        std::string("\x16\x03\x01\x00\x05hello", 10), kText.substr(0, 20), std::string("PROXY"),
        kBinary.substr(0, 30), std::string()}) {
    Client client(port_);
    client.Send(bytes);
    // What was not taken makes the end a reset.
    EXPECT_EQ(client.ReadBytes(1000), "") << bytes;
  }
  Client good(port_);
  good.Send(kText + kGet);
  EXPECT_EQ(good.Read().body, "small");
  EXPECT_EQ(Clients(), "192.0.2.1\n");
  EXPECT_NE(server_->Error().find(" proxy_refusals=8\n"), std::string::npos) << server_->Error();
}

TEST_P(Proxy, ItsHeaderIsNotTakenFromOthers) {
  StartLogging({"--proxy_protocol=192.0.2.0/24,::/0"});
  EXPECT_EQ(Client(port_).Get("/small").body, "small");
  for (const std::string& header : {kText, kBinary}) {
    Client client(port_);
    client.Send(header + kGet);
    EXPECT_EQ(client.Read().status, 400);
    EXPECT_TRUE(client.AtEnd());
  }
  EXPECT_EQ(Clients(), "127.0.0.1\n127.0.0.1\n127.0.0.1\n");
}

TEST_P(Proxy, ItsHeaderComesBeforeTls) {
  WriteCertificate(logs_ / "cert", logs_ / "key", "DNS:a.test");
  server_ = std::make_unique<ServerProcess>(
      GetParam(), std::vector<std::string>{"--proxy_protocol=127.0.0.1", "--threads=8",
                                           "--tls=" + logs_ / "cert" + "," + logs_ / "key",
                                           "--listen=https://127.0.0.1:0",
                                           "--access_log=" + logs_ / "log", root_.path()});
  std::vector<uint16_t> ports = server_->WaitForPorts();
  ASSERT_EQ(ports.size(), 1u) << server_->Error();
  for (const std::string& header : {kText, kBinary}) {
    TlsClient client(ports[0], {}, false);
    // At once with what follows, which must be left for the handshake.
    client.SendRaw(header + client.Encrypt(""));
    ASSERT_TRUE(client.Handshake()) << client.failure();
    EXPECT_EQ(client.Get("/small").body, "small");
    EXPECT_EQ(client.Get("/small").body, "small");
  }
  EXPECT_FALSE(TlsClient(ports[0]).ready());
  EXPECT_EQ(Clients(), "192.0.2.1\n192.0.2.1\n2001:db8::1\n2001:db8::1\n");
}

TEST_P(Proxy, IsBelievedAboutTheClientWhereItIsTrusted) {
  StartLogging({"--trusted_proxies=127.0.0.1,10.0.0.0/8"});
  Client client(port_);
  for (const char* fields : {"", "X-Forwarded-For: 192.0.2.1\r\n",
                             "X-Forwarded-For: 203.0.113.9, 192.0.2.2, 10.1.1.1\r\n",
                             "X-Forwarded-For: 203.0.113.9\r\nX-Forwarded-For: 2001:db8::3\r\n",
                             "X-Forwarded-For: a\\\" b\r\n"}) {
    client.Send(std::string("GET /small HTTP/1.1\r\nHost: h\r\n") + fields + "\r\n");
    EXPECT_EQ(client.Read().body, "small");
  }
  EXPECT_EQ(Clients(false), "127.0.0.1\n192.0.2.1\n192.0.2.2\n2001:db8::3\n127.0.0.1\n");
}

TEST_P(Proxy, IsNotBelievedAboutTheClientWhereItIsNotTrusted) {
  for (const char* trusted : {"--trusted_proxies=", "--trusted_proxies=10.0.0.0/8,::/0,unix"}) {
    unlink((logs_ / "log").c_str());
    StartLogging({trusted});
    Client client(port_);
    client.Send("GET /small HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: 192.0.2.1\r\n\r\n");
    EXPECT_EQ(client.Read().body, "small");
    EXPECT_EQ(Clients(), "127.0.0.1\n");
  }
}

TEST_P(Proxy, IsBelievedByTheAddressThatItsHeaderNames) {
  StartLogging({"--proxy_protocol=127.0.0.1", "--trusted_proxies=192.0.2.1"});
  Client client(port_);
  client.Send(kText + "GET /small HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: 203.0.113.7\r\n\r\n");
  EXPECT_EQ(client.Read().body, "small");
  EXPECT_EQ(Clients(), "203.0.113.7\n");
}

// All that the log can tell of who asked, together.
TEST_P(Proxy, JsonLogNamesClientUserAndVersionOfTls) {
  const std::string log = logs_ / "log";
  WriteCertificate(logs_ / "cert", logs_ / "key", "DNS:a.test");
  WriteFile(logs_ / "users",  // u with the password one
            "u:$2y$04$LjhfOI5BxszZdmvgoU5/kea1mxSuJ8ZZ9pZ667.UM/WWJGa4N3qwy\n");
  for (const char* https : {"https://", ""}) {
    unlink(log.c_str());
    server_ = std::make_unique<ServerProcess>(
        GetParam(),
        std::vector<std::string>{std::string("--listen=") + https + "127.0.0.1:0",
                                 "--listen=https://127.0.0.1:0", "--threads=8",
                                 "--tls=" + logs_ / "cert" + "," + logs_ / "key",
                                 "--proxy_protocol=127.0.0.1", "--trusted_proxies=192.0.2.1",
                                 "--auth=/small=" + logs_ / "users", "--log_format=json",
                                 "--access_log=" + log, root_.path()});
    std::vector<uint16_t> ports = server_->WaitForPorts();
    ASSERT_EQ(ports.size(), 2u) << server_->Error();
    bool tls = *https != '\0';
    struct {
      std::string header, fields, client, user;
      int status;
    } const kCases[] = {
        {kBinary, "", "2001:db8::1", "", 401},
        {kBinary, "Authorization: Basic dTpvbmU=\r\n", "2001:db8::1", "u", 200},
        {kBinary, "X-Forwarded-For: 203.0.113.7\r\nAuthorization: Basic dTp4\r\n", "2001:db8::1",
         "u", 401},
        {kText, "X-Forwarded-For: 203.0.113.7\r\nAuthorization: Basic dTpvbmU=\r\n", "203.0.113.7",
         "u", 200},
        {kText, "X-Forwarded-For: 10.0.0.1, 2001:db8::9\r\n", "2001:db8::9", "", 401},
        {kLocal, "X-Forwarded-For: 203.0.113.7\r\n", "127.0.0.1", "", 401}};
    std::string expected;
    for (const auto& c : kCases) {
      SCOPED_TRACE(c.client + " " + c.fields);
      const std::string request = "GET /small HTTP/1.1\r\nHost: h\r\n" + c.fields + "\r\n";
      if (tls) {
        TlsClient client(ports[0], {}, false);
        client.SendRaw(c.header + client.Encrypt(""));
        ASSERT_TRUE(client.Handshake());
        client.Send(request);
        EXPECT_EQ(client.Read().status, c.status);
      } else {
        Client client(ports[0]);
        client.Send(c.header + request);
        EXPECT_EQ(client.Read().status, c.status);
      }
      std::string line;  // is written after its reply
      size_t before = expected.size();
      for (int i = 0; i < 1000 && line.find('\n') == std::string::npos; ++i) {
        line = ReadFile(log).substr(before);
        usleep(10'000);
      }
      expected += line;
      auto has = [&](const std::string& name, const std::string& value) {
        EXPECT_NE(line.find("\"" + name + "\":\"" + value + "\""), std::string::npos) << line;
      };
      has("client", c.client);
      has("user", c.user);
      has("tls", tls ? "TLSv1.3" : "");
      EXPECT_NE(line.find("\"status\":" + std::to_string(c.status)), std::string::npos) << line;
    }
    server_->Signal(SIGTERM);
    EXPECT_EQ(server_->WaitForExit(), 0);
    EXPECT_EQ(ReadFile(log), expected);
  }
}

TEST_P(Proxy, FlagsRefuseWhatIsNoSetOfAddresses) {
  for (const char* name : {"--proxy_protocol=", "--trusted_proxies="}) {
    for (const char* value : {"localhost", "10.0.0.0/33", "10.0.0.1/8", "1.2.3.4,"}) {
      ServerProcess process(GetParam(), {std::string(name) + value, root_.path()});
      EXPECT_EQ(process.WaitForExit(), 2);
      EXPECT_EQ(process.Error().find(std::string("knot: ") + name + value + ": "), 0u)
          << process.Error();
    }
  }
}

INSTANTIATE_FOR_BINARIES(Proxy);

}  // namespace
}  // namespace knot::test
