// Pipes, FIFOs, eventfd, timerfd and signalfd.
#include <linux/limits.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <sys/uio.h>

#include <memory>
#include <vector>

#include "tests/conformance/support.h"

namespace conformance {
namespace {

// Runs `body` in a thread, waits until it should be blocked, then runs `then`.
void WhileBlocked(std::function<void()> body, const std::function<void()>& then) {
  Event waiting;
  Thread thread([&] {
    waiting.Post();
    body();
  });
  waiting.Wait();
  Settle();
  then();
}

TEST(Pipe, ReadBlocksUntilDataComes) {
  Pair pipe = MakePipe();
  WhileBlocked(
      [&] {
        char buffer[16];
        EXPECT_EQ(5, read(pipe.a, buffer, sizeof buffer));
      },
      [&] { EXPECT_EQ(5, write(pipe.b, "hello", 5)); });
}

TEST(Pipe, ReadGivesZeroAtTheEndAlsoToABlockedReader) {
  Pair pipe = MakePipe();
  WhileBlocked(
      [&] {
        char c;
        EXPECT_EQ(0, read(pipe.a, &c, 1));
        EXPECT_EQ(0, read(pipe.a, &c, 1));
      },
      [&] { pipe.b.Reset(); });
}

TEST(Pipe, ShortReadThenBlocksForMore) {
  Pair pipe = MakePipe();
  EXPECT_TRUE(WriteAll(pipe.b, "abc"));
  char buffer[100];
  EXPECT_EQ(3, read(pipe.a, buffer, sizeof buffer));
  WhileBlocked([&] { EXPECT_EQ(2, read(pipe.a, buffer, sizeof buffer)); },
               [&] { EXPECT_TRUE(WriteAll(pipe.b, "de")); });
}

TEST(Pipe, WriteBlocksWhileFullAndGoesOnWhenRead) {
  Pair pipe = MakePipe();
  const size_t filled = FillUp(pipe.b);
  std::atomic<bool> written{false};
  WhileBlocked(
      [&] {
        EXPECT_EQ(1, write(pipe.b, "y", 1));
        written = true;
      },
      [&] {
        EXPECT_FALSE(written);
        EXPECT_EQ(filled + 1, ReadExactly(pipe.a, filled + 1).size());
      });
}

TEST(Pipe, WriteBiggerThanThePipeReturnsTheFullCount) {
  Pair pipe = MakePipe();
  const std::string data = Pattern(1 << 20);
  Thread writer([&] {
    EXPECT_EQ(static_cast<ssize_t>(data.size()), write(pipe.b, data.data(), data.size()));
    char* start = const_cast<char*>(data.data());
    iovec parts[2] = {{start, 300000}, {start + 300000, data.size() - 300000}};
    EXPECT_EQ(static_cast<ssize_t>(data.size()), writev(pipe.b, parts, 2));
    pipe.b.Reset();
  });
  Settle();
  EXPECT_TRUE(data + data == ReadToEnd(pipe.a));
}

TEST(Pipe, WritesUpToPipeBufAreAtomic) {
  Pair pipe = MakePipe();
  constexpr int kWriters = 4;
  constexpr int kWrites = 40;
  {
    std::vector<std::unique_ptr<Thread>> writers;
    for (int i = 0; i < kWriters; ++i) {
      writers.push_back(std::make_unique<Thread>([&, i] {
        const std::string block(PIPE_BUF, static_cast<char>('a' + i));
        for (int n = 0; n < kWrites; ++n)
          EXPECT_EQ(PIPE_BUF, write(pipe.b, block.data(), PIPE_BUF));
      }));
    }
    for (int i = 0; i < kWriters * kWrites; ++i) {
      const std::string block = ReadExactly(pipe.a, PIPE_BUF);
      ASSERT_EQ(static_cast<size_t>(PIPE_BUF), block.size());
      EXPECT_EQ(std::string(PIPE_BUF, block[0]), block);
    }
  }
}

TEST(Pipe, WriteWithoutReaderIsEpipeAndRaisesSigpipe) {
  SignalHandler handler(SIGPIPE, CountSignal);
  Pair pipe = MakePipe();
  pipe.a.Reset();
  EXPECT_ERRNO(EPIPE, write(pipe.b, "x", 1));
  EXPECT_EQ(1, handled_signals);
}

TEST(Pipe, BlockedWriterGetsEpipeWhenTheReaderGoes) {
  SignalHandler handler(SIGPIPE, SIG_IGN);
  Pair pipe = MakePipe();
  FillUp(pipe.b);
  WhileBlocked([&] { EXPECT_ERRNO(EPIPE, write(pipe.b, "x", 1)); }, [&] { pipe.a.Reset(); });
}

TEST(Pipe, NonBlockingEndsSayAgain) {
  Pair pipe = MakePipe(O_NONBLOCK | O_CLOEXEC);
  char c;
  EXPECT_NE(0, fcntl(pipe.a, F_GETFL) & O_NONBLOCK);
  EXPECT_ERRNO(EAGAIN, read(pipe.a, &c, 1));
  FillUp(pipe.b);
  EXPECT_ERRNO(EAGAIN, write(pipe.b, "x", 1));
}

TEST(Pipe, NonBlockingWriteOfUpToPipeBufIsAllOrNothing) {
  Pair pipe = MakePipe(O_NONBLOCK);
  FillUp(pipe.b);
  ReadExactly(pipe.a, 100);
  const std::string block(PIPE_BUF, 'x');
  EXPECT_ERRNO(EAGAIN, write(pipe.b, block.data(), block.size()));
}

TEST(Pipe, OnlyOneEndNonBlocking) {
  Pair pipe = MakePipe();
  SetNonBlocking(pipe.b);
  FillUp(pipe.b);
  EXPECT_ERRNO(EAGAIN, write(pipe.b, "x", 1));
  EXPECT_EQ(0, fcntl(pipe.a, F_GETFL) & O_NONBLOCK);
}

TEST(Pipe, SizeCanBeChanged) {
  Pair pipe = MakePipe();
  EXPECT_EQ(4096, fcntl(pipe.b, F_SETPIPE_SZ, 4096));
  EXPECT_EQ(4096, fcntl(pipe.a, F_GETPIPE_SZ));
  EXPECT_EQ(4096u, FillUp(pipe.b));
  int available = 0;
  EXPECT_OK(ioctl(pipe.a, FIONREAD, &available));
  EXPECT_EQ(4096, available);
}

TEST(Pipe, WrongEndsAndSeeksFail) {
  Pair pipe = MakePipe();
  char c = 0;
  EXPECT_ERRNO(EBADF, read(pipe.b, &c, 1));
  EXPECT_ERRNO(EBADF, write(pipe.a, &c, 1));
  EXPECT_ERRNO(ESPIPE, lseek(pipe.a, 0, SEEK_SET));
  EXPECT_ERRNO(ESPIPE, pread(pipe.a, &c, 1, 0));
}

TEST(Pipe, PingPongBetweenTwoThreads) {
  Pair there = MakePipe();
  Pair back = MakePipe();
  Thread echo([&] {
    char c;
    while (read(there.a, &c, 1) == 1) EXPECT_EQ(1, write(back.b, &c, 1));
  });
  for (int i = 0; i < 1000; ++i) {
    char c = static_cast<char>(i);
    ASSERT_EQ(1, write(there.b, &c, 1));
    char answer;
    ASSERT_EQ(1, read(back.a, &answer, 1));
    ASSERT_EQ(c, answer);
  }
  there.b.Reset();
}

class Fifo : public testing::Test {
 protected:
  void SetUp() override { ASSERT_OK(mkfifo(path_.c_str(), 0600)); }

  TempDir directory_;
  std::string path_ = directory_.File("fifo");
};

TEST_F(Fifo, OpenForReadingBlocksUntilAWriterOpens) {
  std::atomic<bool> opened{false};
  int other_work = 0;
  Thread reader([&] {
    Fd fd(open(path_.c_str(), O_RDONLY));
    EXPECT_OK(fd);
    opened = true;
    EXPECT_EQ("hello", ReadToEnd(fd));
  });
  // Others run meanwhile.
  Thread worker([&] {
    for (int i = 0; i < 10; ++i) {
      SleepMs(1);
      ++other_work;
    }
  });
  worker.Join();
  EXPECT_EQ(10, other_work);
  EXPECT_FALSE(opened);
  Fd fd(open(path_.c_str(), O_WRONLY));
  EXPECT_TRUE(WriteAll(fd, "hello"));
}

TEST_F(Fifo, OpenForWritingBlocksUntilAReaderOpens) {
  Thread writer([&] {
    Fd fd(open(path_.c_str(), O_WRONLY));
    EXPECT_OK(fd);
    EXPECT_TRUE(WriteAll(fd, "x"));
  });
  Settle();
  Fd fd(open(path_.c_str(), O_RDONLY));
  EXPECT_EQ("x", ReadToEnd(fd));
}

// An attempt to open for reading that is taken back lets a writer in which then finds nobody.
TEST_F(Fifo, WriterIsLetInByTheReaderThatStays) {
  for (int i = 0; i < 100; ++i) {
    Thread writer([&] {
      Fd fd(open(path_.c_str(), O_WRONLY));
      EXPECT_TRUE(WriteAll(fd, "x"));
    });
    sched_yield();
    Fd fd(open(path_.c_str(), O_RDONLY));
    EXPECT_EQ("x", ReadToEnd(fd));
  }
}

TEST_F(Fifo, ManyBlockedOpensDoNotStopOtherFileWork) {
  std::vector<std::unique_ptr<Thread>> readers;
  Event opened;
  for (int i = 0; i < 20; ++i) {
    readers.push_back(std::make_unique<Thread>([&] {
      Fd fd(open(path_.c_str(), O_RDONLY));
      opened.Post();
      EXPECT_EQ("", ReadToEnd(fd));
    }));
  }
  Settle();
  const std::string file = directory_.MakeFile("plain", "contents");
  Fd plain(open(file.c_str(), O_RDONLY));
  EXPECT_EQ("contents", ReadToEnd(plain));
  Fd writer(open(path_.c_str(), O_RDWR));
  // Stays open until each reader is in: one that opened later would wait for ever.
  opened.Wait(20);
}

TEST_F(Fifo, NonBlockingOpens) {
  EXPECT_ERRNO(ENXIO, open(path_.c_str(), O_WRONLY | O_NONBLOCK));
  Fd reader(open(path_.c_str(), O_RDONLY | O_NONBLOCK));
  EXPECT_OK(reader);
  char c;
  // No writer at all: the end. A writer that has nothing to say: again.
  EXPECT_EQ(0, read(reader, &c, 1));
  Fd writer(open(path_.c_str(), O_WRONLY | O_NONBLOCK));
  EXPECT_OK(writer);
  EXPECT_ERRNO(EAGAIN, read(reader, &c, 1));
}

TEST(EventDescriptor, ReadBlocksUntilWrittenAndTakesTheSum) {
  Fd fd(eventfd(0, EFD_CLOEXEC));
  WhileBlocked(
      [&] {
        uint64_t value = 0;
        EXPECT_EQ(8, read(fd, &value, 8));
        EXPECT_EQ(7u, value);
      },
      [&] {
        const uint64_t value = 7;
        EXPECT_EQ(8, write(fd, &value, 8));
      });
}

TEST(EventDescriptor, SemaphoreModeTakesOneEach) {
  Fd fd(eventfd(3, EFD_SEMAPHORE | EFD_NONBLOCK));
  eventfd_t value = 0;
  for (int i = 0; i < 3; ++i) {
    EXPECT_OK(eventfd_read(fd, &value));
    EXPECT_EQ(1u, value);
  }
  EXPECT_ERRNO(EAGAIN, eventfd_read(fd, &value));
}

TEST(EventDescriptor, WriteBlocksAtTheMaximum) {
  Fd fd(eventfd(0, 0));
  const uint64_t most = UINT64_MAX - 1;
  EXPECT_EQ(8, write(fd, &most, 8));
  WhileBlocked(
      [&] {
        const uint64_t one = 1;
        EXPECT_EQ(8, write(fd, &one, 8));
      },
      [&] {
        uint64_t value = 0;
        EXPECT_EQ(8, read(fd, &value, 8));
        EXPECT_EQ(most, value);
      });
  const uint64_t too_much = UINT64_MAX;
  EXPECT_ERRNO(EINVAL, write(fd, &too_much, 8));
  char small[4];
  EXPECT_ERRNO(EINVAL, read(fd, small, sizeof small));
}

TEST(EventDescriptor, ManyReadersInSemaphoreModeAreWokenOneEach) {
  Fd fd(eventfd(0, EFD_SEMAPHORE));
  Event done;
  std::vector<std::unique_ptr<Thread>> readers;
  for (int i = 0; i < 20; ++i) {
    readers.push_back(std::make_unique<Thread>([&] {
      eventfd_t value;
      EXPECT_OK(eventfd_read(fd, &value));
      done.Post();
    }));
  }
  Settle();
  EXPECT_OK(eventfd_write(fd, 5));
  done.Wait(5);
  EXPECT_FALSE(done.WaitFor(30));
  EXPECT_OK(eventfd_write(fd, 15));
}

TEST(TimerDescriptor, ReadBlocksUntilItExpiresNotEarly) {
  for (clockid_t clock : {CLOCK_MONOTONIC, CLOCK_REALTIME}) {
    Fd fd(timerfd_create(clock, TFD_CLOEXEC));
    Stopwatch watch;
    itimerspec setting = {};
    setting.it_value = Duration(30);
    ASSERT_OK(timerfd_settime(fd, 0, &setting, nullptr));
    uint64_t expirations = 0;
    EXPECT_EQ(8, read(fd, &expirations, 8));
    EXPECT_EQ(1u, expirations);
    EXPECT_GE(watch.ElapsedMs(), 29.9);
  }
}

TEST(TimerDescriptor, PeriodicCountsMissedOnes) {
  Fd fd(timerfd_create(CLOCK_MONOTONIC, 0));
  itimerspec setting = {Duration(5), Duration(5)};
  ASSERT_OK(timerfd_settime(fd, 0, &setting, nullptr));
  SleepMs(30);
  uint64_t expirations = 0;
  EXPECT_EQ(8, read(fd, &expirations, 8));
  EXPECT_GE(expirations, 5u);
}

TEST(TimerDescriptor, AbsoluteTimeAndChangeWhileWaiting) {
  Fd fd(timerfd_create(CLOCK_MONOTONIC, 0));
  WhileBlocked(
      [&] {
        uint64_t expirations = 0;
        EXPECT_EQ(8, read(fd, &expirations, 8));
      },
      [&] {
        itimerspec setting = {};
        setting.it_value = FromNow(CLOCK_MONOTONIC, 10);
        EXPECT_OK(timerfd_settime(fd, TFD_TIMER_ABSTIME, &setting, nullptr));
      });
}

TEST(TimerDescriptor, NonBlockingSaysAgainAndBadArgumentsAreInvalid) {
  Fd fd(timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK));
  uint64_t expirations;
  EXPECT_ERRNO(EAGAIN, read(fd, &expirations, 8));
  EXPECT_ERRNO(EINVAL, timerfd_create(CLOCK_MONOTONIC, 0x40000000));
  itimerspec bad = {{0, 0}, {0, 1000000000}};
  EXPECT_ERRNO(EINVAL, timerfd_settime(fd, 0, &bad, nullptr));
}

TEST(SignalDescriptor, ReadBlocksUntilTheBlockedSignalComes) {
  SignalBlock block({SIGUSR1});
  const sigset_t set = SignalSet({SIGUSR1});
  Fd fd(signalfd(-1, &set, SFD_CLOEXEC));
  ASSERT_OK(fd);
  WhileBlocked(
      [&] {
        signalfd_siginfo info = {};
        EXPECT_EQ(static_cast<ssize_t>(sizeof info), read(fd, &info, sizeof info));
        EXPECT_EQ(static_cast<uint32_t>(SIGUSR1), info.ssi_signo);
        EXPECT_EQ(static_cast<uint32_t>(getpid()), info.ssi_pid);
      },
      [&] { EXPECT_OK(kill(getpid(), SIGUSR1)); });
}

TEST(SignalDescriptor, NonBlockingSaysAgainAndQueuedValuesArrive) {
  SignalBlock block({SIGRTMIN});
  const sigset_t set = SignalSet({SIGRTMIN});
  Fd fd(signalfd(-1, &set, SFD_NONBLOCK));
  signalfd_siginfo info[4] = {};
  EXPECT_ERRNO(EAGAIN, read(fd, info, sizeof info));
  for (int i = 1; i <= 2; ++i) {
    sigval value;
    value.sival_int = i;
    EXPECT_OK(sigqueue(getpid(), SIGRTMIN, value));
  }
  EXPECT_EQ(static_cast<ssize_t>(2 * sizeof info[0]), read(fd, info, sizeof info));
  EXPECT_EQ(1, info[0].ssi_int);
  EXPECT_EQ(2, info[1].ssi_int);
}

}  // namespace
}  // namespace conformance
