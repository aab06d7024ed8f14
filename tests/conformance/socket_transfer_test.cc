// Sending and receiving: every call, every flag that changes what it does.
#include <netinet/tcp.h>
#include <sys/ioctl.h>
#include <sys/uio.h>

#include <memory>
#include <vector>

#include "tests/conformance/support.h"

namespace conformance {
namespace {

// Runs each test over a unix pair, TCP over IPv4 and TCP over IPv6.
enum class Kind { kUnix, kTcp4, kTcp6 };

class Stream : public testing::TestWithParam<Kind> {
 protected:
  void SetUp() override {
    if (GetParam() == Kind::kTcp6 && !HasIpv6()) GTEST_SKIP() << "no IPv6 loopback";
    pair_ = GetParam() == Kind::kUnix ? MakeSocketPair()
                                      : MakeTcpPair(GetParam() == Kind::kTcp4 ? AF_INET : AF_INET6);
  }
  bool IsTcp() const { return GetParam() != Kind::kUnix; }

  // Runs `body` in a thread, waits until it should be blocked, then runs `then`.
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

  Pair pair_;
};

INSTANTIATE_TEST_SUITE_P(Kinds, Stream, testing::Values(Kind::kUnix, Kind::kTcp4, Kind::kTcp6));

TEST_P(Stream, RecvBlocksUntilDataComes) {
  WhileBlocked(
      [&] {
        char buffer[16];
        EXPECT_EQ(5, recv(pair_.a, buffer, sizeof buffer, 0));
        EXPECT_EQ("hello", std::string(buffer, 5));
      },
      [&] { EXPECT_EQ(5, send(pair_.b, "hello", 5, 0)); });
}

TEST_P(Stream, ReadAndReadvBlockToo) {
  WhileBlocked(
      [&] {
        char first[2];
        char second[8];
        EXPECT_EQ(1, read(pair_.a, first, 1));
        iovec parts[2] = {{first, 2}, {second, 8}};
        EXPECT_EQ(4, readv(pair_.a, parts, 2));
        EXPECT_EQ("el", std::string(first, 2));
        EXPECT_EQ("lo", std::string(second, 2));
      },
      [&] {
        EXPECT_EQ(1, write(pair_.b, "h", 1));
        Settle();
        char text[] = "ello";
        iovec parts[2] = {{text, 1}, {text + 1, 3}};
        EXPECT_EQ(4, writev(pair_.b, parts, 2));
      });
}

TEST_P(Stream, RecvfromAndRecvmsgBlockToo) {
  WhileBlocked(
      [&] {
        char buffer[16];
        EXPECT_EQ(1, recvfrom(pair_.a, buffer, 1, 0, nullptr, nullptr));
        iovec part = {buffer, sizeof buffer};
        msghdr message = {};
        message.msg_iov = &part;
        message.msg_iovlen = 1;
        EXPECT_EQ(3, recvmsg(pair_.a, &message, 0));
        EXPECT_EQ("two", std::string(buffer, 3));
      },
      [&] {
        EXPECT_EQ(1, sendto(pair_.b, "1", 1, 0, nullptr, 0));
        Settle();
        char text[] = "two";
        iovec part = {text, 3};
        msghdr message = {};
        message.msg_iov = &part;
        message.msg_iovlen = 1;
        EXPECT_EQ(3, sendmsg(pair_.b, &message, 0));
      });
}

TEST_P(Stream, ShortReadThenMoreDataIsNotMissed) {
  // A read that returned less than asked; the next must wait, and wake for each later piece.
  Thread writer([&] {
    for (int i = 0; i < 50; ++i) {
      EXPECT_EQ(3, send(pair_.b, "abc", 3, 0));
      if (i % 3 == 0) SleepMs(1);
    }
    EXPECT_OK(shutdown(pair_.b, SHUT_WR));
  });
  std::string all;
  char buffer[64];
  ssize_t n;
  while ((n = recv(pair_.a, buffer, sizeof buffer, 0)) > 0) all.append(buffer, n);
  EXPECT_EQ(0, n);
  EXPECT_EQ(150u, all.size());
}

TEST_P(Stream, ReadInSmallPiecesGetsTheRestWithoutWaiting) {
  EXPECT_TRUE(WriteAll(pair_.b, "0123456789"));
  for (int i = 0; i < 10; ++i) {
    char c;
    ASSERT_EQ(1, read(pair_.a, &c, 1));
    EXPECT_EQ('0' + i, c);
  }
}

TEST_P(Stream, DataAndFinInOneEdgeGivesDataThenZero) {
  WhileBlocked(
      [&] {
        char buffer[100];
        EXPECT_EQ(4, recv(pair_.a, buffer, 4, MSG_WAITALL));
        EXPECT_EQ(0, recv(pair_.a, buffer, sizeof buffer, 0));
        EXPECT_EQ(0, recv(pair_.a, buffer, sizeof buffer, 0));
      },
      [&] {
        EXPECT_EQ(4, send(pair_.b, "last", 4, 0));
        pair_.b.Reset();
      });
}

TEST_P(Stream, DataAndFinReadShortGivesZeroNext) {
  EXPECT_EQ(4, send(pair_.b, "last", 4, 0));
  pair_.b.Reset();
  Settle();
  char buffer[100];
  // Less than asked, with the end already there: nothing more will ever announce it.
  EXPECT_EQ(4, recv(pair_.a, buffer, sizeof buffer, 0));
  EXPECT_EQ(0, recv(pair_.a, buffer, sizeof buffer, 0));
}

TEST_P(Stream, CloseOfThePeerWakesAReaderWithZero) {
  WhileBlocked(
      [&] {
        char c;
        EXPECT_EQ(0, recv(pair_.a, &c, 1, 0));
      },
      [&] { pair_.b.Reset(); });
}

TEST_P(Stream, HalfCloseLetsTheOtherDirectionGoOn) {
  EXPECT_OK(shutdown(pair_.b, SHUT_WR));
  EXPECT_EQ("", ReadToEnd(pair_.a));
  EXPECT_TRUE(WriteAll(pair_.a, "answer"));
  EXPECT_EQ("answer", ReadExactly(pair_.b, 6));
  EXPECT_ERRNO(EPIPE, send(pair_.b, "x", 1, MSG_NOSIGNAL));
}

TEST_P(Stream, ShutdownByAnotherThreadWakesAReaderWithZero) {
  WhileBlocked(
      [&] {
        char c;
        EXPECT_EQ(0, recv(pair_.a, &c, 1, 0));
        EXPECT_EQ(0, recv(pair_.a, &c, 1, 0));
      },
      [&] { EXPECT_OK(shutdown(pair_.a, SHUT_RD)); });
}

TEST_P(Stream, ShutdownByAnotherThreadWakesABlockedWriterWithEpipe) {
  FillUp(pair_.a);
  WhileBlocked(
      [&] {
        // TCP may still find room for a byte now and then, by a probe of the closed window.
        while (send(pair_.a, "x", 1, MSG_NOSIGNAL) == 1) {
        }
        EXPECT_EQ(EPIPE, errno);
      },
      [&] { EXPECT_OK(shutdown(pair_.a, SHUT_WR)); });
}

TEST_P(Stream, BlockingWriteToASlowReaderReturnsTheFullCount) {
  const int small = 8192;
  EXPECT_OK(setsockopt(pair_.b, SOL_SOCKET, SO_SNDBUF, &small, sizeof small));
  const std::string data = Pattern(3 << 20);
  Thread writer([&] {
    EXPECT_EQ(static_cast<ssize_t>(data.size()), write(pair_.b, data.data(), data.size()));
    EXPECT_OK(shutdown(pair_.b, SHUT_WR));
  });
  std::string received;
  for (int i = 0; i < 10; ++i) {
    SleepMs(2);
    received += ReadExactly(pair_.a, 40000);
  }
  received += ReadToEnd(pair_.a);
  EXPECT_TRUE(data == received);
}

TEST_P(Stream, BlockingSendAndWritevAndSendmsgToASlowReaderReturnTheFullCount) {
  const std::string data = Pattern(1 << 20);
  Thread writer([&] {
    const ssize_t size = data.size();
    EXPECT_EQ(size, send(pair_.b, data.data(), data.size(), 0));
    char* start = const_cast<char*>(data.data());
    iovec parts[3] = {{start, 100}, {start + 100, 500000}, {start + 500100, data.size() - 500100}};
    EXPECT_EQ(size, writev(pair_.b, parts, 3));
    iovec again[2] = {{start, 1}, {start + 1, data.size() - 1}};
    msghdr message = {};
    message.msg_iov = again;
    message.msg_iovlen = 2;
    EXPECT_EQ(size, sendmsg(pair_.b, &message, MSG_NOSIGNAL));
    EXPECT_OK(shutdown(pair_.b, SHUT_WR));
  });
  SleepMs(30);
  EXPECT_TRUE(data + data + data == ReadToEnd(pair_.a));
}

TEST_P(Stream, NonBlockingWriteOfMoreThanFitsIsPartialThenEagain) {
  SetNonBlocking(pair_.b);
  const std::string data(64 << 20, 'x');
  const ssize_t n = write(pair_.b, data.data(), data.size());
  EXPECT_GT(n, 0);
  EXPECT_LT(n, static_cast<ssize_t>(data.size()));
  FillUp(pair_.b);
  EXPECT_ERRNO(EAGAIN, write(pair_.b, "x", 1));
}

TEST_P(Stream, PeerGoneDuringALargeWriteGivesAPartialCountOrAnError) {
  const std::string data(16 << 20, 'x');
  WhileBlocked(
      [&] {
        const ssize_t n = send(pair_.b, data.data(), data.size(), MSG_NOSIGNAL);
        EXPECT_LT(n, static_cast<ssize_t>(data.size()));
        if (n == -1) {
          EXPECT_TRUE(errno == EPIPE || errno == ECONNRESET);
        }
        EXPECT_EQ(-1, send(pair_.b, "x", 1, MSG_NOSIGNAL));
      },
      [&] { pair_.a.Reset(); });
}

TEST_P(Stream, DontwaitDoesNotBlockOnABlockingSocket) {
  char c;
  EXPECT_ERRNO(EAGAIN, recv(pair_.a, &c, 1, MSG_DONTWAIT));
  FillUp(pair_.b);
  EXPECT_ERRNO(EAGAIN, send(pair_.b, "x", 1, MSG_DONTWAIT));
  EXPECT_EQ(1, recv(pair_.a, &c, 1, MSG_DONTWAIT));
}

TEST_P(Stream, PeekLeavesTheDataAndBlocksForIt) {
  WhileBlocked(
      [&] {
        char buffer[8];
        EXPECT_EQ(3, recv(pair_.a, buffer, sizeof buffer, MSG_PEEK));
        EXPECT_EQ(3, recv(pair_.a, buffer, sizeof buffer, MSG_PEEK | MSG_DONTWAIT));
        EXPECT_EQ(3, recv(pair_.a, buffer, sizeof buffer, 0));
        EXPECT_ERRNO(EAGAIN, recv(pair_.a, buffer, sizeof buffer, MSG_DONTWAIT));
      },
      [&] { EXPECT_EQ(3, send(pair_.b, "abc", 3, 0)); });
}

TEST_P(Stream, WaitallGathersPiecesUntilFull) {
  WhileBlocked(
      [&] {
        char buffer[10];
        EXPECT_EQ(10, recv(pair_.a, buffer, sizeof buffer, MSG_WAITALL));
        EXPECT_EQ("0123456789", std::string(buffer, 10));
      },
      [&] {
        for (const char* piece : {"012", "34567", "89"}) {
          EXPECT_TRUE(WriteAll(pair_.b, piece));
          Settle();
        }
      });
}

TEST_P(Stream, WaitallGivesWhatThereIsAtTheEnd) {
  WhileBlocked(
      [&] {
        char buffer[10];
        EXPECT_EQ(3, recv(pair_.a, buffer, sizeof buffer, MSG_WAITALL));
        EXPECT_EQ(0, recv(pair_.a, buffer, sizeof buffer, MSG_WAITALL));
      },
      [&] {
        EXPECT_TRUE(WriteAll(pair_.b, "abc"));
        Settle();
        pair_.b.Reset();
      });
}

TEST_P(Stream, SendToAClosedPeerWithoutNosignalRaisesSigpipe) {
  SignalHandler handler(SIGPIPE, CountSignal);
  pair_.a.Reset();
  // TCP learns of it from the answer to the first write.
  ssize_t n;
  while ((n = write(pair_.b, "x", 1)) == 1) SleepMs(1);
  if (errno == ECONNRESET) {
    n = write(pair_.b, "x", 1);
  }
  EXPECT_EQ(-1, n);
  EXPECT_EQ(EPIPE, errno);
  EXPECT_EQ(1, handled_signals);
  EXPECT_ERRNO(EPIPE, send(pair_.b, "x", 1, MSG_NOSIGNAL));
  EXPECT_EQ(1, handled_signals);
}

TEST_P(Stream, ReceiveTimeoutGivesEagainNotEarlyAndZeroTurnsItOff) {
  SetTimeout(pair_.a, SO_RCVTIMEO, 50);
  char c;
  Stopwatch watch;
  EXPECT_ERRNO(EAGAIN, recv(pair_.a, &c, 1, 0));
  EXPECT_ERRNO(EAGAIN, read(pair_.a, &c, 1));
  // The kernel counts in ticks and may be one short each time.
  EXPECT_GE(watch.ElapsedMs(), 80);
  SetTimeout(pair_.a, SO_RCVTIMEO, 0);
  Event done;
  WhileBlocked(
      [&] {
        EXPECT_EQ(1, recv(pair_.a, &c, 1, 0));
        done.Post();
      },
      [&] {
        EXPECT_FALSE(done.WaitFor(80));
        EXPECT_EQ(1, send(pair_.b, "x", 1, 0));
      });
}

TEST_P(Stream, ReceiveTimeoutIsReadBackAsSet) {
  SetTimeout(pair_.a, SO_RCVTIMEO, 2000);
  timeval value = {};
  socklen_t size = sizeof value;
  EXPECT_OK(getsockopt(pair_.a, SOL_SOCKET, SO_RCVTIMEO, &value, &size));
  EXPECT_EQ(2, value.tv_sec);
  EXPECT_EQ(0, value.tv_usec);
  const timeval bad = {0, 1000000};
  EXPECT_ERRNO(EDOM, setsockopt(pair_.a, SOL_SOCKET, SO_RCVTIMEO, &bad, sizeof bad));
}

TEST_P(Stream, DataBeforeTheReceiveTimeoutIsGiven) {
  SetTimeout(pair_.a, SO_RCVTIMEO, 60000);
  WhileBlocked(
      [&] {
        char c;
        EXPECT_EQ(1, recv(pair_.a, &c, 1, 0));
      },
      [&] { EXPECT_EQ(1, send(pair_.b, "x", 1, 0)); });
}

TEST_P(Stream, ReceiveTimeoutSetWhileAReaderWaitsDoesNotTouchThatWait) {
  Event done;
  WhileBlocked(
      [&] {
        char c;
        EXPECT_EQ(1, recv(pair_.a, &c, 1, 0));
        done.Post();
      },
      [&] {
        SetTimeout(pair_.a, SO_RCVTIMEO, 20);
        EXPECT_FALSE(done.WaitFor(80));
        EXPECT_EQ(1, send(pair_.b, "x", 1, 0));
      });
}

TEST_P(Stream, SendTimeoutGivesEagainNotEarly) {
  FillUp(pair_.b);
  SetTimeout(pair_.b, SO_SNDTIMEO, 50);
  Stopwatch watch;
  EXPECT_ERRNO(EAGAIN, send(pair_.b, "x", 1, 0));
  EXPECT_GE(watch.ElapsedMs(), 40);
}

TEST_P(Stream, SendTimeoutInTheMiddleGivesAPartialCount) {
  SetTimeout(pair_.b, SO_SNDTIMEO, 50);
  const std::string data(64 << 20, 'x');
  const ssize_t n = send(pair_.b, data.data(), data.size(), 0);
  EXPECT_GT(n, 0);
  EXPECT_LT(n, static_cast<ssize_t>(data.size()));
}

TEST_P(Stream, TwoThreadsReadAndWriteOneSocketAtOnce) {
  const std::string data = Pattern(1 << 20);
  Thread writer_a([&] { EXPECT_TRUE(WriteAll(pair_.a, data)); });
  Thread writer_b([&] { EXPECT_TRUE(WriteAll(pair_.b, data)); });
  Thread reader_a([&] { EXPECT_TRUE(ReadExactly(pair_.a, data.size()) == data); });
  Thread reader_b([&] { EXPECT_TRUE(ReadExactly(pair_.b, data.size()) == data); });
}

TEST_P(Stream, SeveralReadersOfOneSocketShareItsBytes) {
  std::atomic<int> total{0};
  {
    std::vector<std::unique_ptr<Thread>> threads;
    for (int i = 0; i < 5; ++i) {
      threads.push_back(std::make_unique<Thread>([&] {
        char c;
        while (recv(pair_.a, &c, 1, 0) == 1) ++total;
      }));
    }
    Settle();
    for (int i = 0; i < 100; ++i) {
      EXPECT_EQ(1, send(pair_.b, "x", 1, 0));
      if (i % 10 == 0) SleepMs(1);
    }
    EXPECT_OK(shutdown(pair_.b, SHUT_WR));
  }
  EXPECT_EQ(100, total);
}

TEST_P(Stream, ZeroLengthCallsDoNotBlock) {
  char c;
  EXPECT_EQ(0, read(pair_.a, &c, 0));
  EXPECT_EQ(0, write(pair_.a, &c, 0));
  EXPECT_EQ(0, send(pair_.a, &c, 0, 0));
}

TEST_P(Stream, BadBuffersFault) {
  EXPECT_TRUE(WriteAll(pair_.b, "x"));
  EXPECT_ERRNO(EFAULT, recv(pair_.a, reinterpret_cast<void*>(8), 1, 0));
  EXPECT_ERRNO(EFAULT, send(pair_.a, reinterpret_cast<void*>(8), 1, 0));
}

TEST(StreamErrors, BadDescriptors) {
  char c = 0;
  for (int fd : {-1, 19999}) {
    EXPECT_ERRNO(EBADF, recv(fd, &c, 1, 0));
    EXPECT_ERRNO(EBADF, send(fd, &c, 1, 0));
    EXPECT_ERRNO(EBADF, read(fd, &c, 1));
    EXPECT_ERRNO(EBADF, write(fd, &c, 1));
    EXPECT_ERRNO(EBADF, shutdown(fd, SHUT_RD));
  }
  Pair pipe = MakePipe();
  EXPECT_ERRNO(ENOTSOCK, recv(pipe.a, &c, 1, 0));
  EXPECT_ERRNO(ENOTSOCK, send(pipe.b, &c, 1, 0));
  Fd unconnected(socket(AF_INET, SOCK_STREAM, 0));
  EXPECT_ERRNO(ENOTCONN, recv(unconnected, &c, 1, 0));
  EXPECT_ERRNO(EPIPE, send(unconnected, &c, 1, MSG_NOSIGNAL));
  EXPECT_ERRNO(ENOTCONN, shutdown(unconnected, SHUT_RD));
}

TEST(Tcp, ResetWakesAReaderWithConnectionReset) {
  Pair pair = MakeTcpPair();
  Event waiting;
  Thread reader([&] {
    char c;
    waiting.Post();
    EXPECT_ERRNO(ECONNRESET, recv(pair.a, &c, 1, 0));
    EXPECT_EQ(0, recv(pair.a, &c, 1, 0));
  });
  waiting.Wait();
  Settle();
  const linger reset = {1, 0};
  EXPECT_OK(setsockopt(pair.b, SOL_SOCKET, SO_LINGER, &reset, sizeof reset));
  pair.b.Reset();
}

TEST(Tcp, ResetBeforeTheReadIsToldOnce) {
  Pair pair = MakeTcpPair();
  const linger reset = {1, 0};
  EXPECT_OK(setsockopt(pair.b, SOL_SOCKET, SO_LINGER, &reset, sizeof reset));
  pair.b.Reset();
  Settle();
  char c;
  EXPECT_ERRNO(ECONNRESET, read(pair.a, &c, 1));
  EXPECT_EQ(0, read(pair.a, &c, 1));
}

TEST(Tcp, ResetWakesABlockedWriter) {
  Pair pair = MakeTcpPair();
  FillUp(pair.b);
  Event waiting;
  Thread writer([&] {
    waiting.Post();
    EXPECT_EQ(-1, send(pair.b, "x", 1, MSG_NOSIGNAL));
    EXPECT_TRUE(errno == ECONNRESET || errno == EPIPE) << strerror(errno);
  });
  waiting.Wait();
  Settle();
  // Closed with unread data: TCP answers with a reset.
  pair.a.Reset();
}

TEST(Tcp, OutOfBandByteIsReadWithItsFlag) {
  Pair pair = MakeTcpPair();
  EXPECT_EQ(1, send(pair.b, "!", 1, MSG_OOB));
  Settle();
  char c = 0;
  EXPECT_EQ(1, recv(pair.a, &c, 1, MSG_OOB));
  EXPECT_EQ('!', c);
  EXPECT_ERRNO(EINVAL, recv(pair.a, &c, 1, MSG_OOB));
}

TEST(Tcp, MoreHoldsTheHeadUntilTheBodyComes) {
  Pair pair = MakeTcpPair();
  EXPECT_EQ(4, send(pair.b, "head", 4, MSG_MORE));
  EXPECT_EQ(4, send(pair.b, "body", 4, 0));
  EXPECT_EQ("headbody", ReadExactly(pair.a, 8));
}

class Udp : public testing::Test {
 protected:
  Address first_address_;
  Address second_address_;
  Fd first_{MakeUdp(&first_address_)};
  Fd second_{MakeUdp(&second_address_)};
};

TEST_F(Udp, RecvfromBlocksAndGivesTheSender) {
  Event waiting;
  Thread receiver([&] {
    char buffer[16];
    Address sender;
    waiting.Post();
    EXPECT_EQ(5, recvfrom(first_, buffer, sizeof buffer, 0, sender.get(), &sender.size));
    EXPECT_EQ(second_address_.port(), sender.port());
  });
  waiting.Wait();
  Settle();
  EXPECT_EQ(5, sendto(second_, "hello", 5, 0, first_address_.get(), first_address_.size));
}

TEST_F(Udp, EachReceiveTakesOneDatagram) {
  for (const char* text : {"a", "bb", ""}) {
    EXPECT_OK(sendto(second_, text, strlen(text), 0, first_address_.get(), first_address_.size));
  }
  char buffer[16];
  EXPECT_EQ(1, recv(first_, buffer, sizeof buffer, 0));
  EXPECT_EQ(2, recv(first_, buffer, sizeof buffer, 0));
  EXPECT_EQ(0, recv(first_, buffer, sizeof buffer, 0));
  EXPECT_ERRNO(EAGAIN, recv(first_, buffer, sizeof buffer, MSG_DONTWAIT));
}

TEST_F(Udp, ShortReadThenTheNextDatagramIsThere) {
  // The short-read rule of streams must not be applied to datagrams.
  for (int i = 0; i < 10; ++i) {
    EXPECT_EQ(3, sendto(second_, "abc", 3, 0, first_address_.get(), first_address_.size));
  }
  char buffer[100];
  for (int i = 0; i < 10; ++i) EXPECT_EQ(3, recv(first_, buffer, sizeof buffer, 0));
}

TEST_F(Udp, TruncGivesTheRealLength) {
  EXPECT_EQ(10, sendto(second_, "0123456789", 10, 0, first_address_.get(), first_address_.size));
  char buffer[4];
  EXPECT_EQ(10, recv(first_, buffer, sizeof buffer, MSG_TRUNC | MSG_PEEK));
  iovec part = {buffer, sizeof buffer};
  msghdr message = {};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  EXPECT_EQ(4, recvmsg(first_, &message, 0));
  EXPECT_NE(0, message.msg_flags & MSG_TRUNC);
}

TEST_F(Udp, TooLargeADatagramIsRefused) {
  const std::string data(70000, 'x');
  EXPECT_ERRNO(EMSGSIZE, sendto(second_, data.data(), data.size(), 0, first_address_.get(),
                                first_address_.size));
}

TEST_F(Udp, ConnectedToAClosedPortIsRefusedOnRead) {
  EXPECT_OK(connect(first_, second_address_.get(), second_address_.size));
  second_.Reset();
  EXPECT_EQ(1, send(first_, "x", 1, 0));
  char c;
  EXPECT_ERRNO(ECONNREFUSED, recv(first_, &c, 1, 0));
}

TEST_F(Udp, ReceiveTimeoutGivesEagain) {
  SetTimeout(first_, SO_RCVTIMEO, 40);
  char c;
  Stopwatch watch;
  EXPECT_ERRNO(EAGAIN, recvfrom(first_, &c, 1, 0, nullptr, nullptr));
  EXPECT_GE(watch.ElapsedMs(), 30);
}

TEST_F(Udp, SendmmsgAndRecvmmsgMoveSeveral) {
  EXPECT_OK(connect(second_, first_address_.get(), first_address_.size));
  char text[] = "abc";
  iovec parts[3] = {{text, 1}, {text, 2}, {text, 3}};
  mmsghdr messages[3] = {};
  for (int i = 0; i < 3; ++i) {
    messages[i].msg_hdr.msg_iov = &parts[i];
    messages[i].msg_hdr.msg_iovlen = 1;
  }
  char buffers[4][8];
  iovec into[4];
  mmsghdr received[4] = {};
  for (int i = 0; i < 4; ++i) {
    into[i] = {buffers[i], sizeof buffers[i]};
    received[i].msg_hdr.msg_iov = &into[i];
    received[i].msg_hdr.msg_iovlen = 1;
  }
  Event waiting;
  Thread receiver([&] {
    waiting.Post();
    int count = 0;
    while (count < 3) {
      const int n = recvmmsg(first_, received + count, 4 - count, MSG_WAITFORONE, nullptr);
      ASSERT_GT(n, 0);
      count += n;
    }
    for (int i = 0; i < 3; ++i) EXPECT_EQ(i + 1u, received[i].msg_len);
  });
  waiting.Wait();
  Settle();
  EXPECT_EQ(3, sendmmsg(second_, messages, 3, 0));
}

TEST_F(Udp, RecvmmsgWithoutWaitforoneGathersUntilFull) {
  char buffers[2][8];
  iovec into[2] = {{buffers[0], 8}, {buffers[1], 8}};
  mmsghdr received[2] = {};
  for (int i = 0; i < 2; ++i) {
    received[i].msg_hdr.msg_iov = &into[i];
    received[i].msg_hdr.msg_iovlen = 1;
  }
  Thread receiver([&] { EXPECT_EQ(2, recvmmsg(first_, received, 2, 0, nullptr)); });
  for (int i = 0; i < 2; ++i) {
    Settle();
    EXPECT_OK(sendto(second_, "x", 1, 0, first_address_.get(), first_address_.size));
  }
}

TEST(SeqPacket, KeepsBoundariesAndBlocks) {
  Pair pair = MakeSocketPair(SOCK_SEQPACKET);
  Event waiting;
  Thread reader([&] {
    char buffer[16];
    waiting.Post();
    EXPECT_EQ(3, recv(pair.a, buffer, sizeof buffer, 0));
    EXPECT_EQ(2, recv(pair.a, buffer, sizeof buffer, 0));
    EXPECT_EQ(0, recv(pair.a, buffer, sizeof buffer, 0));
  });
  waiting.Wait();
  Settle();
  EXPECT_EQ(3, send(pair.b, "abc", 3, 0));
  EXPECT_EQ(2, send(pair.b, "de", 2, 0));
  pair.b.Reset();
}

TEST(UnixDatagram, SenderBlocksWhileTheReceiverIsFull) {
  Pair pair = MakeSocketPair(SOCK_DGRAM);
  int fitted = 0;
  while (send(pair.b, "x", 1, MSG_DONTWAIT) == 1) ++fitted;
  EXPECT_EQ(EAGAIN, errno);
  std::atomic<bool> sent{false};
  Thread sender([&] {
    EXPECT_EQ(1, send(pair.b, "x", 1, 0));
    sent = true;
  });
  Settle();
  EXPECT_FALSE(sent);
  char c;
  for (int i = 0; i < fitted + 1; ++i) EXPECT_EQ(1, recv(pair.a, &c, 1, 0));
}

void SendDescriptor(int over, int fd) {
  char byte = 'd';
  iovec part = {&byte, 1};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof fd)] = {};
  msghdr message = {};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  cmsghdr* header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(sizeof fd);
  memcpy(CMSG_DATA(header), &fd, sizeof fd);
  EXPECT_EQ(1, sendmsg(over, &message, 0));
}

int ReceiveDescriptor(int over) {
  char byte;
  iovec part = {&byte, 1};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  msghdr message = {};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  EXPECT_EQ(1, recvmsg(over, &message, MSG_CMSG_CLOEXEC));
  const cmsghdr* header = CMSG_FIRSTHDR(&message);
  if (header == nullptr) return -1;
  int fd;
  memcpy(&fd, CMSG_DATA(header), sizeof fd);
  return fd;
}

TEST(DescriptorPassing, ReceivedSocketBlocksAndWorksLikeAnyOther) {
  Pair channel = MakeSocketPair();
  Pair pair = MakeTcpPair();
  Thread receiver([&] {
    Fd passed(ReceiveDescriptor(channel.a));
    ASSERT_OK(passed);
    EXPECT_NE(0, fcntl(passed, F_GETFD) & FD_CLOEXEC);
    EXPECT_EQ(0, fcntl(passed, F_GETFL) & O_NONBLOCK);
    EXPECT_EQ("through", ReadExactly(passed, 7));
  });
  Settle();
  SendDescriptor(channel.b, pair.a);
  pair.a.Reset();
  Settle();
  EXPECT_TRUE(WriteAll(pair.b, "through"));
}

TEST(DescriptorPassing, FromAnotherProcess) {
  Pair channel = MakeSocketPair();
  const pid_t child = StartChild([&] {
    Pair pipe = MakePipe();
    SendDescriptor(channel.b, pipe.a);
    EXPECT_TRUE(WriteAll(pipe.b, "from the child"));
    return 0;
  });
  Fd passed(ReceiveDescriptor(channel.a));
  EXPECT_EQ("from the child", ReadToEnd(passed));
  ExpectExited(0, WaitForChild(child));
}

TEST(ManySockets, AReaderOnEachIsWokenByItsOwnData) {
  constexpr int kPairs = 500;
  std::vector<Pair> pairs;
  for (int i = 0; i < kPairs; ++i) pairs.push_back(MakeSocketPair());
  std::vector<std::unique_ptr<Thread>> threads;
  for (int i = 0; i < kPairs; ++i) {
    threads.push_back(std::make_unique<Thread>(
        [&, i] { EXPECT_EQ(std::to_string(i), ReadToEnd(pairs[i].a).substr(0, 8)); }, 256 * 1024));
  }
  Settle();
  for (int i = kPairs - 1; i >= 0; --i) {
    EXPECT_TRUE(WriteAll(pairs[i].b, std::to_string(i)));
    pairs[i].b.Reset();
  }
}

TEST(ManySockets, EchoOverManyTcpConnectionsAtOnce) {
  Listener listener(AF_INET, 256);
  constexpr int kClients = 64;
  Thread acceptor([&] {
    std::vector<std::unique_ptr<Thread>> handlers;
    for (int i = 0; i < kClients; ++i) {
      const int fd = accept(listener.fd(), nullptr, nullptr);
      handlers.push_back(std::make_unique<Thread>([fd] {
        Fd server(fd);
        char buffer[512];
        ssize_t n;
        while ((n = recv(server, buffer, sizeof buffer, 0)) > 0) {
          EXPECT_EQ(n, send(server, buffer, n, 0));
        }
      }));
    }
  });
  std::vector<std::unique_ptr<Thread>> clients;
  for (int i = 0; i < kClients; ++i) {
    clients.push_back(std::make_unique<Thread>([&, i] {
      Fd client = listener.Connect();
      for (int round = 0; round < 20; ++round) {
        const std::string text = std::to_string(i * 1000 + round);
        EXPECT_TRUE(WriteAll(client, text));
        EXPECT_EQ(text, ReadExactly(client, text.size()));
      }
    }));
  }
}

}  // namespace
}  // namespace conformance
