#include <signal.h>
#include <stdlib.h>

#include <cstdlib>
#include <string>

#include "gtest/gtest.h"
#include "runtime/runtime.h"

namespace bobbin {
namespace {

constexpr const char* kVariables[] = {"BOBBIN_SCHEDULERS", "BOBBIN_WORKERS",    "BOBBIN_POLLER",
                                      "BOBBIN_SENDFILE",   "BOBBIN_ACCEPT",     "BOBBIN_QUANTUM",
                                      "BOBBIN_DISPATCH",   "BOBBIN_STATS",      "BOBBIN_AUDIT",
                                      "BOBBIN_STRICT",     "BOBBIN_CHILDREN",   "BOBBIN_OTHERWISE",
                                      "BOBBIN_STACK_CAP",  "BOBBIN_DUMP_SIGNAL"};

class EnvironmentTest : public testing::Test {
 protected:
  void SetUp() override {
    for (const char* name : kVariables) unsetenv(name);
  }

  // Reads the environment with one variable set. Returns: the bad variable's name, or "".
  std::string ReadWith(const char* name, const char* value) {
    options_ = Options();
    run_ = RunOptions();
    setenv(name, value, 1);
    const char* bad = OptionsFromEnvironment(&options_, &run_);
    unsetenv(name);
    return bad == nullptr ? "" : bad;
  }

  Options options_;
  RunOptions run_;
};

TEST_F(EnvironmentTest, WithoutVariablesTheOptionsStayAsTheyAre) {
  options_.schedulers = 7;
  options_.poller = PollerKind::kPoll;
  EXPECT_EQ(OptionsFromEnvironment(&options_, &run_), nullptr);
  EXPECT_EQ(options_.schedulers, 7);
  EXPECT_EQ(options_.poller, PollerKind::kPoll);
}

TEST_F(EnvironmentTest, NumbersAreReadUpToTheirLimits) {
  EXPECT_EQ(ReadWith("BOBBIN_SCHEDULERS", "3"), "");
  EXPECT_EQ(options_.schedulers, 3);
  EXPECT_EQ(ReadWith("BOBBIN_SCHEDULERS", std::to_string(kMaxSchedulers).c_str()), "");
  EXPECT_EQ(options_.schedulers, kMaxSchedulers);
  EXPECT_EQ(ReadWith("BOBBIN_WORKERS", std::to_string(kMaxWorkers).c_str()), "");
  EXPECT_EQ(options_.workers, kMaxWorkers);
}

TEST_F(EnvironmentTest, AutoAndZeroAreTheSame) {
  for (const char* value : {"auto", "0"}) {
    EXPECT_EQ(ReadWith("BOBBIN_SCHEDULERS", value), "");
    EXPECT_EQ(options_.schedulers, 0);
    EXPECT_EQ(ReadWith("BOBBIN_WORKERS", value), "");
    EXPECT_EQ(options_.workers, 0);
  }
}

TEST_F(EnvironmentTest, WhatIsNoNumberInRangeNamesItsVariable) {
  for (const char* value :
       {"", " ", "-1", "+1", "1 ", " 1", "1x", "0x1", "1.0", "Auto", "autos", "65", "4294967297",
        "18446744073709551617", "99999999999999999999999999"}) {
    EXPECT_EQ(ReadWith("BOBBIN_SCHEDULERS", value), "BOBBIN_SCHEDULERS") << value;
  }
  EXPECT_EQ(ReadWith("BOBBIN_WORKERS", "257"), "BOBBIN_WORKERS");
  EXPECT_EQ(ReadWith("BOBBIN_WORKERS", ""), "BOBBIN_WORKERS");
}

TEST_F(EnvironmentTest, WordsAreThoseOfTheOptions) {
  EXPECT_EQ(ReadWith("BOBBIN_POLLER", "poll"), "");
  EXPECT_EQ(options_.poller, PollerKind::kPoll);
  EXPECT_EQ(ReadWith("BOBBIN_POLLER", "epoll"), "");
  EXPECT_EQ(options_.poller, PollerKind::kEpoll);
  EXPECT_EQ(ReadWith("BOBBIN_SENDFILE", "inline"), "");
  EXPECT_EQ(options_.sendfile, SendfilePolicy::kInline);
  EXPECT_EQ(ReadWith("BOBBIN_SENDFILE", "poll"), "");
  EXPECT_EQ(options_.sendfile, SendfilePolicy::kPoll);
  EXPECT_EQ(ReadWith("BOBBIN_SENDFILE", "nonblocking"), "");
  EXPECT_EQ(options_.sendfile, SendfilePolicy::kNonblocking);
  EXPECT_EQ(ReadWith("BOBBIN_SENDFILE", "blocking"), "");
  EXPECT_EQ(options_.sendfile, SendfilePolicy::kBlocking);
  EXPECT_EQ(ReadWith("BOBBIN_ACCEPT", "favor_accepts"), "");
  EXPECT_EQ(options_.accept, AcceptPolicy::kFavorAccepts);
  EXPECT_EQ(ReadWith("BOBBIN_ACCEPT", "favor_connections"), "");
  EXPECT_EQ(options_.accept, AcceptPolicy::kFavorConnections);
}

TEST_F(EnvironmentTest, OtherWordsNameTheirVariable) {
  for (const char* name : {"BOBBIN_POLLER", "BOBBIN_SENDFILE", "BOBBIN_ACCEPT"}) {
    for (const char* value : {"", "pol", "polls", "EPOLL", "0", "epoll "}) {
      EXPECT_EQ(ReadWith(name, value), name) << value;
    }
  }
}

TEST_F(EnvironmentTest, SwitchesAreOnOrOffAndNothingElse) {
  const struct {
    const char* name;
    bool RunOptions::*field;
  } switches[] = {{"BOBBIN_DISPATCH", &RunOptions::dispatch},
                  {"BOBBIN_STATS", &RunOptions::statistics},
                  {"BOBBIN_AUDIT", &RunOptions::audit},
                  {"BOBBIN_STRICT", &RunOptions::strict},
                  {"BOBBIN_CHILDREN", &RunOptions::children}};
  for (const auto& one : switches) {
    EXPECT_EQ(ReadWith(one.name, "on"), "");
    EXPECT_TRUE(run_.*one.field) << one.name;
    int set = 0;
    for (const auto& other : switches) set += run_.*other.field ? 1 : 0;
    EXPECT_EQ(set, 1) << one.name;
    EXPECT_EQ(ReadWith(one.name, "off"), "");
    EXPECT_FALSE(run_.*one.field) << one.name;
    for (const char* value : {"", "1", "true", "ON", "on ", "offf"}) {
      EXPECT_EQ(ReadWith(one.name, value), one.name) << value;
    }
  }
}

TEST_F(EnvironmentTest, OtherwiseIsThreadsOrRefuse) {
  EXPECT_EQ(ReadWith("BOBBIN_OTHERWISE", "refuse"), "");
  EXPECT_TRUE(run_.refuse);
  EXPECT_EQ(ReadWith("BOBBIN_OTHERWISE", "threads"), "");
  EXPECT_FALSE(run_.refuse);
  EXPECT_EQ(ReadWith("BOBBIN_OTHERWISE", "on"), "BOBBIN_OTHERWISE");
}

TEST_F(EnvironmentTest, ABadValueElsewhereLeavesTheWishToRefuseReadable) {
  setenv("BOBBIN_OTHERWISE", "refuse", 1);
  EXPECT_EQ(ReadWith("BOBBIN_SCHEDULERS", "x"), "BOBBIN_SCHEDULERS");
  unsetenv("BOBBIN_OTHERWISE");
  EXPECT_TRUE(run_.refuse);
}

TEST_F(EnvironmentTest, QuantumIsMillisecondsOrOff) {
  EXPECT_EQ(ReadWith("BOBBIN_QUANTUM", "10"), "");
  EXPECT_EQ(options_.quantum_ms, 10);
  EXPECT_EQ(ReadWith("BOBBIN_QUANTUM", "off"), "");
  EXPECT_EQ(options_.quantum_ms, 0);
  EXPECT_EQ(ReadWith("BOBBIN_QUANTUM", "1000"), "");
  for (const char* value : {"1001", "auto", "", "10ms", "-1", "0.5"}) {
    EXPECT_EQ(ReadWith("BOBBIN_QUANTUM", value), "BOBBIN_QUANTUM") << value;
  }
}

TEST_F(EnvironmentTest, StackCapIsKibibytesOrOff) {
  EXPECT_EQ(ReadWith("BOBBIN_STACK_CAP", "256"), "");
  EXPECT_EQ(run_.stack_cap, 256u * 1024);
  EXPECT_EQ(ReadWith("BOBBIN_STACK_CAP", "1048576"), "");
  EXPECT_EQ(run_.stack_cap, size_t{1} << 30);
  EXPECT_EQ(ReadWith("BOBBIN_STACK_CAP", "off"), "");
  EXPECT_EQ(run_.stack_cap, 0u);
  for (const char* value : {"1048577", "auto", "", "64k"}) {
    EXPECT_EQ(ReadWith("BOBBIN_STACK_CAP", value), "BOBBIN_STACK_CAP") << value;
  }
}

TEST_F(EnvironmentTest, DumpSignalIsANameOrANumberThatCanBeSpared) {
  for (const char* value : {"USR2", "SIGUSR2", "12"}) {
    EXPECT_EQ(ReadWith("BOBBIN_DUMP_SIGNAL", value), "") << value;
    EXPECT_EQ(run_.dump_signal, SIGUSR2) << value;
  }
  EXPECT_EQ(ReadWith("BOBBIN_DUMP_SIGNAL", "off"), "");
  EXPECT_EQ(run_.dump_signal, 0);
  EXPECT_EQ(ReadWith("BOBBIN_DUMP_SIGNAL", "64"), "");
  for (const char* value : {"", "SIG", "KILL", "9", "19", "SYS", "31", "SEGV", "11", "32", "33",
                            "65", "usr2", "auto"}) {
    EXPECT_EQ(ReadWith("BOBBIN_DUMP_SIGNAL", value), "BOBBIN_DUMP_SIGNAL") << value;
  }
}

TEST_F(EnvironmentTest, VariablesAreFoundByNameWithWhatTheyAccept) {
  for (const char* name : kVariables) {
    const OptionVariable* found = FindOptionVariable(name);
    ASSERT_NE(found, nullptr) << name;
    EXPECT_STREQ(found->name, name);
    EXPECT_STRNE(found->accepts, "");
  }
  EXPECT_EQ(FindOptionVariable("BOBBIN_NONE"), nullptr);
  EXPECT_EQ(FindOptionVariable("BOBBIN_STAT"), nullptr);
}

}  // namespace
}  // namespace bobbin
