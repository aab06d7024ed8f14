#include "runtime/stack_arena.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "gtest/gtest.h"

namespace bobbin {
namespace {

constexpr size_t kPage = 4096;
constexpr size_t kKiB = 1024;
constexpr size_t kMiB = 1024 * kKiB;
constexpr size_t kGiB = 1024 * kMiB;
constexpr int kOpen = PROT_READ | PROT_WRITE;

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kSanitized = true;
#else
constexpr bool kSanitized = false;
#endif

char* At(void* block, size_t offset) { return static_cast<char*>(block) + offset; }

// Whether the kernel, asked to read or to write the byte, meets a fault there.
bool Faults(void* address) {
  static int pipe_ends[2] = {-1, -1};
  if (pipe_ends[0] < 0 && pipe2(pipe_ends, O_NONBLOCK) != 0) abort();
  char byte;
  bool unreadable = write(pipe_ends[1], address, 1) < 0;
  if (!unreadable && read(pipe_ends[0], &byte, 1) != 1) abort();
  if (write(pipe_ends[1], "", 1) != 1) abort();
  char saved = unreadable ? 0 : byte;
  bool unwritable = read(pipe_ends[0], address, 1) < 0;
  if (unwritable && read(pipe_ends[0], &byte, 1) != 1) abort();
  if (!unwritable) *static_cast<volatile char*>(address) = saved;
  return unreadable && unwritable;
}

bool AllZero(const void* from, size_t bytes) {
  const char* begin = static_cast<const char*>(from);
  return std::all_of(begin, begin + bytes, [](char byte) { return byte == 0; });
}

size_t Mappings() {
  std::ifstream maps("/proc/self/maps");
  return std::count(std::istreambuf_iterator<char>(maps), std::istreambuf_iterator<char>(), '\n');
}

// Each test runs with the guards the kernel offers and with those of kernels before 6.13.
class StackArenaTest : public testing::TestWithParam<bool> {
 protected:
  void SetUp() override { ASSERT_TRUE(arena_.Init(4 * kGiB, GetParam())); }

  // What pthread_create does: map, then open all but the guard.
  void* AllocateGuarded(size_t size, size_t guard) {
    void* block = arena_.Allocate(size);
    if (block == nullptr) return nullptr;
    EXPECT_EQ(arena_.Protect(At(block, guard), size - guard, kOpen), 0);
    return block;
  }

  size_t GuardOf(void* address) {
    StackBlock block;
    EXPECT_TRUE(arena_.FindBlock(address, &block));
    return block.guard;
  }

  StackArena arena_;
};

INSTANTIATE_TEST_SUITE_P(Guards, StackArenaTest, testing::Bool(),
                         [](const auto& light) { return light.param ? "Light" : "Mprotect"; });

TEST(StackArena, ContainsNothingBeforeInit) {
  StackArena arena;
  int local = 0;
  StackBlock block;
  EXPECT_FALSE(arena.Contains(&local));
  EXPECT_FALSE(arena.FindBlock(&local, &block));
  EXPECT_EQ(arena.Allocate(64 * kKiB), nullptr);
  EXPECT_FALSE(arena.Release(&local, 64 * kKiB));
}

TEST(StackArena, UsesLightGuardsWhereTheKernelHasThem) {
  constexpr int kMadvGuardInstall = 102;
  void* page = mmap(nullptr, kPage, kOpen, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  ASSERT_NE(page, MAP_FAILED);
  bool kernel_has_them = madvise(page, kPage, kMadvGuardInstall) == 0;
  munmap(page, kPage);
  StackArena arena, plain;
  ASSERT_TRUE(arena.Init(kGiB));
  ASSERT_TRUE(plain.Init(kGiB, false));
  EXPECT_EQ(arena.light_guards(), kernel_has_them);
  EXPECT_FALSE(plain.light_guards());
}

TEST(StackArena, ReservesLessWhereALimitSaysSo) {
  if (kSanitized) GTEST_SKIP() << "a sanitizer reserves terabytes itself";
  auto initialise_under_limit = [] {
    rlimit limit{20 * kGiB, 20 * kGiB};
    setrlimit(RLIMIT_AS, &limit);
    StackArena arena;
    bool less = arena.Init(64 * kGiB) && arena.bytes() >= kGiB && arena.bytes() < 64 * kGiB;
    _exit(less && arena.Allocate(8 * kMiB) != nullptr ? 0 : 1);
  };
  EXPECT_EXIT(initialise_under_limit(), testing::ExitedWithCode(0), "");
}

TEST(StackArena, RefusesSizesThatAreNoPagesOrDoNotFit) {
  StackArena arena;
  ASSERT_TRUE(arena.Init(128 * kMiB));
  EXPECT_EQ(arena.Allocate(0), nullptr);
  EXPECT_EQ(arena.Allocate(kPage + 1), nullptr);
  EXPECT_EQ(arena.Allocate(129 * kMiB), nullptr);
  EXPECT_EQ(arena.Allocate(~size_t{0} - kPage + 1), nullptr);
  EXPECT_NE(arena.Allocate(128 * kMiB), nullptr);
}

TEST(StackArena, FullArenaReturnsNullUntilABlockIsReleased) {
  StackArena arena;
  ASSERT_TRUE(arena.Init(128 * kMiB));
  std::vector<void*> blocks;
  while (void* block = arena.Allocate(8 * kMiB)) blocks.push_back(block);
  EXPECT_EQ(blocks.size(), 16u);
  EXPECT_EQ(arena.blocks(), 16u);
  EXPECT_EQ(arena.Allocate(64 * kKiB), nullptr);
  EXPECT_TRUE(arena.Release(blocks[3], 8 * kMiB));
  EXPECT_EQ(arena.Allocate(8 * kMiB), blocks[3]);
}

TEST(StackArena, KeepsFreeListsForAFixedNumberOfSizes) {
  StackArena arena;
  ASSERT_TRUE(arena.Init(8 * kGiB));
  for (int i = 1; i <= StackArena::kSizes; ++i) EXPECT_NE(arena.Allocate(i * kPage), nullptr);
  EXPECT_EQ(arena.Allocate((StackArena::kSizes + 1) * kPage), nullptr);
  EXPECT_NE(arena.Allocate(kPage), nullptr);
}

// A1
TEST_P(StackArenaTest, BlocksOfMixedSizesDoNotOverlapAndLieInside) {
  const size_t sizes[] = {kPage, 20 * kKiB, 64 * kKiB, kMiB, 8 * kMiB + kPage, 96 * kMiB};
  std::vector<StackBlock> blocks;
  std::mt19937 random(2);
  for (int i = 0; i < 20000; ++i) {
    size_t size = sizes[random() % (i % 500 == 0 ? 6 : 3)];
    void* address = arena_.Allocate(size);
    if (address == nullptr) continue;
    EXPECT_TRUE(arena_.Contains(address));
    EXPECT_TRUE(arena_.Contains(At(address, size - 1)));
    blocks.push_back({reinterpret_cast<uintptr_t>(address), size, 0});
  }
  EXPECT_GT(blocks.size(), 19000u);
  std::sort(blocks.begin(), blocks.end(),
            [](const StackBlock& a, const StackBlock& b) { return a.base < b.base; });
  for (size_t i = 1; i < blocks.size(); ++i) {
    ASSERT_LE(blocks[i - 1].base + blocks[i - 1].size, blocks[i].base);
  }
}

// A2, first half
TEST_P(StackArenaTest, GuardFaultsAndTheRestDoesNot) {
  char* block = static_cast<char*>(AllocateGuarded(64 * kKiB, 2 * kPage));
  EXPECT_TRUE(Faults(block));
  EXPECT_TRUE(Faults(block + 2 * kPage - 1));
  EXPECT_FALSE(Faults(block + 2 * kPage));
  EXPECT_FALSE(Faults(block + 64 * kKiB - 1));
  EXPECT_EQ(GuardOf(block), 2 * kPage);
}

TEST_P(StackArenaTest, TouchingAGuardKills) {
  volatile char* block = static_cast<char*>(AllocateGuarded(64 * kKiB, kPage));
  block[kPage] = 1;
  EXPECT_DEATH(block[kPage - 1] = 1, "");
}

// A2, second half
TEST_P(StackArenaTest, BlockHandedOutAgainReadsAsZeroAndKeepsItsGuard) {
  char* block = static_cast<char*>(AllocateGuarded(64 * kKiB, kPage));
  std::fill(block + kPage, block + 64 * kKiB, 'x');
  ASSERT_TRUE(arena_.Release(block, 64 * kKiB));
  ASSERT_EQ(arena_.Allocate(64 * kKiB), block);
  EXPECT_EQ(GuardOf(block), kPage);
  EXPECT_TRUE(Faults(block));
  EXPECT_TRUE(AllZero(block + kPage, 64 * kKiB - kPage));
  EXPECT_EQ(arena_.Protect(block + kPage, 64 * kKiB - kPage, kOpen), 0);
  EXPECT_TRUE(Faults(block));
}

TEST_P(StackArenaTest, BlockReusedWithoutAGuardIsZeroToItsLowEnd) {
  char* block = static_cast<char*>(arena_.Allocate(64 * kKiB));
  ASSERT_EQ(arena_.Protect(block, 64 * kKiB, kOpen), 0);
  std::fill(block, block + 64 * kKiB, 'x');
  ASSERT_EQ(arena_.Protect(block, 4 * kPage, PROT_NONE), 0);  // the guard goes over used bytes
  EXPECT_TRUE(Faults(block));
  ASSERT_TRUE(arena_.Release(block, 64 * kKiB));
  ASSERT_EQ(arena_.Allocate(64 * kKiB), block);
  ASSERT_EQ(arena_.Protect(block, 64 * kKiB, kOpen), 0);
  EXPECT_EQ(GuardOf(block), 0u);
  EXPECT_TRUE(AllZero(block, 64 * kKiB));
}

TEST_P(StackArenaTest, ReleasedBlockHoldsNoMemory) {
  char* block = static_cast<char*>(AllocateGuarded(kMiB, kPage));
  std::fill(block + kPage, block + kMiB, 'x');
  StackBlock found;
  ASSERT_TRUE(arena_.FindBlock(block, &found));
  EXPECT_EQ(StackArena::ResidentBytes(found), kMiB - kPage);
  ASSERT_TRUE(arena_.Release(block, kMiB));
  EXPECT_EQ(StackArena::ResidentBytes(found), 0u);
}

TEST_P(StackArenaTest, ResidentBytesCountsTouchedPagesOnly) {
  char* block = static_cast<char*>(AllocateGuarded(8 * kMiB, kPage));
  StackBlock found;
  ASSERT_TRUE(arena_.FindBlock(block, &found));
  EXPECT_EQ(StackArena::ResidentBytes(found), 0u);
  block[8 * kMiB - 1] = 1;
  block[4 * kMiB] = 1;
  block[kPage] = 1;
  EXPECT_EQ(StackArena::ResidentBytes(found), 3 * kPage);
}

TEST_P(StackArenaTest, LastReleasedBlockIsHandedOutFirst) {
  void* first = arena_.Allocate(64 * kKiB);
  void* second = arena_.Allocate(64 * kKiB);
  ASSERT_TRUE(arena_.Release(first, 64 * kKiB));
  ASSERT_TRUE(arena_.Release(second, 64 * kKiB));
  EXPECT_EQ(arena_.Allocate(64 * kKiB), second);
  EXPECT_EQ(arena_.Allocate(64 * kKiB), first);
  EXPECT_EQ(arena_.blocks(), 2u);
}

TEST_P(StackArenaTest, ReleaseTakesOnlyExactlyOneHeldBlock) {
  char* block = static_cast<char*>(arena_.Allocate(64 * kKiB));
  int local = 0;
  EXPECT_FALSE(arena_.Release(block, 32 * kKiB));
  EXPECT_FALSE(arena_.Release(block, 128 * kKiB));
  EXPECT_FALSE(arena_.Release(block + kPage, 64 * kKiB));
  EXPECT_FALSE(arena_.Release(block + 64 * kKiB, 64 * kKiB));
  EXPECT_FALSE(arena_.Release(block + kGiB, 64 * kKiB));
  EXPECT_FALSE(arena_.Release(&local, 64 * kKiB));
  EXPECT_TRUE(arena_.Release(block, 64 * kKiB));
  EXPECT_FALSE(arena_.Release(block, 64 * kKiB));
}

// A3
TEST_P(StackArenaTest, FindBlockNamesTheBlockOfEveryEdge) {
  for (size_t size : {20 * kKiB, 64 * kKiB, 8 * kMiB + kPage, 96 * kMiB}) {
    std::vector<char*> blocks;
    for (int i = 0; i < 9; ++i) blocks.push_back(static_cast<char*>(AllocateGuarded(size, kPage)));
    for (char* block : blocks) {
      for (size_t offset : {size_t{0}, size_t{1}, kPage - 1, kPage, size / 2, size - 1}) {
        StackBlock found;
        ASSERT_TRUE(arena_.FindBlock(block + offset, &found));
        EXPECT_EQ(found.base, reinterpret_cast<uintptr_t>(block));
        EXPECT_EQ(found.size, size);
        EXPECT_EQ(found.guard, kPage);
      }
    }
    StackBlock found;
    char* behind = *std::max_element(blocks.begin(), blocks.end()) + size;
    EXPECT_FALSE(arena_.FindBlock(behind, &found));
    ASSERT_TRUE(arena_.Release(blocks[4], size));
    EXPECT_FALSE(arena_.FindBlock(blocks[4], &found));
    if (blocks[3] + size != blocks[4]) continue;  // not neighbours: the large ones have a slab each
    ASSERT_TRUE(arena_.FindBlock(blocks[4] - 1, &found));
    EXPECT_EQ(found.base, reinterpret_cast<uintptr_t>(blocks[3]));
  }
}

TEST(StackArena, FindBlockNamesNothingBehindASlabsLastBlock) {
  StackArena arena;
  ASSERT_TRUE(arena.Init(128 * kMiB));
  constexpr size_t kSize = 8 * kMiB + kPage;  // seven fill 64 MiB but for eight megabytes
  char* block = nullptr;
  for (int i = 0; i < 7; ++i) block = static_cast<char*>(arena.Allocate(kSize));
  StackBlock found;
  EXPECT_TRUE(arena.FindBlock(block + kSize - 1, &found));
  EXPECT_FALSE(arena.FindBlock(block + kSize, &found));
  EXPECT_FALSE(arena.Release(block + kSize, kSize));
  EXPECT_EQ(arena.Protect(block + kSize, kPage, PROT_NONE), -ENOMEM);
}

TEST_P(StackArenaTest, ProtectRefusesWhatIsNotInOneHeldBlock) {
  char* block = static_cast<char*>(AllocateGuarded(64 * kKiB, kPage));
  ASSERT_NE(AllocateGuarded(64 * kKiB, kPage), nullptr);  // its neighbour
  EXPECT_EQ(arena_.Protect(block + 1, kPage, kOpen), -EINVAL);
  EXPECT_EQ(arena_.Protect(block, 64 * kKiB + 1, kOpen), -ENOMEM);
  EXPECT_EQ(arena_.Protect(block + 60 * kKiB, 8 * kKiB, PROT_NONE), -ENOMEM);
  EXPECT_EQ(arena_.Protect(block, ~size_t{0}, PROT_NONE), -ENOMEM);
  EXPECT_EQ(arena_.Protect(block + kGiB, kPage, PROT_NONE), -ENOMEM);
  EXPECT_EQ(arena_.Protect(block, 0, PROT_NONE), 0);
  ASSERT_TRUE(arena_.Release(block, 64 * kKiB));
  EXPECT_EQ(arena_.Protect(block, kPage, PROT_NONE), -ENOMEM);
}

TEST_P(StackArenaTest, ClosingFromTheLowEndGrowsTheGuard) {
  char* block = static_cast<char*>(AllocateGuarded(64 * kKiB, kPage));
  EXPECT_EQ(arena_.Protect(block, 3 * kPage, PROT_NONE), 0);
  EXPECT_EQ(GuardOf(block), 3 * kPage);
  EXPECT_TRUE(Faults(block + 3 * kPage - 1));
  EXPECT_EQ(arena_.Protect(block + 3 * kPage, 100, PROT_NONE), 0);  // Linux rounds a length up
  EXPECT_EQ(GuardOf(block), 4 * kPage);
  EXPECT_EQ(arena_.Protect(block, kPage, PROT_NONE), 0);
  EXPECT_EQ(GuardOf(block), 4 * kPage);
  EXPECT_TRUE(Faults(block + 4 * kPage - 1));
  EXPECT_FALSE(Faults(block + 4 * kPage));
}

TEST_P(StackArenaTest, OpeningTheUpperPartOfTheGuardShrinksIt) {
  char* block = static_cast<char*>(AllocateGuarded(64 * kKiB, 4 * kPage));
  EXPECT_EQ(arena_.Protect(block + kPage, 3 * kPage, kOpen), 0);
  EXPECT_EQ(GuardOf(block), kPage);
  EXPECT_TRUE(Faults(block + kPage - 1));
  EXPECT_FALSE(Faults(block + kPage));
  EXPECT_FALSE(Faults(block + 4 * kPage - 1));
}

TEST_P(StackArenaTest, ReuseWithAnotherGuardSizeSetsThatSize) {
  char* block = static_cast<char*>(AllocateGuarded(64 * kKiB, 2 * kPage));
  for (size_t guard : {4 * kPage, kPage, size_t{0}, 2 * kPage}) {
    ASSERT_TRUE(arena_.Release(block, 64 * kKiB));
    ASSERT_EQ(AllocateGuarded(64 * kKiB, guard), block);
    EXPECT_EQ(GuardOf(block), guard);
    EXPECT_EQ(Faults(block), guard > 0);
    EXPECT_FALSE(Faults(block + guard));
    EXPECT_EQ(Faults(block + (guard > 0 ? guard - 1 : 0)), guard > 0);
  }
}

TEST_P(StackArenaTest, HoleInTheGuardOpensOnlyTheHole) {
  char* block = static_cast<char*>(AllocateGuarded(64 * kKiB, 4 * kPage));
  EXPECT_EQ(arena_.Protect(block + kPage, kPage, kOpen), 0);
  EXPECT_TRUE(Faults(block));
  EXPECT_FALSE(Faults(block + kPage));
  EXPECT_TRUE(Faults(block + 2 * kPage));
  EXPECT_EQ(GuardOf(block), kPage);
}

TEST_P(StackArenaTest, OtherProtectionsHoldUntilRelease) {
  char* block = static_cast<char*>(AllocateGuarded(64 * kKiB, kPage));
  EXPECT_EQ(arena_.Protect(block + 8 * kPage, kPage, PROT_NONE), 0);
  EXPECT_TRUE(Faults(block + 8 * kPage));
  EXPECT_FALSE(Faults(block + 9 * kPage));
  EXPECT_EQ(GuardOf(block), kPage);
  EXPECT_EQ(arena_.Protect(block + 8 * kPage, kPage, kOpen), 0);
  EXPECT_FALSE(Faults(block + 8 * kPage));
  EXPECT_EQ(arena_.Protect(block + 8 * kPage, kPage, PROT_NONE), 0);
  ASSERT_TRUE(arena_.Release(block, 64 * kKiB));
  ASSERT_EQ(AllocateGuarded(64 * kKiB, kPage), block);
  EXPECT_FALSE(Faults(block + 8 * kPage));
  EXPECT_TRUE(AllZero(block + kPage, 64 * kKiB - kPage));
}

TEST_P(StackArenaTest, HundredThousandGuardedStacksCostNoMappings) {
  StackArena arena;
  ASSERT_TRUE(arena.Init(16 * kGiB, GetParam()));
  // Without light guards each costs two of the 65,530 mappings a process may have by default.
  const size_t count = arena.light_guards() ? 100000 : 20000;
  const size_t before = Mappings();
  for (size_t i = 0; i < count; ++i) {
    void* block = arena.Allocate(64 * kKiB);
    ASSERT_NE(block, nullptr);
    ASSERT_EQ(arena.Protect(At(block, kPage), 64 * kKiB - kPage, kOpen), 0);
  }
  EXPECT_EQ(arena.blocks(), count);
  EXPECT_LT(Mappings() - before, arena.light_guards() ? 10u : 2 * count + 10);
}

TEST_P(StackArenaTest, ThreadsAllocateAndReleaseWithoutSharingABlock) {
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([this, t] {
      std::mt19937 random(t);
      std::vector<std::pair<char*, size_t>> held;
      for (int i = 0; i < 4000; ++i) {
        if (held.size() < 20 && random() % 2 == 0) {
          size_t size = (random() % 2 == 0 ? 64 : 20) * kKiB;
          char* block = static_cast<char*>(AllocateGuarded(size, kPage));
          ASSERT_NE(block, nullptr);
          ASSERT_EQ(block[kPage], 0);
          block[kPage] = block[size - 1] = static_cast<char>(t + 1);
          held.emplace_back(block, size);
        } else if (!held.empty()) {
          auto [block, size] = held.back();
          held.pop_back();
          StackBlock found;
          ASSERT_TRUE(arena_.FindBlock(block + size / 2, &found));
          ASSERT_EQ(block[kPage], t + 1);
          ASSERT_EQ(block[size - 1], t + 1);
          ASSERT_TRUE(arena_.Release(block, size));
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

TEST_P(StackArenaTest, FindBlockIsRightWhileSlabsAreAdded) {
  char* block = static_cast<char*>(arena_.Allocate(64 * kKiB));
  std::atomic<bool> stop{false};
  bool always_right = true;
  std::thread finder([&] {
    while (!stop.load()) {
      StackBlock found;
      always_right &= arena_.FindBlock(block + 100, &found) &&
                      found.base == reinterpret_cast<uintptr_t>(block) && found.size == 64 * kKiB;
    }
  });
  for (int i = 0; i < 20000; ++i) EXPECT_NE(arena_.Allocate(64 * kKiB), nullptr);
  stop.store(true);
  finder.join();
  EXPECT_TRUE(always_right);
}

TEST_P(StackArenaTest, ForkedChildUsesItsCopyOfTheArena) {
  char* block = static_cast<char*>(AllocateGuarded(64 * kKiB, kPage));
  block[kPage] = 'x';
  pid_t child = fork();
  if (child == 0) {
    arena_.ResetAfterFork();
    bool good = Faults(block) && block[kPage] == 'x' && arena_.Release(block, 64 * kKiB) &&
                AllocateGuarded(64 * kKiB, kPage) == block && Faults(block);
    _exit(good ? 0 : 1);
  }
  int status;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
}

}  // namespace
}  // namespace bobbin
