#include "knot/file_cache.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <string>
#include <thread>
#include <vector>

#include "tests/knot/support/server_process.h"

namespace knot {
namespace {

constexpr int64_t kMiB = 1 << 20;

class FileCacheTest : public testing::Test {
 protected:
  FileCacheTest() { root_ = open(directory_.path().c_str(), O_RDONLY | O_DIRECTORY); }
  ~FileCacheTest() override { close(root_); }

  static std::string Contents(const Lookup& lookup) {
    return lookup.file->reply.substr(lookup.file->head_size);
  }

  test::TempDirectory directory_;
  MimeTypes types_;
  int root_;
};

TEST_F(FileCacheTest, PreparesTheHeadAndTheContents) {
  test::WriteFile(directory_ / "a.txt", "hello");
  FileCache cache(root_, types_, {kMiB, 4, kMiB});
  Lookup found = cache.Get("a.txt", 1);
  ASSERT_EQ(found.status, 200);
  EXPECT_EQ(Contents(found), "hello");
  std::string head(found.file->Head());
  EXPECT_EQ(
      head.find("Content-Type: text/plain; charset=utf-8\r\nContent-Length: 5\r\nLast-Modified: "),
      0u);
  EXPECT_NE(head.find(" GMT\r\nETag: W/\""), std::string::npos) << "it has just changed";
  const std::string end = "\"\r\nAccept-Ranges: bytes\r\n\r\n";
  EXPECT_EQ(head.substr(head.size() - end.size()), end);
}

TEST_F(FileCacheTest, TriesOnlyWhatTakesNoDisk) {
  test::WriteFile(directory_ / "a.txt", "hello");
  FileCache cache(root_, types_, {kMiB, 4, kMiB});
  FileRef file;
  EXPECT_FALSE(cache.TryGet("a.txt", 1, &file)) << "it has to be loaded";
  cache.Get("a.txt", 1);
  ASSERT_TRUE(cache.TryGet("a.txt", 1, &file));
  EXPECT_EQ(file->reply.substr(file->head_size), "hello");
  test::WriteFile(directory_ / "a.txt", "others");
  EXPECT_TRUE(cache.TryGet("a.txt", 1, &file)) << "it was checked in this second";
  EXPECT_FALSE(cache.TryGet("a.txt", 2, &file)) << "it has to be loaded anew";
  EXPECT_FALSE(cache.TryGet("none", 1, &file));
}

// As unpacked from an archive without times.
TEST_F(FileCacheTest, GivesFilesOfOneSizeAndTimeTagsOfTheirOwn) {
  FileCache cache(root_, types_, {kMiB, 4, kMiB});
  std::string tags[2];
  for (int i = 0; i < 2; ++i, usleep(20'000)) {
    const std::string fresh = directory_ / "fresh";
    test::WriteFile(fresh, std::string(100, static_cast<char>('A' + i)));
    const timespec times[2] = {{784111777, 0}, {784111777, 0}};
    ASSERT_EQ(utimensat(AT_FDCWD, fresh.c_str(), times, 0), 0);
    ASSERT_EQ(rename(fresh.c_str(), (directory_ / "same.txt").c_str()), 0);
    FileRef file = cache.Get("same.txt", static_cast<uint32_t>(i + 1)).file;
    ASSERT_NE(file, nullptr);
    tags[i] = std::string(file->GetValidators().etag);
  }
  EXPECT_NE(tags[0], tags[1]);
}

TEST_F(FileCacheTest, TriesAFileThatHasNotChangedAtEachCheck) {
  int etc = open("/etc", O_RDONLY | O_DIRECTORY);
  {
    FileCache cache(etc, types_, {kMiB, 4, kMiB});
    FileRef loaded = cache.Get("passwd", 1).file, file;
    ASSERT_TRUE(loaded->settled);
    for (uint32_t now : {2, 3, 3}) {
      ASSERT_TRUE(cache.TryGet("passwd", now, &file)) << now;
      EXPECT_EQ(file, loaded);
    }
    EXPECT_EQ(cache.GetCounts().checks, 2u);
    EXPECT_EQ(cache.GetCounts().loads, 1u);
  }
  close(etc);
}

TEST_F(FileCacheTest, DatesNoFileAfterItsReplyNorBeyondTheFormat) {
  FileCache cache(root_, types_, {kMiB, 4, kMiB});
  for (time_t modified : {time_t{4102444800}, time_t{1} << 62, -(time_t{1} << 62)}) {
    std::string name = std::to_string(modified);
    test::WriteFile(directory_ / name, "x");
    timespec times[2] = {{0, UTIME_OMIT}, {modified, 0}};  // the file system may bring it nearer
    ASSERT_EQ(utimensat(AT_FDCWD, (directory_ / name).c_str(), times, 0), 0);
    Lookup found = cache.Get(name, 1);
    ASSERT_EQ(found.status, 200);
    std::string head(found.file->Head());
    size_t field = head.find("Last-Modified: ");
    ASSERT_EQ(head.find("\r\n", field), field + 15 + 29) << head;
    EXPECT_LT(std::stoi(head.substr(field + 15 + 12, 4)), 2100) << head;
  }
}

TEST_F(FileCacheTest, RefusesAFileForWhichThereIsNoMemory) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "sanitizers end the program where there is no memory";
#endif
  if (test::ReadFile("/proc/sys/vm/overcommit_memory")[0] == '1') {
    GTEST_SKIP() << "this system promises any memory";
  }
  constexpr int64_t kHuge = int64_t{4} << 40;
  test::WriteFile(directory_ / "huge", "");
  if (truncate((directory_ / "huge").c_str(), kHuge) != 0) GTEST_SKIP() << "no files that large";
  test::WriteFile(directory_ / "small", "small");
  FileCache cache(root_, types_, {2 * kHuge, 4, kHuge});
  EXPECT_EQ(cache.Get("huge", 1).status, 503);
  EXPECT_EQ(cache.GetCounts().bytes, 0u) << "still accounted";
  EXPECT_EQ(Contents(cache.Get("small", 1)), "small");
}

TEST_F(FileCacheTest, ServesARepeatedPathWithoutOpeningItWithinASecond) {
  test::WriteFile(directory_ / "a", "1");
  FileCache cache(root_, types_, {kMiB, 4, kMiB});
  FileRef first = cache.Get("a", 1).file;
  std::filesystem::remove(directory_ / "a");
  EXPECT_EQ(cache.Get("a", 1).file, first);
  EXPECT_EQ(cache.GetCounts().loads, 1u);
}

TEST_F(FileCacheTest, SeesAChangeInTheNextSecondAndKeepsTheOldFileForWhoHasIt) {
  test::WriteFile(directory_ / "a", "old");
  FileCache cache(root_, types_, {kMiB, 4, kMiB});
  Lookup old = cache.Get("a", 1);
  test::WriteFile(directory_ / "a", "new");  // of the same size
  EXPECT_EQ(Contents(cache.Get("a", 2)), "new");
  EXPECT_EQ(Contents(old), "old");
}

TEST_F(FileCacheTest, AsksTheFileSystemNotBeforeTheFileWasValidForAsLongAsToldTo) {
  test::WriteFile(directory_ / "a", "old");
  FileCache cache(root_, types_, {kMiB, 4, kMiB, 10});
  cache.Get("a", 5);
  test::WriteFile(directory_ / "a", "new");
  EXPECT_EQ(Contents(cache.Get("a", 14)), "old");
  EXPECT_EQ(Contents(cache.Get("a", 4)), "old") << "by a thread that read the clock before";
  EXPECT_EQ(cache.GetCounts().checks, 0u);
  EXPECT_EQ(Contents(cache.Get("a", 15)), "new");
  EXPECT_EQ(cache.GetCounts().checks, 1u);
}

TEST_F(FileCacheTest, ForgetsAFileThatIsGone) {
  test::WriteFile(directory_ / "a", "x");
  FileCache cache(root_, types_, {kMiB, 4, kMiB});
  cache.Get("a", 1);
  std::filesystem::remove(directory_ / "a");
  EXPECT_EQ(cache.Get("a", 2).status, 404);
  EXPECT_EQ(cache.GetCounts().entries, 0u);
  EXPECT_EQ(cache.GetCounts().bytes, 0u);
}

TEST_F(FileCacheTest, DoesNotRememberWhatIsMissing) {
  FileCache cache(root_, types_, {kMiB, 4, kMiB});
  EXPECT_EQ(cache.Get("a", 1).status, 404);
  test::WriteFile(directory_ / "a", "x");
  EXPECT_EQ(cache.Get("a", 1).status, 200);
}

TEST_F(FileCacheTest, KeepsItsBytesWithinTheLimitAndTheFileUsedLast) {
  constexpr int64_t kSize = 10'000;
  for (int i = 0; i < 20; ++i)
    test::WriteFile(directory_ / std::to_string(i), std::string(kSize, 'x'));
  FileCache cache(root_, types_, {5 * (kSize + 1024), 4, kMiB});
  for (int i = 0; i < 20; ++i) {
    EXPECT_EQ(cache.Get(std::to_string(i), 1).status, 200);
    EXPECT_EQ(cache.Get("0", 1).status, 200);  // always used
    EXPECT_LE(cache.GetCounts().bytes, 5u * (kSize + 1024));
  }
  EXPECT_EQ(cache.GetCounts().entries, 5u);
  EXPECT_EQ(cache.GetCounts().loads, 20u) << "the file in constant use was evicted";
}

TEST_F(FileCacheTest, KeepsItsDescriptorsWithinTheLimit) {
  for (int i = 0; i < 10; ++i) test::WriteFile(directory_ / std::to_string(i), "x");
  FileCache cache(root_, types_, {kMiB, 3, 0});
  for (int i = 0; i < 10; ++i) {
    Lookup found = cache.Get(std::to_string(i), 1);
    ASSERT_EQ(found.status, 200);
    EXPECT_GE(found.file->descriptor, 0);
    EXPECT_LE(cache.GetCounts().descriptors, 3u);
  }
}

TEST_F(FileCacheTest, ServesWhatItHasNoRoomForWithoutKeepingIt) {
  test::WriteFile(directory_ / "a", std::string(5000, 'a'));
  test::WriteFile(directory_ / "b", std::string(5000, 'b'));
  FileCache cache(root_, types_, {7000, 0, kMiB});
  Lookup a = cache.Get("a", 1);  // held, so it cannot make room
  Lookup b = cache.Get("b", 1);
  ASSERT_EQ(b.status, 200);
  EXPECT_GE(b.file->descriptor, 0);
  EXPECT_EQ(cache.GetCounts().entries, 1u);
  a.file.reset();
  EXPECT_EQ(Contents(cache.Get("b", 1)), std::string(5000, 'b')) << "there was room again";
}

TEST_F(FileCacheTest, AccountsReplacedFilesUntilTheirLastUse) {
  test::WriteFile(directory_ / "a", std::string(5000, 'a'));
  FileCache cache(root_, types_, {kMiB, 4, kMiB});
  Lookup held = cache.Get("a", 1);
  uint64_t one = cache.GetCounts().bytes;
  test::WriteFile(directory_ / "a", std::string(5000, 'b'));
  cache.Get("a", 2);
  EXPECT_EQ(cache.GetCounts().bytes, 2 * one);
  held.file.reset();
  EXPECT_EQ(cache.GetCounts().bytes, one);
}

TEST_F(FileCacheTest, LoadsAFileOnceForManyThreads) {
  test::WriteFile(directory_ / "a", std::string(100'000, 'a'));
  FileCache cache(root_, types_, {kMiB, 4, kMiB});
  std::vector<std::thread> threads;
  for (int i = 0; i < 16; ++i) {
    threads.emplace_back([&] { EXPECT_EQ(cache.Get("a", 1).status, 200); });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(cache.GetCounts().loads, 1u);
}

TEST_F(FileCacheTest, StaysConsistentUnderConcurrentChangesAndEviction) {
  for (int i = 0; i < 8; ++i)
    test::WriteFile(directory_ / std::to_string(i), std::string(3000, 'a'));
  FileCache cache(root_, types_, {16'000, 2, kMiB});
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 2000; ++i) {
        Lookup found = cache.Get(std::to_string((i * (t + 1)) % 8), i / 100 + 1);
        if (found.status == 200 && found.file->InMemory()) {
          EXPECT_EQ(found.file->reply.size(), found.file->head_size + 3000);
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_LE(cache.GetCounts().bytes, 16'000u);
}

TEST_F(FileCacheTest, ServesTheIndexOfADirectory) {
  test::WriteFile(directory_ / "index.html", "root");
  test::WriteFile(directory_ / "d/index.html", "sub");
  std::filesystem::create_directory(directory_ / "bare");
  FileCache cache(root_, types_, {kMiB, 4, kMiB});
  EXPECT_EQ(Contents(cache.Get("", 1)), "root");
  EXPECT_EQ(Contents(cache.Get("d/", 1)), "sub");
  EXPECT_EQ(cache.Get("d", 1).status, 301);
  EXPECT_EQ(cache.Get("bare/", 1).status, 403);
  EXPECT_EQ(cache.Get("none/", 1).status, 404);
  EXPECT_EQ(cache.Get("index.html/", 1).status, 404);
}

TEST_F(FileCacheTest, TellsADirectoryWithoutAnIndexFromWhatIsNotServed) {
  std::filesystem::create_directories(directory_ / "bare");
  std::filesystem::create_directories(directory_ / "odd/index.html");
  ASSERT_EQ(mkfifo((directory_ / "fifo").c_str(), 0600), 0);
  FileCache cache(root_, types_, {kMiB, 4, kMiB});
  EXPECT_TRUE(cache.Get("", 1).directory);
  EXPECT_TRUE(cache.Get("bare/", 1).directory);
  for (const char* path : {"odd/", "fifo", "none/", "bare", "../"}) {
    EXPECT_FALSE(cache.Get(path, 1).directory) << path;
  }
}

TEST_F(FileCacheTest, TakesTheFirstIndexThereIs) {
  test::WriteFile(directory_ / "d/b", "b");
  FileCache::Limits limits{kMiB, 4, kMiB};
  limits.index = {"a", "b"};
  FileCache cache(root_, types_, limits);
  EXPECT_EQ(Contents(cache.Get("d/", 1)), "b");
  EXPECT_EQ(cache.Get("", 1).status, 403);
  test::WriteFile(directory_ / "d/a", "a");
  EXPECT_EQ(Contents(cache.Get("d/", 1)), "b");
  EXPECT_EQ(Contents(cache.Get("d/", 2)), "a") << "it goes before the other";
  std::filesystem::remove(directory_ / "d/a");
  EXPECT_EQ(Contents(cache.Get("d/", 3)), "b");
  std::filesystem::remove(directory_ / "d/b");
  EXPECT_EQ(cache.Get("d/", 4).status, 403);
  EXPECT_EQ(cache.GetCounts().entries, 0u);
  limits.index = {};
  EXPECT_TRUE(FileCache(root_, types_, limits).Get("", 1).directory);
}

TEST_F(FileCacheTest, KeepsTheFilesOfSeveralRootsApartWithinOneLimit) {
  constexpr int64_t kSize = 10'000;
  test::TempDirectory other;
  int second = open(other.path().c_str(), O_RDONLY | O_DIRECTORY);
  for (int i = 0; i < 10; ++i) {
    test::WriteFile(directory_ / std::to_string(i), std::string(kSize, 'a'));
    test::WriteFile(other / std::to_string(i), std::string(kSize, 'b'));
  }
  test::WriteFile(other / "only", "here");
  {
    constexpr uint64_t kLimit = 5 * (kSize + 1024);
    FileCache cache(root_, types_, {kLimit, 4, kMiB});
    ASSERT_EQ(cache.AddRoot(second), 1);
    for (int i = 0; i < 10; ++i) {
      for (int root : {0, 1}) {
        Lookup found = cache.Get(std::to_string(i), 1, nullptr, root);
        ASSERT_EQ(found.status, 200);
        EXPECT_EQ(Contents(found), std::string(kSize, root == 0 ? 'a' : 'b'));
        EXPECT_LE(cache.GetCounts().bytes, kLimit);
      }
    }
    EXPECT_EQ(cache.GetCounts().entries, 5u);
    // Whoever asks gets the room that others do not use.
    for (int round = 0; round < 3; ++round) {
      for (int i = 0; i < 5; ++i) cache.Get(std::to_string(i), 1, nullptr, 1);
    }
    uint64_t loads = cache.GetCounts().loads;
    for (int i = 0; i < 5; ++i) cache.Get(std::to_string(i), 1, nullptr, 1);
    EXPECT_EQ(cache.GetCounts().loads, loads);
    EXPECT_EQ(cache.Get("only", 1).status, 404);
    EXPECT_EQ(Contents(cache.Get("only", 1, nullptr, 1)), "here");
  }
  close(second);
}

TEST_F(FileCacheTest, OpensNothingOutsideTheRootAndNothingButFiles) {
  std::string outside = directory_.path() + "_outside";
  test::WriteFile(outside, "secret");
  std::string name = std::filesystem::path(outside).filename();
  std::filesystem::create_symlink(outside, directory_ / "absolute");
  std::filesystem::create_symlink("../" + name, directory_ / "relative");
  std::filesystem::create_symlink("loop", directory_ / "loop");
  ASSERT_EQ(mkfifo((directory_ / "fifo").c_str(), 0600), 0);
  FileCache cache(root_, types_, {kMiB, 4, kMiB});
  for (const std::string& path :
       {std::string("../") + name, std::string("absolute"), std::string("relative"),
        std::string("loop"), std::string("fifo")}) {
    Lookup found = cache.Get(path, 1);
    EXPECT_EQ(found.status, 403) << path;
    EXPECT_EQ(found.file, nullptr) << path;
  }
  EXPECT_EQ(cache.Get(outside, 1).status, 403) << "an absolute path";
  std::filesystem::remove(outside);
}

}  // namespace
}  // namespace knot
