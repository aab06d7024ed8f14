// tests/wrappers/support.h: looks behind user threads from inside one.
//
// These tests are linked with libbobbin: what they do with pthreads and descriptors happens on user
// threads. Beyond what tests/conformance/support.h offers, they know the scheduler they run on.
#ifndef TESTS_WRAPPERS_SUPPORT_H_
#define TESTS_WRAPPERS_SUPPORT_H_

#include <gtest/gtest.h>
#include <linux/futex.h>
#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "bobbin/bobbin.h"
#include "runtime/raw_syscall.h"
#include "runtime/scheduler.h"
#include "tests/conformance/support.h"

namespace bobbin_test {

using conformance::Event;
using conformance::Fd;
using conformance::Pair;
using UserThread = conformance::Thread;

inline int SchedulerIndex() { return bobbin::Scheduler::Current()->index(); }

// The kernel's own answer, past libc and past Bobbin.
inline pid_t KernelTid() { return static_cast<pid_t>(bobbin::RawSyscall(SYS_gettid)); }

inline bobbin::Statistics Statistics() {
  bobbin::Statistics statistics;
  bobbin::GetStatistics(&statistics);
  return statistics;
}

// A futex of this process alone, by the system call.
inline long FutexWait(uint32_t* word, uint32_t expected, const timespec* timeout = nullptr) {
  return syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, expected, timeout, nullptr, 0);
}
inline long FutexWake(uint32_t* word, int count) {
  return syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, count, nullptr, nullptr, 0);
}

// Lets the other threads of this scheduler run until each of them waits for something or has had
// many turns.
void LetOthersRun();

// Adds schedulers up to this number. Requires: main is the only thread.
void UseSchedulers(int count);

// Makes a thread on that scheduler.
UserThread StartOn(int scheduler, std::function<void()> body);

// Kernel threads of this process.
int KernelThreads();

struct Outcome {
  int status = 0;  // as of waitpid
  std::string errors;
};

// Runs `body` in a forked child with its standard error caught. The child leaves with its result.
Outcome RunCatchingErrors(const std::function<int()>& body);

// Runs a program with variables ("NAME=value") added to the environment.
struct ProgramOutcome {
  int status = 0;
  std::string output, errors;
};
ProgramOutcome RunProgram(const std::vector<std::string>& arguments,
                          const std::vector<std::string>& variables);

// What DumpThreads writes, by line.
std::vector<std::string> ThreadDump();

}  // namespace bobbin_test

#endif  // TESTS_WRAPPERS_SUPPORT_H_
