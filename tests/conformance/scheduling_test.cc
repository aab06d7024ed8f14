// Policies and priorities of threads: pthread_setschedparam(3), pthread_setschedprio(3),
// sched_setscheduler(2), sched(7).
//
// Where the process may not use real-time policies, the same calls must fail with EPERM.
#include <sched.h>

#include "support.h"

namespace conformance {
namespace {

// True where real-time policies are permitted: asked of a child, so that nobody here changes.
bool MayUseRealTime() {
  static bool may = WEXITSTATUS(RunInChild([] {
                      sched_param parameters = {1};
                      return sched_setscheduler(0, SCHED_FIFO, &parameters) == 0 ? 1 : 0;
                    })) == 1;
  return may;
}

void ExpectScheduling(pthread_t thread, int policy, int priority) {
  int got = -1;
  sched_param parameters = {-1};
  EXPECT_EQ(0, pthread_getschedparam(thread, &got, &parameters));
  EXPECT_EQ(policy, got);
  EXPECT_EQ(priority, parameters.sched_priority);
}

// A thread that waits until the test has looked at it.
class Waiting {
 public:
  Waiting() : thread_([this] { Body(); }) { ready_.Wait(); }
  ~Waiting() { done_.Post(); }
  pthread_t handle() const { return thread_.handle(); }
  pid_t tid() const { return tid_; }

 private:
  void Body() {
    tid_ = gettid();
    ready_.Post();
    done_.Wait();
  }

  Event ready_, done_;
  pid_t tid_ = 0;
  Thread thread_;
};

TEST(Scheduling, PolicyIsTheThreadsOwn) {
  Waiting one, other;
  sched_param parameters = {5};
  int result = pthread_setschedparam(one.handle(), SCHED_RR, &parameters);
  if (!MayUseRealTime()) {
    EXPECT_EQ(EPERM, result);
    ExpectScheduling(one.handle(), SCHED_OTHER, 0);
    return;
  }
  EXPECT_EQ(0, result);
  ExpectScheduling(one.handle(), SCHED_RR, 5);
  ExpectScheduling(other.handle(), SCHED_OTHER, 0);
  ExpectScheduling(pthread_self(), SCHED_OTHER, 0);
  EXPECT_EQ(SCHED_RR, sched_getscheduler(one.tid()));
  EXPECT_EQ(SCHED_OTHER, sched_getscheduler(other.tid()));
  EXPECT_EQ(SCHED_OTHER, sched_getscheduler(0));
  EXPECT_OK(sched_getparam(one.tid(), &parameters));
  EXPECT_EQ(5, parameters.sched_priority);
  EXPECT_EQ(0, pthread_setschedprio(one.handle(), 9));
  ExpectScheduling(one.handle(), SCHED_RR, 9);
  parameters.sched_priority = 3;
  EXPECT_OK(sched_setparam(one.tid(), &parameters));
  EXPECT_OK(sched_getparam(one.tid(), &parameters));
  EXPECT_EQ(3, parameters.sched_priority);
  parameters.sched_priority = 0;
  EXPECT_EQ(0, pthread_setschedparam(one.handle(), SCHED_OTHER, &parameters));
  ExpectScheduling(one.handle(), SCHED_OTHER, 0);
}

TEST(Scheduling, WrongValuesAreInvalid) {
  Waiting one;
  sched_param parameters = {5};
  EXPECT_EQ(EINVAL, pthread_setschedparam(one.handle(), SCHED_OTHER, &parameters));
  EXPECT_EQ(EINVAL, pthread_setschedparam(one.handle(), 77, &parameters));
  EXPECT_EQ(EINVAL, pthread_setschedprio(one.handle(), 1));
  parameters.sched_priority = 100;
  EXPECT_EQ(EINVAL, pthread_setschedparam(one.handle(), SCHED_FIFO, &parameters));
  parameters.sched_priority = 0;
  EXPECT_EQ(EINVAL, pthread_setschedparam(one.handle(), SCHED_FIFO, &parameters));
  EXPECT_ERRNO(EINVAL, sched_setscheduler(one.tid(), SCHED_OTHER, nullptr));
  EXPECT_ERRNO(EINVAL, sched_getparam(one.tid(), nullptr));
  EXPECT_ERRNO(EINVAL, sched_setscheduler(-1, SCHED_OTHER, &parameters));
  ExpectScheduling(one.handle(), SCHED_OTHER, 0);
}

TEST(Scheduling, BatchNeedsNoPriorityAndNoPrivilege) {
  Waiting one;
  sched_param parameters = {0};
  EXPECT_EQ(0, pthread_setschedparam(one.handle(), SCHED_BATCH, &parameters));
  ExpectScheduling(one.handle(), SCHED_BATCH, 0);
}

TEST(Scheduling, NewThreadHasItsCreatorsUnlessItsAttributesSayOtherwise) {
  if (!MayUseRealTime()) return;
  Thread([] {
    sched_param parameters = {4};
    ASSERT_EQ(0, pthread_setschedparam(pthread_self(), SCHED_FIFO, &parameters));
    Thread([] {
      ExpectScheduling(pthread_self(), SCHED_FIFO, 4);
      EXPECT_EQ(SCHED_FIFO, sched_getscheduler(0));
    }).Join();
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setinheritsched(&attributes, PTHREAD_EXPLICIT_SCHED);
    pthread_attr_setschedpolicy(&attributes, SCHED_RR);
    parameters.sched_priority = 6;
    pthread_attr_setschedparam(&attributes, &parameters);
    pthread_t thread;
    ASSERT_EQ(0, pthread_create(
                     &thread, &attributes,
                     [](void*) -> void* {
                       ExpectScheduling(pthread_self(), SCHED_RR, 6);
                       EXPECT_EQ(SCHED_RR, sched_getscheduler(gettid()));
                       return nullptr;
                     },
                     nullptr));
    pthread_join(thread, nullptr);
    pthread_attr_destroy(&attributes);
  }).Join();
  ExpectScheduling(pthread_self(), SCHED_OTHER, 0);
}

TEST(Scheduling, ResetOnForkKeepsItFromNewThreads) {
  if (!MayUseRealTime()) return;
  Thread([] {
    sched_param parameters = {4};
    ASSERT_OK(sched_setscheduler(0, SCHED_FIFO | SCHED_RESET_ON_FORK, &parameters));
    EXPECT_EQ(SCHED_FIFO | SCHED_RESET_ON_FORK, sched_getscheduler(0));
    Thread([] { EXPECT_EQ(SCHED_OTHER, sched_getscheduler(0)); }).Join();
  }).Join();
}

TEST(Scheduling, CeilingOfAPriorityProtectedMutexIsItsHoldersPriority) {
  pthread_mutexattr_t attributes;
  pthread_mutexattr_init(&attributes);
  ASSERT_EQ(0, pthread_mutexattr_setprotocol(&attributes, PTHREAD_PRIO_PROTECT));
  ASSERT_EQ(0, pthread_mutexattr_setprioceiling(&attributes, 8));
  pthread_mutex_t mutex;
  ASSERT_EQ(0, pthread_mutex_init(&mutex, &attributes));
  int ceiling = 0;
  EXPECT_EQ(0, pthread_mutex_getprioceiling(&mutex, &ceiling));
  EXPECT_EQ(8, ceiling);
  if (MayUseRealTime()) {
    Thread([&mutex] {
      sched_param parameters = {2};
      ASSERT_EQ(0, pthread_setschedparam(pthread_self(), SCHED_FIFO, &parameters));
      EXPECT_EQ(0, pthread_mutex_lock(&mutex));
      EXPECT_OK(sched_getparam(0, &parameters));
      EXPECT_EQ(8, parameters.sched_priority);
      EXPECT_EQ(0, pthread_mutex_unlock(&mutex));
      EXPECT_OK(sched_getparam(0, &parameters));
      EXPECT_EQ(2, parameters.sched_priority);
      int old = 0;
      EXPECT_EQ(0, pthread_mutex_setprioceiling(&mutex, 9, &old));
      EXPECT_EQ(8, old);
      parameters.sched_priority = 20;
      ASSERT_EQ(0, pthread_setschedparam(pthread_self(), SCHED_FIFO, &parameters));
      EXPECT_EQ(EINVAL, pthread_mutex_lock(&mutex));
    }).Join();
  }
  pthread_mutex_destroy(&mutex);
  pthread_mutexattr_destroy(&attributes);
}

TEST(Scheduling, AffinityOfAThreadCanBeSet) {
  cpu_set_t all;
  ASSERT_EQ(0, pthread_getaffinity_np(pthread_self(), sizeof all, &all));
  Waiting one;
  EXPECT_EQ(0, pthread_setaffinity_np(one.handle(), sizeof all, &all));
  cpu_set_t set;
  EXPECT_EQ(0, pthread_getaffinity_np(one.handle(), sizeof set, &set));
  EXPECT_TRUE(CPU_EQUAL(&all, &set));
  CPU_ZERO(&set);
  EXPECT_EQ(EINVAL, pthread_setaffinity_np(one.handle(), sizeof set, &set));
}

}  // namespace
}  // namespace conformance
