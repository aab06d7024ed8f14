#include "runtime/timers.h"

#include <algorithm>
#include <cstring>
#include <iterator>
#include <map>
#include <memory>
#include <random>
#include <set>
#include <vector>

#include "gtest/gtest.h"

namespace bobbin {
namespace {

std::multiset<TimerEntry*> ExpireAll(Timers* timers, uint64_t now) {
  std::multiset<TimerEntry*> expired;
  while (TimerEntry* entry = timers->Expire(now)) expired.insert(entry);
  return expired;
}

TEST(Timers, EmptyHeapHasNoNextTimeAndExpiresNothing) {
  Timers timers;
  ASSERT_TRUE(timers.Init(8));
  EXPECT_EQ(timers.NextTime(), kNever);
  EXPECT_EQ(timers.Expire(kNever), nullptr);
}

TEST(Timers, EntryIsReportedOnceAtItsDeadlineAndIsThenIdle) {
  Timers timers;
  ASSERT_TRUE(timers.Init(8));
  TimerEntry entry;
  timers.Arm(&entry, 100);
  EXPECT_EQ(timers.NextTime(), 100u);
  EXPECT_EQ(timers.Expire(99), nullptr);
  EXPECT_EQ(timers.Expire(100), &entry);
  EXPECT_EQ(entry.deadline, kNever);
  EXPECT_EQ(entry.heap_index, 0u);
  EXPECT_EQ(timers.Expire(1000), nullptr);
}

// T1
TEST(Timers, EntryPushedForwardIsNotReportedEarly) {
  Timers timers;
  ASSERT_TRUE(timers.Init(8));
  TimerEntry pushed, other;
  timers.Arm(&pushed, 100);
  timers.Arm(&other, 150);
  timers.Arm(&pushed, 200);
  EXPECT_EQ(timers.Expire(120), nullptr);
  EXPECT_EQ(timers.Expire(160), &other);
  EXPECT_EQ(timers.Expire(199), nullptr);
  EXPECT_EQ(timers.Expire(200), &pushed);
}

TEST(Timers, PushingForwardLeavesTheHeapAlone) {
  Timers timers;
  ASSERT_TRUE(timers.Init(8));
  TimerEntry entry;
  timers.Arm(&entry, 100);
  timers.Arm(&entry, 200);
  EXPECT_EQ(timers.NextTime(), 100u);
  EXPECT_EQ(timers.Expire(100), nullptr);
  EXPECT_EQ(timers.NextTime(), 200u);
}

// T2
TEST(Timers, EntryArmedEarlierThanQueuedIsReportedAtTheEarlierTime) {
  Timers timers;
  ASSERT_TRUE(timers.Init(8));
  TimerEntry entries[5];
  for (int i = 0; i < 5; ++i) timers.Arm(&entries[i], 100 * (i + 1));
  timers.Arm(&entries[4], 50);
  EXPECT_EQ(timers.NextTime(), 50u);
  EXPECT_EQ(timers.count(), 5u);
  EXPECT_EQ(timers.Expire(60), &entries[4]);
}

// T3
TEST(Timers, RemovedEntryIsNeverTouchedAgain) {
  constexpr int kEntries = 64;
  for (int removed = 0; removed < kEntries; ++removed) {
    Timers timers;
    ASSERT_TRUE(timers.Init(kEntries));
    std::vector<TimerEntry> entries(kEntries);
    for (int i = 0; i < kEntries; ++i) timers.Arm(&entries[i], 10 + (i * 37) % kEntries);
    timers.Remove(&entries[removed]);
    EXPECT_EQ(entries[removed].heap_index, 0u);
    unsigned char pattern[sizeof(TimerEntry)];
    std::memset(pattern, 0xa5, sizeof pattern);
    std::memcpy(static_cast<void*>(&entries[removed]), pattern, sizeof pattern);
    std::multiset<TimerEntry*> expired = ExpireAll(&timers, 1000);
    EXPECT_EQ(expired.size(), kEntries - 1u);
    EXPECT_EQ(expired.count(&entries[removed]), 0u);
    EXPECT_EQ(std::memcmp(&entries[removed], pattern, sizeof pattern), 0);
  }
}

TEST(Timers, RemoveOfAnIdleEntryDoesNothing) {
  Timers timers;
  ASSERT_TRUE(timers.Init(8));
  TimerEntry queued, idle;
  timers.Arm(&queued, 100);
  timers.Remove(&idle);
  EXPECT_EQ(timers.count(), 1u);
  EXPECT_EQ(timers.Expire(100), &queued);
}

TEST(Timers, ClearForgetsEveryEntryWithoutTouchingIt) {
  Timers timers;
  ASSERT_TRUE(timers.Init(8));
  TimerEntry survivor, gone;
  timers.Arm(&gone, 100);
  timers.Arm(&survivor, 200);
  timers.Remove(&survivor);
  timers.Clear();
  EXPECT_EQ(gone.deadline, 100u);
  EXPECT_EQ(timers.Expire(1000), nullptr);
  timers.Arm(&survivor, 300);
  EXPECT_EQ(timers.Expire(300), &survivor);
}

TEST(Timers, DisarmedEntryIsForgottenWhenItsTimeComes) {
  Timers timers;
  ASSERT_TRUE(timers.Init(8));
  TimerEntry entry;
  timers.Arm(&entry, 100);
  timers.Disarm(&entry);
  EXPECT_EQ(timers.count(), 1u);
  EXPECT_EQ(timers.Expire(100), nullptr);
  EXPECT_EQ(timers.count(), 0u);
  EXPECT_EQ(entry.heap_index, 0u);
}

TEST(Timers, EntryDisarmedAndArmedAgainIsReportedAtTheNewDeadline) {
  Timers timers;
  ASSERT_TRUE(timers.Init(8));
  TimerEntry entry;
  timers.Arm(&entry, 100);
  timers.Disarm(&entry);
  timers.Arm(&entry, 300);
  EXPECT_EQ(timers.Expire(299), nullptr);
  EXPECT_EQ(timers.Expire(300), &entry);
}

TEST(Timers, ArmForNeverQueuesNothing) {
  Timers timers;
  ASSERT_TRUE(timers.Init(8));
  TimerEntry entry;
  timers.Arm(&entry, kNever);
  EXPECT_EQ(timers.count(), 0u);
  EXPECT_EQ(timers.Expire(kNever), nullptr);
}

TEST(Timers, LatestDeadlineBeforeNeverIsReported) {
  Timers timers;
  ASSERT_TRUE(timers.Init(8));
  TimerEntry entry;
  timers.Arm(&entry, kNever - 1);
  EXPECT_EQ(timers.Expire(kNever - 2), nullptr);
  EXPECT_EQ(timers.Expire(kNever - 1), &entry);
}

TEST(Timers, HoldsAsManyEntriesAsItWasToldAndReportsAllInOrderOfTime) {
  constexpr size_t kEntries = 100000;
  Timers timers;
  ASSERT_TRUE(timers.Init(kEntries));
  std::vector<TimerEntry> entries(kEntries);
  std::mt19937 random(1);
  for (TimerEntry& entry : entries) timers.Arm(&entry, 1 + random() % 1000000);
  EXPECT_EQ(timers.count(), kEntries);
  uint64_t now = 0;
  size_t reported = 0;
  while (timers.NextTime() != kNever) {
    EXPECT_GE(timers.NextTime(), now);
    now = timers.NextTime();
    while (timers.Expire(now) != nullptr) ++reported;
  }
  EXPECT_EQ(reported, kEntries);
}

TEST(TimersDeathTest, OneEntryTooManyAbortsWithAMessage) {
  Timers timers;
  ASSERT_TRUE(timers.Init(2));
  TimerEntry entries[3];
  timers.Arm(&entries[0], 1);
  timers.Arm(&entries[1], 2);
  EXPECT_DEATH(timers.Arm(&entries[2], 3), "more timers are queued than");
}

// Does at random what a scheduler does, and compares each answer with a plain ordered map of
// deadlines.
class TimersModel {
 public:
  explicit TimersModel(unsigned seed) : random_(seed), entries_(kEntries) {
    EXPECT_TRUE(timers_.Init(kEntries));
  }

  void Step() {
    TimerEntry* entry = &entries_[random_() % kEntries];
    switch (random_() % 8) {
      case 0:
        timers_.Remove(entry);
        Forget(entry);
        EXPECT_EQ(entry->heap_index, 0u);
        break;
      case 1:
        timers_.Disarm(entry);
        Forget(entry);
        break;
      case 2:
        now_ += random_() % 50;
        ExpireAndCompare();
        break;
      default:
        uint64_t deadline = now_ + random_() % 400;
        timers_.Arm(entry, deadline);
        Forget(entry);
        model_.emplace(deadline, entry);
    }
    ASSERT_LE(timers_.count(), kEntries);
    ASSERT_LE(timers_.NextTime(), model_.empty() ? kNever : model_.begin()->first);  // T2
  }

  void Finish() {
    now_ += 1000;
    ExpireAndCompare();
    EXPECT_TRUE(model_.empty());
    EXPECT_EQ(timers_.count(), 0u);
  }

 private:
  static constexpr size_t kEntries = 150;

  void Forget(TimerEntry* entry) {
    auto found = std::find_if(model_.begin(), model_.end(),
                              [entry](const auto& armed) { return armed.second == entry; });
    if (found != model_.end()) model_.erase(found);
  }

  void ExpireAndCompare() {
    std::multiset<TimerEntry*> due;
    auto end = model_.upper_bound(now_);
    for (auto armed = model_.begin(); armed != end; ++armed) due.insert(armed->second);
    model_.erase(model_.begin(), end);
    ASSERT_EQ(ExpireAll(&timers_, now_), due);
  }

  std::mt19937 random_;
  std::vector<TimerEntry> entries_;
  std::multimap<uint64_t, TimerEntry*> model_;
  Timers timers_;
  uint64_t now_ = 0;
};

TEST(Timers, AgreesWithAnOrderedMapWhateverIsDone) {
  for (unsigned seed = 0; seed < 20; ++seed) {
    TimersModel model(seed);
    for (int step = 0; step < 5000 && !testing::Test::HasFatalFailure(); ++step) model.Step();
    model.Finish();
  }
}

}  // namespace
}  // namespace bobbin
