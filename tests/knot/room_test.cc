// Where every thread serves and connections wait, those that are silent make room.

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <memory>
#include <string>
#include <vector>

#include "knot/group.h"
#include "knot/room_keeper.h"
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
    EXPECT_NE(Counters().find(" room_made=1 "), std::string::npos) << server_->Error();
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

TEST_P(Room, IsNotMadeByCuttingAReplyShort) {
  for (const char* send : {"--send=cache", "--send=inline"}) {
    SCOPED_TRACE(send);
    StartWith({"--threads=1", "--make_room_after=1", "--send_timeout=50", "--cache_mb=200", send});
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

TEST_P(Room, FlagHasARange) {
  for (const char* value : {"-1", "86401", "soon"}) {
    ServerProcess process(GetParam(), {std::string("--make_room_after=") + value});
    EXPECT_EQ(process.WaitForExit(), 2);
    EXPECT_NE(process.Error().find(std::string("--make_room_after=") + value), std::string::npos)
        << process.Error();
  }
}

INSTANTIATE_FOR_BINARIES(Room);

}  // namespace
}  // namespace test
}  // namespace knot
