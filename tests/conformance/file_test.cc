// Regular files, directories, locks, and sendfile, splice and copy_file_range.
#include <dirent.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/wait.h>

#include <memory>
#include <vector>

#include "tests/conformance/support.h"

namespace conformance {
namespace {

class File : public testing::Test {
 protected:
  Fd Open(const std::string& contents, int flags = O_RDWR) {
    path_ = directory_.MakeFile("file", contents);
    Fd fd(open(path_.c_str(), flags));
    EXPECT_OK(fd);
    return fd;
  }
  std::string Contents() {
    Fd fd(open(path_.c_str(), O_RDONLY));
    return ReadToEnd(fd);
  }

  TempDir directory_;
  std::string path_;
};

TEST_F(File, ReadIsShortAtTheEndAndThenZero) {
  Fd fd = Open("0123456789");
  char buffer[8];
  EXPECT_EQ(8, read(fd, buffer, 8));
  EXPECT_EQ(2, read(fd, buffer, 8));
  EXPECT_EQ(0, read(fd, buffer, 8));
  EXPECT_EQ(0, pread(fd, buffer, 8, 100));
}

TEST_F(File, WriteMovesTheOffsetAndPwriteDoesNot) {
  Fd fd = Open("");
  EXPECT_EQ(3, write(fd, "abc", 3));
  EXPECT_EQ(2, pwrite(fd, "ZZ", 2, 6));
  EXPECT_EQ(3, lseek(fd, 0, SEEK_CUR));
  EXPECT_EQ(1, write(fd, "d", 1));
  EXPECT_EQ(std::string("abcd\0\0ZZ", 8), Contents());
}

TEST_F(File, VectorCallsGatherAndScatter) {
  Fd fd = Open("");
  char text[] = "abcdef";
  iovec out[3] = {{text, 2}, {text + 2, 0}, {text + 2, 4}};
  EXPECT_EQ(6, writev(fd, out, 3));
  char first[3];
  char second[10];
  iovec in[2] = {{first, 3}, {second, 10}};
  EXPECT_EQ(6, preadv(fd, in, 2, 0));
  EXPECT_EQ("def", std::string(second, 3));
  EXPECT_EQ(0, lseek(fd, 0, SEEK_SET));
  EXPECT_EQ(6, readv(fd, in, 2));
  EXPECT_EQ(2, pwritev(fd, out, 1, 10));
  // Volatile, or the compiler would warn of what the test is about.
  volatile int negative = -1;
  EXPECT_ERRNO(EINVAL, readv(fd, in, negative));
}

TEST_F(File, Preadv2WithNowaitGivesDataOrAgain) {
  Fd fd = Open("cached");
  char buffer[6];
  iovec part = {buffer, 6};
  const ssize_t n = preadv2(fd, &part, 1, 0, RWF_NOWAIT);
  EXPECT_TRUE(n == 6 || (n == -1 && (errno == EAGAIN || errno == EOPNOTSUPP)));
}

TEST_F(File, AppendWritesAtTheEndFromEveryThread) {
  Fd fd = Open("start", O_WRONLY | O_APPEND);
  {
    std::vector<std::unique_ptr<Thread>> threads;
    for (int i = 0; i < 8; ++i) {
      threads.push_back(std::make_unique<Thread>([&] {
        Fd own(open(path_.c_str(), O_WRONLY | O_APPEND));
        for (int n = 0; n < 20; ++n) {
          EXPECT_EQ(4, write(own, "abcd", 4));
          if (n % 5 == 0) sched_yield();
        }
      }));
    }
  }
  const std::string contents = Contents();
  EXPECT_EQ(5u + 8 * 20 * 4, contents.size());
  for (size_t i = 5; i < contents.size(); i += 4) EXPECT_EQ("abcd", contents.substr(i, 4));
}

TEST_F(File, ManyThreadsReadTheirOwnParts) {
  const std::string data = Pattern(1 << 20);
  Fd fd = Open(data);
  std::vector<std::unique_ptr<Thread>> threads;
  for (int i = 0; i < 16; ++i) {
    threads.push_back(std::make_unique<Thread>([&, i] {
      std::string part(65536, '\0');
      EXPECT_EQ(65536, pread(fd, part.data(), part.size(), i * 65536));
      EXPECT_TRUE(part == data.substr(i * 65536, 65536));
    }));
  }
}

TEST_F(File, ReadsAndWritesOfOneOffsetByManyThreadsLoseNothing) {
  Fd fd = Open("");
  {
    std::vector<std::unique_ptr<Thread>> threads;
    for (int i = 0; i < 8; ++i) {
      threads.push_back(std::make_unique<Thread>([&] {
        for (int n = 0; n < 25; ++n) EXPECT_EQ(10, write(fd, "0123456789", 10));
      }));
    }
  }
  EXPECT_EQ(2000u, Contents().size());
}

TEST_F(File, SyncCallsSucceedFromManyThreads) {
  Fd fd = Open("data");
  std::vector<std::unique_ptr<Thread>> threads;
  for (int i = 0; i < 8; ++i) {
    threads.push_back(std::make_unique<Thread>([&] {
      EXPECT_OK(pwrite(fd, "x", 1, 0));
      EXPECT_OK(fsync(fd));
      EXPECT_OK(fdatasync(fd));
    }));
  }
}

TEST_F(File, SyncOfAPipeIsInvalid) {
  Pair pipe = MakePipe();
  EXPECT_ERRNO(EINVAL, fsync(pipe.a));
  EXPECT_ERRNO(EBADF, fsync(-1));
}

TEST_F(File, DirectReadsAndWritesOfAlignedBlocks) {
  constexpr size_t kBlock = 4096;
  const std::string data = Pattern(kBlock * 4);
  Fd fd = Open(data, O_RDWR | O_DIRECT);
  void* memory = nullptr;
  ASSERT_EQ(0, posix_memalign(&memory, kBlock, kBlock * 4));
  std::unique_ptr<void, decltype(&free)> owner(memory, free);
  EXPECT_EQ(static_cast<ssize_t>(kBlock * 4), read(fd, memory, kBlock * 4));
  EXPECT_EQ(0, memcmp(memory, data.data(), data.size()));
  EXPECT_EQ(0, read(fd, memory, kBlock));
  memset(memory, 'q', kBlock);
  EXPECT_EQ(static_cast<ssize_t>(kBlock), pwrite(fd, memory, kBlock, kBlock));
  EXPECT_EQ(static_cast<ssize_t>(kBlock), pread(fd, memory, kBlock, kBlock * 3));
  EXPECT_EQ(0, memcmp(memory, data.data() + kBlock * 3, kBlock));
  EXPECT_EQ(std::string(kBlock, 'q'), Contents().substr(kBlock, kBlock));
}

TEST_F(File, DirectReadsByManyThreadsAtOnce) {
  constexpr size_t kBlock = 4096;
  const std::string data = Pattern(kBlock * 16);
  Fd fd = Open(data, O_RDONLY | O_DIRECT);
  std::vector<std::unique_ptr<Thread>> threads;
  for (int i = 0; i < 16; ++i) {
    threads.push_back(std::make_unique<Thread>([&, i] {
      alignas(kBlock) static thread_local char block[kBlock];
      EXPECT_EQ(static_cast<ssize_t>(kBlock), pread(fd, block, kBlock, i * kBlock));
      EXPECT_EQ(0, memcmp(block, data.data() + i * kBlock, kBlock));
    }));
  }
}

TEST_F(File, OpenErrors) {
  EXPECT_ERRNO(ENOENT, open(directory_.File("none").c_str(), O_RDONLY));
  EXPECT_ERRNO(EISDIR, open(directory_.path().c_str(), O_WRONLY));
  Fd fd = Open("x", O_RDONLY);
  EXPECT_ERRNO(ENOTDIR, open((path_ + "/below").c_str(), O_RDONLY));
  EXPECT_ERRNO(EEXIST, open(path_.c_str(), O_CREAT | O_EXCL | O_RDWR, 0600));
  EXPECT_ERRNO(EBADF, write(fd, "x", 1));
  EXPECT_ERRNO(EFAULT, open(reinterpret_cast<const char*>(8), O_RDONLY));
  EXPECT_ERRNO(ENAMETOOLONG, open(directory_.File(std::string(300, 'n')).c_str(), O_RDONLY));
  Fd directory(open(directory_.path().c_str(), O_RDONLY | O_DIRECTORY));
  char c;
  EXPECT_ERRNO(EISDIR, read(directory, &c, 1));
}

TEST_F(File, OpenatIsRelativeToItsDirectory) {
  directory_.MakeFile("inside", "here");
  Fd directory(open(directory_.path().c_str(), O_RDONLY | O_DIRECTORY));
  Fd fd(openat(directory, "inside", O_RDONLY));
  EXPECT_EQ("here", ReadToEnd(fd));
  EXPECT_ERRNO(ENOENT, openat(directory, "none", O_RDONLY));
  EXPECT_ERRNO(EBADF, openat(-1, "inside", O_RDONLY));
  EXPECT_ERRNO(ENOTDIR, openat(fd, "inside", O_RDONLY));
}

TEST_F(File, CreatModeObeysUmask) {
  const mode_t old = umask(027);
  const std::string path = directory_.File("created");
  Fd fd(creat(path.c_str(), 0666));
  umask(old);
  struct stat info;
  ASSERT_OK(fstat(fd, &info));
  EXPECT_EQ(0640u, info.st_mode & 0777);
}

TEST_F(File, MetadataCallsFromManyThreads) {
  std::vector<std::unique_ptr<Thread>> threads;
  for (int i = 0; i < 16; ++i) {
    threads.push_back(std::make_unique<Thread>([&, i] {
      const std::string name = directory_.File("meta" + std::to_string(i));
      for (int round = 0; round < 10; ++round) {
        Fd fd(open(name.c_str(), O_CREAT | O_RDWR, 0600));
        EXPECT_TRUE(WriteAll(fd, name));
        EXPECT_OK(ftruncate(fd, 3));
        struct stat info;
        EXPECT_OK(stat(name.c_str(), &info));
        EXPECT_EQ(3, info.st_size);
        EXPECT_OK(rename(name.c_str(), (name + "b").c_str()));
        EXPECT_ERRNO(ENOENT, access(name.c_str(), F_OK));
        EXPECT_OK(unlink((name + "b").c_str()));
      }
    }));
  }
}

TEST_F(File, DirectoriesAreMadeListedAndRemoved) {
  const std::string path = directory_.File("dir");
  EXPECT_OK(mkdir(path.c_str(), 0700));
  EXPECT_ERRNO(EEXIST, mkdir(path.c_str(), 0700));
  directory_.MakeFile("dir/a", "");
  directory_.MakeFile("dir/b", "");
  EXPECT_ERRNO(ENOTEMPTY, rmdir(path.c_str()));
  DIR* directory = opendir(path.c_str());
  ASSERT_NE(nullptr, directory);
  int entries = 0;
  while (readdir(directory) != nullptr) ++entries;
  closedir(directory);
  EXPECT_EQ(4, entries);
  unlink((path + "/a").c_str());
  unlink((path + "/b").c_str());
  EXPECT_OK(rmdir(path.c_str()));
}

TEST_F(File, ReadingDevicesWorks) {
  Fd zero(open("/dev/zero", O_RDONLY));
  char buffer[16] = "xxxxxxxxxxxxxxx";
  EXPECT_EQ(16, read(zero, buffer, 16));
  EXPECT_EQ(0, buffer[15]);
  Fd null(open("/dev/null", O_RDWR));
  EXPECT_EQ(0, read(null, buffer, 16));
  EXPECT_EQ(16, write(null, buffer, 16));
  Fd full(open("/dev/full", O_WRONLY));
  EXPECT_ERRNO(ENOSPC, write(full, buffer, 16));
}

// --- Locks ---------------------------------------------------------------------------------------

// Holds a lock in another process until told to let go.
class LockHolder {
 public:
  explicit LockHolder(const std::function<bool()>& take)
      : pid_(StartChild([&] {
          release_.b.Reset();
          if (!take()) return 1;
          EXPECT_TRUE(WriteAll(taken_.b, "t"));
          ReadToEnd(release_.a);
          return 0;
        })) {
    EXPECT_EQ("t", ReadExactly(taken_.a, 1));
  }
  void Release() {
    release_.b.Reset();
    ExpectExited(0, WaitForChild(pid_));
  }

 private:
  Pair taken_ = MakePipe();
  Pair release_ = MakePipe();
  pid_t pid_;
};

TEST_F(File, FlockBlocksWhileAnotherProcessHoldsIt) {
  Fd fd = Open("");
  LockHolder holder([&] {
    const int own = open(path_.c_str(), O_RDWR);
    return flock(own, LOCK_EX) == 0;
  });
  EXPECT_ERRNO(EWOULDBLOCK, flock(fd, LOCK_EX | LOCK_NB));
  std::atomic<bool> locked{false};
  Thread waiter([&] {
    EXPECT_OK(flock(fd, LOCK_EX));
    locked = true;
  });
  Settle();
  EXPECT_FALSE(locked);
  holder.Release();
  waiter.Join();
  EXPECT_TRUE(locked);
  EXPECT_OK(flock(fd, LOCK_UN));
}

TEST_F(File, FlockBetweenTwoOpensByThreadsExcludes) {
  path_ = directory_.MakeFile("file", "");
  int inside = 0;
  std::vector<std::unique_ptr<Thread>> threads;
  for (int i = 0; i < 6; ++i) {
    threads.push_back(std::make_unique<Thread>([&] {
      Fd own(open(path_.c_str(), O_RDWR));
      EXPECT_OK(flock(own, LOCK_EX));
      EXPECT_EQ(1, ++inside);
      SleepMs(2);
      --inside;
      EXPECT_OK(flock(own, LOCK_UN));
    }));
  }
}

TEST_F(File, RecordLockWaitsForAnotherProcess) {
  Fd fd = Open("0123456789");
  auto lock_of = [](short type) {
    struct flock lock = {};
    lock.l_type = type;
    lock.l_len = 5;
    return lock;
  };
  LockHolder holder([&] {
    struct flock lock = lock_of(F_WRLCK);
    const int own = open(path_.c_str(), O_RDWR);
    return fcntl(own, F_SETLKW, &lock) == 0;
  });
  struct flock lock = lock_of(F_WRLCK);
  errno = 0;
  EXPECT_EQ(-1, fcntl(fd, F_SETLK, &lock));
  EXPECT_TRUE(errno == EAGAIN || errno == EACCES);
  EXPECT_OK(fcntl(fd, F_GETLK, &lock));
  EXPECT_EQ(F_WRLCK, lock.l_type);
  Thread waiter([&] {
    struct flock wanted = lock_of(F_WRLCK);
    EXPECT_OK(fcntl(fd, F_SETLKW, &wanted));
  });
  Settle();
  holder.Release();
}

TEST_F(File, OpenFileDescriptionLocksExcludeThreads) {
  path_ = directory_.MakeFile("file", "");
  int inside = 0;
  std::vector<std::unique_ptr<Thread>> threads;
  for (int i = 0; i < 4; ++i) {
    threads.push_back(std::make_unique<Thread>([&] {
      Fd own(open(path_.c_str(), O_RDWR));
      struct flock lock = {};
      lock.l_type = F_WRLCK;
      EXPECT_OK(fcntl(own, F_OFD_SETLKW, &lock));
      EXPECT_EQ(1, ++inside);
      SleepMs(2);
      --inside;
      lock.l_type = F_UNLCK;
      EXPECT_OK(fcntl(own, F_OFD_SETLK, &lock));
    }));
  }
}

// --- sendfile, splice, copy_file_range -----------------------------------------------------------

class Sendfile : public File {};

TEST_F(Sendfile, WithAnOffsetUpdatesItAndLeavesTheFilePosition) {
  Fd fd = Open("0123456789");
  Pair pair = MakeTcpPair();
  off_t offset = 2;
  EXPECT_EQ(5, sendfile(pair.b, fd, &offset, 5));
  EXPECT_EQ(7, offset);
  EXPECT_EQ(0, lseek(fd, 0, SEEK_CUR));
  EXPECT_EQ("23456", ReadExactly(pair.a, 5));
}

TEST_F(Sendfile, WithoutAnOffsetMovesTheFilePosition) {
  Fd fd = Open("0123456789");
  Pair pair = MakeTcpPair();
  EXPECT_EQ(4, sendfile(pair.b, fd, nullptr, 4));
  EXPECT_EQ(4, lseek(fd, 0, SEEK_CUR));
  EXPECT_EQ(6, sendfile(pair.b, fd, nullptr, 100));
  EXPECT_EQ(0, sendfile(pair.b, fd, nullptr, 100));
  EXPECT_EQ("0123456789", ReadExactly(pair.a, 10));
}

TEST_F(Sendfile, PastTheEndGivesZero) {
  Fd fd = Open("abc");
  Pair pair = MakeTcpPair();
  off_t offset = 3;
  EXPECT_EQ(0, sendfile(pair.b, fd, &offset, 10));
  offset = 100;
  EXPECT_EQ(0, sendfile(pair.b, fd, &offset, 10));
  EXPECT_EQ(100, offset);
}

TEST_F(Sendfile, WholeBigFileToASlowReader) {
  const std::string data = Pattern(8 << 20);
  Fd fd = Open(data);
  Pair pair = MakeTcpPair();
  Thread sender([&] {
    off_t offset = 0;
    while (offset < static_cast<off_t>(data.size())) {
      const off_t before = offset;
      const ssize_t n = sendfile(pair.b, fd, &offset, data.size() - offset);
      ASSERT_GT(n, 0);
      ASSERT_EQ(before + n, offset);
    }
    EXPECT_OK(shutdown(pair.b, SHUT_WR));
  });
  std::string received;
  for (int i = 0; i < 20; ++i) {
    SleepMs(1);
    received += ReadExactly(pair.a, 50000);
  }
  received += ReadToEnd(pair.a);
  EXPECT_TRUE(data == received);
}

TEST_F(Sendfile, BlockingSendsAllThatWasAsked) {
  const std::string data = Pattern(2 << 20);
  Fd fd = Open(data);
  Pair pair = MakeTcpPair();
  Thread sender([&] {
    EXPECT_EQ(static_cast<ssize_t>(data.size()), sendfile(pair.b, fd, nullptr, data.size()));
    pair.b.Reset();
  });
  Settle();
  EXPECT_TRUE(data == ReadToEnd(pair.a));
}

TEST_F(Sendfile, ManySendersAtOnce) {
  const std::string data = Pattern(300000);
  Fd fd = Open(data);
  std::vector<std::unique_ptr<Thread>> threads;
  for (int i = 0; i < 20; ++i) {
    threads.push_back(std::make_unique<Thread>([&] {
      Pair pair = MakeTcpPair();
      Thread sender([&] {
        off_t offset = 0;
        while (offset < static_cast<off_t>(data.size())) {
          ASSERT_GT(sendfile(pair.b, fd, &offset, data.size()), 0);
        }
        pair.b.Reset();
      });
      EXPECT_TRUE(data == ReadToEnd(pair.a));
    }));
  }
}

TEST_F(Sendfile, NonBlockingSocketTakesAPartAndThenSaysAgain) {
  const std::string data = Pattern(32 << 20);
  Fd fd = Open(data);
  Pair pair = MakeTcpPair();
  SetNonBlocking(pair.b);
  off_t offset = 0;
  const ssize_t n = sendfile(pair.b, fd, &offset, data.size());
  EXPECT_GT(n, 0);
  EXPECT_LT(n, static_cast<ssize_t>(data.size()));
  EXPECT_EQ(n, offset);
  FillUp(pair.b);
  EXPECT_ERRNO(EAGAIN, sendfile(pair.b, fd, &offset, 1000));
  EXPECT_EQ(n, offset);
}

TEST_F(Sendfile, SendTimeoutGivesWhatWasSent) {
  const std::string data = Pattern(32 << 20);
  Fd fd = Open(data);
  Pair pair = MakeTcpPair();
  SetTimeout(pair.b, SO_SNDTIMEO, 60);
  off_t offset = 0;
  const ssize_t n = sendfile(pair.b, fd, &offset, data.size());
  EXPECT_GT(n, 0);
  EXPECT_LT(n, static_cast<ssize_t>(data.size()));
}

TEST_F(Sendfile, ToAClosedPeerIsEpipeOrReset) {
  SignalHandler handler(SIGPIPE, SIG_IGN);
  Fd fd = Open(std::string(100000, 'x'));
  Pair pair = MakeTcpPair();
  pair.a.Reset();
  ssize_t n;
  off_t offset = 0;
  while ((n = sendfile(pair.b, fd, &offset, 100)) > 0) {
    offset = 0;
    SleepMs(1);
  }
  EXPECT_EQ(-1, n);
  EXPECT_TRUE(errno == EPIPE || errno == ECONNRESET);
}

TEST_F(Sendfile, ToAFileAndToAPipe) {
  Fd fd = Open("contents");
  Fd target(open(directory_.File("target").c_str(), O_CREAT | O_RDWR, 0600));
  EXPECT_EQ(8, sendfile(target, fd, nullptr, 100));
  off_t offset = 0;
  Pair pipe = MakePipe();
  EXPECT_EQ(8, sendfile(pipe.b, fd, &offset, 100));
  EXPECT_EQ("contents", ReadExactly(pipe.a, 8));
  EXPECT_EQ(0, lseek(target, 0, SEEK_SET));
  EXPECT_EQ("contents", ReadToEnd(target));
}

TEST_F(Sendfile, Errors) {
  Fd fd = Open("contents");
  Pair pair = MakeTcpPair();
  EXPECT_ERRNO(EBADF, sendfile(-1, fd, nullptr, 1));
  EXPECT_ERRNO(EBADF, sendfile(pair.b, -1, nullptr, 1));
  EXPECT_ERRNO(EINVAL, sendfile(pair.b, pair.b, nullptr, 1));
  off_t negative = -1;
  EXPECT_ERRNO(EINVAL, sendfile(pair.b, fd, &negative, 1));
  Fd write_only(open(path_.c_str(), O_WRONLY));
  EXPECT_ERRNO(EBADF, sendfile(pair.b, write_only, nullptr, 1));
  EXPECT_EQ(0, sendfile(pair.b, fd, nullptr, 0));
}

TEST_F(Sendfile, SpliceMovesFromSocketToPipeToFile) {
  Pair pair = MakeTcpPair();
  Pair pipe = MakePipe();
  Fd target = Open("");
  Event waiting;
  Thread mover([&] {
    waiting.Post();
    EXPECT_EQ(5, splice(pair.a, nullptr, pipe.b, nullptr, 100, 0));
    EXPECT_EQ(5, splice(pipe.a, nullptr, target, nullptr, 100, 0));
    EXPECT_EQ(0, splice(pair.a, nullptr, pipe.b, nullptr, 100, 0));
  });
  waiting.Wait();
  Settle();
  EXPECT_TRUE(WriteAll(pair.b, "hello"));
  Settle();
  pair.b.Reset();
  mover.Join();
  EXPECT_EQ("hello", Contents());
}

TEST_F(Sendfile, SpliceErrorsAndNonBlocking) {
  Pair pipe = MakePipe();
  Pair other = MakePipe();
  Fd fd = Open("x");
  EXPECT_ERRNO(EAGAIN, splice(pipe.a, nullptr, other.b, nullptr, 1, SPLICE_F_NONBLOCK));
  EXPECT_ERRNO(EINVAL, splice(fd, nullptr, fd, nullptr, 1, 0));
  off_t offset = 0;
  EXPECT_ERRNO(ESPIPE, splice(pipe.a, &offset, other.b, nullptr, 1, 0));
  EXPECT_TRUE(WriteAll(pipe.b, "tee"));
  EXPECT_EQ(3, tee(pipe.a, other.b, 10, 0));
  EXPECT_EQ("tee", ReadExactly(other.a, 3));
  EXPECT_EQ("tee", ReadExactly(pipe.a, 3));
}

TEST_F(Sendfile, CopyFileRangeCopiesAndMovesOffsets) {
  Fd fd = Open("0123456789");
  Fd target(open(directory_.File("target").c_str(), O_CREAT | O_RDWR, 0600));
  off_t from = 3;
  EXPECT_EQ(7, copy_file_range(fd, &from, target, nullptr, 100, 0));
  EXPECT_EQ(10, from);
  EXPECT_EQ(0, copy_file_range(fd, &from, target, nullptr, 100, 0));
  EXPECT_EQ(0, lseek(target, 0, SEEK_SET));
  EXPECT_EQ("3456789", ReadToEnd(target));
}

TEST(OpenBeneath, WhatIsNoDirectorySaysSo) {
  char path[] = "/tmp/conformance-plain-XXXXXX";
  Fd file(mkstemp(path));
  ASSERT_LE(0, file.get());
  const std::string beneath = std::string(path) + "/.htaccess";
  for (int i = 0; i < 3; ++i) {
    EXPECT_ERRNO(ENOTDIR, open(beneath.c_str(), O_RDONLY));
    EXPECT_ERRNO(ENOTDIR, open(beneath.c_str(), O_WRONLY | O_CREAT, 0600));
    EXPECT_ERRNO(ENOENT, open((std::string(path) + "-missing/.htaccess").c_str(), O_RDONLY));
    EXPECT_ERRNO(ENOTDIR, open((beneath + "/deeper").c_str(), O_RDONLY));
  }
  unlink(path);
  EXPECT_ERRNO(ENOENT, open(beneath.c_str(), O_RDONLY));
}

}  // namespace
}  // namespace conformance
