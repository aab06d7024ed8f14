#include "bench/load/file_set.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <set>
#include <string>

namespace load {
namespace {

std::string ReadFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

std::string Contents(uint32_t index) {
  std::string contents(FileSize(index), '\0');
  FillContents(index, 0, contents.data(), contents.size());
  return contents;
}

// A directory that goes away with the test.
class FileSetOnDisk : public testing::Test {
 protected:
  FileSetOnDisk() {
    char name[] = "/tmp/file_set_test-XXXXXX";
    root_ = mkdtemp(name);
  }
  ~FileSetOnDisk() override { std::filesystem::remove_all(root_); }

  ino_t Inode(uint32_t index) {
    struct stat found = {};
    stat((root_ + PathOf(index)).c_str(), &found);
    return found.st_ino;
  }

  std::string root_;
};

TEST(FileSet, HasTheSizesOfSpecweb99) {
  EXPECT_EQ(FileSize(FileIndex(0, 0, 1)), 102u);
  EXPECT_EQ(FileSize(FileIndex(0, 0, 5)), 512u);
  EXPECT_EQ(FileSize(FileIndex(0, 0, 9)), 921u);
  EXPECT_EQ(FileSize(FileIndex(7, 1, 1)), 1024u);
  EXPECT_EQ(FileSize(FileIndex(7, 2, 9)), 92'160u);
  EXPECT_EQ(FileSize(FileIndex(679, 3, 9)), kMaxFileSize);
  std::set<size_t> sizes;
  for (uint32_t i = 0; i < kFilesPerDirectory; ++i) sizes.insert(FileSize(i));
  EXPECT_EQ(sizes.size(), 36u);
}

TEST(FileSet, APathNamesOneFile) {
  EXPECT_EQ(PathOf(FileIndex(0, 0, 1)), "/dir00000/class0_1");
  EXPECT_EQ(PathOf(FileIndex(12'345, 3, 9)), "/dir12345/class3_9");
  for (uint32_t index : {0u, 35u, 36u, 24'479u, kMaxDirectories * 36 - 1}) {
    uint32_t parsed;
    ASSERT_TRUE(ParsePath(PathOf(index), &parsed)) << PathOf(index);
    EXPECT_EQ(parsed, index);
  }
}

TEST(FileSet, OtherPathsNameNone) {
  uint32_t index;
  for (const char* path : {"", "/", "/dir00000/class0_0", "/dir00000/class4_1", "/dir0000/class0_1",
                           "/dir00000/class0_1x", "/dirx0000/class0_1", "/dir99999/class0_1"}) {
    EXPECT_FALSE(ParsePath(path, &index)) << path;
  }
}

TEST(FileSet, ContentsAreTheSameFromAnyOffsetOn) {
  const uint32_t index = FileIndex(3, 1, 2);
  const std::string whole = Contents(index);
  for (size_t offset : {0u, 1u, 7u, 8u, 9u, 1000u, 2047u}) {
    for (size_t size : {0u, 1u, 5u, 8u, 17u, 40u}) {
      if (offset + size > whole.size()) continue;
      std::string part(size, '\0');
      FillContents(index, offset, part.data(), size);
      EXPECT_EQ(part, whole.substr(offset, size)) << offset << " " << size;
    }
  }
}

TEST(FileSet, FilesDifferFromTheirFirstBytesOn) {
  std::set<std::string> beginnings;
  for (uint32_t index = 0; index < 24'480; ++index) {
    std::string beginning(8, '\0');
    FillContents(index, 0, beginning.data(), 8);
    beginnings.insert(beginning);
  }
  EXPECT_EQ(beginnings.size(), 24'480u);
}

TEST(FileSet, AWrongByteIsFoundWhereItIs) {
  const uint32_t index = FileIndex(0, 2, 1);
  std::string contents = Contents(index);
  EXPECT_EQ(MatchingBytes(index, 0, contents.data(), contents.size()), contents.size());
  contents[5000] ^= 1;
  EXPECT_EQ(MatchingBytes(index, 0, contents.data(), contents.size()), 5000u);
  EXPECT_EQ(MatchingBytes(index, 4990, contents.data() + 4990, 20), 10u);
}

TEST_F(FileSetOnDisk, IsWhatTheNamesSay) {
  ASSERT_TRUE(MakeFileSet(root_, 2, false).ok());
  for (uint32_t index = 0; index < 72; ++index) {
    EXPECT_EQ(ReadFile(root_ + PathOf(index)), Contents(index)) << PathOf(index);
  }
  EXPECT_FALSE(std::filesystem::exists(root_ + "/dir00002"));
}

TEST_F(FileSetOnDisk, IsCompletedAndWhatIsRightIsKept) {
  ASSERT_TRUE(MakeFileSet(root_, 1, false).ok());
  const uint32_t kept = FileIndex(0, 1, 1), short_one = FileIndex(0, 1, 2),
                 missing = FileIndex(0, 3, 9);
  const ino_t inode = Inode(kept);
  std::filesystem::resize_file(root_ + PathOf(short_one), 2000);
  std::filesystem::remove(root_ + PathOf(missing));
  std::ofstream(root_ + PathOf(FileIndex(0, 0, 1))) << std::string(102, 'x');
  std::string wrong_end = Contents(FileIndex(0, 1, 9));
  wrong_end.back() ^= 1;
  std::ofstream(root_ + PathOf(FileIndex(0, 1, 9))) << wrong_end;
  ASSERT_TRUE(MakeFileSet(root_, 2, false).ok());
  EXPECT_EQ(Inode(kept), inode);
  for (uint32_t index = 0; index < 72; ++index) {
    EXPECT_EQ(ReadFile(root_ + PathOf(index)), Contents(index)) << PathOf(index);
  }
}

TEST_F(FileSetOnDisk, AWrongByteInTheMiddleIsFoundWithVerify) {
  ASSERT_TRUE(MakeFileSet(root_, 1, false).ok());
  const uint32_t index = FileIndex(0, 2, 5);
  std::string wrong = Contents(index);
  wrong[20'000] ^= 1;
  std::ofstream(root_ + PathOf(index)) << wrong;
  ASSERT_TRUE(MakeFileSet(root_, 1, true).ok());
  EXPECT_EQ(ReadFile(root_ + PathOf(index)), Contents(index));
}

TEST_F(FileSetOnDisk, TooSmallADiskIsToldBeforeAnythingIsWritten) {
  absl::Status status = MakeFileSet(root_, kMaxDirectories, false);  // 500 GB
  if (status.ok()) GTEST_SKIP() << "a large disk";
  EXPECT_TRUE(absl::IsResourceExhausted(status)) << status;
  EXPECT_TRUE(std::filesystem::is_empty(root_));
}

TEST_F(FileSetOnDisk, AWriteThatFailsLeavesNoPartOfAFile) {
  // A limit on the size of files fails a write as a full disk does, in the middle.
  signal(SIGXFSZ, SIG_IGN);
  struct rlimit old, small;
  getrlimit(RLIMIT_FSIZE, &old);
  small = {300'000, old.rlim_max};
  setrlimit(RLIMIT_FSIZE, &small);
  absl::Status status = MakeFileSet(root_, 1, false);
  setrlimit(RLIMIT_FSIZE, &old);
  EXPECT_FALSE(status.ok());
  EXPECT_NE(status.message().find("class3_3"), std::string::npos) << status;
  size_t files = 0;
  for (auto& entry : std::filesystem::directory_iterator(root_ + "/dir00000")) {
    EXPECT_NE(entry.path().filename(), ".partial");
    ++files;
  }
  EXPECT_EQ(files, 29u);
  ASSERT_TRUE(MakeFileSet(root_, 1, false).ok());
}

}  // namespace
}  // namespace load
