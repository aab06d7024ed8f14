// The clock of the day is set, backwards or forwards, while Knot serves.
//
// The clock itself cannot be set here, so this program brings its own clock_gettime.

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <string>
#include <thread>

#include "knot/clock.h"
#include "knot/conditions.h"
#include "knot/file_cache.h"
#include "tests/knot/support/server_process.h"

namespace {
std::atomic<int64_t> jump{0};  // seconds that the clock of the day is ahead
}

extern "C" int clock_gettime(clockid_t clock, timespec* time) noexcept {
  if (syscall(SYS_clock_gettime, clock, time) != 0) return -1;
  if (clock == CLOCK_REALTIME) time->tv_sec += jump.load();
  return 0;
}

namespace knot {
namespace {

constexpr int64_t kDay = 86'400;
constexpr int64_t kMiB = 1 << 20;

int64_t SecondsOf(absl::string_view date) {
  int64_t seconds = 0;
  EXPECT_TRUE(ParseHttpDate(date, time(nullptr), &seconds)) << date;
  return seconds;
}

class ClockJump : public testing::Test {
 protected:
  ClockJump() : root_(open(directory_.path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)) {
    jump = 0;
    PublishSecond();
  }
  ~ClockJump() override { close(root_); }

  test::TempDirectory directory_;
  int root_;
  MimeTypes types_;
};

TEST_F(ClockJump, ShowsTheNewDateAndCountsOn) {
  for (int64_t ahead : {-kDay, kDay, -3000 * kDay, int64_t{0}}) {
    uint32_t number = SecondsNow();
    jump = ahead;
    PublishSecond();
    EXPECT_EQ(SecondsNow(), number + 1);
    EXPECT_NEAR(SecondsOf(ReplyStartNow().date()), time(nullptr) + ahead, 5);
  }
}

// Two seconds that differ in every part, published as fast as can be, and more readers than
// processors, so that some are stopped between two words.
TEST_F(ClockJump, IsNeverReadInPartsOfTwoSeconds) {
  constexpr int64_t kFar = -3000 * kDay - 40'271;
  auto read = [] {
    ReplyStart seen[2] = {};  // found whole, one of each
    for (int i = 0; i < 10'000'000 && !HasFailure(); ++i) {
      const ReplyStart start = ReplyStartNow();
      if (start.text() == seen[0].text() || start.text() == seen[1].text()) continue;
      const int64_t seconds = SecondsOf(start.date()), now = time(nullptr);
      const bool far = seconds < now + kFar / 2;
      char whole[30];
      FormatHttpDate(seconds, whole);
      EXPECT_EQ(start.date(), whole);
      EXPECT_NEAR(seconds, far ? now + kFar : now, 600) << start.date();
      seen[far ? 1 : 0] = start;
    }
  };
  std::jthread publisher([](const std::stop_token& done) {
    while (!done.stop_requested()) {
      jump = jump == 0 ? kFar : 0;
      for (int i = 0; i < 3; ++i) PublishSecond();  // odd, so that each slot has both in turn
    }
  });
  std::jthread readers[] = {std::jthread(read), std::jthread(read), std::jthread(read)};
  for (std::jthread& reader : readers) reader.join();
}

// The numbers of seconds decide whether a cached file is checked, so they must neither stand still
// nor leap.
TEST_F(ClockJump, LeavesTheValidityOfCachedFilesAlone) {
  test::WriteFile(directory_ / "file", "old");
  FileCache cache(root_, types_, {kMiB, 4, kMiB, 10});
  const uint32_t start = SecondsNow();
  EXPECT_EQ(cache.Get("file", SecondsNow()).status, 200);
  test::WriteFile(directory_ / "file", "new");
  for (int64_t ahead : {-kDay, kDay, int64_t{0}}) {
    jump = ahead;
    PublishSecond();
    cache.Get("file", SecondsNow());
    EXPECT_EQ(cache.GetCounts().checks, 0u) << "checked too early";
  }
  while (SecondsNow() < start + 10) PublishSecond();
  FileRef file = cache.Get("file", SecondsNow()).file;
  EXPECT_EQ(file->reply.substr(file->head_size), "new") << "never checked again";
}

// A file changed before the clock was set back is one of the future. That it has changed since can
// then not be told by its times for sure, so it is loaded at each check.
TEST_F(ClockJump, BackwardsLoadsFilesOfTheFutureAnew) {
  test::WriteFile(directory_ / "file", "old");
  jump = -kDay;
  PublishSecond();
  FileCache cache(root_, types_, {kMiB, 4, kMiB});
  Lookup found = cache.Get("file", 1);
  ASSERT_EQ(found.status, 200);
  EXPECT_FALSE(found.file->settled);
  EXPECT_EQ(found.file->GetValidators().etag.substr(0, 2), "W/");
  EXPECT_LE(found.file->modified_seconds, SecondsOf(ReplyStartNow().date()))
      << "RFC 9110, 8.8.2.1: never later than the reply";
  for (uint32_t second : {2, 3, 4}) cache.Get("file", second);
  EXPECT_EQ(cache.GetCounts().loads, 4u);
}

TEST_F(ClockJump, ForwardsTakesNoChangeForSettledThatIsNot) {
  // What matters is the file's own clock, which is the kernel's: here it stays behind, as it does
  // on another machine that keeps the files.
  test::WriteFile(directory_ / "file", "old");
  jump = kDay;
  FileCache cache(root_, types_, {kMiB, 4, kMiB});
  EXPECT_EQ(cache.Get("file", 1).status, 200);
  // A change of another length, or at another time, is seen all the same.
  test::WriteFile(directory_ / "file", "newer");
  FileRef file = cache.Get("file", 2).file;
  EXPECT_EQ(file->reply.substr(file->head_size), "newer");
}

TEST_F(ClockJump, StopsNoTickingClock) {
  ASSERT_TRUE(StartClock().ok());
  for (int64_t ahead : {-kDay, kDay, -3000 * kDay}) {
    jump = ahead;
    const uint32_t number = SecondsNow();
    while (SecondsNow() < number + 2) usleep(1000);
    EXPECT_NEAR(SecondsOf(ReplyStartNow().date()), time(nullptr) + ahead, 5);
  }
  jump = 0;
}

}  // namespace
}  // namespace knot
