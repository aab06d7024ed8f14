#include "tests/wrappers/support.h"

#include <sched.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <sstream>

namespace bobbin_test {

namespace {

Fd MakeMemoryFile() {
  Fd file(memfd_create("test", MFD_CLOEXEC));
  EXPECT_OK(file.get());
  return file;
}

std::string ReadFromStart(int fd) {
  EXPECT_OK(lseek(fd, 0, SEEK_SET));
  return conformance::ReadToEnd(fd);
}

}  // namespace

void LetOthersRun() {
  for (int i = 0; i < 100; ++i) sched_yield();
}

void UseSchedulers(int count) {
  bobbin::Options options = bobbin::CurrentOptions();
  options.schedulers = count;
  ASSERT_EQ(0, bobbin::Configure(options));
  ASSERT_EQ(count, bobbin::CurrentOptions().schedulers);
}

UserThread StartOn(int scheduler, std::function<void()> body) {
  EXPECT_EQ(0, bobbin::PlaceNextThread(scheduler));
  return UserThread(std::move(body));
}

int KernelThreads() {
  // Not by listing the directory, which a worker would do.
  struct stat status;
  EXPECT_EQ(0, bobbin::RawSyscall(SYS_stat, "/proc/self/task", &status));
  return static_cast<int>(status.st_nlink) - 2;
}

Outcome RunCatchingErrors(const std::function<int()>& body) {
  Fd file = MakeMemoryFile();
  Outcome outcome;
  outcome.status = conformance::RunInChild([&] {
    dup2(file.get(), STDERR_FILENO);
    return body();
  });
  outcome.errors = ReadFromStart(file.get());
  return outcome;
}

ProgramOutcome RunProgram(const std::vector<std::string>& arguments,
                          const std::vector<std::string>& variables) {
  Fd output = MakeMemoryFile();
  Fd errors = MakeMemoryFile();
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, output.get(), STDOUT_FILENO);
  posix_spawn_file_actions_adddup2(&actions, errors.get(), STDERR_FILENO);
  std::vector<char*> argv;
  for (const std::string& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  std::vector<char*> envp;
  for (const std::string& variable : variables) {
    envp.push_back(const_cast<char*>(variable.c_str()));
  }
  // None of the variables that tell Bobbin what to do are handed on.
  for (char** variable = environ; *variable != nullptr; ++variable) {
    if (strncmp(*variable, "BOBBIN", 6) != 0) envp.push_back(*variable);
  }
  envp.push_back(nullptr);
  pid_t child = -1;
  ProgramOutcome outcome;
  EXPECT_EQ(0, posix_spawn(&child, argv[0], &actions, nullptr, argv.data(), envp.data()));
  posix_spawn_file_actions_destroy(&actions);
  EXPECT_EQ(child, waitpid(child, &outcome.status, 0));
  outcome.output = ReadFromStart(output.get());
  outcome.errors = ReadFromStart(errors.get());
  return outcome;
}

std::vector<std::string> ThreadDump() {
  Fd file = MakeMemoryFile();
  EXPECT_EQ(0, bobbin::DumpThreads(file.get()));
  std::istringstream stream(ReadFromStart(file.get()));
  std::vector<std::string> lines;
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

}  // namespace bobbin_test
