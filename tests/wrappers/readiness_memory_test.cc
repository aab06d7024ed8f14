// What is remembered of descriptors: invariants P1 to P4 (runtime/descriptors.h) and the short-read
// rule, seen in the counters.
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/socket.h>

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "tests/wrappers/support.h"

namespace bobbin_test {
namespace {

bool OnEpoll() { return bobbin::CurrentOptions().poller == bobbin::PollerKind::kEpoll; }

// Answers each request of `size` bytes with as many until the end.
void Serve(int fd, size_t size) {
  std::vector<char> buffer(4096);
  size_t have = 0;
  for (;;) {
    ssize_t got = recv(fd, buffer.data(), buffer.size(), 0);
    if (got <= 0) return;
    have += static_cast<size_t>(got);
    for (; have >= size; have -= size) {
      if (send(fd, buffer.data(), size, 0) != static_cast<ssize_t>(size)) return;
    }
  }
}

void Ask(int fd, size_t size) {
  std::vector<char> buffer(4096);
  ASSERT_EQ(static_cast<ssize_t>(size), send(fd, buffer.data(), size, 0));
  for (size_t have = 0; have < size;) {
    ssize_t got = recv(fd, buffer.data(), buffer.size(), 0);
    ASSERT_GT(got, 0);
    have += static_cast<size_t>(got);
  }
}

// Long enough for the next park to poll.
void RunUntilAPollIsDue() {
  for (int64_t end = conformance::NowNs() + 20'000'000; conformance::NowNs() < end;) {
  }
}

// P1
TEST(ReadinessMemory, DescriptorIsRegisteredOnceForAllItsWaits) {
  if (!OnEpoll()) GTEST_SKIP() << "the poll set holds what is waited for, by design";
  Pair pair = conformance::MakeSocketPair();
  uint64_t before = Statistics().poll_set;
  UserThread echo([&] { Serve(pair.a, 10); });
  for (int i = 0; i < 50; ++i) Ask(pair.b, 10);
  // The other direction, too.
  UserThread reader([&] {
    conformance::Settle();
    conformance::ReadExactly(pair.a, 1 << 20);
  });
  EXPECT_EQ(before + 2, Statistics().poll_set);
  shutdown(pair.b, SHUT_WR);
  echo.Join();
  reader.Join();
  EXPECT_EQ(before + 2, Statistics().poll_set);
  pair.a.Reset();
  pair.b.Reset();
  EXPECT_EQ(before, Statistics().poll_set);
}

TEST(ReadinessMemory, ClosedAndReusedNumbersLeaveNothingInThePollSet) {
  uint64_t before = Statistics().poll_set;
  for (int i = 0; i < 200; ++i) {
    Pair pair = conformance::MakeSocketPair();
    UserThread echo([&] { Serve(pair.a, 3); });
    Ask(pair.b, 3);
    shutdown(pair.b, SHUT_WR);
  }
  EXPECT_EQ(before, Statistics().poll_set);
}

// The short-read rule: a request and its reply make no attempt that the kernel answers with EAGAIN.
TEST(ReadinessMemory, KeepAliveRequestsOverTcpMakeNoFailedAttempt) {
  Pair pair = conformance::MakeTcpPair();
  UserThread server([&] { Serve(pair.a, 100); });
  Ask(pair.b, 100);  // what had to be learnt is learnt
  uint64_t before = Statistics().try_again;
  for (int i = 0; i < 500; ++i) Ask(pair.b, 100);
  EXPECT_EQ(before, Statistics().try_again);
  shutdown(pair.b, SHUT_WR);
}

TEST(ReadinessMemory, KeepAliveRequestsWaitedForWithPollMakeNoFailedAttempt) {
  Pair pair = conformance::MakeTcpPair();
  UserThread server([&] {
    std::vector<char> buffer(4096);
    for (;;) {
      pollfd one = {pair.a.get(), POLLIN, 0};
      EXPECT_EQ(1, poll(&one, 1, 60'000));
      ssize_t got = recv(pair.a, buffer.data(), buffer.size(), 0);
      if (got <= 0) return;
      EXPECT_EQ(got, send(pair.a, buffer.data(), static_cast<size_t>(got), 0));
    }
  });
  Ask(pair.b, 100);
  uint64_t before = Statistics().try_again;
  for (int i = 0; i < 500; ++i) Ask(pair.b, 100);
  EXPECT_EQ(before, Statistics().try_again);
  shutdown(pair.b, SHUT_WR);
}

// P2: what came together with the data is not forgotten by the rule.
TEST(ReadinessMemory, DataAndEndInOneEdgeGiveBoth) {
  for (int i = 0; i < 50; ++i) {
    Pair pair = conformance::MakeTcpPair();
    Event warm;
    UserThread reader([&] {
      char buffer[1000];
      EXPECT_EQ(2, recv(pair.a, buffer, sizeof buffer, 0));
      warm.Post();
      EXPECT_EQ(5, recv(pair.a, buffer, sizeof buffer, 0));
      EXPECT_EQ(0, recv(pair.a, buffer, sizeof buffer, 0));
      EXPECT_EQ(0, recv(pair.a, buffer, sizeof buffer, 0)) << "the end stays";
    });
    ASSERT_EQ(2, send(pair.b, "ab", 2, 0));
    warm.Wait();
    // Both are there before the scheduler looks.
    ASSERT_EQ(5, bobbin::RawSyscall(SYS_sendto, pair.b.get(), "final", 5, 0, nullptr, 0));
    ASSERT_EQ(0, bobbin::RawSyscall(SYS_shutdown, pair.b.get(), SHUT_WR));
  }
}

TEST(ReadinessMemory, EndThatComesBetweenTwoShortReadsIsSeen) {
  Pair pair = conformance::MakeTcpPair();
  char buffer[1000];
  ASSERT_EQ(2, send(pair.b, "ab", 2, 0));
  ASSERT_EQ(2, recv(pair.a, buffer, sizeof buffer, 0));
  ASSERT_EQ(0, bobbin::RawSyscall(SYS_shutdown, pair.b.get(), SHUT_WR));
  EXPECT_EQ(0, recv(pair.a, buffer, sizeof buffer, 0));
}

TEST(ReadinessMemory, HangUpSeenWhileNobodyWaitedIsRemembered) {
  Pair pair = conformance::MakeTcpPair();
  char buffer[1000];
  UserThread reader([&] { EXPECT_EQ(2, recv(pair.a, buffer, sizeof buffer, 0)); });
  LetOthersRun();
  ASSERT_EQ(2, send(pair.b, "ab", 2, 0));
  reader.Join();
  ASSERT_EQ(3, send(pair.b, "cde", 3, 0));
  shutdown(pair.b, SHUT_WR);
  conformance::Settle();  // the scheduler polls: the edge is taken, with nobody to wake
  EXPECT_EQ(3, recv(pair.a, buffer, sizeof buffer, 0));
  EXPECT_EQ(0, recv(pair.a, buffer, sizeof buffer, 0));
}

// Reads stop early at the urgent mark: a short one there proves nothing.
TEST(ReadinessMemory, ShortReadAtAnUrgentMarkDoesNotWaitForAnEdge) {
  Pair pair = conformance::MakeTcpPair();
  char buffer[1000];
  UserThread reader([&] {
    EXPECT_EQ(1, recv(pair.a, buffer, sizeof buffer, 0));
    EXPECT_EQ(3, recv(pair.a, buffer, sizeof buffer, 0)) << "up to the mark";
    EXPECT_EQ(3, recv(pair.a, buffer, sizeof buffer, 0)) << "past it";
  });
  LetOthersRun();
  ASSERT_EQ(1, send(pair.b, "x", 1, 0));
  LetOthersRun();
  ASSERT_EQ(3, bobbin::RawSyscall(SYS_sendto, pair.b.get(), "abc", 3, 0, nullptr, 0));
  ASSERT_EQ(1, bobbin::RawSyscall(SYS_sendto, pair.b.get(), "!", 1, MSG_OOB, nullptr, 0));
  ASSERT_EQ(3, bobbin::RawSyscall(SYS_sendto, pair.b.get(), "def", 3, 0, nullptr, 0));
  reader.Join();
}

// P3: an event of the file that had the number before is nobody's.
TEST(ReadinessMemory, EventOfAClosedFileUnderAReusedNumberWakesNobody) {
  if (!OnEpoll()) GTEST_SKIP() << "the poll set holds no closed files";
  Pair old = conformance::MakeSocketPair();
  char byte;
  UserThread first([&] { EXPECT_EQ(1, read(old.a, &byte, 1)); });
  LetOthersRun();
  ASSERT_EQ(1, write(old.b, "x", 1));
  first.Join();
  int number = old.a.get();
  // The duplicate keeps the file open and so registered under the old number.
  Fd duplicate(static_cast<int>(bobbin::RawSyscall(SYS_fcntl, number, F_DUPFD_CLOEXEC, 100)));
  ASSERT_OK(duplicate.get());
  old.a.Reset();
  Pair fresh = conformance::MakeSocketPair();
  ASSERT_TRUE(fresh.a.get() == number || fresh.b.get() == number);
  int peer = fresh.a.get() == number ? fresh.b.get() : fresh.a.get();
  UserThread reader([&] {
    char got;
    EXPECT_EQ(1, read(number, &got, 1));
    EXPECT_EQ('n', got);
  });
  LetOthersRun();
  uint64_t before = Statistics().try_again;
  for (int i = 0; i < 10; ++i) {
    ASSERT_EQ(1, bobbin::RawSyscall(SYS_write, old.b.get(), "o", 1));
    conformance::SleepMs(1);  // the scheduler polls
    ASSERT_EQ(1, bobbin::RawSyscall(SYS_read, duplicate.get(), &byte, 1));
  }
  EXPECT_EQ(before, Statistics().try_again) << "the reader was woken for the old file";
  ASSERT_EQ(1, write(peer, "n", 1));
}

// P4: who comes second makes the sole waiter one of several; each is woken by its own.
TEST(ReadinessMemory, WaitersOfOneDescriptorAreEachWokenByTheirOwn) {
  Pair pair = conformance::MakeSocketPair();
  const size_t filled = conformance::FillUp(pair.a);
  std::atomic<int> readable{0}, writable{0};
  auto wait_for = [&](short events, std::atomic<int>* count) {
    struct pollfd one = {pair.a.get(), events, 0};
    EXPECT_EQ(1, poll(&one, 1, -1));
    EXPECT_EQ(events, one.revents);
    ++*count;
  };
  UserThread first([&] { wait_for(POLLIN, &readable); });
  LetOthersRun();
  UserThread second([&] { wait_for(POLLOUT, &writable); });
  LetOthersRun();
  UserThread third([&] { wait_for(POLLIN, &readable); });
  LetOthersRun();
  conformance::ReadExactly(pair.b, filled);
  second.Join();
  EXPECT_EQ(0, readable);
  ASSERT_EQ(1, send(pair.b, "x", 1, 0));
  first.Join();
  third.Join();
  EXPECT_EQ(2, readable);
  EXPECT_EQ(1, writable);
}

// P4: nor is a sole waiter that was woken, and has not run yet, lost when another comes.
TEST(ReadinessMemory, WaiterThatWasWokenIsNotLostWhenAnotherComesBeforeItRuns) {
  Pair pair = conformance::MakeSocketPair();
  Event go;
  UserThread reader([&] {
    struct pollfd one = {pair.a.get(), POLLIN, 0};
    EXPECT_EQ(1, poll(&one, 1, -1));
    EXPECT_EQ(POLLIN, one.revents);
  });
  UserThread other([&] {
    go.Wait();
    struct pollfd one = {pair.a.get(), POLLPRI, 0};
    EXPECT_EQ(0, poll(&one, 1, 20));
  });
  LetOthersRun();
  ASSERT_EQ(1, bobbin::RawSyscall(SYS_write, pair.b.get(), "x", 1));
  RunUntilAPollIsDue();  // the other one is ready before the reader is
  go.Post();
  reader.Join();
  other.Join();
}

// A reader that was woken holds on to its file, as in the kernel, whoever runs before it.
TEST(ReadinessMemory, ReaderThatWasWokenReadsItsFileThoughTheNumberIsReusedBeforeItRuns) {
  Pair old = conformance::MakeSocketPair();
  Pair fresh;
  int number = old.a.get();
  char got = 0;
  Event go;
  UserThread reader([&] { EXPECT_EQ(1, recv(number, &got, 1, 0)); });
  UserThread closer([&] {
    go.Wait();
    old.a.Reset();
    fresh = conformance::MakeSocketPair();
    ASSERT_EQ(number, fresh.a.get());
    ASSERT_EQ(1, bobbin::RawSyscall(SYS_write, fresh.b.get(), "w", 1));
  });
  LetOthersRun();
  ASSERT_EQ(1, bobbin::RawSyscall(SYS_write, old.b.get(), "o", 1));
  RunUntilAPollIsDue();  // the closer is ready before the reader is
  go.Post();
  closer.Join();
  reader.Join();
  EXPECT_EQ('o', got);
}

TEST(ReadinessMemory, ReusedNumberStartsWithoutTheHangUpOfTheOld) {
  for (int i = 0; i < 20; ++i) {
    {
      Pair old = conformance::MakeTcpPair();
      char byte;
      UserThread closer([&] { shutdown(old.b, SHUT_WR); });
      EXPECT_EQ(0, recv(old.a, &byte, 1, 0));
    }
    // On the same numbers; a hang-up remembered here would cost each short read an attempt more.
    Pair fresh = conformance::MakeTcpPair();
    UserThread server([&] { Serve(fresh.a, 100); });
    Ask(fresh.b, 100);
    uint64_t before = Statistics().try_again;
    for (int round = 0; round < 20; ++round) Ask(fresh.b, 100);
    EXPECT_EQ(before, Statistics().try_again);
    shutdown(fresh.b, SHUT_WR);
  }
}

// What is new may be ready: it is tried before it is waited for.
TEST(ReadinessMemory, ReusedNumberIsTriedAtOnce) {
  {
    Pair old = conformance::MakeTcpPair();
    char bytes[100];
    UserThread reader([&] { EXPECT_EQ(1, recv(old.a, bytes, sizeof bytes, 0)); });
    LetOthersRun();
    ASSERT_EQ(1, send(old.b, "x", 1, 0));
  }
  Pair fresh = conformance::MakeTcpPair();
  ASSERT_EQ(1, send(fresh.b, "x", 1, 0));
  char byte;
  uint64_t parks = Statistics().parks;
  EXPECT_EQ(1, recv(fresh.a, &byte, 1, 0));
  EXPECT_EQ(parks, Statistics().parks);
}

// A listening socket with many waiters wakes one of them a connection.
TEST(Accepting, EachConnectionWakesOneThread) {
  constexpr int kThreads = 100;
  constexpr int kConnections = 50;
  conformance::Listener listener;
  std::atomic<int> accepted{0};
  std::vector<Fd> connections(kConnections);
  std::vector<std::unique_ptr<UserThread>> threads;
  Event one;
  for (int t = 0; t < kThreads; ++t) {
    threads.push_back(std::make_unique<UserThread>([&] {
      for (;;) {
        Fd fd(accept(listener.fd(), nullptr, nullptr));
        if (fd.get() < 0) return;
        ++accepted;
        one.Post();
      }
    }));
  }
  LetOthersRun();
  bobbin::Statistics before = Statistics();
  std::vector<Fd> clients;
  for (int i = 0; i < kConnections; ++i) {
    clients.push_back(listener.Connect());
    one.Wait();
  }
  bobbin::Statistics after = Statistics();
  EXPECT_EQ(uint64_t{kConnections}, after.accepts - before.accepts);
  // The one that was woken, its next wait, and the connector's own waits.
  EXPECT_LE(after.parks - before.parks, uint64_t{3 * kConnections});
  EXPECT_EQ(before.try_again, after.try_again) << "an accept that fails costs ten polls";
  shutdown(listener.fd(), SHUT_RDWR);
  threads.clear();
  EXPECT_EQ(kConnections, accepted.load());
}

// What was there before the call says nothing of what follows.
TEST(Accepting, NextCallAfterAConnectionThatWasThereMakesNoFailedAttempt) {
  conformance::Listener listener;
  Fd first = listener.Connect();
  uint64_t before = Statistics().try_again;
  Event accepted;
  UserThread server([&] {
    for (int i = 0; i < 2; ++i) {
      Fd fd(accept(listener.fd(), nullptr, nullptr));
      EXPECT_OK(fd.get());
      accepted.Post();
    }
  });
  accepted.Wait();
  LetOthersRun();
  Fd second = listener.Connect();
  accepted.Wait();
  EXPECT_EQ(before, Statistics().try_again);
}

TEST(Accepting, BurstOfConnectionsIsTakenByAsManyThreadsWithoutFurtherEvents) {
  constexpr int kConnections = 100;
  conformance::Listener listener(AF_INET, kConnections);
  std::vector<std::unique_ptr<UserThread>> threads;
  for (int t = 0; t < kConnections; ++t) {
    threads.push_back(std::make_unique<UserThread>([&] {
      Fd fd(accept(listener.fd(), nullptr, nullptr));
      EXPECT_OK(fd.get());
    }));
  }
  LetOthersRun();
  std::vector<Fd> clients;
  for (int i = 0; i < kConnections; ++i) {
    // Past Bobbin, so that nothing is polled until all are there.
    Fd client(static_cast<int>(bobbin::RawSyscall(SYS_socket, AF_INET, SOCK_STREAM, 0)));
    ASSERT_EQ(0, bobbin::RawSyscall(SYS_connect, client.get(), listener.address().get(),
                                    listener.address().size));
    clients.push_back(std::move(client));
  }
  threads.clear();
}

// It is ready by the signal when the connection comes, and must not become ready once more.
TEST(Accepting, ThreadThatASignalHasWokenGetsTheConnectionThatComesBeforeItRuns) {
  struct sigaction action = {};
  action.sa_handler = [](int) {};
  ASSERT_OK(sigaction(SIGURG, &action, nullptr));
  for (int round = 0; round < 10; ++round) {
    conformance::Listener listener;
    int accepted = 0, interrupted = 0;
    std::vector<std::unique_ptr<UserThread>> threads;
    for (int t = 0; t < 4; ++t) {
      threads.push_back(std::make_unique<UserThread>([&] {
        Fd fd(accept(listener.fd(), nullptr, nullptr));
        ++(fd.get() >= 0 ? accepted : interrupted);
      }));
    }
    LetOthersRun();
    // Past Bobbin, so that nothing is polled until all are interrupted.
    Fd client(static_cast<int>(bobbin::RawSyscall(SYS_socket, AF_INET, SOCK_STREAM, 0)));
    ASSERT_EQ(0, bobbin::RawSyscall(SYS_connect, client.get(), listener.address().get(),
                                    listener.address().size));
    // The latest comer, who is served first, is not the last to become ready.
    for (int t = 3; t >= 0; --t) ASSERT_EQ(0, pthread_kill(threads[t]->handle(), SIGURG));
    RunUntilAPollIsDue();
    sched_yield();
    threads.clear();
    EXPECT_EQ(1, accepted);
    EXPECT_EQ(3, interrupted);
  }
}

// Whoever receives it may take the connection that an event has announced here.
TEST(Accepting, ListenerThatIsPassedWhileThreadsWaitStaysNonBlocking) {
  conformance::Listener listener;
  UserThread server([&] { EXPECT_EQ(-1, accept(listener.fd(), nullptr, nullptr)); });
  LetOthersRun();
  Pair channel = conformance::MakeSocketPair();
  char byte = 'd';
  iovec part = {&byte, 1};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  msghdr message = {};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  cmsghdr* header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(sizeof(int));
  int fd = listener.fd();
  memcpy(CMSG_DATA(header), &fd, sizeof fd);
  ASSERT_EQ(1, sendmsg(channel.a, &message, 0));
  EXPECT_NE(0, bobbin::RawSyscall(SYS_fcntl, fd, F_GETFL) & O_NONBLOCK);
  EXPECT_EQ(0, fcntl(fd, F_GETFL) & O_NONBLOCK);
  shutdown(fd, SHUT_RDWR);
}

TEST(Accepting, ConnectionsOfAListenerSharedByTwoSchedulersAreEachAcceptedOnce) {
  UseSchedulers(2);
  constexpr int kConnections = 200;
  conformance::Listener listener;
  std::atomic<int> accepted{0};
  std::vector<std::unique_ptr<UserThread>> threads;
  Event one;
  for (int t = 0; t < 10; ++t) {
    threads.push_back(std::make_unique<UserThread>([&] {
      for (;;) {
        Fd fd(accept(listener.fd(), nullptr, nullptr));
        if (fd.get() < 0) return;
        ++accepted;
        one.Post();
      }
    }));
  }
  for (int i = 0; i < kConnections; ++i) {
    Fd client = listener.Connect();
    one.Wait();
  }
  EXPECT_EQ(kConnections, accepted.load());
  shutdown(listener.fd(), SHUT_RDWR);
  threads.clear();
}

// Room on a socket that a worker found full may come before the thread hears of the worker: here
// another thread keeps the scheduler from looking while both happen.
class SendfileRoomTest : public testing::TestWithParam<bobbin::SendfilePolicy> {};

TEST_P(SendfileRoomTest, ThatComesBeforeTheWorkersAnswerIsNotForgotten) {
  bobbin::Options options = bobbin::CurrentOptions();
  options.sendfile = GetParam();
  ASSERT_EQ(0, bobbin::Configure(options));
  constexpr size_t kSize = 3 << 20;
  char path[] = "/tmp/sendfile_room.XXXXXX";
  Fd file(mkstemp(path));
  unlink(path);
  ASSERT_TRUE(conformance::WriteAll(file, std::string(kSize, 'f')));
  Pair pair = conformance::MakeTcpPair();
  int small = 32 * 1024;
  ASSERT_OK(setsockopt(pair.a, SOL_SOCKET, SO_SNDBUF, &small, sizeof small));
  ASSERT_OK(setsockopt(pair.b, SOL_SOCKET, SO_RCVBUF, &small, sizeof small));
  // Lets the socket fill up, then empties it at one go, in turns.
  pid_t drain = conformance::StartChild([&] {
    pair.a.Reset();
    std::vector<char> buffer(256 * 1024);
    size_t got = 0;
    unsigned turn = 0;
    const long pauses[] = {18'000'000, 6'000'000, 15'000'000};  // of the spinner's turn: 12 ms
    for (;;) {
      long n = bobbin::RawSyscall(SYS_recvfrom, pair.b.get(), buffer.data(), buffer.size(),
                                  MSG_DONTWAIT, nullptr, nullptr);
      if (n == 0) break;
      if (n > 0) {
        got += static_cast<size_t>(n);
        continue;
      }
      pollfd one = {pair.b.get(), POLLIN, 0};
      bobbin::RawSyscall(SYS_poll, &one, 1, -1);
      timespec pause = {0, pauses[turn++ % 3]};
      bobbin::RawSyscall(SYS_nanosleep, &pause, nullptr);
    }
    return got == kSize ? 0 : 1;
  });
  pair.b.Reset();
  std::atomic<bool> sent{false};
  UserThread spinner([&] {
    while (!sent) {
      for (int64_t end = conformance::NowNs() + 12'000'000; conformance::NowNs() < end;) {
      }
      sched_yield();
    }
  });
  off_t offset = 0;
  EXPECT_EQ(static_cast<ssize_t>(kSize), sendfile(pair.a, file, &offset, kSize));
  sent = true;
  spinner.Join();
  pair.a.Reset();
  conformance::ExpectExited(0, conformance::WaitForChild(drain));
}

// The same for splice(2) from a file, whose attempts are a worker's, into a pipe that fills up.
TEST(SpliceRoom, ThatComesBeforeTheWorkersAnswerIsNotForgotten) {
  constexpr size_t kSize = 2 << 20;
  char path[] = "/tmp/splice_room.XXXXXX";
  Fd file(mkstemp(path));
  unlink(path);
  ASSERT_TRUE(conformance::WriteAll(file, std::string(kSize, 'f')));
  Pair pipe = conformance::MakePipe();
  pid_t drain = conformance::StartChild([&] {
    pipe.b.Reset();
    std::vector<char> buffer(256 * 1024);
    size_t got = 0;
    unsigned turn = 0;
    const long pauses[] = {18'000'000, 6'000'000, 15'000'000};
    for (;;) {
      // A pipe is emptied by one read.
      long n = bobbin::RawSyscall(SYS_read, pipe.a.get(), buffer.data(), buffer.size());
      if (n <= 0) break;
      got += static_cast<size_t>(n);
      pollfd one = {pipe.a.get(), POLLIN, 0};
      bobbin::RawSyscall(SYS_poll, &one, 1, -1);
      timespec pause = {0, pauses[turn++ % 3]};
      bobbin::RawSyscall(SYS_nanosleep, &pause, nullptr);
    }
    return got == kSize ? 0 : 1;
  });
  pipe.a.Reset();
  std::atomic<bool> sent{false};
  UserThread spinner([&] {
    while (!sent) {
      for (int64_t end = conformance::NowNs() + 12'000'000; conformance::NowNs() < end;) {
      }
      sched_yield();
    }
  });
  loff_t offset = 0;
  while (offset < static_cast<loff_t>(kSize)) {
    ASSERT_GT(splice(file, &offset, pipe.b, nullptr, kSize - static_cast<size_t>(offset), 0), 0);
  }
  sent = true;
  spinner.Join();
  pipe.b.Reset();
  conformance::ExpectExited(0, conformance::WaitForChild(drain));
}

const char* PolicyName(bobbin::SendfilePolicy policy) {
  static constexpr const char* kNames[] = {"Inline", "Poll", "Nonblocking", "Blocking"};
  return kNames[static_cast<int>(policy)];
}

INSTANTIATE_TEST_SUITE_P(Policies, SendfileRoomTest,
                         testing::Values(bobbin::SendfilePolicy::kInline,
                                         bobbin::SendfilePolicy::kPoll,
                                         bobbin::SendfilePolicy::kNonblocking,
                                         bobbin::SendfilePolicy::kBlocking),
                         [](const auto& policy) { return PolicyName(policy.param); });

}  // namespace
}  // namespace bobbin_test
