// pthread_create, join, detach, attributes, keys, once and cleanup handlers.
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include <memory>
#include <vector>

#include "tests/conformance/support.h"

namespace conformance {
namespace {

constexpr size_t kSmallStack = 64 * 1024;

void* ReturnArgument(void* argument) { return argument; }
void* NumberOf(int n) { return reinterpret_cast<void*>(static_cast<intptr_t>(n)); }

struct Attributes {
  Attributes() { pthread_attr_init(&value); }
  ~Attributes() { pthread_attr_destroy(&value); }
  pthread_attr_t value;
};

TEST(ThreadCreate, JoinGivesTheReturnValue) {
  pthread_t thread;
  ASSERT_EQ(0, pthread_create(&thread, nullptr, ReturnArgument, NumberOf(42)));
  void* result = nullptr;
  EXPECT_EQ(0, pthread_join(thread, &result));
  EXPECT_EQ(NumberOf(42), result);
}

TEST(ThreadCreate, ExitGivesItsValueToJoin) {
  pthread_t thread;
  ASSERT_EQ(0, pthread_create(
                   &thread, nullptr, [](void*) -> void* { pthread_exit(NumberOf(7)); }, nullptr));
  void* result = nullptr;
  EXPECT_EQ(0, pthread_join(thread, &result));
  EXPECT_EQ(NumberOf(7), result);
}

TEST(ThreadCreate, JoinAcceptsNoResultPointer) {
  pthread_t thread;
  ASSERT_EQ(0, pthread_create(&thread, nullptr, ReturnArgument, nullptr));
  EXPECT_EQ(0, pthread_join(thread, nullptr));
}

TEST(ThreadCreate, ExitRunsDestructorsOfAutomaticObjects) {
  static std::atomic<int> destroyed;
  destroyed = 0;
  struct Guard {
    ~Guard() { ++destroyed; }
  };
  pthread_t thread;
  ASSERT_EQ(0, pthread_create(
                   &thread, nullptr,
                   [](void*) -> void* {
                     Guard outer;
                     [] {
                       Guard inner;
                       pthread_exit(nullptr);
                     }();
                     return nullptr;
                   },
                   nullptr));
  pthread_join(thread, nullptr);
  EXPECT_EQ(2, destroyed);
}

TEST(ThreadCreate, JoinOfAFinishedThreadReturns) {
  Event done;
  Thread thread([&] { done.Post(); });
  done.Wait();
  Settle();
  EXPECT_EQ(nullptr, thread.Join());
}

TEST(ThreadCreate, JoinWaitsForTheThread) {
  Stopwatch watch;
  Thread thread([] { SleepMs(50); });
  thread.Join();
  EXPECT_GE(watch.ElapsedMs(), 50);
}

TEST(ThreadCreate, NewThreadInheritsNothingOfErrno) {
  errno = EBADF;
  int seen = -1;
  Thread([&] { seen = errno; }).Join();
  EXPECT_EQ(0, seen);
}

TEST(ThreadCreate, ThreadsMayCreateThreads) {
  int depth = 0;
  std::function<void(int)> descend = [&](int level) {
    ++depth;
    if (level > 0) Thread([&, level] { descend(level - 1); }, kSmallStack * 4).Join();
  };
  Thread([&] { descend(20); }).Join();
  EXPECT_EQ(21, depth);
}

TEST(ThreadCreate, WritesBeforeCreateAreSeenAndWritesBeforeExitAreSeenByJoin) {
  int value = 1;
  Thread([&] { value = value == 1 ? 2 : 100; }).Join();
  EXPECT_EQ(2, value);
}

TEST(ThreadJoin, OfItselfIsDeadlock) {
  int error = 0;
  Thread([&] { error = pthread_join(pthread_self(), nullptr); }).Join();
  EXPECT_EQ(EDEADLK, error);
}

TEST(ThreadJoin, OfADetachedThreadIsInvalid) {
  Event go;
  Event done;
  pthread_t thread;
  struct Shared {
    Event* go;
    Event* done;
  } shared{&go, &done};
  ASSERT_EQ(0, pthread_create(
                   &thread, nullptr,
                   [](void* argument) -> void* {
                     auto* shared = static_cast<Shared*>(argument);
                     shared->go->Wait();
                     shared->done->Post();
                     return nullptr;
                   },
                   &shared));
  EXPECT_EQ(0, pthread_detach(thread));
  EXPECT_EQ(EINVAL, pthread_join(thread, nullptr));
  EXPECT_EQ(EINVAL, pthread_detach(thread));
  go.Post();
  done.Wait();
  Settle();
}

TEST(ThreadJoin, TryJoinSaysBusyUntilTheThreadEnds) {
  Event go;
  pthread_t handle;
  ASSERT_EQ(0, pthread_create(
                   &handle, nullptr,
                   [](void* go) -> void* {
                     static_cast<Event*>(go)->Wait();
                     return NumberOf(3);
                   },
                   &go));
  EXPECT_EQ(EBUSY, pthread_tryjoin_np(handle, nullptr));
  go.Post();
  void* result = nullptr;
  int error;
  while ((error = pthread_tryjoin_np(handle, &result)) == EBUSY) SleepMs(1);
  EXPECT_EQ(0, error);
  EXPECT_EQ(NumberOf(3), result);
}

TEST(ThreadJoin, TimedJoinTimesOutNotEarlyThenSucceeds) {
  Event go;
  pthread_t handle;
  ASSERT_EQ(0, pthread_create(
                   &handle, nullptr,
                   [](void* go) -> void* {
                     static_cast<Event*>(go)->Wait();
                     return nullptr;
                   },
                   &go));
  Stopwatch watch;
  timespec until = FromNow(CLOCK_REALTIME, 30);
  EXPECT_EQ(ETIMEDOUT, pthread_timedjoin_np(handle, nullptr, &until));
  EXPECT_GE(watch.ElapsedMs(), 29);
  go.Post();
  until = FromNow(CLOCK_REALTIME, 60000);
  EXPECT_EQ(0, pthread_timedjoin_np(handle, nullptr, &until));
}

TEST(ThreadJoin, ClockJoinTakesTheMonotonicClock) {
  Thread other([] { SleepMs(5); });
  Event go;
  pthread_t handle;
  ASSERT_EQ(0, pthread_create(
                   &handle, nullptr,
                   [](void* go) -> void* {
                     static_cast<Event*>(go)->Wait();
                     return nullptr;
                   },
                   &go));
  timespec until = FromNow(CLOCK_MONOTONIC, 20);
  EXPECT_EQ(ETIMEDOUT, pthread_clockjoin_np(handle, nullptr, CLOCK_MONOTONIC, &until));
  go.Post();
  EXPECT_EQ(0, pthread_join(handle, nullptr));
}

TEST(ThreadJoin, ManyJoinersOfDifferentThreadsAllReturn) {
  std::vector<std::unique_ptr<Thread>> chain;
  Event go;
  chain.push_back(std::make_unique<Thread>([&] { go.Wait(); }));
  for (int i = 0; i < 20; ++i) {
    Thread* previous = chain.back().get();
    chain.push_back(std::make_unique<Thread>([previous] { previous->Join(); }));
  }
  Settle();
  go.Post();
  chain.back()->Join();
}

TEST(ThreadDetach, DetachedThreadRunsToItsEnd) {
  static Event done;
  Attributes attributes;
  ASSERT_EQ(0, pthread_attr_setdetachstate(&attributes.value, PTHREAD_CREATE_DETACHED));
  for (int i = 0; i < 100; ++i) {
    pthread_t thread;
    ASSERT_EQ(0, pthread_create(
                     &thread, &attributes.value,
                     [](void*) -> void* {
                       done.Post();
                       return nullptr;
                     },
                     nullptr));
  }
  done.Wait(100);
  Settle();
}

TEST(ThreadDetach, ThreadMayDetachItself) {
  static Event done;
  pthread_t thread;
  static std::atomic<int> error;
  error = -1;
  ASSERT_EQ(0, pthread_create(
                   &thread, nullptr,
                   [](void*) -> void* {
                     error = pthread_detach(pthread_self());
                     done.Post();
                     return nullptr;
                   },
                   nullptr));
  done.Wait();
  EXPECT_EQ(0, error);
  Settle();
}

TEST(ThreadSelf, IsTheHandleGivenByCreate) {
  pthread_t self_in_thread{};
  Thread thread([&] { self_in_thread = pthread_self(); });
  thread.Join();
  EXPECT_TRUE(pthread_equal(thread.handle(), self_in_thread));
  EXPECT_FALSE(pthread_equal(pthread_self(), self_in_thread));
}

TEST(ThreadSelf, StaysTheSameAcrossBlockingCalls) {
  std::vector<std::unique_ptr<Thread>> threads;
  std::atomic<int> wrong{0};
  for (int i = 0; i < 8; ++i) {
    threads.push_back(std::make_unique<Thread>([&] {
      const pthread_t self = pthread_self();
      const pid_t id = gettid();
      for (int round = 0; round < 20; ++round) {
        SleepMs(1);
        sched_yield();
        if (!pthread_equal(self, pthread_self()) || gettid() != id) ++wrong;
      }
    }));
  }
  threads.clear();
  EXPECT_EQ(0, wrong);
}

TEST(ThreadSelf, ThreadIdsDifferAndTheMainThreadsIsTheProcess) {
  EXPECT_EQ(getpid(), gettid());
  pid_t first = 0;
  pid_t second = 0;
  pid_t process = 0;
  Event go;
  Thread a([&] {
    first = gettid();
    process = getpid();
    go.Wait();
  });
  Thread b([&] {
    second = gettid();
    go.Wait();
  });
  Settle();
  go.Post();
  go.Post();
  a.Join();
  b.Join();
  EXPECT_NE(first, second);
  EXPECT_NE(first, getpid());
  EXPECT_EQ(process, getpid());
}

TEST(ThreadAttributes, DefaultsAreJoinableWithAGuard) {
  Attributes attributes;
  int state = -1;
  size_t guard = 0;
  size_t stack = 0;
  EXPECT_EQ(0, pthread_attr_getdetachstate(&attributes.value, &state));
  EXPECT_EQ(0, pthread_attr_getguardsize(&attributes.value, &guard));
  EXPECT_EQ(0, pthread_attr_getstacksize(&attributes.value, &stack));
  EXPECT_EQ(PTHREAD_CREATE_JOINABLE, state);
  EXPECT_GE(guard, 4096u);
  EXPECT_GE(stack, static_cast<size_t>(PTHREAD_STACK_MIN));
}

TEST(ThreadAttributes, RejectWrongValues) {
  Attributes attributes;
  EXPECT_EQ(EINVAL, pthread_attr_setstacksize(&attributes.value, PTHREAD_STACK_MIN - 1));
  EXPECT_EQ(EINVAL, pthread_attr_setdetachstate(&attributes.value, 77));
  EXPECT_EQ(EINVAL, pthread_attr_setinheritsched(&attributes.value, 77));
  EXPECT_EQ(ENOTSUP, pthread_attr_setscope(&attributes.value, PTHREAD_SCOPE_PROCESS));
}

size_t StackSizeOfSelf(void** low) {
  pthread_attr_t attributes;
  size_t size = 0;
  EXPECT_EQ(0, pthread_getattr_np(pthread_self(), &attributes));
  EXPECT_EQ(0, pthread_attr_getstack(&attributes, low, &size));
  pthread_attr_destroy(&attributes);
  return size;
}

TEST(ThreadAttributes, GetattrNpGivesTheStackTheThreadRunsOn) {
  Thread(
      [] {
        int local = 0;
        void* low = nullptr;
        const size_t size = StackSizeOfSelf(&low);
        EXPECT_GE(size, kSmallStack);
        EXPECT_GT(static_cast<void*>(&local), low);
        EXPECT_LT(static_cast<void*>(&local), static_cast<char*>(low) + size);
      },
      kSmallStack)
      .Join();
}

TEST(ThreadAttributes, GetattrNpOfTheMainThreadContainsItsLocals) {
  int local = 0;
  void* low = nullptr;
  const size_t size = StackSizeOfSelf(&low);
  EXPECT_GT(static_cast<void*>(&local), low);
  EXPECT_LT(static_cast<void*>(&local), static_cast<char*>(low) + size);
}

TEST(ThreadAttributes, GuardSizeIsKept) {
  Attributes attributes;
  ASSERT_EQ(0, pthread_attr_setguardsize(&attributes.value, 3 * 4096));
  pthread_t thread;
  ASSERT_EQ(0, pthread_create(
                   &thread, &attributes.value,
                   [](void*) -> void* {
                     pthread_attr_t own;
                     size_t guard = 0;
                     EXPECT_EQ(0, pthread_getattr_np(pthread_self(), &own));
                     EXPECT_EQ(0, pthread_attr_getguardsize(&own, &guard));
                     EXPECT_GE(guard, 3u * 4096);
                     pthread_attr_destroy(&own);
                     return nullptr;
                   },
                   nullptr));
  pthread_join(thread, nullptr);
}

TEST(ThreadAttributes, ThreadRunsOnTheStackItWasGiven) {
  constexpr size_t kSize = 256 * 1024;
  void* stack =
      mmap(nullptr, kSize, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
  ASSERT_NE(MAP_FAILED, stack);
  Attributes attributes;
  ASSERT_EQ(0, pthread_attr_setstack(&attributes.value, stack, kSize));
  pthread_t thread;
  ASSERT_EQ(0, pthread_create(
                   &thread, &attributes.value,
                   [](void* low) -> void* {
                     char local = 0;
                     SleepMs(1);
                     EXPECT_GE(&local, static_cast<char*>(low));
                     EXPECT_LT(&local, static_cast<char*>(low) + kSize);
                     return nullptr;
                   },
                   stack));
  EXPECT_EQ(0, pthread_join(thread, nullptr));
  EXPECT_EQ(0, munmap(stack, kSize));
}

// Uses this much stack in frames of 1 KiB, with a blocking call at the bottom.
int __attribute__((noinline)) UseStack(size_t bytes) {
  volatile char frame[1024];
  frame[0] = 1;
  frame[sizeof frame - 1] = 1;
  if (bytes < sizeof frame * 2) {
    SleepMs(1);
    return frame[0];
  }
  return UseStack(bytes - sizeof frame - 64) + frame[sizeof frame - 1];
}

TEST(ThreadStack, MostOfALargeStackCanBeUsed) {
  int result = 0;
  Thread([&] { result = UseStack(6 << 20); }, 8 << 20).Join();
  EXPECT_GT(result, 1000);
}

TEST(ThreadStack, TheDefaultHoldsSeveralMegabytes) {
  int result = 0;
  Thread([&] { result = UseStack(4 << 20); }).Join();
  EXPECT_GT(result, 1000);
}

TEST(ThreadStack, OverflowHitsTheGuardAndKillsTheProcess) {
  const int status = RunInChild([] {
    // The fault is expected: no core file, and no handler of the harness.
    signal(SIGSEGV, SIG_DFL);
    Thread([] { UseStack(4 << 20); }, kSmallStack).Join();
    return 0;
  });
  EXPECT_TRUE(WIFSIGNALED(status));
}

TEST(ThreadStack, AllocaAndBigLocalArraysWork) {
  Thread([] {
    const size_t size = 512 * 1024;
    char* memory = static_cast<char*>(__builtin_alloca(size));
    memset(memory, 7, size);
    SleepMs(1);
    EXPECT_EQ(7, memory[0]);
    EXPECT_EQ(7, memory[size - 1]);
  }).Join();
}

TEST(ThreadName, IsKeptPerThread) {
  Event named;
  Event go;
  Thread a([&] {
    EXPECT_EQ(0, pthread_setname_np(pthread_self(), "first"));
    named.Post();
    go.Wait();
    char name[16] = "";
    EXPECT_EQ(0, pthread_getname_np(pthread_self(), name, sizeof name));
    EXPECT_STREQ("first", name);
  });
  Thread b([&] {
    EXPECT_EQ(0, pthread_setname_np(pthread_self(), "second"));
    named.Post();
    go.Wait();
    char name[16] = "";
    EXPECT_EQ(0, pthread_getname_np(pthread_self(), name, sizeof name));
    EXPECT_STREQ("second", name);
  });
  named.Wait(2);
  go.Post();
  go.Post();
}

TEST(ThreadName, IsTheCreatorsUntilItIsChanged) {
  char mine[16] = "";
  EXPECT_EQ(0, pthread_getname_np(pthread_self(), mine, sizeof mine));
  EXPECT_STRNE("", mine);
  Thread([&] {
    char name[16] = "";
    EXPECT_EQ(0, pthread_getname_np(pthread_self(), name, sizeof name));
    EXPECT_STREQ(mine, name);
    EXPECT_EQ(0, pthread_setname_np(pthread_self(), "parent"));
    Thread([] {
      char inherited[16] = "";
      EXPECT_EQ(0, pthread_getname_np(pthread_self(), inherited, sizeof inherited));
      EXPECT_STREQ("parent", inherited);
    }).Join();
  }).Join();
}

TEST(ThreadName, LongerThanFifteenBytesIsRefused) {
  EXPECT_EQ(ERANGE, pthread_setname_np(pthread_self(), "sixteen bytes ab"));
  char tiny[4];
  EXPECT_EQ(ERANGE, pthread_getname_np(pthread_self(), tiny, sizeof tiny));
}

// --- Thread-specific data ------------------------------------------------------------------------

std::atomic<int> destructor_runs{0};

TEST(ThreadKeys, ValuesArePrivateAndStartNull) {
  pthread_key_t key;
  ASSERT_EQ(0, pthread_key_create(&key, nullptr));
  pthread_setspecific(key, NumberOf(1));
  std::vector<std::unique_ptr<Thread>> threads;
  for (int i = 2; i < 10; ++i) {
    threads.push_back(std::make_unique<Thread>([key, i] {
      EXPECT_EQ(nullptr, pthread_getspecific(key));
      pthread_setspecific(key, NumberOf(i));
      SleepMs(5);
      EXPECT_EQ(NumberOf(i), pthread_getspecific(key));
    }));
  }
  threads.clear();
  EXPECT_EQ(NumberOf(1), pthread_getspecific(key));
  EXPECT_EQ(0, pthread_key_delete(key));
}

TEST(ThreadKeys, DestructorsRunAtExitForNonNullValues) {
  pthread_key_t with_value;
  pthread_key_t without_value;
  destructor_runs = 0;
  auto destructor = [](void*) { ++destructor_runs; };
  ASSERT_EQ(0, pthread_key_create(&with_value, destructor));
  ASSERT_EQ(0, pthread_key_create(&without_value, destructor));
  Thread([&] { pthread_setspecific(with_value, &with_value); }).Join();
  EXPECT_EQ(1, destructor_runs);
  pthread_key_delete(with_value);
  pthread_key_delete(without_value);
}

TEST(ThreadKeys, DestructorThatSetsTheValueAgainRunsAgainUpToTheLimit) {
  static pthread_key_t key;
  destructor_runs = 0;
  ASSERT_EQ(0, pthread_key_create(&key, [](void* value) {
              ++destructor_runs;
              pthread_setspecific(key, value);
            }));
  Thread([&] { pthread_setspecific(key, &key); }).Join();
  EXPECT_EQ(PTHREAD_DESTRUCTOR_ITERATIONS, destructor_runs);
  pthread_key_delete(key);
}

TEST(ThreadKeys, DestructorMayBlock) {
  static pthread_key_t key;
  destructor_runs = 0;
  ASSERT_EQ(0, pthread_key_create(&key, [](void*) {
              SleepMs(10);
              ++destructor_runs;
            }));
  Thread([&] { pthread_setspecific(key, &key); }).Join();
  EXPECT_EQ(1, destructor_runs);
  pthread_key_delete(key);
}

TEST(ThreadKeys, RunOutWithEagainAndComeBack) {
  std::vector<pthread_key_t> keys;
  pthread_key_t key;
  int error;
  while ((error = pthread_key_create(&key, nullptr)) == 0) keys.push_back(key);
  EXPECT_EQ(EAGAIN, error);
  for (pthread_key_t each : keys) EXPECT_EQ(0, pthread_key_delete(each));
  EXPECT_EQ(0, pthread_key_create(&key, nullptr));
  EXPECT_EQ(0, pthread_key_delete(key));
}

TEST(ThreadKeys, DeletedKeyIsInvalid) {
  pthread_key_t key;
  ASSERT_EQ(0, pthread_key_create(&key, nullptr));
  EXPECT_EQ(0, pthread_key_delete(key));
  EXPECT_EQ(EINVAL, pthread_key_delete(key));
  EXPECT_EQ(EINVAL, pthread_setspecific(key, &key));
}

// --- Once and cleanup ----------------------------------------------------------------------------

std::atomic<int> once_runs{0};

TEST(ThreadOnce, RunsOnceAndOthersWaitForItsEnd) {
  static pthread_once_t once;
  once = PTHREAD_ONCE_INIT;
  once_runs = 0;
  std::vector<std::unique_ptr<Thread>> threads;
  for (int i = 0; i < 10; ++i) {
    threads.push_back(std::make_unique<Thread>([] {
      EXPECT_EQ(0, pthread_once(&once, [] {
                  // Blocks while it holds the control, so that the others have to wait for it.
                  SleepMs(30);
                  ++once_runs;
                }));
      EXPECT_EQ(1, once_runs);
    }));
  }
  threads.clear();
  EXPECT_EQ(1, once_runs);
}

TEST(ThreadCleanup, PopRunsOnlyIfAsked) {
  int runs = 0;
  auto handler = [](void* runs) { ++*static_cast<int*>(runs); };
  pthread_cleanup_push(handler, &runs);
  pthread_cleanup_pop(0);
  EXPECT_EQ(0, runs);
  pthread_cleanup_push(handler, &runs);
  pthread_cleanup_pop(1);
  EXPECT_EQ(1, runs);
}

TEST(ThreadCleanup, ExitRunsHandlersLastPushedFirst) {
  static std::string order;
  order.clear();
  pthread_t thread;
  ASSERT_EQ(0, pthread_create(
                   &thread, nullptr,
                   [](void*) -> void* {
                     pthread_cleanup_push([](void*) { order += "1"; }, nullptr);
                     pthread_cleanup_push([](void*) { order += "2"; }, nullptr);
                     pthread_exit(nullptr);
                     pthread_cleanup_pop(0);
                     pthread_cleanup_pop(0);
                     return nullptr;
                   },
                   nullptr));
  pthread_join(thread, nullptr);
  EXPECT_EQ("21", order);
}

TEST(ThreadCleanup, HandlersRunBeforeKeyDestructors) {
  static std::string order;
  static pthread_key_t key;
  order.clear();
  ASSERT_EQ(0, pthread_key_create(&key, [](void*) { order += "k"; }));
  pthread_t thread;
  ASSERT_EQ(0, pthread_create(
                   &thread, nullptr,
                   [](void*) -> void* {
                     pthread_setspecific(key, &key);
                     pthread_cleanup_push([](void*) { order += "c"; }, nullptr);
                     pthread_exit(nullptr);
                     pthread_cleanup_pop(0);
                     return nullptr;
                   },
                   nullptr));
  pthread_join(thread, nullptr);
  EXPECT_EQ("ck", order);
  pthread_key_delete(key);
}

// --- Scheduling calls ----------------------------------------------------------------------------

TEST(ThreadScheduling, YieldLetsAnotherThreadRun) {
  std::atomic<bool> flag{false};
  Thread other([&] { flag = true; });
  while (!flag) sched_yield();
}

TEST(ThreadScheduling, PolicyOfANewThreadIsTheCreators) {
  int policy = -1;
  sched_param parameters = {};
  Thread([&] { EXPECT_EQ(0, pthread_getschedparam(pthread_self(), &policy, &parameters)); }).Join();
  EXPECT_EQ(SCHED_OTHER, policy);
  EXPECT_EQ(0, parameters.sched_priority);
}

TEST(ThreadScheduling, CpuClockOfAThreadCanBeRead) {
  Thread([] {
    clockid_t clock;
    ASSERT_EQ(0, pthread_getcpuclockid(pthread_self(), &clock));
    timespec time;
    EXPECT_OK(clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time));
  }).Join();
}

TEST(ThreadScheduling, AffinityCanBeRead) {
  Thread([] {
    cpu_set_t set;
    EXPECT_EQ(0, pthread_getaffinity_np(pthread_self(), sizeof set, &set));
    EXPECT_GE(CPU_COUNT(&set), 1);
    EXPECT_GE(sched_getcpu(), 0);
  }).Join();
}

// --- Numbers -------------------------------------------------------------------------------------

TEST(ManyThreads, AThousandAreAliveAtOnce) {
  Event arrived;
  Event leave;
  std::atomic<int> alive{0};
  std::vector<std::unique_ptr<Thread>> threads;
  for (int i = 0; i < 1000; ++i) {
    threads.push_back(std::make_unique<Thread>(
        [&] {
          ++alive;
          arrived.Post();
          leave.Wait();
        },
        kSmallStack));
  }
  arrived.Wait(1000);
  EXPECT_EQ(1000, alive);
  for (int i = 0; i < 1000; ++i) leave.Post();
}

TEST(ManyThreads, TwentyThousandWithSmallStacksAreCreatedAndJoined) {
  Attributes attributes;
  ASSERT_EQ(0, pthread_attr_setstacksize(&attributes.value, kSmallStack));
  static Event leave;
  std::vector<pthread_t> threads;
  for (int i = 0; i < 20000; ++i) {
    pthread_t thread;
    const int error = pthread_create(
        &thread, &attributes.value,
        [](void* argument) -> void* {
          leave.Wait();
          return argument;
        },
        NumberOf(i));
    // Kernel threads may be fewer where the machine limits them.
    if (error == EAGAIN && !OnBobbin()) break;
    ASSERT_EQ(0, error) << "thread " << i;
    threads.push_back(thread);
  }
  for (size_t i = 0; i < threads.size(); ++i) leave.Post();
  for (size_t i = 0; i < threads.size(); ++i) {
    void* result = nullptr;
    ASSERT_EQ(0, pthread_join(threads[i], &result));
    ASSERT_EQ(NumberOf(i), result);
  }
  EXPECT_GE(threads.size(), 1000u);
}

TEST(ManyThreads, ShortLivedOnesOneAfterAnother) {
  int sum = 0;
  for (int i = 0; i < 5000; ++i) Thread([&] { ++sum; }, kSmallStack).Join();
  EXPECT_EQ(5000, sum);
}

}  // namespace
}  // namespace conformance
