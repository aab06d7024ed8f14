// Read-write locks, barriers and spin locks.
#include <memory>
#include <vector>

#include "tests/conformance/support.h"

namespace conformance {
namespace {

class ReadWriteLock : public testing::Test {
 protected:
  ~ReadWriteLock() override { EXPECT_EQ(0, pthread_rwlock_destroy(&lock_)); }
  void InThread(std::function<void()> body) { Thread(std::move(body)).Join(); }

  pthread_rwlock_t lock_ = PTHREAD_RWLOCK_INITIALIZER;
};

TEST_F(ReadWriteLock, ReadersShare) {
  EXPECT_EQ(0, pthread_rwlock_rdlock(&lock_));
  InThread([&] {
    EXPECT_EQ(0, pthread_rwlock_rdlock(&lock_));
    EXPECT_EQ(0, pthread_rwlock_unlock(&lock_));
    EXPECT_EQ(0, pthread_rwlock_tryrdlock(&lock_));
    EXPECT_EQ(0, pthread_rwlock_unlock(&lock_));
    EXPECT_EQ(EBUSY, pthread_rwlock_trywrlock(&lock_));
  });
  EXPECT_EQ(0, pthread_rwlock_unlock(&lock_));
}

TEST_F(ReadWriteLock, WriterExcludesBoth) {
  EXPECT_EQ(0, pthread_rwlock_wrlock(&lock_));
  InThread([&] {
    EXPECT_EQ(EBUSY, pthread_rwlock_tryrdlock(&lock_));
    EXPECT_EQ(EBUSY, pthread_rwlock_trywrlock(&lock_));
  });
  EXPECT_EQ(0, pthread_rwlock_unlock(&lock_));
}

TEST_F(ReadWriteLock, RelockByTheWriterIsDeadlock) {
  EXPECT_EQ(0, pthread_rwlock_wrlock(&lock_));
  EXPECT_EQ(EDEADLK, pthread_rwlock_wrlock(&lock_));
  EXPECT_EQ(EDEADLK, pthread_rwlock_rdlock(&lock_));
  EXPECT_EQ(0, pthread_rwlock_unlock(&lock_));
}

TEST_F(ReadWriteLock, WriterWaitsForReadersAndReadersForTheWriter) {
  std::string order;
  Event waiting;
  pthread_rwlock_rdlock(&lock_);
  Thread writer([&] {
    waiting.Post();
    pthread_rwlock_wrlock(&lock_);
    order += "w";
    waiting.Post();
    SleepMs(30);
    order += "W";
    pthread_rwlock_unlock(&lock_);
  });
  waiting.Wait();
  Settle();
  order += "r";
  pthread_rwlock_unlock(&lock_);
  waiting.Wait();
  pthread_rwlock_rdlock(&lock_);
  order += "R";
  pthread_rwlock_unlock(&lock_);
  writer.Join();
  EXPECT_EQ("rwWR", order);
}

TEST_F(ReadWriteLock, TimedOnesTimeOutNotEarly) {
  pthread_rwlock_wrlock(&lock_);
  InThread([&] {
    Stopwatch watch;
    timespec until = FromNow(CLOCK_REALTIME, 20);
    EXPECT_EQ(ETIMEDOUT, pthread_rwlock_timedrdlock(&lock_, &until));
    EXPECT_GE(watch.ElapsedMs(), 19);
    until = FromNow(CLOCK_REALTIME, 20);
    EXPECT_EQ(ETIMEDOUT, pthread_rwlock_timedwrlock(&lock_, &until));
    EXPECT_GE(watch.ElapsedMs(), 38);
  });
  pthread_rwlock_unlock(&lock_);
}

TEST_F(ReadWriteLock, ClockOnesTakeTheMonotonicClock) {
  pthread_rwlock_wrlock(&lock_);
  InThread([&] {
    Stopwatch watch;
    timespec until = FromNow(CLOCK_MONOTONIC, 15);
    EXPECT_EQ(ETIMEDOUT, pthread_rwlock_clockrdlock(&lock_, CLOCK_MONOTONIC, &until));
    until = FromNow(CLOCK_MONOTONIC, 15);
    EXPECT_EQ(ETIMEDOUT, pthread_rwlock_clockwrlock(&lock_, CLOCK_MONOTONIC, &until));
    EXPECT_GE(watch.ElapsedMs(), 30);
    EXPECT_EQ(EINVAL, pthread_rwlock_clockrdlock(&lock_, CLOCK_PROCESS_CPUTIME_ID, &until));
  });
  pthread_rwlock_unlock(&lock_);
}

TEST_F(ReadWriteLock, TimedWriterThatGivesUpLetsReadersIn) {
  pthread_rwlock_rdlock(&lock_);
  InThread([&] {
    const timespec until = FromNow(CLOCK_REALTIME, 15);
    EXPECT_EQ(ETIMEDOUT, pthread_rwlock_timedwrlock(&lock_, &until));
  });
  InThread([&] {
    EXPECT_EQ(0, pthread_rwlock_rdlock(&lock_));
    pthread_rwlock_unlock(&lock_);
  });
  pthread_rwlock_unlock(&lock_);
}

TEST_F(ReadWriteLock, TimedOnesGetItWhenItIsReleased) {
  pthread_rwlock_wrlock(&lock_);
  Event waiting;
  Thread reader([&] {
    const timespec until = FromNow(CLOCK_REALTIME, 60000);
    waiting.Post();
    EXPECT_EQ(0, pthread_rwlock_timedrdlock(&lock_, &until));
    pthread_rwlock_unlock(&lock_);
  });
  Thread writer([&] {
    const timespec until = FromNow(CLOCK_REALTIME, 60000);
    waiting.Post();
    EXPECT_EQ(0, pthread_rwlock_timedwrlock(&lock_, &until));
    pthread_rwlock_unlock(&lock_);
  });
  waiting.Wait(2);
  Settle();
  pthread_rwlock_unlock(&lock_);
}

void ContendReadersAndWriters(pthread_rwlock_t* lock) {
  int readers = 0;
  int writers = 0;
  int writes = 0;
  pthread_mutex_t count_mutex = PTHREAD_MUTEX_INITIALIZER;
  auto count = [&](int* counter, int by) {
    pthread_mutex_lock(&count_mutex);
    *counter += by;
    pthread_mutex_unlock(&count_mutex);
  };
  {
    std::vector<std::unique_ptr<Thread>> threads;
    for (int i = 0; i < 4; ++i) {
      threads.push_back(std::make_unique<Thread>([&] {
        for (int round = 0; round < 20; ++round) {
          EXPECT_EQ(0, pthread_rwlock_rdlock(lock));
          count(&readers, 1);
          EXPECT_EQ(0, writers);
          usleep(200);
          count(&readers, -1);
          EXPECT_EQ(0, pthread_rwlock_unlock(lock));
          usleep(100);
        }
      }));
      threads.push_back(std::make_unique<Thread>([&] {
        for (int round = 0; round < 20; ++round) {
          EXPECT_EQ(0, pthread_rwlock_wrlock(lock));
          EXPECT_EQ(1, ++writers);
          EXPECT_EQ(0, readers);
          usleep(200);
          --writers;
          ++writes;
          EXPECT_EQ(0, pthread_rwlock_unlock(lock));
        }
      }));
    }
  }
  EXPECT_EQ(80, writes);
}

TEST_F(ReadWriteLock, ContendedPreferringReaders) { ContendReadersAndWriters(&lock_); }

TEST_F(ReadWriteLock, ContendedPreferringWriters) {
  pthread_rwlockattr_t attributes;
  pthread_rwlockattr_init(&attributes);
  EXPECT_EQ(
      0, pthread_rwlockattr_setkind_np(&attributes, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP));
  EXPECT_EQ(EINVAL, pthread_rwlockattr_setkind_np(&attributes, 99));
  pthread_rwlock_t lock;
  ASSERT_EQ(0, pthread_rwlock_init(&lock, &attributes));
  pthread_rwlockattr_destroy(&attributes);
  ContendReadersAndWriters(&lock);
  EXPECT_EQ(0, pthread_rwlock_destroy(&lock));
}

TEST_F(ReadWriteLock, WaitingWriterKeepsNewReadersOutWhenWritersArePreferred) {
  pthread_rwlockattr_t attributes;
  pthread_rwlockattr_init(&attributes);
  pthread_rwlockattr_setkind_np(&attributes, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
  pthread_rwlock_t lock;
  ASSERT_EQ(0, pthread_rwlock_init(&lock, &attributes));
  pthread_rwlockattr_destroy(&attributes);
  pthread_rwlock_rdlock(&lock);
  Event waiting;
  Thread writer([&] {
    waiting.Post();
    pthread_rwlock_wrlock(&lock);
    pthread_rwlock_unlock(&lock);
  });
  waiting.Wait();
  Settle();
  InThread([&] { EXPECT_EQ(EBUSY, pthread_rwlock_tryrdlock(&lock)); });
  pthread_rwlock_unlock(&lock);
  writer.Join();
  pthread_rwlock_destroy(&lock);
}

TEST(Barrier, ReleasesAllAtOnceAndTellsOneOfThemThatItIsSerial) {
  pthread_barrier_t barrier;
  ASSERT_EQ(0, pthread_barrier_init(&barrier, nullptr, 8));
  std::atomic<int> arrived{0};
  std::atomic<int> serial{0};
  {
    std::vector<std::unique_ptr<Thread>> threads;
    for (int i = 0; i < 8; ++i) {
      threads.push_back(std::make_unique<Thread>([&, i] {
        SleepMs(i);
        ++arrived;
        const int result = pthread_barrier_wait(&barrier);
        EXPECT_EQ(8, arrived);
        if (result == PTHREAD_BARRIER_SERIAL_THREAD) {
          ++serial;
        } else {
          EXPECT_EQ(0, result);
        }
      }));
    }
  }
  EXPECT_EQ(1, serial);
  EXPECT_EQ(0, pthread_barrier_destroy(&barrier));
}

TEST(Barrier, CanBeUsedAgainAndAgain) {
  pthread_barrier_t barrier;
  ASSERT_EQ(0, pthread_barrier_init(&barrier, nullptr, 3));
  std::atomic<int> serial{0};
  {
    std::vector<std::unique_ptr<Thread>> threads;
    for (int i = 0; i < 3; ++i) {
      threads.push_back(std::make_unique<Thread>([&] {
        for (int round = 0; round < 100; ++round) {
          if (pthread_barrier_wait(&barrier) == PTHREAD_BARRIER_SERIAL_THREAD) ++serial;
        }
      }));
    }
  }
  EXPECT_EQ(100, serial);
  EXPECT_EQ(0, pthread_barrier_destroy(&barrier));
}

TEST(Barrier, OfOneDoesNotWaitAndOfNoneIsInvalid) {
  pthread_barrier_t barrier;
  EXPECT_EQ(EINVAL, pthread_barrier_init(&barrier, nullptr, 0));
  ASSERT_EQ(0, pthread_barrier_init(&barrier, nullptr, 1));
  EXPECT_EQ(PTHREAD_BARRIER_SERIAL_THREAD, pthread_barrier_wait(&barrier));
  EXPECT_EQ(0, pthread_barrier_destroy(&barrier));
}

TEST(SpinLock, LocksAndTryLockIsBusy) {
  pthread_spinlock_t lock;
  ASSERT_EQ(0, pthread_spin_init(&lock, PTHREAD_PROCESS_PRIVATE));
  EXPECT_EQ(0, pthread_spin_lock(&lock));
  Thread([&] { EXPECT_EQ(EBUSY, pthread_spin_trylock(&lock)); }).Join();
  EXPECT_EQ(0, pthread_spin_unlock(&lock));
  EXPECT_EQ(0, pthread_spin_trylock(&lock));
  EXPECT_EQ(0, pthread_spin_unlock(&lock));
  EXPECT_EQ(0, pthread_spin_destroy(&lock));
}

TEST(SpinLock, ShortSectionsWithoutCallsExclude) {
  pthread_spinlock_t lock;
  ASSERT_EQ(0, pthread_spin_init(&lock, PTHREAD_PROCESS_PRIVATE));
  int count = 0;
  {
    std::vector<std::unique_ptr<Thread>> threads;
    for (int i = 0; i < 4; ++i) {
      threads.push_back(std::make_unique<Thread>([&] {
        for (int round = 0; round < 1000; ++round) {
          pthread_spin_lock(&lock);
          ++count;
          pthread_spin_unlock(&lock);
          if (round % 100 == 0) sched_yield();
        }
      }));
    }
  }
  EXPECT_EQ(4000, count);
  EXPECT_EQ(0, pthread_spin_destroy(&lock));
}

}  // namespace
}  // namespace conformance
