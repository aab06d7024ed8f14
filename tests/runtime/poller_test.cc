// One contract, two pollers: every test here runs on both.
#include "runtime/poller.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "gtest/gtest.h"
#include "runtime/clock.h"
#include "runtime/poller_epoll.h"
#include "runtime/poller_poll.h"

namespace bobbin {
namespace {

constexpr int kCapacity = 64;
constexpr uint32_t kBoth = POLLIN | POLLOUT;
constexpr int64_t kMillisecond = 1'000'000;
constexpr int64_t kLong = 60'000 * kMillisecond;  // for what is there or will come

enum class Kind { kEpoll, kPoll };

class PollerTest : public testing::TestWithParam<Kind> {
 protected:
  void SetUp() override {
    if (GetParam() == Kind::kEpoll) {
      auto poller = std::make_unique<EpollPoller>();
      ASSERT_EQ(poller->Init(), 0);
      poller_ = std::move(poller);
    } else {
      auto poller = std::make_unique<PollPoller>();
      ASSERT_EQ(poller->Init(4096), 0);
      poller_ = std::move(poller);
    }
    ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair_), 0);
  }
  void TearDown() override {
    Close(0);
    Close(1);
  }

  void Close(int end) {
    if (pair_[end] >= 0) close(pair_[end]);
    pair_[end] = -1;
  }
  int near() const { return pair_[0]; }
  int far() const { return pair_[1]; }
  void SendTo(int fd) { ASSERT_EQ(write(fd, "x", 1), 1); }
  void Drain(int fd) {
    char buffer[4096];
    while (read(fd, buffer, sizeof buffer) > 0) {
    }
  }
  void Fill(int fd) {
    char buffer[4096] = {};
    while (write(fd, buffer, sizeof buffer) > 0) {
    }
  }

  std::vector<PollEvent> Wait(int64_t timeout, int capacity = kCapacity) {
    PollEvent events[kCapacity];
    int count = poller_->Wait(events, capacity, timeout, nullptr);
    EXPECT_GE(count, 0);
    return {events, events + (count > 0 ? count : 0)};
  }

  // The bits reported for `fd` by one wait; 0 when it is not among what was reported.
  uint32_t BitsOf(int fd, int64_t timeout) {
    for (const PollEvent& event : Wait(timeout)) {
      if (event.fd == fd) return event.events;
    }
    return 0;
  }

  std::unique_ptr<Poller> poller_;
  int pair_[2] = {-1, -1};
};

INSTANTIATE_TEST_SUITE_P(Pollers, PollerTest, testing::Values(Kind::kEpoll, Kind::kPoll),
                         [](const auto& kind) {
                           return kind.param == Kind::kEpoll ? "Epoll" : "Poll";
                         });

TEST_P(PollerTest, WithNothingToReportReturnsZeroAtOnce) {
  EXPECT_TRUE(Wait(0).empty());
  Fill(near());
  ASSERT_EQ(poller_->Watch(near(), 1, POLLIN), 0);
  EXPECT_EQ(BitsOf(near(), 0) & kBoth, 0u);
}

TEST_P(PollerTest, WatchReportsReadinessThatIsThereAlready) {
  SendTo(far());
  ASSERT_EQ(poller_->Watch(near(), 1, POLLIN), 0);
  EXPECT_TRUE(BitsOf(near(), kLong) & POLLIN);
}

TEST_P(PollerTest, ReportsReadinessThatComesWhileItWaits) {
  Fill(near());
  ASSERT_EQ(poller_->Watch(near(), 1, POLLIN), 0);
  std::thread sender([this] { SendTo(far()); });
  EXPECT_TRUE(BitsOf(near(), -1) & POLLIN);
  sender.join();
}

TEST_P(PollerTest, ReportsBothDirections) {
  SendTo(far());
  ASSERT_EQ(poller_->Watch(near(), 1, kBoth), 0);
  EXPECT_EQ(BitsOf(near(), kLong) & kBoth, kBoth);
}

TEST_P(PollerTest, ReportsRoomWhereThereWasNone) {
  Fill(near());
  ASSERT_EQ(poller_->Watch(near(), 1, POLLOUT), 0);
  Wait(0);
  Drain(far());
  EXPECT_TRUE(BitsOf(near(), kLong) & POLLOUT);
}

TEST_P(PollerTest, DirectionsMayBeWatchedOneAfterTheOther) {
  Fill(near());
  ASSERT_EQ(poller_->Watch(near(), 1, POLLIN), 0);
  ASSERT_EQ(poller_->WatchWriting(near(), 1), 0);
  Drain(far());
  EXPECT_TRUE(BitsOf(near(), kLong) & POLLOUT);
  SendTo(far());
  EXPECT_TRUE(BitsOf(near(), kLong) & POLLIN) << "the other direction is still watched";
}

TEST_P(PollerTest, WatchWritingReportsRoomThatIsThereAlready) {
  ASSERT_EQ(poller_->Watch(near(), 1, POLLIN), 0);
  EXPECT_EQ(BitsOf(near(), 0), 0u) << "room is no news to one who waits to read";
  ASSERT_EQ(poller_->WatchWriting(near(), 1), 0);
  EXPECT_TRUE(BitsOf(near(), kLong) & POLLOUT);
}

TEST_P(PollerTest, WatchWritingTakesUpANumberThatNamesAnotherFile) {
  ASSERT_EQ(poller_->Watch(near(), 1, POLLIN), 0);
  int other[2];
  ASSERT_EQ(pipe2(other, O_NONBLOCK), 0);
  ASSERT_EQ(dup2(other[1], near()), near());  // which the poller is not told
  ASSERT_EQ(poller_->WatchWriting(near(), 3), 0);
  EXPECT_TRUE(BitsOf(near(), kLong) & POLLOUT);
  close(other[0]);
  close(other[1]);
}

TEST_P(PollerTest, HangUpIsReportedUnasked) {
  ASSERT_EQ(poller_->Watch(near(), 1, POLLIN), 0);
  Close(1);
  uint32_t bits = BitsOf(near(), kLong);
  EXPECT_TRUE(bits & POLLHUP);
  EXPECT_TRUE(bits & POLLIN);
}

TEST_P(PollerTest, HalfCloseMakesReadable) {
  ASSERT_EQ(poller_->Watch(near(), 1, POLLIN | POLLRDHUP), 0);
  ASSERT_EQ(shutdown(far(), SHUT_WR), 0);
  uint32_t bits = BitsOf(near(), kLong);
  EXPECT_TRUE(bits & POLLIN);
  EXPECT_TRUE(bits & POLLRDHUP);
}

// The short-read rule stands on this: the end must be seen together with the data before it.
TEST_P(PollerTest, DataAndEndAreReportedTogether) {
  SendTo(far());
  ASSERT_EQ(shutdown(far(), SHUT_WR), 0);
  ASSERT_EQ(poller_->Watch(near(), 1, POLLIN | POLLRDHUP), 0);
  uint32_t bits = BitsOf(near(), kLong);
  EXPECT_TRUE(bits & POLLIN);
  EXPECT_TRUE(bits & POLLRDHUP);
}

TEST_P(PollerTest, ErrorIsReportedUnasked) {
  int ends[2];
  ASSERT_EQ(pipe2(ends, O_NONBLOCK), 0);
  Fill(ends[1]);
  ASSERT_EQ(poller_->Watch(ends[1], 1, POLLOUT), 0);
  close(ends[0]);
  EXPECT_TRUE(BitsOf(ends[1], kLong) & POLLERR);
  close(ends[1]);
}

TEST_P(PollerTest, OutOfBandDataIsReportedWhereAsked) {
  int listener = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  ASSERT_EQ(bind(listener, reinterpret_cast<sockaddr*>(&address), size), 0);
  ASSERT_EQ(listen(listener, 1), 0);
  ASSERT_EQ(getsockname(listener, reinterpret_cast<sockaddr*>(&address), &size), 0);
  int client = socket(AF_INET, SOCK_STREAM, 0);
  ASSERT_EQ(connect(client, reinterpret_cast<sockaddr*>(&address), size), 0);
  int server = accept(listener, nullptr, nullptr);
  ASSERT_GE(server, 0);
  ASSERT_EQ(send(client, "!", 1, MSG_OOB), 1);
  ASSERT_EQ(poller_->Watch(server, 1, POLLIN | POLLPRI), 0);
  EXPECT_TRUE(BitsOf(server, kLong) & POLLPRI);
  for (int fd : {server, client, listener}) close(fd);
}

TEST_P(PollerTest, EventsCarryTheGenerationOfTheirWatch) {
  SendTo(far());
  ASSERT_EQ(poller_->Watch(near(), 12345, POLLIN), 0);
  std::vector<PollEvent> events = Wait(kLong);
  ASSERT_EQ(events.size(), 1u);
  EXPECT_EQ(events[0].fd, near());
  EXPECT_EQ(events[0].generation, 12345u);
}

TEST_P(PollerTest, NumberUsedAgainIsReportedWithItsNewGeneration) {
  ASSERT_EQ(poller_->Watch(near(), 1, POLLIN), 0);
  Wait(0);
  int number = near();
  close(number);
  poller_->Closed(number);
  int fresh = eventfd(1, EFD_NONBLOCK);
  ASSERT_EQ(fresh, number);
  ASSERT_EQ(poller_->Watch(fresh, 3, POLLIN), 0);
  std::vector<PollEvent> events = Wait(kLong);
  ASSERT_EQ(events.size(), 1u);
  EXPECT_EQ(events[0].generation, 3u);
}

TEST_P(PollerTest, WatchOfANewGenerationReplacesTheOldWithoutClosed) {
  SendTo(far());
  ASSERT_EQ(poller_->Watch(near(), 1, POLLIN), 0);
  ASSERT_EQ(poller_->Watch(near(), 3, POLLIN), 0);
  std::vector<PollEvent> events = Wait(kLong);
  ASSERT_EQ(events.size(), 1u);
  EXPECT_EQ(events[0].generation, 3u);
}

TEST_P(PollerTest, ForgottenDescriptorIsNotReported) {
  ASSERT_EQ(poller_->Watch(near(), 1, POLLIN), 0);
  poller_->Forget(near());
  SendTo(far());
  EXPECT_TRUE(Wait(0).empty());
  EXPECT_EQ(poller_->size(), 0u);
}

TEST_P(PollerTest, ForgetOfWhatIsNotWatchedIsHarmless) {
  poller_->Forget(near());
  EXPECT_EQ(poller_->size(), 0u);
}

TEST_P(PollerTest, ForgottenOneMayBeWatchedAgain) {
  ASSERT_EQ(poller_->Watch(near(), 1, POLLIN), 0);
  poller_->Forget(near());
  SendTo(far());
  ASSERT_EQ(poller_->Watch(near(), 1, POLLIN), 0);
  EXPECT_TRUE(BitsOf(near(), kLong) & POLLIN);
}

TEST_P(PollerTest, SizeCountsWhatIsWatched) {
  EXPECT_EQ(poller_->size(), 0u);
  ASSERT_EQ(poller_->Watch(near(), 1, POLLIN), 0);
  ASSERT_EQ(poller_->Watch(far(), 1, POLLIN), 0);
  EXPECT_EQ(poller_->size(), 2u);
  int number = near();
  Close(0);
  poller_->Closed(number);
  EXPECT_EQ(poller_->size(), 1u);
}

TEST_P(PollerTest, PersistentOneReportsEveryEdgeAndTheOtherOnlyOnce) {
  SendTo(far());
  ASSERT_EQ(poller_->Watch(near(), 1, POLLIN), 0);
  EXPECT_TRUE(BitsOf(near(), kLong) & POLLIN);
  EXPECT_FALSE(BitsOf(near(), 0) & POLLIN) << "reported once, though it is still readable";
  Drain(near());
  SendTo(far());
  if (poller_->persistent()) {
    EXPECT_TRUE(BitsOf(near(), kLong) & POLLIN);
  } else {
    EXPECT_FALSE(BitsOf(near(), 0) & POLLIN);
    ASSERT_EQ(poller_->Watch(near(), 1, POLLIN), 0);
    EXPECT_TRUE(BitsOf(near(), kLong) & POLLIN);
  }
}

TEST_P(PollerTest, ClosedDescriptorIsReportedNoMoreOrAsReady) {
  ASSERT_EQ(poller_->Watch(near(), 1, POLLIN), 0);
  Wait(0);
  int number = near();
  Close(0);
  // Nobody told it: epoll forgets by itself, poll says so, and its waiter finds out by trying.
  for (const PollEvent& event : Wait(0)) {
    EXPECT_EQ(event.fd, number);
    EXPECT_TRUE(event.events & POLLIN);
  }
  EXPECT_TRUE(Wait(0).empty());
}

TEST_P(PollerTest, MoreReadyThanRoomAreReportedByLaterWaits) {
  constexpr int kMany = 50;
  std::vector<int> fds;
  for (int i = 0; i < kMany; ++i) {
    fds.push_back(eventfd(1, EFD_NONBLOCK));
    ASSERT_EQ(poller_->Watch(fds.back(), 1, POLLIN), 0);
  }
  std::set<int> reported;
  for (int round = 0; round < kMany && reported.size() < kMany; ++round) {
    std::vector<PollEvent> events = Wait(kLong, 7);
    EXPECT_LE(events.size(), 7u);
    for (const PollEvent& event : events) reported.insert(event.fd);
  }
  EXPECT_EQ(reported, std::set<int>(fds.begin(), fds.end()));
  for (int fd : fds) close(fd);
}

TEST_P(PollerTest, ManyAreForgottenAndWatchedInAnyOrder) {
  constexpr int kMany = 40;
  std::vector<int> fds;
  for (int i = 0; i < kMany; ++i) {
    fds.push_back(eventfd(1, EFD_NONBLOCK));
    ASSERT_EQ(poller_->Watch(fds.back(), i, POLLIN), 0);
  }
  for (int i = 0; i < kMany; i += 2) poller_->Forget(fds[i]);
  EXPECT_EQ(poller_->size(), uint64_t{kMany / 2});
  std::vector<PollEvent> events = Wait(kLong);
  EXPECT_EQ(events.size(), size_t{kMany / 2});
  for (const PollEvent& event : events) {
    ASSERT_LT(event.generation, uint32_t{kMany});
    EXPECT_EQ(event.generation % 2, 1u);
    EXPECT_EQ(fds[event.generation], event.fd);
  }
  for (int fd : fds) close(fd);
}

TEST_P(PollerTest, TimeoutIsNotEarlyDownToNanoseconds) {
  for (int64_t timeout : {int64_t{1}, int64_t{50'000}, kMillisecond, 2 * kMillisecond + 1}) {
    uint64_t start = ReadKernelClock(CLOCK_MONOTONIC);
    EXPECT_TRUE(Wait(timeout).empty());
    EXPECT_GE(ReadKernelClock(CLOCK_MONOTONIC) - start, static_cast<uint64_t>(timeout));
  }
}

TEST_P(PollerTest, TimeoutBeyondWhatTheKernelTakesStillWaits) {
  SendTo(far());
  ASSERT_EQ(poller_->Watch(near(), 1, POLLIN), 0);
  EXPECT_TRUE(BitsOf(near(), INT64_MAX) & POLLIN);
}

std::atomic<int> handled{0};
void Count(int) { handled.fetch_add(1); }

class SignalledPollerTest : public PollerTest {
 protected:
  void SetUp() override {
    PollerTest::SetUp();
    struct sigaction action = {};
    action.sa_handler = &Count;  // no SA_RESTART, which makes no difference here
    ASSERT_EQ(sigaction(SIGUSR1, &action, &old_action_), 0);
    sigset_t blocked;
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGUSR1);
    pthread_sigmask(SIG_BLOCK, &blocked, &old_mask_);
  }
  void TearDown() override {
    sigaction(SIGUSR1, &old_action_, nullptr);
    pthread_sigmask(SIG_SETMASK, &old_mask_, nullptr);
    PollerTest::TearDown();
  }

  struct sigaction old_action_ = {};
  sigset_t old_mask_;
};

INSTANTIATE_TEST_SUITE_P(Pollers, SignalledPollerTest, testing::Values(Kind::kEpoll, Kind::kPoll),
                         [](const auto& kind) {
                           return kind.param == Kind::kEpoll ? "Epoll" : "Poll";
                         });

TEST_P(SignalledPollerTest, MaskLetsAPendingSignalEndTheWait) {
  PollEvent events[1];
  for (int64_t timeout : {int64_t{-1}, kLong}) {
    raise(SIGUSR1);
    uint64_t none = 0;
    EXPECT_EQ(poller_->Wait(events, 1, timeout, &none), -EINTR);
  }
}

TEST_P(SignalledPollerTest, MaskHoldsOnlyDuringTheWait) {
  PollEvent events[1];
  uint64_t none = 0;
  EXPECT_EQ(poller_->Wait(events, 1, 1, &none), 0);
  sigset_t now;
  pthread_sigmask(SIG_SETMASK, nullptr, &now);
  EXPECT_TRUE(sigismember(&now, SIGUSR1));
}

TEST_P(SignalledPollerTest, BlockedSignalDoesNotEndTheWait) {
  PollEvent events[1];
  raise(SIGUSR1);
  EXPECT_EQ(poller_->Wait(events, 1, kMillisecond, nullptr), 0);
  uint64_t all = ~uint64_t{0};
  EXPECT_EQ(poller_->Wait(events, 1, kMillisecond, &all), 0);
  uint64_t none = 0;
  poller_->Wait(events, 1, kLong, &none);  // taken before the next test
}

TEST_P(SignalledPollerTest, SignalThatComesDuringTheWaitEndsIt) {
  std::atomic<bool> done{false};
  pthread_t waiter = pthread_self();
  std::thread sender([&] {
    while (!done.load()) {
      pthread_kill(waiter, SIGUSR1);
      usleep(1000);
    }
  });
  PollEvent events[1];
  uint64_t none = 0;
  EXPECT_EQ(poller_->Wait(events, 1, -1, &none), -EINTR);
  done.store(true);
  sender.join();
}

TEST(EpollPoller, RegularFilesAreRefusedWithEperm) {
  EpollPoller poller;
  ASSERT_EQ(poller.Init(), 0);
  char path[] = "/tmp/poller_test.XXXXXX";
  int fd = mkstemp(path);
  unlink(path);
  EXPECT_EQ(poller.Watch(fd, 1, POLLIN), -EPERM);
  EXPECT_EQ(poller.size(), 0u);
  close(fd);
}

TEST(EpollPoller, BadDescriptorsAreRefused) {
  EpollPoller poller;
  ASSERT_EQ(poller.Init(), 0);
  EXPECT_EQ(poller.Watch(-1, 1, POLLIN), -EBADF);
  EXPECT_EQ(poller.size(), 0u);
}

// P1: one registration is for both directions, whichever was asked for.
TEST(EpollPoller, AWatchIsForReadingWhateverItIsFor) {
  EpollPoller poller;
  ASSERT_EQ(poller.Init(), 0);
  int pair[2];
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
  ASSERT_EQ(write(pair[1], "x", 1), 1);
  ASSERT_EQ(poller.Watch(pair[0], 1, POLLOUT), 0);
  PollEvent event;
  ASSERT_EQ(poller.Wait(&event, 1, kLong, nullptr), 1);
  EXPECT_TRUE(event.events & POLLIN);
  close(pair[0]);
  close(pair[1]);
}

TEST(EpollPoller, OwnDescriptorIsOutOfTheProgramsWay) {
  int lowest = dup(0);
  close(lowest);
  EpollPoller poller;
  ASSERT_EQ(poller.Init(), 0);
  int next = dup(0);
  EXPECT_EQ(next, lowest) << "the program still gets the lowest free number";
  close(next);
}

TEST(EpollPoller, InitAgainForgetsEverything) {
  EpollPoller poller;
  ASSERT_EQ(poller.Init(), 0);
  int fd = eventfd(1, 0);
  ASSERT_EQ(poller.Watch(fd, 1, POLLIN), 0);
  ASSERT_EQ(poller.Init(), 0);
  PollEvent event;
  EXPECT_EQ(poller.size(), 0u);
  EXPECT_EQ(poller.Wait(&event, 1, 0, nullptr), 0);
  close(fd);
}

TEST(PollPoller, InitAgainForgetsEverything) {
  PollPoller poller;
  ASSERT_EQ(poller.Init(64), 0);
  int fd = eventfd(1, 0);
  ASSERT_EQ(poller.Watch(fd, 1, POLLIN), 0);
  ASSERT_EQ(poller.Init(64), 0);
  PollEvent event;
  EXPECT_EQ(poller.size(), 0u);
  EXPECT_EQ(poller.Wait(&event, 1, 0, nullptr), 0);
  close(fd);
}

TEST(PollPoller, DescriptorsBeyondItsRoomAreRefused) {
  PollPoller poller;
  ASSERT_EQ(poller.Init(64), 0);
  EXPECT_EQ(poller.Watch(64, 1, POLLIN), -ENOSPC);
  EXPECT_EQ(poller.Watch(-1, 1, POLLIN), -ENOSPC);
  poller.Forget(64);
  poller.Forget(-1);
}

}  // namespace
}  // namespace bobbin
