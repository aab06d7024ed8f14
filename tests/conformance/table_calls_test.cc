// Calls that libc makes no more, or wraps in code of its own: by their numbers, as runtimes and
// libraries with assembly of their own make them. And what each call makes of a bad address.
#include <fcntl.h>
#include <linux/futex.h>
#include <linux/openat2.h>
#include <poll.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/select.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "tests/conformance/support.h"

namespace conformance {
namespace {

constexpr int kNobody = (1 << 30) - 1;  // no thread has this id

TEST(RawCalls, OpenMakesOpensAndRefuses) {
  TempDir directory;
  const std::string path = directory.File("new");
  EXPECT_ERRNO(ENOENT, syscall(SYS_open, path.c_str(), O_RDONLY, 0));
  Fd made(static_cast<int>(syscall(SYS_open, path.c_str(), O_WRONLY | O_CREAT | O_EXCL, 0600)));
  ASSERT_OK(made.get());
  EXPECT_TRUE(WriteAll(made, "abc"));
  EXPECT_ERRNO(EEXIST, syscall(SYS_open, path.c_str(), O_WRONLY | O_CREAT | O_EXCL, 0600));
  Fd again(static_cast<int>(syscall(SYS_open, path.c_str(), O_RDONLY, 0)));
  ASSERT_OK(again.get());
  EXPECT_EQ("abc", ReadToEnd(again));
}

TEST(RawCalls, Openat2StaysBeneathItsDirectory) {
  TempDir directory;
  directory.MakeFile("inside", "in");
  Fd root(open(directory.path().c_str(), O_PATH | O_DIRECTORY));
  open_how how = {};
  how.flags = O_RDONLY;
  how.resolve = RESOLVE_BENEATH;
  std::vector<std::unique_ptr<Thread>> threads;
  for (int t = 0; t < 4; ++t) {
    threads.push_back(std::make_unique<Thread>([&] {
      Fd inside(static_cast<int>(syscall(SYS_openat2, root.get(), "inside", &how, sizeof how)));
      ASSERT_OK(inside.get());
      EXPECT_EQ("in", ReadToEnd(inside));
      EXPECT_ERRNO(EXDEV, syscall(SYS_openat2, root.get(), "../inside", &how, sizeof how));
      EXPECT_ERRNO(EXDEV, syscall(SYS_openat2, root.get(), "/etc/passwd", &how, sizeof how));
      EXPECT_ERRNO(ENOENT, syscall(SYS_openat2, root.get(), "missing", &how, sizeof how));
    }));
  }
  threads.clear();
}

TEST(RawCalls, Openat2RejectsWrongSizesAndFlags) {
  open_how how = {};
  how.flags = O_RDONLY;
  EXPECT_ERRNO(EINVAL, syscall(SYS_openat2, AT_FDCWD, "/", &how, size_t{1}));
  how.resolve = ~0ull;
  EXPECT_ERRNO(EINVAL, syscall(SYS_openat2, AT_FDCWD, "/", &how, sizeof how));
  struct {
    open_how how;
    uint64_t more;
  } longer = {{O_RDONLY, 0, 0}, 1};
  EXPECT_ERRNO(E2BIG, syscall(SYS_openat2, AT_FDCWD, "/", &longer, sizeof longer));
}

TEST(RawCalls, SelectTellsWhatIsReadyAndHowMuchTimeIsLeft) {
  Pair pair = MakePipe();
  fd_set set;
  FD_ZERO(&set);
  FD_SET(pair.a, &set);
  timeval timeout = {0, 20'000};
  const int64_t start = NowNs();
  EXPECT_EQ(0, syscall(SYS_select, pair.a + 1, &set, nullptr, nullptr, &timeout));
  EXPECT_GE(NowNs() - start, 20'000'000);
  EXPECT_FALSE(FD_ISSET(pair.a, &set));
  EXPECT_EQ(0, timeout.tv_sec);
  EXPECT_EQ(0, timeout.tv_usec);
  Thread writer([&] {
    Settle();
    EXPECT_TRUE(WriteAll(pair.b, "x"));
  });
  FD_SET(pair.a, &set);
  timeout = {60, 0};
  EXPECT_EQ(1, syscall(SYS_select, pair.a + 1, &set, nullptr, nullptr, &timeout));
  EXPECT_TRUE(FD_ISSET(pair.a, &set));
  EXPECT_LT(timeout.tv_sec, 60);
}

TEST(RawCalls, NanosleepIsNotEarlyAndTellsWhatRemains) {
  timespec time = {0, 5'000'000};
  const int64_t start = NowNs();
  EXPECT_EQ(0, syscall(SYS_nanosleep, &time, nullptr));
  EXPECT_GE(NowNs() - start, 5'000'000);
  timespec bad = {0, 1'000'000'000};
  EXPECT_ERRNO(EINVAL, syscall(SYS_nanosleep, &bad, nullptr));
  SignalHandler handler(SIGUSR1, CountSignal);
  Event done;
  Thread sleeper([&] {
    timespec minute = {60, 0}, left = {0, 0};
    EXPECT_ERRNO(EINTR, syscall(SYS_nanosleep, &minute, &left));
    EXPECT_GT(left.tv_sec, 0);
    EXPECT_LE(left.tv_sec, 60);
    done.Post();
  });
  SignalUntil(sleeper.handle(), SIGUSR1, &done);
}

// The child knows nothing of libc's preparations for a fork: it makes system calls only.
TEST(RawCalls, ForkGivesAChildThatCanReadWriteAndLeave) {
  Pair pair = MakePipe();
  Thread other([] { SleepMs(50); });
  const long child = syscall(SYS_fork);
  if (child == 0) {
    const char byte = 'c';
    syscall(SYS_exit_group, syscall(SYS_write, pair.b.get(), &byte, 1) == 1 ? 7 : 1);
  }
  ASSERT_GT(child, 0);
  EXPECT_EQ("c", ReadExactly(pair.a, 1));
  ExpectExited(7, WaitForChild(static_cast<pid_t>(child)));
}

TEST(RawCalls, SetTidAddressGivesTheCallersId) {
  ExpectExited(0, RunInChild([] {
                 static int word;
                 return syscall(SYS_set_tid_address, &word) == gettid() ? 0 : 1;
               }));
}

TEST(RawCalls, SchedulingOfAThreadIsSetByItsIdAndByZero) {
  sched_param plain = {};
  plain.sched_priority = 0;
  Thread([&] {
    for (const long id : {0L, static_cast<long>(gettid())}) {
      EXPECT_OK(syscall(SYS_sched_setscheduler, id, SCHED_OTHER, &plain));
      EXPECT_EQ(SCHED_OTHER, syscall(SYS_sched_getscheduler, id));
      EXPECT_OK(syscall(SYS_sched_setparam, id, &plain));
      EXPECT_ERRNO(EINVAL, syscall(SYS_sched_setscheduler, id, 1234, &plain));
      sched_param wrong = {};
      wrong.sched_priority = 50;
      EXPECT_ERRNO(EINVAL, syscall(SYS_sched_setparam, id, &wrong));
    }
    EXPECT_ERRNO(ESRCH, syscall(SYS_sched_setscheduler, kNobody, SCHED_OTHER, &plain));
    EXPECT_ERRNO(ESRCH, syscall(SYS_sched_setparam, kNobody, &plain));
    EXPECT_ERRNO(ESRCH, syscall(SYS_sched_getscheduler, kNobody));
  }).Join();
}

TEST(RawCalls, AffinityOfAThreadIsReadBackAsSet) {
  Thread([&] {
    cpu_set_t all;
    ASSERT_OK(sched_getaffinity(0, sizeof all, &all));
    int first = 0;
    while (!CPU_ISSET(first, &all)) ++first;
    cpu_set_t one, got;
    CPU_ZERO(&one);
    CPU_SET(first, &one);
    EXPECT_OK(sched_setaffinity(gettid(), sizeof one, &one));
    EXPECT_OK(sched_getaffinity(0, sizeof got, &got));
    EXPECT_TRUE(CPU_EQUAL(&one, &got));
    EXPECT_OK(sched_setaffinity(0, sizeof all, &all));
    cpu_set_t none;
    CPU_ZERO(&none);
    EXPECT_ERRNO(EINVAL, sched_setaffinity(0, sizeof none, &none));
    EXPECT_ERRNO(ESRCH, sched_setaffinity(kNobody, sizeof all, &all));
  }).Join();
}

TEST(RawCalls, PrctlNamesTheCallingThreadAndCutsLongNames) {
  char main_before[16] = {}, main_after[16] = {};
  ASSERT_OK(prctl(PR_GET_NAME, main_before));
  Thread([&] {
    char name[16] = {};
    ASSERT_OK(prctl(PR_SET_NAME, "short"));
    ASSERT_OK(prctl(PR_GET_NAME, name));
    EXPECT_STREQ("short", name);
    ASSERT_OK(prctl(PR_SET_NAME, "much-longer-than-fifteen-bytes"));
    ASSERT_OK(prctl(PR_GET_NAME, name));
    EXPECT_STREQ("much-longer-tha", name);
    ASSERT_EQ(0, pthread_getname_np(pthread_self(), name, sizeof name));
    EXPECT_STREQ("much-longer-tha", name);
  }).Join();
  ASSERT_OK(prctl(PR_GET_NAME, main_after));
  EXPECT_STREQ(main_before, main_after);
}

TEST(RawCalls, PrctlOfOtherOptionsIsTheProcesss) {
  EXPECT_ERRNO(EINVAL, prctl(-1, 0, 0, 0, 0));
  const int before = prctl(PR_GET_DUMPABLE);
  EXPECT_OK(before);
  Thread([&] { EXPECT_EQ(before, prctl(PR_GET_DUMPABLE)); }).Join();
}

TEST(RawCalls, TkillRunsTheHandlerInTheThreadNamed) {
  static thread_local int handled_here = 0;
  static void (*const count)(int) = [](int) { ++handled_here; };
  SignalHandler handler(SIGUSR1, count);
  EXPECT_OK(syscall(SYS_tkill, gettid(), SIGUSR1));
  EXPECT_EQ(1, handled_here);
  Event ready, sent;
  pid_t id = 0;
  Thread target([&] {
    id = gettid();
    ready.Post();
    sent.Wait();
    EXPECT_EQ(1, handled_here);
  });
  ready.Wait();
  EXPECT_OK(syscall(SYS_tkill, id, SIGUSR1));
  sent.Post();
  target.Join();
  EXPECT_EQ(1, handled_here);
  EXPECT_OK(syscall(SYS_tkill, gettid(), 0));
  EXPECT_ERRNO(ESRCH, syscall(SYS_tkill, kNobody, 0));
  EXPECT_ERRNO(EINVAL, syscall(SYS_tkill, 0, SIGUSR1));
  EXPECT_ERRNO(EINVAL, syscall(SYS_tkill, gettid(), 65));
}

// A bad address is an answer, whoever reads it.
struct Things {
  void* bad;  // faults
  int socket, peer, pipe, epoll;
};

struct BadAddressCase {
  const char* name;
  std::function<long(const Things&)> call;
};

void PrintTo(const BadAddressCase& one, std::ostream* out) { *out << one.name; }

class BadAddress : public testing::TestWithParam<BadAddressCase> {};

TEST_P(BadAddress, Faults) {
  // In a child, for what is wrong here is fatal.
  const int status = RunInChild([] {
    Pair pair = MakeTcpPair();
    Pair pipe = MakePipe();
    EXPECT_TRUE(WriteAll(pair.b, "data"));
    EXPECT_TRUE(WriteAll(pipe.b, "data"));
    Fd epoll(epoll_create1(0));
    epoll_event readable = {};
    readable.events = EPOLLIN;
    EXPECT_OK(epoll_ctl(epoll, EPOLL_CTL_ADD, pipe.a, &readable));
    void* bad = mmap(nullptr, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    const Things things = {bad, pair.a, pair.b, pipe.a, epoll};
    EXPECT_ERRNO(EFAULT, GetParam().call(things));
    return 0;
  });
  ExpectExited(0, status);
}

const BadAddressCase kBadAddressCases[] = {
    {"Read", [](const Things& t) { return syscall(SYS_read, t.pipe, t.bad, 4); }},
    {"ReadSocket", [](const Things& t) { return syscall(SYS_read, t.socket, t.bad, 4); }},
    {"Write", [](const Things& t) { return syscall(SYS_write, t.peer, t.bad, 4); }},
    {"Readv", [](const Things& t) { return syscall(SYS_readv, t.socket, t.bad, 1); }},
    {"ReadvPipe", [](const Things& t) { return syscall(SYS_readv, t.pipe, t.bad, 1); }},
    {"Writev", [](const Things& t) { return syscall(SYS_writev, t.peer, t.bad, 1); }},
    {"Recvmsg", [](const Things& t) { return syscall(SYS_recvmsg, t.socket, t.bad, 0); }},
    {"Sendmsg", [](const Things& t) { return syscall(SYS_sendmsg, t.peer, t.bad, 0); }},
    {"Recvmmsg",
     [](const Things& t) { return syscall(SYS_recvmmsg, t.socket, t.bad, 1, 0, nullptr); }},
    {"Sendmmsg", [](const Things& t) { return syscall(SYS_sendmmsg, t.peer, t.bad, 1, 0); }},
    {"RecvmsgVectors",
     [](const Things& t) {
       msghdr message = {};
       message.msg_iov = static_cast<iovec*>(t.bad);
       message.msg_iovlen = 1;
       return syscall(SYS_recvmsg, t.socket, &message, 0);
     }},
    {"Connect", [](const Things& t) { return syscall(SYS_connect, t.socket, t.bad, 16); }},
    {"Setsockopt",
     [](const Things& t) {
       return syscall(SYS_setsockopt, t.socket, SOL_SOCKET, SO_KEEPALIVE, t.bad, 4);
     }},
    {"Fionbio", [](const Things& t) { return syscall(SYS_ioctl, t.socket, FIONBIO, t.bad); }},
    {"SendfileOffset",
     [](const Things& t) { return syscall(SYS_sendfile, t.peer, t.pipe, t.bad, 1); }},
    {"Open", [](const Things& t) { return syscall(SYS_open, t.bad, O_RDONLY, 0); }},
    {"Openat", [](const Things& t) { return syscall(SYS_openat, AT_FDCWD, t.bad, O_RDONLY, 0); }},
    {"Openat2How",
     [](const Things& t) { return syscall(SYS_openat2, AT_FDCWD, "/", t.bad, sizeof(open_how)); }},
    {"FcntlLock", [](const Things& t) { return syscall(SYS_fcntl, t.pipe, F_SETLK, t.bad); }},
    {"Poll", [](const Things& t) { return syscall(SYS_poll, t.bad, 1, 0); }},
    {"PollOfOneThatWaits", [](const Things& t) { return syscall(SYS_poll, t.bad, 1, 1000); }},
    {"PpollTime",
     [](const Things& t) {
       pollfd one = {t.pipe, POLLIN, 0};
       return syscall(SYS_ppoll, &one, 1, t.bad, nullptr, 8);
     }},
    {"PpollMask",
     [](const Things& t) {
       pollfd one = {t.pipe, POLLIN, 0};
       return syscall(SYS_ppoll, &one, 1, nullptr, t.bad, 8);
     }},
    {"SelectSet",
     [](const Things& t) { return syscall(SYS_select, 10, t.bad, nullptr, nullptr, nullptr); }},
    {"SelectTime",
     [](const Things& t) { return syscall(SYS_select, 0, nullptr, nullptr, nullptr, t.bad); }},
    {"Pselect6Time",
     [](const Things& t) {
       return syscall(SYS_pselect6, 0, nullptr, nullptr, nullptr, t.bad, nullptr);
     }},
    {"EpollWait", [](const Things& t) { return syscall(SYS_epoll_wait, t.epoll, t.bad, 1, 0); }},
    {"EpollPwait2Time",
     [](const Things& t) {
       epoll_event event;
       return syscall(SYS_epoll_pwait2, t.epoll, &event, 1, t.bad, nullptr, 8);
     }},
    {"FutexWait",
     [](const Things& t) { return syscall(SYS_futex, t.bad, FUTEX_WAIT_PRIVATE, 0, nullptr); }},
    {"FutexShared",
     [](const Things& t) { return syscall(SYS_futex, t.bad, FUTEX_WAIT, 0, nullptr); }},
    {"FutexLockPi",
     [](const Things& t) { return syscall(SYS_futex, t.bad, FUTEX_LOCK_PI_PRIVATE, 0, nullptr); }},
    {"FutexUnlockPi",
     [](const Things& t) { return syscall(SYS_futex, t.bad, FUTEX_UNLOCK_PI_PRIVATE, 0); }},
    {"FutexCompareRequeue",
     [](const Things& t) {
       uint32_t word = 0;
       return syscall(SYS_futex, t.bad, FUTEX_CMP_REQUEUE_PRIVATE, 1, 1, &word, 0);
     }},
    {"FutexWakeOperation",
     [](const Things& t) {
       uint32_t word = 0;
       return syscall(SYS_futex, &word, FUTEX_WAKE_OP_PRIVATE, 1, 1, t.bad, 0);
     }},
    {"Nanosleep", [](const Things& t) { return syscall(SYS_nanosleep, t.bad, nullptr); }},
    {"ClockNanosleep",
     [](const Things& t) {
       return syscall(SYS_clock_nanosleep, CLOCK_MONOTONIC, 0, t.bad, nullptr);
     }},
    {"SigactionNew",
     [](const Things& t) { return syscall(SYS_rt_sigaction, SIGUSR1, t.bad, nullptr, 8); }},
    {"SigactionOld",
     [](const Things& t) { return syscall(SYS_rt_sigaction, SIGUSR1, nullptr, t.bad, 8); }},
    {"SigprocmaskNew",
     [](const Things& t) { return syscall(SYS_rt_sigprocmask, SIG_BLOCK, t.bad, nullptr, 8); }},
    {"SigprocmaskOld",
     [](const Things& t) { return syscall(SYS_rt_sigprocmask, SIG_BLOCK, nullptr, t.bad, 8); }},
    {"Sigpending", [](const Things& t) { return syscall(SYS_rt_sigpending, t.bad, 8); }},
    {"Sigsuspend", [](const Things& t) { return syscall(SYS_rt_sigsuspend, t.bad, 8); }},
    {"Sigtimedwait",
     [](const Things& t) { return syscall(SYS_rt_sigtimedwait, t.bad, nullptr, nullptr, 8); }},
    {"SigaltstackNew", [](const Things& t) { return syscall(SYS_sigaltstack, t.bad, nullptr); }},
    {"SigaltstackOld", [](const Things& t) { return syscall(SYS_sigaltstack, nullptr, t.bad); }},
    {"Tgsigqueueinfo",
     [](const Things& t) {
       return syscall(SYS_rt_tgsigqueueinfo, getpid(), gettid(), SIGUSR1, t.bad);
     }},
    {"Clone3", [](const Things& t) { return syscall(SYS_clone3, t.bad, 88); }},
    {"PrctlSetName", [](const Things& t) { return syscall(SYS_prctl, PR_SET_NAME, t.bad); }},
    {"SchedSetparam", [](const Things& t) { return syscall(SYS_sched_setparam, 0, t.bad); }},
    {"SchedGetaffinity",
     [](const Things& t) { return syscall(SYS_sched_getaffinity, 0, 128, t.bad); }},
};

INSTANTIATE_TEST_SUITE_P(Calls, BadAddress, testing::ValuesIn(kBadAddressCases),
                         [](const auto& one) { return std::string(one.param.name); });

// The same for a thread that is not the main one, where prctl is answered from memory.
TEST(BadAddressInAThread, OfANameFaults) {
  ExpectExited(0, RunInChild([] {
                 void* bad = mmap(nullptr, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
                 Thread([&] {
                   EXPECT_ERRNO(EFAULT, syscall(SYS_prctl, PR_SET_NAME, bad));
                   EXPECT_ERRNO(EFAULT, syscall(SYS_prctl, PR_GET_NAME, bad));
                 }).Join();
                 return 0;
               }));
}

}  // namespace
}  // namespace conformance
