// As many threads as the design promises. The times are printed; nothing is asserted about them.
#include <sys/mman.h>
#include <sys/resource.h>

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <vector>

#include "tests/wrappers/support.h"

namespace bobbin_test {
namespace {

constexpr size_t kStack = 64 * 1024;

size_t Mappings() {
  std::ifstream maps("/proc/self/maps");
  return static_cast<size_t>(
      std::count(std::istreambuf_iterator<char>(maps), std::istreambuf_iterator<char>(), '\n'));
}

size_t MapLimit() {
  size_t limit = 65530;
  std::ifstream("/proc/sys/vm/max_map_count") >> limit;
  return limit;
}

// Guards that cost no mapping: Linux 6.13.
bool HasLightGuards() {
  constexpr int kMadvGuardInstall = 102;
  void* page = mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  bool has = madvise(page, 4096, kMadvGuardInstall) == 0;
  munmap(page, 4096);
  return has;
}

// Threads that all wait for the gate to open.
class Crowd {
 public:
  explicit Crowd(size_t count) : threads_(count) {
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, kStack);
    for (pthread_t& thread : threads_) {
      int error = pthread_create(&thread, &attributes, &Wait, this);
      if (error != 0) {
        ADD_FAILURE() << strerror(error);
        threads_.resize(static_cast<size_t>(&thread - threads_.data()));
        break;
      }
    }
    pthread_attr_destroy(&attributes);
  }

  void OpenAndJoin() {
    __atomic_store_n(&gate_, 1, __ATOMIC_SEQ_CST);
    FutexWake(&gate_, 1 << 30);
    for (pthread_t thread : threads_) {
      void* result = nullptr;
      ASSERT_EQ(0, pthread_join(thread, &result));
      ASSERT_EQ(this, result);
    }
  }

  // Every one of them has run, and waits.
  void WaitUntilAllArePresent() {
    while (__atomic_load_n(&present_, __ATOMIC_SEQ_CST) < threads_.size()) sched_yield();
  }

 private:
  static void* Wait(void* self) {
    auto* crowd = static_cast<Crowd*>(self);
    __atomic_fetch_add(&crowd->present_, 1, __ATOMIC_SEQ_CST);
    while (__atomic_load_n(&crowd->gate_, __ATOMIC_SEQ_CST) == 0) FutexWait(&crowd->gate_, 0);
    return self;
  }

  std::vector<pthread_t> threads_;
  uint32_t gate_ = 0;
  size_t present_ = 0;
};

void CreateParkAndJoin(size_t count) {
  const int kernel_threads = KernelThreads();
  conformance::Stopwatch made;
  Crowd crowd(count);
  const double made_ms = made.ElapsedMs();
  crowd.WaitUntilAllArePresent();
  EXPECT_EQ(count + 1, Statistics().threads);
  EXPECT_EQ(kernel_threads, KernelThreads());
  if (HasLightGuards()) {
    EXPECT_LT(Mappings(), 500u);
  }
  conformance::Stopwatch joined;
  crowd.OpenAndJoin();
  printf("%zu threads: made in %.0f ms, woken and joined in %.0f ms\n", count, made_ms,
         joined.ElapsedMs());
  EXPECT_EQ(1u, Statistics().threads);
}

TEST(ManyUserThreads, TwentyThousandAreMadeAndJoinedTwice) {
  CreateParkAndJoin(20'000);
  CreateParkAndJoin(20'000);  // on the stacks of the first
}

TEST(ManyUserThreads, TwentyThousandOnTwoSchedulers) {
  UseSchedulers(2);
  const int kernel_threads = KernelThreads();
  Crowd crowd(20'000);
  crowd.WaitUntilAllArePresent();
  EXPECT_EQ(kernel_threads, KernelThreads());
  crowd.OpenAndJoin();
}

TEST(ManyUserThreads, AHundredThousandAreParkedAtTheDefaultLimitOfMappings) {
  // Where a guard is a mapping of its own, each stack costs two.
  const size_t count =
      HasLightGuards() ? 100'000 : std::min<size_t>(MapLimit() / 2 - 2'000, 30'000);
  CreateParkAndJoin(count);
}

}  // namespace
}  // namespace bobbin_test
