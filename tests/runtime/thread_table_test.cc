#include <algorithm>
#include <set>
#include <thread>
#include <vector>

#include "gtest/gtest.h"
#include "runtime/thread.h"

namespace bobbin {
namespace {

// The kernel's ids lie below (PID_MAX_LIMIT); a priority-inheriting mutex has 30 bits for one.
constexpr int kLowest = 1 << 22;
constexpr int kHighest = 1 << 28;
constexpr int kMainId = 4711;
constexpr int kChildId = 4712;

class ThreadTableTest : public testing::Test {
 protected:
  void SetUp() override { ASSERT_TRUE(table_.Init()); }

  // A thread as it is once it was spawned.
  Thread* Make() {
    Thread* thread = table_.Allocate();
    thread->state = ThreadState::kReady;
    return thread;
  }

  std::vector<Thread*> Alive() {
    std::vector<Thread*> found;
    table_.ForEach(
        [](Thread* thread, void* argument) {
          static_cast<std::vector<Thread*>*>(argument)->push_back(thread);
          return true;
        },
        &found);
    return found;
  }

  ThreadTable table_;
};

TEST_F(ThreadTableTest, IdsAreUniqueAboveTheKernelsAndFitAFutexWord) {
  std::set<int> ids;
  for (int i = 0; i < 5000; ++i) {
    int id = Make()->tid;
    EXPECT_GE(id, kLowest);
    EXPECT_LT(id, kHighest);
    EXPECT_TRUE(ids.insert(id).second) << id;
  }
}

TEST_F(ThreadTableTest, FindsEachLivingThreadByItsId) {
  std::vector<Thread*> threads;
  for (int i = 0; i < 100; ++i) threads.push_back(Make());
  for (Thread* thread : threads) EXPECT_EQ(table_.Find(thread->tid), thread);
}

TEST_F(ThreadTableTest, DoesNotFindIdsNeverGiven) {
  Thread* thread = Make();
  for (int id : {0, 1, -1, kLowest - 1, thread->tid + 1, thread->tid + (1 << 20), kHighest - 1}) {
    EXPECT_EQ(table_.Find(id), nullptr) << id;
  }
}

TEST_F(ThreadTableTest, DoesNotFindAThreadThatIsNotSpawnedYet) {
  EXPECT_EQ(table_.Find(table_.Allocate()->tid), nullptr);
}

TEST_F(ThreadTableTest, DoesNotFindTheDead) {
  Thread* thread = Make();
  int id = thread->tid;
  thread->state = ThreadState::kDone;
  EXPECT_EQ(table_.Find(id), nullptr);
  table_.Free(thread);
  EXPECT_EQ(table_.Find(id), nullptr);
}

TEST_F(ThreadTableTest, ReuseOfABlockChangesItsId) {
  Thread* first = Make();
  int old = first->tid;
  table_.Free(first);
  Thread* second = Make();
  ASSERT_EQ(second, first);
  EXPECT_NE(second->tid, old);
  EXPECT_EQ(table_.Find(old), nullptr);
  EXPECT_EQ(table_.Find(second->tid), second);
}

TEST_F(ThreadTableTest, IdsStayInTheirRangeHoweverOftenABlockIsReused) {
  std::set<int> ids;
  for (int i = 0; i < 3000; ++i) {
    Thread* thread = Make();
    EXPECT_GE(thread->tid, kLowest);
    EXPECT_LT(thread->tid, kHighest);
    ids.insert(thread->tid);
    table_.Free(thread);
  }
  EXPECT_GT(ids.size(), 200u) << "an id comes again only after many uses of its block";
}

TEST_F(ThreadTableTest, ReusedBlockRemembersNothing) {
  Thread* thread = Make();
  thread->signal_mask = 5;
  thread->pending_signals = 7;
  thread->name[0] = 'x';
  thread->next_placement = 3;
  table_.Free(thread);
  Thread* again = table_.Allocate();
  EXPECT_EQ(again->signal_mask, 0u);
  EXPECT_EQ(again->pending_signals.load(), 0u);
  EXPECT_EQ(again->name[0], '\0');
  EXPECT_EQ(again->next_placement, -1);
}

TEST_F(ThreadTableTest, CountsTheLivingAndAllThereEverWere) {
  Thread* first = Make();
  Make();
  table_.Free(first);
  EXPECT_EQ(table_.alive(), 1u);
  EXPECT_EQ(table_.created(), 2u);
}

TEST_F(ThreadTableTest, ForEachVisitsTheLivingOnceAndStopsWhenTold) {
  std::set<Thread*> made;
  for (int i = 0; i < 10; ++i) made.insert(Make());
  Thread* freed = *made.begin();
  made.erase(made.begin());
  table_.Free(freed);
  std::vector<Thread*> visited = Alive();
  EXPECT_EQ(visited.size(), made.size());
  EXPECT_EQ(std::set<Thread*>(visited.begin(), visited.end()), made);
  int calls = 0;
  table_.ForEach([](Thread*, void* count) { return ++*static_cast<int*>(count) < 3; }, &calls);
  EXPECT_EQ(calls, 3);
}

TEST_F(ThreadTableTest, FindByFsBaseFindsTheLivingOnly) {
  Thread* thread = Make();
  thread->fs_base = 0x1234;
  Thread* done = Make();
  done->fs_base = 0x5678;
  done->state = ThreadState::kDone;
  EXPECT_EQ(table_.FindByFsBase(0x1234), thread);
  EXPECT_EQ(table_.FindByFsBase(0x5678), nullptr);
  EXPECT_EQ(table_.FindByFsBase(0x9abc), nullptr);
}

TEST_F(ThreadTableTest, MainThreadHasTheIdItWasGivenAndItsBlockIsNeverReused) {
  Thread* main = table_.AllocateMain(kMainId);
  main->state = ThreadState::kRunning;
  EXPECT_EQ(table_.Find(kMainId), main);
  table_.Free(main);
  EXPECT_EQ(table_.Find(kMainId), nullptr);
  EXPECT_NE(Make(), main);
}

TEST_F(ThreadTableTest, KeepOnlyLeavesOneAlive) {
  std::vector<int> others;
  for (int i = 0; i < 20; ++i) others.push_back(Make()->tid);
  Thread* keep = Make();
  for (int i = 0; i < 20; ++i) others.push_back(Make()->tid);
  table_.KeepOnly(keep, kChildId);
  EXPECT_EQ(table_.alive(), 1u);
  EXPECT_EQ(Alive(), std::vector<Thread*>{keep});
  EXPECT_EQ(table_.Find(kChildId), keep);
  for (int id : others) EXPECT_EQ(table_.Find(id), nullptr);
}

TEST_F(ThreadTableTest, AfterKeepOnlyThreadsAreMadeAndFreedAsEver) {
  Thread* keep = Make();
  Make();
  table_.KeepOnly(keep, kChildId);
  Thread* next = Make();
  EXPECT_EQ(table_.alive(), 2u);
  EXPECT_EQ(table_.Find(next->tid), next);
  table_.Free(next);
  EXPECT_EQ(Alive(), std::vector<Thread*>{keep});
}

// A chain of forks, each child with many threads, must not use up the table.
TEST_F(ThreadTableTest, KeepOnlyGivesTheBlocksOfTheOthersBack) {
  Thread* keep = Make();
  std::set<Thread*> others;
  for (int i = 0; i < 10; ++i) others.insert(Make());
  table_.KeepOnly(keep, kChildId);
  EXPECT_EQ(others.count(Make()), 1u);
}

// A recursive mutex that two processes share would take the other's thread for its own.
TEST_F(ThreadTableTest, ThreadsOfAParentAndItsChildrenHaveDifferentIds) {
  table_.AllocateMain(kMainId);
  Thread* keep = Make();
  Make();
  std::set<int> ids;
  for (int child = 0; child < 50; ++child) {
    table_.KeepOnly(keep, kChildId + child);
    for (int i = 0; i < 10; ++i) EXPECT_TRUE(ids.insert(Make()->tid).second);
  }
}

TEST_F(ThreadTableTest, AnnouncesEndForTheThreadsOwnWordUntilItIsFreed) {
  uint32_t word = 0, other = 0;
  Thread* thread = Make();
  thread->clear_tid = &word;
  thread->state = ThreadState::kDone;  // as while it leaves its stack
  EXPECT_TRUE(table_.AnnouncesEnd(&word, thread->tid));
  EXPECT_FALSE(table_.AnnouncesEnd(&other, thread->tid));
  EXPECT_FALSE(table_.AnnouncesEnd(&word, thread->tid + 1));
  EXPECT_EQ(table_.Find(thread->tid), nullptr);
}

TEST_F(ThreadTableTest, ManyKernelThreadsAllocateAndFreeAtOnce) {
  constexpr int kThreads = 4;
  std::vector<std::vector<int>> ids(kThreads);
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([this, &ids, t] {
      for (int i = 0; i < 2000; ++i) {
        Thread* thread = table_.Allocate();
        if (i % 2 == 0) {
          table_.Free(thread);
        } else {
          ids[t].push_back(thread->tid);
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  std::set<int> all;
  for (const auto& part : ids) all.insert(part.begin(), part.end());
  EXPECT_EQ(all.size(), 1000u * kThreads) << "two living threads had one id";
  EXPECT_EQ(table_.alive(), 1000u * kThreads);
}

}  // namespace
}  // namespace bobbin
