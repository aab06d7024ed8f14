// Certificates: which are refused, which is chosen, and their exchange while the server runs.
#include "knot/tls_context.h"

#include <gtest/gtest.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "knot/tls_stream.h"
#include "tests/knot/support/server_process.h"
#include "tests/knot/support/tls_client.h"

namespace knot {
namespace {

using test::TempDirectory;
using test::TlsClient;
using test::TlsClientOptions;
using test::WriteCertificate;
using test::WriteFile;

class TlsContextTest : public testing::Test {
 protected:
  void SetUp() override { signal(SIGPIPE, SIG_IGN); }  // as main does

  TlsFiles Files(const std::string& name) const {
    return {directory_ / (name + ".pem"), directory_ / (name + ".key")};
  }

  // Makes both files. Returns: their names.
  TlsFiles Make(const std::string& name, const std::string& hosts, int from = -1, int to = 1) {
    TlsFiles files = Files(name);
    WriteCertificate(files.certificate, files.key, hosts, from, to);
    return files;
  }

  std::string Refusal(const std::vector<TlsFiles>& files) {
    TlsSettings settings;
    settings.files = files;
    absl::StatusOr<std::shared_ptr<const TlsCertificates>> loaded = TlsCertificates::Load(settings);
    if (loaded.ok()) return "";
    std::string text(loaded.status().message());
    EXPECT_EQ(text.find('\n'), std::string::npos) << text;
    EXPECT_EQ(text.find("-----"), std::string::npos) << text;
    return text;
  }

  // Does a handshake between a session of `context` and a client on a pair of sockets, and has a
  // byte sent. Returns: the name in the certificate, with a "+" behind it where a session was
  // resumed; `*session`, where given, is what to resume and then what to resume next.
  std::string Meet(const TlsContext& context, const std::string& host,
                   SSL_SESSION** session = nullptr, int version = TLS1_3_VERSION) {
    int ends[2];
    EXPECT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    SendBufferPool buffers;
    LeastRate least;
    bool resumed = false;
    std::thread server([&] {
      TlsSession serving(ends[0], buffers, least);
      if (serving.Handshake(context, 60'000) == TlsSession::Outcome::kDone) {
        resumed = serving.resumed();
        char byte = 'x';
        iovec part{&byte, 1};
        EXPECT_TRUE(serving.SendAll(&part, 1));
        serving.End();
      }
      close(ends[0]);
    });
    TlsClientOptions options;
    options.host = host;
    options.max_version = version;
    options.session = session == nullptr ? nullptr : *session;
    std::string name;
    {
      TlsClient client(test::Client::Socket{ends[1]}, options);
      EXPECT_TRUE(client.ready()) << client.failure();
      EXPECT_EQ(client.ReadBytes(1), "x");
      name = client.ServerName();
      if (session != nullptr) {
        SSL_SESSION_free(*session);
        *session = client.TakeSession();
      }
    }
    server.join();
    return name + (resumed ? "+" : "");
  }

  TempDirectory directory_;
};

TEST_F(TlsContextTest, RefusesFilesThatAreNotGood) {
  TlsFiles good = Make("good", "DNS:good.test");
  TlsFiles other = Make("other", "DNS:other.test");
  TlsFiles nameless = Make("nameless", "");
  TlsFiles again = Make("again", "DNS:GOOD.test");
  WriteFile(directory_ / "text", "no certificate");
  TlsFiles locked = Files("locked");
  WriteCertificate(locked.certificate, locked.key, "DNS:locked.test", -1, 1, "secret word");
  EXPECT_EQ(Refusal({good}), "");
  EXPECT_EQ(Refusal({nameless}), "") << "the first may be for whoever names no host";
  struct Case {
    std::vector<TlsFiles> files;
    std::string says;  // the file that is at fault
    std::string why;
  };
  for (const Case& c : std::vector<Case>{
           {{{directory_ / "none", good.key}}, directory_ / "none", "No such file"},
           {{{good.certificate, directory_ / "none"}}, directory_ / "none", "No such file"},
           {{{directory_ / "text", good.key}}, directory_ / "text", "no start line"},
           {{{good.certificate, directory_ / "text"}}, directory_ / "text", ""},
           {{{good.certificate, other.key}}, other.key, "key values mismatch"},
           {{{good.key, good.certificate}}, good.key, ""},
           {{locked}, locked.key, ""},
           {{good, nameless}, nameless.certificate, "each host"},
           {{good, again}, again.certificate, "each host"},
           {{good, {other.certificate, good.key}}, good.key, "key values mismatch"},
       }) {
    std::string refusal = Refusal(c.files);
    EXPECT_NE(refusal.find(c.says), std::string::npos) << refusal;
    EXPECT_NE(refusal.find(c.why), std::string::npos) << refusal;
    EXPECT_EQ(refusal.find("secret word"), std::string::npos) << refusal;
  }
}

TEST_F(TlsContextTest, WarnsOfCertificatesThatAreNotValidNow) {
  TlsSettings settings;
  settings.files = {Make("now", "DNS:a.test"), Make("past", "DNS:b.test", -3, -1)};
  EXPECT_NE((*TlsCertificates::Load(settings))->warning().find("past.pem has expired"),
            std::string::npos);
  settings.files = {Make("future", "DNS:c.test", 1, 3)};
  EXPECT_NE((*TlsCertificates::Load(settings))->warning().find("future.pem is not valid yet"),
            std::string::npos);
  settings.files = {Make("now", "DNS:a.test")};
  EXPECT_EQ((*TlsCertificates::Load(settings))->warning(), "");
}

TEST_F(TlsContextTest, ChoosesByTheHostThatIsNamed) {
  TlsSettings settings;
  settings.files = {Make("a", "DNS:a.test,DNS:www.A.test"), Make("b", "DNS:b.test,DNS:*.b.test"),
                    Make("c", "IP:127.0.0.1,DNS:c.test,DNS:a.test,DNS:x.b.test")};
  absl::StatusOr<std::shared_ptr<const TlsCertificates>> loaded = TlsCertificates::Load(settings);
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  const TlsCertificates& all = **loaded;
  SSL_CTX* const a = all.Default();
  SSL_CTX* const b = all.For("b.test");
  SSL_CTX* const c = all.For("c.test");
  ASSERT_TRUE(a != b && b != c && a != c);
  struct Case {
    std::string host;
    SSL_CTX* chosen;
  };
  for (const Case& one : std::vector<Case>{
           {"a.test", a},
           {"A.TEST", a},
           {"www.a.test", a},
           {"other.a.test", a},
           {"B.Test", b},
           {"any.b.test", b},
           {"ANY.b.test", b},
           {"x.b.test", c},  // the name itself goes before a pattern
           {"two.any.b.test", a},
           {".b.test", a},
           {"*.b.test", b},
           {"c.test", c},
           {"unheard.of", a},
           {"test", a},
           {"", a},
           {".", a},
           {"127.0.0.1", a},
           {std::string(300, 'x'), a},
           {std::string(248, 'x') + ".b.test", b},
       }) {
    EXPECT_EQ(all.For(one.host), one.chosen) << one.host;
  }
}

absl::Status Reload(TlsContext& context, const TlsSettings& settings) {
  absl::StatusOr<std::shared_ptr<const TlsCertificates>> read = context.Read(settings);
  if (read.ok()) context.Use(*std::move(read));
  return read.status();
}

TEST_F(TlsContextTest, IsReloadedForConnectionsThatComeLater) {
  TlsSettings settings;
  settings.files = {Make("a", "DNS:old.test")};
  std::unique_ptr<TlsContext> context = *TlsContext::Load(settings);
  EXPECT_EQ(Meet(*context, ""), "old.test");
  std::shared_ptr<const TlsCertificates> before = context->Current();
  Make("a", "DNS:new.test");
  EXPECT_EQ(Meet(*context, ""), "old.test") << "before it was told";
  ASSERT_TRUE(Reload(*context, settings).ok());
  EXPECT_EQ(Meet(*context, ""), "new.test");
  EXPECT_NE(before, context->Current());
}

TEST_F(TlsContextTest, KeepsWhatItHasWhereTheNewFilesAreNotGood) {
  TlsSettings settings;
  settings.files = {Make("a", "DNS:old.test"), Make("b", "DNS:b.test")};
  std::unique_ptr<TlsContext> context = *TlsContext::Load(settings);
  std::shared_ptr<const TlsCertificates> before = context->Current();
  Make("a", "DNS:new.test");
  WriteFile(settings.files[1].key, "half a k");
  absl::Status reloaded = Reload(*context, settings);
  EXPECT_FALSE(reloaded.ok());
  EXPECT_NE(std::string(reloaded.message()).find(settings.files[1].key), std::string::npos);
  EXPECT_EQ(before, context->Current());
  EXPECT_EQ(Meet(*context, ""), "old.test");
  EXPECT_EQ(Meet(*context, "b.test"), "b.test");
  Make("b", "DNS:b.test");
  EXPECT_TRUE(Reload(*context, settings).ok());
  EXPECT_EQ(Meet(*context, ""), "new.test");
}

TEST_F(TlsContextTest, ResumesSessionsAfterAReload) {
  MakeTicketKeys();
  TlsSettings settings;
  settings.files = {Make("a", "DNS:a.test")};
  std::unique_ptr<TlsContext> context = *TlsContext::Load(settings);
  SSL_SESSION* session = nullptr;
  EXPECT_EQ(Meet(*context, "a.test", &session), "a.test");
  EXPECT_EQ(Meet(*context, "a.test", &session), "a.test+");
  ASSERT_TRUE(Reload(*context, settings).ok());
  EXPECT_EQ(Meet(*context, "a.test", &session), "a.test+");
  SSL_SESSION_free(session);
}

// X4.
TEST_F(TlsContextTest, ResumesASessionForTheHostItWasMadeForAndForNoOther) {
  MakeTicketKeys();
  TlsSettings settings;
  settings.files = {Make("a", "DNS:a.test"), Make("b", "DNS:b.test,DNS:*.b.test")};
  std::unique_ptr<TlsContext> context = *TlsContext::Load(settings);
  struct Case {
    std::string made_for, named, outcome;
  };
  for (int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
    for (const Case& c : std::vector<Case>{{"a.test", "a.test", "a.test+"},
                                           {"a.test", "A.Test", "a.test+"},
                                           {"X.b.test", "x.B.test", "b.test+"},
                                           {"", "", "a.test+"},
                                           {"unheard.of", "unheard.of", "a.test+"},
                                           {"a.test", "x.b.test", "b.test"},
                                           {"x.b.test", "a.test", "a.test"},
                                           {"x.b.test", "y.b.test", "b.test"},
                                           {"a.test", "unheard.of", "a.test"},
                                           {"a.test", "", "a.test"},
                                           {"x.b.test", "", "a.test"},
                                           {"", "a.test", "a.test"},
                                           {"", "b.test", "b.test"}}) {
      SCOPED_TRACE(c.made_for + " then " + c.named + ", version " + std::to_string(version));
      SSL_SESSION* session = nullptr;
      Meet(*context, c.made_for, &session, version);
      EXPECT_EQ(Meet(*context, c.named, &session, version), c.outcome);
      EXPECT_EQ(Meet(*context, c.named, &session, version),
                c.outcome.substr(0, c.outcome.find('+')) + "+")
          << "the session that took its place";
      ASSERT_TRUE(Reload(*context, settings).ok());
      EXPECT_EQ(Meet(*context, c.named, &session, version),
                c.outcome.substr(0, c.outcome.find('+')) + "+");
      SSL_SESSION_free(session);
    }
  }
}

// A client keeps with the session what the server has acknowledged.
TEST_F(TlsContextTest, AcknowledgesTheHostWhicheverItIs) {
  TlsSettings settings;
  settings.files = {Make("a", "DNS:a.test"), Make("b", "DNS:b.test")};
  std::unique_ptr<TlsContext> context = *TlsContext::Load(settings);
  for (int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
    for (const char* host : {"a.test", "b.test", "unheard.of", ""}) {
      SSL_SESSION* session = nullptr;
      Meet(*context, host, &session, version);
      const char* acknowledged = SSL_SESSION_get0_hostname(session);
      EXPECT_STREQ(acknowledged == nullptr ? "" : acknowledged, host) << version;
      SSL_SESSION_free(session);
    }
  }
}

std::string Sized(int bytes, const std::string& what) {
  std::string size;
  while (bytes-- > 0) size.push_back(static_cast<char>(what.size() >> (8 * bytes)));
  return size + what;
}

// Returns: a ClientHello of TLS 1.2, in its record, whose last extension is server_name.
std::string Hello(const std::string& server_name) {
  const std::string groups("\x00\x0a\x00\x04\x00\x02\x00\x17", 8);
  const std::string algorithms("\x00\x0d\x00\x04\x00\x02\x04\x03", 8);
  const std::string extensions = groups + algorithms + std::string(2, '\0') + Sized(2, server_name);
  const std::string hello = "\x03\x03" + std::string(32, 'r') + Sized(1, "") +
                            Sized(2, "\xc0\x2b") + Sized(1, std::string(1, '\0')) +
                            Sized(2, extensions);
  return "\x16\x03\x01" + Sized(2, "\x01" + Sized(3, hello));
}

TEST_F(TlsContextTest, RefusesHostsThatAreNotWellFormed) {
  TlsSettings settings;
  settings.files = {Make("a", "DNS:a.test"), Make("b", "DNS:b.test")};
  std::unique_ptr<TlsContext> context = *TlsContext::Load(settings);
  auto entry = [](char type, const std::string& name) { return type + Sized(2, name); };
  const std::string host = entry(0, "b.test");
  const std::string good = Sized(2, host);
  constexpr int kNone = -1;  // no alert
  struct Case {
    const char* what;
    std::string server_name;
    int alert;
  };
  for (const Case& c : std::vector<Case>{
           {"a host", good, kNone},
           {"nothing", "", SSL_AD_DECODE_ERROR},
           {"half a size", std::string(1, '\0'), SSL_AD_DECODE_ERROR},
           {"an empty list", Sized(2, ""), SSL_AD_DECODE_ERROR},
           {"a type", Sized(2, std::string(1, '\0')), SSL_AD_DECODE_ERROR},
           {"half a host's size", Sized(2, std::string(2, '\0')), SSL_AD_DECODE_ERROR},
           {"another type", Sized(2, entry(1, "b.test")), SSL_AD_DECODE_ERROR},
           {"two hosts", Sized(2, host + host), SSL_AD_DECODE_ERROR},
           {"a list that is too long", std::string("\xff\xff") + host, SSL_AD_DECODE_ERROR},
           {"a list that is too short", std::string("\0\x03", 2) + host, SSL_AD_DECODE_ERROR},
           {"a host that is too long", Sized(2, std::string("\0\xff\xff", 3) + "b"),
            SSL_AD_DECODE_ERROR},
           {"a host that is too short", Sized(2, std::string("\0\0\1", 3) + "b.test"),
            SSL_AD_DECODE_ERROR},
           {"something behind", good + "x", SSL_AD_DECODE_ERROR},
           {"a host with a zero", Sized(2, entry(0, std::string("b\0.test", 7))),
            SSL_AD_UNRECOGNIZED_NAME},
           {"a host of 300", Sized(2, entry(0, std::string(300, 'b'))), SSL_AD_UNRECOGNIZED_NAME},
       }) {
    int ends[2];
    ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    SendBufferPool buffers;
    LeastRate least;
    std::thread server([&] {
      TlsSession serving(ends[0], buffers, least);
      EXPECT_EQ(serving.Handshake(*context, 60'000), TlsSession::Outcome::kFailed) << c.what;
    });
    const std::string hello = Hello(c.server_name);
    EXPECT_EQ(write(ends[1], hello.data(), hello.size()), static_cast<ssize_t>(hello.size()));
    unsigned char answer[7] = {};  // an alert: its record's type, version and size, level, what
    EXPECT_EQ(recv(ends[1], answer, sizeof answer, MSG_WAITALL), 7) << c.what;
    EXPECT_EQ(answer[0] == SSL3_RT_ALERT ? answer[6] : kNone, c.alert) << c.what;
    close(ends[1]);
    server.join();
    close(ends[0]);
  }
}

// Of a client's two ClientHellos the last counts, though RFC 8446, 4.1.2, forbids them to differ.
TEST_F(TlsContextTest, ChoosesAnewAfterAHelloRetryRequest) {
  TlsSettings settings;
  settings.files = {Make("a", "DNS:a.test"), Make("b", "DNS:b.test")};
  std::unique_ptr<TlsContext> context = *TlsContext::Load(settings);
  int ends[2];
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
  SendBufferPool buffers;
  LeastRate least;
  std::thread server([&] {
    TlsSession serving(ends[0], buffers, least);
    EXPECT_EQ(serving.Handshake(*context, 60'000), TlsSession::Outcome::kDone);
    serving.End();
  });
  TlsClientOptions options;
  options.host = "b.test";
  TlsClient client(test::Client::Socket{ends[1]}, options, false);
  SSL_set1_groups_list(client.ssl(), "P-521:X25519");  // a key for the first, which is not spoken
  SSL_set_msg_callback(
      client.ssl(), [](int write, int, int type, const void* message, size_t, SSL* ssl, void*) {
        bool hello =
            type == SSL3_RT_HANDSHAKE && *static_cast<const char*>(message) == SSL3_MT_SERVER_HELLO;
        if (write == 0 && hello) SSL_set_tlsext_host_name(ssl, "a.test");
      });
  EXPECT_TRUE(client.Handshake()) << client.failure();
  EXPECT_EQ(client.ServerName(), "a.test");
  server.join();
  close(ends[0]);
}

// T2.
TEST_F(TlsContextTest, AnEndThatWasNotAnnouncedIsNone) {
  TlsSettings settings;
  settings.files = {Make("a", "DNS:a.test")};
  std::unique_ptr<TlsContext> context = *TlsContext::Load(settings);
  for (int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
    for (bool announced : {true, false}) {
      int ends[2];
      ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
      SendBufferPool buffers;
      LeastRate least;
      char bytes[100];
      ssize_t first = -2, second = -2;
      std::thread server([&] {
        TlsSession serving(ends[0], buffers, least);
        ASSERT_EQ(serving.Handshake(*context, 60'000), TlsSession::Outcome::kDone);
        ASSERT_TRUE(serving.WaitReadable(60'000));
        first = serving.Receive(bytes, sizeof bytes);
        ASSERT_TRUE(serving.WaitReadable(60'000));
        second = serving.Receive(bytes, sizeof bytes);
        EXPECT_TRUE(serving.End()) << "the client is still told";
      });
      TlsClientOptions options;
      options.max_version = version;
      TlsClient client(test::Client::Socket{ends[1]}, options);
      client.Send("abc");
      if (announced) client.SendRaw(client.CloseNotify());
      client.CloseSending();
      server.join();
      EXPECT_EQ(first, 3);
      EXPECT_EQ(second, announced ? 0 : -1);
      EXPECT_TRUE(client.AtEnd()) << client.failure();
      close(ends[0]);
    }
  }
}

TEST_F(TlsContextTest, IsReloadedWhileConnectionsCome) {
  TlsSettings settings;
  settings.files = {Make("a", "DNS:a.test"), Make("b", "DNS:b.test")};
  std::unique_ptr<TlsContext> context = *TlsContext::Load(settings);
  std::vector<std::thread> clients;
  for (int i = 0; i < 3; ++i) {
    clients.emplace_back([&] {
      for (int k = 0; k < 30; ++k) EXPECT_EQ(Meet(*context, "b.test"), "b.test");
    });
  }
  for (int k = 0; k < 100; ++k) EXPECT_TRUE(Reload(*context, settings).ok());
  for (std::thread& client : clients) client.join();
}

}  // namespace
}  // namespace knot
