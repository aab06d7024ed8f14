// What Knot says of its flags, and of what it cannot start with.

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "tests/knot/support/client.h"
#include "tests/knot/support/server_process.h"

namespace knot::test {
namespace {

using CommandLine = KnotTest;

TEST_P(CommandLine, RefusesWrongFlagsAndValues) {
  ExpectOneLineAndStatus2({"--nonsense"}, "unknown flag --nonsense");
  ExpectOneLineAndStatus2({"--nonsense=1"}, "unknown flag --nonsense");
  ExpectOneLineAndStatus2({"-x"}, "unknown flag -x");
  ExpectOneLineAndStatus2({"--nothreads"}, "unknown flag");
  ExpectOneLineAndStatus2({"--threads"}, "--threads needs a value");
  ExpectOneLineAndStatus2({"--threads=many"}, "--threads=many");
  ExpectOneLineAndStatus2({"--threads=0"}, "between 1 and 100000");
  ExpectOneLineAndStatus2({"--threads=100001"}, "between 1 and 100000");
  ExpectOneLineAndStatus2({"--threads="}, "--threads=");
  ExpectOneLineAndStatus2({"--processes=0"}, "between 1 and 256");
  ExpectOneLineAndStatus2({"--processes=257"}, "between 1 and 256");
  ExpectOneLineAndStatus2({"--send=fast"}, "auto, cache, nonblocking, blocking, poll, inline");
  ExpectOneLineAndStatus2({"--spawn=maybe"}, "prefork, on_demand");
  ExpectOneLineAndStatus2({"--poller=kqueue"}, "epoll, poll");
  ExpectOneLineAndStatus2({"--accept=none"}, "favor_connections, favor_accepts");
  ExpectOneLineAndStatus2({"--workers=-1"}, "positive number or auto");
  ExpectOneLineAndStatus2({"--schedulers=0"}, "positive number or auto");
  ExpectOneLineAndStatus2({"--cache_mb=-1"}, "--cache_mb=-1");
  ExpectOneLineAndStatus2({"--cache_valid=0"}, "--cache_valid=0");
  ExpectOneLineAndStatus2({"--stack_kb=1"}, "--stack_kb=1");
  ExpectOneLineAndStatus2({"--header_timeout=0"}, "--header_timeout=0");
  ExpectOneLineAndStatus2({"--idle_timeout=x"}, "--idle_timeout=x");
  ExpectOneLineAndStatus2({"--send_timeout=100000"}, "--send_timeout=100000");
  ExpectOneLineAndStatus2({"--drain_timeout=0"}, "--drain_timeout=0");
  ExpectOneLineAndStatus2({"--log_format=xml"}, "combined, json");
  ExpectOneLineAndStatus2({"--print_config=perhaps"}, "--print_config=perhaps");
  ExpectOneLineAndStatus2({"--access_log="}, "--access_log=");
  ExpectOneLineAndStatus2({"one", "two"}, "not also two");
  for (const char* address :
       {"", "8080", "localhost:8080", "127.0.0.1", "127.0.0.1:", "127.0.0.1:65536", "127.0.0.1:-1",
        "::1:8080", "[::1]", "[127.0.0.1]:80", "256.0.0.1:80"}) {
    ExpectOneLineAndStatus2({std::string("--listen=") + address}, "must be a numeric ADDR:PORT");
  }
}

TEST_P(CommandLine, RefusesWhatItCannotServe) {
  WriteFile(root_ / "file", "");
  ExpectOneLineAndStatus2({"--listen=127.0.0.1:0", root_ / "none"}, "none");
  ExpectOneLineAndStatus2({"--listen=127.0.0.1:0", root_ / "file"}, "Not a directory");
  ExpectOneLineAndStatus2({"--listen=192.0.2.1:0", root_.path()}, "cannot listen on 192.0.2.1:0");
  ExpectOneLineAndStatus2({"--listen=127.0.0.1:0", "--access_log=/none/log", root_.path()},
                          "/none/log");
  ExpectOneLineAndStatus2({"--listen=127.0.0.1:0", "--listen=[::1]:0", "--threads=1", root_.path()},
                          "at least 2");
}

TEST_P(CommandLine, RefusesABusyPort) {
  Start();
  std::string port = std::to_string(port_);
  ExpectOneLineAndStatus2({"--listen=127.0.0.1:" + port, root_.path()}, "127.0.0.1:" + port);
  ExpectOneLineAndStatus2({"--listen=127.0.0.1:" + port, "--schedulers=2", root_.path()}, port);
}

TEST_P(CommandLine, ListsItsFlagsAndNoOthers) {
  Result result = Run({"--help"});
  EXPECT_EQ(result.status, 0);
  EXPECT_EQ(result.err, "");
  for (const char* flag : {"accept",       "access_log",     "auth",
                           "auth_realm",   "cache_control",  "cache_mb",
                           "cache_valid",  "client_burst",   "client_connections",
                           "client_rate",  "config",         "cors",
                           "cors_headers", "cors_max_age",   "drain_timeout",
                           "header",       "header_timeout", "idle_timeout",
                           "listen",       "log_format",     "memory_mb",
                           "nosniff",      "poller",         "print_config",
                           "processes",    "root",           "schedulers",
                           "send",         "send_timeout",   "spawn",
                           "stack_kb",     "stats",          "takeover",
                           "test_config",  "threads",        "version",
                           "workers"}) {
    EXPECT_NE(result.out.find(std::string("\n  --") + flag), std::string::npos) << flag;
  }
  EXPECT_EQ(result.out.find("flagfile"), std::string::npos);
}

TEST_P(CommandLine, DescribesEveryFlagInTheManualAndToShells) {
  std::string help = Run({"--help"}).out;
  std::vector<std::string> flags;
  for (size_t at = help.find("\n  --"); at != std::string::npos; at = help.find("\n  --", at + 1)) {
    flags.push_back(help.substr(at + 5, help.find_first_of(" \n", at + 5) - at - 5));
  }
  EXPECT_GT(flags.size(), 20u);
  for (const auto& [argument, before] :
       std::vector<std::pair<std::string, std::string>>{{"--print_manual", ".BR \\-\\-"},
                                                        {"--print_completion=bash", "--"},
                                                        {"--print_completion=zsh", "--"},
                                                        {"--print_completion=fish", "-l "}}) {
    Result result = Run({argument});
    EXPECT_EQ(result.status, 0) << result.err;
    EXPECT_EQ(result.err, "");
    for (const std::string& flag : flags) {
      EXPECT_NE(result.out.find(before + flag), std::string::npos) << argument << " " << flag;
    }
  }
  ExpectOneLineAndStatus2({"--print_completion=csh"}, "none, bash, zsh, fish");
}

TEST_P(CommandLine, PrintsItsVersion) {
  Result result = Run({"--version"});
  EXPECT_EQ(result.status, 0);
  EXPECT_EQ(result.out.find("knot "), 0u);
}

TEST_P(CommandLine, PrintsTheConfigurationInForce) {
  Result result = Run({"--threads=7", "--send", "cache", "--print_config", "--listen=127.0.0.1:1",
                       "--listen=[::1]:2", "--workers=auto", "--nostats", "dir"});
  EXPECT_EQ(result.status, 0);
  EXPECT_EQ(result.err, "");
  for (const char* line :
       {"threads = 7\n", "send = cache\n", "listen = 127.0.0.1:1\nlisten = [::1]:2\n",
        "workers = auto\n", "stats = false\n", "cache_mb = 64\n", "root = dir\n"}) {
    EXPECT_NE(result.out.find(line), std::string::npos) << line << result.out;
  }
}

TEST_P(CommandLine, SaysInOneLineWhatItServes) {
  Start({"--threads=9", "--send=cache"});
  std::string out = server_->Output();
  EXPECT_EQ(std::count(out.begin(), out.end(), '\n'), 1) << out;
  for (const std::string& part :
       {"http://127.0.0.1:" + std::to_string(port_) + "/", root_.path(), std::string("threads=9"),
        std::string("workers="), std::string("poller="), std::string("send=cache")}) {
    EXPECT_NE(out.find(part), std::string::npos) << part << "\n" << out;
  }
  EXPECT_EQ(server_->Error(), "");
}

TEST_P(CommandLine, WarnsWhenDescriptorsAreShort) {
  WriteFile(root_ / "file", "contents");
  Start({"--threads=200"}, 100);
  if (server_->Error().empty()) GTEST_SKIP() << "this user may raise the limit";
  EXPECT_NE(server_->Error().find("warning: the limit of 100 open files"), std::string::npos);
  EXPECT_EQ(Client(port_).Get("/file").body, "contents");
}

INSTANTIATE_FOR_BINARIES(CommandLine);

}  // namespace
}  // namespace knot::test
