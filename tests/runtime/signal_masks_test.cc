#include "runtime/signal_masks.h"

#include <iterator>
#include <random>
#include <set>
#include <thread>
#include <utility>
#include <vector>

#include "gtest/gtest.h"

namespace bobbin {
namespace {

// What SignalMasks is to know: the masks of all threads counted.
class Model {
 public:
  void Add(uint64_t mask) { masks_.insert(mask); }
  void Remove(uint64_t mask) { masks_.erase(masks_.find(mask)); }
  uint64_t Intersection() const {
    uint64_t all = ~uint64_t{0};
    for (uint64_t mask : masks_) all &= mask;
    return all;
  }

 private:
  std::multiset<uint64_t> masks_;
};

struct Counted {
  uint64_t mask;
  uint8_t slot;
};

// Adds, changes and removes threads at random with masks out of `kinds`; check() after each step.
template <typename Check>
void Churn(SignalMasks* masks, Model* model, const std::vector<uint64_t>& kinds, int steps,
           Check check) {
  std::mt19937 random(42);
  std::vector<Counted> threads;
  for (int step = 0; step < steps; ++step) {
    uint64_t mask = kinds[random() % kinds.size()];
    size_t which = threads.empty() ? 0 : random() % threads.size();
    unsigned action = threads.empty() ? 0 : random() % 3;
    if (action == 0) {
      threads.push_back({mask, masks->Add(mask)});
      model->Add(mask);
    } else if (action == 1) {
      model->Remove(threads[which].mask);
      model->Add(mask);
      threads[which] = {mask, masks->Change(threads[which].slot, mask)};
    } else {
      masks->Remove(threads[which].slot);
      model->Remove(threads[which].mask);
      threads[which] = threads.back();
      threads.pop_back();
    }
    check();
  }
  for (const Counted& thread : threads) {
    masks->Remove(thread.slot);
    model->Remove(thread.mask);
    check();
  }
}

// Up to 288 masks that have the low bits in common and differ in the others.
std::vector<uint64_t> DistinctMasks(int count) {
  std::vector<uint64_t> masks;
  for (int i = 0; i < count; ++i) {
    masks.push_back(~(uint64_t{1} << (i % 48 + 8)) & ~(uint64_t{1} << (i / 48 % 6 + 58)));
  }
  return masks;
}

TEST(SignalMasks, OneThreadsMaskIsTheIntersection) {
  SignalMasks masks;
  masks.Add(0x5);
  EXPECT_EQ(masks.Intersection(), 0x5u);
}

TEST(SignalMasks, EqualMasksShareASlotAndCount) {
  SignalMasks masks;
  uint8_t first = masks.Add(0x1);
  uint8_t second = masks.Add(0x1);
  uint8_t other = masks.Add(0x3);
  EXPECT_EQ(first, second);
  EXPECT_NE(first, other);
  masks.Remove(first);
  EXPECT_EQ(masks.Intersection(), 0x1u) << "one thread with the mask is left";
  masks.Remove(second);
  EXPECT_EQ(masks.Intersection(), 0x3u);
}

TEST(SignalMasks, ChangeToTheSameMaskKeepsTheCount) {
  SignalMasks masks;
  uint8_t slot = masks.Add(0x7);
  masks.Add(0xf);
  slot = masks.Change(slot, 0x7);
  EXPECT_EQ(masks.Intersection(), 0x7u);
  masks.Remove(slot);
  EXPECT_EQ(masks.Intersection(), 0xfu);
}

TEST(SignalMasks, IntersectionIsExactWithFewDistinctMasks) {
  SignalMasks masks;
  Model model;
  Churn(&masks, &model, DistinctMasks(16), 20000,
        [&] { ASSERT_EQ(masks.Intersection(), model.Intersection()); });
}

TEST(SignalMasks, WithMoreDistinctMasksThanSlotsNothingIsBlockedThatSomebodyWants) {
  SignalMasks masks;
  Model model;
  Churn(&masks, &model, DistinctMasks(200), 20000,
        [&] { ASSERT_EQ(masks.Intersection() & ~model.Intersection(), 0u); });
}

TEST(SignalMasks, IsExactAgainWhenThoseWithoutASlotLeft) {
  SignalMasks masks;
  std::vector<uint8_t> slots;
  for (uint64_t mask : DistinctMasks(100)) slots.push_back(masks.Add(mask));
  EXPECT_EQ(masks.Intersection(), 0u);
  while (slots.size() > 3) {
    masks.Remove(slots.back());
    slots.pop_back();
  }
  std::vector<uint64_t> left = DistinctMasks(3);
  EXPECT_EQ(masks.Intersection(), left[0] & left[1] & left[2]);
}

TEST(SignalMasks, SlotsOfThoseWhoLeftAreUsedAgain) {
  SignalMasks masks;
  for (uint64_t mask : DistinctMasks(500)) masks.Remove(masks.Add(mask));
  masks.Add(0x11);
  EXPECT_EQ(masks.Intersection(), 0x11u);
}

TEST(SignalMasks, ResetCountsOneThreadWhateverWasBefore) {
  SignalMasks masks;
  for (uint64_t mask : DistinctMasks(100)) masks.Add(mask);
  uint8_t slot = masks.Reset(0x21);
  EXPECT_EQ(masks.Intersection(), 0x21u);
  masks.Change(slot, 0x1);
  EXPECT_EQ(masks.Intersection(), 0x1u);
}

TEST(SignalMasks, ManyThreadsLeaveItAsTheyFoundIt) {
  SignalMasks masks;
  masks.Add(0xff);
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&masks, t] {
      uint8_t slot = masks.Add(uint64_t{1} << t);
      for (int i = 0; i < 5000; ++i) slot = masks.Change(slot, uint64_t(i) % 50 << t);
      masks.Remove(slot);
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(masks.Intersection(), 0xffu);
}

}  // namespace
}  // namespace bobbin
