#include "bench/load/session_log.h"

#include <gtest/gtest.h>

#include "bench/load/file_set.h"

namespace load {
namespace {

std::string Refusal(const std::string& log) {
  auto sessions = ParseSessionLog(log);
  return sessions.ok() ? "" : std::string(sessions.status().message());
}

TEST(SessionLog, WhatIsWrittenIsRead) {
  Sampler sampler({});
  Random random(3);
  std::vector<Session> sessions(500);
  for (Session& session : sessions) sampler.Draw(random, &session);
  auto read = ParseSessionLog(SessionLogText(sessions, "two\nlines"));
  ASSERT_TRUE(read.ok()) << read.status();
  ASSERT_EQ(read->size(), sessions.size());
  for (size_t i = 0; i < sessions.size(); ++i) {
    ASSERT_EQ((*read)[i].size(), sessions[i].size());
    for (size_t k = 0; k < sessions[i].size(); ++k) {
      EXPECT_EQ((*read)[i][k].file, sessions[i][k].file);
      EXPECT_EQ((*read)[i][k].off_us, sessions[i][k].off_us);
    }
  }
}

TEST(SessionLog, ThinkIsTheTimeToTheNextRequest) {
  auto sessions = ParseSessionLog(
      "# a comment\n\n\n/dir00000/class0_1 think=1.5\n/dir00000/class0_2 method=GET\n"
      "/dir00000/class0_3\n \n# another\n/dir00001/class0_1");
  ASSERT_TRUE(sessions.ok()) << sessions.status();
  ASSERT_EQ(sessions->size(), 2u);
  const Session& session = (*sessions)[0];
  ASSERT_EQ(session.size(), 3u);
  EXPECT_EQ(session[0].off_us, 0u);
  EXPECT_EQ(session[1].off_us, 1'500'000u);
  EXPECT_EQ(session[2].off_us, 0u);
  EXPECT_EQ((*sessions)[1][0].file, FileIndex(1, 0, 1));
}

TEST(SessionLog, ABurstThinksAtItsEnd) {
  auto sessions = ParseSessionLog(
      "/dir00000/class0_1 think=2\n  "
      "/dir00000/class0_2\n\t/dir00000/class0_3\n/dir00000/class0_4\n");
  ASSERT_TRUE(sessions.ok()) << sessions.status();
  const Session& session = (*sessions)[0];
  ASSERT_EQ(session.size(), 4u);
  EXPECT_EQ(session[1].off_us, 0u);
  EXPECT_EQ(session[2].off_us, 0u);
  EXPECT_EQ(session[3].off_us, 2'000'000u);
}

TEST(SessionLog, WhatIsWrongIsToldWithItsLine) {
  EXPECT_EQ(Refusal("\n# none\n"), "no session");
  EXPECT_EQ(Refusal("/dir00000/class0_1\n/index.html\n"),
            "line 2: /index.html is no /dirNNNNN/classC_F");
  EXPECT_NE(Refusal("/dir00000/class0_1 think=soon").find("line 1: think=soon"), std::string::npos);
  EXPECT_NE(Refusal("/dir00000/class0_1 think=-1").find("line 1"), std::string::npos);
  EXPECT_NE(Refusal("/dir00000/class0_1 think=nan").find("line 1"), std::string::npos);
  EXPECT_NE(Refusal("/dir00000/class0_1 method=POST").find("method=POST"), std::string::npos);
  std::string many;
  for (int i = 0; i <= kMaxRequests; ++i) many += "/dir00000/class0_1\n";
  EXPECT_NE(Refusal(many).find("line 65: a session has at most 64 requests"), std::string::npos);
}

}  // namespace
}  // namespace load
