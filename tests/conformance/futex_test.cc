// The futex system call itself, and what is shared between processes.
#include <linux/futex.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <memory>
#include <vector>

#include "tests/conformance/support.h"

namespace conformance {
namespace {

long Futex(std::atomic<uint32_t>* word, int operation, uint32_t value,
           const timespec* timeout = nullptr, std::atomic<uint32_t>* word2 = nullptr,
           uint32_t value3 = 0) {
  return syscall(SYS_futex, word, operation, value, timeout, word2, value3);
}

// For the requeue operations, where the time-out's place holds a number.
long FutexRequeue(std::atomic<uint32_t>* word, int operation, uint32_t wake, uintptr_t requeue,
                  std::atomic<uint32_t>* word2, uint32_t expected = 0) {
  return syscall(SYS_futex, word, operation, wake, requeue, word2, expected);
}

class FutexPrivate : public testing::TestWithParam<int> {
 protected:
  // The operation with or without FUTEX_PRIVATE_FLAG.
  int Op(int operation) const { return operation | GetParam(); }

  // A thread that waits on `word` with this mask and tells when it has woken.
  std::unique_ptr<Thread> Waiter(std::atomic<uint32_t>* word, uint32_t mask = 0) {
    auto thread = std::make_unique<Thread>([this, word, mask] {
      const long result = mask == 0 ? Futex(word, Op(FUTEX_WAIT), 0)
                                    : Futex(word, Op(FUTEX_WAIT_BITSET), 0, nullptr, nullptr, mask);
      EXPECT_EQ(0, result);
      woken_.Post();
    });
    return thread;
  }

  Event woken_;
  std::atomic<uint32_t> word_{0};
  std::atomic<uint32_t> other_{0};
};

INSTANTIATE_TEST_SUITE_P(PrivateAndShared, FutexPrivate, testing::Values(FUTEX_PRIVATE_FLAG, 0));

TEST_P(FutexPrivate, WaitSaysAgainIfTheValueDiffers) {
  EXPECT_ERRNO(EAGAIN, Futex(&word_, Op(FUTEX_WAIT), 1));
}

TEST_P(FutexPrivate, WakeWithoutWaitersGivesZero) {
  EXPECT_EQ(0, Futex(&word_, Op(FUTEX_WAKE), 10));
}

TEST_P(FutexPrivate, WakeWakesAsManyAsAskedAndGivesTheirNumber) {
  std::vector<std::unique_ptr<Thread>> waiters;
  for (int i = 0; i < 5; ++i) waiters.push_back(Waiter(&word_));
  Settle();
  Settle();
  EXPECT_EQ(2, Futex(&word_, Op(FUTEX_WAKE), 2));
  woken_.Wait(2);
  EXPECT_FALSE(woken_.WaitFor(kSettleMs));
  EXPECT_EQ(3, Futex(&word_, Op(FUTEX_WAKE), INT32_MAX));
  woken_.Wait(3);
}

TEST_P(FutexPrivate, RelativeTimeoutIsNotEarly) {
  Stopwatch watch;
  const timespec timeout = Duration(25);
  EXPECT_ERRNO(ETIMEDOUT, Futex(&word_, Op(FUTEX_WAIT), 0, &timeout));
  EXPECT_GE(watch.ElapsedMs(), 25);
}

TEST_P(FutexPrivate, BitsetTimeoutIsAbsoluteOnEitherClock) {
  Stopwatch watch;
  timespec until = FromNow(CLOCK_MONOTONIC, 15);
  EXPECT_ERRNO(ETIMEDOUT,
               Futex(&word_, Op(FUTEX_WAIT_BITSET), 0, &until, nullptr, FUTEX_BITSET_MATCH_ANY));
  EXPECT_GE(watch.ElapsedMs(), 15);
  until = FromNow(CLOCK_REALTIME, 15);
  EXPECT_ERRNO(ETIMEDOUT, Futex(&word_, Op(FUTEX_WAIT_BITSET | FUTEX_CLOCK_REALTIME), 0, &until,
                                nullptr, FUTEX_BITSET_MATCH_ANY));
  EXPECT_GE(watch.ElapsedMs(), 29);
  until = {0, 0};
  EXPECT_ERRNO(ETIMEDOUT,
               Futex(&word_, Op(FUTEX_WAIT_BITSET), 0, &until, nullptr, FUTEX_BITSET_MATCH_ANY));
}

TEST_P(FutexPrivate, BitsetWakesOnlyMatchingWaiters) {
  auto first = Waiter(&word_, 1);
  auto second = Waiter(&word_, 2);
  Settle();
  Settle();
  EXPECT_EQ(0, Futex(&word_, Op(FUTEX_WAKE_BITSET), 10, nullptr, nullptr, 4));
  EXPECT_EQ(1, Futex(&word_, Op(FUTEX_WAKE_BITSET), 10, nullptr, nullptr, 2));
  second->Join();
  EXPECT_EQ(1, Futex(&word_, Op(FUTEX_WAKE_BITSET), 10, nullptr, nullptr, 1));
}

TEST_P(FutexPrivate, PlainWakeMatchesEveryBitset) {
  auto waiter = Waiter(&word_, 1u << 31);
  Settle();
  EXPECT_EQ(1, Futex(&word_, Op(FUTEX_WAKE), 1));
}

TEST_P(FutexPrivate, EmptyBitsetIsInvalid) {
  EXPECT_ERRNO(EINVAL, Futex(&word_, Op(FUTEX_WAIT_BITSET), 0));
  EXPECT_ERRNO(EINVAL, Futex(&word_, Op(FUTEX_WAKE_BITSET), 1));
}

TEST_P(FutexPrivate, BadArgumentsAreInvalid) {
  const timespec bad = {0, 1000000000};
  EXPECT_ERRNO(EINVAL, Futex(&word_, Op(FUTEX_WAIT), 0, &bad));
  const timespec negative = {-1, 0};
  EXPECT_ERRNO(EINVAL, Futex(&word_, Op(FUTEX_WAIT), 0, &negative));
  auto* misaligned = reinterpret_cast<std::atomic<uint32_t>*>(reinterpret_cast<char*>(&word_) + 1);
  EXPECT_ERRNO(EINVAL, Futex(misaligned, Op(FUTEX_WAIT), 0));
  EXPECT_ERRNO(EINVAL, Futex(misaligned, Op(FUTEX_WAKE), 1));
  EXPECT_ERRNO(ENOSYS, Futex(&word_, Op(99), 0));
}

TEST_P(FutexPrivate, UnmappedAddressFaults) {
  void* page = mmap(nullptr, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  EXPECT_ERRNO(EFAULT, Futex(static_cast<std::atomic<uint32_t>*>(page), Op(FUTEX_WAIT), 0));
  munmap(page, 4096);
}

TEST_P(FutexPrivate, RequeueWakesSomeAndMovesTheRest) {
  std::vector<std::unique_ptr<Thread>> waiters;
  for (int i = 0; i < 4; ++i) waiters.push_back(Waiter(&word_));
  Settle();
  Settle();
  EXPECT_EQ(3, FutexRequeue(&word_, Op(FUTEX_REQUEUE), 1, 2, &other_));
  woken_.Wait();
  EXPECT_FALSE(woken_.WaitFor(kSettleMs));
  EXPECT_EQ(2, Futex(&other_, Op(FUTEX_WAKE), 10));
  woken_.Wait(2);
  EXPECT_EQ(1, Futex(&word_, Op(FUTEX_WAKE), 10));
  woken_.Wait();
}

TEST_P(FutexPrivate, CompareRequeueChecksTheValue) {
  auto waiter = Waiter(&word_);
  Settle();
  EXPECT_ERRNO(EAGAIN, FutexRequeue(&word_, Op(FUTEX_CMP_REQUEUE), 0, 1, &other_, 7));
  EXPECT_EQ(1, FutexRequeue(&word_, Op(FUTEX_CMP_REQUEUE), 0, 1, &other_, 0));
  EXPECT_EQ(0, Futex(&word_, Op(FUTEX_WAKE), 1));
  EXPECT_EQ(1, Futex(&other_, Op(FUTEX_WAKE), 1));
}

TEST_P(FutexPrivate, RequeuedWaiterStillTimesOut) {
  Event done;
  Thread waiter([&] {
    Stopwatch watch;
    const timespec timeout = Duration(80);
    EXPECT_ERRNO(ETIMEDOUT, Futex(&word_, Op(FUTEX_WAIT), 0, &timeout));
    EXPECT_GE(watch.ElapsedMs(), 80);
  });
  Settle();
  EXPECT_EQ(1, FutexRequeue(&word_, Op(FUTEX_CMP_REQUEUE), 0, 1, &other_, 0));
  waiter.Join();
  EXPECT_EQ(0, Futex(&other_, Op(FUTEX_WAKE), 1));
}

TEST_P(FutexPrivate, WakeOpChangesTheSecondWordAndWakesBoth) {
  auto first = Waiter(&word_);
  auto second = Waiter(&other_);
  Settle();
  Settle();
  // other = other + 5; wake one on word, and one on other if it was 0.
  const uint32_t operation = FUTEX_OP(FUTEX_OP_ADD, 5, FUTEX_OP_CMP_EQ, 0);
  EXPECT_EQ(2, FutexRequeue(&word_, Op(FUTEX_WAKE_OP), 1, 1, &other_, operation));
  EXPECT_EQ(5u, other_);
}

TEST_P(FutexPrivate, WaitIsInterruptedByASignal) {
  SignalHandler handler(SIGUSR1, CountSignal);
  Event done;
  Thread waiter([&] {
    EXPECT_ERRNO(EINTR, Futex(&word_, Op(FUTEX_WAIT), 0));
    done.Post();
  });
  SignalUntil(waiter.handle(), SIGUSR1, &done);
}

TEST_P(FutexPrivate, NoWakeIsLostBetweenCheckAndSleep) {
  std::atomic<uint32_t> turn{0};
  constexpr uint32_t kRounds = 2000;
  Thread other([&] {
    for (uint32_t i = 0; i < kRounds; ++i) {
      while (turn != 2 * i + 1) Futex(&turn, Op(FUTEX_WAIT), 2 * i);
      turn = 2 * i + 2;
      Futex(&turn, Op(FUTEX_WAKE), 1);
    }
  });
  for (uint32_t i = 0; i < kRounds; ++i) {
    turn = 2 * i + 1;
    Futex(&turn, Op(FUTEX_WAKE), 1);
    while (turn != 2 * i + 2) Futex(&turn, Op(FUTEX_WAIT), 2 * i + 1);
  }
}

// --- Between processes ---------------------------------------------------------------------------

// An object in memory shared with forked children.
template <typename T>
class SharedObject {
 public:
  SharedObject()
      : object_(new (mmap(nullptr, sizeof(T), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
                          -1, 0)) T()) {}
  ~SharedObject() { munmap(object_, sizeof(T)); }
  T* operator->() { return object_; }

 private:
  T* object_;
};

struct SharedState {
  pthread_mutex_t mutex;
  pthread_cond_t condition;
  pthread_rwlock_t lock;
  pthread_barrier_t barrier;
  sem_t semaphore;
  std::atomic<uint32_t> word{0};
  int count = 0;
};

class ProcessShared : public testing::Test {
 protected:
  ProcessShared() {
    pthread_mutexattr_t mutex;
    pthread_mutexattr_init(&mutex);
    pthread_mutexattr_setpshared(&mutex, PTHREAD_PROCESS_SHARED);
    pthread_mutexattr_setrobust(&mutex, PTHREAD_MUTEX_ROBUST);
    EXPECT_EQ(0, pthread_mutex_init(&state_->mutex, &mutex));
    pthread_condattr_t condition;
    pthread_condattr_init(&condition);
    pthread_condattr_setpshared(&condition, PTHREAD_PROCESS_SHARED);
    EXPECT_EQ(0, pthread_cond_init(&state_->condition, &condition));
    pthread_rwlockattr_t lock;
    pthread_rwlockattr_init(&lock);
    pthread_rwlockattr_setpshared(&lock, PTHREAD_PROCESS_SHARED);
    EXPECT_EQ(0, pthread_rwlock_init(&state_->lock, &lock));
    pthread_barrierattr_t barrier;
    pthread_barrierattr_init(&barrier);
    pthread_barrierattr_setpshared(&barrier, PTHREAD_PROCESS_SHARED);
    EXPECT_EQ(0, pthread_barrier_init(&state_->barrier, &barrier, 2));
    EXPECT_EQ(0, sem_init(&state_->semaphore, 1, 0));
  }

  SharedObject<SharedState> state_;
};

TEST_F(ProcessShared, MutexExcludesAcrossProcesses) {
  auto work = [&] {
    for (int i = 0; i < 200; ++i) {
      pthread_mutex_lock(&state_->mutex);
      const int seen = state_->count;
      if (i % 20 == 0) usleep(500);
      state_->count = seen + 1;
      pthread_mutex_unlock(&state_->mutex);
    }
    return 0;
  };
  const pid_t child = StartChild(work);
  {
    Thread a(work);
    Thread b(work);
  }
  ExpectExited(0, WaitForChild(child));
  EXPECT_EQ(600, state_->count);
}

TEST_F(ProcessShared, ConditionSignalledByTheChildWakesAThread) {
  Event waiting;
  Thread waiter([&] {
    pthread_mutex_lock(&state_->mutex);
    waiting.Post();
    while (state_->count == 0) pthread_cond_wait(&state_->condition, &state_->mutex);
    pthread_mutex_unlock(&state_->mutex);
  });
  waiting.Wait();
  Settle();
  ExpectExited(0, RunInChild([&] {
                 pthread_mutex_lock(&state_->mutex);
                 state_->count = 1;
                 pthread_cond_broadcast(&state_->condition);
                 pthread_mutex_unlock(&state_->mutex);
                 return 0;
               }));
}

TEST_F(ProcessShared, ConditionSignalledByTheParentWakesTheChild) {
  const pid_t child = StartChild([&] {
    pthread_mutex_lock(&state_->mutex);
    while (state_->count == 0) pthread_cond_wait(&state_->condition, &state_->mutex);
    pthread_mutex_unlock(&state_->mutex);
    return 5;
  });
  Settle();
  pthread_mutex_lock(&state_->mutex);
  state_->count = 1;
  pthread_mutex_unlock(&state_->mutex);
  pthread_cond_signal(&state_->condition);
  ExpectExited(5, WaitForChild(child));
}

TEST_F(ProcessShared, RobustMutexOfAKilledProcessSaysOwnerDead) {
  const pid_t child = StartChild([&] {
    pthread_mutex_lock(&state_->mutex);
    sem_post(&state_->semaphore);
    pause();
    return 0;
  });
  while (sem_wait(&state_->semaphore) != 0) {
  }
  Thread waiter([&] {
    EXPECT_EQ(EOWNERDEAD, pthread_mutex_lock(&state_->mutex));
    EXPECT_EQ(0, pthread_mutex_consistent(&state_->mutex));
    EXPECT_EQ(0, pthread_mutex_unlock(&state_->mutex));
  });
  Settle();
  EXPECT_OK(kill(child, SIGKILL));
  EXPECT_TRUE(WIFSIGNALED(WaitForChild(child)));
}

TEST_F(ProcessShared, SemaphoreAndBarrierMeet) {
  const pid_t child = StartChild([&] {
    pthread_barrier_wait(&state_->barrier);
    while (sem_wait(&state_->semaphore) != 0) {
    }
    return 0;
  });
  pthread_barrier_wait(&state_->barrier);
  Settle();
  EXPECT_OK(sem_post(&state_->semaphore));
  ExpectExited(0, WaitForChild(child));
}

TEST_F(ProcessShared, RwlockHeldByTheChildBlocksAThread) {
  const pid_t child = StartChild([&] {
    pthread_rwlock_wrlock(&state_->lock);
    sem_post(&state_->semaphore);
    SleepMs(40);
    state_->count = 1;
    pthread_rwlock_unlock(&state_->lock);
    return 0;
  });
  while (sem_wait(&state_->semaphore) != 0) {
  }
  Thread([&] {
    EXPECT_EQ(0, pthread_rwlock_rdlock(&state_->lock));
    EXPECT_EQ(1, state_->count);
    EXPECT_EQ(0, pthread_rwlock_unlock(&state_->lock));
  }).Join();
  ExpectExited(0, WaitForChild(child));
}

TEST_F(ProcessShared, SharedFutexIsWokenFromTheChild) {
  Event waiting;
  Thread waiter([&] {
    waiting.Post();
    while (state_->word == 0) Futex(&state_->word, FUTEX_WAIT, 0);
  });
  waiting.Wait();
  Settle();
  ExpectExited(0, RunInChild([&] {
                 state_->word = 1;
                 return static_cast<int>(Futex(&state_->word, FUTEX_WAKE, 1)) == 1 ? 0 : 1;
               }));
}

TEST_F(ProcessShared, SharedFutexInAFileIsOneWhereverItIsMapped) {
  TempDir directory;
  Fd file(open(directory.MakeFile("shared", std::string(4096, '\0')).c_str(), O_RDWR));
  auto map = [&] {
    return static_cast<std::atomic<uint32_t>*>(
        mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0));
  };
  std::atomic<uint32_t>* first = map();
  std::atomic<uint32_t>* second = map();
  ASSERT_NE(first, second);
  Thread waiter([&] { EXPECT_EQ(0, Futex(first, FUTEX_WAIT, 0)); });
  Settle();
  EXPECT_EQ(1, Futex(second, FUTEX_WAKE, 1));
  waiter.Join();
  munmap(first, 4096);
  munmap(second, 4096);
}

}  // namespace
}  // namespace conformance
