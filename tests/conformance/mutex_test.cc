// pthread mutexes: every type, timed and robust, and priority inheritance.
#include <memory>
#include <vector>

#include "tests/conformance/support.h"

namespace conformance {
namespace {

// A pthread mutex made from attributes.
class Mutex {
 public:
  explicit Mutex(int type = PTHREAD_MUTEX_NORMAL, int robust = PTHREAD_MUTEX_STALLED,
                 int protocol = PTHREAD_PRIO_NONE) {
    pthread_mutexattr_t attributes;
    pthread_mutexattr_init(&attributes);
    EXPECT_EQ(0, pthread_mutexattr_settype(&attributes, type));
    EXPECT_EQ(0, pthread_mutexattr_setrobust(&attributes, robust));
    EXPECT_EQ(0, pthread_mutexattr_setprotocol(&attributes, protocol));
    EXPECT_EQ(0, pthread_mutex_init(&mutex_, &attributes));
    pthread_mutexattr_destroy(&attributes);
  }
  ~Mutex() { pthread_mutex_destroy(&mutex_); }
  pthread_mutex_t* get() { return &mutex_; }

 private:
  pthread_mutex_t mutex_;
};

// Runs `body` in a thread of its own and waits for its end.
void InThread(std::function<void()> body) { Thread(std::move(body)).Join(); }

// Several threads hold the mutex over blocking calls; nobody else may be inside.
void ExpectExclusion(Mutex* mutex) {
  int inside = 0;
  int total = 0;
  std::vector<std::unique_ptr<Thread>> threads;
  for (int i = 0; i < 6; ++i) {
    threads.push_back(std::make_unique<Thread>([&] {
      for (int round = 0; round < 10; ++round) {
        EXPECT_EQ(0, pthread_mutex_lock(mutex->get()));
        EXPECT_EQ(1, ++inside);
        if (round % 2 == 0) usleep(500);
        --inside;
        ++total;
        EXPECT_EQ(0, pthread_mutex_unlock(mutex->get()));
      }
    }));
  }
  threads.clear();
  EXPECT_EQ(60, total);
}

TEST(Mutex, NormalExcludesWhileItsHolderBlocks) {
  Mutex mutex;
  ExpectExclusion(&mutex);
}

TEST(Mutex, StaticInitialisersWork) {
  static pthread_mutex_t plain = PTHREAD_MUTEX_INITIALIZER;
  static pthread_mutex_t recursive = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP;
  static pthread_mutex_t checking = PTHREAD_ERRORCHECK_MUTEX_INITIALIZER_NP;
  static pthread_mutex_t adaptive = PTHREAD_ADAPTIVE_MUTEX_INITIALIZER_NP;
  for (pthread_mutex_t* mutex : {&plain, &recursive, &checking, &adaptive}) {
    EXPECT_EQ(0, pthread_mutex_lock(mutex));
    EXPECT_EQ(0, pthread_mutex_unlock(mutex));
  }
}

TEST(Mutex, HeldOverABlockingReadLetsUnrelatedThreadsRun) {
  Mutex mutex;
  Pair pipe = MakePipe();
  Event locked;
  Event waiting;
  std::string order;
  Thread holder([&] {
    pthread_mutex_lock(mutex.get());
    locked.Post();
    char c;
    EXPECT_EQ(1, read(pipe.a, &c, 1));
    order += "r";
    pthread_mutex_unlock(mutex.get());
  });
  locked.Wait();
  Thread waiter([&] {
    waiting.Post();
    pthread_mutex_lock(mutex.get());
    order += "w";
    pthread_mutex_unlock(mutex.get());
  });
  waiting.Wait();
  Settle();
  EXPECT_EQ(1, write(pipe.b, "x", 1));
  waiter.Join();
  EXPECT_EQ("rw", order);
}

TEST(Mutex, TryLockIsBusyWhileHeldEvenByTheCaller) {
  Mutex mutex;
  EXPECT_EQ(0, pthread_mutex_trylock(mutex.get()));
  EXPECT_EQ(EBUSY, pthread_mutex_trylock(mutex.get()));
  InThread([&] { EXPECT_EQ(EBUSY, pthread_mutex_trylock(mutex.get())); });
  EXPECT_EQ(0, pthread_mutex_unlock(mutex.get()));
}

TEST(Mutex, DestroyOfALockedOneIsBusy) {
  pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
  pthread_mutex_lock(&mutex);
  EXPECT_EQ(EBUSY, pthread_mutex_destroy(&mutex));
  pthread_mutex_unlock(&mutex);
  EXPECT_EQ(0, pthread_mutex_destroy(&mutex));
}

TEST(Mutex, ManyWaitersAllGetIt) {
  Mutex mutex;
  int got = 0;
  pthread_mutex_lock(mutex.get());
  std::vector<std::unique_ptr<Thread>> threads;
  for (int i = 0; i < 200; ++i) {
    threads.push_back(std::make_unique<Thread>(
        [&] {
          pthread_mutex_lock(mutex.get());
          ++got;
          pthread_mutex_unlock(mutex.get());
        },
        64 * 1024));
  }
  Settle();
  EXPECT_EQ(0, got);
  pthread_mutex_unlock(mutex.get());
  threads.clear();
  EXPECT_EQ(200, got);
}

TEST(MutexTimed, TimesOutNotEarlyAndThenGetsIt) {
  Mutex mutex;
  pthread_mutex_lock(mutex.get());
  Event timed_out;
  Thread other([&] {
    Stopwatch watch;
    timespec until = FromNow(CLOCK_REALTIME, 30);
    EXPECT_EQ(ETIMEDOUT, pthread_mutex_timedlock(mutex.get(), &until));
    EXPECT_GE(watch.ElapsedMs(), 29);
    timed_out.Post();
    until = FromNow(CLOCK_REALTIME, 60000);
    EXPECT_EQ(0, pthread_mutex_timedlock(mutex.get(), &until));
    pthread_mutex_unlock(mutex.get());
  });
  timed_out.Wait();
  Settle();
  pthread_mutex_unlock(mutex.get());
}

TEST(MutexTimed, PastDeadlineStillTakesAFreeOne) {
  Mutex mutex;
  const timespec past = FromNow(CLOCK_REALTIME, -1000);
  EXPECT_EQ(0, pthread_mutex_timedlock(mutex.get(), &past));
  InThread([&] { EXPECT_EQ(ETIMEDOUT, pthread_mutex_timedlock(mutex.get(), &past)); });
  pthread_mutex_unlock(mutex.get());
}

TEST(MutexTimed, BadNanosecondsAreInvalidOnlyIfItHasToWait) {
  Mutex mutex;
  const timespec bad = {time(nullptr) + 10, 1000000000};
  EXPECT_EQ(0, pthread_mutex_timedlock(mutex.get(), &bad));
  InThread([&] { EXPECT_EQ(EINVAL, pthread_mutex_timedlock(mutex.get(), &bad)); });
  pthread_mutex_unlock(mutex.get());
}

TEST(MutexTimed, ClockLockTakesTheMonotonicClock) {
  Mutex mutex;
  pthread_mutex_lock(mutex.get());
  InThread([&] {
    Stopwatch watch;
    const timespec until = FromNow(CLOCK_MONOTONIC, 25);
    EXPECT_EQ(ETIMEDOUT, pthread_mutex_clocklock(mutex.get(), CLOCK_MONOTONIC, &until));
    EXPECT_GE(watch.ElapsedMs(), 25);
    EXPECT_EQ(EINVAL, pthread_mutex_clocklock(mutex.get(), CLOCK_PROCESS_CPUTIME_ID, &until));
  });
  pthread_mutex_unlock(mutex.get());
}

TEST(MutexRecursive, CountsLocksOfItsOwner) {
  Mutex mutex(PTHREAD_MUTEX_RECURSIVE);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(0, pthread_mutex_lock(mutex.get()));
  for (int i = 0; i < 3; ++i) {
    InThread([&] { EXPECT_EQ(EBUSY, pthread_mutex_trylock(mutex.get())); });
    EXPECT_EQ(0, pthread_mutex_unlock(mutex.get()));
  }
  EXPECT_EQ(EPERM, pthread_mutex_unlock(mutex.get()));
}

TEST(MutexRecursive, OtherThreadMayNotUnlock) {
  Mutex mutex(PTHREAD_MUTEX_RECURSIVE);
  pthread_mutex_lock(mutex.get());
  InThread([&] { EXPECT_EQ(EPERM, pthread_mutex_unlock(mutex.get())); });
  pthread_mutex_unlock(mutex.get());
}

TEST(MutexRecursive, Excludes) {
  Mutex mutex(PTHREAD_MUTEX_RECURSIVE);
  ExpectExclusion(&mutex);
}

TEST(MutexErrorCheck, RelockIsDeadlockAndForeignUnlockIsRefused) {
  Mutex mutex(PTHREAD_MUTEX_ERRORCHECK);
  EXPECT_EQ(EPERM, pthread_mutex_unlock(mutex.get()));
  EXPECT_EQ(0, pthread_mutex_lock(mutex.get()));
  EXPECT_EQ(EDEADLK, pthread_mutex_lock(mutex.get()));
  EXPECT_EQ(EBUSY, pthread_mutex_trylock(mutex.get()));
  const timespec until = FromNow(CLOCK_REALTIME, 1000);
  EXPECT_EQ(EDEADLK, pthread_mutex_timedlock(mutex.get(), &until));
  InThread([&] { EXPECT_EQ(EPERM, pthread_mutex_unlock(mutex.get())); });
  EXPECT_EQ(0, pthread_mutex_unlock(mutex.get()));
}

TEST(MutexErrorCheck, Excludes) {
  Mutex mutex(PTHREAD_MUTEX_ERRORCHECK);
  ExpectExclusion(&mutex);
}

TEST(MutexAttributes, RejectWrongValues) {
  pthread_mutexattr_t attributes;
  pthread_mutexattr_init(&attributes);
  EXPECT_EQ(EINVAL, pthread_mutexattr_settype(&attributes, 99));
  EXPECT_EQ(EINVAL, pthread_mutexattr_setrobust(&attributes, 99));
  EXPECT_EQ(EINVAL, pthread_mutexattr_setpshared(&attributes, 99));
  EXPECT_EQ(EINVAL, pthread_mutexattr_setprotocol(&attributes, 99));
  int type = -1;
  EXPECT_EQ(0, pthread_mutexattr_gettype(&attributes, &type));
  EXPECT_EQ(PTHREAD_MUTEX_DEFAULT, type);
  pthread_mutexattr_destroy(&attributes);
}

TEST(MutexRobust, LockAfterItsOwnerEndedSaysOwnerDeadAndCanBeMadeConsistent) {
  Mutex mutex(PTHREAD_MUTEX_NORMAL, PTHREAD_MUTEX_ROBUST);
  InThread([&] { EXPECT_EQ(0, pthread_mutex_lock(mutex.get())); });
  EXPECT_EQ(EOWNERDEAD, pthread_mutex_lock(mutex.get()));
  EXPECT_EQ(0, pthread_mutex_consistent(mutex.get()));
  EXPECT_EQ(0, pthread_mutex_unlock(mutex.get()));
  EXPECT_EQ(0, pthread_mutex_lock(mutex.get()));
  EXPECT_EQ(0, pthread_mutex_unlock(mutex.get()));
}

TEST(MutexRobust, WaiterIsWokenWhenTheOwnerEnds) {
  Mutex mutex(PTHREAD_MUTEX_NORMAL, PTHREAD_MUTEX_ROBUST);
  Event locked;
  Event end;
  Thread owner([&] {
    pthread_mutex_lock(mutex.get());
    locked.Post();
    end.Wait();
  });
  locked.Wait();
  Event waiting;
  Thread waiter([&] {
    waiting.Post();
    EXPECT_EQ(EOWNERDEAD, pthread_mutex_lock(mutex.get()));
    EXPECT_EQ(0, pthread_mutex_consistent(mutex.get()));
    EXPECT_EQ(0, pthread_mutex_unlock(mutex.get()));
  });
  waiting.Wait();
  Settle();
  end.Post();
}

TEST(MutexRobust, UnlockedWithoutBeingMadeConsistentIsNotRecoverable) {
  Mutex mutex(PTHREAD_MUTEX_NORMAL, PTHREAD_MUTEX_ROBUST);
  InThread([&] { pthread_mutex_lock(mutex.get()); });
  EXPECT_EQ(EOWNERDEAD, pthread_mutex_lock(mutex.get()));
  EXPECT_EQ(0, pthread_mutex_unlock(mutex.get()));
  EXPECT_EQ(ENOTRECOVERABLE, pthread_mutex_lock(mutex.get()));
  EXPECT_EQ(ENOTRECOVERABLE, pthread_mutex_trylock(mutex.get()));
}

TEST(MutexRobust, TryLockAndTimedLockSayOwnerDeadToo) {
  for (int way = 0; way < 2; ++way) {
    Mutex mutex(PTHREAD_MUTEX_NORMAL, PTHREAD_MUTEX_ROBUST);
    InThread([&] { pthread_mutex_lock(mutex.get()); });
    const timespec until = FromNow(CLOCK_REALTIME, 60000);
    EXPECT_EQ(EOWNERDEAD, way == 0 ? pthread_mutex_trylock(mutex.get())
                                   : pthread_mutex_timedlock(mutex.get(), &until));
    EXPECT_EQ(0, pthread_mutex_consistent(mutex.get()));
    EXPECT_EQ(0, pthread_mutex_unlock(mutex.get()));
  }
}

TEST(MutexRobust, SeveralHeldByOneThreadAllSayOwnerDead) {
  Mutex a(PTHREAD_MUTEX_NORMAL, PTHREAD_MUTEX_ROBUST);
  Mutex b(PTHREAD_MUTEX_RECURSIVE, PTHREAD_MUTEX_ROBUST);
  Mutex c(PTHREAD_MUTEX_ERRORCHECK, PTHREAD_MUTEX_ROBUST);
  InThread([&] {
    for (Mutex* mutex : {&a, &b, &c}) pthread_mutex_lock(mutex->get());
  });
  for (Mutex* mutex : {&a, &b, &c}) {
    EXPECT_EQ(EOWNERDEAD, pthread_mutex_lock(mutex->get()));
    EXPECT_EQ(0, pthread_mutex_consistent(mutex->get()));
    EXPECT_EQ(0, pthread_mutex_unlock(mutex->get()));
  }
}

TEST(MutexRobust, ConsistentOfAHealthyOneIsInvalid) {
  Mutex mutex(PTHREAD_MUTEX_NORMAL, PTHREAD_MUTEX_ROBUST);
  pthread_mutex_lock(mutex.get());
  EXPECT_EQ(EINVAL, pthread_mutex_consistent(mutex.get()));
  pthread_mutex_unlock(mutex.get());
}

TEST(MutexRobust, Excludes) {
  Mutex mutex(PTHREAD_MUTEX_NORMAL, PTHREAD_MUTEX_ROBUST);
  ExpectExclusion(&mutex);
}

TEST(MutexPriorityInheritance, LocksAndUnlocks) {
  Mutex mutex(PTHREAD_MUTEX_NORMAL, PTHREAD_MUTEX_STALLED, PTHREAD_PRIO_INHERIT);
  EXPECT_EQ(0, pthread_mutex_lock(mutex.get()));
  InThread([&] { EXPECT_EQ(EBUSY, pthread_mutex_trylock(mutex.get())); });
  EXPECT_EQ(0, pthread_mutex_unlock(mutex.get()));
}

TEST(MutexPriorityInheritance, Excludes) {
  Mutex mutex(PTHREAD_MUTEX_NORMAL, PTHREAD_MUTEX_STALLED, PTHREAD_PRIO_INHERIT);
  ExpectExclusion(&mutex);
}

TEST(MutexPriorityInheritance, TimedLockTimesOutNotEarly) {
  Mutex mutex(PTHREAD_MUTEX_NORMAL, PTHREAD_MUTEX_STALLED, PTHREAD_PRIO_INHERIT);
  pthread_mutex_lock(mutex.get());
  InThread([&] {
    Stopwatch watch;
    const timespec until = FromNow(CLOCK_REALTIME, 20);
    EXPECT_EQ(ETIMEDOUT, pthread_mutex_timedlock(mutex.get(), &until));
    EXPECT_GE(watch.ElapsedMs(), 19);
  });
  pthread_mutex_unlock(mutex.get());
}

TEST(MutexPriorityInheritance, RobustSaysOwnerDead) {
  Mutex mutex(PTHREAD_MUTEX_NORMAL, PTHREAD_MUTEX_ROBUST, PTHREAD_PRIO_INHERIT);
  InThread([&] { pthread_mutex_lock(mutex.get()); });
  EXPECT_EQ(EOWNERDEAD, pthread_mutex_lock(mutex.get()));
  EXPECT_EQ(0, pthread_mutex_consistent(mutex.get()));
  EXPECT_EQ(0, pthread_mutex_unlock(mutex.get()));
}

}  // namespace
}  // namespace conformance
