// Runs a Knot binary for a test, and gives it a directory to serve.
#ifndef TESTS_KNOT_SUPPORT_SERVER_PROCESS_H_
#define TESTS_KNOT_SUPPORT_SERVER_PROCESS_H_

#include <gtest/gtest.h>
#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace knot::test {

// A directory of its own, removed at the end.
class TempDirectory {
 public:
  TempDirectory();
  ~TempDirectory();
  TempDirectory(const TempDirectory&) = delete;
  TempDirectory& operator=(const TempDirectory&) = delete;

  std::string operator/(const std::string& name) const { return path_ + "/" + name; }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

void WriteFile(const std::string& path, const std::string& contents);
std::string ReadFile(const std::string& path);

// Returns: `size` bytes that differ from place to place.
std::string Pattern(size_t size);

// A running, or finished, server. Its output goes to files in a directory of its own.
class ServerProcess {
 public:
  // Starts `binary` with `arguments`. `descriptor_limit`, where given, is its RLIMIT_NOFILE, hard
  // and soft. `passed` are sockets that it gets as systemd would pass them, from number 3 on.
  ServerProcess(const std::string& binary, const std::vector<std::string>& arguments,
                int descriptor_limit = 0, const std::vector<int>& passed = {});
  ~ServerProcess();
  ServerProcess(const ServerProcess&) = delete;
  ServerProcess& operator=(const ServerProcess&) = delete;

  // Waits for the line printed at start. Returns: the ports in it; empty where the process ended
  // instead.
  std::vector<uint16_t> WaitForPorts();

  void Signal(int number);

  // Waits for the process to end. Returns: its exit status; 128 + n where signal n ended it; -1
  // where it hangs.
  int WaitForExit();

  // Waits until `text` stands in what was written to standard error. Returns: false where it never
  // comes.
  bool WaitForError(const std::string& text) const;

  std::string Output() const { return ReadFile(directory_ / "out"); }
  std::string Error() const { return ReadFile(directory_ / "err"); }
  pid_t pid() const { return pid_; }

 private:
  bool Ended();

  TempDirectory directory_;
  pid_t pid_ = -1;
  bool ended_ = false;
  int status_ = 0;
};

// Has processes whose parent has ended become children of this one, and ends all children there
// are. For tests in which a server starts another.
void AdoptOrphans();
void EndChildren();

// The binaries every claim about the server is tested on: KNOT_BINARIES in the environment,
// separated by ':', else those that were built. Each may be followed by flags of its own, and may
// be another server, which answers as Knot does.
std::vector<std::string> Binaries();

// Tells a command that runs Knot from one of another server.
bool IsKnot(const std::string& command);

// Names a test instance after its binary.
std::string BinaryName(const testing::TestParamInfo<std::string>& info);

// A test against one binary, with a directory and, after Start, a running server.
class KnotTest : public testing::TestWithParam<std::string> {
 protected:
  // Starts the server on a free port of 127.0.0.1. Fails the test where it does not start.
  void Start(std::vector<std::string> arguments = {}, int descriptor_limit = 0);

  struct Result {
    int status;
    std::string out, err;
  };

  // Runs the binary until it ends by itself.
  Result Run(const std::vector<std::string>& arguments);

  // What a mistake in flags, or something that is not to be had, leads to.
  void ExpectOneLineAndStatus2(const std::vector<std::string>& arguments, const std::string& says);

  TempDirectory root_;
  std::unique_ptr<ServerProcess> server_;
  uint16_t port_ = 0;
};

#define INSTANTIATE_FOR_BINARIES(suite) \
  INSTANTIATE_TEST_SUITE_P(On, suite, testing::ValuesIn(Binaries()), BinaryName)

}  // namespace knot::test

#endif  // TESTS_KNOT_SUPPORT_SERVER_PROCESS_H_
