#include "tests/knot/support/server_process.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

namespace knot::test {
namespace {

constexpr int kHangSteps = 6000;
constexpr int kStepUs = 10'000;

constexpr int kFirstPassed = 3;
constexpr int kHighest = 256;

// Moves the sockets to where systemd puts them. Requires: nothing else is open from there on.
void Pass(const std::vector<int>& high) {
  for (size_t i = 0; i < high.size(); ++i) {
    dup2(high[i], kFirstPassed + static_cast<int>(i));
    close(high[i]);
  }
  setenv("LISTEN_PID", std::to_string(getpid()).c_str(), 1);
  setenv("LISTEN_FDS", std::to_string(high.size()).c_str(), 1);
}

[[noreturn]] void RunChild(const std::string& binary, const std::vector<std::string>& arguments,
                           const std::string& out, const std::string& err, int descriptor_limit,
                           std::vector<int> passed) {
  std::vector<char*> argv{const_cast<char*>(binary.c_str())};
  for (const std::string& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  dup2(open(out.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600), STDOUT_FILENO);
  dup2(open(err.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600), STDERR_FILENO);
  unsetenv("KNOT_BINARIES");  // of ours, and no flag of Knot's
  for (int& fd : passed) fd = fcntl(fd, F_DUPFD, kHighest);
  for (int fd = kFirstPassed; fd < kHighest; ++fd) close(fd);
  if (!passed.empty()) Pass(passed);
  if (descriptor_limit > 0) {
    rlimit limit{static_cast<rlim_t>(descriptor_limit), static_cast<rlim_t>(descriptor_limit)};
    setrlimit(RLIMIT_NOFILE, &limit);
  }
  execv(binary.c_str(), argv.data());
  _exit(127);
}

}  // namespace

TempDirectory::TempDirectory() {
  path_ = testing::TempDir() + "knot_XXXXXX";
  if (mkdtemp(path_.data()) == nullptr) std::abort();
}

TempDirectory::~TempDirectory() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

void WriteFile(const std::string& path, const std::string& contents) {
  std::filesystem::create_directories(std::filesystem::path(path).parent_path());
  std::ofstream(path, std::ios::binary) << contents;
}

std::string ReadFile(const std::string& path) {
  std::ostringstream text;
  text << std::ifstream(path, std::ios::binary).rdbuf();
  return text.str();
}

std::string Pattern(size_t size) {
  std::string bytes(size, '\0');
  uint64_t state = 88172645463325252;
  for (size_t i = 0; i < size; ++i) {
    if (i % 8 == 0) {
      state ^= state << 13;
      state ^= state >> 7;
      state ^= state << 17;
    }
    bytes[i] = static_cast<char>(state >> (i % 8 * 8));
  }
  return bytes;
}

ServerProcess::ServerProcess(const std::string& binary, const std::vector<std::string>& arguments,
                             int descriptor_limit, const std::vector<int>& passed) {
  pid_ = fork();
  if (pid_ == 0) {
    RunChild(binary, arguments, directory_ / "out", directory_ / "err", descriptor_limit, passed);
  }
}

ServerProcess::~ServerProcess() {
  if (!Ended()) {
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
  }
  std::string error = Error();
  EXPECT_EQ(error.find("Sanitizer"), std::string::npos) << error;
  EXPECT_EQ(error.find("runtime error"), std::string::npos) << error;
}

bool ServerProcess::Ended() {
  if (!ended_ && waitpid(pid_, &status_, WNOHANG) == pid_) ended_ = true;
  return ended_;
}

std::vector<uint16_t> ServerProcess::WaitForPorts() {
  std::string output;
  for (int i = 0; i < kHangSteps && output.find('\n') == std::string::npos; ++i) {
    bool ended = Ended();
    output = Output();
    if (ended && output.empty()) return {};
    usleep(kStepUs);
  }
  std::vector<uint16_t> ports;
  size_t end = output.find(" serves ");
  for (size_t at = output.find("://"); at < end; at = output.find("://", at + 1)) {
    size_t slash = output.find('/', at + 3);
    ports.push_back(static_cast<uint16_t>(std::atoi(&output[output.rfind(':', slash) + 1])));
  }
  return ports;
}

void ServerProcess::Signal(int number) { kill(pid_, number); }

int ServerProcess::WaitForExit() {
  for (int i = 0; i < kHangSteps && !Ended(); ++i) usleep(kStepUs);
  if (!ended_) return -1;
  return WIFEXITED(status_) ? WEXITSTATUS(status_) : 128 + WTERMSIG(status_);
}

bool ServerProcess::WaitForError(const std::string& text) const {
  for (int i = 0; i < kHangSteps; ++i) {
    if (Error().find(text) != std::string::npos) return true;
    usleep(kStepUs);
  }
  return false;
}

void AdoptOrphans() { prctl(PR_SET_CHILD_SUBREAPER, 1); }

void EndChildren() {
  std::string self = std::to_string(getpid());
  std::istringstream children(ReadFile("/proc/" + self + "/task/" + self + "/children"));
  for (pid_t child; children >> child;) kill(child, SIGKILL);
  while (waitpid(-1, nullptr, 0) > 0) {
  }
}

std::vector<std::string> Binaries() {
  const char* set = std::getenv("KNOT_BINARIES");
  std::istringstream list(set != nullptr ? set : KNOT_BUILT_BINARIES);
  std::vector<std::string> binaries;
  for (std::string path; std::getline(list, path, ':');) binaries.push_back(path);
  return binaries;
}

bool IsKnot(const std::string& command) {
  return command.substr(command.rfind('/') + 1).starts_with("knot");
}

std::string BinaryName(const testing::TestParamInfo<std::string>& info) {
  if (IsKnot(info.param)) {
    return info.param.ends_with("-kernel-threads") ? "KernelThreads" : "Bobbin";
  }
  std::string name = info.param.substr(info.param.rfind('/') + 1);
  for (char& c : name) {
    if (std::isalnum(static_cast<unsigned char>(c)) == 0) c = '_';
  }
  return name;
}

void KnotTest::Start(std::vector<std::string> arguments, int descriptor_limit) {
  std::istringstream command(GetParam());
  std::string binary;
  command >> binary;
  if (!IsKnot(binary)) {  // a server of another kind has no such threads
    std::erase_if(arguments, [](const std::string& argument) {
      return argument.starts_with("--threads=") || argument.starts_with("--send=");
    });
  }
  for (std::string argument; command >> argument;) arguments.push_back(argument);
  arguments.push_back("--listen=127.0.0.1:0");
  arguments.push_back(root_.path());
  server_ = std::make_unique<ServerProcess>(binary, arguments, descriptor_limit);
  std::vector<uint16_t> ports = server_->WaitForPorts();
  ASSERT_EQ(ports.size(), 1u) << server_->Error();
  port_ = ports[0];
}

KnotTest::Result KnotTest::Run(const std::vector<std::string>& arguments) {
  ServerProcess process(GetParam(), arguments);
  int status = process.WaitForExit();
  return {status, process.Output(), process.Error()};
}

void KnotTest::ExpectOneLineAndStatus2(const std::vector<std::string>& arguments,
                                       const std::string& says) {
  SCOPED_TRACE(testing::PrintToString(arguments));
  Result result = Run(arguments);
  EXPECT_EQ(result.status, 2);
  EXPECT_EQ(result.out, "");
  EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 1) << result.err;
  EXPECT_EQ(result.err.find("knot: "), 0u) << result.err;
  EXPECT_NE(result.err.find(says), std::string::npos) << result.err;
}

}  // namespace knot::test
