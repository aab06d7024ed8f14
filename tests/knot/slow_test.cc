// Clients that take or send too little to be waited for, and those that are slow but go on.

#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "tests/knot/support/client.h"
#include "tests/knot/support/server_process.h"
#include "tests/knot/support/tls_client.h"

namespace knot::test {
namespace {

constexpr const char* kSends[] = {"--send=cache", "--send=inline", "--send=nonblocking",
                                  "--send=blocking", "--send=poll"};

class Slow : public KnotTest {
 protected:
  void SetUp() override {
    WriteFile(root_ / "small", "small");
    WriteFile(root_ / "big", big_);
    WriteCertificate(files_ / "cert", files_ / "key", "DNS:a.test");
  }

  // Takes a little every now and then, until it is told to end.
  class Reader {
   public:
    explicit Reader(int socket)
        : thread_([this, socket] {
            char part[1000];
            while (!over_.load()) {
              if (recv(socket, part, sizeof part, MSG_DONTWAIT) == 0) return;
              usleep(100'000);
            }
          }) {}
    ~Reader() {
      over_.store(true);
      thread_.join();
    }

   private:
    std::atomic<bool> over_{false};
    std::thread thread_;
  };

  const std::string big_ = Pattern(20'000'000);
  TempDirectory files_;
};

TEST_P(Slow, ReadersBelowTheRateAreGivenUp) {
  for (const char* send : kSends) {
    SCOPED_TRACE(send);
    // 10,000 bytes a second are taken.
    Start({"--threads=1", send, "--send_timeout=1", "--min_send_rate=1000000", "--cache_mb=200"});
    Client slow(port_, 16384);
    slow.Send("GET /big HTTP/1.1\r\nHost: h\r\n\r\n");
    slow.ReadBytes(1);
    Reader reading(slow.socket());
    EXPECT_EQ(Client(port_).Get("/small").body, "small") << "the one thread was not freed";
  }
}

TEST_P(Slow, ReadersBelowTheRateAreGivenUpByTls) {
  for (const char* send : {"--send=cache", "--send=inline"}) {
    SCOPED_TRACE(send);
    server_ = std::make_unique<ServerProcess>(
        GetParam(), std::vector<std::string>{"--threads=1", send, "--send_timeout=1",
                                             "--min_send_rate=1000000", "--cache_mb=200",
                                             "--tls=" + files_ / "cert" + "," + files_ / "key",
                                             "--listen=https://127.0.0.1:0", root_.path()});
    std::vector<uint16_t> ports = server_->WaitForPorts();
    ASSERT_EQ(ports.size(), 1u) << server_->Error();
    TlsClientOptions options;
    options.receive_buffer = 16384;
    TlsClient slow(ports[0], options);
    slow.Send("GET /big HTTP/1.1\r\nHost: h\r\n\r\n");
    Reader reading(slow.socket());
    EXPECT_EQ(TlsClient(ports[0]).Get("/small").body, "small") << "the one thread was not freed";
  }
}

TEST_P(Slow, ReadersThatGoOnGetAll) {
  for (const char* send : kSends) {
    // With the default rate, and without any.
    const char* rate = std::string(send) == "--send=inline" ? "--min_send_rate=0" : "--stats";
    SCOPED_TRACE(send);
    Start({"--threads=1", send, "--send_timeout=1", rate, "--cache_mb=200"});
    Client slow(port_, 16384);
    slow.Send("GET /big HTTP/1.1\r\nHost: h\r\nRange: bytes=0-5999999\r\n\r\n");
    std::string got;
    for (int i = 0; i < 25; ++i) {
      got += slow.ReadBytes(20'000);
      usleep(100'000);
    }
    got += slow.ReadBytes(6'000'000 - (got.size() - got.find("\r\n\r\n") - 4));
    EXPECT_TRUE(got.substr(got.find("\r\n\r\n") + 4) == big_.substr(0, 6'000'000))
        << got.size() << " bytes came";
    EXPECT_EQ(slow.Get("/small").body, "small");
  }
}

TEST_P(Slow, SendersOfBodiesBelowTheRateGet408) {
  for (const char* framing : {"Content-Length: 1000000", "Transfer-Encoding: chunked"}) {
    SCOPED_TRACE(framing);
    Start({"--threads=1", "--header_timeout=1", "--min_body_rate=1000"});
    Client slow(port_);
    slow.Send(std::string("GET /small HTTP/1.1\r\nHost: h\r\n") + framing + "\r\n\r\n");
    bool answered = false;
    for (int i = 0; i < 600 && !answered; ++i) {  // a hundred bytes a second
      slow.Send(framing[0] == 'C' ? "aaaaaaaaaa" : "4\r\naaaa\r\n");
      pollfd wait{slow.socket(), POLLIN, 0};
      answered = poll(&wait, 1, 100) > 0;
    }
    EXPECT_EQ(slow.Read().status, 408);
  }
}

TEST_P(Slow, SendersOfBodiesThatGoOnAreServed) {
  for (const char* rate : {"--min_body_rate=0", "--min_body_rate=500"}) {
    Start({"--threads=1", "--header_timeout=1", rate});
    Client slow(port_);
    slow.Send("GET /small HTTP/1.1\r\nHost: h\r\nContent-Length: 60000\r\n\r\n");
    for (int i = 0; i < 30; ++i) {  // three times as long as a head may take
      ASSERT_TRUE(slow.Send(std::string(2000, 'b')));
      usleep(100'000);
    }
    EXPECT_EQ(slow.Read().body, "small");
  }
}

TEST_P(Slow, RatesHaveTheirRanges) {
  for (const char* flag : {"--min_send_rate=-1", "--min_body_rate=-1", "--min_send_rate=x",
                           "--min_body_rate=2000000000"}) {
    ServerProcess process(GetParam(), {flag, root_.path()});
    EXPECT_EQ(process.WaitForExit(), 2);
    EXPECT_EQ(process.Error().find(std::string("knot: ") + flag + ": "), 0u) << process.Error();
  }
}

INSTANTIATE_FOR_BINARIES(Slow);

}  // namespace
}  // namespace knot::test
