#include "knot/access_log.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <regex>
#include <sstream>
#include <string>
#include <thread>

#include "knot/clock.h"
#include "tests/knot/support/server_process.h"

namespace knot {
namespace {

std::string Escaped(absl::string_view text) {
  std::string out;
  AppendEscaped(text, &out);
  return out;
}

TEST(AccessLogEscaping, LeavesPlainTextAlone) {
  EXPECT_EQ(Escaped("GET /a?b=c HTTP/1.1"), "GET /a?b=c HTTP/1.1");
}

TEST(AccessLogEscaping, WritesADashForNothing) { EXPECT_EQ(Escaped(""), "-"); }

TEST(AccessLogEscaping, EscapesWhatCouldForgeALineOrReachATerminal) {
  EXPECT_EQ(Escaped("a\"b\\c"), "a\\x22b\\x5Cc");
  EXPECT_EQ(Escaped("\r\n\t\x1b[31m"), "\\x0D\\x0A\\x09\\x1B[31m");
  EXPECT_EQ(Escaped(absl::string_view("\0\x7f\xff", 3)), "\\x00\\x7F\\xFF");
}

constexpr std::chrono::seconds kPatience{60};  // only guards against a hang

class AccessLogFile : public testing::Test {
 protected:
  static void SetUpTestSuite() { ASSERT_TRUE(StartClock().ok()); }

  AccessLogFile() {
    peer_.v4.sin_family = AF_INET;
    peer_.v4.sin_addr.s_addr = htonl(0xC0000201);
  }

  test::TempDirectory directory_;
  PeerAddress peer_{};
};

TEST_F(AccessLogFile, HoldsEachLineInCombinedFormatOnceClosed) {
  auto log = AccessLog::Open(directory_ / "log");
  ASSERT_TRUE(log.ok());
  (*log)->Append({peer_, "GET / HTTP/1.1", 200, 42, "http://from/", "agent \"x\""});
  (*log)->Append({peer_, "", 408, 7, "", ""});
  EXPECT_TRUE((*log)->Close(kPatience));
  std::string text = test::ReadFile(directory_ / "log");
  std::string date = "\\[\\d\\d/[A-Z][a-z]{2}/\\d{4}:\\d\\d:\\d\\d:\\d\\d \\+0000\\]";
  EXPECT_TRUE(std::regex_match(
      text, std::regex("192\\.0\\.2\\.1 - - " + date +
                       " \"GET / HTTP/1\\.1\" 200 42 \"http://from/\" \"agent \\\\x22x\\\\x22\"\n"
                       "192\\.0\\.2\\.1 - - " +
                       date + " \"-\" 408 7 \"-\" \"-\"\n")))
      << text;
}

TEST_F(AccessLogFile, KeepsWhatItHeldWhenOpenedAgain) {
  test::WriteFile(directory_ / "log", "before\n");
  auto log = AccessLog::Open(directory_ / "log");
  ASSERT_TRUE(log.ok());
  (*log)->Append({peer_, "GET / HTTP/1.1", 200, 0, "", ""});
  EXPECT_TRUE((*log)->Close(kPatience));
  EXPECT_EQ(test::ReadFile(directory_ / "log").find("before\n192.0.2.1"), 0u);
}

TEST_F(AccessLogFile, CountsLinesAppendedAfterClose) {
  auto log = AccessLog::Open(directory_ / "log");
  ASSERT_TRUE(log.ok());
  EXPECT_TRUE((*log)->Close(kPatience));
  (*log)->Append({peer_, "GET / HTTP/1.1", 200, 0, "", ""});
  EXPECT_EQ((*log)->dropped(), 1u);
  EXPECT_EQ(test::ReadFile(directory_ / "log"), "");
}

TEST_F(AccessLogFile, DropsAndCountsInsteadOfWaitingForASlowReader) {
  // A pipe nobody reads: the writer blocks, the buffer fills.
  ASSERT_EQ(mkfifo((directory_ / "log").c_str(), 0600), 0);
  int reader = open((directory_ / "log").c_str(), O_RDONLY | O_NONBLOCK);
  auto log = AccessLog::Open(directory_ / "log");
  ASSERT_TRUE(log.ok());
  std::string agent(1000, 'a');
  for (int i = 0; i < 5000; ++i) (*log)->Append({peer_, "GET / HTTP/1.1", 200, 0, "", agent});
  EXPECT_GT((*log)->dropped(), 0u);
  close(reader);  // the writer gets EPIPE and can end
}

TEST_F(AccessLogFile, GivesUpClosingWhenTheReaderIsStuck) {
  ASSERT_EQ(mkfifo((directory_ / "log").c_str(), 0600), 0);
  int reader = open((directory_ / "log").c_str(), O_RDONLY | O_NONBLOCK);
  auto log = AccessLog::Open(directory_ / "log");
  ASSERT_TRUE(log.ok());
  std::string agent(1000, 'a');
  for (int i = 0; i < 500; ++i) (*log)->Append({peer_, "GET / HTTP/1.1", 200, 0, "", agent});
  EXPECT_FALSE((*log)->Close(std::chrono::milliseconds(50)));
  close(reader);
  EXPECT_TRUE((*log)->Close(kPatience));
}

TEST_F(AccessLogFile, IsNoFifoWithoutAReader) {
  ASSERT_EQ(mkfifo((directory_ / "log").c_str(), 0600), 0);
  EXPECT_FALSE(AccessLog::Open(directory_ / "log").ok());
}

TEST(AccessLogOpening, ReportsWhatCannotBeOpened) {
  auto log = AccessLog::Open("/no/such/directory/log");
  EXPECT_NE(log.status().message().find("/no/such/directory/log"), absl::string_view::npos);
}

// Two that write to one pipe stand for two processes.
TEST_F(AccessLogFile, KeepsLinesWholeInAPipeThatOthersWriteTo) {
  std::string name = directory_ / "fifo";
  ASSERT_EQ(mkfifo(name.c_str(), 0600), 0);
  int reader = open(name.c_str(), O_RDONLY | O_NONBLOCK);
  ASSERT_EQ(fcntl(reader, F_SETFL, 0), 0);
  auto one = AccessLog::Open(name), other = AccessLog::Open(name);
  ASSERT_TRUE(one.ok() && other.ok());
  constexpr int kLines = 3000;  // more than a pipe holds, so that writes wait halfway
  for (int i = 0; i < kLines; ++i) {
    (*one)->Append({peer_, "GET /one HTTP/1.1", 200, 1, "", "one"});
    (*other)->Append({peer_, "GET /other HTTP/1.1", 200, 1, "", "other"});
  }
  std::thread closer([&] { EXPECT_TRUE((*one)->Close(kPatience)); });
  std::thread closer_of_other([&] { EXPECT_TRUE((*other)->Close(kPatience)); });
  std::string text;
  char part[4096];
  for (ssize_t n; (n = read(reader, part, sizeof part)) > 0;) {
    text.append(part, n);
    usleep(3000);  // slower than they write, so that both have begun
  }
  closer.join();
  closer_of_other.join();
  close(reader);
  std::istringstream lines(text);
  int ones = 0, others = 0;
  for (std::string line; std::getline(lines, line);) {
    bool whole = line.starts_with("192.0.2.1 - - [");
    if (whole && line.ends_with("] \"GET /one HTTP/1.1\" 200 1 \"-\" \"one\"")) ++ones;
    if (whole && line.ends_with("] \"GET /other HTTP/1.1\" 200 1 \"-\" \"other\"")) ++others;
  }
  EXPECT_EQ(ones, kLines);
  EXPECT_EQ(others, kLines);
}

}  // namespace
}  // namespace knot

int main(int argc, char** argv) {
  signal(SIGPIPE, SIG_IGN);  // as Knot does
  testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
