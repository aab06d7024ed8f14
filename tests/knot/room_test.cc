// Where every thread serves and connections wait, those that are silent, or slow, make room.

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "knot/group.h"
#include "knot/room_keeper.h"
#include "knot/slow_watch.h"
#include "tests/knot/support/client.h"
#include "tests/knot/support/server_process.h"

namespace knot {
namespace {

// A listening socket on the loopback, and connections to it.
class Loopback {
 public:
  Loopback() : listener_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    address_.sin_family = AF_INET;
    address_.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address_;
    bind(listener_, reinterpret_cast<sockaddr*>(&address_), sizeof address_);
    listen(listener_, 16);
    getsockname(listener_, reinterpret_cast<sockaddr*>(&address_), &size);
  }
  ~Loopback() {
    for (int descriptor : descriptors_) close(descriptor);
    close(listener_);
  }

  int listener() const { return listener_; }

  int Connect() {
    int client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    EXPECT_EQ(connect(client, reinterpret_cast<sockaddr*>(&address_), sizeof address_), 0);
    const int at_once = 1;
    setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &at_once, sizeof at_once);
    return Keep(client);
  }
  int Accept() { return Keep(accept(listener_, nullptr, nullptr)); }

  // Connects. Returns: the end that was accepted.
  int Open() {
    Connect();
    return Accept();
  }

 private:
  int Keep(int descriptor) {
    EXPECT_GE(descriptor, 0);
    descriptors_.push_back(descriptor);
    return descriptor;
  }

  int listener_;
  sockaddr_in address_{};
  std::vector<int> descriptors_;
};

bool IsEnded(int socket) {
  char byte;
  return recv(socket, &byte, 1, MSG_DONTWAIT | MSG_PEEK) == 0;
}

TEST(WaitingAt, CountsThoseNotYetAccepted) {
  Loopback loopback;
  EXPECT_EQ(WaitingAt(loopback.listener()), 0u);
  loopback.Connect();
  loopback.Connect();
  EXPECT_EQ(WaitingAt(loopback.listener()), 2u);
  int accepted = loopback.Accept();
  EXPECT_EQ(WaitingAt(loopback.listener()), 1u);
  EXPECT_EQ(WaitingAt(accepted), 0u);
  EXPECT_EQ(WaitingAt(-1), 0u);
  std::array<int, 2> pair;
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, pair.data()), 0);
  EXPECT_EQ(WaitingAt(pair[0]), 0u);
  for (int end : pair) close(end);
}

TEST(OpenConnections, EndsThoseOfOneDoorThatWereSilentLongest) {
  Loopback loopback;
  OpenConnections open;
  const int first = loopback.Open(), other = loopback.Open();
  usleep(100'000);
  const int second = loopback.Open();
  usleep(100'000);
  const int last = loopback.Open();
  open.Add(first, 1);
  open.Add(other, 2);
  open.Add(second, 1);
  open.Add(last, 1);
  EXPECT_EQ(open.EndSilent(1, 1, 50), 1u);
  EXPECT_TRUE(IsEnded(first));
  EXPECT_FALSE(IsEnded(second));
  EXPECT_EQ(open.EndSilent(1, 1, 50), 1u) << "none twice";
  EXPECT_TRUE(IsEnded(second));
  EXPECT_FALSE(IsEnded(last));
  EXPECT_FALSE(IsEnded(other)) << "it came in by another door";
  EXPECT_EQ(open.EndSilent(1, 9, 3'600'000), 0u) << "it was not silent for an hour";
  EXPECT_EQ(open.size(), 4u);
}

TEST(OpenConnections, NeverEndsWhatIsNoTcpConnection) {
  std::array<int, 2> pair;
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, pair.data()), 0);
  OpenConnections open;
  open.Add(pair[0], 0);
  open.Add(1'000'000, 0);  // closed since, by its thread
  EXPECT_EQ(open.EndSilent(0, 9, 0), 0u);
  for (int end : pair) close(end);
}

// Looks are a fourth of a second apart, by a clock of their own, and in each second a connection
// must move a thousand bytes: what its client sends, which nobody reads.
class SlowConnections : public testing::Test {
 protected:
  struct Slow {
    int client;
    int socket;
    int each;  // bytes between two looks
  };

  Slow& Add(int each, int door = 1) {
    const int client = loopback_.Connect(), socket = loopback_.Accept();
    open_.Add(socket, door);
    return *slow_.emplace_back(new Slow{client, socket, each});
  }

  // Returns: how many were cut off.
  size_t Look(size_t count = 9) {
    for (auto& slow : slow_) {
      if (!IsCut(*slow)) Move(*slow);
    }
    now_ms_ += 250;
    return open_.CutSlow(1, count, watch_, now_ms_);
  }

  size_t Looks(int looks) {
    size_t cut = 0;
    for (int i = 0; i < looks; ++i) cut += Look();
    return cut;
  }

  static void Move(const Slow& slow) {
    const int64_t then = ActivityOf(slow.socket).moved + slow.each;
    const std::string bytes(slow.each, 'x');
    send(slow.client, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    for (int i = 0; i < 10'000 && ActivityOf(slow.socket).moved < then; ++i) usleep(1000);
  }

  static bool IsCut(const Slow& slow) {
    pollfd both_ways{slow.socket, 0, 0};
    return poll(&both_ways, 1, 0) == 1 && (both_ways.revents & POLLHUP) != 0;
  }

  Loopback loopback_;
  OpenConnections open_;
  SlowWatch watch_{1000, 1000};
  int64_t now_ms_ = 1'000'000;
  std::vector<std::unique_ptr<Slow>> slow_;
};

// The first window begins with the first look, so the second ends with the ninth.
constexpr int kTwoWindows = 9;

TEST_F(SlowConnections, AreCutOffTheSlowestFirstAfterTwoWindows) {
  const Slow &third = Add(240), &first = Add(10), &second = Add(100), &fast = Add(260);
  const Slow& other = Add(0, 2);
  EXPECT_EQ(Looks(kTwoWindows - 1), 0u);
  EXPECT_EQ(Look(1), 1u);
  EXPECT_TRUE(IsCut(first));
  EXPECT_FALSE(IsCut(second));
  EXPECT_EQ(Look(1), 0u) << "the one that was cut off is about to make room";
  open_.Remove(first.socket);
  EXPECT_EQ(Look(1), 1u);
  EXPECT_TRUE(IsCut(second));
  EXPECT_FALSE(IsCut(third));
  EXPECT_EQ(Looks(30), 1u);
  EXPECT_TRUE(IsCut(third));
  EXPECT_FALSE(IsCut(fast));
  EXPECT_FALSE(IsCut(other)) << "it came in by another door";
}

TEST_F(SlowConnections, AreNotThoseThatAreFastNowOrInEverySecondWindow) {
  Slow& late = Add(0);
  Slow& in_turns = Add(0);
  for (int i = 0; i < 8; ++i) EXPECT_EQ(Look(0), 0u);
  late.each = 4000;
  in_turns.each = 4000;
  EXPECT_EQ(Look(), 0u) << "in the last of their second windows";
  late.each = 0;
  EXPECT_EQ(Looks(4), 0u);
  for (int i = 0; i < 20; ++i) {
    late.each = in_turns.each = i % 8 < 4 ? 1000 : 0;
    EXPECT_EQ(Look(), 0u) << i;
  }
}

TEST_F(SlowConnections, AreNotThoseThatHaveJustBecomeFast) {
  Slow& slow = Add(0);
  for (int i = 0; i < kTwoWindows; ++i) EXPECT_EQ(Look(0), 0u);
  slow.each = 4000;
  EXPECT_EQ(Look(), 0u);
  slow.each = 0;
  EXPECT_EQ(Looks(3), 0u);
  EXPECT_EQ(Looks(8), 1u);
}

TEST_F(SlowConnections, BeginAnewAfterASecondWithoutALook) {
  Add(10);
  EXPECT_EQ(Looks(kTwoWindows - 1), 0u);
  now_ms_ += 750;
  EXPECT_EQ(Looks(kTwoWindows - 1), 0u);
  now_ms_ += 700;
  EXPECT_EQ(Look(), 1u) << "that was less than a second";
}

TEST_F(SlowConnections, BeginAnewAsAnother) {
  const Slow& slow = Add(10);
  EXPECT_EQ(Looks(kTwoWindows - 1), 0u);
  open_.Remove(slow.socket);
  open_.Add(slow.socket, 1);
  EXPECT_EQ(Looks(kTwoWindows - 1), 0u);
  EXPECT_EQ(Look(), 1u);
}

TEST_F(SlowConnections, AreCutOffOnceAndNotToldAfterwards) {
  Add(10);
  EXPECT_EQ(Looks(kTwoWindows), 1u);
  EXPECT_EQ(Looks(30), 0u);
  EXPECT_EQ(open_.EndSilent(1, 9, 0), 0u);
}

TEST_F(SlowConnections, AreNotThoseThatAreSilentUntilTheyWereTold) {
  SlowWatch watch(1000, 50);
  const Slow& silent = Add(0);
  for (int i = 0; i < 5; ++i, now_ms_ += 60, usleep(60'000)) {
    EXPECT_EQ(open_.CutSlow(1, 9, watch, now_ms_), 0u);
  }
  EXPECT_EQ(open_.EndSilent(1, 1, 50), 1u);
  EXPECT_FALSE(IsCut(silent));
  size_t cut = 0;
  for (int i = 0; i < 3; ++i, now_ms_ += 60) cut += open_.CutSlow(1, 9, watch, now_ms_);
  EXPECT_EQ(cut, 1u);
  EXPECT_TRUE(IsCut(silent));
}

TEST_F(SlowConnections, AreTcpConnections) {
  std::array<int, 2> pair;
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, pair.data()), 0);
  open_.Add(pair[0], 1);
  open_.Add(1'000'000, 1);  // closed since, by its thread
  EXPECT_EQ(Looks(30), 0u);
  for (int end : pair) close(end);
}

TEST_F(SlowConnections, AreNoneWithARateOfZero) {
  EXPECT_TRUE(watch_.on());
  EXPECT_FALSE(SlowWatch(0, 1000).on());
}

}  // namespace

namespace test {
namespace {

class Room : public KnotTest {
 protected:
  void SetUp() override {
    WriteFile(root_ / "small", "small");
    WriteFile(root_ / "big", Pattern(20'000'000));
  }

  // Nothing but making room ends a connection here.
  void StartWith(std::vector<std::string> flags) {
    flags.insert(flags.end(), {"--idle_timeout=86400", "--header_timeout=86400"});
    Start(flags);
  }

  std::string Counters() {
    server_->Signal(SIGUSR1);
    EXPECT_TRUE(server_->WaitForError("room_made="));
    return server_->Error();
  }

  // It is counted after the connection was ended.
  bool WaitForRoomMade(int count) {
    const std::string counter = " room_made=" + std::to_string(count) + " ";
    for (int i = 0; i < 600; ++i) {
      if (Counters().find(counter) != std::string::npos) return true;
      usleep(100'000);
    }
    return false;
  }
};

TEST_P(Room, IsMadeByAKeptConnection) {
  for (const char* spawn : {"--spawn=prefork", "--spawn=on_demand"}) {
    SCOPED_TRACE(spawn);
    StartWith({spawn, "--threads=2", "--make_room_after=1"});
    Client first(port_);
    EXPECT_EQ(first.Get("/small").body, "small");
    usleep(1'500'000);
    Client second(port_);
    EXPECT_EQ(second.Get("/small").body, "small");
    Client third(port_);
    EXPECT_EQ(third.Get("/small").body, "small");
    EXPECT_TRUE(first.AtEnd());
    EXPECT_EQ(second.Get("/small").body, "small") << "one waited, so one is ended";
    EXPECT_TRUE(WaitForRoomMade(1)) << server_->Error();
  }
}

TEST_P(Room, IsMadeByWhoeverSaysNothingOrHalfOfSomething) {
  for (const char* half : {"", "GET /small HTT", "GET /small HTTP/1.1\r\nHost: h\r\n",
                           "GET /small HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nab"}) {
    SCOPED_TRACE(half);
    StartWith({"--threads=1", "--make_room_after=1"});
    Client slow(port_);
    slow.Send(half);
    EXPECT_EQ(Client(port_).Get("/small").body, "small");
    EXPECT_TRUE(slow.AtEnd());
  }
}

// Whoever is never silent must not keep its thread for ever; it is told with its last reply.
TEST_P(Room, IsMadeByWhoeverGoesOnAsking) {
  for (const char* spawn : {"--spawn=prefork", "--spawn=on_demand"}) {
    SCOPED_TRACE(spawn);
    StartWith({spawn, "--threads=1", "--make_room_after=1"});
    Client busy(port_), waiting(port_);
    waiting.Send("GET /small HTTP/1.1\r\nHost: h\r\n\r\n");
    bool told = false;
    for (int i = 0; i < 6000 && !told; ++i, usleep(10'000)) {
      Reply reply = busy.Get("/small");
      ASSERT_EQ(reply.body, "small");
      told = reply.fields["connection"] == "close";
    }
    EXPECT_TRUE(told);
    EXPECT_TRUE(busy.AtEnd());
    EXPECT_EQ(waiting.Read().body, "small");
  }
}

TEST_P(Room, IsMadeForAsManyAsWait) {
  StartWith({"--threads=10", "--make_room_after=1"});
  std::vector<std::unique_ptr<Client>> silent, late;
  for (int i = 0; i < 10; ++i) silent.push_back(std::make_unique<Client>(port_));
  for (auto& client : silent) EXPECT_EQ(client->Get("/small").body, "small");
  for (int i = 0; i < 10; ++i) late.push_back(std::make_unique<Client>(port_));
  for (auto& client : late) EXPECT_EQ(client->Get("/small").body, "small");
}

TEST_P(Room, IsMadeOnEachScheduler) {
  StartWith({"--threads=4", "--schedulers=2", "--make_room_after=1"});
  std::vector<std::unique_ptr<Client>> clients;
  for (int i = 0; i < 40; ++i) {
    clients.push_back(std::make_unique<Client>(port_));
    EXPECT_EQ(clients.back()->Get("/small").body, "small");
  }
}

// Both move more than the least rates ask for, so that only making room ends them.
TEST_P(Room, IsMadeByCuttingOffASlowBody) {
  StartWith({"--threads=1", "--make_room_after=1"});
  Client slow(port_);
  slow.Send("GET /small HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000\r\n\r\n");
  Client waiting(port_);
  waiting.Send("GET /small HTTP/1.1\r\nHost: h\r\n\r\n");
  std::string body;
  std::thread reading([&] { body = waiting.Read().body; });
  for (int i = 0; i < 300 && slow.Send(std::string(300, 'b')); ++i) usleep(100'000);
  reading.join();
  EXPECT_EQ(body, "small");
  EXPECT_FALSE(slow.Send("b")) << "it was over before it was cut off";
  EXPECT_TRUE(WaitForRoomMade(1)) << server_->Error();
}

TEST_P(Room, IsMadeByCuttingOffASlowReply) {
  for (const char* send : {"--send=cache", "--send=inline", "--send=blocking", "--send=poll"}) {
    SCOPED_TRACE(send);
    StartWith({"--threads=1", "--make_room_after=1", "--send_timeout=50", "--cache_mb=200", send});
    Client slow(port_, 16384);
    slow.Send("GET /big HTTP/1.1\r\nHost: h\r\n\r\n");
    slow.ReadBytes(1000);
    Client waiting(port_);
    waiting.Send("GET /small HTTP/1.1\r\nHost: h\r\n\r\n");
    EXPECT_EQ(waiting.Read().body, "small");
    EXPECT_TRUE(WaitForRoomMade(2)) << "told to end, then cut off\n" << server_->Error();
    EXPECT_LT(slow.ReadBytes(20'000'000).size(), 20'000'000u);
  }
}

TEST_P(Room, IsNotMadeByCuttingOffWhoIsFastEnough) {
  StartWith({"--threads=1", "--make_room_after=1", "--crowded_rate=20000"});
  Client fast(port_);
  fast.Send("GET /small HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000\r\n\r\n");
  Client waiting(port_);
  waiting.Send("GET /small HTTP/1.1\r\nHost: h\r\n\r\n");
  for (int i = 0; i < 40; ++i, usleep(100'000)) {
    ASSERT_TRUE(fast.Send(std::string(25'000, 'b')));
  }
  EXPECT_EQ(fast.Read().body, "small");
  EXPECT_EQ(waiting.Read().body, "small");
}

TEST_P(Room, IsNotMadeByCuttingAReplyShortWhereThatIsOff) {
  for (const char* send : {"--send=cache", "--send=inline"}) {
    SCOPED_TRACE(send);
    StartWith({"--threads=1", "--make_room_after=1", "--crowded_rate=0", "--send_timeout=50",
               "--cache_mb=200", send});
    Client slow(port_, 16384);
    slow.Send("GET /big HTTP/1.1\r\nHost: h\r\n\r\n");
    std::string got = slow.ReadBytes(10'000);
    Client waiting(port_);
    waiting.Send("GET /small HTTP/1.1\r\nHost: h\r\n\r\n");
    usleep(2'500'000);  // silent, since it reads nothing
    got += slow.ReadBytes(20'000'000 + got.find("\r\n\r\n") + 4 - got.size());
    EXPECT_TRUE(got.substr(got.find("\r\n\r\n") + 4) == Pattern(20'000'000));
    EXPECT_EQ(waiting.Read().body, "small");
  }
}

TEST_P(Room, IsNotMadeWhileAThreadIsFree) {
  StartWith({"--threads=3", "--make_room_after=1"});
  Client first(port_), second(port_);
  EXPECT_EQ(first.Get("/small").body, "small");
  EXPECT_EQ(second.Get("/small").body, "small");
  usleep(1'500'000);
  for (int i = 0; i < 20; ++i) EXPECT_EQ(Client(port_).Get("/small").body, "small");
  for (Client* client : {&first, &second}) {
    Reply reply = client->Get("/small");
    EXPECT_EQ(reply.body, "small");
    EXPECT_EQ(reply.fields.count("connection"), 0u);
  }
  EXPECT_NE(Counters().find(" room_made=0 "), std::string::npos) << server_->Error();
}

TEST_P(Room, IsNotMadeWhereThatIsOff) {
  StartWith({"--threads=1", "--make_room_after=0"});
  auto silent = std::make_unique<Client>(port_);
  EXPECT_EQ(silent->Get("/small").body, "small");
  Client waiting(port_);
  waiting.Send("GET /small HTTP/1.1\r\nHost: h\r\n\r\n");
  usleep(1'500'000);
  EXPECT_EQ(silent->Get("/small").body, "small");
  silent.reset();
  EXPECT_EQ(waiting.Read().body, "small");
}

TEST_P(Room, FlagsHaveTheirRanges) {
  for (const char* flag : {"--make_room_after=-1", "--make_room_after=86401",
                           "--make_room_after=soon", "--crowded_rate=-1", "--crowded_rate=2e9"}) {
    ServerProcess process(GetParam(), {flag});
    EXPECT_EQ(process.WaitForExit(), 2);
    EXPECT_NE(process.Error().find(flag), std::string::npos) << process.Error();
  }
}

INSTANTIATE_FOR_BINARIES(Room);

}  // namespace
}  // namespace test
}  // namespace knot
