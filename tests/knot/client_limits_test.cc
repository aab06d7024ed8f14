// Limits of a client: connections at a time, and requests a second.

#include "knot/client_limits.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <cstdlib>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "tests/knot/support/client.h"
#include "tests/knot/support/server_process.h"

namespace knot {
namespace {

constexpr int64_t kSecond = 1'000'000'000;

PeerAddress Ipv4(const char* text) {
  PeerAddress peer{};
  peer.v4.sin_family = AF_INET;
  EXPECT_EQ(inet_pton(AF_INET, text, &peer.v4.sin_addr), 1);
  return peer;
}

PeerAddress Ipv6(const char* text) {
  PeerAddress peer{};
  peer.v6.sin6_family = AF_INET6;
  EXPECT_EQ(inet_pton(AF_INET6, text, &peer.v6.sin6_addr), 1);
  return peer;
}

ClientKey Key(uint64_t number) { return {number, 0}; }

TEST(ClientOf, IsAnAddressOrItsNetwork) {
  auto v4 = [](const char* text) { return *ClientOf(Ipv4(text)); };
  auto v6 = [](const char* text) { return *ClientOf(Ipv6(text)); };
  EXPECT_EQ(v4("192.0.2.1"), v4("192.0.2.1"));
  EXPECT_FALSE(v4("192.0.2.1") == v4("192.0.2.2"));
  EXPECT_EQ(v6("2001:db8:1:2::1"), v6("2001:db8:1:2:ffff::9"));
  EXPECT_FALSE(v6("2001:db8:1:2::1") == v6("2001:db8:1:3::1"));
  EXPECT_EQ(v6("::ffff:192.0.2.1"), v4("192.0.2.1")) << "one client by two kinds of socket";
  EXPECT_FALSE(v6("::1") == v4("0.0.0.0"));
  EXPECT_FALSE(v6("::1") == v6("::ffff:0.0.0.1"));
  PeerAddress unix_socket{};
  unix_socket.any.sa_family = AF_UNIX;
  EXPECT_FALSE(ClientOf(unix_socket).has_value());
}

TEST(ClientLimits, CountConnections) {  // L2
  ClientLimits limits({.connections = 2});
  EXPECT_TRUE(limits.Enter(Key(1)));
  EXPECT_TRUE(limits.Enter(Key(1)));
  EXPECT_FALSE(limits.Enter(Key(1)));
  EXPECT_TRUE(limits.Enter(Key(2))) << "another client's";
  limits.Leave(Key(1));
  EXPECT_TRUE(limits.Enter(Key(1)));
  EXPECT_FALSE(limits.Enter(Key(1)));
}

TEST(ClientLimits, ForgetIdleClientsButNoOthers) {  // L1
  ClientLimits limits({.connections = 1, .rate = 1, .burst = 1}, 4);
  EXPECT_TRUE(limits.Enter(Key(0)));
  EXPECT_EQ(limits.TakeRequest(Key(0), 0), 0);
  EXPECT_EQ(limits.TakeRequest(Key(1), 0), 0);
  for (uint64_t i = 2; i < 100; ++i) {
    EXPECT_EQ(limits.TakeRequest(Key(i), 0), 0);
    EXPECT_GT(limits.TakeRequest(Key(1), 0), 0) << "forgotten, but used all the time";
    EXPECT_LE(limits.idle(), 4u);
  }
  EXPECT_EQ(limits.connected(), 1u);
  EXPECT_FALSE(limits.Enter(Key(0)));
  EXPECT_GT(limits.TakeRequest(Key(0), 0), 0);
  EXPECT_EQ(limits.TakeRequest(Key(2), 0), 0) << "the one used longest ago goes first";
  limits.Leave(Key(0));
  EXPECT_EQ(limits.connected(), 0u);
  EXPECT_LE(limits.idle(), 4u);
}

TEST(ClientLimits, LetABurstThroughAndThenTheRate) {
  ClientLimits limits({.rate = 10, .burst = 3});
  const int64_t start = 5 * kSecond;
  for (int i = 0; i < 3; ++i) EXPECT_EQ(limits.TakeRequest(Key(1), start), 0);
  EXPECT_EQ(limits.TakeRequest(Key(1), start), kSecond / 10);
  EXPECT_EQ(limits.TakeRequest(Key(2), start), 0) << "another client's";
  EXPECT_EQ(limits.TakeRequest(Key(1), start + kSecond / 20), kSecond / 20);
  EXPECT_EQ(limits.TakeRequest(Key(1), start + kSecond / 10), 0);
  EXPECT_GT(limits.TakeRequest(Key(1), start + kSecond / 10), 0);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(limits.TakeRequest(Key(1), start + kSecond), 0);
  EXPECT_GT(limits.TakeRequest(Key(1), start + kSecond), 0) << "no more than a burst is saved up";
}

TEST(ClientLimits, KeepTheRateOverAnySpan) {  // L3
  std::mt19937 random(1);
  for (int rate : {1, 4, 1000}) {
    for (int burst : {1, 2, 50}) {
      ClientLimits limits({.rate = rate, .burst = burst});
      std::vector<int64_t> passed;
      for (int64_t now = 0; passed.size() < 500; now += random() % (kSecond / rate / 2)) {
        if (limits.TakeRequest(Key(1), now) == 0) passed.push_back(now);
      }
      for (size_t i = 0; i < passed.size(); ++i) {
        for (size_t k = i; k < passed.size(); ++k) {
          int64_t span = passed[k] - passed[i];
          ASSERT_LE(static_cast<int64_t>(k - i + 1), burst + span * rate / kSecond)
              << rate << " " << burst << " " << span;
        }
      }
    }
  }
}

TEST(ClientLimits, HoldUpNobodyWhoKeepsToTheRate) {  // L4
  for (int rate : {1, 3, 7, 1000, 1'000'000}) {
    ClientLimits limits({.rate = rate, .burst = 1});
    for (int64_t i = 0; i < 5000; ++i) {
      ASSERT_EQ(limits.TakeRequest(Key(1), kSecond + i * kSecond / rate), 0) << rate << " " << i;
    }
  }
}

TEST(ClientLimits, SayHowLongToWait) {
  ClientLimits limits({.rate = 4, .burst = 2});
  int64_t now = 0;
  for (int i = 0; i < 100; ++i) {
    int64_t wait = limits.TakeRequest(Key(1), now);
    if (wait == 0) continue;
    EXPECT_GT(limits.TakeRequest(Key(1), now + wait - 1), 0);
    EXPECT_EQ(limits.TakeRequest(Key(1), now + wait), 0);
    now += wait;
  }
}

TEST(ClientLimits, AgreeWithASimpleCount) {  // L1, L2
  constexpr int kMost = 3;
  ClientLimits limits({.connections = kMost}, 8);
  std::map<uint64_t, int> counts;
  std::mt19937 random(2);
  for (int i = 0; i < 100'000; ++i) {
    uint64_t client = random() % 30;
    if (random() % 2 == 0) {
      bool may = counts[client] < kMost;
      ASSERT_EQ(limits.Enter(Key(client)), may);
      if (may) ++counts[client];
    } else if (counts[client] > 0) {
      limits.Leave(Key(client));
      --counts[client];
    }
    size_t connected = 0;
    for (const auto& [key, count] : counts) connected += count > 0 ? 1 : 0;
    ASSERT_EQ(limits.connected(), connected);
    ASSERT_LE(limits.idle(), 8u);
  }
}

TEST(ClientLimits, AreCountedRightByManyThreads) {
  ClientLimits limits({.connections = 5, .rate = 1'000'000, .burst = 1'000'000}, 16);
  std::vector<std::thread> threads;
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 5000; ++i) {
        ClientKey key = Key((t + i) % 3);
        limits.TakeRequest(Key(i), i);
        if (limits.Enter(key)) limits.Leave(key);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(limits.connected(), 0u);
}

}  // namespace

namespace test {
namespace {

class Limits : public KnotTest {
 protected:
  void SetUp() override { WriteFile(root_ / "small", "small"); }
};

TEST_P(Limits, AClientHasSoManyConnections) {
  for (const char* spawn : {"--spawn=prefork", "--spawn=on_demand"}) {
    SCOPED_TRACE(spawn);
    Start({"--threads=16", spawn, "--client_connections=2"});
    auto first = std::make_unique<Client>(port_);
    Client second(port_);
    EXPECT_EQ(first->Get("/small").body, "small");
    EXPECT_EQ(second.Get("/small").body, "small");
    for (int i = 0; i < 30; ++i) {
      Client more(port_);
      EXPECT_TRUE(more.AtEnd()) << "served, or left waiting";
    }
    EXPECT_EQ(second.Get("/small").body, "small");
    server_->Signal(SIGUSR1);
    EXPECT_TRUE(server_->WaitForError(" turned_away=30 ")) << server_->Error();
    first.reset();
    bool served = false;  // once the server has seen the end
    for (int i = 0; i < 1000 && !served; ++i) {
      served = Client(port_).Get("/small").body == "small";
      if (!served) usleep(10'000);
    }
    EXPECT_TRUE(served);
  }
}

TEST_P(Limits, AClientSendsSoManyRequests) {
  Start({"--threads=8", "--client_rate=2", "--client_burst=5"});
  Client client(port_);
  for (int i = 0; i < 5; ++i) EXPECT_EQ(client.Get("/small").body, "small");
  Reply refused;
  for (int i = 0; i < 1000 && refused.status != 429; ++i) refused = client.Get("/small");
  ASSERT_EQ(refused.status, 429);
  EXPECT_EQ(refused.fields["retry-after"], "1");
  EXPECT_EQ(refused.fields["x-content-type-options"], "nosniff");
  // By another connection, or another kind of request, it is the same client.
  for (const char* method : {"HEAD", "POST", "OPTIONS", "NONSENSE"}) {
    int status = 0;
    for (int i = 0; i < 1000 && status != 429; ++i) {
      Client again(port_);
      again.Send(std::string(method) + " / HTTP/1.1\r\nHost: h\r\n\r\n");
      status = again.Read(method == std::string("HEAD")).status;
    }
    EXPECT_EQ(status, 429) << method;
  }
  bool served = false;
  for (int i = 0; i < 1000 && !served; ++i) {
    served = client.Get("/small").status == 200;
    if (!served) usleep(10'000);
  }
  EXPECT_TRUE(served) << "never let through again";
}

TEST_P(Limits, OneClientDoesNotSpendAnothers) {
  ServerProcess server(GetParam(), {"--listen=127.0.0.1:0", "--listen=[::1]:0", "--threads=8",
                                    "--client_rate=1", "--client_burst=2", root_.path()});
  std::vector<uint16_t> ports = server.WaitForPorts();
  ASSERT_EQ(ports.size(), 2u) << server.Error();
  Client ipv4(ports[0]);
  Reply refused;
  for (int i = 0; i < 1000 && refused.status != 429; ++i) refused = ipv4.Get("/small");
  ASSERT_EQ(refused.status, 429);
  EXPECT_EQ(Client(ports[1], 0, true).Get("/small").status, 200);
}

TEST_P(Limits, RefuseAtStartWhatIsWrong) {
  for (const char* flag : {"--client_connections=-1", "--client_rate=-1", "--client_rate=1000001",
                           "--client_burst=-1", "--client_connections=many"}) {
    ServerProcess process(GetParam(), {flag});
    EXPECT_EQ(process.WaitForExit(), 2) << flag;
    EXPECT_NE(process.Error().find(flag), std::string::npos) << process.Error();
  }
}

INSTANTIATE_FOR_BINARIES(Limits);

}  // namespace
}  // namespace test
}  // namespace knot
