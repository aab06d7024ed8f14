// Signals: the graceful stop, and the counters.

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <memory>
#include <string>
#include <vector>

#include "tests/knot/support/client.h"
#include "tests/knot/support/server_process.h"

namespace knot::test {
namespace {

class Stop : public KnotTest {
 protected:
  void SetUp() override {
    WriteFile(root_ / "small", "small");
    WriteFile(root_ / "big", big_);
  }

  const std::string big_ = Pattern(20'000'000);
};

TEST_P(Stop, EndsAnIdleServerWithStatus0) {
  for (int number : {SIGTERM, SIGINT}) {
    Start({"--threads=50"});
    server_->Signal(number);
    EXPECT_EQ(server_->WaitForExit(), 0);
    EXPECT_EQ(server_->Error(), "");
  }
}

TEST_P(Stop, ClosesIdleConnectionsAndFinishesReplies) {
  for (const char* spawn : {"--spawn=prefork", "--spawn=on_demand"}) {
    for (const char* send : {"--send=cache", "--send=inline"}) {
      SCOPED_TRACE(std::string(spawn) + send);
      Start({spawn, send, "--threads=16"});
      Client idle(port_), half(port_), slow(port_, 16384);
      EXPECT_EQ(idle.Get("/small").body, "small");
      half.Send("GET /small HTT");
      slow.Send("GET /big HTTP/1.1\r\nHost: h\r\n\r\n");
      std::string got = slow.ReadBytes(100'000);  // the reply is under way
      server_->Signal(SIGTERM);
      EXPECT_TRUE(idle.AtEnd());
      EXPECT_TRUE(half.AtEnd());
      got += slow.ReadBytes(big_.size() + 10'000);
      size_t body = got.find("\r\n\r\n") + 4;
      EXPECT_TRUE(got.substr(body) == big_) << got.size() - body << " bytes came";
      EXPECT_EQ(server_->WaitForExit(), 0);
      EXPECT_EQ(server_->Error(), "");
      EXPECT_FALSE(Client(port_).connected());
    }
  }
}

TEST_P(Stop, EndsAtOnceOnASecondSignal) {
  Start({"--threads=16", "--send=inline", "--send_timeout=50"});
  Client slow(port_, 16384);
  slow.Send("GET /big HTTP/1.1\r\nHost: h\r\n\r\n");
  slow.ReadBytes(1000);
  server_->Signal(SIGTERM);
  // The second must not merge with the first, so it follows once the first was seen: new
  // connections are refused.
  while (Client(port_).connected()) usleep(1000);
  server_->Signal(SIGTERM);
  EXPECT_EQ(server_->WaitForExit(), 0);
  EXPECT_NE(server_->Error().find("second signal"), std::string::npos) << server_->Error();
}

TEST_P(Stop, EndsThoughNobodyReadsTheLog) {
  TempDirectory logs;
  ASSERT_EQ(mkfifo((logs / "log").c_str(), 0600), 0);
  int reader = open((logs / "log").c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
  Start({"--threads=16", "--access_log=" + logs / "log"});
  Client client(port_);
  for (int i = 0; i < 2000; ++i) client.Get("/small");  // more lines than a FIFO holds
  server_->Signal(SIGTERM);
  EXPECT_EQ(server_->WaitForExit(), 0);
  EXPECT_NE(server_->Error().find("the access log takes no more"), std::string::npos)
      << server_->Error();
  close(reader);
}

TEST_P(Stop, PrintsCountersOnSigusr1AndServesOn) {
  Start({"--threads=16"});
  Client client(port_);
  client.Get("/small");
  client.Get("/small");
  client.Get("/none");
  // A reply is counted once it was sent, so the last may be counted a little after the client has
  // it.
  for (int i = 0; i < 2000 && server_->Error().find("requests=3 ") == std::string::npos; ++i) {
    server_->Signal(SIGUSR1);
    usleep(10'000);
  }
  std::string error = server_->Error();
  for (const char* part : {"knot: connections=1 open=1 idle_closed=0",
                           "requests=3 body_bytes=", "refusals=1 ", "entries=1 "}) {
    EXPECT_NE(error.find(part), std::string::npos) << part << "\n" << error;
  }
  EXPECT_EQ(client.Get("/small").body, "small");
}

TEST_P(Stop, PrintsCountersAtExitWhenAsked) {
  Start({"--threads=16", "--stats"});
  Client(port_).Get("/small");
  server_->Signal(SIGTERM);
  EXPECT_EQ(server_->WaitForExit(), 0);
  EXPECT_NE(server_->Error().find("requests=1 body_bytes=5 "), std::string::npos)
      << server_->Error();
}

INSTANTIATE_FOR_BINARIES(Stop);

}  // namespace
}  // namespace knot::test
