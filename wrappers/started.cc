#include "wrappers/started.h"

#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>

#include "runtime/report_descriptor.h"
#include "runtime/runtime.h"
#include "runtime/text.h"
#include "wrappers/audit.h"
#include "wrappers/futex.h"

namespace bobbin {

namespace {

constexpr int kRefused = 125;  // as `bobbin run` itself

bool StartsWith(const char* text, const char* start) {
  while (*start != '\0' && *text == *start) ++text, ++start;
  return *start == '\0';
}

// Takes `entry` out of a list as LD_PRELOAD holds it, separated by colons or spaces (ld.so(8)).
void RemoveEntry(char* list, const char* entry) {
  char* to = list;
  for (const char* from = list; *from != '\0';) {
    const char* end = from;
    while (*end != '\0' && *end != ':' && *end != ' ') ++end;
    const char* rest = entry;
    const char* same = from;
    while (same < end && *same == *rest) ++same, ++rest;
    bool found = same == end && *rest == '\0';
    const char* next = *end == '\0' ? end : end + 1;
    for (; from < next; ++from) {
      if (!found) *to++ = *from;
    }
  }
  // The entry was the last one: the separator before it has nothing to separate.
  if (to > list && (to[-1] == ':' || to[-1] == ' ')) --to;
  *to = '\0';
}

struct ExitReport {
  bool wanted = false;
  int process = 0;
  std::atomic<bool> begun{false};
};

ExitReport report;

void KeepStandardError() {
  OpenReportDescriptor();
  report.process = runtime().pid;
  report.wanted = true;
}

void CapStacks(size_t cap) {
  pthread_attr_t standard;
  size_t size = 0;
  if (pthread_getattr_default_np(&standard) != 0) return;
  pthread_attr_getstacksize(&standard, &size);
  auto least = static_cast<size_t>(sysconf(_SC_THREAD_STACK_MIN));
  constexpr size_t kPage = 4096;
  cap = ((cap < least ? least : cap) + kPage - 1) & ~(kPage - 1);
  if (cap < size && pthread_attr_setstacksize(&standard, cap) == 0)
    pthread_setattr_default_np(&standard);
  pthread_attr_destroy(&standard);
}

// The program's end may not become one by a signal because nobody reads its standard error.
void BlockBrokenPipe() {
  uint64_t mask = uint64_t{1} << (SIGPIPE - 1);
  RawSyscall(SYS_rt_sigprocmask, SIG_BLOCK, &mask, nullptr, sizeof mask);
}

}  // namespace

void LeaveEnvironment(const RunOptions& run) {
  const char* library = getenv("BOBBIN_PRELOAD");
  if (library == nullptr || run.children) return;
  constexpr char kPreload[] = "LD_PRELOAD=";
  // In place: the array is main's third argument too.
  char** to = environ;
  for (char** from = environ; *from != nullptr; ++from) {
    if (StartsWith(*from, "BOBBIN_")) continue;
    if (StartsWith(*from, kPreload)) {
      char* list = *from + sizeof kPreload - 1;
      RemoveEntry(list, library);
      if (*list == '\0') continue;
    }
    *to++ = *from;
  }
  *to = nullptr;
}

void PrepareProgram(const RunOptions& run) {
  if (run.stack_cap != 0) CapStacks(run.stack_cap);
  if (run.statistics || run.audit) KeepStandardError();
}

void FallBack(const RunOptions& run, const char* reason, const char* detail) {
  Warn(run.refuse ? "refusing to run, because:" : "running on kernel threads, because:");
  Warn(reason);
  if (detail != nullptr) Warn(detail);
  if (run.refuse) RawSyscall(SYS_exit_group, kRefused);
}

void ReportAtExit() {
  // A child of the program's own making, by a fork that the table did not see, is another process.
  if (!report.wanted || RawSyscall(SYS_getpid) != report.process) return;
  // Beside another scheduler that is writing: that one ends us all.
  while (report.begun.exchange(true)) RawSyscall(SYS_pause);
  const int descriptor = ReportDescriptor();
  if (descriptor < 0) return;
  BlockBrokenPipe();
  const RunOptions& run = runtime().run;
  Text text(descriptor);
  text.Put("bobbin: process ").Number(static_cast<uint64_t>(report.process)).Put(" at its end:\n");
  text.Flush();
  if (run.statistics) WriteStatistics(descriptor);
  if (run.audit) WriteAudit(descriptor);
}

void ForgetReportAfterFork() {
  report.wanted = false;
  if (runtime().run.dump_signal == 0) CloseReportDescriptor();
}

long ExitGroup(Scheduler* scheduler, int status) {
  // No other user thread may come between and end the process half way.
  scheduler->EnterRuntime();
  ReleaseEveryRobustList(scheduler);
  ReportAtExit();
  RawSyscall(SYS_exit_group, status);
  __builtin_unreachable();
}

}  // namespace bobbin
