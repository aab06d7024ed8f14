// Threads and what they wait on, on patched libc (libc_text_programs_test.cc patches it).
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <sys/select.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <thread>
#include <vector>

#include "tests/wrappers/libc_text_programs.h"

namespace bobbin {
namespace {

TEST(LibcTextPrograms, ThreadsStartAndAreJoined) {
  ExpectCalls clones(SYS_clone3), exits(SYS_exit);
  for (int n = 0; n < 200; n++) {
    pthread_t thread;
    char memory[100];
    ASSERT_EQ(pthread_create(
                  &thread, nullptr,
                  [](void* p) -> void* {
                    errno = 77;
                    return static_cast<char*>(p) + errno;
                  },
                  memory),
              0);
    void* result;
    ASSERT_EQ(pthread_join(thread, &result), 0);
    ASSERT_EQ(result, memory + 77);
  }
}

TEST(LibcTextPrograms, ConditionVariablesPassATurnAround) {
  ExpectCalls futexes(SYS_futex);
  constexpr int kThreads = 4, kTurns = 500;
  pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
  pthread_cond_t moved = PTHREAD_COND_INITIALIZER;
  int turn = 0;
  std::vector<std::thread> threads;
  for (int self = 0; self < kThreads; self++) {
    threads.emplace_back([&, self] {
      for (int n = 0; n < kTurns; n++) {
        pthread_mutex_lock(&mutex);
        while (turn % kThreads != self) pthread_cond_wait(&moved, &mutex);
        turn++;
        pthread_cond_broadcast(&moved);
        pthread_mutex_unlock(&mutex);
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(turn, kThreads * kTurns);
}

TEST(LibcTextPrograms, ConditionSignalWakesOneWaiter) {
  pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
  pthread_cond_t ping = PTHREAD_COND_INITIALIZER, pong = PTHREAD_COND_INITIALIZER;
  int count = 0;
  std::thread other([&] {
    pthread_mutex_lock(&mutex);
    for (int n = 0; n < 1000; n++) {
      while (count % 2 == 0) pthread_cond_wait(&ping, &mutex);
      count++;
      pthread_cond_signal(&pong);
    }
    pthread_mutex_unlock(&mutex);
  });
  pthread_mutex_lock(&mutex);
  for (int n = 0; n < 1000; n++) {
    count++;
    pthread_cond_signal(&ping);
    while (count % 2 == 1) pthread_cond_wait(&pong, &mutex);
  }
  pthread_mutex_unlock(&mutex);
  other.join();
  EXPECT_EQ(count, 2000);
}

TEST(LibcTextPrograms, TimedWaitsEndInTime) {
  pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
  pthread_cond_t never = PTHREAD_COND_INITIALIZER;
  pthread_mutex_lock(&mutex);
  timespec until = InMilliseconds(CLOCK_REALTIME, 20);
  EXPECT_EQ(pthread_cond_timedwait(&never, &mutex, &until), ETIMEDOUT);
  until = InMilliseconds(CLOCK_MONOTONIC, 20);
  EXPECT_EQ(pthread_cond_clockwait(&never, &mutex, CLOCK_MONOTONIC, &until), ETIMEDOUT);
  std::thread([&] {
    timespec until = InMilliseconds(CLOCK_REALTIME, 20);
    EXPECT_EQ(pthread_mutex_timedlock(&mutex, &until), ETIMEDOUT);
  }).join();
  pthread_mutex_unlock(&mutex);
  sem_t semaphore;
  sem_init(&semaphore, 0, 0);
  until = InMilliseconds(CLOCK_REALTIME, 20);
  EXPECT_EQ(sem_timedwait(&semaphore, &until), -1);
  EXPECT_EQ(errno, ETIMEDOUT);
  pollfd nothing = {.fd = -1, .events = POLLIN, .revents = 0};
  EXPECT_EQ(poll(&nothing, 1, 10), 0);
  timeval wait = {0, 10000};
  EXPECT_EQ(select(0, nullptr, nullptr, nullptr, &wait), 0);
  timespec pause = {0, 10000000};
  EXPECT_EQ(pselect(0, nullptr, nullptr, nullptr, &pause, nullptr), 0);
}

TEST(LibcTextPrograms, BarriersLetEverybodyThroughTogether) {
  ExpectCalls futexes(SYS_futex);
  constexpr int kThreads = 4, kRounds = 300;
  pthread_barrier_t barrier;
  pthread_barrier_init(&barrier, nullptr, kThreads);
  std::atomic<int> arrived{0}, serial{0};
  std::vector<std::thread> threads;
  for (int self = 0; self < kThreads; self++) {
    threads.emplace_back([&] {
      for (int n = 1; n <= kRounds; n++) {
        arrived++;
        if (pthread_barrier_wait(&barrier) == PTHREAD_BARRIER_SERIAL_THREAD) serial++;
        EXPECT_GE(arrived, n * kThreads);
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(serial, kRounds);
  EXPECT_EQ(pthread_barrier_destroy(&barrier), 0);
}

TEST(LibcTextPrograms, ReaderWriterLocksKeepWritersApart) {
  pthread_rwlock_t lock = PTHREAD_RWLOCK_INITIALIZER;
  int first = 0, second = 0;
  std::vector<std::thread> threads;
  for (int self = 0; self < 4; self++) {
    threads.emplace_back([&, self] {
      for (int n = 0; n < 2000; n++) {
        if (self < 2) {
          pthread_rwlock_wrlock(&lock);
          first++;
          if (n % 64 == 0) sched_yield();
          second++;
        } else {
          pthread_rwlock_rdlock(&lock);
          EXPECT_EQ(first, second);
        }
        pthread_rwlock_unlock(&lock);
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(first, 4000);
}

TEST(LibcTextPrograms, SemaphoresHandOverATokenEach) {
  ExpectCalls futexes(SYS_futex);
  sem_t there, back;
  sem_init(&there, 0, 0);
  sem_init(&back, 0, 0);
  int count = 0;
  std::thread other([&] {
    for (int n = 0; n < 1000; n++) {
      while (sem_wait(&there) != 0) {
      }
      count++;
      sem_post(&back);
    }
  });
  for (int n = 0; n < 1000; n++) {
    sem_post(&there);
    while (sem_wait(&back) != 0) {
    }
  }
  other.join();
  EXPECT_EQ(count, 1000);
}

void CountUnderContention(pthread_mutex_t* mutex) {
  long count = 0;
  std::vector<std::thread> threads;
  for (int self = 0; self < 3; self++) {
    threads.emplace_back([&] {
      for (int n = 0; n < 3000; n++) {
        ASSERT_EQ(pthread_mutex_lock(mutex), 0);
        const long read = count;
        if (n % 64 == 0) sched_yield();
        count = read + 1;
        ASSERT_EQ(pthread_mutex_unlock(mutex), 0);
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(count, 9000);
}

TEST(LibcTextPrograms, MutexesOfEveryProtocolExclude) {
  for (int protocol : {PTHREAD_PRIO_NONE, PTHREAD_PRIO_INHERIT}) {
    for (int robust : {PTHREAD_MUTEX_STALLED, PTHREAD_MUTEX_ROBUST}) {
      pthread_mutexattr_t attributes;
      pthread_mutexattr_init(&attributes);
      pthread_mutexattr_setprotocol(&attributes, protocol);
      pthread_mutexattr_setrobust(&attributes, robust);
      pthread_mutex_t mutex;
      pthread_mutex_init(&mutex, &attributes);
      CountUnderContention(&mutex);
      if (robust == PTHREAD_MUTEX_ROBUST) {
        std::thread([&] { pthread_mutex_lock(&mutex); }).join();
        EXPECT_EQ(pthread_mutex_lock(&mutex), EOWNERDEAD);
        EXPECT_EQ(pthread_mutex_consistent(&mutex), 0);
        EXPECT_EQ(pthread_mutex_unlock(&mutex), 0);
      }
      EXPECT_EQ(pthread_mutex_destroy(&mutex), 0);
    }
  }
}

}  // namespace
}  // namespace bobbin
