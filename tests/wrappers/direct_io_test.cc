// O_DIRECT descriptors are served through Linux AIO: no worker, and the right bytes.
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <memory>
#include <string>
#include <vector>

#include "tests/wrappers/support.h"

namespace bobbin_test {
namespace {

constexpr size_t kBlock = 4096;
constexpr int kBlocks = 64;

class DirectIo : public testing::Test {
 protected:
  void SetUp() override {
    char path[] = "/var/tmp/direct_io_test.XXXXXX";
    Fd plain(mkstemp(path));
    ASSERT_OK(plain.get());
    path_ = path;
    direct_ = Fd(open(path, O_RDWR | O_DIRECT));
    if (direct_.get() < 0) GTEST_SKIP() << "this file system has no O_DIRECT";
    contents_ = conformance::Pattern(kBlock * kBlocks);
    ASSERT_TRUE(conformance::WriteAll(plain, contents_));
    ASSERT_OK(fsync(plain));
    buffer_.reset(static_cast<char*>(aligned_alloc(kBlock, kBlock)));
  }
  void TearDown() override { unlink(path_.c_str()); }

  struct Free {
    void operator()(char* memory) const { free(memory); }
  };
  using Buffer = std::unique_ptr<char, Free>;
  static Buffer MakeBuffer() { return Buffer(static_cast<char*>(aligned_alloc(kBlock, kBlock))); }

  std::string Block(int number) const { return contents_.substr(number * kBlock, kBlock); }
  std::string ReadBlock(int number) {
    ssize_t got = pread(direct_, buffer_.get(), kBlock, number * kBlock);
    EXPECT_EQ(static_cast<ssize_t>(kBlock), got);
    return {buffer_.get(), kBlock};
  }

  std::string path_, contents_;
  Fd direct_;
  Buffer buffer_;
};

TEST_F(DirectIo, ReadsGiveTheFilesBytesAndNoWorkerIsAsked) {
  uint64_t before = Statistics().worker_calls;
  for (int i = 0; i < kBlocks; ++i) EXPECT_EQ(Block(i), ReadBlock(i)) << i;
  EXPECT_EQ(before, Statistics().worker_calls);
}

TEST_F(DirectIo, WritesReachTheFileAndNoWorkerIsAsked) {
  uint64_t before = Statistics().worker_calls;
  for (int i = 0; i < kBlocks; ++i) {
    memset(buffer_.get(), 'a' + i % 26, kBlock);
    ASSERT_EQ(static_cast<ssize_t>(kBlock), pwrite(direct_, buffer_.get(), kBlock, i * kBlock));
  }
  EXPECT_EQ(before, Statistics().worker_calls);
  Fd plain(open(path_.c_str(), O_RDONLY));
  for (int i = 0; i < kBlocks; ++i) {
    EXPECT_EQ(std::string(kBlock, static_cast<char>('a' + i % 26)),
              conformance::ReadExactly(plain, kBlock));
  }
}

TEST_F(DirectIo, ReadsWithoutOffsetMoveThePosition) {
  for (int i = 0; i < 3; ++i) {
    ASSERT_EQ(static_cast<ssize_t>(kBlock), read(direct_, buffer_.get(), kBlock));
    EXPECT_EQ(Block(i), std::string(buffer_.get(), kBlock));
  }
  EXPECT_EQ(static_cast<off_t>(3 * kBlock), lseek(direct_, 0, SEEK_CUR));
}

TEST_F(DirectIo, AtTheEndAndMisalignedItAnswersAsLinuxDoes) {
  EXPECT_EQ(0, pread(direct_, buffer_.get(), kBlock, kBlock * kBlocks));
  EXPECT_ERRNO(EINVAL, pread(direct_, buffer_.get(), 100, 7));
}

TEST_F(DirectIo, OtherThreadsRunMeanwhile) {
  UseSchedulers(2);
  std::vector<std::unique_ptr<UserThread>> threads;
  std::vector<Buffer> buffers;  // made here: an allocator in its first use opens files
  for (int t = 0; t < 8; ++t) buffers.push_back(MakeBuffer());
  uint64_t before = Statistics().worker_calls;
  for (int t = 0; t < 8; ++t) {
    threads.push_back(std::make_unique<UserThread>([&, t] {
      Buffer& mine = buffers[t];
      for (int i = 0; i < 50; ++i) {
        int number = (i * 7 + t) % kBlocks;
        EXPECT_EQ(static_cast<ssize_t>(kBlock),
                  pread(direct_, mine.get(), kBlock, number * kBlock));
        EXPECT_EQ(0, memcmp(contents_.data() + number * kBlock, mine.get(), kBlock));
      }
    }));
  }
  threads.clear();
  EXPECT_EQ(before, Statistics().worker_calls);
}

TEST_F(DirectIo, TakesNoDescriptorNumberTheProgramCouldGet) {
  Fd lowest(dup(0));
  int number = lowest.get();
  lowest.Reset();
  ReadBlock(0);
  Fd next(dup(0));
  EXPECT_EQ(number, next.get()) << "POSIX: the lowest number that is free";
}

TEST_F(DirectIo, GoesOnAfterAChangeOfPoller) {
  EXPECT_EQ(Block(0), ReadBlock(0));
  for (auto poller : {bobbin::PollerKind::kPoll, bobbin::PollerKind::kEpoll}) {
    bobbin::Options options = bobbin::CurrentOptions();
    options.poller = poller;
    ASSERT_EQ(0, bobbin::Configure(options));
    for (int i = 0; i < 3; ++i) EXPECT_EQ(Block(i), ReadBlock(i));
  }
}

TEST_F(DirectIo, WorksInTheChildOfAFork) {
  EXPECT_EQ(Block(0), ReadBlock(0));
  conformance::ExpectExited(0, conformance::RunInChild([&] {
                              uint64_t before = Statistics().worker_calls;
                              for (int i = 0; i < 3; ++i) {
                                if (ReadBlock(i) != Block(i)) return 1;
                              }
                              return before == Statistics().worker_calls ? 0 : 2;
                            }));
  EXPECT_EQ(Block(1), ReadBlock(1));
}

}  // namespace
}  // namespace bobbin_test
