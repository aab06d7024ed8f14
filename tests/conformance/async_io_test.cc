// Linux AIO and io_uring, by bare system calls. What completes is a poll of a pipe, so that the
// test decides when.
#include <linux/aio_abi.h>
#include <linux/io_uring.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "tests/conformance/support.h"

namespace conformance {
namespace {

class LinuxAio : public testing::Test {
 protected:
  void SetUp() override { ASSERT_OK(syscall(SYS_io_setup, 8, &context_)); }
  void TearDown() override { EXPECT_OK(syscall(SYS_io_destroy, context_)); }
  // Completes when `fd` is readable.
  void SubmitPoll(int fd) {
    iocb request = {};
    request.aio_lio_opcode = IOCB_CMD_POLL;
    request.aio_fildes = static_cast<uint32_t>(fd);
    request.aio_buf = POLLIN;
    iocb* list[] = {&request};
    EXPECT_EQ(1, syscall(SYS_io_submit, context_, 1, list));
  }
  long Get(long least, long most, timespec* timeout) {
    return syscall(SYS_io_getevents, context_, least, most, events_, timeout);
  }

  aio_context_t context_ = 0;
  io_event events_[8] = {};
};

TEST_F(LinuxAio, WaitForTwoLetsOthersRunAndGathersBoth) {
  Pair one = MakePipe(), two = MakePipe();
  SubmitPoll(one.a);
  SubmitPoll(two.a);
  Event done;
  Thread waiter([&] {
    EXPECT_EQ(2, Get(2, 8, nullptr));
    done.Post();
  });
  Settle();
  EXPECT_TRUE(WriteAll(one.b, "x"));
  EXPECT_FALSE(done.WaitFor(20));
  EXPECT_TRUE(WriteAll(two.b, "x"));
  done.Wait();
}

TEST_F(LinuxAio, TimeOutGivesWhatIsThereAndIsNotEarly) {
  Pair one = MakePipe(), two = MakePipe();
  SubmitPoll(one.a);
  SubmitPoll(two.a);
  EXPECT_TRUE(WriteAll(one.b, "x"));
  timespec time = {0, 20'000'000};
  const int64_t start = NowNs();
  EXPECT_EQ(1, Get(2, 8, &time));
  EXPECT_GE(NowNs() - start, 20'000'000);
  time = {0, 0};
  EXPECT_EQ(0, Get(1, 8, &time));
  EXPECT_ERRNO(EINVAL, syscall(SYS_io_getevents, 0L, 1, 8, events_, nullptr));
  EXPECT_ERRNO(EINVAL, Get(2, 1, nullptr));
  EXPECT_ERRNO(EFAULT, Get(1, 1, reinterpret_cast<timespec*>(1)));
  EXPECT_TRUE(WriteAll(two.b, "x"));
  EXPECT_EQ(1, Get(1, 8, nullptr));
}

TEST_F(LinuxAio, SignalEndsTheWaitEvenWithSaRestart) {
  SignalHandler handler(SIGUSR1, CountSignal, SA_RESTART);
  Pair one = MakePipe();
  SubmitPoll(one.a);
  Event done;
  Thread waiter([&] {
    EXPECT_ERRNO(EINTR, Get(1, 8, nullptr));
    done.Post();
  });
  SignalUntil(waiter.handle(), SIGUSR1, &done);
  EXPECT_TRUE(WriteAll(one.b, "x"));
  EXPECT_EQ(1, Get(1, 8, nullptr));
}

TEST_F(LinuxAio, MaskOfPgeteventsLetsAPendingSignalThrough) {
  SignalHandler handler(SIGUSR1, CountSignal);
  SignalBlock block({SIGUSR1});
  Pair one = MakePipe();
  SubmitPoll(one.a);
  const int before = handled_signals;
  ASSERT_EQ(0, pthread_kill(pthread_self(), SIGUSR1));
  uint64_t open = 0;
  struct {
    const uint64_t* mask;
    size_t size;
  } mask = {&open, sizeof open};
  timespec minute = {60, 0};
  EXPECT_ERRNO(EINTR, syscall(SYS_io_pgetevents, context_, 1, 8, events_, &minute, &mask));
  EXPECT_EQ(before + 1, handled_signals);
  mask.size = 4;
  EXPECT_ERRNO(EINVAL, syscall(SYS_io_pgetevents, context_, 1, 8, events_, &minute, &mask));
  EXPECT_TRUE(WriteAll(one.b, "x"));
  EXPECT_EQ(1, syscall(SYS_io_pgetevents, context_, 1, 8, events_, &minute, nullptr));
}

// A ring as io_uring(7) has it.
class Ring {
 public:
  explicit Ring(unsigned flags) {
    io_uring_params p = {};
    p.flags = flags;
    fd_ = static_cast<int>(syscall(SYS_io_uring_setup, 8, &p));
    EXPECT_OK(fd_) << "io_uring_setup";
    size_t size = p.cq_off.cqes + p.cq_entries * sizeof(io_uring_cqe);
    rings_ = static_cast<char*>(Map(size, IORING_OFF_SQ_RING));
    sqes_ = static_cast<io_uring_sqe*>(Map(p.sq_entries * sizeof(io_uring_sqe), IORING_OFF_SQES));
    sq_tail_ = At(p.sq_off.tail);
    sq_array_ = At(p.sq_off.array);
    sq_mask_ = *At(p.sq_off.ring_mask);
    cq_head_ = At(p.cq_off.head);
    cq_tail_ = At(p.cq_off.tail);
  }
  ~Ring() { close(fd_); }

  int fd() const { return fd_; }
  // Queues a request that completes when `fd` is readable.
  void QueuePoll(int fd) {
    unsigned at = *sq_tail_ & sq_mask_;
    io_uring_sqe& sqe = sqes_[at];
    memset(&sqe, 0, sizeof sqe);
    sqe.opcode = IORING_OP_POLL_ADD;
    sqe.fd = fd;
    sqe.poll32_events = POLLIN;
    sq_array_[at] = at;
    __atomic_store_n(sq_tail_, *sq_tail_ + 1, __ATOMIC_RELEASE);
  }
  unsigned Completions() const { return __atomic_load_n(cq_tail_, __ATOMIC_ACQUIRE) - *cq_head_; }
  void Consume(unsigned count) { __atomic_store_n(cq_head_, *cq_head_ + count, __ATOMIC_RELEASE); }
  long Enter(unsigned submit, unsigned least, unsigned flags, const void* argument = nullptr,
             size_t size = 0) {
    return syscall(SYS_io_uring_enter, fd_, submit, least, flags, argument, size);
  }
  long Wait(unsigned submit, unsigned least) {
    return Enter(submit, least, IORING_ENTER_GETEVENTS);
  }

 private:
  void* Map(size_t size, off_t offset) {
    void* at = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd_, offset);
    EXPECT_NE(MAP_FAILED, at);
    return at;
  }
  unsigned* At(unsigned offset) { return reinterpret_cast<unsigned*>(rings_ + offset); }

  int fd_;
  char* rings_;
  io_uring_sqe* sqes_;
  unsigned *sq_tail_, *sq_array_, *cq_head_, *cq_tail_;
  unsigned sq_mask_;
};

constexpr unsigned kSingleIssuer = 1u << 12, kDeferTaskrun = 1u << 13, kCoopTaskrun = 1u << 8;

// The rings differ in who does the work of a completion, and when.
class IoUring : public testing::TestWithParam<unsigned> {};

TEST_P(IoUring, WaitForTwoLetsOthersRunAndSeesBoth) {
  Pair one = MakePipe(), two = MakePipe();
  Event done;
  Thread waiter([&] {
    Ring ring(GetParam());
    ring.QueuePoll(one.a);
    ring.QueuePoll(two.a);
    EXPECT_EQ(2, ring.Wait(2, 2));
    EXPECT_EQ(2u, ring.Completions());
    ring.Consume(2);
    done.Post();
  });
  Settle();
  EXPECT_TRUE(WriteAll(one.b, "x"));
  EXPECT_FALSE(done.WaitFor(20));
  EXPECT_TRUE(WriteAll(two.b, "x"));
  done.Wait();
}

TEST_P(IoUring, WaitsOneAfterAnotherEachSeeTheirCompletion) {
  Pair pipe = MakePipe();
  Event submitted, seen;
  constexpr int kTimes = 50;
  Thread waiter([&] {
    Ring ring(GetParam());
    for (int i = 0; i < kTimes; ++i) {
      ring.QueuePoll(pipe.a);
      submitted.Post();
      EXPECT_EQ(1, ring.Wait(1, 1));
      EXPECT_EQ(1u, ring.Completions());
      ring.Consume(1);
      EXPECT_EQ("x", ReadExactly(pipe.a, 1));
      seen.Post();
    }
  });
  for (int i = 0; i < kTimes; ++i) {
    submitted.Wait();
    EXPECT_TRUE(WriteAll(pipe.b, "x"));
    seen.Wait();
  }
}

TEST_P(IoUring, TimeOutIsNotEarlyAndKeepsWhatWasSubmitted) {
  Pair pipe = MakePipe();
  Thread([&] {
    Ring ring(GetParam());
    timespec time = {0, 20'000'000};
    io_uring_getevents_arg argument = {};
    argument.ts = reinterpret_cast<uint64_t>(&time);
    const unsigned flags = IORING_ENTER_GETEVENTS | IORING_ENTER_EXT_ARG;
    int64_t start = NowNs();
    EXPECT_ERRNO(ETIME, ring.Enter(0, 1, flags, &argument, sizeof argument));
    EXPECT_GE(NowNs() - start, 20'000'000);
    ring.QueuePoll(pipe.a);
    start = NowNs();
    EXPECT_EQ(1, ring.Enter(1, 1, flags, &argument, sizeof argument));
    EXPECT_GE(NowNs() - start, 20'000'000);
    EXPECT_EQ(0u, ring.Completions());
    EXPECT_TRUE(WriteAll(pipe.b, "x"));
    time.tv_sec = 60;
    EXPECT_EQ(0, ring.Enter(0, 1, flags, &argument, sizeof argument));
    EXPECT_EQ(1u, ring.Completions());
    EXPECT_ERRNO(EINVAL, ring.Enter(0, 2, flags, &argument, 3));
    EXPECT_ERRNO(EFAULT, ring.Enter(0, 2, flags, reinterpret_cast<void*>(1), sizeof argument));
  }).Join();
}

TEST_P(IoUring, SignalEndsTheWait) {
  SignalHandler handler(SIGUSR1, CountSignal, SA_RESTART);
  Event done;
  Thread waiter([&] {
    Ring ring(GetParam());
    EXPECT_ERRNO(EINTR, ring.Wait(0, 1));
    done.Post();
  });
  SignalUntil(waiter.handle(), SIGUSR1, &done);
}

TEST_P(IoUring, MaskLetsAPendingSignalThrough) {
  SignalHandler handler(SIGUSR1, CountSignal);
  Thread([&] {
    SignalBlock block({SIGUSR1});
    Ring ring(GetParam());
    const int before = handled_signals;
    ASSERT_EQ(0, pthread_kill(pthread_self(), SIGUSR1));
    const uint64_t open = 0;
    EXPECT_ERRNO(EINTR, ring.Enter(0, 1, IORING_ENTER_GETEVENTS, &open, sizeof open));
    EXPECT_EQ(before + 1, handled_signals);
    EXPECT_ERRNO(EINVAL, ring.Enter(0, 1, IORING_ENTER_GETEVENTS, &open, 4));
  }).Join();
}

INSTANTIATE_TEST_SUITE_P(Rings, IoUring,
                         testing::Values(0u, kCoopTaskrun, kSingleIssuer,
                                         kSingleIssuer | kDeferTaskrun));

TEST(IoUringCalls, BadOnesFail) {
  io_uring_params p = {};
  EXPECT_ERRNO(EINVAL, syscall(SYS_io_uring_setup, 0, &p));
  EXPECT_ERRNO(EFAULT, syscall(SYS_io_uring_setup, 8, 1));
  EXPECT_ERRNO(EBADF, syscall(SYS_io_uring_enter, -1, 0, 1, IORING_ENTER_GETEVENTS, nullptr, 0));
  EXPECT_ERRNO(EBADF, syscall(SYS_io_uring_register, 9999, IORING_UNREGISTER_BUFFERS, nullptr, 0));
  Pair pipe = MakePipe();
  EXPECT_ERRNO(EOPNOTSUPP,
               syscall(SYS_io_uring_enter, pipe.a.get(), 0, 1, IORING_ENTER_GETEVENTS, nullptr, 0));
  Ring ring(0);
  EXPECT_ERRNO(ENXIO,
               syscall(SYS_io_uring_register, ring.fd(), IORING_UNREGISTER_BUFFERS, nullptr, 0));
}

// A thread of the kernel submits; others are let run while its queue is full.
TEST(IoUringCalls, RoomIsWaitedForWhereTheKernelSubmits) {
  Ring ring(IORING_SETUP_SQPOLL);
  Pair pipe = MakePipe();
  EXPECT_TRUE(WriteAll(pipe.b, "x"));
  for (int i = 0; i < 8; ++i) ring.QueuePoll(pipe.a);
  EXPECT_OK(ring.Enter(0, 0, IORING_ENTER_SQ_WAKEUP | IORING_ENTER_SQ_WAIT));
  EXPECT_OK(ring.Wait(0, 8));
  EXPECT_EQ(8u, ring.Completions());
}

}  // namespace
}  // namespace conformance
