// The child of a fork when the parent has several schedulers, workers and disk requests.
#include <fcntl.h>
#include <sys/wait.h>

#include <atomic>
#include <memory>
#include <vector>

#include "tests/wrappers/support.h"

namespace bobbin_test {
namespace {

// What a child of a fork must be able to do. Returns: 0, or the number of what it cannot.
int DoEverything() {
  if (bobbin::CurrentOptions().schedulers != 1) return 1;
  if (SchedulerIndex() != 0) return 2;
  if (Statistics().threads != 1) return 3;
  Pair pair = conformance::MakeTcpPair();
  std::string got;
  {
    UserThread reader([&] { got = conformance::ReadExactly(pair.a, 4); });
    conformance::SleepMs(1);
    if (!conformance::WriteAll(pair.b, "ping")) return 4;
  }
  if (got != "ping") return 5;
  char path[] = "/tmp/fork_test.XXXXXX";
  Fd file(mkstemp(path));
  unlink(path);
  if (write(file, "data", 4) != 4 || fsync(file) != 0) return 6;
  std::vector<std::unique_ptr<UserThread>> threads;
  std::atomic<int> ran{0};
  for (int i = 0; i < 50; ++i) {
    threads.push_back(std::make_unique<UserThread>([&] {
      conformance::SleepMs(1);
      ++ran;
    }));
  }
  threads.clear();
  if (ran != 50) return 7;
  if (ThreadDump().size() != 1) return 8;
  return 0;
}

TEST(ForkWithSchedulers, ChildHasOneSchedulerAndCanDoEverything) {
  UseSchedulers(2);
  Event stop;
  Pair pair = conformance::MakeTcpPair();
  std::vector<std::unique_ptr<UserThread>> others;
  for (int i = 0; i < 4; ++i) {
    others.push_back(std::make_unique<UserThread>([&] { stop.Wait(); }));
    others.push_back(std::make_unique<UserThread>([&] {
      char byte;
      EXPECT_EQ(0, recv(pair.a, &byte, 1, 0));
    }));
  }
  LetOthersRun();
  conformance::ExpectExited(0, conformance::RunInChild(&DoEverything));
  for (int i = 0; i < 4; ++i) stop.Post();
  shutdown(pair.b, SHUT_WR);
}

// What is left is scheduler 0, whichever scheduler the fork came from.
TEST(ForkWithSchedulers, ChildOfAThreadOnTheSecondSchedulerCanDoEverything) {
  UseSchedulers(2);
  StartOn(1, [] { conformance::ExpectExited(0, conformance::RunInChild(&DoEverything)); }).Join();
}

TEST(ForkWithSchedulers, ChildMayAddSchedulersOfItsOwn) {
  UseSchedulers(2);
  for (int from : {0, 1}) {
    StartOn(from, [] {
      int status = conformance::RunInChild([] {
        UseSchedulers(2);
        int index[2] = {-1, -1};
        for (int i : {0, 1}) StartOn(i, [&, i] { index[i] = SchedulerIndex(); }).Join();
        return index[0] == 0 && index[1] == 1 ? 0 : 1;
      });
      conformance::ExpectExited(0, status);
    }).Join();
  }
}

TEST(ForkWithSchedulers, ParentGoesOnAndWorkersSurvive) {
  UseSchedulers(2);
  char path[] = "/tmp/fork_test.XXXXXX";
  Fd file(mkstemp(path));
  unlink(path);
  std::atomic<bool> stop{false};
  std::vector<std::unique_ptr<UserThread>> threads;
  for (int t = 0; t < 4; ++t) {
    threads.push_back(std::make_unique<UserThread>([&] {
      while (!stop) EXPECT_OK(fsync(file));
    }));
  }
  for (int i = 0; i < 10; ++i) {
    conformance::ExpectExited(0, conformance::RunInChild([] {
                                int result = -1;
                                UserThread([&] { result = DoEverything(); }).Join();
                                return result == 3 ? 0 : result;  // two threads then
                              }));
  }
  stop = true;
}

}  // namespace
}  // namespace bobbin_test
