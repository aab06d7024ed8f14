// Programs that use libc in the ordinary way, on patched libc. Run with --unpatched they show what
// Linux does.
#include "tests/wrappers/libc_text_programs.h"

#include <arpa/inet.h>
#include <execinfo.h>
#include <gtest/gtest.h>
#include <netdb.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <setjmp.h>
#include <signal.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstring>
#include <functional>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "tests/wrappers/pass_through.h"
#include "wrappers/ways_in/libc_text.h"

extern char** environ;

namespace bobbin {
namespace {

TEST(LibcTextPrograms, StdioWritesWhatItReads) {
  ExpectCalls writes(SYS_write), reads(SYS_read);
  FILE* file = tmpfile();
  ASSERT_NE(file, nullptr);
  std::vector<std::thread> threads;
  for (int self = 0; self < 4; self++) {
    threads.emplace_back([&, self] {
      for (int n = 0; n < 2000; n++) fprintf(file, "thread %d line %d %.3f\n", self, n, n / 8.0);
    });
  }
  for (auto& thread : threads) thread.join();
  rewind(file);
  int next[4] = {}, self, line;
  double value;
  while (fscanf(file, "thread %d line %d %lf\n", &self, &line, &value) == 3) {
    EXPECT_EQ(line, next[self]++);
    EXPECT_EQ(value, line / 8.0);
  }
  for (int count : next) EXPECT_EQ(count, 2000);
  fclose(file);
}

TEST(LibcTextPrograms, NumericAddressesResolve) {
  addrinfo hints = {}, *found = nullptr;
  hints.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV;
  ASSERT_EQ(getaddrinfo("127.0.0.1", "80", &hints, &found), 0);
  EXPECT_EQ(ntohl(reinterpret_cast<sockaddr_in*>(found->ai_addr)->sin_addr.s_addr), 0x7f000001u);
  freeaddrinfo(found);
}

TEST(LibcTextPrograms, SocketsCarryMessages) {
  ExpectCalls sends(SYS_sendto), receives(SYS_recvfrom), accepts(SYS_accept);
  const int listener = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  ASSERT_EQ(bind(listener, reinterpret_cast<sockaddr*>(&address), size), 0);
  ASSERT_EQ(getsockname(listener, reinterpret_cast<sockaddr*>(&address), &size), 0);
  ASSERT_EQ(listen(listener, 5), 0);
  std::thread client([&] {
    const int fd = socket(AF_INET, SOCK_STREAM, 0);
    ASSERT_EQ(connect(fd, reinterpret_cast<sockaddr*>(&address), size), 0);
    EXPECT_EQ(send(fd, "hello", 5, 0), 5);
    char reply[8];
    EXPECT_EQ(recv(fd, reply, sizeof(reply), 0), 3);
    close(fd);
  });
  const int fd = accept(listener, nullptr, nullptr);
  char text[8];
  EXPECT_EQ(recv(fd, text, 5, MSG_WAITALL), 5);
  EXPECT_EQ(memcmp(text, "hello", 5), 0);
  EXPECT_EQ(send(fd, "bye", 3, 0), 3);
  client.join();
  EXPECT_EQ(recv(fd, text, 5, 0), 0);
  close(fd);
  close(listener);
}

TEST(LibcTextPrograms, ChildrenRunAndAreWaitedFor) {
  ExpectCalls waits(SYS_wait4);
  int status = 0;
  pid_t child = fork();
  if (child == 0) {
    int in_child = 1;
    std::thread([&] { in_child = 41; }).join();
    _exit(in_child + 1);
  }
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(WEXITSTATUS(status), 42);

  child = vfork();
  if (child == 0) _exit(7);
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(WEXITSTATUS(status), 7);

  EXPECT_EQ(WEXITSTATUS(system("exit 5")), 5);

  FILE* pipe = popen("echo from the shell", "r");
  char line[64] = "";
  EXPECT_NE(fgets(line, sizeof(line), pipe), nullptr);
  EXPECT_STREQ(line, "from the shell\n");
  EXPECT_EQ(pclose(pipe), 0);

  const char* arguments[] = {"sh", "-c", "exit 9", nullptr};
  ASSERT_EQ(
      posix_spawn(&child, "/bin/sh", nullptr, nullptr, const_cast<char**>(arguments), environ), 0);
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(WEXITSTATUS(status), 9);
  EXPECT_EQ(posix_spawn(&child, "/does/not/exist", nullptr, nullptr, environ, environ), ENOENT);
}

TEST(LibcTextPrograms, CloneStartsAChildOnItsOwnStack) {
  constexpr size_t kStack = 65536;
  char* stack = static_cast<char*>(
      mmap(nullptr, kStack, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  int seen = 0;
  const pid_t child = clone(
      [](void* p) {
        *static_cast<int*>(p) = 123;
        return 3;
      },
      stack + kStack, CLONE_VM | SIGCHLD, &seen);
  ASSERT_GT(child, 0);
  int status;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(WEXITSTATUS(status), 3);
  EXPECT_EQ(seen, 123);
  munmap(stack, kStack);
}

// What a cancelled thread must run on its way out.
struct Trace {
  std::atomic<bool> ready{false}, destructed{false}, cleaned{false};
};

void CancelWhileIn(const char* what, const std::function<void()>& block) {
  Trace trace;
  struct Argument {
    Trace* trace;
    const std::function<void()>* block;
  } argument = {&trace, &block};
  pthread_t thread;
  ASSERT_EQ(pthread_create(
                &thread, nullptr,
                [](void* p) -> void* {
                  auto* argument = static_cast<Argument*>(p);
                  struct Guard {
                    Trace* trace;
                    ~Guard() { trace->destructed = true; }
                  } guard{argument->trace};
                  pthread_cleanup_push([](void* p) { static_cast<Trace*>(p)->cleaned = true; },
                                       argument->trace);
                  argument->trace->ready = true;
                  (*argument->block)();
                  pthread_cleanup_pop(0);
                  return nullptr;
                },
                &argument),
            0);
  while (!trace.ready) sched_yield();
  usleep(10000);
  ASSERT_EQ(pthread_cancel(thread), 0);
  void* result = nullptr;
  ASSERT_EQ(pthread_join(thread, &result), 0);
  EXPECT_EQ(result, PTHREAD_CANCELED) << what;
  EXPECT_TRUE(trace.destructed) << what;
  EXPECT_TRUE(trace.cleaned) << what;
}

TEST(LibcTextPrograms, CancellationUnwindsOutOfBlockedCalls) {
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
  pthread_cond_t never = PTHREAD_COND_INITIALIZER;
  sem_t semaphore;
  sem_init(&semaphore, 0, 0);
  char byte;
  CancelWhileIn("read", [&] { read(ends[0], &byte, 1); });
  CancelWhileIn("nanosleep", [] { sleep(60); });
  CancelWhileIn("poll", [] { poll(nullptr, 0, 60000); });
  CancelWhileIn("select", [] { select(0, nullptr, nullptr, nullptr, nullptr); });
  CancelWhileIn("pause", [] { pause(); });
  CancelWhileIn("sem_wait", [&] { sem_wait(&semaphore); });
  CancelWhileIn("recvfrom", [&] {
    int pair[2];
    socketpair(AF_UNIX, SOCK_STREAM, 0, pair);
    recv(pair[0], &byte, 1, 0);
  });
  CancelWhileIn("fgets", [&] {
    char line[10];
    FILE* file = fdopen(dup(ends[0]), "r");
    (void)!fgets(line, sizeof(line), file);
  });
  CancelWhileIn("cond_wait", [&] {
    pthread_mutex_lock(&mutex);
    pthread_cleanup_push([](void* p) { pthread_mutex_unlock(static_cast<pthread_mutex_t*>(p)); },
                         &mutex);
    while (true) pthread_cond_wait(&never, &mutex);
    pthread_cleanup_pop(0);
  });
  EXPECT_EQ(pthread_mutex_trylock(&mutex), 0) << "cond_wait was left without the mutex";
  pthread_t sleeper;
  pthread_create(
      &sleeper, nullptr,
      [](void*) -> void* {
        pause();
        return nullptr;
      },
      nullptr);
  CancelWhileIn("join", [&] { pthread_join(sleeper, nullptr); });
  pthread_cancel(sleeper);
  EXPECT_EQ(pthread_join(sleeper, nullptr), 0);
  close(ends[0]);
  close(ends[1]);
}

std::atomic<int> handled{0};
sigjmp_buf way_out;

TEST(LibcTextPrograms, SignalsInterruptCallsAndHandlersReturn) {
  struct sigaction action = {}, old;
  action.sa_handler = [](int) {
    handled++;
    char line[32];
    snprintf(line, sizeof(line), "%d", getppid());
  };
  ASSERT_EQ(sigaction(SIGUSR1, &action, &old), 0);
  handled = 0;
  raise(SIGUSR1);
  EXPECT_EQ(handled, 1);
  const pthread_t self = pthread_self();
  std::thread sender([self] {
    usleep(20000);
    pthread_kill(self, SIGUSR1);
  });
  timespec minute = {60, 0}, rest = {};
  EXPECT_EQ(nanosleep(&minute, &rest), -1);
  EXPECT_EQ(errno, EINTR);
  EXPECT_GE(rest.tv_sec, 58);
  sender.join();
  EXPECT_EQ(handled, 2);

  sigset_t set, before;
  sigemptyset(&set);
  sigaddset(&set, SIGUSR1);
  ASSERT_EQ(pthread_sigmask(SIG_BLOCK, &set, &before), 0);
  raise(SIGUSR1);
  EXPECT_EQ(handled, 2);
  EXPECT_EQ(sigsuspend(&before), -1);
  EXPECT_EQ(handled, 3);
  raise(SIGUSR1);
  int number = 0;
  EXPECT_EQ(sigwait(&set, &number), 0);
  EXPECT_EQ(number, SIGUSR1);
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  sigaction(SIGUSR1, &old, nullptr);
}

TEST(LibcTextPrograms, AHandlerMayJumpOutOfABlockedCall) {
  struct sigaction action = {}, old;
  action.sa_handler = [](int) { siglongjmp(way_out, 5); };
  ASSERT_EQ(sigaction(SIGALRM, &action, &old), 0);
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  volatile int result = sigsetjmp(way_out, 1);
  if (result == 0) {
    ualarm(20000, 0);
    char byte;
    read(ends[0], &byte, 1);
    FAIL() << "nothing was written";
  }
  EXPECT_EQ(result, 5);
  close(ends[0]);
  close(ends[1]);
  sigaction(SIGALRM, &old, nullptr);
}

TEST(LibcTextPrograms, ExceptionsAreCaughtInEveryThread) {
  for (int n = 0; n < 50; n++) {
    std::string caught;
    std::thread([&] {
      try {
        usleep(1);
        throw std::runtime_error("thrown");
      } catch (const std::exception& e) {
        caught = e.what();
      }
    }).join();
    EXPECT_EQ(caught, "thrown");
  }
}

TEST(LibcTextPrograms, ErrnoAndResultsAreLinuxes) {
  char byte;
  EXPECT_EQ(read(-1, &byte, 1), -1);
  EXPECT_EQ(errno, EBADF);
  EXPECT_EQ(write(-1, &byte, 1), -1);
  EXPECT_EQ(errno, EBADF);
  EXPECT_EQ(syscall(SYS_gettid), gettid());
  EXPECT_EQ(syscall(100000), -1);
  EXPECT_EQ(errno, ENOSYS);
  EXPECT_EQ(munmap(reinterpret_cast<void*>(1), 1), -1);
  EXPECT_EQ(errno, EINVAL);
}

// Backtraces from inside the table.

struct Caught {
  long nr;
  int depth;
  void* frames[64];
};
thread_local Caught caught;
thread_local int outer_depth;
thread_local void* outer_frames[64];

void TakeBacktrace(Registers* registers) {
  if (static_cast<long>(registers->rax) != caught.nr) return;
  caught.depth = backtrace(caught.frames, 64);
}

// Calls `call`, whose site for `nr` must lie under this very frame, and compares the outer frames.
void ExpectBacktraceThrough(long nr, const std::function<void()>& call) {
  outer_depth = backtrace(outer_frames, 64);
  caught = {.nr = nr, .depth = 0, .frames = {}};
  SetPassThroughHook(TakeBacktrace);
  call();
  SetPassThroughHook(nullptr);
  ASSERT_GT(caught.depth, outer_depth) << "call " << nr;
  for (int n = 1; n < outer_depth; n++) {  // 0 is this function, at another line
    EXPECT_EQ(caught.frames[caught.depth - n], outer_frames[outer_depth - n]) << "call " << nr;
  }
}

TEST(LibcTextPrograms, BacktracesFromTheTableReachMain) {
  if (!patched) GTEST_SKIP();
  void* warm[4];
  backtrace(warm, 4);
  char byte;
  sem_t semaphore;
  sem_init(&semaphore, 0, 0);
  timespec past = {1, 0}, moment = {0, 1};
  pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
  pthread_cond_t condition = PTHREAD_COND_INITIALIZER;
  pthread_mutex_lock(&mutex);
  ExpectBacktraceThrough(SYS_read, [&] { read(-1, &byte, 1); });     // kBehind
  ExpectBacktraceThrough(SYS_write, [&] { write(-1, &byte, 1); });   // kBefore
  ExpectBacktraceThrough(SYS_getppid, [&] { getppid(); });           // kBefore
  ExpectBacktraceThrough(SYS_getuid, [&] { syscall(SYS_getuid); });  // number of the caller
  ExpectBacktraceThrough(SYS_clock_nanosleep, [&] { nanosleep(&moment, nullptr); });
  ExpectBacktraceThrough(SYS_poll, [&] { poll(nullptr, 0, 0); });
  ExpectBacktraceThrough(SYS_recvfrom, [&] { recv(-1, &byte, 1, 0); });
  past.tv_sec = InMilliseconds(CLOCK_REALTIME, 0).tv_sec + 1;
  past.tv_nsec = 0;
  ExpectBacktraceThrough(SYS_futex, [&] { sem_timedwait(&semaphore, &past); });
  ExpectBacktraceThrough(SYS_futex, [&] {
    timespec until = InMilliseconds(CLOCK_REALTIME, 5);
    pthread_cond_timedwait(&condition, &mutex, &until);
  });
  ExpectBacktraceThrough(SYS_tgkill, [&] { pthread_kill(pthread_self(), SIGWINCH); });
  pthread_mutex_unlock(&mutex);
}

}  // namespace

bool patched = true;

void Patch() {
  const LibcTextReport report = PatchLibcText([](long) { return true; });
  if (report.error[0] != '\0') {
    fprintf(stderr, "not patched: %s\n", report.error);
    exit(2);
  }
}

}  // namespace bobbin

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  if (argc > 1 && strcmp(argv[1], "--unpatched") == 0) {
    bobbin::patched = false;
  } else {
    bobbin::Patch();
  }
  return RUN_ALL_TESTS();
}
