// Signals: interrupted calls, masks, pending signals, waiting for them, handlers.
#include <poll.h>
#include <setjmp.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>

#include <memory>
#include <vector>

#include "tests/conformance/support.h"

namespace conformance {
namespace {

// Starts a thread that makes a call expected to be interrupted, and signals it until it is.
void ExpectInterrupted(const std::function<void()>& call) {
  SignalHandler handler(SIGUSR1, CountSignal);
  Event done;
  Thread thread([&] {
    call();
    done.Post();
  });
  SignalUntil(thread.handle(), SIGUSR1, &done);
  EXPECT_GE(handled_signals, 1);
}

// Starts a thread that blocks in `call`, handles one signal in it with SA_RESTART, then runs
// `release`; `call` must go on as if nothing had happened.
void ExpectRestarted(const std::function<void()>& call, const std::function<void()>& release) {
  SignalHandler handler(SIGUSR1, CountSignal, SA_RESTART);
  Event waiting;
  Event done;
  Thread thread([&] {
    waiting.Post();
    call();
    done.Post();
  });
  waiting.Wait();
  Settle();
  EXPECT_EQ(0, pthread_kill(thread.handle(), SIGUSR1));
  while (handled_signals == 0) SleepMs(1);
  EXPECT_FALSE(done.WaitFor(kSettleMs));
  release();
  done.Wait();
  EXPECT_EQ(1, handled_signals);
}

TEST(Interrupted, ReadOfASocketAndOfAPipe) {
  Pair pair = MakeTcpPair();
  Pair pipe = MakePipe();
  char c;
  ExpectInterrupted([&] { EXPECT_ERRNO(EINTR, read(pair.a, &c, 1)); });
  ExpectInterrupted([&] { EXPECT_ERRNO(EINTR, read(pipe.a, &c, 1)); });
  ExpectInterrupted([&] { EXPECT_ERRNO(EINTR, recv(pair.a, &c, 1, 0)); });
}

TEST(Interrupted, WriteAndSendToAFullOne) {
  Pair pair = MakeSocketPair();
  Pair pipe = MakePipe();
  FillUp(pair.a);
  FillUp(pipe.b);
  ExpectInterrupted([&] { EXPECT_ERRNO(EINTR, send(pair.a, "x", 1, 0)); });
  ExpectInterrupted([&] { EXPECT_ERRNO(EINTR, write(pipe.b, "x", 1)); });
}

TEST(Interrupted, WriteInTheMiddleGivesAPartialCount) {
  Pair pipe = MakePipe();
  const std::string data(1 << 20, 'x');
  ExpectInterrupted([&] {
    const ssize_t n = write(pipe.b, data.data(), data.size());
    // The first signal may come before anything was written.
    EXPECT_TRUE(n == -1 || n < static_cast<ssize_t>(data.size()));
  });
}

TEST(Interrupted, Accept) {
  Listener listener;
  ExpectInterrupted([&] { EXPECT_ERRNO(EINTR, accept(listener.fd(), nullptr, nullptr)); });
}

TEST(Interrupted, ReadWithAReceiveTimeoutEvenWithSaRestart) {
  Pair pair = MakeTcpPair();
  SetTimeout(pair.a, SO_RCVTIMEO, 60000);
  SignalHandler handler(SIGUSR1, CountSignal, SA_RESTART);
  Event done;
  Thread thread([&] {
    char c;
    EXPECT_ERRNO(EINTR, recv(pair.a, &c, 1, 0));
    done.Post();
  });
  SignalUntil(thread.handle(), SIGUSR1, &done);
}

TEST(Interrupted, OpenOfAFifo) {
  TempDir directory;
  const std::string path = directory.File("fifo");
  ASSERT_OK(mknod(path.c_str(), S_IFIFO | 0600, 0));
  ExpectInterrupted([&] { EXPECT_ERRNO(EINTR, open(path.c_str(), O_RDONLY)); });
}

TEST(Interrupted, WaitpidAndPause) {
  Pair pipe = MakePipe();
  const pid_t child = StartChild([&] {
    pipe.b.Reset();
    ReadToEnd(pipe.a);
    return 0;
  });
  ExpectInterrupted([&] { EXPECT_ERRNO(EINTR, waitpid(child, nullptr, 0)); });
  ExpectInterrupted([] { EXPECT_ERRNO(EINTR, pause()); });
  pipe.b.Reset();
  ExpectExited(0, WaitForChild(child));
}

TEST(Interrupted, MutexAndConditionWaitsAreNot) {
  pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
  pthread_cond_t condition = PTHREAD_COND_INITIALIZER;
  bool ready = false;
  pthread_mutex_lock(&mutex);
  ExpectRestarted(
      [&] {
        EXPECT_EQ(0, pthread_mutex_lock(&mutex));
        while (!ready) EXPECT_EQ(0, pthread_cond_wait(&condition, &mutex));
        pthread_mutex_unlock(&mutex);
      },
      [&] {
        ready = true;
        pthread_mutex_unlock(&mutex);
        pthread_cond_signal(&condition);
      });
}

TEST(Restarted, ReadRecvAndAccept) {
  Pair pair = MakeTcpPair();
  char c;
  ExpectRestarted([&] { EXPECT_EQ(1, read(pair.a, &c, 1)); },
                  [&] { EXPECT_EQ(1, send(pair.b, "x", 1, 0)); });
  ExpectRestarted([&] { EXPECT_EQ(1, recv(pair.a, &c, 1, 0)); },
                  [&] { EXPECT_EQ(1, send(pair.b, "x", 1, 0)); });
  Listener listener;
  Fd client;
  ExpectRestarted(
      [&] {
        Fd server(accept(listener.fd(), nullptr, nullptr));
        EXPECT_OK(server);
      },
      [&] { client = listener.Connect(); });
}

TEST(Restarted, SemWaitAndJoinAndWaitpid) {
  Event event;
  ExpectRestarted([&] { event.Wait(); }, [&] { event.Post(); });
  Event end;
  auto joined = std::make_unique<Thread>([&] { end.Wait(); });
  ExpectRestarted([&] { joined->Join(); }, [&] { end.Post(); });
  Pair pipe = MakePipe();
  const pid_t child = StartChild([&] {
    pipe.b.Reset();
    ReadToEnd(pipe.a);
    return 3;
  });
  ExpectRestarted(
      [&] {
        int status = 0;
        EXPECT_EQ(child, waitpid(child, &status, 0));
        ExpectExited(3, status);
      },
      [&] { pipe.b.Reset(); });
}

TEST(SignalHandling, HandlerRunsInTheThreadThatWasSignalled) {
  static pthread_t where;
  SignalHandler handler(SIGUSR1, [](int) {
    where = pthread_self();
    handled_signals.fetch_add(1);
  });
  Event go;
  Thread first([&] { go.Wait(); });
  Thread second([&] { go.Wait(); });
  Settle();
  for (Thread* thread : {&first, &second}) {
    handled_signals = 0;
    EXPECT_EQ(0, pthread_kill(thread->handle(), SIGUSR1));
    while (handled_signals == 0) SleepMs(1);
    EXPECT_TRUE(pthread_equal(thread->handle(), where));
  }
  go.Post();
  go.Post();
}

TEST(SignalHandling, RaiseRunsTheHandlerBeforeItReturns) {
  SignalHandler handler(SIGUSR1, CountSignal);
  EXPECT_EQ(0, raise(SIGUSR1));
  EXPECT_EQ(1, handled_signals);
  Thread([] {
    EXPECT_EQ(0, raise(SIGUSR1));
    EXPECT_EQ(2, handled_signals);
    EXPECT_EQ(0, pthread_kill(pthread_self(), SIGUSR1));
    EXPECT_EQ(3, handled_signals);
  }).Join();
}

TEST(SignalHandling, KillErrors) {
  EXPECT_EQ(0, pthread_kill(pthread_self(), 0));
  EXPECT_EQ(EINVAL, pthread_kill(pthread_self(), 9999));
  EXPECT_ERRNO(EINVAL, kill(getpid(), 9999));
  struct sigaction action = {};
  action.sa_handler = CountSignal;
  EXPECT_ERRNO(EINVAL, sigaction(SIGKILL, &action, nullptr));
  EXPECT_ERRNO(EINVAL, sigaction(9999, &action, nullptr));
}

TEST(SignalHandling, ErrnoIsKeptAcrossAHandlerThatSavesIt) {
  SignalHandler handler(SIGUSR1, [](int) {
    const int saved = errno;
    close(-1);
    errno = saved;
    handled_signals.fetch_add(1);
  });
  Thread([] {
    errno = 55;
    raise(SIGUSR1);
    EXPECT_EQ(55, errno);
  }).Join();
}

TEST(SignalHandling, SiginfoTellsSenderAndValue) {
  static std::atomic<int> value;
  static std::atomic<int> code;
  static std::atomic<int> pid;
  value = code = pid = 0;
  SignalHandler handler(
      SIGRTMIN + 2,
      [](int, siginfo_t* info, void*) {
        value = info->si_value.sival_int;
        code = info->si_code;
        pid = info->si_pid;
        handled_signals.fetch_add(1);
      },
      0);
  Event go;
  Thread thread([&] { go.Wait(); });
  sigval sent;
  sent.sival_int = 31;
  EXPECT_EQ(0, pthread_sigqueue(thread.handle(), SIGRTMIN + 2, sent));
  while (handled_signals == 0) SleepMs(1);
  EXPECT_EQ(31, value);
  EXPECT_EQ(SI_QUEUE, code);
  EXPECT_EQ(getpid(), pid);
  go.Post();
}

TEST(SignalHandling, HandlersMaskBlocksDuringItAndIsRestored) {
  static std::string order;
  order.clear();
  SignalHandler second(SIGUSR2, [](int) { order += "2"; });
  struct sigaction action = {};
  struct sigaction old;
  action.sa_handler = [](int) {
    order += "(";
    raise(SIGUSR2);
    order += ")";
  };
  sigaddset(&action.sa_mask, SIGUSR2);
  ASSERT_OK(sigaction(SIGUSR1, &action, &old));
  Thread([] { raise(SIGUSR1); }).Join();
  EXPECT_EQ("()2", order);
  sigaction(SIGUSR1, &old, nullptr);
}

TEST(SignalHandling, NodeferLetsItNestAndResethandRunsItOnce) {
  static int depth;
  static int deepest;
  depth = deepest = 0;
  auto nest = [](int) {
    deepest = std::max(deepest, ++depth);
    if (depth < 3) raise(SIGUSR1);
    --depth;
  };
  {
    SignalHandler handler(SIGUSR1, nest, SA_NODEFER);
    raise(SIGUSR1);
  }
  EXPECT_EQ(3, deepest);
  SignalHandler handler(SIGUSR1, CountSignal, SA_RESETHAND);
  raise(SIGUSR1);
  struct sigaction now;
  sigaction(SIGUSR1, nullptr, &now);
  EXPECT_EQ(SIG_DFL, now.sa_handler);
}

TEST(SignalHandling, IgnoredSignalDoesNotInterrupt) {
  SignalHandler handler(SIGUSR1, SIG_IGN);
  Pair pair = MakeTcpPair();
  Thread reader([&] {
    char c;
    EXPECT_EQ(1, read(pair.a, &c, 1));
  });
  Settle();
  EXPECT_EQ(0, pthread_kill(reader.handle(), SIGUSR1));
  EXPECT_OK(kill(getpid(), SIGUSR1));
  Settle();
  EXPECT_EQ(1, send(pair.b, "x", 1, 0));
}

TEST(SignalHandling, DefaultActionKillsTheProcessFromAnyThread) {
  const int status = RunInChild([] {
    signal(SIGTERM, SIG_DFL);
    Thread([] { raise(SIGTERM); }).Join();
    return 0;
  });
  EXPECT_TRUE(WIFSIGNALED(status));
  EXPECT_EQ(SIGTERM, WTERMSIG(status));
}

TEST(SignalHandling, HandlerMayBlockBriefly) {
  static int pipe_fd;
  Pair pipe = MakePipe();
  pipe_fd = pipe.a;
  SignalHandler handler(SIGUSR1, [](int) {
    char c;
    if (read(pipe_fd, &c, 1) == 1) handled_signals.fetch_add(1);
  });
  Thread thread([&] { raise(SIGUSR1); });
  Settle();
  EXPECT_EQ(0, handled_signals);
  EXPECT_TRUE(WriteAll(pipe.b, "x"));
  thread.Join();
  EXPECT_EQ(1, handled_signals);
}

TEST(SignalHandling, SiglongjmpLeavesAHandlerAndRestoresTheMask) {
  static thread_local sigjmp_buf target;
  SignalHandler handler(SIGUSR1, [](int) { siglongjmp(target, 5); });
  Thread([] {
    static int round;
    for (round = 0; round < 3; ++round) {
      const int result = sigsetjmp(target, 1);
      if (result == 0) {
        raise(SIGUSR1);
        ADD_FAILURE() << "the handler returned";
      }
      EXPECT_EQ(5, result);
      sigset_t mask;
      pthread_sigmask(SIG_BLOCK, nullptr, &mask);
      EXPECT_EQ(0, sigismember(&mask, SIGUSR1));
      SleepMs(1);
    }
  }).Join();
}

TEST(SignalHandling, AlternateStackIsUsedPerThread) {
  static std::atomic<bool> on_it;
  static thread_local stack_t alternate;
  on_it = false;
  SignalHandler handler(
      SIGUSR1,
      [](int) {
        char local = 0;
        char* low = static_cast<char*>(alternate.ss_sp);
        on_it = &local >= low && &local < low + alternate.ss_size;
      },
      SA_ONSTACK);
  Thread([] {
    std::vector<char> memory(64 * 1024);
    alternate = {};
    alternate.ss_sp = memory.data();
    alternate.ss_size = memory.size();
    EXPECT_OK(sigaltstack(&alternate, nullptr));
    stack_t now = {};
    SleepMs(1);
    EXPECT_OK(sigaltstack(nullptr, &now));
    EXPECT_EQ(memory.data(), now.ss_sp);
    raise(SIGUSR1);
    EXPECT_TRUE(on_it);
    now.ss_flags = SS_DISABLE;
    EXPECT_OK(sigaltstack(&now, nullptr));
  }).Join();
  stack_t own = {};
  EXPECT_OK(sigaltstack(nullptr, &own));
}

TEST(SignalHandling, SegfaultHandlerSeesTheAddressAndCanRecover) {
  static void* seen;
  static sigjmp_buf target;
  SignalHandler handler(
      SIGSEGV,
      [](int, siginfo_t* info, void*) {
        seen = info->si_addr;
        siglongjmp(target, 1);
      },
      0);
  void* page = mmap(nullptr, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  Thread([&] {
    if (sigsetjmp(target, 1) == 0) {
      *static_cast<volatile char*>(page) = 1;
      ADD_FAILURE() << "the write went through";
    }
    SleepMs(1);
  }).Join();
  EXPECT_EQ(page, seen);
  munmap(page, 4096);
}

TEST(SignalMask, IsPerThreadAndInherited) {
  SignalBlock block({SIGUSR2});
  Thread([] {
    sigset_t mask;
    pthread_sigmask(SIG_BLOCK, nullptr, &mask);
    EXPECT_EQ(1, sigismember(&mask, SIGUSR2));
    EXPECT_EQ(0, sigismember(&mask, SIGUSR1));
    const sigset_t more = SignalSet({SIGUSR1});
    EXPECT_EQ(0, pthread_sigmask(SIG_BLOCK, &more, nullptr));
    SleepMs(5);
    Thread([] {
      sigset_t inherited;
      pthread_sigmask(SIG_BLOCK, nullptr, &inherited);
      EXPECT_EQ(1, sigismember(&inherited, SIGUSR1));
      EXPECT_EQ(1, sigismember(&inherited, SIGUSR2));
    }).Join();
  }).Join();
  sigset_t mask;
  pthread_sigmask(SIG_BLOCK, nullptr, &mask);
  EXPECT_EQ(0, sigismember(&mask, SIGUSR1));
  EXPECT_EQ(1, sigismember(&mask, SIGUSR2));
}

TEST(SignalMask, OfACreationAttributeIsTheNewThreads) {
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  const sigset_t set = SignalSet({SIGUSR1});
  ASSERT_EQ(0, pthread_attr_setsigmask_np(&attributes, &set));
  pthread_t thread;
  ASSERT_EQ(0, pthread_create(
                   &thread, &attributes,
                   [](void*) -> void* {
                     sigset_t mask;
                     pthread_sigmask(SIG_BLOCK, nullptr, &mask);
                     EXPECT_EQ(1, sigismember(&mask, SIGUSR1));
                     return nullptr;
                   },
                   nullptr));
  pthread_join(thread, nullptr);
  pthread_attr_destroy(&attributes);
}

TEST(SignalMask, BlockedSignalIsPendingAndComesWhenUnblocked) {
  SignalHandler handler(SIGUSR1, CountSignal);
  Thread([] {
    const sigset_t set = SignalSet({SIGUSR1});
    pthread_sigmask(SIG_BLOCK, &set, nullptr);
    pthread_kill(pthread_self(), SIGUSR1);
    SleepMs(2);
    EXPECT_EQ(0, handled_signals);
    sigset_t pending;
    EXPECT_OK(sigpending(&pending));
    EXPECT_EQ(1, sigismember(&pending, SIGUSR1));
    pthread_sigmask(SIG_UNBLOCK, &set, nullptr);
    EXPECT_EQ(1, handled_signals);
    EXPECT_OK(sigpending(&pending));
    EXPECT_EQ(0, sigismember(&pending, SIGUSR1));
  }).Join();
}

TEST(SignalMask, PendingForOneThreadIsNotSeenByAnother) {
  SignalHandler handler(SIGUSR1, CountSignal);
  SignalBlock block({SIGUSR1});
  Event go;
  Thread target([&] {
    go.Wait();
    sigset_t pending;
    sigpending(&pending);
    EXPECT_EQ(1, sigismember(&pending, SIGUSR1));
  });
  EXPECT_EQ(0, pthread_kill(target.handle(), SIGUSR1));
  sigset_t pending;
  sigpending(&pending);
  EXPECT_EQ(0, sigismember(&pending, SIGUSR1));
  go.Post();
  target.Join();
  EXPECT_EQ(0, handled_signals);
}

TEST(SignalMask, BlockedSignalDoesNotInterruptAReader) {
  SignalHandler handler(SIGUSR1, CountSignal);
  Pair pair = MakeTcpPair();
  Thread reader([&] {
    SignalBlock block({SIGUSR1});
    char c;
    EXPECT_EQ(1, read(pair.a, &c, 1));
    EXPECT_EQ(0, handled_signals);
  });
  Settle();
  EXPECT_EQ(0, pthread_kill(reader.handle(), SIGUSR1));
  Settle();
  EXPECT_EQ(1, send(pair.b, "x", 1, 0));
  reader.Join();
  EXPECT_EQ(1, handled_signals);
}

TEST(SignalMask, BadHowIsInvalid) {
  const sigset_t set = SignalSet({SIGUSR1});
  EXPECT_EQ(EINVAL, pthread_sigmask(99, &set, nullptr));
  EXPECT_ERRNO(EINVAL, sigprocmask(99, &set, nullptr));
}

TEST(ProcessSignal, GoesToAThreadThatDoesNotBlockItWhileMainIsInJoin) {
  static std::atomic<pthread_t> where;
  SignalHandler handler(SIGUSR1, [](int) {
    where = pthread_self();
    handled_signals.fetch_add(1);
  });
  SignalBlock block({SIGUSR1});
  Event done;
  Thread open_thread([&] {
    const sigset_t set = SignalSet({SIGUSR1});
    pthread_sigmask(SIG_UNBLOCK, &set, nullptr);
    done.Wait();
  });
  Thread sender([&] {
    Settle();
    EXPECT_OK(kill(getpid(), SIGUSR1));
    while (handled_signals == 0) SleepMs(1);
    done.Post();
  });
  open_thread.Join();
  EXPECT_TRUE(pthread_equal(open_thread.handle(), where));
}

TEST(ProcessSignal, BlockedByAllStaysPendingUntilOneUnblocks) {
  SignalHandler handler(SIGUSR1, CountSignal);
  SignalBlock block({SIGUSR1});
  EXPECT_OK(kill(getpid(), SIGUSR1));
  Thread([] {
    SleepMs(5);
    EXPECT_EQ(0, handled_signals);
    sigset_t pending;
    sigpending(&pending);
    EXPECT_EQ(1, sigismember(&pending, SIGUSR1));
    const sigset_t set = SignalSet({SIGUSR1});
    pthread_sigmask(SIG_UNBLOCK, &set, nullptr);
    EXPECT_EQ(1, handled_signals);
  }).Join();
}

TEST(ProcessSignal, FromAChildArrives) {
  SignalHandler handler(SIGUSR1, CountSignal, SA_RESTART);
  const pid_t parent = getpid();
  ExpectExited(0, RunInChild([&] { return kill(parent, SIGUSR1); }));
  while (handled_signals == 0) SleepMs(1);
}

class SignalWait : public testing::Test {
 protected:
  SignalBlock block_{SIGUSR1, SIGUSR2};
  sigset_t set_ = SignalSet({SIGUSR1, SIGUSR2});
};

TEST_F(SignalWait, SigwaitTakesAProcessSignalThatAllBlock) {
  Event waiting;
  Thread waiter([&] {
    int signal = 0;
    waiting.Post();
    EXPECT_EQ(0, sigwait(&set_, &signal));
    EXPECT_EQ(SIGUSR1, signal);
  });
  waiting.Wait();
  Settle();
  EXPECT_OK(kill(getpid(), SIGUSR1));
}

TEST_F(SignalWait, SigwaitTakesASignalToItsThread) {
  Event waiting;
  Thread waiter([&] {
    int signal = 0;
    waiting.Post();
    EXPECT_EQ(0, sigwait(&set_, &signal));
    EXPECT_EQ(SIGUSR2, signal);
  });
  waiting.Wait();
  Settle();
  EXPECT_EQ(0, pthread_kill(waiter.handle(), SIGUSR2));
}

TEST_F(SignalWait, SigwaitTakesOneThatIsAlreadyPending) {
  Thread([&] {
    pthread_kill(pthread_self(), SIGUSR1);
    int signal = 0;
    EXPECT_EQ(0, sigwait(&set_, &signal));
    EXPECT_EQ(SIGUSR1, signal);
  }).Join();
}

TEST_F(SignalWait, SigwaitinfoTellsTheSender) {
  Thread waiter([&] {
    siginfo_t info = {};
    EXPECT_EQ(SIGUSR1, sigwaitinfo(&set_, &info));
    EXPECT_EQ(SIGUSR1, info.si_signo);
    EXPECT_EQ(getpid(), info.si_pid);
    EXPECT_EQ(SI_USER, info.si_code);
  });
  Settle();
  EXPECT_OK(kill(getpid(), SIGUSR1));
}

TEST_F(SignalWait, SigtimedwaitTimesOutNotEarly) {
  Stopwatch watch;
  const timespec timeout = Duration(25);
  EXPECT_ERRNO(EAGAIN, sigtimedwait(&set_, nullptr, &timeout));
  EXPECT_GE(watch.ElapsedMs(), 25);
  const timespec zero = {0, 0};
  EXPECT_ERRNO(EAGAIN, sigtimedwait(&set_, nullptr, &zero));
  const timespec bad = {0, 1000000000};
  EXPECT_ERRNO(EINVAL, sigtimedwait(&set_, nullptr, &bad));
}

TEST_F(SignalWait, SigtimedwaitTakesASignal) {
  Thread waiter([&] {
    const timespec timeout = Duration(60000);
    EXPECT_EQ(SIGUSR2, sigtimedwait(&set_, nullptr, &timeout));
  });
  Settle();
  EXPECT_EQ(0, pthread_kill(waiter.handle(), SIGUSR2));
}

TEST_F(SignalWait, SigwaitinfoIsInterruptedByAnotherSignal) {
  SignalHandler handler(SIGALRM, CountSignal);
  Event done;
  Thread waiter([&] {
    EXPECT_ERRNO(EINTR, sigwaitinfo(&set_, nullptr));
    done.Post();
  });
  SignalUntil(waiter.handle(), SIGALRM, &done);
}

TEST_F(SignalWait, TwoWaitersTakeOneSignalEach) {
  std::atomic<int> taken{0};
  auto body = [&] {
    int signal = 0;
    EXPECT_EQ(0, sigwait(&set_, &signal));
    ++taken;
  };
  Thread first(body);
  Thread second(body);
  Settle();
  EXPECT_OK(kill(getpid(), SIGUSR1));
  while (taken < 1) SleepMs(1);
  Settle();
  EXPECT_EQ(1, taken);
  EXPECT_OK(kill(getpid(), SIGUSR1));
}

TEST_F(SignalWait, RealTimeSignalsQueueInOrder) {
  SignalBlock more({SIGRTMIN + 3});
  Thread([] {
    for (int i = 0; i < 5; ++i) {
      sigval value;
      value.sival_int = i;
      EXPECT_EQ(0, pthread_sigqueue(pthread_self(), SIGRTMIN + 3, value));
    }
    const sigset_t set = SignalSet({SIGRTMIN + 3});
    for (int i = 0; i < 5; ++i) {
      siginfo_t info;
      EXPECT_EQ(SIGRTMIN + 3, sigwaitinfo(&set, &info));
      EXPECT_EQ(i, info.si_value.sival_int);
    }
  }).Join();
}

TEST_F(SignalWait, SigsuspendRunsTheHandlerAndRestoresTheMask) {
  SignalHandler handler(SIGUSR1, CountSignal);
  Event done;
  Thread waiter([&] {
    sigset_t empty;
    sigemptyset(&empty);
    EXPECT_ERRNO(EINTR, sigsuspend(&empty));
    EXPECT_EQ(1, handled_signals);
    sigset_t now;
    pthread_sigmask(SIG_BLOCK, nullptr, &now);
    EXPECT_EQ(1, sigismember(&now, SIGUSR1));
    done.Post();
  });
  EXPECT_EQ(0, pthread_kill(waiter.handle(), SIGUSR1));
  done.Wait();
}

TEST(Alarm, InterruptsABlockingRead) {
  ExpectExited(0, RunInChild([] {
                 SignalHandler handler(SIGALRM, CountSignal);
                 Pair pair = MakeTcpPair();
                 const itimerval setting = {{0, 0}, {0, 30000}};
                 EXPECT_OK(setitimer(ITIMER_REAL, &setting, nullptr));
                 char c;
                 EXPECT_ERRNO(EINTR, read(pair.a, &c, 1));
                 EXPECT_EQ(1, handled_signals);
                 return 0;
               }));
}

TEST(Alarm, WholeSecondsAndWhatIsLeft) {
  ExpectExited(0, RunInChild([] {
                 SignalHandler handler(SIGALRM, CountSignal);
                 alarm(100);
                 EXPECT_GE(alarm(1), 99u);
                 EXPECT_ERRNO(EINTR, poll(nullptr, 0, -1));
                 EXPECT_EQ(0u, alarm(0));
                 return 0;
               }));
}

TEST(Alarm, PeriodicTimerKeepsComingWhileThreadsWork) {
  ExpectExited(0, RunInChild([] {
                 SignalHandler handler(SIGALRM, CountSignal, SA_RESTART);
                 const itimerval setting = {{0, 3000}, {0, 3000}};
                 EXPECT_OK(setitimer(ITIMER_REAL, &setting, nullptr));
                 Pair pair = MakeSocketPair();
                 Thread echo([&] {
                   char c;
                   while (read(pair.a, &c, 1) == 1) EXPECT_EQ(1, write(pair.a, &c, 1));
                 });
                 while (handled_signals < 10) {
                   EXPECT_TRUE(WriteAll(pair.b, "x"));
                   EXPECT_EQ("x", ReadExactly(pair.b, 1));
                 }
                 const itimerval off = {};
                 EXPECT_OK(setitimer(ITIMER_REAL, &off, nullptr));
                 shutdown(pair.b, SHUT_WR);
                 return 0;
               }));
}

}  // namespace
}  // namespace conformance
