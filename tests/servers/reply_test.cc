#include "bench/servers/common/reply.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <string>
#include <utility>

#include "knot/clock.h"
#include "knot/file_cache.h"
#include "tests/knot/support/server_process.h"

namespace bench_server {
namespace {

// A pair of connected sockets, one of which sends without waiting.
class ReplyTest : public testing::Test {
 protected:
  ReplyTest() {
    knot::PublishSecond();
    EXPECT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, sockets_), 0);
    root_ = open(directory_.path().c_str(), O_RDONLY | O_DIRECTORY);
    knot::test::WriteFile(directory_ / "file", contents_);
  }
  ~ReplyTest() override {
    close(root_);
    close(sockets_[0]);
    close(sockets_[1]);
  }

  knot::FileRef Load(uint64_t in_memory) {
    return knot::FileCache(root_, types_, {0, 0, in_memory}).Get("file", 1).file;
  }

  // A file that is in memory, as the caches of the servers have them.
  HeldFile InMemory() {
    knot::FileRef file = Load(0);
    text_ = std::string(file->Head()) + contents_;
    return HeldFile(text_, file->head_size, contents_.size(), -1, nullptr);
  }

  std::string Expected(absl::string_view field = {}) {
    return std::string(knot::ReplyStartNow().text()) + std::string(field) +
           std::string(Load(0)->Head()) + contents_;
  }

  std::string Receive(size_t most = 1 << 24) {
    std::string all(most, '\0');
    ssize_t n = recv(sockets_[1], all.data(), most, 0);
    all.resize(n > 0 ? n : 0);
    return all;
  }

  void Fill() {
    while (send(sockets_[0], "x", 1, 0) > 0) {
    }
  }

  // Sends all that is left, by steps, and returns what arrives.
  std::string Finish(Reply& reply, uint64_t allowed = UINT64_MAX) {
    std::string got;
    for (int steps = 0; steps < 100'000; ++steps) {
      Reply::Outcome outcome = reply.Step(sockets_[0], allowed);
      got += Receive();
      if (outcome == Reply::Outcome::kGone) return "gone";
      if (outcome == Reply::Outcome::kSent) return got;
    }
    return "never done";
  }

  const std::string contents_ = knot::test::Pattern(700'000);
  knot::test::TempDirectory directory_;
  knot::MimeTypes types_;
  std::string text_;
  int root_;
  int sockets_[2];
};

TEST_F(ReplyTest, ArrivesWholeFromMemoryAndFromADescriptor) {
  for (bool in_memory : {true, false}) {
    for (uint64_t allowed : {UINT64_MAX, uint64_t{10'000}}) {
      Reply reply;
      reply.SetFile(in_memory ? InMemory() : HeldFile(Load(0)), false,
                    knot::Persistence::kKeepAlive);
      EXPECT_EQ(Finish(reply, allowed), Expected("Connection: keep-alive\r\n"));
      EXPECT_EQ(reply.body_bytes(), contents_.size());
    }
  }
}

TEST_F(ReplyTest, HeadAloneCountsNoBody) {
  Reply reply;
  reply.SetFile(HeldFile(Load(0)), true, knot::Persistence::kSilent);
  EXPECT_EQ(Finish(reply), Expected().substr(0, Expected().size() - contents_.size()));
  EXPECT_EQ(reply.body_bytes(), 0u);
}

// The clock has written over the date that a blocked reply has begun with.
TEST_F(ReplyTest, KeepsItsHeadWhileItIsBlocked) {
  std::string expected = Expected();
  Fill();
  Reply reply;
  reply.SetFile(HeldFile(Load(0)), false, knot::Persistence::kSilent);
  ASSERT_EQ(reply.Step(sockets_[0]), Reply::Outcome::kBlocked);
  for (int i = 0; i < 3; ++i) usleep(1000 * knot::PublishSecond());
  ASSERT_NE(Expected(), expected);
  while (!Receive().empty()) {
  }
  EXPECT_EQ(Finish(reply), expected);
}

TEST_F(ReplyTest, CanBeUsedAgainAfterABlockedOne) {
  Fill();
  Reply reply;
  reply.SetFile(HeldFile(Load(0)), false, knot::Persistence::kClose);
  ASSERT_EQ(reply.Step(sockets_[0]), Reply::Outcome::kBlocked);
  reply.Clear();
  Fill();
  reply.SetFile(HeldFile(Load(0)), false, knot::Persistence::kClose);
  ASSERT_EQ(reply.Step(sockets_[0]), Reply::Outcome::kBlocked);
  while (!Receive().empty()) {
  }
  EXPECT_EQ(Finish(reply), Expected("Connection: close\r\n"));
}

TEST_F(ReplyTest, EndsWhereTheFileShrank) {
  Reply reply;
  reply.SetFile(HeldFile(Load(0)), false, knot::Persistence::kSilent);
  ASSERT_EQ(reply.Step(sockets_[0], 1000), Reply::Outcome::kPaused);
  ASSERT_EQ(truncate((directory_ / "file").c_str(), 5000), 0);
  // At once: the socket has room, so that it will never report that it has room again.
  EXPECT_EQ(reply.Step(sockets_[0]), Reply::Outcome::kGone);
}

}  // namespace
}  // namespace bench_server
