// The program's own use of epoll.
#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

#include <memory>
#include <vector>

#include "tests/conformance/support.h"

namespace conformance {
namespace {

class Epoll : public testing::Test {
 protected:
  void Add(int fd, uint32_t events) {
    epoll_event event = {};
    event.events = events;
    event.data.fd = fd;
    EXPECT_OK(epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event));
  }
  // Returns: the events of the first ready descriptor, or -1 if none came in time.
  int WaitOne(int timeout, int* fd = nullptr) {
    epoll_event event = {};
    const int ready = epoll_wait(epoll_, &event, 1, timeout);
    EXPECT_OK(ready);
    if (fd != nullptr) *fd = event.data.fd;
    return ready == 1 ? static_cast<int>(event.events) : -1;
  }
  static void WhileBlocked(std::function<void()> body, const std::function<void()>& then) {
    Event waiting;
    Thread thread([&] {
      waiting.Post();
      body();
    });
    waiting.Wait();
    Settle();
    then();
  }

  Fd epoll_{epoll_create1(EPOLL_CLOEXEC)};
};

TEST_F(Epoll, TimesOutNotEarly) {
  Stopwatch watch;
  EXPECT_EQ(-1, WaitOne(0));
  EXPECT_EQ(-1, WaitOne(30));
  EXPECT_GE(watch.ElapsedMs(), 30);
}

TEST_F(Epoll, InfiniteWaitIsEndedByData) {
  Pair pair = MakeTcpPair();
  Add(pair.a, EPOLLIN);
  WhileBlocked(
      [&] {
        int fd = -1;
        EXPECT_EQ(static_cast<int>(EPOLLIN), WaitOne(-1, &fd));
        EXPECT_EQ(pair.a, fd);
      },
      [&] { EXPECT_EQ(1, send(pair.b, "x", 1, 0)); });
}

TEST_F(Epoll, DescriptorAddedWhileAnotherThreadWaitsWakesIt) {
  Pair pair = MakeTcpPair();
  EXPECT_TRUE(WriteAll(pair.b, "x"));
  WhileBlocked([&] { EXPECT_EQ(static_cast<int>(EPOLLIN), WaitOne(-1)); },
               [&] { Add(pair.a, EPOLLIN); });
}

TEST_F(Epoll, LevelTriggeredReportsUntilDrained) {
  Pair pair = MakeSocketPair();
  Add(pair.a, EPOLLIN);
  EXPECT_TRUE(WriteAll(pair.b, "xy"));
  EXPECT_NE(-1, WaitOne(-1));
  EXPECT_NE(-1, WaitOne(-1));
  ReadExactly(pair.a, 2);
  EXPECT_EQ(-1, WaitOne(0));
}

TEST_F(Epoll, EdgeTriggeredReportsEachArrivalOnce) {
  Pair pair = MakeSocketPair();
  Add(pair.a, EPOLLIN | EPOLLET);
  EXPECT_TRUE(WriteAll(pair.b, "x"));
  EXPECT_NE(-1, WaitOne(-1));
  EXPECT_EQ(-1, WaitOne(10));
  EXPECT_TRUE(WriteAll(pair.b, "y"));
  EXPECT_NE(-1, WaitOne(-1));
}

TEST_F(Epoll, OneShotReportsOnceUntilArmedAgain) {
  Pair pair = MakeSocketPair();
  Add(pair.a, EPOLLIN | EPOLLONESHOT);
  EXPECT_TRUE(WriteAll(pair.b, "x"));
  EXPECT_NE(-1, WaitOne(-1));
  EXPECT_EQ(-1, WaitOne(10));
  epoll_event event = {};
  event.events = EPOLLIN | EPOLLONESHOT;
  EXPECT_OK(epoll_ctl(epoll_, EPOLL_CTL_MOD, pair.a, &event));
  EXPECT_NE(-1, WaitOne(-1));
}

TEST_F(Epoll, HangUpAndErrorAreReportedUnasked) {
  Pair pair = MakeSocketPair();
  Add(pair.a, 0);
  WhileBlocked([&] { EXPECT_NE(0, WaitOne(-1) & EPOLLHUP); }, [&] { pair.b.Reset(); });
}

TEST_F(Epoll, SharedByTwoThreadsGivesEachItsEvents) {
  Pair first = MakeSocketPair();
  Pair second = MakeSocketPair();
  Add(first.a, EPOLLIN | EPOLLONESHOT);
  Add(second.a, EPOLLIN | EPOLLONESHOT);
  std::atomic<int> sum{0};
  auto body = [&] {
    int fd = -1;
    EXPECT_NE(-1, WaitOne(-1, &fd));
    sum += fd;
  };
  {
    Thread a(body);
    Thread b(body);
    Settle();
    EXPECT_TRUE(WriteAll(first.b, "x"));
    EXPECT_TRUE(WriteAll(second.b, "x"));
  }
  EXPECT_EQ(first.a + second.a, sum);
}

TEST_F(Epoll, NestedInsideAnotherIsReadable) {
  Pair pair = MakeSocketPair();
  Add(pair.a, EPOLLIN);
  Fd outer(epoll_create1(0));
  epoll_event event = {};
  event.events = EPOLLIN;
  EXPECT_OK(epoll_ctl(outer, EPOLL_CTL_ADD, epoll_, &event));
  WhileBlocked(
      [&] {
        epoll_event ready;
        EXPECT_EQ(1, epoll_wait(outer, &ready, 1, -1));
        EXPECT_NE(-1, WaitOne(0));
      },
      [&] { EXPECT_TRUE(WriteAll(pair.b, "x")); });
}

TEST_F(Epoll, CanBePolled) {
  Pair pair = MakeSocketPair();
  Add(pair.a, EPOLLIN);
  WhileBlocked(
      [&] {
        pollfd entry = {epoll_, POLLIN, 0};
        EXPECT_EQ(1, poll(&entry, 1, -1));
        EXPECT_EQ(POLLIN, entry.revents);
      },
      [&] { EXPECT_TRUE(WriteAll(pair.b, "x")); });
}

TEST_F(Epoll, ManyDescriptorsAreReportedTogether) {
  std::vector<Pair> pairs;
  for (int i = 0; i < 200; ++i) {
    pairs.push_back(MakeSocketPair());
    Add(pairs.back().a, EPOLLIN);
    EXPECT_TRUE(WriteAll(pairs.back().b, "x"));
  }
  epoll_event events[256];
  EXPECT_EQ(200, epoll_wait(epoll_, events, 256, -1));
  EXPECT_EQ(64, epoll_wait(epoll_, events, 64, -1));
}

TEST_F(Epoll, ClosedDescriptorIsForgotten) {
  Pair pair = MakeSocketPair();
  Add(pair.a, EPOLLIN);
  EXPECT_TRUE(WriteAll(pair.b, "x"));
  pair.a.Reset();
  EXPECT_EQ(-1, WaitOne(10));
}

TEST_F(Epoll, DescriptorUsedBlockinglyByAnotherThreadStillReports) {
  // Both the program's epoll and whatever the runtime uses watch the same socket.
  Pair pair = MakeTcpPair();
  Thread reader([&] { EXPECT_EQ("a", ReadExactly(pair.a, 1)); });
  Settle();
  EXPECT_TRUE(WriteAll(pair.b, "a"));
  reader.Join();
  Add(pair.a, EPOLLIN);
  EXPECT_EQ(-1, WaitOne(10));
  EXPECT_TRUE(WriteAll(pair.b, "b"));
  EXPECT_NE(-1, WaitOne(-1));
  EXPECT_EQ("b", ReadExactly(pair.a, 1));
}

TEST_F(Epoll, ControlErrors) {
  Pair pair = MakeSocketPair();
  epoll_event event = {};
  EXPECT_ERRNO(ENOENT, epoll_ctl(epoll_, EPOLL_CTL_MOD, pair.a, &event));
  EXPECT_ERRNO(ENOENT, epoll_ctl(epoll_, EPOLL_CTL_DEL, pair.a, &event));
  Add(pair.a, EPOLLIN);
  EXPECT_ERRNO(EEXIST, epoll_ctl(epoll_, EPOLL_CTL_ADD, pair.a, &event));
  EXPECT_ERRNO(EBADF, epoll_ctl(epoll_, EPOLL_CTL_ADD, -1, &event));
  EXPECT_ERRNO(EINVAL, epoll_ctl(epoll_, EPOLL_CTL_ADD, epoll_, &event));
  TempDir directory;
  Fd file(open(directory.MakeFile("f", "").c_str(), O_RDONLY));
  EXPECT_ERRNO(EPERM, epoll_ctl(epoll_, EPOLL_CTL_ADD, file, &event));
}

TEST_F(Epoll, WaitErrors) {
  epoll_event event;
  EXPECT_ERRNO(EINVAL, epoll_wait(epoll_, &event, 0, 0));
  EXPECT_ERRNO(EBADF, epoll_wait(-1, &event, 1, 0));
  Pair pair = MakeSocketPair();
  EXPECT_ERRNO(EINVAL, epoll_wait(pair.a, &event, 1, 0));
  EXPECT_ERRNO(EINVAL, epoll_create(0));
}

TEST_F(Epoll, WaitIsInterruptedByASignal) {
  SignalHandler handler(SIGUSR1, CountSignal, SA_RESTART);
  Event done;
  Thread waiter([&] {
    epoll_event event;
    EXPECT_ERRNO(EINTR, epoll_wait(epoll_, &event, 1, -1));
    done.Post();
  });
  SignalUntil(waiter.handle(), SIGUSR1, &done);
}

TEST_F(Epoll, PwaitMaskLetsAPendingSignalThrough) {
  SignalHandler handler(SIGUSR1, CountSignal);
  Thread([&] {
    SignalBlock block({SIGUSR1});
    pthread_kill(pthread_self(), SIGUSR1);
    sigset_t empty;
    sigemptyset(&empty);
    epoll_event event;
    EXPECT_ERRNO(EINTR, epoll_pwait(epoll_, &event, 1, -1, &empty));
    EXPECT_EQ(1, handled_signals);
  }).Join();
}

TEST_F(Epoll, Pwait2TakesNanoseconds) {
  epoll_event event;
  const timespec timeout = Duration(20);
  Stopwatch watch;
  EXPECT_EQ(0, epoll_pwait2(epoll_, &event, 1, &timeout, nullptr));
  EXPECT_GE(watch.ElapsedMs(), 20);
}

}  // namespace
}  // namespace conformance
