#include "runtime/worker_pool.h"

#include <asm/prctl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <random>
#include <thread>
#include <vector>

#include "gtest/gtest.h"
#include "runtime/raw_syscall.h"
#include "tests/runtime/worker_pool_jobs.h"

namespace bobbin {
namespace {

#if defined(__SANITIZE_THREAD__)
constexpr bool kThreadSanitizer = true;
#else
constexpr bool kThreadSanitizer = false;
#endif

class WorkerPoolTest : public testing::Test {
 protected:
  void SubmitAll(const Jobs& jobs) {
    for (const auto& job : jobs) ASSERT_TRUE(pool_.Submit(job.get()));
  }
  // For tests that leave items waiting: these must be done before the test's own variables go.
  void Finish() {
    gate_.open.store(true);
    pool_.Stop();
  }
  void TearDown() override {
    Finish();
    EXPECT_EQ(pool_.workers(), 0u);
    EXPECT_EQ(pool_.queued(), 0u);
  }

  Gate gate_;
  WorkerPool pool_;
};

// W1
TEST_F(WorkerPoolTest, DoneFollowsRunOnceOnTheSameWorker) {
  Job job;
  ASSERT_TRUE(pool_.Submit(&job));
  ASSERT_TRUE(Eventually([&] { return job.dones.load() == 1; }));
  EXPECT_TRUE(job.done_right.load());
  EXPECT_NE(job.worker, gettid());
  pool_.Stop();
  EXPECT_EQ(job.runs.load(), 1);
  EXPECT_EQ(job.dones.load(), 1);
  EXPECT_EQ(pool_.calls(), 1u);
}

// W4
TEST_F(WorkerPoolTest, AfterRenewOnlyNewWorkersRunNewItems) {
  Job first, held(&gate_), second;
  ASSERT_TRUE(pool_.Submit(&first));
  ASSERT_TRUE(Eventually([&] { return first.dones.load() == 1; }));
  ASSERT_TRUE(pool_.Submit(&held));
  ASSERT_TRUE(Eventually([&] { return gate_.running.load() == 1; }));
  pool_.Renew();
  EXPECT_EQ(pool_.workers(), 0u);
  // Neither the one that is busy nor one that was idle takes it.
  Jobs more = MakeJobs(8, nullptr);
  SubmitAll(more);
  ASSERT_TRUE(pool_.Submit(&second));
  ASSERT_TRUE(Eventually([&] { return second.dones.load() == 1; }));
  EXPECT_NE(second.worker, first.worker);
  EXPECT_NE(second.worker, held.worker);
  gate_.open.store(true);
  ASSERT_TRUE(Eventually([&] { return held.dones.load() == 1; }));
  for (const auto& job : more) {
    ASSERT_TRUE(Eventually([&] { return job->dones.load() == 1; }));
    EXPECT_NE(job->worker, first.worker);
    EXPECT_NE(job->worker, held.worker);
  }
}

// W4: what was submitted before is done by whoever is there.
TEST_F(WorkerPoolTest, RenewLosesNothingThatWaits) {
  pool_.Configure(2);
  Jobs jobs = MakeJobs(20, &gate_, Lane::kDisk);
  SubmitAll(jobs);
  ASSERT_TRUE(Eventually([&] { return gate_.running.load() == 2; }));
  pool_.Renew();
  Jobs later = MakeJobs(20, &gate_, Lane::kDisk);
  SubmitAll(later);
  pool_.Renew();
  gate_.open.store(true);
  ASSERT_TRUE(Eventually([&] { return gate_.done.load() == 40; }));
}

// W1
TEST_F(WorkerPoolTest, EveryItemOfManySubmittersIsDoneOnce) {
  constexpr int kSubmitters = 4;
  constexpr int kEach = 3000;
  gate_.open.store(true);
  std::vector<Jobs> jobs;
  for (int s = 0; s < kSubmitters; ++s) {
    jobs.push_back(MakeJobs(kEach, &gate_, static_cast<Lane>(s % kLanes)));
  }
  std::vector<std::thread> submitters;
  for (int s = 0; s < kSubmitters; ++s) {
    submitters.emplace_back([&, s] { SubmitAll(jobs[s]); });
  }
  for (std::thread& submitter : submitters) submitter.join();
  EXPECT_TRUE(Eventually([&] { return gate_.done.load() == kSubmitters * kEach; }));
  pool_.Stop();
  for (const Jobs& some : jobs) {
    for (const auto& job : some) {
      ASSERT_EQ(job->runs.load(), 1);
      ASSERT_EQ(job->dones.load(), 1);
      ASSERT_TRUE(job->done_right.load());
    }
  }
  EXPECT_EQ(pool_.calls(), static_cast<uint64_t>(kSubmitters * kEach));
}

TEST_F(WorkerPoolTest, DoneItemMayBeSubmittedAgain) {
  Job job;
  for (int i = 1; i <= 100; ++i) {
    ASSERT_TRUE(pool_.Submit(&job));
    ASSERT_TRUE(Eventually([&] { return job.dones.load() == i; }));
  }
}

// W2
TEST_F(WorkerPoolTest, LaneHasAtMostItsMaximumOfWorkers) {
  Jobs jobs = MakeJobs(WorkerPool::kMaxPerLane + 30, &gate_);
  SubmitAll(jobs);
  ASSERT_TRUE(Eventually([&] { return gate_.running.load() == WorkerPool::kMaxPerLane; }));
  EXPECT_EQ(pool_.workers(), static_cast<uint64_t>(WorkerPool::kMaxPerLane));
  EXPECT_EQ(pool_.queued(), 30u);
  gate_.open.store(true);
  EXPECT_TRUE(Eventually([&] { return gate_.done.load() == static_cast<int>(jobs.size()); }));
  pool_.Stop();
  EXPECT_EQ(gate_.most_running.load(), WorkerPool::kMaxPerLane);
}

// W2
TEST_F(WorkerPoolTest, FixedDiskLaneHasThatManyWorkers) {
  pool_.Configure(3);
  Jobs jobs = MakeJobs(10, &gate_, Lane::kDisk);
  SubmitAll(jobs);
  ASSERT_TRUE(Eventually([&] { return gate_.running.load() == 3; }));
  EXPECT_EQ(pool_.workers(), 3u);
  EXPECT_EQ(pool_.queued(), 7u);
  gate_.open.store(true);
  EXPECT_TRUE(Eventually([&] { return gate_.done.load() == 10; }));
  pool_.Stop();
  EXPECT_EQ(gate_.most_running.load(), 3);
}

// W2: whatever mix of idle, woken and new workers there is, as many items run as were queued.
TEST_F(WorkerPoolTest, ItemsDoNotWaitForEachOtherWhileTheLaneHasRoom) {
  pool_.Configure(0, 2 * kMillisecond);
  std::mt19937 random(3);
  for (int round = 0; round < 60; ++round) {
    Gate gate;
    Jobs jobs = MakeJobs(1 + random() % 20, &gate);
    SubmitAll(jobs);
    int count = static_cast<int>(jobs.size());
    bool all_run = Eventually([&] { return gate.running.load() == count; });
    EXPECT_TRUE(all_run) << gate.running.load() << " of " << count << " in round " << round;
    gate.open.store(true);
    ASSERT_TRUE(Eventually([&] { return gate.done.load() == count; }));
    if (!all_run) break;
    for (unsigned naps = random() % 15; naps > 0; --naps) Nap();
  }
}

TEST_F(WorkerPoolTest, OldestItemIsTakenFirst) {
  pool_.Configure(1);
  Job blocker(&gate_, Lane::kDisk);
  ASSERT_TRUE(pool_.Submit(&blocker));
  static std::atomic<int> clock;
  clock = 0;
  struct Stamped : WorkItem {
    int time = 0;
  } items[5];
  for (Stamped& item : items) {
    item.lane = Lane::kDisk;
    item.run = [](WorkItem* self) -> long { return static_cast<Stamped*>(self)->time = ++clock; };
    item.done = [](WorkItem*) {};
    ASSERT_TRUE(pool_.Submit(&item));
  }
  gate_.open.store(true);
  pool_.Stop();
  for (int i = 0; i < 5; ++i) EXPECT_EQ(items[i].time, i + 1);
}

// W3
TEST_F(WorkerPoolTest, CancelledItemIsNotTouchedAgain) {
  pool_.Configure(1);
  for (int cancelled = 0; cancelled < 3; ++cancelled) {  // first, middle and last of the queue
    gate_.open.store(false);
    Job blocker(&gate_, Lane::kDisk);
    ASSERT_TRUE(pool_.Submit(&blocker));
    Jobs jobs = MakeJobs(3, nullptr, Lane::kDisk);
    SubmitAll(jobs);
    Job* job = jobs[cancelled].get();
    EXPECT_TRUE(pool_.Cancel(job));
    EXPECT_FALSE(pool_.Cancel(job));
    EXPECT_EQ(pool_.queued(), 2u);
    unsigned char pattern[sizeof(Job)];
    std::memset(pattern, 0xa5, sizeof pattern);
    std::memcpy(static_cast<void*>(job), pattern, sizeof pattern);
    Finish();
    EXPECT_EQ(std::memcmp(static_cast<void*>(job), pattern, sizeof pattern), 0);
    int done = 0;
    for (const auto& other : jobs) done += other.get() != job && other->dones.load() == 1;
    EXPECT_EQ(done, 2);
  }
}

TEST_F(WorkerPoolTest, CancelOfARunningOrIdleItemReturnsFalse) {
  Job job(&gate_);
  EXPECT_FALSE(pool_.Cancel(&job));
  ASSERT_TRUE(pool_.Submit(&job));
  ASSERT_TRUE(Eventually([&] { return gate_.running.load() == 1; }));
  EXPECT_FALSE(pool_.Cancel(&job));
  gate_.open.store(true);
  ASSERT_TRUE(Eventually([&] { return gate_.done.load() == 1; }));
  EXPECT_FALSE(pool_.Cancel(&job));
}

// W1 and W3
TEST_F(WorkerPoolTest, RacingCancelAndWorkerAgreeOnWhoHasTheItem) {
  pool_.Configure(2);
  for (int round = 0; round < 300; ++round) {
    Jobs jobs = MakeJobs(20, nullptr, Lane::kDisk);
    int cancelled = 0;
    SubmitAll(jobs);
    for (auto job = jobs.rbegin(); job != jobs.rend(); ++job) {
      bool taken_back = pool_.Cancel(job->get());
      if (taken_back) ++cancelled;
      ASSERT_TRUE(Eventually([&] { return (*job)->dones.load() == (taken_back ? 0 : 1); }));
    }
    int done = std::count_if(jobs.begin(), jobs.end(),
                             [](const auto& job) { return job->dones.load() == 1; });
    ASSERT_EQ(done + cancelled, 20);
  }
}

TEST_F(WorkerPoolTest, FullLaneDoesNotHoldAnotherUp) {
  Jobs blocked = MakeJobs(WorkerPool::kMaxPerLane + 10, &gate_, Lane::kDisk);
  SubmitAll(blocked);
  for (Lane lane : {Lane::kMetadata, Lane::kOther}) {
    Job job(nullptr, lane);
    ASSERT_TRUE(pool_.Submit(&job));
    EXPECT_TRUE(Eventually([&] { return job.dones.load() == 1; }));
  }
  Finish();
}

TEST_F(WorkerPoolTest, IdleAutosizedWorkersLeaveAndComeBack) {
  pool_.Configure(0, 2 * kMillisecond);
  for (int round = 0; round < 5; ++round) {
    Gate gate;
    Jobs jobs = MakeJobs(8, &gate);
    SubmitAll(jobs);
    ASSERT_TRUE(Eventually([&] { return gate.running.load() == 8; }));
    EXPECT_EQ(pool_.workers(), 8u);
    gate.open.store(true);
    ASSERT_TRUE(Eventually([&] { return gate.done.load() == 8; }));
    EXPECT_TRUE(Eventually([&] { return pool_.workers() == 0; }));
  }
}

TEST_F(WorkerPoolTest, BusyWorkersAreThoseThatAreNotIdle) {
  pool_.Configure(0, 10'000 * kMillisecond);
  EXPECT_EQ(pool_.busy(), 0u);
  Jobs jobs = MakeJobs(4, &gate_);
  SubmitAll(jobs);
  ASSERT_TRUE(Eventually([&] { return gate_.running.load() == 4; }));
  EXPECT_EQ(pool_.busy(), 4u);
  gate_.open.store(true);
  EXPECT_TRUE(Eventually([&] { return pool_.busy() == 0; }));
  EXPECT_EQ(pool_.workers(), 4u);
  pool_.Renew();
  EXPECT_EQ(pool_.busy(), 0u);
}

// A burst's workers stay for the next one while single calls keep the lane at work, and leave when
// those end.
TEST_F(WorkerPoolTest, SpareWorkersStayWhileOneIsAtWork) {
  constexpr int64_t kIdle = 100 * kMillisecond;
  pool_.Configure(0, kIdle);
  Jobs burst = MakeJobs(4, &gate_);
  SubmitAll(burst);
  ASSERT_TRUE(Eventually([&] { return gate_.running.load() == 4; }));
  gate_.open.store(true);
  ASSERT_TRUE(Eventually([&] { return gate_.done.load() == 4; }));
  auto begun = std::chrono::steady_clock::now();
  while (std::chrono::steady_clock::now() - begun < std::chrono::nanoseconds(3 * kIdle)) {
    Job job;
    ASSERT_TRUE(pool_.Submit(&job));
    ASSERT_TRUE(Eventually([&] { return job.dones.load() == 1; }));
  }
  EXPECT_EQ(pool_.workers(), 4u);
  EXPECT_TRUE(Eventually([&] { return pool_.workers() == 0; }));
}

TEST_F(WorkerPoolTest, IdleWorkersOfAFixedLaneLeaveToo) {
  pool_.Configure(2, kMillisecond);
  Jobs jobs = MakeJobs(2, &gate_, Lane::kDisk);
  SubmitAll(jobs);
  ASSERT_TRUE(Eventually([&] { return gate_.running.load() == 2; }));
  gate_.open.store(true);
  ASSERT_TRUE(Eventually([&] { return gate_.done.load() == 2; }));
  EXPECT_TRUE(Eventually([&] { return pool_.workers() == 0; }));
}

TEST_F(WorkerPoolTest, IdleWorkerIsUsedBeforeANewOneIsMade) {
  for (int i = 0; i < 20; ++i) {
    Job job;
    ASSERT_TRUE(pool_.Submit(&job));
    ASSERT_TRUE(Eventually([&] { return job.dones.load() == 1; }));
    for (int naps = 0; naps < 10; ++naps) Nap();  // time to go idle
  }
  EXPECT_LE(pool_.workers(), 2u);
}

TEST_F(WorkerPoolTest, WorkersLeavingAndItemsComingNeverMissEachOther) {
  pool_.Configure(0, kMillisecond / 20);  // leave all the time
  for (int i = 0; i < 2000; ++i) {
    Job job;
    ASSERT_TRUE(pool_.Submit(&job));
    ASSERT_TRUE(Eventually([&] { return job.dones.load() == 1; }));
  }
}

TEST_F(WorkerPoolTest, StopRunsWhatIsQueuedAndThePoolCanBeUsedAgain) {
  pool_.Configure(1);
  Jobs jobs = MakeJobs(20, nullptr, Lane::kDisk);
  SubmitAll(jobs);
  pool_.Stop();
  for (const auto& job : jobs) EXPECT_EQ(job->dones.load(), 1);
  EXPECT_EQ(pool_.workers(), 0u);
  Job job(nullptr, Lane::kDisk);
  ASSERT_TRUE(pool_.Submit(&job));
  EXPECT_TRUE(Eventually([&] { return job.dones.load() == 1; }));
}

TEST_F(WorkerPoolTest, WorkerBlocksAllSignalsButItsOwnAndHasNeitherFsNorGsBase) {
  struct Probe : WorkItem {
    std::atomic<bool> finished{false};
    uint64_t mask = 0, fs = 1, gs = 1;
  } probe;
  probe.run = [](WorkItem* self) -> long {
    Probe* p = static_cast<Probe*>(self);
    RawSyscall(SYS_rt_sigprocmask, SIG_SETMASK, nullptr, &p->mask, sizeof p->mask);
    RawSyscall(SYS_arch_prctl, ARCH_GET_FS, &p->fs);
    RawSyscall(SYS_arch_prctl, ARCH_GET_GS, &p->gs);
    return 0;
  };
  probe.done = [](WorkItem* self) { static_cast<Probe*>(self)->finished.store(true); };
  uint64_t mask_before, mask_after;
  RawSyscall(SYS_rt_sigprocmask, SIG_SETMASK, nullptr, &mask_before, sizeof mask_before);
  RawSyscall(SYS_arch_prctl, ARCH_SET_GS, &probe);
  ASSERT_TRUE(pool_.Submit(&probe));
  RawSyscall(SYS_arch_prctl, ARCH_SET_GS, 0);
  RawSyscall(SYS_rt_sigprocmask, SIG_SETMASK, nullptr, &mask_after, sizeof mask_after);
  ASSERT_TRUE(Eventually([&] { return probe.finished.load(); }));
  uint64_t unblockable = uint64_t{1} << (SIGKILL - 1) | uint64_t{1} << (SIGSTOP - 1);
  if (kSanitized) unblockable |= uint64_t{3} << 31;  // libc keeps 32 and 33 for itself
  uint64_t own = kSanitized ? 0 : uint64_t{1} << (WorkerPool::kInterrupt - 1);
  EXPECT_EQ(probe.mask | unblockable, ~own);
  EXPECT_EQ(mask_after, mask_before);
  if (kSanitized) return;
  EXPECT_EQ(probe.fs, 0u);
  EXPECT_EQ(probe.gs, 0u);
}

TEST_F(WorkerPoolTest, ForkedChildMakesItsOwnWorkers) {
  if (kThreadSanitizer) GTEST_SKIP() << "it allows no new threads after a fork with threads";
  pool_.Configure(1);
  Job blocker(&gate_, Lane::kDisk);
  Job waiting(nullptr, Lane::kDisk);
  ASSERT_TRUE(pool_.Submit(&blocker));
  ASSERT_TRUE(pool_.Submit(&waiting));
  ASSERT_TRUE(Eventually([&] { return gate_.running.load() == 1; }));
  pid_t child = fork();
  if (child == 0) {
    pool_.ResetAfterFork();
    if (pool_.workers() != 0 || pool_.queued() != 0) _exit(1);
    Job job(nullptr, Lane::kDisk);
    if (!pool_.Submit(&job)) _exit(2);
    pool_.Stop();
    _exit(job.dones.load() == 1 && waiting.dones.load() == 0 ? 0 : 3);
  }
  int status;
  EXPECT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  Finish();
  EXPECT_EQ(waiting.dones.load(), 1);
}

}  // namespace
}  // namespace bobbin
