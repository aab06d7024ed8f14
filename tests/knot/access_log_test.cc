#include "knot/access_log.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mount.h>
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

TEST_F(AccessLogFile, GoesOnInAnotherFileWhenOpenedAnew) {
  auto log = AccessLog::Open(directory_ / "one");
  ASSERT_TRUE(log.ok());
  (*log)->Append({peer_, "GET /before HTTP/1.1", 200});
  for (int i = 0; i < 6000 && test::ReadFile(directory_ / "one").empty(); ++i) usleep(10'000);
  EXPECT_FALSE((*log)->Reopen("/no/such/directory/log", LogFormat::kJson).ok());
  ASSERT_TRUE((*log)->Reopen(directory_ / "unused", LogFormat::kCombined).ok());
  ASSERT_TRUE((*log)->Reopen(directory_ / "two", LogFormat::kJson).ok());
  (*log)->Append({peer_, "GET /after HTTP/1.1", 200});
  EXPECT_TRUE((*log)->Close(kPatience));
  EXPECT_EQ(test::ReadFile(directory_ / "one").find("192.0.2.1 - - ["), 0u);
  EXPECT_EQ(test::ReadFile(directory_ / "one").find("/after"), std::string::npos);
  EXPECT_EQ(test::ReadFile(directory_ / "two").find("{\"time\":\""), 0u);
  EXPECT_NE(test::ReadFile(directory_ / "two").find("\"/after\""), std::string::npos);
}

TEST_F(AccessLogFile, DoesNotWaitForAStuckReaderToBeOpenedAnew) {
  ASSERT_EQ(mkfifo((directory_ / "log").c_str(), 0600), 0);
  int reader = open((directory_ / "log").c_str(), O_RDONLY | O_NONBLOCK);
  auto log = AccessLog::Open(directory_ / "log");
  ASSERT_TRUE(log.ok());
  std::string agent(1000, 'a');
  for (int i = 0; i < 500; ++i) (*log)->Append({peer_, "GET / HTTP/1.1", 200, 0, "", agent});
  EXPECT_TRUE((*log)->Reopen(directory_ / "file", LogFormat::kCombined).ok());
  close(reader);
  (*log)->Append({peer_, "GET /last HTTP/1.1", 200});
  EXPECT_TRUE((*log)->Close(kPatience));
  EXPECT_NE(test::ReadFile(directory_ / "file").find("/last"), std::string::npos);
}

TEST_F(AccessLogFile, CountsEveryLineTheDiskHasNoRoomFor) {
  testing::internal::CaptureStderr();
  auto log = AccessLog::Open("/dev/full");
  ASSERT_TRUE(log.ok());
  for (int i = 0; i < 3; ++i) {
    (*log)->Append({peer_, "GET / HTTP/1.1", 200});
    uint64_t lines = i + 1;
    for (int j = 0; j < 6000 && (*log)->dropped() < lines; ++j) usleep(10'000);
    EXPECT_EQ((*log)->dropped(), lines);
  }
  ASSERT_TRUE((*log)->Reopen(directory_ / "log", LogFormat::kCombined).ok());
  (*log)->Append({peer_, "GET /saved HTTP/1.1", 200});
  EXPECT_TRUE((*log)->Close(kPatience));
  EXPECT_EQ((*log)->dropped(), 3u);
  EXPECT_NE(test::ReadFile(directory_ / "log").find("/saved"), std::string::npos);
  EXPECT_EQ(testing::internal::GetCapturedStderr(),
            "knot: the access log cannot be written: No space left on device; its lines are "
            "dropped\n"
            "knot: the access log is written again; 3 lines were dropped\n");
}

// A disk of four pages that is filled and emptied by somebody else.
TEST_F(AccessLogFile, GoesOnWithAWholeLineWhenTheDiskHasRoomAgain) {
  std::string disk = directory_ / "disk";
  ASSERT_EQ(mkdir(disk.c_str(), 0700), 0);
  if (mount("knot-test", disk.c_str(), "tmpfs", 0, "size=16384") != 0) {
    GTEST_SKIP() << "only root mounts";
  }
  {
    testing::internal::CaptureStderr();
    auto log = AccessLog::Open(disk + "/log");
    ASSERT_TRUE(log.ok());
    test::WriteFile(disk + "/other", std::string(8192, 'x'));
    // Together more than is left, in one piece, so that the disk ends within a line.
    std::string agent(1000, 'a');
    for (int i = 0; i < 20; ++i) (*log)->Append({peer_, "GET /lost HTTP/1.1", 200, 0, "", agent});
    for (int i = 0; i < 6000 && (*log)->dropped() == 0; ++i) usleep(10'000);
    uint64_t dropped = (*log)->dropped();
    std::string before = test::ReadFile(disk + "/log");
    ASSERT_FALSE(before.empty());
    EXPECT_NE(before.back(), '\n');
    ASSERT_EQ(unlink((disk + "/other").c_str()), 0);
    (*log)->Append({peer_, "GET /kept HTTP/1.1", 200, 0, "", "short"});
    EXPECT_TRUE((*log)->Close(kPatience));
    EXPECT_EQ((*log)->dropped(), dropped);
    std::string after = test::ReadFile(disk + "/log");
    ASSERT_EQ(after.substr(0, before.size() + 13), before + "\n192.0.2.1 - ");
    EXPECT_NE(after.find("\"GET /kept HTTP/1.1\" 200 0 \"-\" \"short\"\n"), std::string::npos);
    uint64_t whole = 0;
    for (size_t at = before.find('\n'); at != std::string::npos; at = before.find('\n', at + 1)) {
      ++whole;
    }
    EXPECT_EQ(whole + dropped, 20u);  // A2
    testing::internal::GetCapturedStderr();
  }
  EXPECT_EQ(umount(disk.c_str()), 0);
}

TEST(AccessLogOpening, TellsBeforehandWhatItWouldFailWith) {
  test::TempDirectory directory;
  test::WriteFile(directory / "file", "");
  EXPECT_TRUE(AccessLog::Check("-").ok());
  EXPECT_TRUE(AccessLog::Check(directory / "file").ok());
  EXPECT_TRUE(AccessLog::Check(directory / "new").ok());
  for (const std::string& name :
       {directory.path(), directory / "none/new", directory / "file/new", std::string()}) {
    EXPECT_FALSE(AccessLog::Check(name).ok()) << name;
  }
  struct stat stat;
  EXPECT_NE(::stat((directory / "new").c_str(), &stat), 0);
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
