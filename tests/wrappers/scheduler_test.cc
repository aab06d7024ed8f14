// Scheduler invariants S1 to S4 (runtime/scheduler.h), through threads as a program makes them.
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/timerfd.h>

#include <atomic>
#include <memory>
#include <vector>

#include "runtime/context.h"
#include "tests/wrappers/support.h"

namespace bobbin_test {
namespace {

using bobbin::Scheduler;

// S1: of the threads of one scheduler the one that runs is `current`, and nobody else runs.
TEST(Scheduling, TheThreadThatRunsIsCurrentAndAlone) {
  UseSchedulers(2);
  int inside[2] = {};
  std::atomic<int> wrong{0};
  auto body = [&] {
    for (int i = 0; i < 500; ++i) {
      int here = SchedulerIndex();
      if (++inside[here] != 1) ++wrong;
      bobbin::Thread* self = Scheduler::Current()->current();
      if (self->fs_base != bobbin::ReadFsBase()) ++wrong;
      if (self->state != bobbin::ThreadState::kRunning) ++wrong;
      if (--inside[here] != 0) ++wrong;
      if (i % 3 == 0) {
        conformance::SleepMs(0);
      } else {
        sched_yield();
      }
    }
  };
  std::vector<std::unique_ptr<UserThread>> threads;
  for (int i = 0; i < 10; ++i) threads.push_back(std::make_unique<UserThread>(body));
  threads.clear();
  EXPECT_EQ(0, wrong.load());
}

// S2: a thread made ready by two descriptors in one poll is on the ready queue once.
TEST(Scheduling, ThreadWokenByTwoDescriptorsAtOnceRunsOnce) {
  Pair first = conformance::MakeSocketPair();
  Pair second = conformance::MakeSocketPair();
  uint32_t word = 0;
  bool woken_too_early = false;
  Event polled;
  UserThread waiter([&] {
    pollfd set[2] = {{first.a.get(), POLLIN, 0}, {second.a.get(), POLLIN, 0}};
    EXPECT_EQ(2, poll(set, 2, -1));
    polled.Post();
    while (__atomic_load_n(&word, __ATOMIC_SEQ_CST) == 0) {
      long result = FutexWait(&word, 0);
      if (result == 0 && word == 0) woken_too_early = true;
    }
  });
  LetOthersRun();
  // Both are there before the scheduler looks.
  ASSERT_EQ(1, bobbin::RawSyscall(SYS_write, first.b.get(), "x", 1));
  ASSERT_EQ(1, bobbin::RawSyscall(SYS_write, second.b.get(), "x", 1));
  polled.Wait();
  LetOthersRun();
  __atomic_store_n(&word, 1, __ATOMIC_SEQ_CST);
  FutexWake(&word, 1);
  waiter.Join();
  EXPECT_FALSE(woken_too_early);
}

// S3
TEST(Scheduling, ThreadStaysOnItsSchedulerAndItsKernelThread) {
  UseSchedulers(2);
  std::atomic<int> moved{0};
  std::vector<std::unique_ptr<UserThread>> threads;
  std::vector<Pair> pipes;
  for (int i = 0; i < 8; ++i) pipes.push_back(conformance::MakePipe());
  for (int i = 0; i < 8; ++i) {
    // A ring of pipes over both schedulers.
    threads.push_back(std::make_unique<UserThread>([&, i] {
      int index = SchedulerIndex();
      pid_t kernel_thread = KernelTid();
      char token;
      for (int round = 0; round < 300; ++round) {
        // Thread 0 sets the token going, the others hand it on.
        if (i == 0) {
          EXPECT_EQ(1, write(pipes[1].b, "t", 1));
          EXPECT_EQ(1, read(pipes[0].a, &token, 1));
        } else {
          EXPECT_EQ(1, read(pipes[i].a, &token, 1));
          EXPECT_EQ(1, write(pipes[(i + 1) % 8].b, "t", 1));
        }
        if (round % 50 == 0) conformance::SleepMs(1);
        if (SchedulerIndex() != index || KernelTid() != kernel_thread) ++moved;
      }
    }));
  }
  threads.clear();
  EXPECT_EQ(0, moved.load());
}

TEST(Scheduling, NewThreadsAreDealtOutInTurn) {
  UseSchedulers(2);
  int at[2] = {};
  for (int i = 0; i < 10; ++i) {
    int index = -1;
    UserThread([&] { index = SchedulerIndex(); }).Join();
    ASSERT_TRUE(index == 0 || index == 1);
    ++at[index];
  }
  EXPECT_EQ(5, at[0]);
  EXPECT_EQ(5, at[1]);
}

TEST(Scheduling, PlaceNextThreadPlacesOneThread) {
  UseSchedulers(2);
  for (int wanted : {1, 1, 0, 0, 1}) {
    int index = -1;
    StartOn(wanted, [&] { index = SchedulerIndex(); }).Join();
    EXPECT_EQ(wanted, index);
  }
  ASSERT_EQ(0, bobbin::PlaceNextThread(1));
  UserThread([] {}).Join();
  int at[2] = {};
  for (int i = 0; i < 4; ++i) UserThread([&] { ++at[SchedulerIndex()]; }).Join();
  EXPECT_EQ(2, at[0]) << "placed in turn again";
}

TEST(Scheduling, PlacementIsTheCallingThreadsOwn) {
  UseSchedulers(2);
  ASSERT_EQ(0, bobbin::PlaceNextThread(1));
  StartOn(1, [] {
    int index = -1;
    EXPECT_EQ(0, bobbin::PlaceNextThread(0));
    UserThread([&] { index = SchedulerIndex(); }).Join();
    EXPECT_EQ(0, index);
  }).Join();
}

TEST(Scheduling, PlacementOnNoSchedulerIsInvalid) {
  UseSchedulers(2);
  EXPECT_EQ(EINVAL, bobbin::PlaceNextThread(-1));
  EXPECT_EQ(EINVAL, bobbin::PlaceNextThread(2));
}

// S4, with K2: every round is a wake-up that races with the check of the word and the park.
TEST(Scheduling, FutexWakeFromAnotherSchedulerBeforeTheParkIsNotLost) {
  UseSchedulers(2);
  constexpr uint32_t kRounds = 30000;
  uint32_t word = 0;
  auto play = [&](uint32_t parity) {
    for (;;) {
      uint32_t now = __atomic_load_n(&word, __ATOMIC_SEQ_CST);
      if (now >= kRounds) break;
      if (now % 2 != parity) {
        FutexWait(&word, now);
        continue;
      }
      __atomic_store_n(&word, now + 1, __ATOMIC_SEQ_CST);
      FutexWake(&word, 1);
    }
  };
  UserThread other = StartOn(1, [&] { play(1); });
  UserThread one = StartOn(0, [&] { play(0); });
  one.Join();
  other.Join();
  EXPECT_EQ(kRounds, word);
}

TEST(Scheduling, PipeWriteFromAnotherSchedulerBeforeTheParkIsNotLost) {
  UseSchedulers(2);
  Pair there = conformance::MakePipe();
  Pair back = conformance::MakePipe();
  constexpr int kRounds = 5000;
  UserThread echo = StartOn(1, [&] {
    char byte;
    for (int i = 0; i < kRounds; ++i) {
      EXPECT_EQ(1, read(there.a, &byte, 1));
      EXPECT_EQ(1, write(back.b, &byte, 1));
    }
  });
  char byte = 'x';
  for (int i = 0; i < kRounds; ++i) {
    ASSERT_EQ(1, write(there.b, &byte, 1));
    ASSERT_EQ(1, read(back.a, &byte, 1));
  }
}

TEST(Scheduling, CompletionByAWorkerBeforeTheParkIsNotLost) {
  UseSchedulers(2);
  char path[] = "/tmp/scheduler_test.XXXXXX";
  Fd file(mkstemp(path));
  unlink(path);
  uint64_t before = Statistics().worker_calls;
  std::vector<std::unique_ptr<UserThread>> threads;
  for (int t = 0; t < 4; ++t) {
    threads.push_back(std::make_unique<UserThread>([&] {
      for (int i = 0; i < 500; ++i) EXPECT_OK(fdatasync(file));
    }));
  }
  threads.clear();
  EXPECT_EQ(2000u, Statistics().worker_calls - before);
}

// S4: whoever takes the thread out of what it waits for decides, so that the waker's count and
// the waiter's answer agree however close deadline, signal and wake-up come.
class OneWinner : public testing::TestWithParam<int> {};

TEST_P(OneWinner, EachWakeUpCountedIsOneThatAWaiterGot) {
  UseSchedulers(2);
  static void (*const ignore)(int) = [](int) {};
  conformance::SignalHandler handler(SIGUSR1, ignore);
  const bool elsewhere = GetParam() != 0;
  const int rounds = elsewhere ? 100'000 : 4000;
  uint32_t word = 0;
  std::atomic<bool> done{false};
  long got = 0, deadlines = 0, interruptions = 0;
  pthread_t waiter_handle;
  Event started;
  UserThread waiter = StartOn(GetParam(), [&] {
    waiter_handle = pthread_self();
    started.Post();
    for (int i = 0; i < rounds; ++i) {
      timespec timeout = {0, elsewhere ? 500 * (i % 9) : 1000 * (i % 60)};
      long result = FutexWait(&word, 0, &timeout);
      if (result == 0) ++got;
      if (result == -1 && errno == ETIMEDOUT) ++deadlines;
      if (result == -1 && errno == EINTR) ++interruptions;
    }
    done = true;
  });
  started.Wait();
  long woken = 0;
  for (int i = 0; !done; ++i) {
    if (i % 5 == 0) pthread_kill(waiter_handle, SIGUSR1);
    woken += FutexWake(&word, 1);
    if (elsewhere) {
      // Without a system call, to come as close to the others as can be.
      for (int pause = 0; pause < i % 97; ++pause) __builtin_ia32_pause();
    } else {
      timespec pause = {0, 1000 * (i % 41)};
      nanosleep(&pause, nullptr);
    }
  }
  waiter.Join();
  EXPECT_EQ(woken, got);
  EXPECT_GT(deadlines, 0) << "no deadline came into play";
  EXPECT_GT(interruptions, 0) << "no signal came into play";
  EXPECT_EQ(0, FutexWake(&word, 100)) << "a thread that is gone is still queued";
}

INSTANTIATE_TEST_SUITE_P(Schedulers, OneWinner, testing::Values(0, 1), [](const auto& where) {
  return where.param == 0 ? "SameScheduler" : "AnotherScheduler";
});

TEST(Scheduling, DeadlineOfAWaitThatWasWokenEndsNoLaterWait) {
  uint32_t word = 0;
  long first = -1, second = -1;
  UserThread waiter([&] {
    timespec timeout = {0, 5'000'000};
    first = FutexWait(&word, 0, &timeout);
    second = FutexWait(&word, 0);
  });
  LetOthersRun();
  EXPECT_EQ(1, FutexWake(&word, 1));
  conformance::SleepMs(20);
  EXPECT_EQ(1, FutexWake(&word, 1));
  waiter.Join();
  EXPECT_EQ(0, first);
  EXPECT_EQ(0, second);
}

// A park switches straight to the next ready thread: one switch a park, not two.
TEST(Scheduling, ParkIsOneSwitch) {
  constexpr uint32_t kRounds = 1000;
  uint32_t word = 0;
  auto play = [&](uint32_t parity) {
    while (word < kRounds) {
      if (word % 2 == parity) {
        ++word;
        FutexWake(&word, 1);
      } else {
        FutexWait(&word, word);
      }
    }
  };
  bobbin::Statistics before = Statistics();
  UserThread other([&] { play(1); });
  play(0);
  other.Join();
  bobbin::Statistics after = Statistics();
  EXPECT_GE(after.parks - before.parks, kRounds / 2);
  EXPECT_LE(after.switches - before.switches, after.parks - before.parks + 5);
}

TEST(Scheduling, YieldersTakeTurns) {
  std::vector<int> order;
  std::vector<std::unique_ptr<UserThread>> threads;
  Event go;
  for (int t = 0; t < 3; ++t) {
    threads.push_back(std::make_unique<UserThread>([&, t] {
      go.Wait();
      for (int i = 0; i < 4; ++i) {
        order.push_back(t);
        sched_yield();
      }
    }));
  }
  LetOthersRun();
  for (int t = 0; t < 3; ++t) go.Post();
  threads.clear();
  ASSERT_EQ(12u, order.size());
  for (size_t i = 3; i < order.size(); ++i) EXPECT_EQ(order[i - 3], order[i]);
}

// A ready queue that is never empty must not hide events: here nobody ever waits in the poller.
class BusySchedulerTest : public testing::TestWithParam<bool> {};

TEST_P(BusySchedulerTest, EventsAndDeadlinesAreSeenWhileThreadsKeepEachOtherBusy) {
  bool by_yield = GetParam();
  Fd timer(timerfd_create(CLOCK_MONOTONIC, 0));
  itimerspec soon = {{0, 0}, {0, 3'000'000}};
  ASSERT_OK(timerfd_settime(timer, 0, &soon, nullptr));
  bool event_seen = false, deadline_seen = false;
  UserThread reader([&] {
    uint64_t expirations;
    EXPECT_EQ(8, read(timer, &expirations, sizeof expirations));
    event_seen = true;
  });
  UserThread sleeper([&] {
    conformance::SleepMs(3);
    deadline_seen = true;
  });
  uint32_t word = 0;
  auto play = [&](uint32_t parity) {
    while (!event_seen || !deadline_seen) {
      if (by_yield) {
        sched_yield();
      } else if (word % 2 == parity) {
        ++word;
        FutexWake(&word, 1);
      } else {
        FutexWait(&word, word);
      }
    }
    ++word;
    FutexWake(&word, 10);
  };
  UserThread other([&] { play(1); });
  play(0);
}

INSTANTIATE_TEST_SUITE_P(By, BusySchedulerTest, testing::Bool(),
                         [](const auto& how) { return how.param ? "Yield" : "HandOff"; });

// The last words of a thread are said when it is off its stack: whoever sees that it has ended may
// do with the stack what he likes. Here he looks for the end without parking.
TEST(Scheduling, StackOfAThreadThatEndedMayBeOverwrittenAtOnce) {
  UseSchedulers(2);
  constexpr size_t kStack = 64 * 1024;
  char* stack = static_cast<char*>(
      mmap(nullptr, kStack, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  ASSERT_NE(MAP_FAILED, static_cast<void*>(stack));
  for (int i = 0; i < 20'000; ++i) {
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    ASSERT_EQ(0, pthread_attr_setstack(&attributes, stack, kStack));
    pthread_t thread;
    ASSERT_EQ(0, bobbin::PlaceNextThread(1));
    ASSERT_EQ(0, pthread_create(
                     &thread, &attributes, [](void* a) { return a; }, nullptr));
    pthread_attr_destroy(&attributes);
    while (pthread_tryjoin_np(thread, nullptr) == EBUSY) sched_yield();
    memset(stack + kStack - 8192, 0xcc, 8192);
  }
  munmap(stack, kStack);
}

TEST(Scheduling, StackOfAJoinedThreadMayBeUnmappedAtOnce) {
  UseSchedulers(2);
  constexpr size_t kStack = 64 * 1024;
  for (int i = 0; i < 1000; ++i) {
    void* stack = mmap(nullptr, kStack, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ASSERT_NE(MAP_FAILED, stack);
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    ASSERT_EQ(0, pthread_attr_setstack(&attributes, stack, kStack));
    pthread_t thread;
    ASSERT_EQ(0, bobbin::PlaceNextThread(i % 2));
    ASSERT_EQ(0, pthread_create(
                     &thread, &attributes, [](void* a) { return a; }, nullptr));
    pthread_attr_destroy(&attributes);
    ASSERT_EQ(0, pthread_join(thread, nullptr));
    ASSERT_OK(munmap(stack, kStack));
  }
}

TEST(Scheduling, ThreadsMadeOnAnIdleSchedulerRunThoughTheMakerNeverWaits) {
  UseSchedulers(2);
  std::atomic<bool> ran{false};
  UserThread thread = StartOn(1, [&] { ran = true; });
  while (!ran) {  // a spin that never gives up its kernel thread
  }
}

}  // namespace
}  // namespace bobbin_test
