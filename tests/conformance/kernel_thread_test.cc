// What Linux keeps for each kernel thread, as the threads of a program see it.
#include <asm/prctl.h>
#include <grp.h>
#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/futex.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <sys/fsuid.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>

#include <memory>
#include <vector>

#include "tests/conformance/support.h"

namespace conformance {
namespace {

constexpr uid_t kNobody = 65534;

// Runs `check` in threads that were there before `change`, and in new ones.
int InAllThreads(const std::function<void()>& change, const std::function<void()>& check) {
  Event ready, changed;
  std::vector<std::unique_ptr<Thread>> threads;
  for (int i = 0; i < 4; ++i) {
    threads.push_back(std::make_unique<Thread>([&] {
      ready.Post();
      changed.Wait();
      check();
    }));
  }
  ready.Wait(4);
  // One that did the changing is not the main one.
  Thread([&] { change(); }).Join();
  for (int i = 0; i < 4; ++i) changed.Post();
  threads.clear();
  Thread(check).Join();
  check();
  return 0;
}

TEST(Credentials, SetuidChangesEveryThreadAndWhatTheyDo) {
  TempDir directory;
  ASSERT_OK(chmod(directory.path().c_str(), 0755));
  const std::string path = directory.MakeFile("secret", "x");
  ASSERT_OK(chmod(path.c_str(), 0600));
  const bool root = geteuid() == 0;
  ExpectExited(0, RunInChild([&] {
                 // Workers that were made as before.
                 EXPECT_OK(chmod(path.c_str(), 0600));
                 const uid_t user = root ? kNobody : getuid();
                 return InAllThreads([&] { EXPECT_OK(setuid(user)); },
                                     [&] {
                                       EXPECT_EQ(user, getuid());
                                       EXPECT_EQ(user, geteuid());
                                       if (!root) return;
                                       EXPECT_ERRNO(EACCES, open(path.c_str(), O_RDONLY));
                                       EXPECT_ERRNO(EACCES,
                                                    open(path.c_str(), O_RDWR | O_CREAT, 0600));
                                       EXPECT_ERRNO(EPERM, chmod(path.c_str(), 0644));
                                       EXPECT_ERRNO(EACCES, unlink(path.c_str()));
                                       EXPECT_ERRNO(EPERM, setuid(0));
                                     });
               }));
}

TEST(Credentials, EachKindOfIdIsTheProcesss) {
  const bool root = geteuid() == 0;
  ExpectExited(0, RunInChild([&] {
                 const uid_t user = root ? kNobody : getuid();
                 const gid_t group = root ? kNobody : getgid();
                 const gid_t groups[2] = {group, 7};
                 return InAllThreads(
                     [&] {
                       if (root) {
                         EXPECT_OK(setgroups(2, groups));
                       }
                       EXPECT_OK(setgid(group));
                       EXPECT_OK(setregid(group, group));
                       EXPECT_OK(setresgid(group, group, group));
                       EXPECT_OK(setreuid(-1, user));
                       if (root) {
                         EXPECT_OK(seteuid(0));
                       }
                       EXPECT_OK(setresuid(-1, user, user));
                     },
                     [&] {
                       uid_t r, e, s;
                       EXPECT_OK(getresuid(&r, &e, &s));
                       EXPECT_EQ(user, e);
                       EXPECT_EQ(user, s);
                       EXPECT_EQ(group, getgid());
                       EXPECT_EQ(group, getegid());
                       gid_t got[2] = {};
                       if (root) {
                         EXPECT_EQ(2, getgroups(2, got));
                       }
                       if (root) {
                         EXPECT_EQ(7u, got[0] == 7 ? got[0] : got[1]);
                       }
                     });
               }));
}

TEST(Credentials, ThreadsChangeThemAtOnceAndAgreeAfterwards) {
  ExpectExited(0, RunInChild([&] {
                 std::vector<std::unique_ptr<Thread>> threads;
                 for (int i = 0; i < 6; ++i) {
                   threads.push_back(std::make_unique<Thread>([] {
                     for (int j = 0; j < 5; ++j) {
                       EXPECT_OK(setresuid(-1, geteuid(), -1));
                       EXPECT_OK(setgid(getgid()));
                     }
                   }));
                 }
                 threads.clear();
                 return 0;
               }));
}

TEST(Credentials, FileSystemIdsAndBadOnes) {
  ExpectExited(0, RunInChild([] {
                 EXPECT_EQ(static_cast<int>(geteuid()), setfsuid(-1));
                 EXPECT_EQ(static_cast<int>(getegid()), setfsgid(-1));
                 EXPECT_EQ(static_cast<int>(geteuid()), setfsuid(geteuid()));
                 EXPECT_EQ(static_cast<int>(getegid()), setfsgid(getegid()));
                 EXPECT_ERRNO(EINVAL, setgroups(1 << 20, nullptr));
                 EXPECT_ERRNO(EINVAL, setuid(-1));
                 return 0;
               }));
}

TEST(Capabilities, AreReadByThreadIdAndDropped) {
  ExpectExited(0, RunInChild([] {
                 Thread([] {
                   __user_cap_header_struct head = {_LINUX_CAPABILITY_VERSION_3, gettid()};
                   __user_cap_data_struct data[2] = {};
                   EXPECT_OK(syscall(SYS_capget, &head, data));
                   data[0].effective = 0;
                   data[1].effective = 0;
                   EXPECT_OK(syscall(SYS_capset, &head, data));
                   head.pid = 0;
                   EXPECT_OK(syscall(SYS_capget, &head, data));
                   EXPECT_EQ(0u, data[0].effective);
                   EXPECT_ERRNO(EFAULT, syscall(SYS_capset, &head, 1));
                   EXPECT_ERRNO(EFAULT, syscall(SYS_capget, 1, data));
                   head.version = 1;
                   EXPECT_ERRNO(EINVAL, syscall(SYS_capset, &head, data));
                   EXPECT_EQ(static_cast<uint32_t>(_LINUX_CAPABILITY_VERSION_3), head.version);
                 }).Join();
                 return 0;
               }));
}

TEST(ThreadIds, AreUnderstoodByCallsThatNameAThread) {
  Thread([] {
    const int tid = gettid();
    EXPECT_OK(getpriority(PRIO_PROCESS, static_cast<id_t>(tid)));
    EXPECT_OK(setpriority(PRIO_PROCESS, static_cast<id_t>(tid),
                          getpriority(PRIO_PROCESS, static_cast<id_t>(tid))));
    EXPECT_OK(setpriority(PRIO_PROCESS, 0, getpriority(PRIO_PROCESS, 0)));
    EXPECT_ERRNO(ESRCH, setpriority(PRIO_PROCESS, 0x3ffffff, 0));
    const long io = syscall(SYS_ioprio_get, 1, tid);
    EXPECT_OK(io);
    EXPECT_OK(syscall(SYS_ioprio_set, 1, tid, io));
    timespec slice;
    EXPECT_OK(syscall(SYS_sched_rr_get_interval, tid, &slice));
    char attributes[64] = {};
    EXPECT_OK(syscall(SYS_sched_getattr, tid, attributes, 48, 0));
    EXPECT_OK(syscall(SYS_sched_setattr, tid, attributes, 0));
    rlimit limit;
    EXPECT_OK(syscall(SYS_prlimit64, tid, RLIMIT_NOFILE, nullptr, &limit));
    EXPECT_OK(syscall(SYS_kill, tid, 0));
    EXPECT_ERRNO(ESRCH, syscall(SYS_kill, 0x3ffffff, 0));
  }).Join();
}

TEST(ThreadIds, RobustListsAreEachThreadsOwn) {
  void *mine = nullptr, *theirs = nullptr;
  size_t size = 0;
  ASSERT_OK(syscall(SYS_get_robust_list, 0, &mine, &size));
  EXPECT_EQ(sizeof(robust_list_head), size);
  Event known, done;
  int tid = 0;
  Thread other([&] {
    void* own = nullptr;
    size_t length;
    EXPECT_OK(syscall(SYS_get_robust_list, 0, &own, &length));
    EXPECT_NE(mine, own);
    theirs = own;
    tid = gettid();
    known.Post();
    done.Wait();
  });
  known.Wait();
  void* seen = nullptr;
  EXPECT_OK(syscall(SYS_get_robust_list, tid, &seen, &size));
  EXPECT_EQ(theirs, seen);
  EXPECT_ERRNO(EFAULT, syscall(SYS_get_robust_list, 0, 1, &size));
  done.Post();
}

TEST(ThreadPointer, IsReadBackAndSetToItself) {
  static thread_local int local = 0;
  Thread([] {
    local = 42;
    unsigned long base = 0;
    EXPECT_OK(syscall(SYS_arch_prctl, ARCH_GET_FS, &base));
    EXPECT_EQ(static_cast<unsigned long>(pthread_self()), base);
    EXPECT_OK(syscall(SYS_arch_prctl, ARCH_SET_FS, base));
    sched_yield();
    SleepMs(1);
    EXPECT_EQ(42, local);
    EXPECT_OK(syscall(SYS_arch_prctl, ARCH_GET_GS, &base));
    EXPECT_EQ(0u, base);
    EXPECT_ERRNO(EFAULT, syscall(SYS_arch_prctl, ARCH_GET_GS, 1));
    EXPECT_ERRNO(EINVAL, syscall(SYS_arch_prctl, 0x7777, 0));
  }).Join();
}

TEST(Attributes, PersonalityAndNoNewPrivilegesReachThreadsMadeLater) {
  ExpectExited(0, RunInChild([] {
                 const int before = personality(0xffffffff);
                 EXPECT_EQ(before, personality(before | ADDR_NO_RANDOMIZE));
                 EXPECT_OK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
                 std::vector<std::unique_ptr<Thread>> threads;
                 for (int i = 0; i < 4; ++i) {
                   threads.push_back(std::make_unique<Thread>([&] {
                     EXPECT_EQ(before | ADDR_NO_RANDOMIZE, personality(0xffffffff));
                     EXPECT_EQ(1, prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0));
                   }));
                 }
                 threads.clear();
                 return 0;
               }));
}

// A filter that has mkdir fail with ENOTNAM, on whatever kernel thread.
TEST(Attributes, FilterReachesThreadsMadeLaterAndWhatIsDoneForThem) {
  TempDir directory;
  ExpectExited(
      0, RunInChild([&] {
        EXPECT_OK(mkdir(directory.File("before").c_str(), 0700));
        sock_filter code[] = {BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
                              BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_mkdir, 0, 1),
                              BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOTNAM),
                              BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
        sock_fprog program = {4, code};
        EXPECT_OK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
        EXPECT_OK(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program));
        EXPECT_OK(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program));
        EXPECT_ERRNO(EFAULT, syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, nullptr));
        EXPECT_ERRNO(EINVAL, syscall(SYS_seccomp, 77, 0, nullptr));
        std::vector<std::unique_ptr<Thread>> threads;
        for (int i = 0; i < 4; ++i) {
          threads.push_back(std::make_unique<Thread>(
              [&] { EXPECT_ERRNO(ENOTNAM, mkdir(directory.File("after").c_str(), 0700)); }));
        }
        threads.clear();
        return 0;
      }));
}

TEST(Attributes, RulesOfLandlockAndNamespacesFailAsTheyShould) {
  EXPECT_ERRNO(EINVAL, syscall(SYS_unshare, 1));
  EXPECT_ERRNO(EBADF, syscall(SYS_setns, -1, 0));
  const long result = syscall(SYS_landlock_restrict_self, -1, 0);
  EXPECT_EQ(-1, result);
  EXPECT_TRUE(errno == EBADF || errno == EOPNOTSUPP || errno == ENOSYS || errno == EPERM);
}

TEST(Attributes, RandomBytesAndTheKernelLog) {
  char bytes[32] = {};
  EXPECT_EQ(32, syscall(SYS_getrandom, bytes, 32, 0));
  EXPECT_ERRNO(EINVAL, syscall(SYS_getrandom, bytes, 32, 1 << 20));
  EXPECT_ERRNO(EFAULT, syscall(SYS_getrandom, 1, 32, 0));
  EXPECT_ERRNO(EINVAL, syscall(SYS_syslog, 3, nullptr, -1));
}

TEST(ChildrenByDescriptor, WaitLetsOthersRunAndTellsOfTheEnd) {
  Pair go = MakePipe();
  const pid_t child = StartChild([&] {
    char byte;
    return read(go.a, &byte, 1) == 1 ? 3 : 1;
  });
  Fd handle(static_cast<int>(syscall(SYS_pidfd_open, child, 0)));
  ASSERT_OK(handle.get());
  siginfo_t info = {};
  EXPECT_EQ(0, waitid(static_cast<idtype_t>(3), handle, &info, WEXITED | WNOHANG));
  EXPECT_EQ(0, info.si_pid);
  Event ended;
  Thread waiter([&] {
    EXPECT_EQ(0, waitid(static_cast<idtype_t>(3), handle, &info, WEXITED));
    ended.Post();
  });
  Settle();
  EXPECT_TRUE(WriteAll(go.b, "x"));
  ended.Wait();
  EXPECT_EQ(child, info.si_pid);
  EXPECT_EQ(3, info.si_status);
  EXPECT_ERRNO(ECHILD, waitid(static_cast<idtype_t>(3), handle, &info, WEXITED));
  EXPECT_ERRNO(EBADF, waitid(static_cast<idtype_t>(3), 9999, &info, WEXITED));
}

TEST(ChildrenByDescriptor, NonBlockingOneSaysAgain) {
  Pair go = MakePipe();
  const pid_t child = StartChild([&] {
    char byte;
    return static_cast<int>(read(go.a, &byte, 1));
  });
  Fd handle(static_cast<int>(syscall(SYS_pidfd_open, child, O_NONBLOCK)));
  siginfo_t info = {};
  EXPECT_ERRNO(EAGAIN, waitid(static_cast<idtype_t>(3), handle, &info, WEXITED));
  EXPECT_TRUE(WriteAll(go.b, "x"));
  ExpectExited(1, WaitForChild(child));
}

TEST(Vmsplice, WaitsForRoomWhileOthersRun) {
  Pair pipe = MakePipe();
  SetNonBlocking(pipe.b);
  FillUp(pipe.b);
  SetNonBlocking(pipe.b, false);
  char text[] = "gift";
  iovec vector = {text, 4};
  EXPECT_ERRNO(EAGAIN, vmsplice(pipe.b, &vector, 1, SPLICE_F_NONBLOCK));
  Event done;
  Thread giver([&] {
    EXPECT_EQ(4, vmsplice(pipe.b, &vector, 1, 0));
    done.Post();
  });
  Settle();
  std::string rest(1 << 20, '\0');
  EXPECT_GT(read(pipe.a, rest.data(), rest.size()), 0);
  done.Wait();
  Pair other = MakePipe();
  Event got;
  char two[2];
  Thread taker([&] {
    iovec to = {two, 2};
    EXPECT_EQ(2, vmsplice(other.a, &to, 1, 0));
    got.Post();
  });
  Settle();
  EXPECT_TRUE(WriteAll(other.b, "ok"));
  got.Wait();
  EXPECT_EQ("ok", std::string(two, 2));
  EXPECT_ERRNO(EBADF, vmsplice(-1, &vector, 1, 0));
}

// What a program executes finds a listening socket in the mode it was left in.
TEST(Execute, InheritedListenerIsInBlockingMode) {
  ExpectExited(0, RunInChild([] {
                 Listener listener;
                 Fd client = listener.Connect();
                 Fd(accept(listener.fd(), nullptr, nullptr));
                 EXPECT_EQ(0, fcntl(listener.fd(), F_SETFD, 0));
                 const std::string flags = "/proc/self/fdinfo/" + std::to_string(listener.fd());
                 const std::string script =
                     "while read name value; do if [ $name = flags: ]; then "
                     "exit $(( (value / 04000) % 2 )); fi; done < " +
                     flags;
                 EXPECT_ERRNO(ENOENT, execl("/no/such/program", "x", nullptr));
                 EXPECT_ERRNO(EFAULT, syscall(SYS_execveat, AT_FDCWD, 1, nullptr, nullptr, 0));
                 // A failed attempt leaves it as it was: this does not wait for ever.
                 Fd second = listener.Connect();
                 Fd(accept(listener.fd(), nullptr, nullptr));
                 execl("/bin/sh", "sh", "-c", script.c_str(), nullptr);
                 return 98;
               }));
}

}  // namespace
}  // namespace conformance
