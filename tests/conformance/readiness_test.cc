// poll, ppoll, select and pselect.
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/select.h>

#include <memory>
#include <vector>

#include "tests/conformance/support.h"

namespace conformance {
namespace {

// Polls one descriptor; returns its revents, or -1 if nothing was ready.
int PollOne(int fd, short events, int timeout) {
  pollfd entry = {fd, events, 0};
  const int ready = poll(&entry, 1, timeout);
  EXPECT_OK(ready);
  return ready == 1 ? entry.revents : -1;
}

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

TEST(Poll, WithZeroTimeoutReturnsAtOnce) {
  Pair pair = MakeSocketPair();
  EXPECT_EQ(-1, PollOne(pair.a, POLLIN, 0));
  EXPECT_EQ(POLLOUT, PollOne(pair.a, POLLIN | POLLOUT, 0));
}

TEST(Poll, FiniteTimeoutIsNotEarly) {
  Pair pair = MakeSocketPair();
  Stopwatch watch;
  EXPECT_EQ(-1, PollOne(pair.a, POLLIN, 30));
  EXPECT_GE(watch.ElapsedMs(), 30);
}

TEST(Poll, NoDescriptorsIsASleep) {
  Stopwatch watch;
  EXPECT_EQ(0, poll(nullptr, 0, 25));
  EXPECT_GE(watch.ElapsedMs(), 25);
}

TEST(Poll, InfiniteWaitIsEndedByData) {
  Pair pair = MakeTcpPair();
  WhileBlocked([&] { EXPECT_EQ(POLLIN, PollOne(pair.a, POLLIN, -1)); },
               [&] { EXPECT_EQ(1, send(pair.b, "x", 1, 0)); });
  EXPECT_EQ(POLLIN, PollOne(pair.a, POLLIN, -1));
}

TEST(Poll, IsLevelTriggered) {
  Pair pair = MakeTcpPair();
  EXPECT_TRUE(WriteAll(pair.b, "abcdef"));
  for (int i = 0; i < 6; ++i) {
    EXPECT_EQ(POLLIN, PollOne(pair.a, POLLIN, -1));
    EXPECT_EQ(POLLIN, PollOne(pair.a, POLLIN, 0));
    char c;
    EXPECT_EQ(1, read(pair.a, &c, 1));
  }
  EXPECT_EQ(-1, PollOne(pair.a, POLLIN, 0));
}

TEST(Poll, AfterAShortReadWaitsForTheNextData) {
  Pair pair = MakeTcpPair();
  for (int i = 0; i < 20; ++i) {
    Thread writer([&] { EXPECT_EQ(1, send(pair.b, "x", 1, 0)); });
    EXPECT_EQ(POLLIN, PollOne(pair.a, POLLIN, -1));
    char buffer[64];
    EXPECT_EQ(1, recv(pair.a, buffer, sizeof buffer, 0));
    EXPECT_EQ(-1, PollOne(pair.a, POLLIN, 0));
  }
}

TEST(Poll, WriterWaitsUntilThereIsRoom) {
  Pair pair = MakeSocketPair();
  const size_t filled = FillUp(pair.a);
  EXPECT_EQ(-1, PollOne(pair.a, POLLOUT, 0));
  WhileBlocked([&] { EXPECT_EQ(POLLOUT, PollOne(pair.a, POLLOUT, -1)); },
               [&] { ReadExactly(pair.b, filled); });
}

TEST(Poll, KnowsTheDirectionsByTheirOtherNames) {
  Pair tcp = MakeTcpPair();
  WhileBlocked([&] { EXPECT_EQ(POLLRDNORM, PollOne(tcp.a, POLLRDNORM, -1)); },
               [&] { EXPECT_EQ(1, send(tcp.b, "x", 1, 0)); });
  char buffer[64];
  EXPECT_EQ(1, recv(tcp.a, buffer, sizeof buffer, 0));
  WhileBlocked([&] { EXPECT_EQ(POLLIN | POLLRDNORM, PollOne(tcp.a, POLLIN | POLLRDNORM, -1)); },
               [&] { EXPECT_EQ(1, send(tcp.b, "x", 1, 0)); });
  Pair local = MakeSocketPair();
  const size_t filled = FillUp(local.a);
  WhileBlocked([&] { EXPECT_EQ(POLLWRNORM, PollOne(local.a, POLLWRNORM, -1)); },
               [&] { ReadExactly(local.b, filled); });
}

TEST(Poll, BothDirectionsAreReportedTogether) {
  Pair pair = MakeSocketPair();
  EXPECT_EQ(1, write(pair.b, "x", 1));
  EXPECT_EQ(POLLIN | POLLOUT, PollOne(pair.a, POLLIN | POLLOUT, -1));
}

TEST(Poll, PeerCloseIsReadableAndHangsUp) {
  Pair tcp = MakeTcpPair();
  tcp.b.Reset();
  EXPECT_EQ(POLLIN | POLLRDHUP, PollOne(tcp.a, POLLIN | POLLRDHUP, -1));
  Pair local = MakeSocketPair();
  local.b.Reset();
  EXPECT_EQ(POLLIN | POLLHUP | POLLRDHUP, PollOne(local.a, POLLIN | POLLRDHUP, -1));
  Pair pipe = MakePipe();
  pipe.b.Reset();
  EXPECT_EQ(POLLHUP, PollOne(pipe.a, POLLIN, -1));
}

TEST(Poll, HangUpWakesAWaiterThatAskedForNothing) {
  Pair pair = MakeSocketPair();
  WhileBlocked([&] { EXPECT_EQ(POLLHUP, PollOne(pair.a, 0, -1)); }, [&] { pair.b.Reset(); });
}

TEST(Poll, PipeWithoutReaderIsAnError) {
  Pair pipe = MakePipe();
  FillUp(pipe.b);
  WhileBlocked([&] { EXPECT_NE(0, PollOne(pipe.b, POLLOUT, -1) & POLLERR); },
               [&] { pipe.a.Reset(); });
}

TEST(Poll, HalfCloseIsRdhupOnly) {
  Pair pair = MakeTcpPair();
  WhileBlocked([&] { EXPECT_EQ(POLLRDHUP, PollOne(pair.a, POLLRDHUP, -1)); },
               [&] { EXPECT_OK(shutdown(pair.b, SHUT_WR)); });
}

TEST(Poll, ResetIsErrorAndHangUp) {
  Pair pair = MakeTcpPair();
  const linger reset = {1, 0};
  EXPECT_OK(setsockopt(pair.b, SOL_SOCKET, SO_LINGER, &reset, sizeof reset));
  WhileBlocked(
      [&] {
        const int events = PollOne(pair.a, POLLIN, -1);
        EXPECT_EQ(POLLIN | POLLERR | POLLHUP, events);
      },
      [&] { pair.b.Reset(); });
}

TEST(Poll, OutOfBandDataIsPriority) {
  Pair pair = MakeTcpPair();
  WhileBlocked([&] { EXPECT_EQ(POLLPRI, PollOne(pair.a, POLLPRI, -1)); },
               [&] { EXPECT_EQ(1, send(pair.b, "!", 1, MSG_OOB)); });
}

TEST(Poll, ListenerIsReadableWhenAConnectionWaits) {
  Listener listener;
  Fd client;
  WhileBlocked([&] { EXPECT_EQ(POLLIN, PollOne(listener.fd(), POLLIN, -1)); },
               [&] { client = listener.Connect(); });
  Fd server(accept(listener.fd(), nullptr, nullptr));
  EXPECT_EQ(-1, PollOne(listener.fd(), POLLIN, 0));
}

TEST(Poll, InvalidDescriptorIsNvalAtOnce) {
  Pair pair = MakeSocketPair();
  pollfd entries[2] = {{pair.a, POLLIN, 0}, {19998, POLLIN, 0}};
  EXPECT_EQ(1, poll(entries, 2, -1));
  EXPECT_EQ(0, entries[0].revents);
  EXPECT_EQ(POLLNVAL, entries[1].revents);
}

TEST(Poll, NegativeDescriptorsAreIgnored) {
  Pair pair = MakeSocketPair();
  pollfd entries[3] = {{-1, POLLIN, 77}, {pair.a, POLLOUT, 0}, {-5, POLLIN, 77}};
  EXPECT_EQ(1, poll(entries, 3, -1));
  EXPECT_EQ(0, entries[0].revents);
  EXPECT_EQ(POLLOUT, entries[1].revents);
  EXPECT_EQ(0, entries[2].revents);
  entries[1].fd = -1;
  Stopwatch watch;
  EXPECT_EQ(0, poll(entries, 3, 20));
  EXPECT_GE(watch.ElapsedMs(), 20);
}

TEST(Poll, RegularFilesAreAlwaysReady) {
  TempDir directory;
  Fd file(open(directory.MakeFile("f", "").c_str(), O_RDWR));
  EXPECT_EQ(POLLIN | POLLOUT, PollOne(file, POLLIN | POLLOUT, -1));
}

TEST(Poll, ManyDescriptorsOfWhichTheLastBecomesReady) {
  std::vector<Pair> pairs;
  std::vector<pollfd> entries;
  for (int i = 0; i < 500; ++i) {
    pairs.push_back(MakeSocketPair());
    entries.push_back({pairs.back().a, POLLIN, 0});
  }
  WhileBlocked(
      [&] {
        EXPECT_EQ(1, poll(entries.data(), entries.size(), -1));
        EXPECT_EQ(POLLIN, entries.back().revents);
        EXPECT_EQ(0, entries.front().revents);
      },
      [&] { EXPECT_EQ(1, write(pairs.back().b, "x", 1)); });
}

TEST(Poll, SameDescriptorTwiceReportsInBothEntries) {
  Pair pair = MakeSocketPair();
  pollfd entries[2] = {{pair.a, POLLIN, 0}, {pair.a, POLLOUT | POLLIN, 0}};
  EXPECT_TRUE(WriteAll(pair.b, "x"));
  EXPECT_EQ(2, poll(entries, 2, -1));
  EXPECT_EQ(POLLIN, entries[0].revents);
  EXPECT_EQ(POLLIN | POLLOUT, entries[1].revents);
}

TEST(Poll, MixtureOfKindsIsWokenByEach) {
  Pair tcp = MakeTcpPair();
  Pair pipe = MakePipe();
  Fd event(eventfd(0, 0));
  for (int which = 0; which < 3; ++which) {
    pollfd entries[3] = {{tcp.a, POLLIN, 0}, {pipe.a, POLLIN, 0}, {event, POLLIN, 0}};
    WhileBlocked(
        [&] {
          EXPECT_EQ(1, poll(entries, 3, -1));
          for (int i = 0; i < 3; ++i) EXPECT_EQ(i == which ? POLLIN : 0, entries[i].revents);
        },
        [&] {
          const uint64_t one = 1;
          const int fd = which == 0 ? tcp.b : which == 1 ? pipe.b : event;
          EXPECT_EQ(8, write(fd, &one, 8));
        });
    char buffer[8];
    EXPECT_EQ(8, read(entries[which].fd, buffer, 8));
  }
}

TEST(Poll, TwoThreadsPollingOneDescriptorAreBothWoken) {
  Pair pair = MakeTcpPair();
  Event waiting;
  auto body = [&] {
    waiting.Post();
    EXPECT_EQ(POLLIN, PollOne(pair.a, POLLIN, -1));
  };
  Thread first(body);
  Thread second(body);
  waiting.Wait(2);
  Settle();
  EXPECT_EQ(1, send(pair.b, "x", 1, 0));
}

TEST(Poll, DataTakenByAnotherThreadAfterwardsIsGone) {
  Pair pair = MakeTcpPair();
  EXPECT_TRUE(WriteAll(pair.b, "x"));
  EXPECT_EQ(POLLIN, PollOne(pair.a, POLLIN, -1));
  Thread([&] { EXPECT_EQ("x", ReadExactly(pair.a, 1)); }).Join();
  EXPECT_EQ(-1, PollOne(pair.a, POLLIN, 20));
}

TEST(Poll, ReaderAndPollerOfOneSocketBothMakeProgress) {
  Pair pair = MakeTcpPair();
  std::atomic<int> taken{0};
  Thread reader([&] {
    char c;
    while (recv(pair.a, &c, 1, 0) == 1) ++taken;
  });
  Thread poller([&] {
    for (;;) {
      if ((PollOne(pair.a, POLLIN | POLLRDHUP, -1) & POLLRDHUP) != 0) break;
      sched_yield();
    }
  });
  for (int i = 0; i < 50; ++i) {
    EXPECT_EQ(1, send(pair.b, "x", 1, 0));
    if (i % 10 == 0) SleepMs(1);
  }
  EXPECT_OK(shutdown(pair.b, SHUT_WR));
  reader.Join();
  EXPECT_EQ(50, taken);
}

TEST(Poll, IsInterruptedByASignalEvenWithSaRestart) {
  SignalHandler handler(SIGUSR1, CountSignal, SA_RESTART);
  Event done;
  Thread poller([&] {
    EXPECT_ERRNO(EINTR, poll(nullptr, 0, -1));
    done.Post();
  });
  SignalUntil(poller.handle(), SIGUSR1, &done);
}

TEST(Poll, TooManyEntriesAreInvalid) {
  rlimit limit;
  ASSERT_OK(getrlimit(RLIMIT_NOFILE, &limit));
  std::vector<pollfd> entries(limit.rlim_cur + 1, pollfd{-1, 0, 0});
  EXPECT_ERRNO(EINVAL, poll(entries.data(), entries.size(), 0));
}

TEST(Poll, BadArrayFaults) {
  // Volatile, or the compiler would warn of what the test is about.
  pollfd* volatile nowhere = reinterpret_cast<pollfd*>(8);
  EXPECT_ERRNO(EFAULT, poll(nowhere, 1, 0));
}

TEST(Ppoll, TimesOutNotEarlyAndChecksItsTime) {
  timespec timeout = Duration(25);
  Stopwatch watch;
  EXPECT_EQ(0, ppoll(nullptr, 0, &timeout, nullptr));
  EXPECT_GE(watch.ElapsedMs(), 25);
  timeout = {0, 1000000000};
  EXPECT_ERRNO(EINVAL, ppoll(nullptr, 0, &timeout, nullptr));
}

TEST(Ppoll, WithoutTimeWaitsForData) {
  Pair pair = MakeSocketPair();
  WhileBlocked(
      [&] {
        pollfd entry = {pair.a, POLLIN, 0};
        EXPECT_EQ(1, ppoll(&entry, 1, nullptr, nullptr));
      },
      [&] { EXPECT_EQ(1, write(pair.b, "x", 1)); });
}

TEST(Ppoll, MaskLetsAPendingSignalThroughAndIsRestored) {
  SignalHandler handler(SIGUSR1, CountSignal);
  Thread([] {
    SignalBlock block({SIGUSR1});
    EXPECT_EQ(0, pthread_kill(pthread_self(), SIGUSR1));
    EXPECT_EQ(0, handled_signals);
    sigset_t empty;
    sigemptyset(&empty);
    EXPECT_ERRNO(EINTR, ppoll(nullptr, 0, nullptr, &empty));
    EXPECT_EQ(1, handled_signals);
    sigset_t now;
    pthread_sigmask(SIG_BLOCK, nullptr, &now);
    EXPECT_EQ(1, sigismember(&now, SIGUSR1));
  }).Join();
}

fd_set SetOf(std::initializer_list<int> fds) {
  fd_set set;
  FD_ZERO(&set);
  for (int fd : fds) FD_SET(fd, &set);
  return set;
}

TEST(Select, TimesOutNotEarlyAndClearsItsSets) {
  Pair pair = MakeSocketPair();
  fd_set set = SetOf({pair.a});
  timeval timeout = {0, 30000};
  Stopwatch watch;
  EXPECT_EQ(0, select(pair.a + 1, &set, nullptr, nullptr, &timeout));
  EXPECT_GE(watch.ElapsedMs(), 30);
  EXPECT_FALSE(FD_ISSET(pair.a, &set));
}

TEST(Select, NothingToWaitForIsASleep) {
  timeval timeout = {0, 20000};
  Stopwatch watch;
  EXPECT_EQ(0, select(0, nullptr, nullptr, nullptr, &timeout));
  EXPECT_GE(watch.ElapsedMs(), 20);
  // Linux writes back what is left.
  EXPECT_EQ(0, timeout.tv_sec);
  EXPECT_EQ(0, timeout.tv_usec);
}

TEST(Select, IsWokenByData) {
  Pair pair = MakeTcpPair();
  Pair idle = MakeTcpPair();
  WhileBlocked(
      [&] {
        fd_set set = SetOf({pair.a, idle.a});
        EXPECT_EQ(1, select(std::max<int>(pair.a, idle.a) + 1, &set, nullptr, nullptr, nullptr));
        EXPECT_TRUE(FD_ISSET(pair.a, &set));
        EXPECT_FALSE(FD_ISSET(idle.a, &set));
      },
      [&] { EXPECT_EQ(1, send(pair.b, "x", 1, 0)); });
}

TEST(Select, CountsADescriptorOnceForEachSet) {
  Pair pair = MakeSocketPair();
  EXPECT_TRUE(WriteAll(pair.b, "x"));
  fd_set readable = SetOf({pair.a});
  fd_set writable = SetOf({pair.a});
  EXPECT_EQ(2, select(pair.a + 1, &readable, &writable, nullptr, nullptr));
}

TEST(Select, OutOfBandDataIsAnException) {
  Pair pair = MakeTcpPair();
  WhileBlocked(
      [&] {
        fd_set set = SetOf({pair.a});
        EXPECT_EQ(1, select(pair.a + 1, nullptr, nullptr, &set, nullptr));
      },
      [&] { EXPECT_EQ(1, send(pair.b, "!", 1, MSG_OOB)); });
}

TEST(Select, Errors) {
  // Linux looks at no number beyond its table of descriptors, so that has to reach further.
  Pair pair = MakeSocketPair();
  Fd high(fcntl(pair.a, F_DUPFD, 901));
  fd_set set = SetOf({900});
  timeval now = {0, 0};
  EXPECT_ERRNO(EBADF, select(901, &set, nullptr, nullptr, &now));
  EXPECT_ERRNO(EINVAL, select(-1, nullptr, nullptr, nullptr, &now));
  timeval negative = {-1, 0};
  EXPECT_ERRNO(EINVAL, select(0, nullptr, nullptr, nullptr, &negative));
}

TEST(Select, IsInterruptedByASignal) {
  SignalHandler handler(SIGUSR1, CountSignal, SA_RESTART);
  Event done;
  Thread waiter([&] {
    EXPECT_ERRNO(EINTR, select(0, nullptr, nullptr, nullptr, nullptr));
    done.Post();
  });
  SignalUntil(waiter.handle(), SIGUSR1, &done);
}

TEST(Pselect, TimesOutNotEarlyAndKeepsItsTime) {
  const timespec timeout = Duration(20);
  Stopwatch watch;
  EXPECT_EQ(0, pselect(0, nullptr, nullptr, nullptr, &timeout, nullptr));
  EXPECT_GE(watch.ElapsedMs(), 20);
  EXPECT_EQ(20000000, timeout.tv_nsec);
}

TEST(Pselect, MaskLetsAPendingSignalThrough) {
  SignalHandler handler(SIGUSR1, CountSignal);
  Thread([] {
    SignalBlock block({SIGUSR1});
    pthread_kill(pthread_self(), SIGUSR1);
    sigset_t empty;
    sigemptyset(&empty);
    EXPECT_ERRNO(EINTR, pselect(0, nullptr, nullptr, nullptr, nullptr, &empty));
    EXPECT_EQ(1, handled_signals);
  }).Join();
}

}  // namespace
}  // namespace conformance
