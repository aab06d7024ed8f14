// What belongs to one thread and must not be seen by another, however they are switched:
// thread-locals, errno, locale, exceptions in flight, the floating-point environment.
#include <fenv.h>
#include <locale.h>
#include <resolv.h>
#include <stdlib.h>

#include <exception>
#include <memory>
#include <stdexcept>
#include <vector>

#include "tests/conformance/support.h"

namespace conformance {
namespace {

// Runs `body(i)` in `count` threads at once.
void InThreads(int count, const std::function<void(int)>& body) {
  std::vector<std::unique_ptr<Thread>> threads;
  for (int i = 0; i < count; ++i) {
    threads.push_back(std::make_unique<Thread>([&body, i] { body(i); }));
  }
}

thread_local int plain_local = 5;

struct Counted {
  Counted() { ++made; }
  ~Counted() { ++destroyed; }
  static inline std::atomic<int> made{0};
  static inline std::atomic<int> destroyed{0};
  std::string value = "initial";
};
thread_local Counted counted_local;

struct SleepsOnDestruction {
  ~SleepsOnDestruction() {
    SleepMs(5);
    ++finished;
  }
  static inline std::atomic<int> finished{0};
  int value = 0;
};
thread_local SleepsOnDestruction sleeping_local;

TEST(ThreadLocal, StartsFromItsInitialiserInEachThreadAndStaysPrivate) {
  plain_local = 99;
  InThreads(8, [](int i) {
    EXPECT_EQ(5, plain_local);
    plain_local = i;
    SleepMs(5);
    EXPECT_EQ(i, plain_local);
  });
  EXPECT_EQ(99, plain_local);
  plain_local = 5;
}

TEST(ThreadLocal, ConstructorsAndDestructorsRunOnceAThread) {
  Counted::made = 0;
  Counted::destroyed = 0;
  InThreads(10, [](int i) {
    counted_local.value = std::to_string(i);
    SleepMs(2);
    EXPECT_EQ(std::to_string(i), counted_local.value);
  });
  EXPECT_EQ(10, Counted::made);
  EXPECT_EQ(10, Counted::destroyed);
}

TEST(ThreadLocal, IsNotConstructedInThreadsThatDoNotTouchIt) {
  Counted::made = 0;
  InThreads(3, [](int) { SleepMs(1); });
  EXPECT_EQ(0, Counted::made);
}

TEST(ThreadLocal, DestructorMayBlockAndJoinWaitsForIt) {
  SleepsOnDestruction::finished = 0;
  InThreads(5, [](int i) { sleeping_local.value = i; });
  EXPECT_EQ(5, SleepsOnDestruction::finished);
}

TEST(ThreadLocal, AddressesDifferBetweenThreadsAndStayAcrossSwitches) {
  std::vector<int*> addresses(4);
  InThreads(4, [&](int i) {
    addresses[i] = &plain_local;
    SleepMs(10);
    EXPECT_EQ(addresses[i], &plain_local);
  });
  for (int i = 0; i < 4; ++i) EXPECT_NE(addresses[i], &plain_local);
  EXPECT_NE(addresses[0], addresses[1]);
}

TEST(ThreadLocal, LargeOnesFit) {
  static thread_local char large[16 * 1024];
  InThreads(8, [](int i) {
    memset(large, i + 1, sizeof large);
    SleepMs(2);
    EXPECT_EQ(i + 1, large[0]);
    EXPECT_EQ(i + 1, large[sizeof large - 1]);
  });
}

TEST(Errno, IsPrivateAcrossSwitches) {
  InThreads(8, [](int i) {
    for (int round = 0; round < 10; ++round) {
      errno = 100 + i;
      usleep(1000);
      EXPECT_EQ(100 + i, errno);
    }
  });
}

TEST(Errno, IsUntouchedByCallsThatSucceedAfterBlocking) {
  Pair pipe = MakePipe();
  Event reading;
  Thread reader([&] {
    errno = 77;
    char c;
    reading.Post();
    EXPECT_EQ(1, read(pipe.a, &c, 1));
    EXPECT_EQ(77, errno);
  });
  reading.Wait();
  Settle();
  EXPECT_EQ(1, write(pipe.b, "x", 1));
}

TEST(Errno, OfAFailedCallSurvivesOtherThreadsFailures) {
  InThreads(6, [](int i) {
    for (int round = 0; round < 20; ++round) {
      const int expected = i % 2 == 0 ? EBADF : ENOENT;
      const int result = i % 2 == 0 ? close(-1) : open("/no/such/file", O_RDONLY);
      sched_yield();
      EXPECT_EQ(-1, result);
      EXPECT_EQ(expected, errno);
    }
  });
}

TEST(Locale, UselocaleIsPrivate) {
  locale_t c_utf8 = newlocale(LC_ALL_MASK, "C.UTF-8", nullptr);
  ASSERT_NE(static_cast<locale_t>(nullptr), c_utf8);
  EXPECT_EQ(LC_GLOBAL_LOCALE, uselocale(nullptr));
  InThreads(6, [&](int i) {
    EXPECT_EQ(LC_GLOBAL_LOCALE, uselocale(nullptr));
    if (i % 2 == 0) uselocale(c_utf8);
    for (int round = 0; round < 5; ++round) {
      SleepMs(1);
      wchar_t wide = 0;
      mbstate_t state = {};
      const size_t n = mbrtowc(&wide, "\xc3\xa4", 2, &state);
      EXPECT_EQ(i % 2 == 0 ? 2u : static_cast<size_t>(-1), n);
    }
    EXPECT_EQ(i % 2 == 0 ? c_utf8 : LC_GLOBAL_LOCALE, uselocale(nullptr));
    uselocale(LC_GLOBAL_LOCALE);
  });
  freelocale(c_utf8);
}

TEST(Locale, CharacterClassesWorkInEveryThread) {
  InThreads(4, [](int) {
    SleepMs(1);
    EXPECT_TRUE(isalpha('a'));
    EXPECT_FALSE(isalpha('1'));
    EXPECT_EQ('A', toupper('a'));
  });
}

TEST(Exceptions, AreCaughtInTheThreadThatThrewThem) {
  InThreads(8, [](int i) {
    for (int round = 0; round < 10; ++round) {
      try {
        SleepMs(1);
        throw std::runtime_error(std::to_string(i));
      } catch (const std::runtime_error& error) {
        EXPECT_EQ(std::to_string(i), error.what());
      }
    }
  });
}

TEST(Exceptions, SwitchInsideCatchKeepsTheCurrentException) {
  InThreads(8, [](int i) {
    try {
      throw i;
    } catch (int outer) {
      SleepMs(2);
      try {
        throw std::to_string(i);
      } catch (const std::string& inner) {
        SleepMs(2);
        EXPECT_EQ(std::to_string(i), inner);
      }
      try {
        SleepMs(1);
        // The outer one is current again.
        throw;
      } catch (int again) {
        EXPECT_EQ(outer, again);
        EXPECT_EQ(i, again);
      }
    }
    EXPECT_EQ(nullptr, std::current_exception());
  });
}

TEST(Exceptions, SwitchDuringUnwindingKeepsTheCountOfUncaughtOnes) {
  struct Sleeps {
    ~Sleeps() {
      EXPECT_EQ(1, std::uncaught_exceptions());
      SleepMs(2);
      EXPECT_EQ(1, std::uncaught_exceptions());
      try {
        throw 1.5;
      } catch (double) {
        SleepMs(1);
      }
      EXPECT_EQ(1, std::uncaught_exceptions());
    }
  };
  InThreads(8, [](int i) {
    try {
      Sleeps guard;
      throw i;
    } catch (int value) {
      EXPECT_EQ(i, value);
    }
    EXPECT_EQ(0, std::uncaught_exceptions());
  });
}

TEST(Exceptions, PointerCarriesOneFromThreadToThread) {
  std::exception_ptr carried;
  Thread([&] {
    try {
      throw std::out_of_range("far");
    } catch (...) {
      carried = std::current_exception();
    }
  }).Join();
  ASSERT_NE(nullptr, carried);
  EXPECT_THROW(std::rethrow_exception(carried), std::out_of_range);
}

TEST(Exceptions, UncaughtInAThreadTerminatesTheProcess) {
  const int status = RunInChild([] {
    std::set_terminate([] { _exit(42); });
    Thread([] { throw 1; }).Join();
    return 0;
  });
  ExpectExited(42, status);
}

TEST(FloatingPoint, RoundingModeIsPrivate) {
  ASSERT_EQ(FE_TONEAREST, fegetround());
  const int modes[] = {FE_TONEAREST, FE_UPWARD, FE_DOWNWARD, FE_TOWARDZERO};
  InThreads(8, [&](int i) {
    fesetround(modes[i % 4]);
    for (int round = 0; round < 5; ++round) {
      SleepMs(1);
      EXPECT_EQ(modes[i % 4], fegetround());
    }
  });
  EXPECT_EQ(FE_TONEAREST, fegetround());
}

TEST(FloatingPoint, NewThreadTakesTheCreatorsRoundingMode) {
  int inherited = -1;
  Thread([&] {
    fesetround(FE_UPWARD);
    Thread([&] { inherited = fegetround(); }).Join();
  }).Join();
  EXPECT_EQ(FE_UPWARD, inherited);
}

TEST(FloatingPoint, RegistersSurviveBlockingCalls) {
  InThreads(8, [](int i) {
    double value = i + 0.5;
    long double extended = i + 0.25L;
    for (int round = 0; round < 20; ++round) {
      sched_yield();
      usleep(200);
      value = value * 1.0 + 1.0;
      extended = extended + 1.0L;
    }
    EXPECT_EQ(i + 20.5, value);
    EXPECT_EQ(i + 20.25L, extended);
  });
}

TEST(Libc, StrerrorAndStrtokRAndRandRArePrivate) {
  InThreads(6, [](int i) {
    char text[] = "a,b,c";
    char* state = nullptr;
    EXPECT_STREQ("a", strtok_r(text, ",", &state));
    SleepMs(1);
    EXPECT_STREQ("b", strtok_r(nullptr, ",", &state));
    const char* unknown = strerror(1000 + i);
    SleepMs(1);
    EXPECT_NE(nullptr, strstr(unknown, std::to_string(1000 + i).c_str()));
  });
}

TEST(Libc, MallocedMemoryMayBeFreedByAnotherThread) {
  std::vector<void*> blocks(2000);
  InThreads(4, [&](int i) {
    for (int n = i; n < 2000; n += 4) {
      blocks[n] = malloc(16 + n * 3);
      if (n % 50 == 0) sched_yield();
      memset(blocks[n], n, 16 + n * 3);
    }
  });
  InThreads(4, [&](int i) {
    for (int n = i; n < 2000; n += 4) {
      free(blocks[1999 - n]);
      if (n % 50 == 0) sched_yield();
    }
  });
}

TEST(Libc, ResolverStateIsPrivate) {
  std::vector<struct __res_state*> states(3);
  Event arrived;
  Event leave;
  Thread waker([&] {
    arrived.Wait(3);
    for (int i = 0; i < 3; ++i) leave.Post();
  });
  InThreads(3, [&](int i) {
    states[i] = &_res;
    arrived.Post();
    leave.Wait();
    EXPECT_EQ(states[i], &_res);
  });
  EXPECT_NE(states[0], states[1]);
  EXPECT_NE(states[1], states[2]);
}

}  // namespace
}  // namespace conformance
