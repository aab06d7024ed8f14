// fork, exec, spawn, wait and exit in a program with threads.
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <memory>
#include <thread>
#include <vector>

#include "tests/conformance/support.h"

extern char** environ;

namespace conformance {
namespace {

// Threads that keep working while a test forks.
class Background {
 public:
  Background() {
    for (int i = 0; i < 4; ++i) {
      threads_.push_back(std::make_unique<Thread>([this] {
        while (!stop_.WaitFor(1)) ++rounds_;
      }));
    }
    threads_.push_back(std::make_unique<Thread>([this] { ReadToEnd(pipe_.a); }));
  }
  ~Background() {
    pipe_.b.Reset();
    for (int i = 0; i < 4; ++i) stop_.Post();
  }
  int rounds() const { return rounds_; }

 private:
  Pair pipe_ = MakePipe();
  Event stop_;
  std::atomic<int> rounds_{0};
  std::vector<std::unique_ptr<Thread>> threads_;
};

// What a child must be able to do, however it was forked.
int UseEverything() {
  int value = 0;
  pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
  {
    std::vector<std::unique_ptr<Thread>> threads;
    for (int i = 0; i < 5; ++i) {
      threads.push_back(std::make_unique<Thread>([&] {
        pthread_mutex_lock(&mutex);
        SleepMs(1);
        ++value;
        pthread_mutex_unlock(&mutex);
      }));
    }
  }
  Pair pair = MakeTcpPair();
  Thread writer([&] {
    SleepMs(5);
    WriteAll(pair.b, "hello");
  });
  const bool read = ReadExactly(pair.a, 5) == "hello";
  return value == 5 && read ? 0 : 1;
}

TEST(Fork, ChildOfAProgramWithThreadsHasOneAndCanDoEverything) {
  Background background;
  Settle();
  ExpectExited(0, RunInChild([] { return UseEverything(); }));
}

TEST(Fork, FromAThreadWhileOthersRun) {
  Background background;
  Thread([] {
    const pid_t self = getpid();
    ExpectExited(0, RunInChild([self] {
                   // The forking thread is the child's main thread.
                   if (getpid() == self || getppid() != self) return 2;
                   return UseEverything();
                 }));
  }).Join();
}

TEST(Fork, ParentsThreadsGoOnUnaffected) {
  Background background;
  Settle();
  for (int i = 0; i < 10; ++i) ExpectExited(i, RunInChild([i] { return i; }));
  const int before = background.rounds();
  SleepMs(50);
  EXPECT_GT(background.rounds(), before);
}

TEST(Fork, ChildsTidIsItsPid) {
  Thread([] { ExpectExited(0, RunInChild([] { return gettid() == getpid() ? 0 : 1; })); }).Join();
}

TEST(Fork, ChildForksAgain) {
  Thread([] {
    ExpectExited(0, RunInChild([] {
                   int status = RunInChild([] { return UseEverything(); });
                   return WIFEXITED(status) ? WEXITSTATUS(status) : 9;
                 }));
  }).Join();
}

TEST(Fork, ParentBlockedInReadIsNotDisturbedByTheChild) {
  Pair pair = MakeTcpPair();
  Thread reader([&] { EXPECT_EQ("parent", ReadExactly(pair.a, 6)); });
  Settle();
  // The child's copy of the runtime must not take events of the parent's descriptors.
  ExpectExited(0, RunInChild([] {
                 SleepMs(10);
                 return UseEverything();
               }));
  EXPECT_TRUE(WriteAll(pair.b, "parent"));
}

TEST(Fork, ChildReadsADescriptorThatAParentsThreadWaitedOn) {
  Pair pipe = MakePipe();
  Thread reader([&] { EXPECT_EQ("a", ReadExactly(pipe.a, 1)); });
  Settle();
  EXPECT_TRUE(WriteAll(pipe.b, "a"));
  reader.Join();
  const pid_t child = StartChild([&] {
    EXPECT_EQ("b", ReadExactly(pipe.a, 1));
    return 0;
  });
  Settle();
  EXPECT_TRUE(WriteAll(pipe.b, "b"));
  ExpectExited(0, WaitForChild(child));
}

TEST(Fork, ParentAndChildTalkOverASocketPair) {
  Pair pair = MakeSocketPair();
  const pid_t child = StartChild([&] {
    pair.a.Reset();
    for (;;) {
      const std::string text = ReadExactly(pair.b, 4);
      if (text.empty()) return 0;
      WriteAll(pair.b, text);
    }
  });
  pair.b.Reset();
  for (int i = 0; i < 100; ++i) {
    EXPECT_TRUE(WriteAll(pair.a, "ping"));
    EXPECT_EQ("ping", ReadExactly(pair.a, 4));
  }
  pair.a.Reset();
  ExpectExited(0, WaitForChild(child));
}

TEST(Fork, AtforkHandlersRunInOrder) {
  static std::string order;
  static bool installed = false;
  order.clear();
  if (!installed) {
    ASSERT_EQ(0, pthread_atfork([] { order += "p"; }, [] { order += "P"; }, [] { order += "C"; }));
    installed = true;
  }
  ExpectExited(0, RunInChild([] { return order == "pC" ? 0 : 1; }));
  EXPECT_EQ("pP", order);
}

TEST(Fork, ThreadLocalsAndKeysOfTheForkingThreadAreKept) {
  static thread_local int local = 1;
  Thread([] {
    local = 42;
    ExpectExited(42, RunInChild([] { return local; }));
  }).Join();
}

TEST(Fork, ManyThreadsForkAtOnce) {
  std::vector<std::unique_ptr<Thread>> threads;
  for (int i = 0; i < 10; ++i) {
    threads.push_back(
        std::make_unique<Thread>([i] { ExpectExited(i, RunInChild([i] { return i; })); }));
  }
}

TEST(Wait, BlockedWaiterLetsOthersRun) {
  Pair pipe = MakePipe();
  const pid_t child = StartChild([&] {
    pipe.b.Reset();
    ReadToEnd(pipe.a);
    return 7;
  });
  Thread waiter([&] { ExpectExited(7, WaitForChild(child)); });
  Settle();
  int rounds = 0;
  Thread([&] {
    for (; rounds < 10; ++rounds) SleepMs(1);
  }).Join();
  EXPECT_EQ(10, rounds);
  int status;
  EXPECT_EQ(0, waitpid(child, &status, WNOHANG));
  pipe.b.Reset();
}

TEST(Wait, WithoutChildrenIsEchild) {
  ExpectExited(0, RunInChild([] {
                 int status;
                 EXPECT_ERRNO(ECHILD, waitpid(-1, &status, 0));
                 EXPECT_ERRNO(ECHILD, waitpid(-1, &status, WNOHANG));
                 EXPECT_ERRNO(ECHILD, waitpid(1, &status, 0));
                 EXPECT_ERRNO(EINVAL, waitpid(-1, &status, 0x1000));
                 return 0;
               }));
}

TEST(Wait, TellsOfASignal) {
  const pid_t child = StartChild([] {
    pause();
    return 0;
  });
  EXPECT_OK(kill(child, SIGKILL));
  const int status = WaitForChild(child);
  EXPECT_TRUE(WIFSIGNALED(status));
  EXPECT_EQ(SIGKILL, WTERMSIG(status));
}

TEST(Wait, WaitidTellsWithoutReaping) {
  const pid_t child = StartChild([] { return 4; });
  siginfo_t info = {};
  EXPECT_OK(waitid(P_PID, child, &info, WEXITED | WNOWAIT));
  EXPECT_EQ(child, info.si_pid);
  EXPECT_EQ(4, info.si_status);
  ExpectExited(4, WaitForChild(child));
}

TEST(Wait, ManyThreadsEachWaitForTheirOwnChild) {
  std::vector<std::unique_ptr<Thread>> threads;
  for (int i = 0; i < 20; ++i) {
    threads.push_back(std::make_unique<Thread>([i] {
      const pid_t child = StartChild([i] {
        SleepMs(20 - i);
        return i;
      });
      ExpectExited(i, WaitForChild(child));
    }));
  }
}

TEST(Exec, ChildProgramSeesBlockingStandardStreams) {
  Pair input = MakePipe();
  Pair output = MakePipe();
  // A thread waits on the pipe first, so that whatever the runtime does to wait has been done.
  Thread reader([&] { EXPECT_EQ("x", ReadExactly(input.a, 1)); });
  Settle();
  EXPECT_TRUE(WriteAll(input.b, "x"));
  reader.Join();
  const pid_t child = StartChild([&] {
    dup2(input.a, 0);
    dup2(output.b, 1);
    input.b.Reset();
    execl("/bin/cat", "cat", nullptr);
    return 127;
  });
  output.b.Reset();
  Settle();
  EXPECT_TRUE(WriteAll(input.b, "through cat"));
  input.b.Reset();
  EXPECT_EQ("through cat", ReadToEnd(output.a));
  ExpectExited(0, WaitForChild(child));
}

TEST(Exec, SocketsAreHandedOnBlocking) {
  Pair pair = MakeTcpPair();
  Thread reader([&] { EXPECT_EQ("x", ReadExactly(pair.a, 1)); });
  Settle();
  EXPECT_TRUE(WriteAll(pair.b, "x"));
  reader.Join();
  const pid_t child = StartChild([&] {
    dup2(pair.a, 0);
    dup2(pair.a, 1);
    pair.b.Reset();
    execl("/bin/cat", "cat", nullptr);
    return 127;
  });
  Settle();
  EXPECT_TRUE(WriteAll(pair.b, "echo"));
  EXPECT_EQ("echo", ReadExactly(pair.b, 4));
  EXPECT_OK(shutdown(pair.b, SHUT_WR));
  ExpectExited(0, WaitForChild(child));
}

TEST(Exec, FromAThreadReplacesTheWholeProcess) {
  ExpectExited(3, RunInChild([] {
                 Background* background = new Background;
                 (void)background;
                 Thread([] { execl("/bin/sh", "sh", "-c", "exit 3", nullptr); }).Join();
                 return 1;
               }));
}

TEST(Exec, FailureReturnsAndThreadsGoOn) {
  Background background;
  EXPECT_ERRNO(ENOENT, execl("/no/such/program", "x", nullptr));
  const int before = background.rounds();
  SleepMs(30);
  EXPECT_GT(background.rounds(), before);
}

TEST(Exec, SignalMaskAndIgnoredSignalsAreInherited) {
  // /proc shows the mask in hexadecimal: bit 9 is SIGUSR1.
  const pid_t child = StartChild([] {
    const sigset_t set = SignalSet({SIGUSR1});
    pthread_sigmask(SIG_SETMASK, &set, nullptr);
    execl("/bin/grep", "grep", "-q", "^SigBlk:.*0200$", "/proc/self/status", nullptr);
    return 127;
  });
  ExpectExited(0, WaitForChild(child));
}

TEST(Vfork, AndExecInAThread) {
  Background background;
  Thread([] {
    const pid_t child = vfork();
    if (child == 0) {
      execl("/bin/sh", "sh", "-c", "exit 6", nullptr);
      _exit(127);
    }
    ExpectExited(6, WaitForChild(child));
  }).Join();
}

TEST(Vfork, ChildThatExitsLetsTheParentGoOn) {
  const pid_t child = vfork();
  if (child == 0) _exit(5);
  ExpectExited(5, WaitForChild(child));
}

TEST(Spawn, RunsAProgramWithRedirectedOutput) {
  Background background;
  Thread([] {
    Pair pipe = MakePipe(O_CLOEXEC);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, pipe.b, 1);
    const char* const arguments[] = {"echo", "spawned", nullptr};
    pid_t child = -1;
    EXPECT_EQ(0, posix_spawn(&child, "/bin/echo", &actions, nullptr, const_cast<char**>(arguments),
                             environ));
    posix_spawn_file_actions_destroy(&actions);
    pipe.b.Reset();
    EXPECT_EQ("spawned\n", ReadToEnd(pipe.a));
    ExpectExited(0, WaitForChild(child));
  }).Join();
}

TEST(Spawn, OfAMissingProgramFails) {
  pid_t child;
  const char* const arguments[] = {"x", nullptr};
  EXPECT_EQ(ENOENT, posix_spawn(&child, "/no/such/program", nullptr, nullptr,
                                const_cast<char**>(arguments), environ));
}

TEST(System, GivesTheStatusWhileOthersRun) {
  Background background;
  Settle();
  Thread([&] {
    const int before = background.rounds();
    ExpectExited(9, system("sleep 0.1; exit 9"));
    EXPECT_GT(background.rounds(), before);
  }).Join();
  EXPECT_NE(0, system(nullptr));
}

TEST(System, FromManyThreads) {
  std::vector<std::unique_ptr<Thread>> threads;
  for (int i = 0; i < 8; ++i) {
    threads.push_back(std::make_unique<Thread>(
        [i] { ExpectExited(i, system(("exit " + std::to_string(i)).c_str())); }));
  }
}

TEST(Popen, ReadsAndWritesAndGivesTheStatus) {
  Background background;
  Thread([] {
    FILE* stream = popen("sleep 0.05; echo one; exit 2", "r");
    ASSERT_NE(nullptr, stream);
    char line[16] = "";
    EXPECT_NE(nullptr, fgets(line, sizeof line, stream));
    EXPECT_STREQ("one\n", line);
    ExpectExited(2, pclose(stream));
    TempDir directory;
    stream = popen(("cat > " + directory.File("out")).c_str(), "w");
    ASSERT_NE(nullptr, stream);
    EXPECT_GT(fprintf(stream, "written"), 0);
    ExpectExited(0, pclose(stream));
    Fd fd(open(directory.File("out").c_str(), O_RDONLY));
    EXPECT_EQ("written", ReadToEnd(fd));
  }).Join();
}

TEST(Exit, FromAThreadRunsAtexitHandlersAndGivesTheStatus) {
  Pair pipe = MakePipe();
  static int report;
  report = pipe.b;
  const pid_t child = StartChild([&] {
    atexit([] { WriteAll(report, "a"); });
    Thread sleeper([] { SleepMs(100000); });
    Thread([] { exit(11); }).Join();
    return 1;
  });
  pipe.b.Reset();
  EXPECT_EQ("a", ReadToEnd(pipe.a));
  ExpectExited(11, WaitForChild(child));
}

TEST(Exit, UnderscoreExitFromAThreadEndsTheProcessAtOnce) {
  ExpectExited(12, RunInChild([] {
                 Thread sleeper([] { SleepMs(100000); });
                 Thread([] { _exit(12); }).Join();
                 return 1;
               }));
}

TEST(Exit, ReturnWhileOtherThreadsAreBlocked) {
  ExpectExited(13, RunInChild([] {
                 Pair* pipe = new Pair(MakePipe());
                 new std::thread([pipe] { ReadToEnd(pipe->a); });
                 new std::thread([] { SleepMs(100000); });
                 Settle();
                 return 13;
               }));
}

TEST(Exit, MainThreadMayLeaveWhileOthersGoOn) {
  ExpectExited(14, RunInChild([] {
                 new std::thread([] {
                   SleepMs(30);
                   _exit(14);
                 });
                 pthread_exit(nullptr);
                 return 1;
               }));
}

TEST(Exit, LastThreadToLeaveEndsTheProcessWithZero) {
  ExpectExited(0, RunInChild([] {
                 pthread_t thread;
                 pthread_create(
                     &thread, nullptr,
                     [](void*) -> void* {
                       SleepMs(20);
                       return nullptr;
                     },
                     nullptr);
                 pthread_exit(nullptr);
                 return 1;
               }));
}

TEST(Exit, AbortInAThreadKillsTheProcess) {
  const int status = RunInChild([] {
    signal(SIGABRT, SIG_DFL);
    Thread([] { abort(); }).Join();
    return 0;
  });
  EXPECT_TRUE(WIFSIGNALED(status));
  EXPECT_EQ(SIGABRT, WTERMSIG(status));
}

TEST(Process, IdentityIsTheSameInEveryThread) {
  const pid_t pid = getpid();
  const pid_t parent = getppid();
  const pid_t group = getpgrp();
  Thread([=] {
    EXPECT_EQ(pid, getpid());
    EXPECT_EQ(parent, getppid());
    EXPECT_EQ(group, getpgrp());
    SleepMs(1);
    EXPECT_EQ(pid, getpid());
  }).Join();
}

TEST(Process, WorkingDirectoryAndUmaskAreShared) {
  ExpectExited(0, RunInChild([] {
                 Thread([] {
                   EXPECT_OK(chdir("/"));
                   umask(0123);
                 }).Join();
                 char path[16];
                 EXPECT_STREQ("/", getcwd(path, sizeof path));
                 EXPECT_EQ(0123u, umask(0));
                 return 0;
               }));
}

TEST(Process, UserIdSetInOneThreadHoldsInAll) {
  if (getuid() != 0) GTEST_SKIP() << "needs root";
  ExpectExited(0, RunInChild([] {
                 Event changed;
                 std::atomic<uid_t> seen{0};
                 Thread other([&] {
                   changed.Wait();
                   seen = geteuid();
                 });
                 Settle();
                 EXPECT_OK(seteuid(65534));
                 changed.Post();
                 other.Join();
                 EXPECT_EQ(65534u, seen);
                 return 0;
               }));
}

constexpr rlim_t kGiB = rlim_t{1} << 30;

// In a child, whose limits are its own. Returns: its exit status.
int InChild(int (*body)()) {
  const pid_t child = fork();
  if (child == 0) _exit(body());
  int status = -1;
  EXPECT_EQ(child, waitpid(child, &status, 0));
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

TEST(AddressSpaceLimit, IsShownAsItWasSet) {
  EXPECT_EQ(0, InChild([] {
              const rlimit wanted = {4 * kGiB, 8 * kGiB};
              if (syscall(SYS_setrlimit, RLIMIT_AS, &wanted) != 0) return 1;
              rlimit seen = {};
              if (getrlimit(RLIMIT_AS, &seen) != 0) return 2;
              if (seen.rlim_cur != wanted.rlim_cur || seen.rlim_max != wanted.rlim_max) return 3;
              seen = {};
              if (syscall(SYS_getrlimit, RLIMIT_AS, &seen) != 0) return 4;
              return seen.rlim_cur == wanted.rlim_cur && seen.rlim_max == wanted.rlim_max ? 0 : 5;
            }));
}

TEST(AddressSpaceLimit, LimitsTheProgramAndNotMore) {
  EXPECT_EQ(0, InChild([] {
              const rlimit wanted = {16 * kGiB, 16 * kGiB};
              if (setrlimit(RLIMIT_AS, &wanted) != 0) return 1;
              const auto map = [](size_t bytes) {
                return mmap(nullptr, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
                            -1, 0);
              };
              if (map(8 * kGiB) == MAP_FAILED) return 2;
              if (map(16 * kGiB) != MAP_FAILED || errno != ENOMEM) return 3;
              pthread_t thread;
              if (pthread_create(
                      &thread, nullptr, [](void* a) { return a; }, nullptr) != 0)
                return 4;
              return pthread_join(thread, nullptr);
            }));
}

TEST(AddressSpaceLimit, BadOnesSaySo) {
  rlimit limit = {2, 1};
  EXPECT_ERRNO(EINVAL, setrlimit(RLIMIT_AS, &limit));
  EXPECT_ERRNO(EINVAL, syscall(SYS_getrlimit, 999, &limit));
  EXPECT_ERRNO(EFAULT, syscall(SYS_setrlimit, RLIMIT_AS, 8));
}

}  // namespace
}  // namespace conformance
