// The parts behind the admin address, each alone.

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cstdint>
#include <limits>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "knot/admin/admin.h"
#include "knot/admin/board.h"
#include "knot/admin/exposition.h"
#include "knot/admin/page.h"
#include "knot/admin/report.h"
#include "knot/clock.h"
#include "knot/options_admin.h"
#include "knot/request_metrics.h"
#include "tests/knot/support/client.h"

namespace knot {
namespace {

TEST(Exposition, WritesHelpTypeAndLines) {
  Exposition out;
  out.Begin("a_total", "counter", "What a counts.");
  out.Line("1");
  out.Begin("b", "histogram", "What b counts.");
  out.Line("2", {{"le", "0.5"}, {"x", "y"}}, "_bucket");
  EXPECT_EQ(out.text(),
            "# HELP a_total What a counts.\n# TYPE a_total counter\na_total 1\n"
            "# HELP b What b counts.\n# TYPE b histogram\nb_bucket{le=\"0.5\",x=\"y\"} 2\n");
}

TEST(Exposition, EscapesHelpAndLabels) {
  Exposition out;
  out.Begin("a", "gauge", "back\\slash \"quoted\"\nnext");
  out.Line("1", {{"l", "back\\slash \"quoted\"\nnext"}});
  EXPECT_EQ(out.text(),
            "# HELP a back\\\\slash \"quoted\"\\nnext\n# TYPE a gauge\n"
            "a{l=\"back\\\\slash \\\"quoted\\\"\\nnext\"} 1\n");
}

TEST(Exposition, TellsNanosecondsAsSecondsExactly) {
  for (const auto& [nanoseconds, text] : std::vector<std::pair<uint64_t, const char*>>{
           {0, "0"},
           {1, "0.000000001"},
           {1000, "0.000001"},
           {20'000, "0.00002"},
           {500'000'000, "0.5"},
           {1'000'000'000, "1"},
           {1'000'000'001, "1.000000001"},
           {100'000'000'000, "100"},
           {12'340'000'000, "12.34"},
           {18'446'744'073'709'551'615u, "18446744073.709551615"}}) {
    EXPECT_EQ(SecondsText(nanoseconds), text);
  }
}

TEST(RequestMetrics, BoundsBelongToTheirBucketsAndWhatFollowsToTheNext) {
  constexpr size_t kLast = RequestMetrics::kBuckets - 1;
  for (size_t i = 0; i < kLast; ++i) {
    int64_t bound = RequestMetrics::UpperBound(i);
    EXPECT_EQ(RequestMetrics::BucketOf(bound), i) << bound;
    EXPECT_EQ(RequestMetrics::BucketOf(bound + 1), i + 1) << bound;
  }
  EXPECT_EQ(RequestMetrics::UpperBound(0), 1000);
  EXPECT_EQ(RequestMetrics::UpperBound(8), 9000);
  EXPECT_EQ(RequestMetrics::UpperBound(9), 10'000);
  EXPECT_EQ(RequestMetrics::UpperBound(kLast - 1), 100'000'000'000);
  for (int64_t least : {int64_t{-1}, int64_t{0}, int64_t{1}, int64_t{999}}) {
    EXPECT_EQ(RequestMetrics::BucketOf(least), 0u);
  }
  for (int64_t most : {int64_t{999'000'000'000}, int64_t{1'000'000'000'000},
                       int64_t{1'000'000'000'001}, std::numeric_limits<int64_t>::max()}) {
    EXPECT_EQ(RequestMetrics::BucketOf(most), kLast);
  }
}

TEST(RequestMetrics, CountsByStatusAndTime) {
  RequestMetrics metrics;
  metrics.Note(200, MonotonicNs());
  metrics.Note(200, MonotonicNs() - 1'500'000'000);
  metrics.Note(599, MonotonicNs() + 60'000'000'000);  // begun later than now: took no time
  metrics.Note(99, MonotonicNs());
  metrics.Note(600, MonotonicNs());
  metrics.Note(-1, MonotonicNs());
  RequestMetrics::Counts counts;
  metrics.AddTo(&counts);
  metrics.AddTo(&counts);
  EXPECT_EQ(counts.by_status[100], 4u);
  EXPECT_EQ(counts.by_status[499], 2u);
  uint64_t statuses = 0, times = 0;
  for (uint64_t n : counts.by_status) statuses += n;
  for (uint64_t n : counts.by_time) times += n;
  EXPECT_EQ(statuses, 6u);
  EXPECT_EQ(times, 12u);
  EXPECT_GE(counts.nanoseconds, 3'000'000'000u);
}

AdminOptions Options(const std::string& host, bool others = false) {
  AdminOptions options;
  options.on = true;
  options.address = {host, 9180};
  options.others = others;
  return options;
}

TEST(AdminOptions, OnlyLoopbackAddressesNeedNoWord) {
  for (const char* host : {"127.0.0.1", "127.255.255.254", "::1"}) {
    EXPECT_TRUE(CheckAdmin(Options(host)).ok()) << host;
  }
  for (const char* host : {"0.0.0.0", "::", "10.0.0.1", "192.168.1.1", "128.0.0.1", "fe80::1",
                           "::ffff:127.0.0.1", "::2", "", "localhost"}) {
    EXPECT_FALSE(CheckAdmin(Options(host)).ok()) << host;
    EXPECT_TRUE(CheckAdmin(Options(host, true)).ok()) << host;
  }
  AdminOptions off = Options("0.0.0.0");
  off.on = false;
  EXPECT_TRUE(CheckAdmin(off).ok());
}

TEST(AdminOptions, HostsAreNames) {
  for (const char* bad : {"", "a:80", "[::1]", "a b", "a/b", "*", "\x01", "ä"}) {
    AdminOptions options = Options("127.0.0.1");
    options.hosts = {"good.example", bad};
    EXPECT_FALSE(CheckAdmin(options).ok()) << bad;
  }
}

TEST(MayBeAsked, NamesOfThisMachineOnly) {
  AdminOptions options = Options("127.0.0.1");
  options.hosts = {"knot.internal", "other"};
  for (const char* host : {"localhost", "LocalHost", "localhost:9180", "localhost:", "127.0.0.1",
                           "127.0.0.1:80", "127.1.2.3", "[::1]", "[::1]:9180", "[0:0:0:0:0:0:0:1]",
                           "knot.internal", "KNOT.internal:80", "other"}) {
    EXPECT_TRUE(MayBeAsked(host, options)) << host;
  }
  const std::vector<const char*> others = {"",
                                           ":80",
                                           "evil.example",
                                           "localhost.",
                                           "localhost.evil.example",
                                           "evil.example:9180",
                                           "127.0.0.1.evil.example",
                                           "127.0.0.1evil",
                                           "127.1",
                                           "2130706433",
                                           "0x7f000001",
                                           "0177.0.0.1",
                                           "127.0.0.1:80:80",
                                           "127.0.0.1:8x",
                                           "localhost:80@evil",
                                           "::1",
                                           "[::1",
                                           "::1]",
                                           "[::1]x",
                                           "[::1]:x",
                                           "[127.0.0.1]",
                                           "[localhost]",
                                           "[]",
                                           "[::ffff:127.0.0.1]",
                                           "knot.internal.evil",
                                           "not.knot.internal",
                                           "other,evil"};
  for (const char* host : others) EXPECT_FALSE(MayBeAsked(host, options)) << host;
  const std::vector<const char*> addresses = {"0.0.0.0", "0.0.0.0:9180",   "10.0.0.1",
                                              "[::]",    "[fe80::1]:9180", "192.168.0.1:1"};
  for (const char* host : addresses) EXPECT_FALSE(MayBeAsked(host, options)) << host;
  // A page of another origin has a name: it cannot have an address there that is not its own.
  options.others = true;
  for (const char* host : addresses) EXPECT_TRUE(MayBeAsked(host, options)) << host;
  EXPECT_FALSE(MayBeAsked("evil.example", options));
}

constexpr size_t kWords = sizeof(Statistics) / sizeof(uint64_t);

// Returns: statistics of which each number is `number`.
Statistics AllOf(uint64_t number) {
  std::array<uint64_t, kWords> words;
  words.fill(number);
  return std::bit_cast<Statistics>(words);
}

// Returns: the one number of all; -1 where they differ.
int64_t NumberOf(const Statistics& statistics) {
  auto words = std::bit_cast<std::array<uint64_t, kWords>>(statistics);
  bool same = std::all_of(words.begin(), words.end(), [&](uint64_t n) { return n == words[0]; });
  return same ? static_cast<int64_t>(words[0]) : -1;
}

TEST(Board, AddsUpTheProcesses) {
  std::shared_ptr<Board> board = Board::Make(3);
  board->Take(0);
  EXPECT_EQ(NumberOf(board->Sum(1)), 0);
  for (int place : {0, 2}) {
    pid_t pid = fork();
    if (pid == 0) {
      board->Take(place);
      board->Publish(AllOf(place + 5), 1);
      _exit(0);
    }
    waitpid(pid, nullptr, 0);
  }
  EXPECT_EQ(NumberOf(board->Sum(1)), 12);
}

TEST(Board, LeavesOutTheLevelsOfThoseThatSayNothing) {
  std::shared_ptr<Board> board = Board::Make(1);
  board->Take(0);
  board->Publish(AllOf(7), 100);
  EXPECT_EQ(board->Sum(100 + Board::kFresh - 1).levels.open, 7u);
  EXPECT_EQ(board->Sum(100 + Board::kFresh).levels.open, 0u);
  EXPECT_EQ(board->Sum(100 + Board::kFresh).totals.connections, 7u);
}

TEST(Board, TellsWhetherSomebodyLooks) {
  std::shared_ptr<Board> board = Board::Make(2);
  board->Take(1);
  EXPECT_FALSE(board->Watched(50));
  board->Sum(100);
  EXPECT_TRUE(board->Watched(101));
  EXPECT_FALSE(board->Watched(100 + Board::kFresh));
}

// B1
TEST(Board, GivesOnePublicationWhole) {
  std::shared_ptr<Board> board = Board::Make(1);
  board->Take(0);
  board->Publish(AllOf(1), 0);
  std::atomic<bool> stop{false};
  std::thread writer([&] {
    for (uint64_t n = 2; !stop.load(); ++n) board->Publish(AllOf(n), 0);
  });
  int64_t last = 0;
  for (int i = 0; i < 20'000; ++i) {
    int64_t number = NumberOf(board->Sum(0));
    EXPECT_GE(number, last);
    if (number < last) break;
    last = number;
  }
  stop.store(true);
  writer.join();
}

// B2
TEST(Board, TotalsGoOnWhereAnotherTakesThePlace) {
  std::shared_ptr<Board> board = Board::Make(1);
  board->Take(0);
  board->Publish(AllOf(10), 1);
  board->Take(0);  // as the next process does
  EXPECT_EQ(board->Sum(1).totals.requests, 10u);
  board->Publish(AllOf(3), 2);
  EXPECT_EQ(board->Sum(2).totals.requests, 13u);
  EXPECT_EQ(board->Sum(2).levels.open, 3u);
  board->Publish(AllOf(2), 3);  // an estimate that was refined
  EXPECT_EQ(board->Sum(3).totals.requests, 13u);
  EXPECT_EQ(board->Sum(3).levels.open, 2u);
}

// B3
TEST(Board, OneThatDiesWhilePublishingLeavesItsLast) {
  std::shared_ptr<Board> board = Board::Make(1);
  for (int round = 0; round < 50; ++round) {
    int64_t before = NumberOf(board->Sum(0));
    ASSERT_GE(before, 0);
    pid_t pid = fork();
    if (pid == 0) {
      board->Take(0);
      for (uint64_t n = 1;; ++n) board->Publish(AllOf(n), 0);
    }
    while (NumberOf(board->Sum(0)) == before) usleep(100);
    kill(pid, SIGKILL);
    waitpid(pid, nullptr, 0);
    auto words = std::bit_cast<std::array<uint64_t, sizeof(Totals) / sizeof(uint64_t)>>(
        board->Sum(0).totals);
    EXPECT_EQ(std::count(words.begin(), words.end(), words[0]),
              static_cast<std::ptrdiff_t>(words.size()));
    EXPECT_GT(words[0], static_cast<uint64_t>(before));
    board = Board::Make(1);
  }
}

Report ReportOf(uint64_t number) {
  Report report;
  report.statistics = AllOf(number);
  report.threading = {"user threads", "auto", "epoll", ""};
  report.start_seconds = 1'700'000'000;
  report.uptime_ns = 1'500'000'000;
  return report;
}

TEST(Report, LeavesOutWhatIsNotKnownOnKernelThreads) {
  Report report = ReportOf(1);
  for (const char* name : {"knot_user_threads{", "knot_workers{", "knot_worker_queue ",
                           "knot_poll_set ", "knot_scheduler_seconds_total{"}) {
    EXPECT_NE(MetricsText(report).find(name), std::string::npos) << name;
  }
  EXPECT_NE(StatusJson(report).find("\"poll_set\":1"), std::string::npos);
  report.statistics.levels.on_user_threads = 0;
  for (const char* name : {"knot_user_threads", "knot_worker", "knot_poll", "knot_scheduler"}) {
    EXPECT_EQ(MetricsText(report).find(name), std::string::npos) << name;
  }
  EXPECT_EQ(StatusJson(report).find("\"poll_set\""), std::string::npos);
}

TEST(Report, BucketsAreCumulative) {
  Report report = ReportOf(0);
  report.statistics.totals.counts.by_time[0] = 2;
  report.statistics.totals.counts.by_time[10] = 3;
  report.statistics.totals.counts.by_time[RequestMetrics::kBuckets - 1] = 1;
  report.statistics.totals.counts.nanoseconds = 2'500'000'000;
  std::string text = MetricsText(report);
  for (const char* line : {"knot_request_seconds_bucket{le=\"0.000001\"} 2\n",
                           "knot_request_seconds_bucket{le=\"0.00001\"} 2\n",
                           "knot_request_seconds_bucket{le=\"0.00002\"} 5\n",
                           "knot_request_seconds_bucket{le=\"100\"} 5\n",
                           "knot_request_seconds_bucket{le=\"+Inf\"} 6\n",
                           "knot_request_seconds_sum 2.5\n", "knot_request_seconds_count 6\n"}) {
    EXPECT_NE(text.find(line), std::string::npos) << line;
  }
}

TEST(Report, EveryCodeIsALabel) {
  Report report = ReportOf(0);
  report.statistics.totals.counts.by_status[404 - RequestMetrics::kFirstStatus] = 9;
  EXPECT_NE(MetricsText(report).find("knot_requests_total{code=\"200\"} 0\n"
                                     "knot_requests_total{code=\"404\"} 9\n"),
            std::string::npos);
  EXPECT_NE(StatusJson(report).find("\"codes\":{\"404\":9}"), std::string::npos);
}

// A3
TEST(Admin, AsksNothingOfTheServerAfterItsEnd) {
  ASSERT_TRUE(StartClock().ok());
  AdminOptions options = Options("127.0.0.1");
  options.address.port = 0;
  absl::StatusOr<std::vector<int>> sockets = Admin::Listen(nullptr, &options, 1);
  ASSERT_TRUE(sockets.ok());
  std::atomic<int> calls{0};
  absl::StatusOr<std::unique_ptr<Admin>> admin =
      Admin::Start(options, (*sockets)[0], {Board::Make(1)},
                   {[&](Statistics*) { ++calls; }, [&] { return ++calls < 0; }});
  ASSERT_TRUE(admin.ok());
  const uint16_t port = options.address.port;
  test::Client late(port);
  late.Send("GET /status.json HTTP/1.1\r\n");
  for (const char* path : {"/status.json", "/healthz"}) {  // accepted after the other
    test::Client client(port);
    client.Send("GET " + std::string(path) + " HTTP/1.1\r\nHost: localhost\r\n\r\n");
    EXPECT_EQ(client.Read().status, 200);
  }
  EXPECT_EQ(calls.load(), 2);
  usleep(Admin::kLeastNs / 1000 * 2);  // a reading of before is no answer any more
  admin->reset();
  late.Send("Host: localhost\r\n\r\n");
  EXPECT_EQ(late.Read().status, 503);
  EXPECT_EQ(calls.load(), 2);
  EXPECT_FALSE(test::Client(port).connected());
}

TEST(AdminPage, HasItsNonceWhereTheMarksAre) {
  std::string page = Page("abc");
  EXPECT_NE(page.find("<script nonce=\"abc\">"), std::string::npos);
  EXPECT_NE(page.find("<style nonce=\"abc\">"), std::string::npos);
  EXPECT_EQ(page.find("NONCE"), std::string::npos);
  EXPECT_NE(PagePolicy("abc").find("script-src 'nonce-abc'"), std::string::npos);
  EXPECT_EQ(NewNonce().size(), 32u);
  EXPECT_NE(NewNonce(), NewNonce());
}

TEST(AdminPage, NamesNoOtherServer) {
  std::string page = Page("abc");
  size_t namespaces = page.find("http://www.w3.org/2000/svg");
  ASSERT_NE(namespaces, std::string::npos);
  for (const char* scheme : {"http:", "https:", "src=\"//", "url(", "@import"}) {
    size_t at = page.find(scheme);
    if (at == namespaces) at = page.find(scheme, at + 1);
    EXPECT_EQ(at, std::string::npos) << scheme;
  }
}

}  // namespace
}  // namespace knot
