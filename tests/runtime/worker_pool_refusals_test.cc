// What the worker pool does where the kernel makes it no thread, or is slow to make or to end one.

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstddef>
#include <iterator>
#include <thread>
#include <vector>

#include "gtest/gtest.h"
#include "runtime/worker_pool.h"
#include "tests/runtime/worker_pool_jobs.h"

namespace bobbin {
namespace {

// From here on the process may make no more kernel threads. Root is exempt from the limit, so it
// becomes somebody else.
void ForbidThreads() {
  rlimit limit;
  getrlimit(RLIMIT_NPROC, &limit);
  limit.rlim_cur = 0;
  if (setrlimit(RLIMIT_NPROC, &limit) != 0) _exit(100);
  if (geteuid() == 0 && syscall(SYS_setresuid, 65534, 65534, 65534) != 0) _exit(101);
}

void AllowThreads() {
  rlimit limit;
  getrlimit(RLIMIT_NPROC, &limit);
  limit.rlim_cur = limit.rlim_max;
  if (setrlimit(RLIMIT_NPROC, &limit) != 0) _exit(102);
}

TEST(WorkerPoolRefusalsDeathTest, SubmitTakesNothingWhereTheFirstWorkerCannotBeMade) {
  auto submit_without_threads = [] {
    ForbidThreads();
    WorkerPool pool;
    Job job;
    if (pool.Submit(&job) || pool.calls() != 0 || pool.queued() != 0 || pool.workers() != 0) {
      _exit(1);
    }
    AllowThreads();
    if (!pool.Submit(&job)) _exit(2);
    pool.Stop();
    _exit(job.dones.load() == 1 ? 0 : 3);
  };
  EXPECT_EXIT(submit_without_threads(), testing::ExitedWithCode(0), "");
}

TEST(WorkerPoolRefusalsDeathTest, WhereNoMoreWorkersCanBeMadeItemsWaitForThoseThereAre) {
  auto submit_with_one_worker = [] {
    WorkerPool pool;
    Gate gate;
    Job blocker(&gate);
    if (!pool.Submit(&blocker)) _exit(1);
    std::atomic<int> ready{0};
    std::vector<std::thread> submitters;
    for (int s = 0; s < 2; ++s) {
      submitters.emplace_back([&] {
        ready.fetch_add(1);
        while (ready.load() < 3) Nap();
        // An item that Submit queued while a worker could not be made must not be forgotten.
        for (int i = 0; i < 3000; ++i) {
          Job job;
          if (!pool.Submit(&job)) _exit(2);
          while (job.dones.load() == 0) __builtin_ia32_pause();
        }
      });
    }
    while (ready.load() < 2) Nap();
    ForbidThreads();
    Jobs jobs = MakeJobs(5, nullptr);
    for (auto& job : jobs) {
      if (!pool.Submit(job.get())) _exit(3);
    }
    if (pool.workers() != 1) _exit(4);
    gate.open.store(true);
    ready.fetch_add(1);
    for (std::thread& submitter : submitters) submitter.join();
    pool.Stop();
    for (auto& job : jobs) {
      if (job->dones.load() != 1) _exit(5);
    }
    _exit(0);
  };
  EXPECT_EXIT(submit_with_one_worker(), testing::ExitedWithCode(0), "");
}

// Has the kernel ask us before the calling thread, or one it makes, enters either system call.
// Returns: the descriptor it asks on, or -1.
int WatchCalls(unsigned one, unsigned other) {
  sock_filter code[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, one, 1, 0),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, other, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  sock_fprog program{std::size(code), code};
  prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  return static_cast<int>(
      syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &program));
}

bool DoneOrNotPossible(int status) {
  return WIFEXITED(status) && (WEXITSTATUS(status) == 0 || WEXITSTATUS(status) == 77);
}

// W2: an item was queued in the hope of a worker that then could not be made, and another worker
// went idle meanwhile.
TEST(WorkerPoolRefusalsDeathTest, IdleWorkerTakesOverWhenTheOneAwaitedCannotBeMade) {
  auto fail_to_make_a_worker_slowly = [] {
    WorkerPool pool;
    pool.Configure(0, INT64_C(3600'000) * kMillisecond);
    Gate gate;
    Job first(&gate), second, third;
    if (!pool.Submit(&first)) _exit(1);
    std::atomic<int> watch{0};
    std::thread submitter([&] {
      watch.store(WatchCalls(SYS_clone, SYS_clone3));
      if (watch.load() < 0) _exit(77);
      if (!pool.Submit(&second)) _exit(2);
    });
    while (watch.load() == 0) Nap();
    seccomp_notif making{};
    if (ioctl(watch.load(), SECCOMP_IOCTL_NOTIF_RECV, &making) != 0) _exit(3);
    gate.open.store(true);  // the worker does `first` and `second`, and goes idle
    if (!Eventually([&] { return second.dones.load() == 1; })) _exit(4);
    for (int i = 0; i < 100; ++i) Nap();
    if (!pool.Submit(&third)) _exit(5);
    seccomp_notif_resp answer{};
    answer.id = making.id;
    answer.error = -EAGAIN;
    if (ioctl(watch.load(), SECCOMP_IOCTL_NOTIF_SEND, &answer) != 0) _exit(6);
    submitter.join();
    if (!Eventually([&] { return third.dones.load() == 1; })) _exit(7);
    pool.Stop();
    _exit(0);
  };
  EXPECT_EXIT(fail_to_make_a_worker_slowly(), DoneOrNotPossible, "");
}

TEST(WorkerPoolRefusalsDeathTest, NewWorkerDoesNotGetTheStackOfOneThatIsStillLeaving) {
  if (kSanitized) GTEST_SKIP() << "there the stacks are libc's";
  auto submit_while_a_worker_leaves = [] {
    WorkerPool pool;
    pool.Configure(0, kMillisecond);
    Job first, second;
    std::atomic<int> watch{0};
    std::thread submitter([&] {
      watch.store(WatchCalls(SYS_exit, SYS_exit));
      if (watch.load() < 0) _exit(77);
      if (!pool.Submit(&first)) _exit(1);
      for (;;) pause();
    });
    while (watch.load() == 0) Nap();
    seccomp_notif leaving{};
    if (ioctl(watch.load(), SECCOMP_IOCTL_NOTIF_RECV, &leaving) != 0) _exit(2);
    if (pool.workers() != 0) _exit(3);
    if (!pool.Submit(&second)) _exit(4);
    if (!Eventually([&] { return second.dones.load() == 1; })) _exit(5);
    _exit(first.stack == second.stack ? 6 : 0);
  };
  EXPECT_EXIT(submit_while_a_worker_leaves(), DoneOrNotPossible, "");
}

}  // namespace
}  // namespace bobbin
