// Descriptors changing under threads that use them: close, dup, reuse.
#include <netinet/tcp.h>

#include <memory>

#include "tests/conformance/support.h"

namespace conformance {
namespace {

// Starts a thread that reads one byte from `fd` and expects to get it.
std::unique_ptr<Thread> ReaderOf(int fd, Event* waiting, Event* done) {
  return std::make_unique<Thread>([=] {
    char c = 0;
    waiting->Post();
    EXPECT_EQ(1, read(fd, &c, 1));
    EXPECT_EQ('x', c);
    done->Post();
  });
}

class Descriptors : public testing::Test {
 protected:
  void WaitUntilReading() {
    waiting_.Wait();
    Settle();
  }

  Event waiting_;
  Event done_;
};

TEST_F(Descriptors, CloseByAnotherThreadLeavesABlockedRecvWaitingAndItGetsLaterData) {
  Pair pair = MakeTcpPair();
  auto reader = ReaderOf(pair.a, &waiting_, &done_);
  WaitUntilReading();
  pair.a.Reset();
  EXPECT_FALSE(done_.WaitFor(60));
  EXPECT_EQ(1, send(pair.b, "x", 1, 0));
  done_.Wait();
}

TEST_F(Descriptors, CloseByAnotherThreadLeavesABlockedUnixReadWaitingAndItGetsLaterData) {
  Pair pair = MakeSocketPair();
  auto reader = ReaderOf(pair.a, &waiting_, &done_);
  WaitUntilReading();
  pair.a.Reset();
  EXPECT_FALSE(done_.WaitFor(60));
  EXPECT_EQ(1, send(pair.b, "x", 1, 0));
  done_.Wait();
}

TEST_F(Descriptors, CloseByAnotherThreadLeavesABlockedPipeReadWaiting) {
  Pair pipe = MakePipe();
  auto reader = ReaderOf(pipe.a, &waiting_, &done_);
  WaitUntilReading();
  pipe.a.Reset();
  EXPECT_FALSE(done_.WaitFor(60));
  // The waiting read still holds the pipe, so this is neither EPIPE nor lost.
  EXPECT_EQ(1, write(pipe.b, "x", 1));
  done_.Wait();
}

TEST_F(Descriptors, NewDescriptorOfTheSameNumberIsNotMixedUpWithTheOldOne) {
  Pair old_pair = MakeTcpPair();
  Pair fresh = MakeSocketPair();
  const int number = old_pair.a;
  auto reader = ReaderOf(number, &waiting_, &done_);
  WaitUntilReading();
  old_pair.a.Reset();
  Fd again(fcntl(fresh.a, F_DUPFD, number));
  ASSERT_EQ(number, again);
  // Data of the new one is not for the old reader, nor the other way round.
  Event fresh_done;
  Event fresh_waiting;
  auto fresh_reader = ReaderOf(number, &fresh_waiting, &fresh_done);
  fresh_waiting.Wait();
  Settle();
  EXPECT_EQ(1, send(fresh.b, "x", 1, 0));
  fresh_done.Wait();
  EXPECT_FALSE(done_.WaitFor(30));
  EXPECT_EQ(1, send(old_pair.b, "x", 1, 0));
  done_.Wait();
}

TEST_F(Descriptors, ReusedNumberStartsWithFreshState) {
  int number;
  {
    Pair first = MakeTcpPair();
    number = first.a;
    SetNonBlocking(first.a);
    SetTimeout(first.a, SO_RCVTIMEO, 10);
    char c;
    EXPECT_ERRNO(EAGAIN, recv(first.a, &c, 1, 0));
    first.b.Reset();
    Settle();
    EXPECT_EQ(0, recv(first.a, &c, 1, 0));
  }
  Pair second = MakeSocketPair();
  Fd copy(fcntl(second.a, F_DUPFD, number));
  ASSERT_OK(copy);
  EXPECT_EQ(0, fcntl(copy, F_GETFL) & O_NONBLOCK);
  auto reader = ReaderOf(copy, &waiting_, &done_);
  waiting_.Wait();
  // Neither the old end of file nor the old time-out applies.
  EXPECT_FALSE(done_.WaitFor(60));
  EXPECT_EQ(1, send(second.b, "x", 1, 0));
  done_.Wait();
}

TEST_F(Descriptors, ReusedNumberManyTimesOver) {
  for (int i = 0; i < 200; ++i) {
    Pair pair = i % 2 == 0 ? MakeSocketPair() : MakePipe();
    Thread writer([&] { EXPECT_EQ(1, write(pair.b, "x", 1)); });
    char c;
    EXPECT_EQ(1, read(pair.a, &c, 1));
  }
}

TEST_F(Descriptors, ReaderBlockedOnADuplicateGetsData) {
  Pair pair = MakeTcpPair();
  Fd copy(dup(pair.a));
  auto reader = ReaderOf(copy, &waiting_, &done_);
  WaitUntilReading();
  EXPECT_EQ(1, send(pair.b, "x", 1, 0));
  done_.Wait();
}

TEST_F(Descriptors, ClosingOneDuplicateLeavesTheOtherWorking) {
  Pair pair = MakeTcpPair();
  // Waits on the original first, so that whatever is remembered of it is known.
  auto first = ReaderOf(pair.a, &waiting_, &done_);
  WaitUntilReading();
  EXPECT_EQ(1, send(pair.b, "x", 1, 0));
  done_.Wait();
  Fd copy(dup(pair.a));
  pair.a.Reset();
  auto second = ReaderOf(copy, &waiting_, &done_);
  WaitUntilReading();
  EXPECT_EQ(1, send(pair.b, "x", 1, 0));
  done_.Wait();
}

TEST_F(Descriptors, ReadersOnTwoDuplicatesAreBothWoken) {
  Pair pair = MakeTcpPair();
  Fd copy(dup(pair.a));
  auto first = ReaderOf(pair.a, &waiting_, &done_);
  auto second = ReaderOf(copy, &waiting_, &done_);
  waiting_.Wait(2);
  Settle();
  EXPECT_EQ(1, send(pair.b, "x", 1, 0));
  done_.Wait();
  EXPECT_FALSE(done_.WaitFor(30));
  EXPECT_EQ(1, send(pair.b, "x", 1, 0));
  done_.Wait();
}

TEST_F(Descriptors, Dup2OverADescriptorLeavesItsWaiterOnTheOldOne) {
  Pair waited = MakeTcpPair();
  Pair other = MakeSocketPair();
  auto reader = ReaderOf(waited.a, &waiting_, &done_);
  WaitUntilReading();
  EXPECT_EQ(waited.a.get(), dup2(other.a, waited.a));
  EXPECT_EQ(1, send(other.b, "y", 1, 0));
  EXPECT_FALSE(done_.WaitFor(40));
  char c = 0;
  EXPECT_EQ(1, read(waited.a, &c, 1));
  EXPECT_EQ('y', c);
  EXPECT_EQ(1, send(waited.b, "x", 1, 0));
  done_.Wait();
}

TEST_F(Descriptors, Dup2GivesTheNumberTheStateOfItsSource) {
  Pair blocking = MakeSocketPair();
  Pair non_blocking = MakeSocketPair();
  SetNonBlocking(non_blocking.a);
  EXPECT_OK(dup2(non_blocking.a, blocking.a));
  char c;
  EXPECT_ERRNO(EAGAIN, read(blocking.a, &c, 1));
  SetNonBlocking(blocking.a, false);
  auto reader = ReaderOf(non_blocking.a, &waiting_, &done_);
  WaitUntilReading();
  EXPECT_EQ(1, send(non_blocking.b, "x", 1, 0));
  done_.Wait();
}

TEST_F(Descriptors, Dup2OntoItselfChangesNothing) {
  Pair pair = MakeSocketPair();
  EXPECT_EQ(pair.a.get(), dup2(pair.a, pair.a));
  EXPECT_ERRNO(EINVAL, dup3(pair.a, pair.a, 0));
  EXPECT_ERRNO(EBADF, dup2(-1, pair.a));
  EXPECT_ERRNO(EBADF, dup2(pair.a, 1 << 24));
  EXPECT_ERRNO(EBADF, dup(-1));
  EXPECT_TRUE(WriteAll(pair.b, "x"));
  EXPECT_EQ("x", ReadExactly(pair.a, 1));
}

TEST_F(Descriptors, Dup3AndFcntlSetCloseOnExec) {
  Pair pair = MakeSocketPair();
  Fd target(dup(pair.a));
  EXPECT_OK(dup3(pair.b, target, O_CLOEXEC));
  EXPECT_NE(0, fcntl(target, F_GETFD) & FD_CLOEXEC);
  Fd copy(fcntl(pair.a, F_DUPFD_CLOEXEC, 0));
  EXPECT_NE(0, fcntl(copy, F_GETFD) & FD_CLOEXEC);
  EXPECT_OK(fcntl(copy, F_SETFD, 0));
  EXPECT_EQ(0, fcntl(copy, F_GETFD) & FD_CLOEXEC);
}

TEST_F(Descriptors, CloseOfABadOneSaysSo) {
  EXPECT_ERRNO(EBADF, close(-1));
  Pair pair = MakeSocketPair();
  const int number = pair.a.Release();
  EXPECT_OK(close(number));
  EXPECT_ERRNO(EBADF, close(number));
  char c;
  EXPECT_ERRNO(EBADF, read(number, &c, 1));
}

TEST_F(Descriptors, CloseRangeClosesAndForgets) {
  Pair pair = MakeSocketPair();
  const int low = fcntl(pair.a, F_DUPFD, 5000);
  const int high = fcntl(pair.a, F_DUPFD, 5001);
  ASSERT_OK(low);
  EXPECT_OK(close_range(low, high, 0));
  EXPECT_ERRNO(EBADF, fcntl(low, F_GETFD));
  EXPECT_ERRNO(EBADF, fcntl(high, F_GETFD));
  EXPECT_OK(dup2(pair.b, low));
  EXPECT_TRUE(WriteAll(pair.a, "x"));
  EXPECT_EQ("x", ReadExactly(low, 1));
  EXPECT_OK(close(low));
}

TEST_F(Descriptors, ClosingTheWriteEndsByAnotherThreadEndsAReader) {
  Pair pipe = MakePipe();
  Fd second_writer(dup(pipe.b));
  Thread reader([&] {
    waiting_.Post();
    EXPECT_EQ("", ReadToEnd(pipe.a));
    done_.Post();
  });
  WaitUntilReading();
  pipe.b.Reset();
  EXPECT_FALSE(done_.WaitFor(30));
  second_writer.Reset();
  done_.Wait();
}

}  // namespace
}  // namespace conformance
