// Where Knot's flags come from: the config file, the environment, the command line.

#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <algorithm>
#include <cctype>
#include <map>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "knot/config_file.h"
#include "tests/knot/support/client.h"
#include "tests/knot/support/server_process.h"

namespace knot::test {
namespace {

TEST(ParseConfig, ReadsNamesAndValues) {
  auto lines = ParseConfig(
      "# a comment\n"
      "\n"
      "threads = 7\n"
      "\troot=/srv/www  \r\n"
      "empty =\n"
      "spaced = a b  c # said\n"
      "hash = a#b\n"
      "quoted = \"  x # \\\"y\\\" \\\\ \"  # said\n"
      "nothing = \"\"\n"
      "equals = a=b\n"
      "no_end = \xc3\xa9");
  ASSERT_TRUE(lines.ok()) << lines.status();
  std::vector<std::pair<std::string, std::string>> found;
  std::vector<int> numbers;
  for (const ConfigLine& line : *lines) {
    found.emplace_back(line.name, line.value);
    numbers.push_back(line.number);
  }
  std::vector<std::pair<std::string, std::string>> expected = {
      {"threads", "7"},     {"root", "/srv/www"}, {"empty", ""},
      {"spaced", "a b  c"}, {"hash", "a#b"},      {"quoted", "  x # \"y\" \\ "},
      {"nothing", ""},      {"equals", "a=b"},    {"no_end", "\xc3\xa9"}};
  EXPECT_EQ(found, expected);
  EXPECT_EQ(numbers, (std::vector<int>{3, 4, 5, 6, 7, 8, 9, 10, 11}));
}

TEST(ParseConfig, NamesTheLineThatIsWrong) {
  for (const auto& [text, says] : std::vector<std::pair<std::string, std::string>>{
           {"threads\n", "1: must be NAME = VALUE"},
           {"\n\n= 7", "3: there is no name"},
           {"a = \"open\n", "1: the quote is not closed"},
           {"a = \"open\\\"\n", "1: the quote is not closed"},
           {"a = \"open\\", "1: in quotes a backslash"},
           {"a = \"\\n\"", "1: in quotes a backslash"},
           {"a = \"b\" c\n", "1: there is text behind"},
           {"a = b\x01\n", "1: there is a control character"},
           {std::string("a = b\0c\n", 8), "1: there is a control character"},
           {"# \x1b[31m\n", "1: there is a control character"}}) {
    auto lines = ParseConfig(text);
    ASSERT_FALSE(lines.ok()) << text;
    EXPECT_EQ(lines.status().message().substr(0, says.size()), says) << lines.status();
  }
}

TEST(ParseConfig, ReadsWhatWasFormatted) {
  for (const std::string value :
       {"", "a", " a", "a ", "\ta", "a b", "\"", "\"a\"", "a\"b", "\\", "a\\", " \\\" ", "#", "a#",
        "a #", "a # b", "=", "a = b", "\xc3\xa9 "}) {
    auto lines = ParseConfig("# first\n" + FormatConfigLine("name", value));
    ASSERT_TRUE(lines.ok()) << value << lines.status();
    ASSERT_EQ(lines->size(), 1u) << value;
    EXPECT_EQ((*lines)[0].name, "name");
    EXPECT_EQ((*lines)[0].value, value);
  }
}

TEST(ReadConfigFile, RefusesWhatIsNoFile) {
  test::TempDirectory directory;
  ASSERT_EQ(mkfifo((directory / "fifo").c_str(), 0600), 0);
  WriteFile(directory / "long", std::string(kMaxConfigBytes + 1, '\n'));
  WriteFile(directory / "longest", std::string(kMaxConfigBytes, '\n'));
  EXPECT_TRUE(ReadConfigFile(directory / "longest").ok());
  for (const char* name : {"none", "fifo", "long", "."}) {
    auto text = ReadConfigFile(directory / name);
    ASSERT_FALSE(text.ok()) << name;
    EXPECT_NE(text.status().message().find(directory / name), absl::string_view::npos)
        << text.status();
  }
}

class Config : public KnotTest {
 protected:
  ~Config() override {
    for (const std::string& name : set_) unsetenv(name.c_str());
  }

  void Set(const std::string& name, const std::string& value) {
    setenv(name.c_str(), value.c_str(), 1);
    set_.push_back(name);
  }

  // Writes a config file. Returns: the flag that names it.
  std::string File(const std::string& text) {
    WriteFile(files_ / "knot.conf", text);
    return "--config=" + files_ / "knot.conf";
  }

  void ExpectLine(const Result& result, const std::string& line) {
    EXPECT_NE(("\n" + result.out).find("\n" + line + "\n"), std::string::npos)
        << line << "\n"
        << result.out << result.err;
  }

  test::TempDirectory files_;
  std::vector<std::string> set_;
};

TEST_P(Config, IsServed) {
  WriteFile(root_ / "file", "contents");
  server_ = std::make_unique<ServerProcess>(
      GetParam(), std::vector<std::string>{File("listen = 127.0.0.1:0\nlisten = [::1]:0\n"
                                                "threads = 9\nroot = " +
                                                root_.path() + "\n")});
  std::vector<uint16_t> ports = server_->WaitForPorts();
  ASSERT_EQ(ports.size(), 2u) << server_->Error();
  EXPECT_EQ(Client(ports[0]).Get("/file").body, "contents");
  EXPECT_EQ(Client(ports[1], 0, true).Get("/file").body, "contents");
  EXPECT_NE(server_->Output().find("threads=9"), std::string::npos) << server_->Output();
  EXPECT_EQ(server_->Error(), "");
}

TEST_P(Config, OfTheCommandLineGoesBeforeTheEnvironmentAndThatBeforeTheFile) {
  std::string file = File("threads = 1\ncache_mb = 2\nidle_timeout = 3\nstats = yes\n");
  Set("KNOT_CACHE_MB", "20");
  Set("KNOT_IDLE_TIMEOUT", "30");
  Result result = Run({file, "--print_config", "--idle_timeout=300", "--nostats"});
  EXPECT_EQ(result.status, 0);
  ExpectLine(result, "threads = 1");
  ExpectLine(result, "cache_mb = 20");
  ExpectLine(result, "idle_timeout = 300");
  ExpectLine(result, "stats = false");
  ExpectLine(result, "send_timeout = 30");
}

TEST_P(Config, ReplacesWhatARepeatableFlagHadElsewhere) {
  std::string file = File("listen = 127.0.0.1:1\nlisten = 127.0.0.1:2\n");
  ExpectLine(Run({file, "--print_config"}), "listen = 127.0.0.1:1\nlisten = 127.0.0.1:2");
  Set("KNOT_LISTEN", "127.0.0.1:3\n127.0.0.1:4\n");
  Result result = Run({file, "--print_config"});
  ExpectLine(result, "listen = 127.0.0.1:3\nlisten = 127.0.0.1:4");
  EXPECT_EQ(result.out.find("127.0.0.1:1"), std::string::npos);
  result = Run({file, "--print_config", "--listen=127.0.0.1:5", "--listen", "[::1]:6"});
  ExpectLine(result, "listen = 127.0.0.1:5\nlisten = [::1]:6");
  EXPECT_EQ(result.out.find("127.0.0.1:3"), std::string::npos);
}

TEST_P(Config, FileCanBeNamedInTheEnvironment) {
  File("threads = 12\n");
  Set("KNOT_CONFIG", files_ / "knot.conf");
  ExpectLine(Run({"--print_config"}), "threads = 12");
}

TEST_P(Config, PrintedReadsBackTheSame) {
  Result result = Run({"--print_config", "--threads=7", "--send=cache", "--listen=127.0.0.1:1",
                       "--listen=[::1]:2", "--access_log= a # \"b\\c\" ", "--compress=br,gzip",
                       "--workers=3", "--stats", " root#\"\\ "});
  ASSERT_EQ(result.status, 0) << result.err;
  ExpectLine(result, "root = \" root#\\\"\\\\ \"");
  Result again = Run({File(result.out), "--print_config"});
  EXPECT_EQ(again.status, 0) << again.err;
  EXPECT_EQ(again.out, result.out);
  // The defaults, too.
  result = Run({"--print_config"});
  again = Run({File(result.out), "--print_config"});
  EXPECT_EQ(again.status, 0) << again.err;
  EXPECT_EQ(again.out, result.out);
  // What was printed stands for the flags, and not for the environment it was printed in.
  EXPECT_EQ(result.out.find("print_config"), std::string::npos);
  EXPECT_EQ(result.out.find("config ="), std::string::npos);
}

// A value of each flag that is not its default; of those that may be repeated, lines.
const std::map<std::string, std::string>& OtherValues() {
  static const auto& values = *new std::map<std::string, std::string>{
      {"accept", "favor_accepts"},
      {"access_log", "-"},
      {"admin", "[::1]:9"},
      {"admin_hosts", "a.test,b"},
      {"admin_public", "true"},
      {"auth", "/a=/b c\n/=/d#e"},
      {"auth_realm", "a # b"},
      {"cache_control", "/a/*=max-age=5, immutable\n*.b=no-cache"},
      {"cache_mb", "65"},
      {"cache_valid", "2"},
      {"charset", "none"},
      {"chroot", "/a b"},
      {"client_burst", "1"},
      {"client_connections", "2"},
      {"client_rate", "3"},
      {"compress", "br,gzip"},
      {"cors", "https://a.test,https://b.test:8443"},
      {"cors_headers", "X-A,X-B"},
      {"cors_max_age", "0"},
      {"crowded_rate", "1"},
      {"dotfiles", "true"},
      {"drain_timeout", "11"},
      {"error_page", "404=/404.html\n500=/5 00.html"},
      {"header", "X-A: b, \"c\"\n/x*:X-B: \\d;e=f # g"},
      {"header_timeout", "11"},
      {"health", "/health"},
      {"host", "a.test,b.test=/a\n*.c.test=/c d"},
      {"idle_timeout", "61"},
      {"index", "a.html,b c.html"},
      {"kernel_tls", "false"},
      {"listen",
       "https://127.0.0.1:1\nunix:/a b,mode=0600\nhttps://unix:/c\n[::1]:2\nfd:7\nsystemd"},
      {"listing", "on"},
      {"log_format", "json"},
      {"make_room_after", "0"},
      {"memory_mb", "100000"},
      {"mime_types", "/a/types"},
      {"min_body_rate", "0"},
      {"min_send_rate", "7"},
      {"nosniff", "false"},
      {"pid_file", "/a/pid"},
      {"poller", "poll"},
      {"precompressed", "zstd"},
      {"processes", "2"},
      {"proxy_protocol", "10.0.0.0/8,unix,::1"},
      {"root", " a\\b"},
      {"sandbox", "on"},
      {"schedulers", "auto"},
      {"send", "inline"},
      {"send_timeout", "31"},
      {"spa", "/index.html"},
      {"spawn", "on_demand"},
      {"stack_kb", "65"},
      {"stats", "true"},
      {"takeover", "/a/takeover"},
      {"threads", "1025"},
      {"tls", "/a b.pem,/a.key\n/c.pem,/c.key"},
      {"tls_min", "1.3"},
      {"trusted_proxies", "2001:db8::/32,192.0.2.1"},
      {"user", "nobody:nogroup"},
      {"workers", "3"}};
  return values;
}

std::vector<std::string> Lines(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

TEST_P(Config, OfEveryFlagReadsBackTheSame) {
  std::set<std::string> flags;
  for (const std::string& line : Lines(Run({"--help"}).out)) {
    if (line.starts_with("  --")) flags.insert(line.substr(4, line.find(' ', 4) - 4));
  }
  for (const char* alone :
       {"config", "print_completion", "print_config", "print_manual", "test_config", "version"}) {
    EXPECT_EQ(flags.erase(alone), 1u) << alone;
  }
  std::vector<std::string> arguments = {"--print_config"};
  for (const auto& [name, values] : OtherValues()) {
    EXPECT_EQ(flags.erase(name), 1u) << name << " is no flag";
    for (const std::string& value : Lines(values)) arguments.push_back("--" + name + "=" + value);
  }
  EXPECT_EQ(flags, std::set<std::string>()) << "have no value here";
  const Result printed = Run(arguments);
  ASSERT_EQ(printed.status, 0) << printed.err;
  const Result again = Run({File(printed.out), "--print_config"});
  EXPECT_EQ(again.status, 0) << again.err;
  EXPECT_EQ(again.out, printed.out);
  // Each was taken for what it is, and from the environment, too.
  std::vector<ConfigLine> lines = *ParseConfig(printed.out);
  for (const auto& [name, values] : OtherValues()) {
    std::string found;
    for (const ConfigLine& line : lines) {
      if (line.name == name) found += (found.empty() ? "" : "\n") + line.value;
    }
    EXPECT_EQ(found, values) << name;
    std::string variable = "KNOT_" + name;
    std::transform(variable.begin(), variable.end(), variable.begin(), ::toupper);
    Set(variable, values);
  }
  const Result from_environment = Run({"--print_config"});
  EXPECT_EQ(from_environment.status, 0) << from_environment.err;
  EXPECT_EQ(from_environment.err, "");
  EXPECT_EQ(from_environment.out, printed.out);
}

TEST_P(Config, ErrorsNameTheirPlace) {
  std::string name = files_ / "knot.conf";
  ExpectOneLineAndStatus2({File("threads = 7\nnonsense = 1\n")},
                          name + ":2: unknown name nonsense");
  ExpectOneLineAndStatus2({File("threads = 7\n\nthreads = 8\n")},
                          name + ":3: threads was given in line 1 already");
  ExpectOneLineAndStatus2({File("threads = many\n")}, name + ":1: --threads=many: ");
  ExpectOneLineAndStatus2({File("\nthreads = 0\n")}, name + ":2: --threads=0: must be between");
  ExpectOneLineAndStatus2({File("listen = 127.0.0.1:1\nlisten = here\n")},
                          name + ":2: --listen=here: must be a numeric");
  ExpectOneLineAndStatus2({File("threads\n")}, name + ":1: must be NAME = VALUE");
  ExpectOneLineAndStatus2({File("--threads = 7\n")}, name + ":1: unknown name --threads");
  ExpectOneLineAndStatus2({File("print_config = yes\n")},
                          name + ":1: print_config can be given on");
  ExpectOneLineAndStatus2({File("config = other\n")}, name + ":1: config can be given on");
  ExpectOneLineAndStatus2({File("flagfile = x\n")}, name + ":1: unknown name flagfile");
  ExpectOneLineAndStatus2({"--config=" + files_ / "none"}, "none: No such file or directory");
  ExpectOneLineAndStatus2({"--threads=a\x01"}, "--threads: there is a control character");
  // Of a value that is overridden only what cannot be read is an error.
  Result overridden = Run({File("threads = 0\n"), "--threads=5", "--print_config"});
  EXPECT_EQ(overridden.status, 0) << overridden.err;
  Set("KNOT_THREADS", "0");
  ExpectOneLineAndStatus2({File("threads = 5\n")}, "KNOT_THREADS: --threads=0: must be between");
  Set("KNOT_THREADS", "x");
  ExpectOneLineAndStatus2({}, "KNOT_THREADS: --threads=x: ");
  Set("KNOT_THREADS", "");  // as if it were not there
  ExpectOneLineAndStatus2({File("threads = 0\n")}, name + ":1: --threads=0");
}

TEST_P(Config, WarnsOfAVariableThatNamesNoFlag) {
  Set("KNOT_THREDS", "5");
  Result result = Run({"--print_config"});
  EXPECT_EQ(result.status, 0);
  EXPECT_EQ(result.err, "knot: warning: KNOT_THREDS in the environment names no flag\n");
  Start();
  EXPECT_EQ(server_->Error(), "knot: warning: KNOT_THREDS in the environment names no flag\n");
}

TEST_P(Config, IsTestedWithoutServing) {
  for (const char* flag : {"-t", "--test_config"}) {
    Result good = Run({flag, "--listen=127.0.0.1:1", root_.path()});
    EXPECT_EQ(good.status, 0) << good.err;
    EXPECT_EQ(good.out, "knot: configuration is good\n");
    EXPECT_EQ(good.err, "");
  }
  ExpectOneLineAndStatus2({"-t", File("threads = x\n"), root_.path()}, "knot.conf:1: ");
  ExpectOneLineAndStatus2({"-t", root_ / "none"}, "cannot serve " + root_ / "none");
  for (const char* place : {"--chroot=/none", "--pid_file=/none/pid", "--takeover=/none/socket"}) {
    ExpectOneLineAndStatus2({"-t", place, root_.path()}, "/none");
  }
  ExpectOneLineAndStatus2({"-t", "--access_log=/none/log", root_.path()}, "/none/log");
  ExpectOneLineAndStatus2({"-t", "--access_log=" + root_.path(), root_.path()}, "Is a directory");
  ExpectOneLineAndStatus2(
      {"-t", "--listen=127.0.0.1:1", "--listen=127.0.0.1:2", "--threads=1", root_.path()},
      "at least 2");
  // A log that does not exist is not made.
  EXPECT_EQ(Run({"-t", "--access_log=" + files_ / "log", root_.path()}).status, 0);
  struct stat stat;
  EXPECT_NE(::stat((files_ / "log").c_str(), &stat), 0);
}

TEST_P(Config, WarnsOfPagesThatAreNotThere) {
  WriteFile(root_ / "there.html", "there");
  Result result = Run({"-t", "--error_page=404=/gone.html", "--error_page=403=/there.html",
                       "--spa=/app.html", root_.path()});
  EXPECT_EQ(result.status, 0);
  EXPECT_NE(result.err.find("warning: "), std::string::npos) << result.err;
  EXPECT_NE(result.err.find("gone.html"), std::string::npos) << result.err;
  EXPECT_NE(result.err.find("app.html"), std::string::npos) << result.err;
  EXPECT_EQ(result.err.find("there.html"), std::string::npos) << result.err;
}

TEST_P(Config, MayBeginWithAByteOrderMark) {
  ExpectLine(Run({File("\xef\xbb\xbfthreads = 12\n"), "--print_config"}), "threads = 12");
}

TEST_P(Config, TakesTheDirectoryOnce) {
  ExpectLine(Run({"--print_config", "--root=a"}), "root = a");
  ExpectLine(Run({"--print_config", File("root = a\n"), "b"}), "root = b");
  ExpectOneLineAndStatus2({"--root=a", "b"}, "not also b");
  ExpectOneLineAndStatus2({"--root="}, "--root=: must be a directory");
}

INSTANTIATE_FOR_BINARIES(Config);

}  // namespace
}  // namespace knot::test
