// Every scheduler checks its own invariants while threads do everything that moves them between
// states. Linked with the library's objects, for the checks are not part of the public interface.
#include <poll.h>
#include <sched.h>
#include <sys/time.h>

#include <atomic>
#include <memory>
#include <vector>

#include "runtime/runtime.h"
#include "tests/wrappers/support.h"

namespace bobbin_test {
namespace {

// Aborts with a message where S1 or S2 does not hold on this thread's scheduler.
void Check() {
  bobbin::Scheduler* scheduler = bobbin::Scheduler::Current();
  bobbin::RuntimeSection section(scheduler);
  scheduler->CheckInvariants();
  // S2: who runs is on no queue and is nobody's waiter.
  bobbin::Thread* self = scheduler->current();
  EXPECT_EQ(bobbin::ThreadState::kRunning, self->state);
  EXPECT_EQ(0u, self->address);
  EXPECT_EQ(bobbin::Waiting::kNothing, self->waiting);
}

struct Counts {
  uint64_t ready = 0, running = 0, parked = 0, other = 0;
};

// The states of all threads. Requires: one scheduler, so that nothing moves meanwhile.
Counts CountStates() {
  Counts counts;
  bobbin::runtime().threads.ForEach(
      [](bobbin::Thread* thread, void* argument) {
        auto* out = static_cast<Counts*>(argument);
        switch (thread->state) {
          case bobbin::ThreadState::kReady:
            ++out->ready;
            break;
          case bobbin::ThreadState::kRunning:
            ++out->running;
            break;
          case bobbin::ThreadState::kParked:
            ++out->parked;
            break;
          default:
            ++out->other;
        }
        return true;
      },
      &counts);
  return counts;
}

class InvariantsTest : public testing::TestWithParam<int> {};

TEST_P(InvariantsTest, HoldWhileThreadsYieldParkTimeOutAndAreInterrupted) {
  if (GetParam() > 1) UseSchedulers(GetParam());
  static void (*const ignore)(int) = [](int) { Check(); };
  conformance::SignalHandler handler(SIGALRM, ignore, SA_RESTART);
  itimerval often = {{0, 500}, {0, 500}};
  ASSERT_OK(setitimer(ITIMER_REAL, &often, nullptr));
  uint32_t word = 0;
  std::vector<Pair> pairs;
  for (int i = 0; i < 4; ++i) pairs.push_back(conformance::MakeSocketPair());
  std::vector<std::unique_ptr<UserThread>> threads;
  for (int t = 0; t < 24; ++t) {
    threads.push_back(std::make_unique<UserThread>([&, t] {
      for (int i = 0; i < 200; ++i) {
        Check();
        timespec shortly = {0, 20'000L * (t % 5)};
        switch (t % 4) {
          case 0:
            sched_yield();
            break;
          case 1:
            FutexWait(&word, 0, &shortly);
            break;
          case 2: {
            FutexWake(&word, 2);
            send(pairs[t / 4 % 4].b, "x", 1, MSG_DONTWAIT);  // as long as there is room
            break;
          }
          default: {
            pollfd set[4];
            for (int p = 0; p < 4; ++p) set[p] = {pairs[p].a.get(), POLLIN, 0};
            poll(set, 4, i % 2);
          }
        }
        Check();
      }
    }));
  }
  threads.clear();
  itimerval never = {};
  ASSERT_OK(setitimer(ITIMER_REAL, &never, nullptr));
  Check();
}

INSTANTIATE_TEST_SUITE_P(Schedulers, InvariantsTest, testing::Values(1, 2),
                         [](const auto& count) { return std::to_string(count.param); });

TEST(Invariants, EachThreadIsInOneStateAndReadyOnesAreOnTheQueue) {
  Event stop;
  std::vector<std::unique_ptr<UserThread>> threads;
  for (int t = 0; t < 10; ++t) {
    threads.push_back(std::make_unique<UserThread>([&] { stop.Wait(); }));
  }
  LetOthersRun();
  Counts waiting = CountStates();
  EXPECT_EQ(1u, waiting.running);
  EXPECT_EQ(10u, waiting.parked);
  for (int t = 0; t < 4; ++t) stop.Post();
  Counts woken = CountStates();
  EXPECT_EQ(4u, woken.ready);
  EXPECT_EQ(6u, woken.parked);
  EXPECT_EQ(0u, woken.other);
  EXPECT_EQ(4u, bobbin::Scheduler::Current()->ready_length());
  Check();
  for (int t = 0; t < 6; ++t) stop.Post();
}

// What a thread leaves behind.
TEST(Invariants, NothingRemainsOfThreadsThatEnded) {
  bobbin::Runtime& rt = bobbin::runtime();
  uint32_t word = 0;
  for (int round = 0; round < 3; ++round) {
    std::vector<std::unique_ptr<UserThread>> threads;
    for (int t = 0; t < 20; ++t) {
      threads.push_back(std::make_unique<UserThread>([&] {
        timespec shortly = {0, 100'000};
        FutexWait(&word, 0, &shortly);
        conformance::SignalBlock block({SIGUSR1, SIGRTMIN});
      }));
    }
    threads.clear();
    EXPECT_EQ(1u, rt.threads.alive());
    EXPECT_FALSE(rt.parking.HasWaiters(&word));
    EXPECT_EQ(bobbin::kNever, bobbin::Scheduler::Current()->timers().NextTime());
    // The masks of the dead count no more: only main's is left.
    EXPECT_EQ(bobbin::Scheduler::Current()->current()->signal_mask, rt.masks.Intersection());
  }
}

}  // namespace
}  // namespace bobbin_test
