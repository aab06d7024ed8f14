// TLS, by a client of OpenSSL's and by its bytes.

#include <gtest/gtest.h>
#include <openssl/ssl.h>
#include <openssl/sslerr.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "tests/knot/support/client.h"
#include "tests/knot/support/server_process.h"
#include "tests/knot/support/tls_client.h"

namespace knot::test {
namespace {

const std::string kGetSmall = "GET /small HTTP/1.1\r\nHost: h\r\n\r\n";

class Tls : public KnotTest {
 protected:
  void SetUp() override {
    WriteFile(root_ / "small", "small");
    WriteFile(root_ / "medium", medium_);
    WriteFile(root_ / "big", big_);
    for (const auto& [name, hosts] : std::vector<std::pair<std::string, std::string>>{
             {"a", "DNS:a.test"}, {"b", "DNS:b.test,DNS:*.b.test"}}) {
      WriteCertificate(files_ / (name + ".pem"), files_ / (name + ".key"), hosts);
    }
  }

  std::string Flag(const std::string& name) const {
    return "--tls=" + files_ / (name + ".pem") + "," + files_ / (name + ".key");
  }

  // Starts a server with both certificates, `port_` for TLS and `plain_port_` without.
  void StartTls(std::vector<std::string> arguments = {}) {
    bool threads = std::any_of(arguments.begin(), arguments.end(), [](const std::string& argument) {
      return argument.starts_with("--threads=");
    });
    if (!threads) arguments.push_back("--threads=16");
    for (const std::string& argument :
         {Flag("a"), Flag("b"), std::string("--listen=https://127.0.0.1:0"),
          std::string("--listen=127.0.0.1:0"), root_.path()}) {
      arguments.push_back(argument);
    }
    server_ = std::make_unique<ServerProcess>(GetParam(), arguments);
    std::vector<uint16_t> ports = server_->WaitForPorts();
    ASSERT_EQ(ports.size(), 2u) << server_->Error();
    port_ = ports[0];
    plain_port_ = ports[1];
  }

  void ExpectServes() { EXPECT_EQ(TlsClient(port_).Get("/small").body, "small"); }

  const std::string medium_ = Pattern(50'000);
  const std::string big_ = Pattern(20'000'000);
  TempDirectory files_;
  uint16_t plain_port_ = 0;
};

TEST_P(Tls, ServesBesidePlainAddresses) {
  StartTls();
  EXPECT_NE(server_->Output().find("https://127.0.0.1:" + std::to_string(port_) +
                                   "/ http://127.0.0.1:" + std::to_string(plain_port_) + "/ "),
            std::string::npos)
      << server_->Output();
  TlsClient client(port_);
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(client.Get("/small").body, "small");
    EXPECT_EQ(client.Get("/none").status, 404);
    EXPECT_TRUE(client.Get("/medium").body == medium_);
  }
  client.Send("HEAD /big HTTP/1.1\r\nHost: h\r\n\r\n");
  EXPECT_EQ(client.Read(true).fields["content-length"], std::to_string(big_.size()));
  EXPECT_EQ(Client(plain_port_).Get("/small").body, "small");
}

TEST_P(Tls, SendsTheBytesOfFilesByEachPolicyWithAndWithoutTheKernel) {
  for (const char* kernel : {"--kernel_tls=true", "--kernel_tls=false"}) {
    for (const char* send : {"--send=auto", "--send=cache", "--send=inline", "--send=blocking"}) {
      for (int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
        SCOPED_TRACE(std::string(kernel) + " " + send + " " + std::to_string(version));
        StartTls({kernel, send, "--cache_mb=200"});
        TlsClientOptions options;
        options.max_version = version;
        TlsClient client(port_, options);
        EXPECT_TRUE(client.Get("/big").body == big_);
        EXPECT_EQ(client.Get("/small").body, "small");
        EXPECT_TRUE(client.Get("/medium").body == medium_);
        for (auto [first, last] :
             std::vector<std::pair<size_t, size_t>>{{0, 0},
                                                    {1, 16384},
                                                    {16383, 16385},
                                                    {12'345, 4'567'890},
                                                    {19'999'999, 20'000'000}}) {
          client.Send("GET /big HTTP/1.1\r\nHost: h\r\nRange: bytes=" + std::to_string(first) +
                      "-" + std::to_string(last) + "\r\n\r\n");
          Reply reply = client.Read();
          EXPECT_EQ(reply.status, 206);
          EXPECT_TRUE(reply.body == big_.substr(first, last - first + 1)) << first;
        }
        client.Send("GET /big HTTP/1.1\r\nHost: h\r\nRange: bytes=5-9,100000-120000\r\n\r\n");
        std::string parts = client.Read().body;
        EXPECT_NE(parts.find("\r\n\r\n" + big_.substr(5, 5) + "\r\n--"), std::string::npos);
        EXPECT_NE(parts.find("\r\n\r\n" + big_.substr(100'000, 20'001) + "\r\n--"),
                  std::string::npos);
      }
    }
  }
}

TEST_P(Tls, SpeaksTheVersionsItIsToldTo) {
  for (const char* least : {"--tls_min=1.2", "--tls_min=1.3"}) {
    StartTls({least});
    for (const auto& [version, serves] :
         std::vector<std::pair<int, bool>>{{TLS1_VERSION, false},
                                           {TLS1_1_VERSION, false},
                                           {TLS1_2_VERSION, std::string(least) == "--tls_min=1.2"},
                                           {TLS1_3_VERSION, true}}) {
      TlsClientOptions options;
      options.min_version = options.max_version = version;
      TlsClient client(port_, options);
      EXPECT_EQ(client.ready(), serves) << least << " " << version;
      if (serves) {
        EXPECT_EQ(client.Get("/small").body, "small") << least << " " << version;
      } else {
        EXPECT_EQ(client.failure(), SSL_R_TLSV1_ALERT_PROTOCOL_VERSION) << least << " " << version;
      }
    }
  }
}

TEST_P(Tls, HasOnlyCiphersOfForwardSecrecyThatAuthenticate) {
  StartTls();
  for (const auto& [ciphers, serves] :
       std::vector<std::pair<const char*, bool>>{{"ECDHE-ECDSA-AES128-GCM-SHA256", true},
                                                 {"ECDHE-ECDSA-AES256-GCM-SHA384", true},
                                                 {"ECDHE-ECDSA-CHACHA20-POLY1305", true},
                                                 {"ECDHE-ECDSA-AES128-SHA256", false},
                                                 {"ECDHE-ECDSA-AES128-SHA", false},
                                                 {"ECDHE-ECDSA-AES128-CCM", false},
                                                 {"AES128-GCM-SHA256", false},
                                                 {"aNULL", false},
                                                 {"eNULL", false}}) {
    TlsClientOptions options;
    options.max_version = TLS1_2_VERSION;
    options.ciphers = ciphers;
    EXPECT_EQ(TlsClient(port_, options).ready(), serves) << ciphers;
  }
}

TEST_P(Tls, ShowsTheCertificateOfTheHostThatIsNamed) {
  StartTls();
  for (int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
    for (const auto& [host, shown] :
         std::vector<std::pair<const char*, const char*>>{{"", "a.test"},
                                                          {"a.test", "a.test"},
                                                          {"b.test", "b.test"},
                                                          {"B.TEST", "b.test"},
                                                          {"www.b.test", "b.test"},
                                                          {"deep.www.b.test", "a.test"},
                                                          {"unheard.of", "a.test"}}) {
      TlsClientOptions options;
      options.host = host;
      options.max_version = version;
      TlsClient client(port_, options);
      EXPECT_EQ(client.ServerName(), shown) << host;
      EXPECT_EQ(client.Get("/small").body, "small") << host;
    }
  }
}

TEST_P(Tls, AgreesOnHttp11OrNothing) {
  StartTls();
  struct Case {
    std::vector<std::string> offered;
    std::string chosen;
  };
  for (const Case& c : std::vector<Case>{{{}, ""},
                                         {{"http/1.1"}, "http/1.1"},
                                         {{"h2", "http/1.1"}, "http/1.1"},
                                         {{"http/1.1", "h2"}, "http/1.1"}}) {
    TlsClientOptions options;
    options.alpn = c.offered;
    options.host = "b.test";
    TlsClient client(port_, options);
    EXPECT_EQ(client.Protocol(), c.chosen);
    EXPECT_EQ(client.Get("/small").body, "small");
  }
  for (const std::vector<std::string>& offered : std::vector<std::vector<std::string>>{
           {"h2"}, {"h2", "spdy/3"}, {"http/1.0"}, {"http/1.1x"}, {"HTTP/1.1"}, {"http/1."}}) {
    TlsClientOptions options;
    options.alpn = offered;
    TlsClient client(port_, options);
    EXPECT_FALSE(client.ready()) << offered[0];
    EXPECT_EQ(client.failure(), SSL_R_TLSV1_ALERT_NO_APPLICATION_PROTOCOL) << offered[0];
  }
  ExpectServes();
}

TEST_P(Tls, ResumesSessionsWithEachOfItsProcesses) {
  StartTls({"--processes=2", "--threads=16"});
  for (int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
    TlsClientOptions options;
    options.max_version = version;
    SSL_SESSION* session = nullptr;
    for (int i = 0; i < 20; ++i) {
      options.session = session;
      TlsClient client(port_, options);
      ASSERT_TRUE(client.ready());
      EXPECT_EQ(client.Get("/small").body, "small");
      EXPECT_EQ(SSL_session_reused(client.ssl()), i == 0 ? 0 : 1) << i;
      SSL_SESSION_free(session);
      session = client.TakeSession();
    }
    SSL_SESSION_free(session);
  }
}

TEST_P(Tls, CountsHandshakes) {
  StartTls({"--stats"});
  SSL_SESSION* session = nullptr;
  for (int i = 0; i < 3; ++i) {
    TlsClientOptions options;
    options.session = session;
    TlsClient client(port_, options);
    EXPECT_EQ(client.Get("/small").body, "small");
    SSL_SESSION_free(session);
    session = client.TakeSession();
  }
  SSL_SESSION_free(session);
  {
    Client nonsense(port_);
    nonsense.Send(std::string(64, '\0'));
    nonsense.ReadBytes(1000);
  }
  server_->Signal(SIGTERM);
  EXPECT_EQ(server_->WaitForExit(), 0);
  EXPECT_NE(server_->Error().find("tls handshakes=3 resumed=2 failures=1 "), std::string::npos)
      << server_->Error();
}

TEST_P(Tls, TellsThatNothingFollows) {
  StartTls({"--idle_timeout=1"});
  for (int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
    TlsClientOptions options;
    options.max_version = version;
    for (const char* target : {"/small", "/big"}) {
      TlsClient closing(port_, options);
      closing.Send(std::string("GET ") + target + " HTTP/1.0\r\n\r\n");
      EXPECT_EQ(closing.Read().status, 200);
      EXPECT_TRUE(closing.AtEnd()) << closing.failure();
    }
    TlsClient refused(port_, options);
    refused.Send("nonsense\r\n\r\n");
    EXPECT_EQ(refused.Read().status, 400);
    EXPECT_TRUE(refused.AtEnd()) << refused.failure();
    TlsClient idle(port_, options);
    EXPECT_EQ(idle.Get("/small").body, "small");
    EXPECT_TRUE(idle.AtEnd()) << idle.failure();
    TlsClient silent(port_, options);
    EXPECT_TRUE(silent.AtEnd()) << silent.failure();
  }
}

TEST_P(Tls, TellsThatNothingFollowsWhereTheServerStops) {
  StartTls({"--send=inline"});
  TlsClientOptions options;
  options.receive_buffer = 16384;
  TlsClient idle(port_), slow(port_, options);
  EXPECT_EQ(idle.Get("/small").body, "small");
  slow.Send("GET /big HTTP/1.1\r\nHost: h\r\n\r\n");
  std::string got = slow.ReadBytes(100'000);  // the reply is under way
  server_->Signal(SIGTERM);
  EXPECT_TRUE(idle.AtEnd()) << idle.failure();
  got += slow.ReadBytes(big_.size() + 10'000);
  EXPECT_TRUE(got.substr(got.find("\r\n\r\n") + 4) == big_) << got.size() << " bytes came";
  EXPECT_EQ(slow.failure(), 0) << "cut off rather than ended";
  EXPECT_EQ(server_->WaitForExit(), 0);
  EXPECT_EQ(server_->Error(), "");
}

TEST_P(Tls, AnswersRequestsHoweverTheyAreCutIntoRecords) {
  StartTls();
  TlsClient client(port_);
  std::string requests;
  for (int i = 0; i < 20; ++i) requests += kGetSmall;
  client.Send(requests);  // many in one record
  for (int i = 0; i < 20; ++i) ASSERT_EQ(client.Read().body, "small") << i;
  std::string records;
  for (char c : kGetSmall + kGetSmall) records += client.Encrypt(std::string(1, c));
  client.SendRaw(records);  // a record for each byte, all at once
  for (int i = 0; i < 2; ++i) ASSERT_EQ(client.Read().body, "small") << i;
  for (char c : kGetSmall) client.Send(std::string(1, c));
  ASSERT_EQ(client.Read().body, "small");
  std::string record = client.Encrypt(kGetSmall), next = client.Encrypt(kGetSmall);
  for (size_t cut : {size_t{1}, size_t{5}, size_t{6}, record.size() - 1}) {
    client.SendRaw(record.substr(0, cut));
    usleep(20'000);
    // The rest, and the beginning of the next.
    client.SendRaw(record.substr(cut) + next.substr(0, cut));
    ASSERT_EQ(client.Read().body, "small") << cut;
    usleep(20'000);
    client.SendRaw(next.substr(cut));
    ASSERT_EQ(client.Read().body, "small") << cut;
    record = client.Encrypt(kGetSmall);
    next = client.Encrypt(kGetSmall);
  }
}

TEST_P(Tls, ReadsBodiesAndRefusesThoseThatAreTooLarge) {
  StartTls();
  TlsClient client(port_);
  client.Send("GET /small HTTP/1.1\r\nHost: h\r\nContent-Length: 500000\r\n\r\n" +
              std::string(500'000, 'b') + kGetSmall);
  EXPECT_EQ(client.Read().body, "small");
  EXPECT_EQ(client.Read().body, "small");
  client.Send("GET /small HTTP/1.1\r\nHost: h\r\nContent-Length: 2000000\r\n\r\n" +
              std::string(100'000, 'b'));
  EXPECT_EQ(client.Read().status, 413);
  EXPECT_TRUE(client.AtEnd()) << client.failure();
}

TEST_P(Tls, TakesNewKeysFromTheClient) {
  StartTls();
  TlsClient client(port_);
  for (int i = 0; i < 5; ++i) {
    ASSERT_EQ(SSL_key_update(client.ssl(), SSL_KEY_UPDATE_REQUESTED), 1);
    ASSERT_EQ(client.Get("/small").body, "small");
  }
}

TEST_P(Tls, RefusesRenegotiation) {
  StartTls();
  TlsClientOptions options;
  options.max_version = TLS1_2_VERSION;
  TlsClient client(port_, options);
  EXPECT_EQ(client.Get("/small").body, "small");
  ASSERT_EQ(SSL_renegotiate(client.ssl()), 1);
  EXPECT_FALSE(client.Handshake());
  EXPECT_EQ(client.failure(), SSL_R_NO_RENEGOTIATION);
  ExpectServes();
}

TEST_P(Tls, AnswersPlainHttpWith400) {
  StartTls({"--threads=2"});
  for (const char* request : {"GET / HTTP/1.1\r\nHost: h\r\n\r\n", "HEAD / HTTP/1.0\r\n\r\n",
                              "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc"}) {
    Client client(port_);
    client.Send(request);
    Reply reply = client.Read();
    EXPECT_EQ(reply.status, 400) << reply.failure;
    EXPECT_TRUE(client.AtEnd());
  }
  ExpectServes();
}

TEST_P(Tls, SurvivesWhatIsNoHandshake) {
  StartTls({"--threads=2"});
  const std::string hello = TlsClient(port_, {}, false).Encrypt("");
  ASSERT_GT(hello.size(), 100u);
  for (const std::string& bytes :
       {std::string(1, '\0'), std::string(5000, '\xff'), std::string("\r\n\r\n"),
        std::string("SSH-2.0-x\r\n"), std::string("\x80\x2e\x01\x03\x01", 5),
        std::string("\x16\x03\x01\xff\xff", 5) + std::string(70'000, 'x'),
        hello.substr(0, 50) + std::string(500, '\0'), hello + std::string(500, 'x'),
        hello + hello}) {
    Client client(port_);
    client.Send(bytes);
    client.CloseSending();
    client.ReadBytes(100'000);
  }
  ExpectServes();
}

TEST_P(Tls, GivesAHandshakeTheTimeOfAHeader) {
  StartTls({"--threads=2", "--header_timeout=1", "--idle_timeout=60"});  // one for each address
  const std::string hello = TlsClient(port_, {}, false).Encrypt("");
  for (size_t size : {size_t{0}, size_t{3}, hello.size() / 2, hello.size()}) {
    Client client(port_);
    client.Send(hello.substr(0, size));
    // The one thread is free again although the client has not left.
    EXPECT_EQ(TlsClient(port_).Get("/small").body, "small") << size;
  }
}

// A record that comes byte by byte, in a handshake, at the beginning of a request and within one.
TEST_P(Tls, CannotBeHeldByRecordsThatTrickle) {
  StartTls({"--header_timeout=1", "--idle_timeout=60"});
  TlsClient hello(port_, {}, false), whole(port_), half(port_);
  // So that the tickets, which come with the first reply, have been read.
  for (TlsClient* client : {&whole, &half}) EXPECT_EQ(client->Get("/small").body, "small");
  const std::string half_head = half.Encrypt("GET /small HTT");
  std::vector<std::pair<TlsClient*, std::string>> trickles = {
      {&hello, hello.Encrypt("")},
      {&whole, whole.Encrypt(kGetSmall + std::string(500, 'x'))},
      {&half, half.Encrypt("P/1.1\r\nX: " + std::string(500, 'x'))}};
  for (auto& [client, record] : trickles) {
    if (client == &half) half.SendRaw(half_head);
    bool ended = false;
    // The last byte is kept back: a whole record would be answered.
    for (size_t i = 0; i + 1 < record.size() && !ended; ++i) {
      ended = !client->SendRaw(record.substr(i, 1));
      char byte;
      if (recv(client->socket(), &byte, 1, MSG_PEEK | MSG_DONTWAIT) >= 0) ended = true;
      usleep(50'000);
    }
    EXPECT_TRUE(ended) << "a record of " << record.size() << " bytes was waited for";
  }
  EXPECT_EQ(half.Read().status, 408);
}

TEST_P(Tls, DropsAConnectionWhoseRecordsWereChanged) {
  StartTls();
  TlsClient client(port_);
  std::string record = client.Encrypt(kGetSmall);
  record.back() = static_cast<char>(record.back() ^ 1);
  client.SendRaw(record);
  EXPECT_EQ(client.Read().status, 0);
  EXPECT_EQ(client.failure(), SSL_R_SSLV3_ALERT_BAD_RECORD_MAC);
  ExpectServes();
}

TEST_P(Tls, AnswersWhoSendsNoMoreWithoutSayingSo) {
  StartTls();
  TlsClient client(port_);
  client.Send(kGetSmall);
  client.CloseSending();
  EXPECT_EQ(client.Read().body, "small");
  EXPECT_TRUE(client.AtEnd()) << client.failure();
}

TEST_P(Tls, SaysInOneLineWhatItCannotStartWith) {
  const std::string listen = "--listen=https://127.0.0.1:0";
  WriteFile(files_ / "text", "no key");
  for (const auto& [arguments, says] :
       std::vector<std::pair<std::vector<std::string>, std::string>>{
           {{listen}, "needs a certificate"},
           {{listen, Flag("none")}, "none.pem: No such file"},
           {{listen, "--tls=" + files_ / "a.pem" + "," + files_ / "b.key"}, "mismatch"},
           {{listen, "--tls=" + files_ / "a.pem"}, "must be two files"},
           {{listen, "--tls=,"}, "must be two files"},
           {{listen, "--tls=a,b,c"}, "must be two files"},
           {{listen, Flag("a"), "--tls_min=1.1"}, "must be one of 1.2, 1.3"},
           {{listen, Flag("a"), "--processes=2", "--tls=" + files_ / "text" + ",x"}, "text"},
           {{"--listen=127.0.0.1:0", Flag("a")}, "nothing would be encrypted"}}) {
    std::vector<std::string> all = arguments;
    all.push_back(root_.path());
    ServerProcess process(GetParam(), all);
    EXPECT_EQ(process.WaitForExit(), 2) << says;
    std::string error = process.Error();
    EXPECT_EQ(std::count(error.begin(), error.end(), '\n'), 1) << error;
    EXPECT_EQ(error.find("knot: "), 0u) << error;
    EXPECT_NE(error.find(says), std::string::npos) << error;
    EXPECT_EQ(process.Output(), "");
  }
}

TEST_P(Tls, WarnsOfACertificateThatHasExpired) {
  WriteCertificate(files_ / "a.pem", files_ / "a.key", "DNS:a.test", -3, -1);
  StartTls();
  EXPECT_NE(server_->Error().find("a.pem has expired"), std::string::npos) << server_->Error();
  ExpectServes();
}

TEST_P(Tls, ServesManyOnTwoSchedulers) {
  StartTls({"--threads=200", "--schedulers=2"});
  std::vector<std::unique_ptr<TlsClient>> clients;
  for (int i = 0; i < 40; ++i) clients.push_back(std::make_unique<TlsClient>(port_));
  for (int round = 0; round < 3; ++round) {
    for (auto& client : clients) ASSERT_TRUE(client->Send(kGetSmall));
    for (auto& client : clients) ASSERT_EQ(client->Read().body, "small");
  }
}

TEST_P(Tls, ServesOnTheLeastStack) {
  StartTls({"--stack_kb=32"});
  for (int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
    TlsClientOptions options;
    options.max_version = version;
    options.host = "b.test";
    options.alpn = {"http/1.1"};
    TlsClient client(port_, options);
    EXPECT_EQ(client.Get("/small").body, "small");
    EXPECT_TRUE(client.Get("/big").body == big_);
    EXPECT_EQ(client.Get("/none").status, 404);
  }
}

INSTANTIATE_FOR_BINARIES(Tls);

}  // namespace
}  // namespace knot::test
