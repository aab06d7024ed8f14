#include "runtime/text.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <string>

#include "gtest/gtest.h"

namespace bobbin {
namespace {

// What `write` puts into a Text arrives here.
template <typename Write>
std::string Written(Write write) {
  char path[] = "/tmp/text_test.XXXXXX";
  int fd = mkstemp(path);
  EXPECT_GE(fd, 0);
  unlink(path);
  Text text(fd);
  write(&text);
  EXPECT_EQ(text.Flush(), 0);
  std::string result(static_cast<size_t>(lseek(fd, 0, SEEK_END)), '\0');
  EXPECT_EQ(pread(fd, result.data(), result.size(), 0), static_cast<ssize_t>(result.size()));
  close(fd);
  return result;
}

TEST(Text, NumbersInBothBases) {
  EXPECT_EQ(Written([](Text* text) { text->Number(0).Put(" ").Number(UINT64_MAX); }),
            "0 18446744073709551615");
  EXPECT_EQ(Written([](Text* text) { text->Hex(0).Put(" ").Hex(0xdeadbeefcafef00d); }),
            "0 deadbeefcafef00d");
}

TEST(Text, PercentHasTwoDecimalsAndSurvivesBigNumbers) {
  auto percent = [](uint64_t part, uint64_t whole) {
    return Written([=](Text* text) { text->Percent(part, whole); });
  };
  EXPECT_EQ(percent(0, 0), "0.00%");
  EXPECT_EQ(percent(1, 3), "33.33%");
  EXPECT_EQ(percent(1, 50), "2.00%");
  EXPECT_EQ(percent(1, 2000), "0.05%");
  EXPECT_EQ(percent(UINT64_MAX, UINT64_MAX), "100.00%");
  EXPECT_EQ(percent(UINT64_MAX / 2, UINT64_MAX), "49.99%");
}

TEST(Text, IsWrittenAtFlushOnlyUnlessItIsLong) {
  int ends[2];
  ASSERT_EQ(pipe2(ends, O_NONBLOCK), 0);
  Text text(ends[1]);
  text.Put("held");
  char byte;
  EXPECT_EQ(read(ends[0], &byte, 1), -1);
  EXPECT_EQ(text.Flush(), 0);
  EXPECT_EQ(read(ends[0], &byte, 1), 1);
  close(ends[0]);
  close(ends[1]);
}

TEST(Text, LongerThanItsBufferArrivesWhole) {
  std::string expected;
  for (int i = 0; i < 3000; ++i) expected += "line " + std::to_string(i) + "\n";
  EXPECT_EQ(Written([](Text* text) {
              for (unsigned i = 0; i < 3000; ++i) text->Put("line ").Number(i).Put("\n");
            }),
            expected);
}

TEST(Text, FlushTellsTheFirstErrorAgainAndAgain) {
  Text text(-1);
  text.Put("lost");
  EXPECT_EQ(text.Flush(), EBADF);
  EXPECT_EQ(text.Flush(), EBADF);
}

TEST(Text, PutAfterAnErrorDoesNotOverrun) {
  Text text(-1);
  for (int i = 0; i < 10000; ++i) text.Put("0123456789");
  EXPECT_EQ(text.Flush(), EBADF);
}

TEST(Text, PartialWritesGoOnAndAFullDescriptorIsAnError) {
  int ends[2];
  ASSERT_EQ(pipe2(ends, O_NONBLOCK), 0);
  Text text(ends[1]);
  for (int i = 0; i < 100; ++i) text.Put(std::string(1000, 'x').c_str());
  EXPECT_EQ(text.Flush(), EAGAIN) << "a pipe holds 64 KiB";
  close(ends[0]);
  close(ends[1]);
}

}  // namespace
}  // namespace bobbin
