// Contents arrive whole and right, or visibly not at all, by each way of sending them.

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <string>
#include <tuple>
#include <vector>

#include "tests/knot/support/client.h"
#include "tests/knot/support/server_process.h"

namespace knot::test {
namespace {

const std::vector<std::string> kPolicies = {"auto",     "cache", "nonblocking",
                                            "blocking", "poll",  "inline"};

class Files : public KnotTest {
 protected:
  void StartSending(const std::string& policy) { Start({"--send=" + policy, "--threads=32"}); }

  // A change becomes visible within about a second; this waits for it as long as it takes.
  // Requires: it comes.
  std::string GetUntil(const std::string& target, const std::string& wanted) {
    Client client(port_);
    std::string body;
    for (int i = 0; i < 2000; ++i) {
      body = client.Get(target).body;
      if (body == wanted) break;
      EXPECT_TRUE(body == first_) << "neither the old nor the new contents";
      usleep(10'000);
    }
    return body;
  }

  std::string first_;
};

TEST_P(Files, ArriveWholeWithEachPolicy) {
  const std::string big = Pattern(100'000'000);
  WriteFile(root_ / "big", big);
  for (size_t size : {size_t{1}, size_t{4096}, size_t{65536}, size_t{65537}, size_t{1'000'001}}) {
    WriteFile(root_ / std::to_string(size), big.substr(0, size));
  }
  for (const std::string& policy : kPolicies) {
    SCOPED_TRACE(policy);
    StartSending(policy);
    Client client(port_);
    for (int round = 0; round < 2; ++round) {
      for (size_t size :
           {size_t{1}, size_t{4096}, size_t{65536}, size_t{65537}, size_t{1'000'001}}) {
        EXPECT_TRUE(client.Get("/" + std::to_string(size)).body == big.substr(0, size)) << size;
      }
    }
    EXPECT_TRUE(client.Get("/big").body == big);
    Reply head;
    client.Send("HEAD /big HTTP/1.1\r\nHost: h\r\n\r\n");
    EXPECT_EQ(client.Read(true).fields["content-length"], "100000000");
    EXPECT_EQ(client.Get("/1").body, big.substr(0, 1));
  }
}

TEST_P(Files, ThatChangeAreSeenWithEachPolicy) {
  for (const std::string& policy : kPolicies) {
    SCOPED_TRACE(policy);
    for (size_t size : {size_t{1000}, size_t{200'000}}) {
      first_ = std::string(size, 'a');
      const std::string second(size, 'b');
      WriteFile(root_ / "replaced", first_);
      StartSending(policy);
      EXPECT_TRUE(GetUntil("/replaced", first_) == first_);
      WriteFile(root_ / "new", second);
      std::filesystem::rename(root_ / "new", root_ / "replaced");
      EXPECT_TRUE(GetUntil("/replaced", second) == second) << size;
    }
  }
}

TEST_P(Files, ThatVanishAreGone) {
  WriteFile(root_ / "file", "contents");
  StartSending("auto");
  Client client(port_);
  EXPECT_EQ(client.Get("/file").status, 200);
  std::filesystem::remove(root_ / "file");
  int status = 200;
  for (int i = 0; i < 2000 && status == 200; ++i, usleep(10'000))
    status = client.Get("/file").status;
  EXPECT_EQ(status, 404);
}

TEST_P(Files, ThatShrinkCloseTheConnectionAfterRightBytesOnly) {
  const std::string contents = Pattern(40'000'000);
  for (const char* policy : {"nonblocking", "blocking", "poll", "inline", "auto"}) {
    SCOPED_TRACE(policy);
    WriteFile(root_ / "file", contents);
    StartSending(policy);
    Client slow(port_, 16384);
    slow.Send("GET /file HTTP/1.1\r\nHost: h\r\n\r\n");
    std::string got = slow.ReadBytes(1'000'000);
    // Far behind what the kernel has taken to send: where it cuts a page, or a run of pages it
    // holds as one, it clears the rest even under bytes on their way (docs/knot.md, limits).
    constexpr size_t kLeft = 30'000'000;
    std::filesystem::resize_file(root_ / "file", kLeft);
    got += slow.ReadBytes(contents.size() + 10'000);
    EXPECT_TRUE(slow.AtEnd());
    size_t body = got.find("\r\n\r\n") + 4;
    EXPECT_LE(got.size() - body, kLeft);
    EXPECT_TRUE(contents.compare(0, got.size() - body, got, body, std::string::npos) == 0)
        << "bytes that never stood there";
    EXPECT_EQ(Client(port_).Get("/none").status, 404) << "the server is gone";
  }
}

TEST_P(Files, OfManySizesAreServedFromATinyCache) {
  std::vector<std::string> contents;
  for (int i = 0; i < 60; ++i) {
    contents.push_back(Pattern(1 + i * 4001));
    WriteFile(root_ / std::to_string(i), contents.back());
  }
  for (const char* policy : {"--send=auto", "--send=cache", "--send=inline"}) {
    for (const char* size : {"--cache_mb=0", "--cache_mb=1"}) {
      SCOPED_TRACE(std::string(policy) + size);
      Start({policy, size, "--threads=32"});
      std::vector<std::unique_ptr<Client>> clients;
      for (int i = 0; i < 8; ++i) clients.push_back(std::make_unique<Client>(port_));
      for (int i = 0; i < 240; ++i) {
        EXPECT_TRUE(clients[i % 8]->Get("/" + std::to_string(i % 60)).body == contents[i % 60])
            << i;
      }
    }
  }
}

INSTANTIATE_FOR_BINARIES(Files);

}  // namespace
}  // namespace knot::test
