// What attributes of threads, mutexes, conditions, locks and barriers keep, refuse and do:
// pthread_attr_init(3), pthread_mutexattr_init(3) and the pages of their neighbours.
#include <limits.h>
#include <sched.h>
#include <sys/mman.h>

#include "support.h"

namespace conformance {
namespace {

class ThreadAttribute : public testing::Test {
 protected:
  void SetUp() override { ASSERT_EQ(0, pthread_attr_init(&attributes_)); }
  void TearDown() override { EXPECT_EQ(0, pthread_attr_destroy(&attributes_)); }

  pthread_attr_t attributes_;
};

TEST_F(ThreadAttribute, SchedulingIsInheritedOrWhatWasSet) {
  int value = -1;
  EXPECT_EQ(0, pthread_attr_getinheritsched(&attributes_, &value));
  EXPECT_EQ(PTHREAD_INHERIT_SCHED, value);
  EXPECT_EQ(EINVAL, pthread_attr_setinheritsched(&attributes_, 77));
  EXPECT_EQ(0, pthread_attr_setinheritsched(&attributes_, PTHREAD_EXPLICIT_SCHED));
  EXPECT_EQ(0, pthread_attr_getinheritsched(&attributes_, &value));
  EXPECT_EQ(PTHREAD_EXPLICIT_SCHED, value);

  EXPECT_EQ(0, pthread_attr_getschedpolicy(&attributes_, &value));
  EXPECT_EQ(SCHED_OTHER, value);
  EXPECT_EQ(EINVAL, pthread_attr_setschedpolicy(&attributes_, 77));
  EXPECT_EQ(0, pthread_attr_setschedpolicy(&attributes_, SCHED_RR));
  EXPECT_EQ(0, pthread_attr_getschedpolicy(&attributes_, &value));
  EXPECT_EQ(SCHED_RR, value);

  sched_param parameters = {100};
  EXPECT_EQ(EINVAL, pthread_attr_setschedparam(&attributes_, &parameters));
  parameters.sched_priority = 7;
  EXPECT_EQ(0, pthread_attr_setschedparam(&attributes_, &parameters));
  parameters.sched_priority = 0;
  EXPECT_EQ(0, pthread_attr_getschedparam(&attributes_, &parameters));
  EXPECT_EQ(7, parameters.sched_priority);
}

TEST_F(ThreadAttribute, ScopeIsTheSystem) {
  int scope = -1;
  EXPECT_EQ(0, pthread_attr_getscope(&attributes_, &scope));
  EXPECT_EQ(PTHREAD_SCOPE_SYSTEM, scope);
  EXPECT_EQ(0, pthread_attr_setscope(&attributes_, PTHREAD_SCOPE_SYSTEM));
  EXPECT_EQ(ENOTSUP, pthread_attr_setscope(&attributes_, PTHREAD_SCOPE_PROCESS));
  EXPECT_EQ(EINVAL, pthread_attr_setscope(&attributes_, 77));
}

TEST_F(ThreadAttribute, SignalMaskIsKept) {
  sigset_t set;
  EXPECT_EQ(PTHREAD_ATTR_NO_SIGMASK_NP, pthread_attr_getsigmask_np(&attributes_, &set));
  sigset_t wanted = SignalSet({SIGUSR1});
  EXPECT_EQ(0, pthread_attr_setsigmask_np(&attributes_, &wanted));
  EXPECT_EQ(0, pthread_attr_getsigmask_np(&attributes_, &set));
  EXPECT_EQ(1, sigismember(&set, SIGUSR1));
  EXPECT_EQ(0, sigismember(&set, SIGUSR2));
}

TEST_F(ThreadAttribute, AffinityIsGivenToTheThread) {
  cpu_set_t all, set;
  ASSERT_EQ(0, pthread_getaffinity_np(pthread_self(), sizeof all, &all));
  EXPECT_EQ(0, pthread_attr_setaffinity_np(&attributes_, sizeof all, &all));
  EXPECT_EQ(0, pthread_attr_getaffinity_np(&attributes_, sizeof set, &set));
  EXPECT_TRUE(CPU_EQUAL(&all, &set));
  EXPECT_EQ(EINVAL, pthread_attr_getaffinity_np(&attributes_, 0, &set));
  pthread_t thread;
  ASSERT_EQ(0, pthread_create(
                   &thread, &attributes_,
                   [](void* out) -> void* {
                     EXPECT_EQ(0, pthread_getaffinity_np(pthread_self(), sizeof(cpu_set_t),
                                                         static_cast<cpu_set_t*>(out)));
                     return nullptr;
                   },
                   &set));
  pthread_join(thread, nullptr);
  EXPECT_TRUE(CPU_EQUAL(&all, &set));
}

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
TEST_F(ThreadAttribute, StackAddressOfOldIsItsEnd) {
  alignas(64) static char stack[256 * 1024];
  ASSERT_EQ(0, pthread_attr_setstacksize(&attributes_, sizeof stack));
  EXPECT_EQ(0, pthread_attr_setstackaddr(&attributes_, stack + sizeof stack));
  void* address = nullptr;
  EXPECT_EQ(0, pthread_attr_getstackaddr(&attributes_, &address));
  EXPECT_EQ(stack + sizeof stack, address);
  pthread_t thread;
  ASSERT_EQ(0, pthread_create(
                   &thread, &attributes_, [](void*) -> void* { return __builtin_frame_address(0); },
                   nullptr));
  void* frame;
  pthread_join(thread, &frame);
  EXPECT_LT(static_cast<char*>(frame) - stack, static_cast<ptrdiff_t>(sizeof stack));
}
#pragma GCC diagnostic pop

TEST_F(ThreadAttribute, SmallestStackServes) {
  EXPECT_EQ(EINVAL, pthread_attr_setstacksize(&attributes_, PTHREAD_STACK_MIN - 1));
  ASSERT_EQ(0, pthread_attr_setstacksize(&attributes_, PTHREAD_STACK_MIN));
  ASSERT_EQ(0, pthread_attr_setguardsize(&attributes_, 0));
  // The thread-locals of this program lie on the stack too: the smallest that can be.
  auto nothing = [](void* value) { return value; };
  pthread_t first;
  size_t size = PTHREAD_STACK_MIN;
  while (pthread_create(&first, &attributes_, nothing, nullptr) == EINVAL)
    ASSERT_EQ(0, pthread_attr_setstacksize(&attributes_, size += 4096));
  EXPECT_EQ(0, pthread_join(first, nullptr));
  // And some for the dynamic loader, which looks up what the thread calls.
  ASSERT_EQ(0, pthread_attr_setstacksize(&attributes_, size + 16384));
  Event go;
  for (int i = 0; i < 50; ++i) {
    pthread_t thread;
    ASSERT_EQ(0, pthread_create(
                     &thread, &attributes_,
                     [](void* event) -> void* {
                       static_cast<Event*>(event)->Wait();
                       return event;
                     },
                     &go));
    go.Post();
    void* result;
    EXPECT_EQ(0, pthread_join(thread, &result));
    EXPECT_EQ(&go, result);
  }
}

// A stack that its owner reuses or unmaps as soon as the thread is joined.
TEST_F(ThreadAttribute, OwnStackMayBeUnmappedAfterJoin) {
  constexpr size_t kSize = 256 * 1024;
  for (int i = 0; i < 200; ++i) {
    void* stack = mmap(nullptr, kSize, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ASSERT_NE(MAP_FAILED, stack);
    ASSERT_EQ(0, pthread_attr_setstack(&attributes_, stack, kSize));
    pthread_t thread;
    ASSERT_EQ(0, pthread_create(
                     &thread, &attributes_, [](void* value) { return value; }, stack));
    void* result;
    ASSERT_EQ(0, pthread_join(thread, &result));
    EXPECT_EQ(stack, result);
    ASSERT_OK(munmap(stack, kSize));
  }
}

TEST(ThreadDefaults, CanBeReadAndChanged) {
  pthread_attr_t before, changed, now;
  ASSERT_EQ(0, pthread_getattr_default_np(&before));
  ASSERT_EQ(0, pthread_getattr_default_np(&changed));
  ASSERT_EQ(0, pthread_attr_setstacksize(&changed, 128 * 1024));
  EXPECT_EQ(0, pthread_setattr_default_np(&changed));
  size_t size = 0;
  ASSERT_EQ(0, pthread_getattr_default_np(&now));
  EXPECT_EQ(0, pthread_attr_getstacksize(&now, &size));
  EXPECT_EQ(128u * 1024, size);
  Thread([&size] {
    pthread_attr_t mine;
    ASSERT_EQ(0, pthread_getattr_np(pthread_self(), &mine));
    EXPECT_EQ(0, pthread_attr_getstacksize(&mine, &size));
    pthread_attr_destroy(&mine);
  }).Join();
  EXPECT_GE(size, 96u * 1024);
  EXPECT_LE(size, 160u * 1024);
  EXPECT_EQ(0, pthread_setattr_default_np(&before));
  for (pthread_attr_t* one : {&before, &changed, &now}) pthread_attr_destroy(one);
}

TEST(ThreadDefaults, ConcurrencyIsRememberedOnly) {
  EXPECT_EQ(0, pthread_getconcurrency());
  EXPECT_EQ(EINVAL, pthread_setconcurrency(-1));
  EXPECT_EQ(0, pthread_setconcurrency(4));
  EXPECT_EQ(4, pthread_getconcurrency());
  EXPECT_EQ(0, pthread_setconcurrency(0));
}

TEST(ThreadDefaults, EqualAndYieldOfOld) {
  EXPECT_NE(0, (pthread_equal)(pthread_self(), pthread_self()));
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
  EXPECT_EQ(0, pthread_yield());
#pragma GCC diagnostic pop
}

class MutexAttribute : public testing::Test {
 protected:
  void SetUp() override { ASSERT_EQ(0, pthread_mutexattr_init(&attributes_)); }
  void TearDown() override { EXPECT_EQ(0, pthread_mutexattr_destroy(&attributes_)); }

  pthread_mutexattr_t attributes_;
};

TEST_F(MutexAttribute, EachIsKeptAndWrongValuesAreInvalid) {
  int value = -1;
  EXPECT_EQ(0, pthread_mutexattr_getpshared(&attributes_, &value));
  EXPECT_EQ(PTHREAD_PROCESS_PRIVATE, value);
  EXPECT_EQ(0, pthread_mutexattr_setpshared(&attributes_, PTHREAD_PROCESS_SHARED));
  EXPECT_EQ(0, pthread_mutexattr_getpshared(&attributes_, &value));
  EXPECT_EQ(PTHREAD_PROCESS_SHARED, value);
  EXPECT_EQ(EINVAL, pthread_mutexattr_setpshared(&attributes_, 77));

  EXPECT_EQ(0, pthread_mutexattr_getrobust(&attributes_, &value));
  EXPECT_EQ(PTHREAD_MUTEX_STALLED, value);
  EXPECT_EQ(0, pthread_mutexattr_setrobust(&attributes_, PTHREAD_MUTEX_ROBUST));
  EXPECT_EQ(0, pthread_mutexattr_getrobust(&attributes_, &value));
  EXPECT_EQ(PTHREAD_MUTEX_ROBUST, value);
  EXPECT_EQ(EINVAL, pthread_mutexattr_setrobust(&attributes_, 77));

  EXPECT_EQ(0, pthread_mutexattr_getprotocol(&attributes_, &value));
  EXPECT_EQ(PTHREAD_PRIO_NONE, value);
  EXPECT_EQ(0, pthread_mutexattr_setprotocol(&attributes_, PTHREAD_PRIO_INHERIT));
  EXPECT_EQ(0, pthread_mutexattr_getprotocol(&attributes_, &value));
  EXPECT_EQ(PTHREAD_PRIO_INHERIT, value);
  EXPECT_EQ(EINVAL, pthread_mutexattr_setprotocol(&attributes_, 77));

  EXPECT_EQ(EINVAL, pthread_mutexattr_setprioceiling(&attributes_, 1000));
  EXPECT_EQ(0, pthread_mutexattr_setprioceiling(&attributes_, 5));
  EXPECT_EQ(0, pthread_mutexattr_getprioceiling(&attributes_, &value));
  EXPECT_EQ(5, value);
}

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
TEST_F(MutexAttribute, OldNamesOfRobustOnesAreTheSame) {
  int value = -1;
  EXPECT_EQ(0, pthread_mutexattr_setrobust_np(&attributes_, PTHREAD_MUTEX_ROBUST_NP));
  EXPECT_EQ(0, pthread_mutexattr_getrobust_np(&attributes_, &value));
  EXPECT_EQ(PTHREAD_MUTEX_ROBUST_NP, value);
  pthread_mutex_t mutex;
  ASSERT_EQ(0, pthread_mutex_init(&mutex, &attributes_));
  Thread([&] { pthread_mutex_lock(&mutex); }).Join();
  EXPECT_EQ(EOWNERDEAD, pthread_mutex_lock(&mutex));
  EXPECT_EQ(0, pthread_mutex_consistent_np(&mutex));
  EXPECT_EQ(0, pthread_mutex_unlock(&mutex));
  pthread_mutex_destroy(&mutex);
}
#pragma GCC diagnostic pop

TEST_F(MutexAttribute, CeilingOfAMutexWithoutOneIsInvalid) {
  pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
  int ceiling = -1;
  EXPECT_EQ(EINVAL, pthread_mutex_getprioceiling(&mutex, &ceiling));
  EXPECT_EQ(EINVAL, pthread_mutex_setprioceiling(&mutex, 3, &ceiling));
}

TEST(OtherAttributes, SharingOfConditionsLocksAndBarriersIsKept) {
  int value = -1;
  pthread_condattr_t condition;
  ASSERT_EQ(0, pthread_condattr_init(&condition));
  EXPECT_EQ(0, pthread_condattr_getpshared(&condition, &value));
  EXPECT_EQ(PTHREAD_PROCESS_PRIVATE, value);
  EXPECT_EQ(0, pthread_condattr_setpshared(&condition, PTHREAD_PROCESS_SHARED));
  EXPECT_EQ(0, pthread_condattr_getpshared(&condition, &value));
  EXPECT_EQ(PTHREAD_PROCESS_SHARED, value);
  EXPECT_EQ(EINVAL, pthread_condattr_setpshared(&condition, 77));
  EXPECT_EQ(0, pthread_condattr_destroy(&condition));

  pthread_rwlockattr_t lock;
  ASSERT_EQ(0, pthread_rwlockattr_init(&lock));
  EXPECT_EQ(0, pthread_rwlockattr_setpshared(&lock, PTHREAD_PROCESS_SHARED));
  EXPECT_EQ(0, pthread_rwlockattr_getpshared(&lock, &value));
  EXPECT_EQ(PTHREAD_PROCESS_SHARED, value);
  EXPECT_EQ(EINVAL, pthread_rwlockattr_setpshared(&lock, 77));
  EXPECT_EQ(0, pthread_rwlockattr_getkind_np(&lock, &value));
  EXPECT_EQ(PTHREAD_RWLOCK_PREFER_READER_NP, value);
  EXPECT_EQ(EINVAL, pthread_rwlockattr_setkind_np(&lock, 77));
  EXPECT_EQ(0, pthread_rwlockattr_destroy(&lock));

  pthread_barrierattr_t barrier;
  ASSERT_EQ(0, pthread_barrierattr_init(&barrier));
  EXPECT_EQ(0, pthread_barrierattr_getpshared(&barrier, &value));
  EXPECT_EQ(PTHREAD_PROCESS_PRIVATE, value);
  EXPECT_EQ(0, pthread_barrierattr_setpshared(&barrier, PTHREAD_PROCESS_SHARED));
  EXPECT_EQ(0, pthread_barrierattr_getpshared(&barrier, &value));
  EXPECT_EQ(PTHREAD_PROCESS_SHARED, value);
  EXPECT_EQ(EINVAL, pthread_barrierattr_setpshared(&barrier, 77));
  EXPECT_EQ(0, pthread_barrierattr_destroy(&barrier));
}

}  // namespace
}  // namespace conformance
