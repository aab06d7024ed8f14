#include "knot/group.h"

#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <utility>

#include "knot/clock.h"
#include "tests/knot/support/server_process.h"

namespace knot {
namespace {

// Thousands of threads may wait for their turn; a tenth of a second each would take hours here.
TEST(AcceptBackOff, LetsEveryThreadGoOnceTheServerStops) {
  AcceptBackOff back_off;
  std::atomic<bool> stopping{false};
  back_off.Wait(stopping);
  stopping.store(true);
  for (int i = 0; i < 100'000; ++i) back_off.Wait(stopping);
}

class GroupSlotTest : public testing::Test {
 protected:
  static void SetUpTestSuite() { ASSERT_TRUE(StartClock().ok()); }

  GroupSlotTest() { test::WriteFile(directory_ / "file", "contents"); }

  std::shared_ptr<Group> MakeGroup() {
    auto configuration = std::make_shared<Configuration>();
    configuration->sites = *Sites::Open(directory_.path(), {});
    FileCache::Limits limits;
    limits.bytes = 1 << 20;
    limits.in_memory = 1 << 16;
    return std::make_shared<Group>(traffic_, std::move(configuration), limits);
  }

  test::TempDirectory directory_;
  Traffic traffic_;
};

// R1, R2
TEST_F(GroupSlotTest, GivesTheOneInForceAndLeavesThoseInUse) {
  std::shared_ptr<Group> first = MakeGroup(), second = MakeGroup();
  GroupSlot slot(first);
  EXPECT_EQ(slot.Get(), first);
  EXPECT_FALSE(first->replaced.load());
  slot.Replace(second);
  EXPECT_EQ(slot.Get(), second);
  EXPECT_TRUE(first->replaced.load());
  EXPECT_FALSE(second->replaced.load());
  EXPECT_EQ(first->files.Get("file", SecondsNow()).status, 200);
  EXPECT_EQ(&first->counters, &second->counters);
}

TEST_F(GroupSlotTest, CountsThoseThatAreStillUsed) {
  GroupSlot slot(MakeGroup());
  std::shared_ptr<Group> user = slot.Get();
  EXPECT_EQ(slot.InUse(), 0u);
  slot.Replace(MakeGroup());
  EXPECT_EQ(slot.InUse(), 1u);
  slot.Replace(MakeGroup());  // nobody has used the second
  EXPECT_EQ(slot.InUse(), 1u);
  user = nullptr;
  EXPECT_EQ(slot.InUse(), 0u);
}

// R3
TEST_F(GroupSlotTest, KeepsNoFilesOfTheReplacedButThoseThatAreSent) {
  GroupSlot slot(MakeGroup());
  std::shared_ptr<Group> old = slot.Get();
  FileRef sent = old->files.Get("file", SecondsNow()).file;
  ASSERT_NE(sent, nullptr);
  EXPECT_EQ(old->files.GetCounts().entries, 1u);
  slot.Replace(MakeGroup());
  EXPECT_EQ(old->files.GetCounts().entries, 0u);
  EXPECT_GT(old->files.GetCounts().bytes, 0u);
  EXPECT_EQ(sent->reply.substr(sent->head_size), "contents");
  sent = nullptr;
  EXPECT_EQ(old->files.GetCounts().bytes, 0u);
}

}  // namespace
}  // namespace knot
