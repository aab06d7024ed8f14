// The functions of <threads.h>: ISO C11 7.26. glibc has them over the same calls as POSIX threads.
#include <threads.h>

#include <memory>

#include "support.h"

namespace conformance {
namespace {

// Joined by the destructor.
class C11Thread {
 public:
  C11Thread(int (*body)(void*), void* argument) {
    EXPECT_EQ(thrd_success, thrd_create(&handle_, body, argument));
  }
  ~C11Thread() { Join(); }
  C11Thread(const C11Thread&) = delete;
  C11Thread& operator=(const C11Thread&) = delete;

  int Join() {
    if (joined_) return result_;
    joined_ = true;
    EXPECT_EQ(thrd_success, thrd_join(handle_, &result_));
    return result_;
  }
  thrd_t handle() const { return handle_; }

 private:
  thrd_t handle_;
  bool joined_ = false;
  int result_ = -1;
};

TEST(C11Thread, JoinGivesTheReturnValueAndExitsValue) {
  EXPECT_EQ(17, C11Thread([](void*) { return 17; }, nullptr).Join());
  EXPECT_EQ(18, C11Thread(
                    [](void*) -> int {
                      timespec moment = {0, 1000};
                      thrd_sleep(&moment, nullptr);
                      thrd_exit(18);
                    },
                    nullptr)
                    .Join());
}

TEST(C11Thread, CurrentIsTheHandleGivenByCreate) {
  thrd_t inside;
  C11Thread thread(
      [](void* out) {
        *static_cast<thrd_t*>(out) = thrd_current();
        return 0;
      },
      &inside);
  thread.Join();
  EXPECT_NE(0, thrd_equal(inside, thread.handle()));
  EXPECT_EQ(0, thrd_equal(inside, thrd_current()));
}

TEST(C11Thread, DetachedOneRunsToItsEnd) {
  Event done;
  thrd_t handle;
  ASSERT_EQ(thrd_success, thrd_create(
                              &handle,
                              [](void* event) {
                                static_cast<Event*>(event)->Post();
                                return 0;
                              },
                              &done));
  EXPECT_EQ(thrd_success, thrd_detach(handle));
  done.Wait();
}

TEST(C11Thread, SleepIsNotEarlyAndSaysWhatABadTimeIs) {
  Stopwatch watch;
  timespec time = Duration(30);
  EXPECT_EQ(0, thrd_sleep(&time, nullptr));
  EXPECT_GE(watch.ElapsedMs(), 30);
  timespec bad = {0, 1'000'000'000};
  EXPECT_LT(thrd_sleep(&bad, nullptr), -1);
}

TEST(C11Thread, SleepInterruptedByASignalIsMinusOneWithWhatIsLeft) {
  SignalHandler handler(SIGUSR1, CountSignal);
  Event done;
  timespec left = {};
  int result = 0;
  Thread thread([&] {
    timespec hour = {3600, 0};
    result = thrd_sleep(&hour, &left);
    done.Post();
  });
  SignalUntil(thread.handle(), SIGUSR1, &done);
  thread.Join();
  EXPECT_EQ(-1, result);
  EXPECT_GT(left.tv_sec, 3000);
}

TEST(C11Thread, YieldReturns) { thrd_yield(); }

// --- Mutexes -------------------------------------------------------------------------------------

int TryFromAnotherThread(mtx_t* mutex) {
  return C11Thread(
             [](void* argument) {
               auto* wanted = static_cast<mtx_t*>(argument);
               int result = mtx_trylock(wanted);
               if (result == thrd_success) mtx_unlock(wanted);
               return result;
             },
             mutex)
      .Join();
}

TEST(C11Mutex, PlainExcludes) {
  mtx_t mutex;
  ASSERT_EQ(thrd_success, mtx_init(&mutex, mtx_plain));
  EXPECT_EQ(thrd_success, mtx_lock(&mutex));
  EXPECT_EQ(thrd_busy, TryFromAnotherThread(&mutex));
  EXPECT_EQ(thrd_success, mtx_unlock(&mutex));
  EXPECT_EQ(thrd_success, TryFromAnotherThread(&mutex));
  mtx_destroy(&mutex);
}

TEST(C11Mutex, RecursiveCountsItsLocks) {
  mtx_t mutex;
  ASSERT_EQ(thrd_success, mtx_init(&mutex, mtx_plain | mtx_recursive));
  EXPECT_EQ(thrd_success, mtx_lock(&mutex));
  EXPECT_EQ(thrd_success, mtx_trylock(&mutex));
  EXPECT_EQ(thrd_success, mtx_unlock(&mutex));
  EXPECT_EQ(thrd_busy, TryFromAnotherThread(&mutex));
  EXPECT_EQ(thrd_success, mtx_unlock(&mutex));
  EXPECT_EQ(thrd_success, TryFromAnotherThread(&mutex));
  mtx_destroy(&mutex);
}

TEST(C11Mutex, TimedLockTimesOutNotEarlyAndThenGetsIt) {
  mtx_t mutex;
  ASSERT_EQ(thrd_success, mtx_init(&mutex, mtx_timed));
  mtx_lock(&mutex);
  Thread([&] {
    Stopwatch watch;
    timespec until = FromNow(CLOCK_REALTIME, 30);
    EXPECT_EQ(thrd_timedout, mtx_timedlock(&mutex, &until));
    EXPECT_GE(watch.ElapsedMs(), 29);
  }).Join();
  Thread waiter([&] {
    timespec until = FromNow(CLOCK_REALTIME, 60'000);
    EXPECT_EQ(thrd_success, mtx_timedlock(&mutex, &until));
    mtx_unlock(&mutex);
  });
  Settle();
  mtx_unlock(&mutex);
  waiter.Join();
  mtx_destroy(&mutex);
}

// --- Conditions ----------------------------------------------------------------------------------

class C11Condition : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_EQ(thrd_success, mtx_init(&mutex_, mtx_plain));
    ASSERT_EQ(thrd_success, cnd_init(&condition_));
  }
  void TearDown() override {
    cnd_destroy(&condition_);
    mtx_destroy(&mutex_);
  }

  mtx_t mutex_;
  cnd_t condition_;
};

TEST_F(C11Condition, SignalWakesOneAndBroadcastAll) {
  constexpr int kWaiters = 5;
  int tokens = 0, through = 0;
  Event passed;
  std::unique_ptr<Thread> waiters[kWaiters];
  for (auto& waiter : waiters) {
    waiter = std::make_unique<Thread>([&] {
      mtx_lock(&mutex_);
      while (tokens == 0) EXPECT_EQ(thrd_success, cnd_wait(&condition_, &mutex_));
      --tokens;
      ++through;
      mtx_unlock(&mutex_);
      passed.Post();
    });
  }
  Settle();
  mtx_lock(&mutex_);
  tokens = 1;
  EXPECT_EQ(thrd_success, cnd_signal(&condition_));
  mtx_unlock(&mutex_);
  passed.Wait();
  mtx_lock(&mutex_);
  EXPECT_EQ(1, through);
  tokens = kWaiters - 1;
  EXPECT_EQ(thrd_success, cnd_broadcast(&condition_));
  mtx_unlock(&mutex_);
  passed.Wait(kWaiters - 1);
  for (auto& waiter : waiters) waiter->Join();
  EXPECT_EQ(kWaiters, through);
}

TEST_F(C11Condition, TimedWaitTimesOutNotEarlyHoldingTheMutex) {
  mtx_lock(&mutex_);
  Stopwatch watch;
  timespec until = FromNow(CLOCK_REALTIME, 30);
  EXPECT_EQ(thrd_timedout, cnd_timedwait(&condition_, &mutex_, &until));
  EXPECT_GE(watch.ElapsedMs(), 29);
  EXPECT_EQ(thrd_busy, TryFromAnotherThread(&mutex_));
  mtx_unlock(&mutex_);
}

// --- Keys and call_once --------------------------------------------------------------------------

std::atomic<int> destroyed;

TEST(C11Key, ValuesArePrivateAndDestructorsRun) {
  static tss_t key;
  ASSERT_EQ(thrd_success, tss_create(&key, [](void* value) {
              destroyed += static_cast<int>(reinterpret_cast<intptr_t>(value));
            }));
  destroyed = 0;
  EXPECT_EQ(thrd_success, tss_set(key, reinterpret_cast<void*>(100)));
  for (int i = 1; i <= 3; ++i) {
    C11Thread(
        [](void* value) {
          EXPECT_EQ(nullptr, tss_get(key));
          EXPECT_EQ(thrd_success, tss_set(key, value));
          thrd_yield();
          EXPECT_EQ(value, tss_get(key));
          return 0;
        },
        reinterpret_cast<void*>(static_cast<intptr_t>(i)));
  }
  EXPECT_EQ(6, destroyed);
  EXPECT_EQ(reinterpret_cast<void*>(100), tss_get(key));
  tss_delete(key);
  EXPECT_EQ(6, destroyed);
}

std::atomic<int> calls;

TEST(C11Once, RunsOnceAndOthersWaitForItsEnd) {
  static once_flag flag = ONCE_FLAG_INIT;
  calls = 0;
  auto body = [] {
    call_once(&flag, [] {
      SleepMs(20);
      ++calls;
    });
    EXPECT_EQ(1, calls);
  };
  Thread first(body), second(body), third(body);
}

}  // namespace
}  // namespace conformance
