// The public API (bobbin/bobbin.h): options, statistics, the dump of threads, and the fall-back.
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include <algorithm>
#include <atomic>
#include <map>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

#include "tests/wrappers/support.h"

namespace bobbin_test {
namespace {

using bobbin::Configure;
using bobbin::CurrentOptions;
using bobbin::Options;

bool Same(const Options& a, const Options& b) {
  return a.schedulers == b.schedulers && a.workers == b.workers && a.poller == b.poller &&
         a.sendfile == b.sendfile && a.accept == b.accept;
}

bool Talks() {
  Pair pair = conformance::MakeSocketPair();
  UserThread echo([&] {
    char byte;
    while (read(pair.a, &byte, 1) == 1) EXPECT_EQ(1, write(pair.a, &byte, 1));
  });
  char byte = 'x';
  bool answered = write(pair.b, &byte, 1) == 1 && read(pair.b, &byte, 1) == 1;
  shutdown(pair.b, SHUT_RDWR);
  return answered;
}

TEST(Api, UserThreadsAreActiveHere) {
  EXPECT_TRUE(bobbin::Active());
  EXPECT_STREQ("", bobbin::InactiveReason());
}

TEST(Configure, ValuesOutOfRangeAreInvalidAndChangeNothing) {
  const Options before = CurrentOptions();
  std::vector<Options> bad(8, before);
  bad[0].schedulers = -1;
  bad[1].schedulers = bobbin::kMaxSchedulers + 1;
  bad[2].workers = -1;
  bad[3].workers = bobbin::kMaxWorkers + 1;
  bad[4].poller = static_cast<bobbin::PollerKind>(2);
  bad[5].sendfile = static_cast<bobbin::SendfilePolicy>(4);
  bad[6].accept = static_cast<bobbin::AcceptPolicy>(2);
  bad[7].accept = static_cast<bobbin::AcceptPolicy>(255);
  for (const Options& options : bad) {
    EXPECT_EQ(EINVAL, Configure(options));
    EXPECT_TRUE(Same(before, CurrentOptions()));
  }
}

TEST(Configure, SchedulersAndPollerAreBusyOnceASecondThreadLives) {
  Event stop;
  UserThread thread([&] { stop.Wait(); });
  const Options before = CurrentOptions();
  Options more = before;
  more.schedulers = 2;
  EXPECT_EQ(EBUSY, Configure(more));
  Options other = before;
  other.poller = before.poller == bobbin::PollerKind::kEpoll ? bobbin::PollerKind::kPoll
                                                             : bobbin::PollerKind::kEpoll;
  EXPECT_EQ(EBUSY, Configure(other));
  EXPECT_TRUE(Same(before, CurrentOptions()));
  stop.Post();
}

TEST(Configure, SchedulersOnceStartedStay) {
  UseSchedulers(2);
  Options fewer = CurrentOptions();
  fewer.schedulers = 1;
  EXPECT_EQ(EBUSY, Configure(fewer));
  EXPECT_EQ(2, CurrentOptions().schedulers);
}

TEST(Configure, ZeroSchedulersMeansOnePerProcessor) {
  Options options = CurrentOptions();
  options.schedulers = 0;
  ASSERT_EQ(0, Configure(options));
  EXPECT_EQ(std::min<long>(sysconf(_SC_NPROCESSORS_ONLN), bobbin::kMaxSchedulers),
            CurrentOptions().schedulers);
}

TEST(Configure, PoliciesMayChangeAtAnyTime) {
  Event stop;
  UserThread thread([&] { stop.Wait(); });
  for (auto policy : {bobbin::SendfilePolicy::kPoll, bobbin::SendfilePolicy::kBlocking}) {
    Options options = CurrentOptions();
    options.sendfile = policy;
    options.accept = bobbin::AcceptPolicy::kFavorAccepts;
    EXPECT_EQ(0, Configure(options));
    EXPECT_TRUE(Same(options, CurrentOptions()));
  }
  stop.Post();
}

TEST(Configure, PollerMayChangeToAndFroWhileMainIsAlone) {
  for (int i = 0; i < 4; ++i) {
    Options options = CurrentOptions();
    options.poller = i % 2 == 0 ? bobbin::PollerKind::kPoll : bobbin::PollerKind::kEpoll;
    ASSERT_EQ(0, Configure(options));
    EXPECT_EQ(options.poller, CurrentOptions().poller);
    EXPECT_TRUE(Talks());
  }
}

TEST(Configure, DescriptorsUsedBeforeAChangeOfPollerWorkAfterIt) {
  Pair pair = conformance::MakeTcpPair();
  auto exchange = [&] {
    UserThread reader([&] { EXPECT_EQ("ping", conformance::ReadExactly(pair.a, 4)); });
    LetOthersRun();
    ASSERT_TRUE(conformance::WriteAll(pair.b, "ping"));
  };
  exchange();
  for (auto poller : {bobbin::PollerKind::kPoll, bobbin::PollerKind::kEpoll}) {
    Options options = CurrentOptions();
    options.poller = poller;
    ASSERT_EQ(0, Configure(options));
    exchange();
    exchange();
  }
}

TEST(Configure, SecondSchedulerIsAKernelThreadOfItsOwn) {
  int before = KernelThreads();
  UseSchedulers(2);
  EXPECT_EQ(before + 1, KernelThreads());
  pid_t tid = 0;
  StartOn(1, [&] { tid = KernelTid(); }).Join();
  EXPECT_NE(KernelTid(), tid);
  EXPECT_NE(0, tid);
}

// Thousands of threads are not thousands of kernel threads, and neither are their blocking calls.
TEST(KernelThreads, AreBoundedWhateverThreadsDo) {
  Options options = CurrentOptions();
  options.workers = 3;
  ASSERT_EQ(0, Configure(options));
  int before = KernelThreads();
  char path[] = "/tmp/api_test.XXXXXX";
  Fd file(mkstemp(path));
  unlink(path);
  std::atomic<int> most{0};
  std::atomic<uint64_t> most_workers{0};
  {
    std::vector<std::unique_ptr<UserThread>> threads;
    for (int t = 0; t < 300; ++t) {
      threads.push_back(std::make_unique<UserThread>([&] {
        for (int i = 0; i < 5; ++i) {
          EXPECT_EQ(1, pwrite(file, "x", 1, i));
          EXPECT_OK(fsync(file));
          if (i != 2) continue;
          most_workers = std::max(most_workers.load(), Statistics().workers);
          most = std::max(most.load(), KernelThreads());
        }
      }));
    }
  }
  // Three for the disk; the look itself may need a few of the lane for metadata.
  EXPECT_LE(most.load(), before + 3 + 64);
  EXPECT_GE(most_workers.load(), 1u);
  EXPECT_LE(most_workers.load(), 3u + 64u);
  EXPECT_EQ(0u, Statistics().worker_queue);
}

constexpr uint64_t bobbin::Statistics::*kMonotonic[] = {
    &bobbin::Statistics::application_cycles, &bobbin::Statistics::threading_cycles,
    &bobbin::Statistics::event_cycles,       &bobbin::Statistics::idle_cycles,
    &bobbin::Statistics::switches,           &bobbin::Statistics::parks,
    &bobbin::Statistics::threads_created,    &bobbin::Statistics::polls,
    &bobbin::Statistics::poll_events,        &bobbin::Statistics::accepts,
    &bobbin::Statistics::futex_waits,        &bobbin::Statistics::futex_wakes,
    &bobbin::Statistics::try_again,          &bobbin::Statistics::worker_calls,
    &bobbin::Statistics::inline_sendfiles,   &bobbin::Statistics::worker_sendfiles,
    &bobbin::Statistics::timers_expired,     &bobbin::Statistics::signals_delivered};

TEST(StatisticsTest, CountersNeverFall) {
  UseSchedulers(2);
  std::atomic<bool> stop{false};
  std::vector<std::unique_ptr<UserThread>> threads;
  for (int t = 0; t < 4; ++t) {
    threads.push_back(std::make_unique<UserThread>([&] {
      while (!stop) {
        EXPECT_TRUE(Talks());
        conformance::SleepMs(1);
      }
    }));
  }
  bobbin::Statistics before = Statistics();
  std::map<size_t, uint64_t> fell;
  for (int i = 0; i < 300; ++i) {
    if (i % 3 == 0) conformance::SleepMs(1);
    sched_yield();
    bobbin::Statistics now = Statistics();
    for (size_t f = 0; f < std::size(kMonotonic); ++f) {
      if (now.*kMonotonic[f] < before.*kMonotonic[f]) {
        fell[f] = std::max(fell[f], before.*kMonotonic[f] - now.*kMonotonic[f]);
      }
    }
    before = now;
  }
  stop = true;
  for (const auto& [field, by] : fell) ADD_FAILURE() << "field " << field << " fell by " << by;
}

TEST(StatisticsTest, CyclesOfAllCategoriesAddUpToNoMoreThanTheTimePassed) {
  sched_yield();
  auto cycles = [] {
    bobbin::Statistics s = Statistics();
    return s.application_cycles + s.threading_cycles + s.event_cycles + s.idle_cycles;
  };
  uint64_t start_time = __builtin_ia32_rdtsc();
  uint64_t start = cycles();
  for (int i = 0; i < 20; ++i) {
    EXPECT_TRUE(Talks());
    conformance::SleepMs(2);
  }
  uint64_t charged = cycles() - start;
  uint64_t passed = __builtin_ia32_rdtsc() - start_time;
  // What ran when the first look was taken is charged later: a thousandth is plenty.
  EXPECT_LE(charged, passed + passed / 1000 + 1'000'000);
  EXPECT_GE(charged, passed / 2) << "most of the time is accounted for";
}

TEST(StatisticsTest, SleepIsIdleAndWorkIsTheApplications) {
  auto share = [](auto work, auto field) {
    sched_yield();
    bobbin::Statistics before = Statistics();
    work();
    sched_yield();
    bobbin::Statistics after = Statistics();
    uint64_t all = after.application_cycles + after.threading_cycles + after.event_cycles +
                   after.idle_cycles - before.application_cycles - before.threading_cycles -
                   before.event_cycles - before.idle_cycles;
    return static_cast<double>(after.*field - before.*field) / static_cast<double>(all);
  };
  conformance::SleepMs(50);  // the clock knows the counter's speed by then
  EXPECT_GT(share([] { conformance::SleepMs(100); }, &bobbin::Statistics::idle_cycles), 0.5);
  auto spin = [] {
    for (int64_t end = conformance::NowNs() + 50'000'000; conformance::NowNs() < end;) {
    }
  };
  EXPECT_GT(share(spin, &bobbin::Statistics::application_cycles), 0.5);
}

TEST(StatisticsTest, CountWhatHappened) {
  bobbin::Statistics before = Statistics();
  {
    std::vector<std::unique_ptr<UserThread>> threads;
    Event stop;
    for (int t = 0; t < 7; ++t) {
      threads.push_back(std::make_unique<UserThread>([&] { stop.Wait(); }));
    }
    LetOthersRun();
    bobbin::Statistics during = Statistics();
    EXPECT_EQ(before.threads + 7, during.threads);
    EXPECT_EQ(before.threads_created + 7, during.threads_created);
    EXPECT_EQ(before.futex_waits + 7, during.futex_waits);
    EXPECT_GE(during.parks, before.parks + 7);
    EXPECT_GE(during.stacks, 7u);
    for (int t = 0; t < 7; ++t) stop.Post();
  }
  for (int i = 0; i < 5; ++i) conformance::SleepMs(1);
  bobbin::Statistics after = Statistics();
  EXPECT_EQ(before.threads, after.threads);
  EXPECT_GE(after.timers_expired, before.timers_expired + 5);
  EXPECT_GE(after.futex_wakes, before.futex_wakes + 7);
}

TEST(StatisticsTest, CyclesArePartsOfASecond) {
  conformance::SleepMs(50);  // the clock knows the counter's speed by then
  sched_yield();
  const int64_t start = conformance::NowNs();
  const uint64_t start_cycles = __builtin_ia32_rdtsc();
  conformance::SleepMs(100);
  const double seconds = static_cast<double>(conformance::NowNs() - start) / 1e9;
  const double cycles = static_cast<double>(__builtin_ia32_rdtsc() - start_cycles);
  EXPECT_NEAR(1, cycles / seconds / static_cast<double>(Statistics().cycles_per_second), 0.01);
}

TEST(StatisticsTest, BusyWorkersAreThoseThatRunACall) {
  char path[] = "/tmp/api_test.XXXXXX";
  Fd file(mkstemp(path));
  ASSERT_OK(flock(file, LOCK_EX));
  {
    std::vector<Fd> files(3);
    std::vector<std::unique_ptr<UserThread>> lockers;
    for (Fd& one : files) {
      one = Fd(open(path, O_RDWR));
      lockers.push_back(std::make_unique<UserThread>([&one] { EXPECT_OK(flock(one, LOCK_SH)); }));
    }
    while (Statistics().workers_busy != 3) conformance::SleepMs(1);
    EXPECT_GE(Statistics().workers, 3u);
    ASSERT_OK(flock(file, LOCK_UN));
  }
  unlink(path);
  while (Statistics().workers_busy != 0) conformance::SleepMs(1);
}

TEST(StatisticsTest, AreWrittenAsLinesOfNameAndNumberAfterTheShares) {
  Fd file(memfd_create("statistics", MFD_CLOEXEC));
  ASSERT_EQ(0, bobbin::WriteStatistics(file));
  ASSERT_OK(lseek(file, 0, SEEK_SET));
  std::istringstream text(conformance::ReadToEnd(file));
  std::string line;
  ASSERT_TRUE(std::getline(text, line));
  double threading = -1, event = -1, application = -1, idle = -1;
  ASSERT_EQ(4, sscanf(line.c_str(),
                      "share of CPU: threading %lf%% event %lf%% application %lf%%; idle %lf%% of "
                      "the time",
                      &threading, &event, &application, &idle))
      << line;
  EXPECT_NEAR(100, threading + event + application, 0.05);
  std::map<std::string, uint64_t> values;
  while (std::getline(text, line)) {
    char name[64];
    unsigned long value;
    ASSERT_EQ(2, sscanf(line.c_str(), "%63s %lu", name, &value)) << line;
    values[name] = value;
  }
  EXPECT_EQ(1u, values.at("threads"));
  for (const char* name : {"switches",         "parks",          "threads_created",
                           "stacks",           "polls",          "poll_events",
                           "poll_set",         "accepts",        "try_again",
                           "futex_waits",      "futex_wakes",    "worker_calls",
                           "worker_queue",     "workers",        "inline_sendfiles",
                           "worker_sendfiles", "timers_expired", "signals_delivered",
                           "preemptions",      "traps"}) {
    EXPECT_EQ(1u, values.count(name)) << name;
  }
  EXPECT_EQ(1u, values.count("workers_busy"));
}

TEST(StatisticsTest, WritingToABadDescriptorSaysSo) {
  EXPECT_EQ(EBADF, bobbin::WriteStatistics(-1));
  EXPECT_EQ(EBADF, bobbin::DumpThreads(-1));
}

// The line of the dump that has the thread's name.
std::string LineOf(const std::string& name) {
  for (const std::string& line : ThreadDump()) {
    if (line.find("'" + name + "'") != std::string::npos) return line;
  }
  return "";
}

TEST(Dump, TellsWhatEachThreadWaitsFor) {
  Pair pair = conformance::MakeSocketPair();
  Pair full = conformance::MakeSocketPair();
  conformance::FillUp(full.a);
  conformance::Listener listener;
  Event stop;
  uint32_t word = 0;
  std::vector<std::unique_ptr<UserThread>> threads;
  auto start = [&](const char* name, std::function<void()> body) {
    threads.push_back(std::make_unique<UserThread>([name, body] {
      EXPECT_EQ(0, pthread_setname_np(pthread_self(), name));
      body();
    }));
  };
  char byte;
  start("reads", [&] { EXPECT_EQ(0, read(pair.a, &byte, 1)); });
  start("writes", [&] { EXPECT_EQ(-1, send(full.a, "x", 1, MSG_NOSIGNAL)); });
  start("accepts", [&] { EXPECT_EQ(-1, accept(listener.fd(), nullptr, nullptr)); });
  start("polls", [&] {
    pollfd one = {pair.a.get(), POLLIN, 0};
    EXPECT_EQ(1, poll(&one, 1, -1));
  });
  start("waits", [&] { EXPECT_EQ(0, FutexWait(&word, 0)); });
  start("sleeps", [&] { conformance::SleepMs(300); });
  start("ready", [&] { stop.Wait(); });
  LetOthersRun();
  auto expect = [](const std::string& name, const std::string& part) {
    std::string line = LineOf(name);
    EXPECT_NE(std::string::npos, line.find(part)) << line << "\nlacks: " << part;
  };
  stop.Post();
  expect("ready", "ready, stack");
  expect("reads", "parked on readable descriptor " + std::to_string(pair.a.get()) + " for ");
  expect("writes", "parked on writable descriptor " + std::to_string(full.a.get()) + " for ");
  expect("accepts", "parked on accept descriptor " + std::to_string(listener.fd()) + " for ");
  expect("polls", "parked on poll descriptor " + std::to_string(pair.a.get()) + " for ");
  std::ostringstream address;
  address << "parked on address " << &word << " for ";
  expect("waits", address.str());
  expect("sleeps", "parked on time for ");
  expect("sleeps", " KiB, ");
  expect("sleeps", "scheduler 0");
  std::vector<std::string> dump = ThreadDump();
  EXPECT_EQ(Statistics().threads, dump.size());
  char name[16];
  ASSERT_EQ(0, bobbin::RawSyscall(SYS_prctl, 16 /* PR_GET_NAME */, name));
  std::string main = std::to_string(getpid()) + " '" + name + "'";
  EXPECT_TRUE(std::any_of(dump.begin(), dump.end(), [&](const std::string& line) {
    return line.compare(0, main.size(), main) == 0 && line.find("running") != std::string::npos;
  }));
  shutdown(pair.b, SHUT_RDWR);
  full.b.Reset();
  shutdown(listener.fd(), SHUT_RDWR);
  FutexWake(&word, 1);
  threads.clear();
}

TEST(Dump, ThreadOnAWorkerAndOneThatWaitsForASignalAreNamedSo) {
  conformance::SignalBlock block({SIGUSR1});
  char path[] = "/tmp/api_test.XXXXXX";
  Fd file(mkstemp(path));
  Fd other(open(path, O_RDWR));
  unlink(path);
  ASSERT_OK(flock(file, LOCK_EX));
  UserThread locker([&] {
    pthread_setname_np(pthread_self(), "locker");
    EXPECT_OK(flock(other, LOCK_EX));
  });
  pthread_t waiter;
  UserThread signalled([&] {
    waiter = pthread_self();
    pthread_setname_np(waiter, "signalled");
    sigset_t one = conformance::SignalSet({SIGUSR1});
    int signal;
    EXPECT_EQ(0, sigwait(&one, &signal));
  });
  LetOthersRun();
  EXPECT_NE(std::string::npos, LineOf("locker").find("parked on worker for "));
  EXPECT_NE(std::string::npos, LineOf("signalled").find("parked on signal for "));
  ASSERT_OK(flock(file, LOCK_UN));
  pthread_kill(waiter, SIGUSR1);
}

TEST(States, CountEachThreadWhereItIs) {
  Pair pair = conformance::MakeSocketPair();
  Pair full = conformance::MakeSocketPair();
  conformance::FillUp(full.a);
  conformance::Listener listener;
  Event stop;
  uint32_t word = 0;
  auto states = [] {
    bobbin::ThreadStates states;
    bobbin::GetThreadStates(&states);
    return states;
  };
  EXPECT_EQ(1u, states().running);
  std::vector<std::unique_ptr<UserThread>> threads;
  auto start = [&](int count, std::function<void()> body) {
    for (int i = 0; i < count; ++i) threads.push_back(std::make_unique<UserThread>(body));
  };
  char byte;
  start(1, [&] { EXPECT_EQ(0, read(pair.a, &byte, 1)); });
  start(2, [&] { EXPECT_EQ(-1, send(full.a, "x", 1, MSG_NOSIGNAL)); });
  start(3, [&] { EXPECT_EQ(-1, accept(listener.fd(), nullptr, nullptr)); });
  start(4, [&] {
    pollfd one = {pair.a.get(), POLLIN, 0};
    EXPECT_EQ(1, poll(&one, 1, -1));
  });
  start(5, [&] { EXPECT_EQ(0, FutexWait(&word, 0)); });
  start(6, [&] { conformance::SleepMs(1000); });
  start(7, [&] { stop.Wait(); });
  LetOthersRun();
  for (int i = 0; i < 7; ++i) stop.Post();
  bobbin::ThreadStates now = states();
  EXPECT_EQ(1u, now.running);
  EXPECT_EQ(7u, now.ready);
  EXPECT_EQ(1u, now.readable);
  EXPECT_EQ(2u, now.writable);
  EXPECT_EQ(3u, now.accept);
  EXPECT_EQ(4u, now.poll);
  EXPECT_EQ(5u, now.address);
  EXPECT_EQ(6u, now.time);
  EXPECT_EQ(0u, now.worker + now.signal + now.disk + now.other);
  EXPECT_EQ(Statistics().threads, 1u + 7 + 1 + 2 + 3 + 4 + 5 + 6);
  shutdown(pair.b, SHUT_RDWR);
  full.b.Reset();
  shutdown(listener.fd(), SHUT_RDWR);
  FutexWake(&word, 5);
  threads.clear();
  EXPECT_EQ(1u, states().running);
}

// A dump while another scheduler makes and ends threads sees only whole ones.
TEST(Dump, MayBeTakenWhileAnotherSchedulerMakesThreads) {
  UseSchedulers(2);
  std::atomic<bool> stop{false};
  UserThread maker = StartOn(1, [&] {
    while (!stop) StartOn(1, [] {}).Join();
  });
  for (int i = 0; i < 3000; ++i) {
    std::vector<std::string> dump = ThreadDump();
    ASSERT_GE(dump.size(), 2u);
    ASSERT_LE(dump.size(), 3u);
  }
  stop = true;
}

TEST(Names, AreCutByPrctlAndRefusedByPthreads) {
  UserThread([] {
    EXPECT_EQ(0, pthread_setname_np(pthread_self(), "fifteen-letters"));
    EXPECT_EQ(ERANGE, pthread_setname_np(pthread_self(), "sixteen--letters"));
    EXPECT_NE("", LineOf("fifteen-letters"));
  }).Join();
}

TEST(Names, OfUserThreadsAreNotThoseOfKernelThreads) {
  char before[16] = {}, after[16] = {};
  ASSERT_EQ(0, bobbin::RawSyscall(SYS_prctl, 16 /* PR_GET_NAME */, before));
  UserThread([] { pthread_setname_np(pthread_self(), "someone"); }).Join();
  ASSERT_EQ(0, bobbin::RawSyscall(SYS_prctl, 16, after));
  EXPECT_STREQ(before, after);
}

// The fall-back, in programs of their own.
class FallbackTest : public testing::Test {
 protected:
  static ProgramOutcome Run(const std::vector<std::string>& variables) {
    return RunProgram({REPORT_ACTIVE}, variables);
  }
  static size_t Count(const std::string& text, const std::string& part) {
    size_t count = 0;
    for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) {
      ++count;
    }
    return count;
  }
};

TEST_F(FallbackTest, WithoutVariablesAProgramRunsOnUserThreadsAndNothingIsSaid) {
  ProgramOutcome outcome = Run({});
  conformance::ExpectExited(0, outcome.status);
  EXPECT_EQ("active\n", outcome.output);
  EXPECT_EQ("", outcome.errors);
}

TEST_F(FallbackTest, BobbinOffIsQuietAndTheProgramWorks) {
  ProgramOutcome outcome = Run({"BOBBIN=off"});
  conformance::ExpectExited(0, outcome.status);
  EXPECT_EQ("inactive: BOBBIN=off\n", outcome.output);
  EXPECT_EQ("", outcome.errors);
}

TEST_F(FallbackTest, OtherValuesOfBobbinMeanNothing) {
  EXPECT_EQ("active\n", Run({"BOBBIN=on"}).output);
  EXPECT_EQ("active\n", Run({"BOBBIN="}).output);
}

TEST_F(FallbackTest, BadVariableIsNamedInOneMessageAndTheProgramWorksOnKernelThreads) {
  const char* const bad[][2] = {{"BOBBIN_SCHEDULERS", "many"},
                                {"BOBBIN_WORKERS", "-1"},
                                {"BOBBIN_POLLER", "select"},
                                {"BOBBIN_SENDFILE", ""},
                                {"BOBBIN_ACCEPT", "all"}};
  for (const auto& [name, value] : bad) {
    ProgramOutcome outcome = Run({std::string(name) + "=" + value});
    conformance::ExpectExited(0, outcome.status);
    EXPECT_EQ("inactive: a BOBBIN_ variable has a bad value\n", outcome.output);
    EXPECT_EQ(1u, Count(outcome.errors, name)) << outcome.errors;
    EXPECT_EQ(1u, Count(outcome.errors, "running on kernel threads")) << outcome.errors;
    EXPECT_EQ(0u, outcome.errors.find("bobbin: ")) << outcome.errors;
  }
}

TEST_F(FallbackTest, WhereThatIsRefusedTheProgramDoesNotStart) {
  ProgramOutcome outcome = Run({"BOBBIN_OTHERWISE=refuse", "BOBBIN_WORKERS=-1"});
  conformance::ExpectExited(125, outcome.status);
  EXPECT_EQ("", outcome.output);
  EXPECT_EQ(1u, Count(outcome.errors, "refusing to run")) << outcome.errors;
  EXPECT_EQ(1u, Count(outcome.errors, "BOBBIN_WORKERS")) << outcome.errors;
}

TEST_F(FallbackTest, GoodVariablesAreInForce) {
  ProgramOutcome outcome =
      Run({"BOBBIN_SCHEDULERS=2", "BOBBIN_WORKERS=3", "BOBBIN_POLLER=poll",
           "BOBBIN_SENDFILE=blocking", "BOBBIN_ACCEPT=favor_accepts", "REPORT_OPTIONS=1"});
  conformance::ExpectExited(0, outcome.status);
  EXPECT_EQ("active\n2 3 1 3 1\n", outcome.output);
  EXPECT_EQ("", outcome.errors);
}

}  // namespace
}  // namespace bobbin_test
