// pthread_cancel of threads blocked, running, and asking for it.
#include <poll.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/wait.h>

#include <memory>
#include <vector>

#include "tests/conformance/support.h"

namespace conformance {
namespace {

// Cancels a thread that is blocked in `call` and expects it to end there.
void ExpectCancelledIn(const std::function<void()>& call) {
  Event waiting;
  std::atomic<bool> unwound{false};
  std::atomic<bool> returned{false};
  Thread thread([&] {
    struct Guard {
      ~Guard() { *flag = true; }
      std::atomic<bool>* flag;
    } guard{&unwound};
    waiting.Post();
    call();
    returned = true;
  });
  waiting.Wait();
  Settle();
  EXPECT_EQ(0, pthread_cancel(thread.handle()));
  EXPECT_EQ(PTHREAD_CANCELED, thread.Join());
  EXPECT_TRUE(unwound);
  EXPECT_FALSE(returned);
}

TEST(Cancel, InReadOfASocketAndOfAPipe) {
  Pair pair = MakeTcpPair();
  Pair pipe = MakePipe();
  char c;
  ExpectCancelledIn([&] { (void)!read(pair.a, &c, 1); });
  ExpectCancelledIn([&] { (void)!read(pipe.a, &c, 1); });
  // Both still work afterwards.
  EXPECT_TRUE(WriteAll(pair.b, "x"));
  EXPECT_EQ("x", ReadExactly(pair.a, 1));
  EXPECT_TRUE(WriteAll(pipe.b, "x"));
  EXPECT_EQ("x", ReadExactly(pipe.a, 1));
}

TEST(Cancel, InRecvRecvfromAndRecvmsg) {
  Pair pair = MakeSocketPair();
  char c;
  iovec part = {&c, 1};
  msghdr message = {};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  ExpectCancelledIn([&] { recv(pair.a, &c, 1, 0); });
  ExpectCancelledIn([&] { recvfrom(pair.a, &c, 1, 0, nullptr, nullptr); });
  ExpectCancelledIn([&] { recvmsg(pair.a, &message, 0); });
}

TEST(Cancel, InSendAndWriteToAFullOne) {
  Pair pair = MakeSocketPair();
  Pair pipe = MakePipe();
  FillUp(pair.a);
  FillUp(pipe.b);
  ExpectCancelledIn([&] { send(pair.a, "x", 1, 0); });
  ExpectCancelledIn([&] { (void)!write(pipe.b, "x", 1); });
}

TEST(Cancel, InAcceptAndTheListenerWorksOn) {
  Listener listener;
  ExpectCancelledIn([&] { accept(listener.fd(), nullptr, nullptr); });
  Fd client = listener.Connect();
  Fd server(accept(listener.fd(), nullptr, nullptr));
  EXPECT_OK(server);
}

TEST(Cancel, InConnect) {
  Listener listener(AF_INET, 0);
  // Fills the backlog, so that a later handshake is not answered.
  Fd fillers[4];
  for (Fd& filler : fillers) {
    filler.Reset(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0));
    connect(filler, listener.address().get(), listener.address().size);
  }
  Settle();
  Fd client(socket(AF_INET, SOCK_STREAM, 0));
  ExpectCancelledIn([&] { connect(client, listener.address().get(), listener.address().size); });
}

TEST(Cancel, InPollSelectAndEpollWait) {
  Pair pair = MakeSocketPair();
  ExpectCancelledIn([&] {
    pollfd entry = {pair.a, POLLIN, 0};
    poll(&entry, 1, -1);
  });
  ExpectCancelledIn([&] {
    fd_set set;
    FD_ZERO(&set);
    FD_SET(pair.a, &set);
    select(pair.a + 1, &set, nullptr, nullptr, nullptr);
  });
  Fd epoll(epoll_create1(0));
  ExpectCancelledIn([&] {
    epoll_event event;
    epoll_wait(epoll, &event, 1, -1);
  });
}

TEST(Cancel, InSleeps) {
  ExpectCancelledIn([] { SleepMs(100000); });
  ExpectCancelledIn([] { sleep(100); });
  ExpectCancelledIn([] { usleep(100000000); });
  ExpectCancelledIn([] {
    const timespec until = FromNow(CLOCK_MONOTONIC, 100000);
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, nullptr);
  });
}

TEST(Cancel, InSemWaitAndTimedWait) {
  sem_t semaphore;
  sem_init(&semaphore, 0, 0);
  ExpectCancelledIn([&] { sem_wait(&semaphore); });
  ExpectCancelledIn([&] {
    const timespec until = FromNow(CLOCK_REALTIME, 100000);
    sem_timedwait(&semaphore, &until);
  });
  // A cancelled waiter takes nothing.
  sem_post(&semaphore);
  EXPECT_OK(sem_trywait(&semaphore));
  sem_destroy(&semaphore);
}

TEST(Cancel, InConditionWaitHoldsTheMutexAgainInTheCleanupHandler) {
  struct State {
    pthread_mutex_t mutex;
    pthread_cond_t condition = PTHREAD_COND_INITIALIZER;
    Event waiting;
    int relock_error = -1;
  } state;
  // The error-checking kind tells whether this thread is the holder.
  pthread_mutexattr_t attributes;
  pthread_mutexattr_init(&attributes);
  pthread_mutexattr_settype(&attributes, PTHREAD_MUTEX_ERRORCHECK);
  pthread_mutex_init(&state.mutex, &attributes);
  pthread_mutexattr_destroy(&attributes);
  pthread_t thread;
  ASSERT_EQ(0, pthread_create(
                   &thread, nullptr,
                   [](void* argument) -> void* {
                     auto* state = static_cast<State*>(argument);
                     pthread_mutex_lock(&state->mutex);
                     pthread_cleanup_push(
                         [](void* argument) {
                           auto* state = static_cast<State*>(argument);
                           state->relock_error = pthread_mutex_lock(&state->mutex);
                           pthread_mutex_unlock(&state->mutex);
                         },
                         state);
                     state->waiting.Post();
                     for (;;) pthread_cond_wait(&state->condition, &state->mutex);
                     pthread_cleanup_pop(0);
                     return nullptr;
                   },
                   &state));
  state.waiting.Wait();
  Settle();
  pthread_cancel(thread);
  void* result = nullptr;
  pthread_join(thread, &result);
  EXPECT_EQ(PTHREAD_CANCELED, result);
  EXPECT_EQ(EDEADLK, state.relock_error);
  EXPECT_EQ(0, pthread_mutex_trylock(&state.mutex));
  pthread_mutex_unlock(&state.mutex);
  pthread_mutex_destroy(&state.mutex);
}

TEST(Cancel, OfAConditionWaiterDoesNotSwallowASignal) {
  pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
  pthread_cond_t condition = PTHREAD_COND_INITIALIZER;
  bool ready = false;
  Event waiting;
  auto wait = [&] {
    pthread_mutex_lock(&mutex);
    struct Unlock {
      ~Unlock() { pthread_mutex_unlock(mutex); }
      pthread_mutex_t* mutex;
    } unlock{&mutex};
    waiting.Post();
    while (!ready) pthread_cond_wait(&condition, &mutex);
  };
  Thread cancelled(wait);
  Thread other(wait);
  waiting.Wait(2);
  Settle();
  pthread_cancel(cancelled.handle());
  EXPECT_EQ(PTHREAD_CANCELED, cancelled.Join());
  pthread_mutex_lock(&mutex);
  ready = true;
  pthread_cond_signal(&condition);
  pthread_mutex_unlock(&mutex);
  EXPECT_EQ(nullptr, other.Join());
}

TEST(Cancel, InJoinLeavesTheOtherThreadJoinable) {
  Event end;
  Thread target([&] { end.Wait(); });
  const pthread_t handle = target.handle();
  ExpectCancelledIn([handle] { pthread_join(handle, nullptr); });
  end.Post();
  EXPECT_EQ(nullptr, target.Join());
}

TEST(Cancel, InWaitpidSigwaitAndPause) {
  SignalBlock block({SIGUSR1});
  Pair pipe = MakePipe();
  const pid_t child = StartChild([&] {
    pipe.b.Reset();
    ReadToEnd(pipe.a);
    return 0;
  });
  ExpectCancelledIn([&] { waitpid(child, nullptr, 0); });
  ExpectCancelledIn([] {
    const sigset_t set = SignalSet({SIGUSR1});
    int signal;
    sigwait(&set, &signal);
  });
  ExpectCancelledIn([] { pause(); });
  pipe.b.Reset();
  ExpectExited(0, WaitForChild(child));
}

TEST(Cancel, InOpenOfAFifo) {
  TempDir directory;
  const std::string path = directory.File("fifo");
  ASSERT_OK(mknod(path.c_str(), S_IFIFO | 0600, 0));
  ExpectCancelledIn([&] { open(path.c_str(), O_RDONLY); });
}

TEST(Cancel, MutexLockIsNotACancellationPoint) {
  pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
  pthread_mutex_lock(&mutex);
  Event waiting;
  std::atomic<bool> locked{false};
  Thread thread([&] {
    waiting.Post();
    pthread_mutex_lock(&mutex);
    locked = true;
    pthread_mutex_unlock(&mutex);
    pthread_testcancel();
  });
  waiting.Wait();
  Settle();
  pthread_cancel(thread.handle());
  Settle();
  EXPECT_FALSE(locked);
  pthread_mutex_unlock(&mutex);
  EXPECT_EQ(PTHREAD_CANCELED, thread.Join());
  EXPECT_TRUE(locked);
}

TEST(Cancel, OfARunningThreadActsAtTheNextCancellationPoint) {
  Event go;
  Event cancelled;
  std::atomic<int> reached{0};
  Thread thread([&] {
    int old;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &old);
    go.Post();
    cancelled.Wait();
    pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, &old);
    reached = 1;
    // Blocks for ever if the request had been forgotten.
    Pair pipe = MakePipe();
    char c;
    (void)!read(pipe.a, &c, 1);
    reached = 2;
  });
  go.Wait();
  pthread_cancel(thread.handle());
  cancelled.Post();
  EXPECT_EQ(PTHREAD_CANCELED, thread.Join());
  EXPECT_EQ(1, reached);
}

TEST(Cancel, PendingActsEvenIfTheCallWouldNotBlock) {
  Pair pipe = MakePipe();
  EXPECT_TRUE(WriteAll(pipe.b, "x"));
  std::atomic<bool> returned{false};
  Thread thread([&] {
    pthread_cancel(pthread_self());
    char c;
    (void)!read(pipe.a, &c, 1);
    returned = true;
  });
  EXPECT_EQ(PTHREAD_CANCELED, thread.Join());
  EXPECT_FALSE(returned);
  // The read was not made.
  EXPECT_EQ("x", ReadExactly(pipe.a, 1));
}

TEST(Cancel, WhileDisabledABlockedReadGoesOn) {
  Pair pipe = MakePipe();
  Event waiting;
  std::atomic<bool> got{false};
  Thread thread([&] {
    int old = -1;
    EXPECT_EQ(0, pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &old));
    EXPECT_EQ(PTHREAD_CANCEL_ENABLE, old);
    waiting.Post();
    char c;
    EXPECT_EQ(1, read(pipe.a, &c, 1));
    got = true;
    pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, &old);
    pthread_testcancel();
    ADD_FAILURE() << "not cancelled";
  });
  waiting.Wait();
  Settle();
  pthread_cancel(thread.handle());
  Settle();
  EXPECT_TRUE(WriteAll(pipe.b, "x"));
  EXPECT_EQ(PTHREAD_CANCELED, thread.Join());
  EXPECT_TRUE(got);
}

TEST(Cancel, TestcancelWithoutARequestDoesNothing) {
  bool passed = false;
  Thread thread([&] {
    pthread_testcancel();
    passed = true;
  });
  EXPECT_EQ(nullptr, thread.Join());
  EXPECT_TRUE(passed);
}

// Has no object to destroy: C++ cannot be unwound from any instruction, which is where the
// asynchronous type acts.
void* YieldUntilCancelled(void* waiting) {
  pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, nullptr);
  static_cast<Event*>(waiting)->Post();
  for (;;) sched_yield();
}

TEST(Cancel, AsynchronousTypeActsOutsideCancellationPoints) {
  Event waiting;
  pthread_t thread;
  ASSERT_EQ(0, pthread_create(&thread, nullptr, YieldUntilCancelled, &waiting));
  waiting.Wait();
  Settle();
  EXPECT_EQ(0, pthread_cancel(thread));
  void* result = nullptr;
  EXPECT_EQ(0, pthread_join(thread, &result));
  EXPECT_EQ(PTHREAD_CANCELED, result);
}

TEST(Cancel, TypeIsDeferredUnlessChanged) {
  Thread([] {
    int old = -1;
    EXPECT_EQ(0, pthread_setcanceltype(PTHREAD_CANCEL_DEFERRED, &old));
    EXPECT_EQ(PTHREAD_CANCEL_DEFERRED, old);
  }).Join();
}

TEST(Cancel, BadStatesAndTypesAreInvalid) {
  EXPECT_EQ(EINVAL, pthread_setcancelstate(99, nullptr));
  EXPECT_EQ(EINVAL, pthread_setcanceltype(99, nullptr));
}

TEST(Cancel, RunsCleanupHandlersDestructorsAndKeyDestructors) {
  static std::string order;
  order.clear();
  static pthread_key_t key;
  ASSERT_EQ(0, pthread_key_create(&key, [](void*) { order += "k"; }));
  struct Object {
    ~Object() { order += "d"; }
  };
  Event waiting;
  Thread thread([&] {
    pthread_setspecific(key, &key);
    Object object;
    pthread_cleanup_push([](void*) { order += "c"; }, nullptr);
    waiting.Post();
    SleepMs(100000);
    pthread_cleanup_pop(0);
  });
  waiting.Wait();
  Settle();
  pthread_cancel(thread.handle());
  EXPECT_EQ(PTHREAD_CANCELED, thread.Join());
  EXPECT_EQ("cdk", order);
  pthread_key_delete(key);
}

TEST(Cancel, CleanupHandlerMayMakeBlockingCalls) {
  static std::atomic<bool> slept;
  slept = false;
  Event waiting;
  Thread thread([&] {
    pthread_cleanup_push(
        [](void*) {
          SleepMs(10);
          slept = true;
        },
        nullptr);
    waiting.Post();
    SleepMs(100000);
    pthread_cleanup_pop(0);
  });
  waiting.Wait();
  Settle();
  pthread_cancel(thread.handle());
  thread.Join();
  EXPECT_TRUE(slept);
}

TEST(Cancel, ForcedUnwindingPassesCatchAllThatRethrows) {
  std::atomic<bool> caught{false};
  Event waiting;
  Thread thread([&] {
    try {
      waiting.Post();
      SleepMs(100000);
    } catch (...) {
      caught = true;
      throw;
    }
  });
  waiting.Wait();
  Settle();
  pthread_cancel(thread.handle());
  EXPECT_EQ(PTHREAD_CANCELED, thread.Join());
  EXPECT_TRUE(caught);
}

TEST(Cancel, OfAFinishedThreadIsHarmless) {
  Event done;
  Thread thread([&] { done.Post(); });
  done.Wait();
  Settle();
  EXPECT_EQ(0, pthread_cancel(thread.handle()));
  EXPECT_EQ(nullptr, thread.Join());
}

TEST(Cancel, ManyBlockedThreadsAtOnce) {
  Pair pair = MakeTcpPair();
  Event waiting;
  std::vector<std::unique_ptr<Thread>> threads;
  for (int i = 0; i < 100; ++i) {
    threads.push_back(std::make_unique<Thread>(
        [&] {
          char c;
          waiting.Post();
          (void)!read(pair.a, &c, 1);
        },
        128 * 1024));
  }
  waiting.Wait(100);
  Settle();
  for (auto& thread : threads) EXPECT_EQ(0, pthread_cancel(thread->handle()));
  for (auto& thread : threads) EXPECT_EQ(PTHREAD_CANCELED, thread->Join());
}

}  // namespace
}  // namespace conformance
