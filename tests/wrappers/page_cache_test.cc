// What is not in the page cache is read without a worker, and nobody else waits for it.
#include <fcntl.h>
#include <sys/sendfile.h>
#include <sys/uio.h>

#include <memory>
#include <string>
#include <vector>

#include "tests/wrappers/support.h"

namespace bobbin_test {
namespace {

constexpr size_t kPart = 64 * 1024;
constexpr int kParts = 40;

class PageCache : public testing::Test {
 protected:
  void SetUp() override {
    char path[] = "/var/tmp/page_cache_test.XXXXXX";
    file_ = Fd(mkstemp(path));
    ASSERT_OK(file_.get());
    unlink(path);
    contents_ = conformance::Pattern(kPart * kParts);
    ASSERT_TRUE(conformance::WriteAll(file_, contents_));
    ASSERT_OK(fsync(file_));
    ASSERT_EQ(0, lseek(file_, 0, SEEK_SET));
    if (!Evict()) GTEST_SKIP() << "this file system keeps its pages, or does not tell";
  }

  // Returns: whether the file's first and last page are known not to be in memory.
  bool Evict() {
    EXPECT_EQ(0, posix_fadvise(file_, 0, 0, POSIX_FADV_DONTNEED));
    // Read-ahead would bring in what is to be missing.
    EXPECT_EQ(0, posix_fadvise(file_, 0, 0, POSIX_FADV_RANDOM));
    return IsMissing(0) && IsMissing(contents_.size() - 1);
  }
  bool IsMissing(size_t at) {
    char byte;
    struct iovec one = {&byte, 1};
    return bobbin::RawSyscall(SYS_preadv2, file_.get(), &one, 1, at, 0, RWF_NOWAIT) == -EAGAIN;
  }

  std::string Part(int number) const { return contents_.substr(number * kPart, kPart); }

  Fd file_;
  std::string contents_;
};

// A disk that is slower than the runtime's patience costs a worker, so not all of them count.
TEST_F(PageCache, MissingPartsAreReadWithoutAWorker) {
  uint64_t before = Statistics().worker_calls;
  std::string got(kPart, '\0');
  for (int i = kParts - 1; i >= 0; --i) {
    ASSERT_EQ(static_cast<ssize_t>(kPart), pread(file_, &got[0], kPart, i * kPart));
    ASSERT_TRUE(got == Part(i)) << i;
  }
  EXPECT_LT(Statistics().worker_calls - before, uint64_t{kParts} / 2);
}

TEST_F(PageCache, MissingPartsAreSentWithoutAWorker) {
  uint64_t before = Statistics().worker_calls;
  for (int i = kParts - 1; i >= 0; --i) {
    Pair pair = conformance::MakeTcpPair();
    UserThread sender([&] {
      off_t offset = i * kPart;
      EXPECT_EQ(static_cast<ssize_t>(kPart), sendfile(pair.a, file_, &offset, kPart));
    });
    ASSERT_TRUE(conformance::ReadExactly(pair.b, kPart) == Part(i)) << i;
    sender.Join();
  }
  EXPECT_LT(Statistics().worker_calls - before, uint64_t{kParts} / 2);
}

TEST_F(PageCache, ReadsByTheFilePositionMoveIt) {
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(conformance::ReadExactly(file_, kPart) == Part(i)) << i;
  EXPECT_EQ(static_cast<off_t>(3 * kPart), lseek(file_, 0, SEEK_CUR));
}

TEST_F(PageCache, OthersRunWhileOneWaitsForTheDisk) {
  bool over = false;
  uint64_t turns = 0;
  UserThread reader([&] {
    std::string got(kPart, '\0');
    EXPECT_EQ(static_cast<ssize_t>(kPart), pread(file_, &got[0], kPart, 5 * kPart));
    over = true;
  });
  while (!over) {
    LetOthersRun();
    ++turns;
  }
  reader.Join();
  EXPECT_GT(turns, 0u);
}

// More than are read at a time this way; the others are a worker's.
TEST_F(PageCache, ManyReadersAtOnceAllGetTheirs) {
  constexpr int kReaders = 200;
  std::vector<std::unique_ptr<UserThread>> readers;
  int right = 0;
  for (int i = 0; i < kReaders; ++i) {
    readers.push_back(std::make_unique<UserThread>([&, i] {
      std::string got(kPart, '\0');
      ssize_t n = pread(file_, &got[0], kPart, i % kParts * kPart);
      right += n == static_cast<ssize_t>(kPart) && got == Part(i % kParts);
    }));
  }
  for (auto& reader : readers) reader->Join();
  EXPECT_EQ(kReaders, right);
}

TEST_F(PageCache, AReadBeyondTheEndIsShort) {
  std::string got(2 * kPart, '\0');
  EXPECT_EQ(100, pread(file_, &got[0], got.size(), contents_.size() - 100));
  EXPECT_EQ(0, pread(file_, &got[0], got.size(), contents_.size()));
}

}  // namespace
}  // namespace bobbin_test
