#include <stdlib.h>

#include <cstdlib>
#include <string>

#include "gtest/gtest.h"
#include "runtime/runtime.h"

namespace bobbin {
namespace {

constexpr const char* kVariables[] = {"BOBBIN_SCHEDULERS", "BOBBIN_WORKERS", "BOBBIN_POLLER",
                                      "BOBBIN_SENDFILE", "BOBBIN_ACCEPT"};

class EnvironmentTest : public testing::Test {
 protected:
  void SetUp() override {
    for (const char* name : kVariables) unsetenv(name);
  }

  // Reads the environment with one variable set. Returns: the bad variable's name, or "".
  std::string ReadWith(const char* name, const char* value) {
    options_ = Options();
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

}  // namespace
}  // namespace bobbin
