// The admin address of a running server: what it answers, to whom, and in which straits.

#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <functional>
#include <map>
#include <memory>
#include <regex>
#include <set>
#include <sstream>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "tests/knot/support/admin_client.h"
#include "tests/knot/support/client.h"
#include "tests/knot/support/server_process.h"

namespace knot::test {
namespace {

constexpr int kAdminThreads = 8;

// What /metrics says: by line, without the value, the value; by metric its type.
struct Metrics {
  std::map<std::string, double> values;
  std::map<std::string, std::string> types;

  double operator[](const std::string& line) const {
    auto found = values.find(line);
    return found == values.end() ? -1 : found->second;
  }
};

class AdminAddress : public KnotTest {
 protected:
  void SetUp() override { WriteFile(root_ / "small", "small"); }

  void StartWithAdmin(std::vector<std::string> arguments = {},
                      const std::string& address = "127.0.0.1:0") {
    arguments.push_back("--admin=" + address);
    Start(arguments);
    admin_ = AdminPort(server_->Output());
    ASSERT_NE(admin_, 0) << server_->Output();
  }

  // Sends bytes to the admin address and reads one reply.
  Reply Send(const std::string& bytes) {
    Client client(admin_);
    client.Send(bytes);
    return client.Read(bytes.starts_with("HEAD "));
  }

  Reply Ask(const std::string& path, const std::string& host = "localhost") {
    return Send("GET " + path + " HTTP/1.1\r\nHost: " + host + "\r\n\r\n");
  }

  // Reads /metrics as strictly as the format is written.
  Metrics ReadMetrics() {
    static const std::regex kHelp("# HELP ([a-zA-Z_:][a-zA-Z0-9_:]*) [^\n]+");
    static const std::regex kType("# TYPE ([a-zA-Z_:][a-zA-Z0-9_:]*) (counter|gauge|histogram)");
    static const std::regex kLine(
        "([a-zA-Z_:][a-zA-Z0-9_:]*)"
        "(\\{[a-z_]+=\"([^\"\\\\\n]|\\\\[\\\\\"n])*\"(,[a-z_]+=\"([^\"\\\\\n]|\\\\[\\\\\"n])*\")*"
        "\\})?"
        " ([0-9]+(\\.[0-9]+)?)");
    Reply reply = Ask("/metrics");
    EXPECT_EQ(reply.status, 200) << reply.failure;
    EXPECT_TRUE(reply.body.ends_with("\n"));
    Metrics metrics;
    std::string helped, metric;
    std::istringstream text(reply.body);
    for (std::string line; std::getline(text, line);) {
      std::smatch match;
      if (std::regex_match(line, match, kHelp)) {
        helped = match[1];
      } else if (std::regex_match(line, match, kType)) {
        metric = match[1];
        EXPECT_EQ(metric, helped) << line;
        EXPECT_TRUE(metrics.types.emplace(metric, match[2]).second) << line;
        EXPECT_EQ(match[2] == "counter", metric.ends_with("_total")) << line;
      } else if (std::regex_match(line, match, kLine)) {
        std::string name = match[1];
        if (metrics.types[metric] == "histogram") {
          EXPECT_TRUE(name == metric + "_bucket" || name == metric + "_sum" ||
                      name == metric + "_count")
              << line;
        } else {
          EXPECT_EQ(name, metric) << line;
        }
        std::string labels = match[2];
        double value = std::strtod(match[6].str().c_str(), nullptr);
        EXPECT_TRUE(metrics.values.emplace(name + labels, value).second) << line;
      } else {
        ADD_FAILURE() << "not a line of the format: " << line;
      }
    }
    return metrics;
  }

  // A reply is counted once it was sent, and processes tell each other a little later.
  Metrics WaitForMetrics(const std::function<bool(const Metrics&)>& wanted) {
    for (int i = 0; i < 600; ++i) {
      Metrics metrics = ReadMetrics();
      if (wanted(metrics) || HasFailure()) return metrics;
      usleep(100'000);
    }
    ADD_FAILURE() << "the metrics waited for did not come\n" << Ask("/metrics").body;
    return {};
  }

  uint16_t admin_ = 0;
};

TEST_P(AdminAddress, AnswersOnItsPaths) {
  StartWithAdmin();
  for (const auto& [path, type, part] :
       std::vector<std::tuple<const char*, const char*, const char*>>{
           {"/", "text/html; charset=utf-8", "<title>Knot</title>"},
           {"/?x=y", "text/html; charset=utf-8", "</html>"},
           {"/metrics", "text/plain; version=0.0.4; charset=utf-8", "knot_info{"},
           {"/metrics?name%5B%5D=x", "text/plain; version=0.0.4; charset=utf-8", "knot_info{"},
           {"/status.json", "application/json", "\"totals\":{"},
           {"/healthz", "text/plain; charset=utf-8", "ok\n"}}) {
    Reply reply = Ask(path);
    EXPECT_EQ(reply.status, 200) << path << reply.failure;
    EXPECT_EQ(reply.fields["content-type"], type) << path;
    EXPECT_NE(reply.body.find(part), std::string::npos) << path;
  }
  for (const char* path : {"/none", "/metrics/", "//", "/status.json/x", "/%6detrics", "/Metrics",
                           "/../small", "/small", "http://localhost/metrics"}) {
    Reply reply = Ask(path);
    EXPECT_EQ(reply.status, 404) << path;
    EXPECT_EQ(reply.body, "404 Not Found\n");
  }
}

TEST_P(AdminAddress, EveryReplyIsGuardedAndTheLast) {
  StartWithAdmin();
  std::set<std::string> nonces;
  for (const char* path : {"/", "/", "/metrics", "/status.json", "/healthz", "/none"}) {
    Client client(admin_);
    client.Send("GET " + std::string(path) +
                " HTTP/1.1\r\nHost: localhost\r\nOrigin: http://evil.example\r\n\r\n");
    Reply reply = client.Read();
    EXPECT_EQ(reply.fields["cache-control"], "no-store") << path;
    EXPECT_EQ(reply.fields["x-content-type-options"], "nosniff") << path;
    EXPECT_EQ(reply.fields["cross-origin-resource-policy"], "same-origin") << path;
    EXPECT_EQ(reply.fields["x-frame-options"], "DENY") << path;
    EXPECT_EQ(reply.fields["connection"], "close") << path;
    EXPECT_EQ(reply.fields.count("access-control-allow-origin"), 0u) << path;
    EXPECT_EQ(reply.fields.count("server"), 0u) << path;
    std::string policy = reply.fields["content-security-policy"];
    EXPECT_EQ(policy.find("default-src 'none'; "), 0u) << policy;
    EXPECT_EQ(policy.find("unsafe"), std::string::npos) << policy;
    EXPECT_EQ(policy.find('*'), std::string::npos) << policy;
    if (std::string(path) == "/") {
      size_t at = policy.find("script-src 'nonce-");
      ASSERT_NE(at, std::string::npos) << policy;
      std::string nonce = policy.substr(at + 18, 32);
      EXPECT_NE(reply.body.find("<script nonce=\"" + nonce + "\">"), std::string::npos);
      EXPECT_TRUE(nonces.insert(nonce).second) << "the same nonce twice";
    }
    EXPECT_TRUE(client.AtEnd()) << path;
  }
}

TEST_P(AdminAddress, AnswersHeadWithoutABody) {
  StartWithAdmin();
  for (const char* path : {"/", "/metrics", "/healthz", "/none"}) {
    Client client(admin_);
    client.Send("HEAD " + std::string(path) + " HTTP/1.1\r\nHost: localhost\r\n\r\n");
    Reply reply = client.Read(true);
    EXPECT_NE(reply.fields["content-length"], "0");
    EXPECT_TRUE(client.AtEnd()) << path;
  }
}

TEST_P(AdminAddress, RefusesOtherMethods) {
  StartWithAdmin();
  for (const char* method : {"POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "NONSENSE"}) {
    Reply reply = Send(std::string(method) + " /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n");
    EXPECT_EQ(reply.status, 405) << method;
    EXPECT_EQ(reply.fields["allow"], "GET, HEAD");
  }
}

// DNS rebinding: a page of another origin asks by the name of that origin.
TEST_P(AdminAddress, RefusesToBeAskedByAnotherName) {
  StartWithAdmin({"--admin_hosts=knot.internal"});
  for (const char* host : {"localhost", "127.0.0.1", "[::1]:80", "Localhost:1", "knot.internal"}) {
    EXPECT_EQ(Ask("/metrics", host).status, 200) << host;
  }
  for (const char* path : {"/", "/metrics", "/status.json", "/healthz", "/none"}) {
    for (const char* host :
         {"evil.example", "evil.example:80", "localhost.evil.example", "127.0.0.1.evil.example",
          "0.0.0.0", "10.0.0.1", "[::]", "[::ffff:127.0.0.1]", "", "localhost, evil.example",
          "evil@localhost", "localhost/"}) {
      Reply reply = Ask(path, host);
      EXPECT_TRUE(reply.status == 403 || reply.status == 400) << host << reply.failure;
      EXPECT_EQ(reply.body.find("knot"), std::string::npos) << host;
    }
  }
  EXPECT_EQ(Send("GET / HTTP/1.1\r\n\r\n").status, 400);
  EXPECT_EQ(Send("GET / HTTP/1.1\r\nHost: localhost\r\nHost: evil\r\n\r\n").status, 400);
  EXPECT_EQ(Send("GET / HTTP/1.0\r\nHost: evil.example\r\n\r\n").status, 403);
  EXPECT_EQ(Send("GET /healthz HTTP/1.0\r\n\r\n").status, 200);  // no browser sends that
}

TEST_P(AdminAddress, MayBePublic) {
  StartWithAdmin({"--admin_public"}, "0.0.0.0:0");
  EXPECT_EQ(Ask("/healthz", "192.0.2.1:80").status, 200);
  EXPECT_EQ(Ask("/healthz", "evil.example").status, 403);
}

TEST_P(AdminAddress, MayBeOfIpv6) {
  StartWithAdmin({}, "[::1]:0");
  Client client(admin_, 0, true);
  client.Send("GET /healthz HTTP/1.1\r\nHost: [::1]\r\n\r\n");
  EXPECT_EQ(client.Read().body, "ok\n");
}

TEST_P(AdminAddress, RefusesWhatIsNoRequest) {
  StartWithAdmin();
  const std::string host = "Host: localhost\r\n";
  for (const auto& [bytes, status] : std::vector<std::pair<std::string, int>>{
           {"GET / HTTP/1.1\n" + host + "\r\n", 400},
           {"GET / HTTP/1.1\r\nHost: local host\r\n\r\n", 400},
           {"nonsense\r\n\r\n", 400},
           {"\r\n\r\n", 400},
           {"GET / HTTP/2.0\r\n" + host + "\r\n", 505},
           {"GET / HTTP/1.1\r\n" + host + "Transfer-Encoding: gzip\r\n\r\n", 400},
           {"GET /" + std::string(5000, 'x') + " HTTP/1.1\r\n" + host + "\r\n", 414},
           {"GET / HTTP/1.1\r\n" + host + "X: " + std::string(9000, 'x'), 431}}) {
    Reply reply = Send(bytes);
    EXPECT_EQ(reply.status, status) << bytes.substr(0, 60) << reply.failure;
  }
  // A body, or another request, does not take the reply with it.
  const std::string more(30'000, 'x');
  for (const std::string& bytes :
       {"GET / HTTP/1.1\r\n" + host + "Content-Length: 30000\r\n\r\n" + more,
        "GET / HTTP/1.1\r\n" + host + "\r\nGET /" + more}) {
    Client client(admin_);
    client.Send(bytes);
    Reply reply = client.Read();
    EXPECT_EQ(reply.status, 200) << reply.failure;
    EXPECT_TRUE(reply.body.ends_with("</html>\n"));
    EXPECT_TRUE(client.AtEnd()) << "reset";
  }
}

TEST_P(AdminAddress, CountsWhatIsServed) {
  StartWithAdmin({"--threads=20"});
  Client client(port_);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(client.Get("/small").status, 200);
  EXPECT_EQ(client.Get("/none").status, 404);
  client.Send("GET /small HTTP/1.1\r\nHost: h\r\nRange: bytes=1-2\r\n\r\n");
  EXPECT_EQ(client.Read().status, 206);
  Client refused(port_);
  refused.Send("nonsense\r\n\r\n");
  EXPECT_EQ(refused.Read().status, 400);
  Metrics metrics = WaitForMetrics([](const Metrics& now) {
    return now["knot_request_seconds_count"] == 6 && now["knot_connections_open"] == 1;
  });
  EXPECT_EQ(metrics["knot_requests_total{code=\"200\"}"], 3);
  EXPECT_EQ(metrics["knot_requests_total{code=\"404\"}"], 1);
  EXPECT_EQ(metrics["knot_requests_total{code=\"206\"}"], 1);
  EXPECT_EQ(metrics["knot_requests_total{code=\"400\"}"], 1);
  EXPECT_EQ(metrics["knot_refusals_total"], 2);
  EXPECT_EQ(metrics["knot_connections_total"], 2);
  EXPECT_EQ(metrics["knot_threads"], 20);
  EXPECT_EQ(metrics["knot_processes"], 1);
  EXPECT_EQ(metrics["knot_cache_entries"], 1);
  EXPECT_GE(metrics["knot_cache_bytes"], 5);
  EXPECT_GE(metrics["knot_reply_body_bytes_total"], 17);
  EXPECT_GT(metrics["knot_request_seconds_sum"], 0);
  EXPECT_EQ(metrics["knot_request_seconds_bucket{le=\"+Inf\"}"], 6);
  EXPECT_EQ(metrics["knot_request_seconds_bucket{le=\"100\"}"], 6);
  EXPECT_GT(metrics["knot_start_time_seconds"], 1.6e9);
  double user_threads = 0, seconds = 0;
  for (const auto& [line, value] : metrics.values) {
    if (line.starts_with("knot_user_threads{")) user_threads += value;
    if (line.starts_with("knot_scheduler_seconds_total{")) seconds += value;
  }
  if (metrics.types.contains("knot_user_threads")) {
    // Those that serve, those of this address, the clock's, main.
    EXPECT_GE(user_threads, 20 + kAdminThreads + 2);
    EXPECT_EQ(metrics["knot_user_threads{state=\"running\"}"], 1);
    EXPECT_GE(metrics["knot_user_threads{state=\"accept\"}"], 20 - 1);
    EXPECT_GT(metrics["knot_poll_set"], 0);
    EXPECT_GT(seconds, 0);
  }
}

// What a request took is the time until its reply was handed over, that of a slow client included.
TEST_P(AdminAddress, MeasuresWhatRequestsTake) {
  WriteFile(root_ / "big", Pattern(20'000'000));
  StartWithAdmin({"--send=inline"});
  Client client(port_), slow(port_, 16384);
  client.Get("/small");
  slow.Send("GET /big HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
  slow.ReadBytes(1000);
  usleep(300'000);
  slow.ReadBytes(20'000'000);
  Metrics metrics =
      WaitForMetrics([](const Metrics& now) { return now["knot_request_seconds_count"] == 2; });
  EXPECT_GT(metrics["knot_request_seconds_sum"], 0.3);
  EXPECT_LE(metrics["knot_request_seconds_bucket{le=\"0.3\"}"], 1);
  EXPECT_EQ(metrics["knot_request_seconds_bucket{le=\"100\"}"], 2);
}

TEST_P(AdminAddress, ReadsTheCountersTenTimesASecondAtMost) {
  StartWithAdmin();
  auto uptime = [&] {
    std::string body = Ask("/status.json").body;
    return std::strtod(body.c_str() + body.find("\"uptime\":") + 9, nullptr);
  };
  const double first = uptime();
  std::set<double> readings{first};
  for (int i = 0; i < 100; ++i) readings.insert(uptime());
  while (*readings.rbegin() < first + 0.5) readings.insert(uptime());
  EXPECT_LE(readings.size(), (*readings.rbegin() - first) / 0.1 + 1.001);
}

TEST_P(AdminAddress, MetricsAreThoseOfTheManual) {
  StartWithAdmin();
  Metrics metrics = ReadMetrics();
  std::set<std::string> told, listed;
  for (const auto& [name, type] : metrics.types) told.insert(name + " " + type);
  bool user_threads = metrics.types.contains("knot_user_threads");
  std::istringstream manual(ReadFile(KNOT_DOCS "/admin.md"));
  bool for_user_threads = false;
  std::smatch match;
  for (std::string line; std::getline(manual, line);) {
    if (line.starts_with("#")) for_user_threads = line.find("user threads") != std::string::npos;
    if (!std::regex_search(line, match,
                           std::regex("^\\| `(knot_[a-z_]+)[`{][^|]*\\| (\\w+) \\|"))) {
      continue;
    }
    if (user_threads || !for_user_threads) listed.insert(match[1].str() + " " + match[2].str());
  }
  EXPECT_EQ(told, listed);
  EXPECT_EQ(GetParam().find("kernel-threads") == std::string::npos, user_threads);
}

TEST_P(AdminAddress, AnswersWhileEveryThreadThatServesIsBusy) {
  for (const char* spawn : {"--spawn=prefork", "--spawn=on_demand"}) {
    StartWithAdmin({"--threads=1", spawn});
    Client busy(port_), waiting(port_);
    EXPECT_EQ(busy.Get("/small").status, 200);
    waiting.Send("GET /small HTTP/1.1\r\nHost: h\r\n\r\n");
    EXPECT_EQ(Ask("/healthz").body, "ok\n");
    EXPECT_EQ(Ask("/").status, 200);
    Metrics metrics = WaitForMetrics(
        [](const Metrics& now) { return now["knot_requests_total{code=\"200\"}"] == 1; });
    EXPECT_EQ(metrics["knot_connections_open"], 1);
  }
}

TEST_P(AdminAddress, IsNotHeldUpBySlowClients) {
  StartWithAdmin();
  std::vector<std::unique_ptr<Client>> slow;
  auto add = [&](const std::string& bytes, int buffer = 0) {
    for (int i = 0; i < 2 * kAdminThreads; ++i) {
      slow.push_back(std::make_unique<Client>(admin_, buffer));
      slow.back()->Send(bytes);
    }
  };
  add("");
  EXPECT_EQ(Ask("/healthz").body, "ok\n");
  for (auto& client : slow) EXPECT_TRUE(client->AtEnd());  // without a word
  slow.clear();
  add("GET / HTTP/1.1\r\nHo");
  EXPECT_EQ(Ask("/healthz").body, "ok\n");
  for (auto& client : slow) EXPECT_EQ(client->Read().status, 408);
  slow.clear();
  add("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", 2048);  // they read nothing
  for (int i = 0; i < 20; ++i) EXPECT_EQ(Ask("/healthz").body, "ok\n");
  for (auto& client : slow) EXPECT_TRUE(client->Read().body.ends_with("</html>\n"));
}

TEST_P(AdminAddress, SaysWhenTheServerStops) {
  WriteFile(root_ / "big", Pattern(20'000'000));
  StartWithAdmin({"--send=inline"});
  Client slow(port_, 16384);
  slow.Send("GET /big HTTP/1.1\r\nHost: h\r\n\r\n");
  slow.ReadBytes(1000);
  EXPECT_EQ(Ask("/healthz").status, 200);
  server_->Signal(SIGTERM);
  while (Ask("/healthz").status == 200) usleep(10'000);
  Reply reply = Ask("/healthz");
  EXPECT_EQ(reply.status, 503);
  EXPECT_EQ(reply.body, "stopping\n");
  EXPECT_EQ(ReadMetrics()["knot_connections_open"], 1);
  slow.ReadBytes(30'000'000);
  EXPECT_EQ(server_->WaitForExit(), 0);
  EXPECT_EQ(server_->Error(), "");
}

TEST_P(AdminAddress, DoesNotHoldUpTheEnd) {
  StartWithAdmin();
  Client silent(admin_), half(admin_);
  half.Send("GET / HTT");
  server_->Signal(SIGTERM);
  EXPECT_EQ(server_->WaitForExit(), 0);
  EXPECT_EQ(server_->Error(), "");
  EXPECT_FALSE(Client(admin_).connected());
}

TEST_P(AdminAddress, IsOffUnlessAsked) {
  Start();
  EXPECT_EQ(server_->Output().find("admin"), std::string::npos);
  Start({"--admin=off"});
  EXPECT_EQ(server_->Output().find("admin"), std::string::npos);
}

TEST_P(AdminAddress, MistakesAreOneLine) {
  StartWithAdmin();
  const std::string busy = "127.0.0.1:" + std::to_string(admin_);
  for (const auto& [flags, says] : std::vector<std::pair<std::vector<std::string>, std::string>>{
           {{"--admin=0.0.0.0:0"}, "--admin_public"},
           {{"--admin=[::]:0"}, "--admin_public"},
           {{"--admin=192.0.2.1:80"}, "--admin_public"},
           {{"--admin=localhost:80"}, "numeric ADDR:PORT"},
           {{"--admin="}, "numeric ADDR:PORT"},
           {{"--admin=127.0.0.1"}, "numeric ADDR:PORT"},
           {{"--admin=127.0.0.1:1,127.0.0.1:2"}, "one ADDR:PORT, or off"},
           {{"--admin=https://127.0.0.1:1"}, "one ADDR:PORT, or off"},
           {{"--admin=unix:/tmp/none", "--admin_public"}, "one ADDR:PORT, or off"},
           {{"--admin=fd:3", "--admin_public"}, "one ADDR:PORT, or off"},
           {{"--admin=systemd", "--admin_public"}, "one ADDR:PORT, or off"},
           {{"--admin_public=perhaps"}, "--admin_public=perhaps"},
           {{"--admin_hosts=a,b:80"}, "--admin_hosts: b:80"},
           {{"--admin=" + busy}, "cannot listen on " + busy},
           {{"--admin=" + busy, "--processes=2"}, "cannot listen on " + busy},
           {{"--admin=192.0.2.1:0", "--admin_public"}, "cannot listen on 192.0.2.1:0"}}) {
    std::vector<std::string> all = flags;
    all.insert(all.end(), {"--listen=127.0.0.1:0", root_.path()});
    ServerProcess process(GetParam(), all);
    EXPECT_EQ(process.WaitForExit(), 2) << says;
    std::string error = process.Error();
    EXPECT_EQ(std::count(error.begin(), error.end(), '\n'), 1) << error;
    EXPECT_EQ(error.find("knot: "), 0u) << error;
    EXPECT_NE(error.find(says), std::string::npos) << error;
    EXPECT_EQ(process.Output(), "");
  }
}

TEST_P(AdminAddress, ShowsItsFlags) {
  ServerProcess help(GetParam(), {"--help"});
  EXPECT_EQ(help.WaitForExit(), 0);
  ServerProcess config(GetParam(), {"--admin=[::1]:9", "--admin_hosts=a,b", "--print_config"});
  EXPECT_EQ(config.WaitForExit(), 0);
  for (const char* flag : {"admin", "admin_public", "admin_hosts"}) {
    EXPECT_NE(help.Output().find(std::string("\n  --") + flag), std::string::npos) << flag;
  }
  for (const char* line : {"admin = [::1]:9\n", "admin_public = false\n", "admin_hosts = a,b\n"}) {
    EXPECT_NE(config.Output().find(line), std::string::npos) << line;
  }
}

// Every process has numbers of its own; whichever is asked tells those of all.
TEST_P(AdminAddress, OfSeveralProcessesTellsOfAll) {
  StartWithAdmin({"--processes=2", "--threads=16"});
  for (int i = 0; i < 60; ++i) ASSERT_EQ(Client(port_).Get("/small").status, 200);
  auto all_served = [](const Metrics& now) {
    return now["knot_requests_total{code=\"200\"}"] == 60 && now["knot_processes"] == 2;
  };
  Metrics metrics = WaitForMetrics(all_served);
  EXPECT_EQ(metrics["knot_connections_total"], 60);
  EXPECT_EQ(metrics["knot_threads"], 16);
  for (int i = 0; i < 10; ++i) EXPECT_TRUE(all_served(ReadMetrics()));

  // Totals survive those who counted.
  server_->Signal(SIGUSR1);
  std::vector<pid_t> ids;
  for (const char* says : {"process 1 of 2 (", "process 2 of 2 ("}) {
    ASSERT_TRUE(server_->WaitForError(says));
    std::string error = server_->Error();
    ids.push_back(std::atoi(error.c_str() + error.find(says) + 16));
  }
  for (pid_t id : ids) kill(id, SIGKILL);
  for (pid_t id : ids) {
    ASSERT_TRUE(server_->WaitForError("(" + std::to_string(id) + ") was ended by signal 9"));
  }
  WaitForMetrics(all_served);
  for (int i = 0; i < 5; ++i) ASSERT_EQ(Client(port_).Get("/small").status, 200);
  WaitForMetrics([](const Metrics& now) { return now["knot_requests_total{code=\"200\"}"] == 65; });
  server_->Signal(SIGTERM);
  EXPECT_EQ(server_->WaitForExit(), 0);
}

INSTANTIATE_FOR_BINARIES(AdminAddress);

}  // namespace
}  // namespace knot::test
