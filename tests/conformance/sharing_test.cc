// Locks between processes, and what becomes of them when a process or a thread ends:
// pthread_mutexattr_setpshared(3), pthread_mutexattr_setrobust(3), futex(2).
#include <linux/futex.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include <memory>

#include "support.h"

namespace conformance {
namespace {

// Memory that parent and child share.
template <typename T>
class Shared {
 public:
  Shared() {
    void* at = mmap(nullptr, sizeof(T), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    EXPECT_NE(MAP_FAILED, at);
    value_ = static_cast<T*>(at);
  }
  ~Shared() { munmap(value_, sizeof(T)); }
  Shared(const Shared&) = delete;
  Shared& operator=(const Shared&) = delete;
  T* operator->() { return value_; }
  T* get() { return value_; }

 private:
  T* value_;
};

void MakeShared(pthread_mutex_t* mutex, int type, int robust, int protocol = PTHREAD_PRIO_NONE) {
  pthread_mutexattr_t attributes;
  pthread_mutexattr_init(&attributes);
  pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
  EXPECT_EQ(0, pthread_mutexattr_settype(&attributes, type));
  EXPECT_EQ(0, pthread_mutexattr_setrobust(&attributes, robust));
  EXPECT_EQ(0, pthread_mutexattr_setprotocol(&attributes, protocol));
  EXPECT_EQ(0, pthread_mutex_init(mutex, &attributes));
  pthread_mutexattr_destroy(&attributes);
}

struct Locks {
  pthread_mutex_t mutex[8];
  sem_t held, go;
};

class SharedLocks : public testing::Test {
 protected:
  void SetUp() override {
    sem_init(&shared_->held, 1, 0);
    sem_init(&shared_->go, 1, 0);
  }
  void AwaitHeld() {
    while (sem_wait(&shared_->held) != 0) continue;
  }

  Shared<Locks> shared_;
};

// The first thread of the parent against the first of the child: an owner is told by its id.
TEST_F(SharedLocks, OwnerInAnotherProcessIsNotTakenForTheCaller) {
  MakeShared(&shared_->mutex[0], PTHREAD_MUTEX_RECURSIVE, PTHREAD_MUTEX_STALLED);
  MakeShared(&shared_->mutex[1], PTHREAD_MUTEX_ERRORCHECK, PTHREAD_MUTEX_STALLED);
  MakeShared(&shared_->mutex[2], PTHREAD_MUTEX_NORMAL, PTHREAD_MUTEX_STALLED, PTHREAD_PRIO_INHERIT);
  pid_t child = StartChild([this] {
    Thread([this] {
      for (int i = 0; i < 3; ++i) EXPECT_EQ(0, pthread_mutex_lock(&shared_->mutex[i]));
      sem_post(&shared_->held);
      while (sem_wait(&shared_->go) != 0) continue;
      for (int i = 0; i < 3; ++i) EXPECT_EQ(0, pthread_mutex_unlock(&shared_->mutex[i]));
    }).Join();
    return 0;
  });
  AwaitHeld();
  for (int round = 0; round < 3; ++round) {
    Thread([this] {
      EXPECT_EQ(EBUSY, pthread_mutex_trylock(&shared_->mutex[0]));
      EXPECT_EQ(EBUSY, pthread_mutex_trylock(&shared_->mutex[1]));
      EXPECT_EQ(EPERM, pthread_mutex_unlock(&shared_->mutex[1]));
      EXPECT_EQ(EBUSY, pthread_mutex_trylock(&shared_->mutex[2]));
      EXPECT_EQ(EPERM, pthread_mutex_unlock(&shared_->mutex[2]));
    }).Join();
  }
  sem_post(&shared_->go);
  Thread([this] {
    for (int i = 0; i < 3; ++i) {
      EXPECT_EQ(0, pthread_mutex_lock(&shared_->mutex[i]));
      EXPECT_EQ(0, pthread_mutex_unlock(&shared_->mutex[i]));
    }
  }).Join();
  ExpectExited(0, WaitForChild(child));
}

// How the process ends while threads of it hold robust locks. The main thread is not among them.
struct Ending {
  const char* name;
  void (*end)();
};

class RobustAtTheEnd : public SharedLocks, public testing::WithParamInterface<Ending> {};

TEST_P(RobustAtTheEnd, LocksOfEveryThreadSayOwnerDead) {
  constexpr int kThreads = 4;
  for (int i = 0; i < 2 * kThreads; ++i) {
    MakeShared(&shared_->mutex[i], PTHREAD_MUTEX_NORMAL, PTHREAD_MUTEX_ROBUST,
               i % 2 == 0 ? PTHREAD_PRIO_NONE : PTHREAD_PRIO_INHERIT);
  }
  pid_t child = StartChild([this] {
    Event held, never;
    std::unique_ptr<Thread> threads[kThreads];
    for (int t = 0; t < kThreads; ++t) {
      threads[t] = std::make_unique<Thread>([this, t, &held, &never] {
        pthread_mutex_lock(&shared_->mutex[2 * t]);
        pthread_mutex_lock(&shared_->mutex[2 * t + 1]);
        held.Post();
        never.Wait();
      });
    }
    held.Wait(kThreads);
    sem_post(&shared_->held);
    while (sem_wait(&shared_->go) != 0) continue;
    GetParam().end();
    return 0;
  });
  AwaitHeld();
  Event waiting;
  Thread waiter([this, &waiting] {
    waiting.Post();
    EXPECT_EQ(EOWNERDEAD, pthread_mutex_lock(&shared_->mutex[0]));
  });
  waiting.Wait();
  Settle();
  sem_post(&shared_->go);
  WaitForChild(child);
  waiter.Join();
  for (int i = 1; i < 2 * kThreads; ++i) {
    EXPECT_EQ(EOWNERDEAD, pthread_mutex_trylock(&shared_->mutex[i])) << i;
    EXPECT_EQ(0, pthread_mutex_consistent(&shared_->mutex[i]));
    EXPECT_EQ(0, pthread_mutex_unlock(&shared_->mutex[i]));
  }
}

INSTANTIATE_TEST_SUITE_P(Process, RobustAtTheEnd,
                         testing::Values(Ending{"Exit", [] { _exit(0); }},
                                         Ending{"Abort", [] { abort(); }},
                                         Ending{"RaisedKill", [] { raise(SIGKILL); }},
                                         Ending{"RaisedTerm", [] { raise(SIGTERM); }},
                                         Ending{"KillOfItself", [] { kill(getpid(), SIGKILL); }}),
                         [](const testing::TestParamInfo<Ending>& info) {
                           return info.param.name;
                         });

// Sent, but not delivered: nobody has ended.
TEST_F(SharedLocks, FatalSignalThatIsBlockedReleasesNothing) {
  MakeShared(&shared_->mutex[0], PTHREAD_MUTEX_NORMAL, PTHREAD_MUTEX_ROBUST);
  ExpectExited(
      0, RunInChild([this] {
        sigset_t all;
        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, nullptr);
        EXPECT_EQ(0, pthread_mutex_lock(&shared_->mutex[0]));
        EXPECT_OK(kill(getpid(), SIGTERM));
        EXPECT_EQ(0, raise(SIGTERM));
        Thread([this] { EXPECT_EQ(EBUSY, pthread_mutex_trylock(&shared_->mutex[0])); }).Join();
        return pthread_mutex_unlock(&shared_->mutex[0]);
      }));
  EXPECT_EQ(0, pthread_mutex_lock(&shared_->mutex[0]));
  EXPECT_EQ(0, pthread_mutex_unlock(&shared_->mutex[0]));
}

TEST_F(SharedLocks, SemaphoreWakesThreadsOfTheOtherProcessOneByOne) {
  constexpr int kThreads = 20;
  std::atomic<int> through{0};
  Event passed;
  std::unique_ptr<Thread> threads[kThreads];
  for (auto& thread : threads) {
    thread = std::make_unique<Thread>([this, &through, &passed] {
      while (sem_wait(&shared_->go) != 0) continue;
      ++through;
      passed.Post();
    });
  }
  Settle();
  for (int i = 1; i <= kThreads; ++i) {
    ExpectExited(0, RunInChild([this] { return sem_post(&shared_->go); }));
    passed.Wait();
    EXPECT_EQ(i, through);
  }
}

// --- The system call -----------------------------------------------------------------------------

long Futex(uint32_t* word, int operation, uint32_t value, const timespec* timeout = nullptr,
           uint32_t* word2 = nullptr, uint32_t value3 = 0) {
  return syscall(SYS_futex, word, operation, value, timeout, word2, value3);
}

TEST(FutexPriorityInheritance, HandsOverToAWaiterAndTellsOfDeadlock) {
  uint32_t word = 0;
  EXPECT_OK(Futex(&word, FUTEX_LOCK_PI_PRIVATE, 0));
  EXPECT_EQ(static_cast<uint32_t>(gettid()), word & FUTEX_TID_MASK);
  EXPECT_ERRNO(EDEADLK, Futex(&word, FUTEX_LOCK_PI_PRIVATE, 0));
  Event waiting;
  Thread waiter([&] {
    EXPECT_ERRNO(EAGAIN, Futex(&word, FUTEX_TRYLOCK_PI_PRIVATE, 0));
    EXPECT_ERRNO(EPERM, Futex(&word, FUTEX_UNLOCK_PI_PRIVATE, 0));
    waiting.Post();
    EXPECT_OK(Futex(&word, FUTEX_LOCK_PI_PRIVATE, 0));
    EXPECT_EQ(static_cast<uint32_t>(gettid()), word & FUTEX_TID_MASK);
    EXPECT_OK(Futex(&word, FUTEX_UNLOCK_PI_PRIVATE, 0));
  });
  waiting.Wait();
  Settle();
  EXPECT_OK(Futex(&word, FUTEX_UNLOCK_PI_PRIVATE, 0));
  waiter.Join();
}

TEST(FutexPriorityInheritance, OwnerThatIsGoneIsNoSuchThread) {
  uint32_t word = 0;
  Thread([&word] { word = static_cast<uint32_t>(gettid()); }).Join();
  EXPECT_ERRNO(ESRCH, Futex(&word, FUTEX_LOCK_PI_PRIVATE, 0));
}

TEST(FutexPriorityInheritance, RequeuedWaitersTakeTheLockOneAfterAnother) {
  constexpr int kWaiters = 4;
  uint32_t condition = 1, lock = 0;
  int through = 0;
  Event waiting;
  std::unique_ptr<Thread> waiters[kWaiters];
  for (auto& waiter : waiters) {
    waiter = std::make_unique<Thread>([&] {
      waiting.Post();
      EXPECT_OK(Futex(&condition, FUTEX_WAIT_REQUEUE_PI_PRIVATE, 1, nullptr, &lock));
      EXPECT_EQ(static_cast<uint32_t>(gettid()), lock & FUTEX_TID_MASK);
      ++through;
      EXPECT_OK(Futex(&lock, FUTEX_UNLOCK_PI_PRIVATE, 0));
    });
  }
  waiting.Wait(kWaiters);
  Settle();
  EXPECT_OK(Futex(&lock, FUTEX_LOCK_PI_PRIVATE, 0));
  auto move = reinterpret_cast<const timespec*>(static_cast<uintptr_t>(INT32_MAX));
  EXPECT_ERRNO(EAGAIN, Futex(&condition, FUTEX_CMP_REQUEUE_PI_PRIVATE, 1, move, &lock, 2));
  EXPECT_EQ(kWaiters, Futex(&condition, FUTEX_CMP_REQUEUE_PI_PRIVATE, 1, move, &lock, 1));
  Settle();
  EXPECT_EQ(0, through);
  EXPECT_OK(Futex(&lock, FUTEX_UNLOCK_PI_PRIVATE, 0));
  for (auto& waiter : waiters) waiter->Join();
  EXPECT_EQ(kWaiters, through);
}

TEST(FutexPriorityInheritance, WaitToBeRequeuedTimesOutNotEarly) {
  uint32_t condition = 1, lock = 0;
  Stopwatch watch;
  timespec until = FromNow(CLOCK_MONOTONIC, 30);
  EXPECT_ERRNO(ETIMEDOUT, Futex(&condition, FUTEX_WAIT_REQUEUE_PI_PRIVATE, 1, &until, &lock));
  EXPECT_GE(watch.ElapsedMs(), 29);
  EXPECT_ERRNO(EAGAIN, Futex(&condition, FUTEX_WAIT_REQUEUE_PI_PRIVATE, 2, &until, &lock));
}

}  // namespace
}  // namespace conformance
