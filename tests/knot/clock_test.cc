#include "knot/clock.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <string>

namespace knot {
namespace {

std::string Format(int64_t time) {
  char text[30];
  FormatHttpDate(time, text);
  return text;
}

TEST(HttpDate, IsOfFixedLengthForEveryTime) {
  EXPECT_EQ(Format(784111777), "Sun, 06 Nov 1994 08:49:37 GMT");
  EXPECT_EQ(Format(0), "Thu, 01 Jan 1970 00:00:00 GMT");
  EXPECT_EQ(Format(253402300799), "Fri, 31 Dec 9999 23:59:59 GMT");
}

TEST(HttpDate, IsTheNearestThereIsForTimesBeyondTheFormat) {
  EXPECT_EQ(Format(-1), "Thu, 01 Jan 1970 00:00:00 GMT");
  EXPECT_EQ(Format(INT64_MIN), "Thu, 01 Jan 1970 00:00:00 GMT");
  EXPECT_EQ(Format(253402300800), "Fri, 31 Dec 9999 23:59:59 GMT");
  EXPECT_EQ(Format(INT64_MAX), "Fri, 31 Dec 9999 23:59:59 GMT");
}

TEST(Clock, IsPublishedByALoopOfItsOwn) {
  int wait_ms = PublishSecond();
  std::string before(ReplyStartNow().date());
  uint32_t number = SecondsNow();
  ASSERT_GE(wait_ms, 1);
  ASSERT_LE(wait_ms, 1001);
  usleep(wait_ms * 1000);
  PublishSecond();
  EXPECT_NE(before, ReplyStartNow().date());
  EXPECT_GT(SecondsNow(), number);
}

// A clock that is read a tick late at the turn of a second shows the one before for a whole second.
TEST(Clock, ShowsALaterDateWithEachSecond) {
  ASSERT_TRUE(StartClock().ok());
  std::string before(ReplyStartNow().date());
  uint32_t number = SecondsNow();
  for (int turns = 0; turns < 3; ++turns) {
    while (SecondsNow() == number) usleep(1000);
    number = SecondsNow();
    std::string date(ReplyStartNow().date());
    EXPECT_NE(date, before);
    before = date;
  }
}

}  // namespace
}  // namespace knot
