// Parking on addresses: invariants K1 to K3 (runtime/parking.h), and what futex(2) makes of bad
// addresses.
#include <sched.h>
#include <sys/mman.h>

#include <atomic>
#include <memory>
#include <vector>

#include "tests/wrappers/support.h"

namespace bobbin_test {
namespace {

long Requeue(uint32_t* from, int wake, int move, uint32_t* to) {
  return syscall(SYS_futex, from, FUTEX_REQUEUE_PRIVATE, wake, move, to, 0);
}

// Threads that wait on `word` in the order of their numbers, and tell the order in which they
// were woken.
class Waiters {
 public:
  Waiters(int count, uint32_t* word) {
    for (int i = 0; i < count; ++i) {
      threads_.push_back(std::make_unique<UserThread>([this, i, word] {
        if (FutexWait(word, 0) == 0) order_.push_back(i);
      }));
      LetOthersRun();
    }
  }
  const std::vector<int>& Join() {
    threads_.clear();
    return order_;
  }

 private:
  std::vector<std::unique_ptr<UserThread>> threads_;
  std::vector<int> order_;
};

const std::vector<int> kInOrder = {0, 1, 2, 3, 4, 5, 6, 7};

// K3
TEST(Parking, WaitersAreWokenInTheOrderTheyCame) {
  uint32_t word = 0;
  Waiters waiters(8, &word);
  for (int i = 0; i < 4; ++i) EXPECT_EQ(1, FutexWake(&word, 1));
  EXPECT_EQ(4, FutexWake(&word, 100));
  EXPECT_EQ(kInOrder, waiters.Join());
}

TEST(Parking, RequeuedWaitersKeepTheirOrder) {
  uint32_t from = 0, to = 0;
  Waiters waiters(8, &from);
  EXPECT_EQ(8, Requeue(&from, 2, 100, &to));
  EXPECT_EQ(0, FutexWake(&from, 100));
  EXPECT_EQ(6, FutexWake(&to, 100));
  EXPECT_EQ(kInOrder, waiters.Join());
}

TEST(Parking, RequeueToTheSameAddressWakesAndMovesEachOnce) {
  uint32_t word = 0;
  Waiters waiters(8, &word);
  EXPECT_EQ(8, Requeue(&word, 3, 100, &word));
  EXPECT_EQ(5, FutexWake(&word, 100));
  waiters.Join();
}

// K1: a waiter is at its present address only.
TEST(Parking, RequeuedWaiterThatTimesOutIsQueuedNowhere) {
  uint32_t from = 0, to = 0;
  bool timed_out = false;
  UserThread waiter([&] {
    timespec timeout = {0, 20'000'000};
    timed_out = FutexWait(&from, 0, &timeout) == -1 && errno == ETIMEDOUT;
  });
  LetOthersRun();
  EXPECT_EQ(1, Requeue(&from, 0, 1, &to));
  waiter.Join();
  EXPECT_TRUE(timed_out);
  EXPECT_EQ(0, FutexWake(&to, 100));
  EXPECT_EQ(0, FutexWake(&from, 100));
}

TEST(Parking, AddressesThatShareABucketAreToldApart) {
  // More words than buckets: some share one.
  constexpr size_t kWords = 16384;
  std::vector<uint32_t> words(kWords);
  Waiters waiters(1, &words[0]);
  for (size_t i = 1; i < kWords; ++i) ASSERT_EQ(0, FutexWake(&words[i], 100)) << i;
  EXPECT_EQ(1, FutexWake(&words[0], 100));
  waiters.Join();
}

// K1 under fire: moved between two addresses by one scheduler, timing out and woken on another.
TEST(Parking, RequeueRacesWithDeadlinesWithoutLosingAnybody) {
  UseSchedulers(2);
  uint32_t words[2] = {};
  std::atomic<int> running{4};
  std::atomic<long> got{0};
  std::vector<std::unique_ptr<UserThread>> waiters;
  for (int t = 0; t < 4; ++t) {
    ASSERT_EQ(0, bobbin::PlaceNextThread(1));
    waiters.push_back(std::make_unique<UserThread>([&, t] {
      for (int i = 0; i < 20'000; ++i) {
        timespec timeout = {0, 500 * ((i + t * 7) % 9)};
        if (FutexWait(&words[t % 2], 0, &timeout) == 0) ++got;
      }
      --running;
    }));
  }
  // On its own kernel thread, and never waiting.
  long woken = 0;
  for (int i = 0; running != 0; ++i) {
    Requeue(&words[i % 2], 0, 100, &words[1 - i % 2]);
    if (i % 3 == 0) woken += FutexWake(&words[i % 2], 1);
    for (int pause = 0; pause < i % 31; ++pause) __builtin_ia32_pause();
  }
  waiters.clear();
  EXPECT_EQ(woken, got.load());
  EXPECT_EQ(0, FutexWake(&words[0], 100) + FutexWake(&words[1], 100));
}

// K2: the waker changes the word and wakes at every moment around the waiter's look at it.
TEST(Parking, WakeUpThatRacesWithTheLookAtTheWordIsNotLost) {
  UseSchedulers(2);
  constexpr uint32_t kRounds = 100'000;
  uint32_t word = 0;  // odd: the waiter waits for it to become even
  UserThread waiter = StartOn(1, [&] {
    for (uint32_t round = 0; round < kRounds; ++round) {
      __atomic_store_n(&word, 2 * round + 1, __ATOMIC_SEQ_CST);
      while (__atomic_load_n(&word, __ATOMIC_SEQ_CST) == 2 * round + 1) {
        FutexWait(&word, 2 * round + 1);
      }
    }
  });
  for (uint32_t round = 0; round < kRounds; ++round) {
    while (__atomic_load_n(&word, __ATOMIC_SEQ_CST) != 2 * round + 1) __builtin_ia32_pause();
    for (uint32_t pause = 0; pause < round % 199; ++pause) asm volatile("");
    __atomic_store_n(&word, 2 * round + 2, __ATOMIC_SEQ_CST);
    FutexWake(&word, 1);
  }
  waiter.Join();
}

// The word is read as the kernel would read it.
class BadAddress : public testing::Test {
 protected:
  void SetUp() override {
    page_ = mmap(nullptr, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ASSERT_NE(MAP_FAILED, page_);
  }
  void TearDown() override { munmap(page_, 4096); }

  void* page_;
};

TEST_F(BadAddress, OfAFutexWordFaults) {
  for (void* address : {page_, static_cast<void*>(nullptr)}) {
    EXPECT_ERRNO(EFAULT, FutexWait(static_cast<uint32_t*>(address), 0));
  }
}

TEST_F(BadAddress, OfATimeoutFaults) {
  uint32_t word = 0;
  EXPECT_ERRNO(EFAULT, FutexWait(&word, 0, static_cast<timespec*>(page_)));
  EXPECT_ERRNO(EFAULT, syscall(SYS_nanosleep, page_, nullptr));
}

TEST_F(BadAddress, FaultsAlsoInAnotherThreadAndAgainAndAgain) {
  UserThread([&] {
    for (int i = 0; i < 1000; ++i) {
      EXPECT_ERRNO(EFAULT, FutexWait(static_cast<uint32_t*>(page_), 0));
    }
  }).Join();
}

TEST_F(BadAddress, FaultsAlsoWhileSigsegvIsBlocked) {
  conformance::SignalBlock block({SIGUSR1});
  EXPECT_ERRNO(EFAULT, FutexWait(static_cast<uint32_t*>(page_), 0));
}

TEST_F(BadAddress, LeavesTheProgramsOwnFaultHandlerAlone) {
  static std::atomic<int> calls{0};
  static void (*const count)(int) = [](int) { ++calls; };
  conformance::SignalHandler handler(SIGSEGV, count);
  EXPECT_ERRNO(EFAULT, FutexWait(static_cast<uint32_t*>(page_), 0));
  EXPECT_EQ(0, calls.load());
}

TEST_F(BadAddress, OddOneIsInvalid) {
  uint32_t words[2] = {};
  auto* odd = reinterpret_cast<uint32_t*>(reinterpret_cast<char*>(words) + 1);
  EXPECT_ERRNO(EINVAL, FutexWait(odd, 0));
}

}  // namespace
}  // namespace bobbin_test
