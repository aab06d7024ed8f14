// The bound on memory: what options it carries, and that it holds whatever clients do.

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "knot/allowance.h"
#include "knot/memory_budget.h"
#include "tests/knot/support/client.h"
#include "tests/knot/support/server_process.h"

namespace knot {
namespace {

constexpr int64_t kMiB = 1 << 20;

Options Usual() {
  Options options;
  options.threads = 1024;
  options.stack_kb = 64;
  options.cache_mb = 64;
  options.access_log = "off";
  return options;
}

int64_t Needed(const Options& options) {
  int64_t bytes = 0;
  for (const MemoryShare& share : MemoryShares(options)) bytes += share.bytes;
  return bytes;
}

TEST(MemoryShares, GrowWithWhatTheOptionsAskFor) {
  const Options usual = Usual();
  EXPECT_GE(Needed(usual), 128 * kMiB) << "stacks and cache alone";
  const struct {
    const char* name;
    void (*change)(Options*);
    int64_t least;
  } kCases[] = {
      {"threads", [](Options* o) { o->threads += 1000; }, 1000 * 64 * 1024},
      {"stacks", [](Options* o) { o->stack_kb += 64; }, 1024 * 64 * 1024},
      {"cache", [](Options* o) { o->cache_mb += 10; }, 10 * kMiB},
      {"log", [](Options* o) { o->access_log = "-"; }, 2 * kMiB},
      {"processes", [](Options* o) { o->processes = 2; }, kMiB},
      {"compressing", [](Options* o) { o->compress.Add(Coding::kGzip); }, kMiB},
      {"a limit of connections", [](Options* o) { o->policy.client_connections = 1; }, kMiB},
      {"a limit of requests", [](Options* o) { o->policy.client_rate = 1; }, kMiB},
      {"passwords", [](Options* o) { o->policy.auth.push_back("/=f"); }, kMiB},
  };
  for (const auto& c : kCases) {
    Options options = usual;
    c.change(&options);
    EXPECT_GE(Needed(options), Needed(usual) + c.least) << c.name;
  }
}

TEST(CheckMemory, RefusesWhatTheBoundDoesNotCarry) {
  Options options = Usual();
  EXPECT_TRUE(CheckMemory(options).ok()) << "there is no bound";
  int needed = static_cast<int>((Needed(options) + kMiB - 1) / kMiB);
  options.policy.memory_mb = needed;
  EXPECT_TRUE(CheckMemory(options).ok());
  options.policy.memory_mb = needed - 1;
  absl::Status status = CheckMemory(options);
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  for (const std::string& part :
       {std::string("--memory_mb="), "need " + std::to_string(needed) + " MiB",
        std::string("stacks 68"), std::string("cache 80"), std::string("--threads")}) {
    EXPECT_NE(status.message().find(part), std::string::npos) << part << "\n" << status;
  }
}

TEST(Allowance, LendsNoMoreThanThereIs) {  // B1
  Allowance allowance(100);
  auto first = std::make_unique<Allowance::Loan>(allowance, 60);
  EXPECT_TRUE(first->given());
  {
    Allowance::Loan second(allowance, 40), third(allowance, 1);
    EXPECT_TRUE(second.given());
    EXPECT_FALSE(third.given());
    EXPECT_EQ(allowance.lent(), 100);
  }
  EXPECT_EQ(allowance.lent(), 60);
  first.reset();
  Allowance::Loan large(allowance, 1000), other(allowance, 1);
  EXPECT_TRUE(large.given()) << "the only one";
  EXPECT_FALSE(other.given());
}

}  // namespace

namespace test {
namespace {

class Memory : public KnotTest {
 protected:
  static constexpr int kConnections = 2000;

  // Returns: what stands behind `name` in /proc/PID/status, in KiB.
  int64_t Status(const std::string& name) {
    std::string text = ReadFile("/proc/" + std::to_string(server_->pid()) + "/status");
    size_t at = text.find(name + ":");
    return at == std::string::npos ? 0 : std::atoll(&text[at + name.size() + 1]);
  }
};

// The bound is the least that Knot takes for these options. Every connection is made to hold what
// it can: a buffer with a head that never ends, after a request whose line in the log is long.
TEST_P(Memory, StaysBelowTheBoundWithThousandsOfSlowConnections) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "sanitizers hold memory of their own";
#endif
  rlimit limit;
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &limit), 0);
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
  if (limit.rlim_cur < kConnections + 200) GTEST_SKIP() << "too few open files";
  WriteFile(root_ / "small", "small");
  WriteFile(root_ / "text.txt", std::string(50'000, 'a'));
  TempDirectory logs;
  std::vector<std::string> flags = {"--threads=" + std::to_string(kConnections + 8),
                                    "--cache_mb=16", "--compress=gzip,br,zstd",
                                    "--access_log=" + logs / "log", "--header_timeout=600"};
  std::vector<std::string> too_little = flags;
  too_little.push_back("--memory_mb=1");
  ServerProcess refused(GetParam(), too_little);
  ASSERT_EQ(refused.WaitForExit(), 2);
  const std::string kNeed = "can need ";
  std::string error = refused.Error();
  ASSERT_NE(error.find(kNeed), std::string::npos) << error;
  int64_t needed = std::atoll(&error[error.find(kNeed) + kNeed.size()]);
  flags.push_back("--memory_mb=" + std::to_string(needed));
  Start(flags);

  const std::string target = "/none" + std::string(3900, '\x7f');
  std::string half = "GET / HTTP/1.1\r\nHost: h\r\nX-Long: ";
  half.append(7000, 'x');
  std::vector<std::unique_ptr<Client>> clients;
  for (int i = 0; i < kConnections; ++i) {
    clients.push_back(std::make_unique<Client>(port_));
    ASSERT_TRUE(clients.back()->Send("GET " + target + " HTTP/1.1\r\nHost: h\r\n\r\n" + half));
  }
  for (auto& client : clients) EXPECT_GE(client->Read().status, 400);
  Client usual(port_);
  EXPECT_EQ(usual.Get("/small").body, "small");
  for (const char* coding : {"gzip", "br", "zstd"}) {
    usual.Send(std::string("GET /text.txt HTTP/1.1\r\nHost: h\r\nAccept-Encoding: ") + coding +
               "\r\n\r\n");
    EXPECT_EQ(usual.Read().status, 200);
  }
  int64_t most = Status("VmHWM");
  EXPECT_GT(most, 0);
  EXPECT_LE(most, needed * 1024) << "KiB";
  RecordProperty("most_kib", static_cast<int>(most));
  RecordProperty("bound_mib", static_cast<int>(needed));
}

TEST_P(Memory, RefusesAtStartWhatIsWrong) {
  for (const char* flag : {"--memory_mb=-1", "--memory_mb=x", "--memory_mb=20"}) {
    ServerProcess process(GetParam(), {flag});
    EXPECT_EQ(process.WaitForExit(), 2) << flag;
    std::string error = process.Error();
    EXPECT_NE(error.find(flag), std::string::npos) << error;
    EXPECT_EQ(error.find('\n'), error.size() - 1) << error;
  }
}

INSTANTIATE_FOR_BINARIES(Memory);

}  // namespace
}  // namespace test
}  // namespace knot
