// Starts the runtime when the library is loaded, checks that it works, and falls back to kernel
// threads where not.
//
// BOBBIN=off keeps a process on kernel threads.
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <sys/stat.h>

#include <cstdlib>

#include "wrappers/passed_calls.h"
#include "wrappers/preemption.h"
#include "wrappers/scheduling.h"
#include "wrappers/signal.h"
#include "wrappers/started.h"
#include "wrappers/table.h"
#include "wrappers/ways_in/dispatch.h"
#include "wrappers/ways_in/libc_text.h"

namespace bobbin {

namespace {

// The kernel threads of this process.
int KernelThreads() {
  struct stat status;
  // The links of a directory are its subdirectories and two more.
  if (RawSyscall(SYS_stat, "/proc/self/task", &status) < 0) return 1;
  return static_cast<int>(status.st_nlink) - 2;
}

// The address space of this process, in bytes; 0 where /proc does not say. Source: proc(5), statm.
size_t MappedBytes() {
  const long fd = RawSyscall(SYS_open, "/proc/self/statm", O_RDONLY | O_CLOEXEC);
  if (fd < 0) return 0;
  char text[32] = {};
  RawSyscall(SYS_read, fd, text, sizeof text - 1);
  RawSyscall(SYS_close, fd);
  size_t pages = 0;
  for (const char* at = text; *at >= '0' && *at <= '9'; ++at)
    pages = pages * 10 + static_cast<size_t>(*at - '0');
  return pages * 4096;
}

// The calls whose every site in libc must be ours before a thread may be made: one that slipped
// through would make a kernel thread of a user thread, or put a scheduler to sleep for good.
bool Essential(long nr) {
  return nr == SYS_clone3 || nr == SYS_exit || nr == SYS_futex || nr == SYS_gettid ||
         nr == SYS_rt_sigprocmask || nr == SYS_tgkill || nr == SYS_set_robust_list ||
         nr == SYS_rseq;
}

struct SiteCheck {
  bool missed = false;
  bool clone = false;
  bool exit = false;
};

// Makes a thread with libc's own pthread_create and looks at what it runs on.
struct ThreadCheck {
  sem_t go, done;
  bool user_thread = false;
};

void* CheckedThread(void* argument) {
  auto* check = static_cast<ThreadCheck*>(argument);
  Scheduler* scheduler = Scheduler::Current();
  check->user_thread = scheduler != nullptr && scheduler->current()->fs_base == ReadFsBase() &&
                       static_cast<uint64_t>(pthread_self()) == ReadFsBase();
  sem_wait(&check->go);
  sem_post(&check->done);
  return check;
}

// Has libc believe again that no thread was made (sys/single_threaded.h): else a program without
// threads pays for locks, and its fork in a signal handler waits for the fork that was interrupted.
class UnseenThread {
 public:
  UnseenThread() {
    void* libc = dlopen("libc.so.6", RTLD_LAZY | RTLD_NOLOAD);
    // The program may have a copy of the variable; libc itself looks at its own.
    for (void* place : {libc == nullptr ? nullptr : dlsym(libc, "__libc_single_threaded"),
                        dlsym(RTLD_DEFAULT, "__libc_single_threaded")}) {
      if (place == nullptr) continue;
      places_[count_] = static_cast<char*>(place);
      before_[count_] = *places_[count_];
      ++count_;
    }
    if (libc != nullptr) dlclose(libc);
  }
  ~UnseenThread() {
    for (int i = 0; i < count_; ++i) *places_[i] = before_[i];
  }
  UnseenThread(const UnseenThread&) = delete;
  UnseenThread& operator=(const UnseenThread&) = delete;

 private:
  char* places_[2];
  char before_[2];
  int count_ = 0;
};

// Returns: "" when libc's threads are ours, else what is wrong.
const char* SelfCheck() {
  UnseenThread unseen;
  ThreadCheck check;
  sem_init(&check.go, 0, 0);
  sem_init(&check.done, 0, 0);
  Runtime& rt = runtime();
  uint64_t parked = rt.schedulers[0]->counters().parks;
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, 65536);
  Scheduler::Current()->current()->next_placement = 0;
  pthread_t thread;
  int error = pthread_create(&thread, &attributes, &CheckedThread, &check);
  pthread_attr_destroy(&attributes);
  if (error != 0) return "the self-check could not make a thread";
  // The thread runs when we wait, waits itself, and we wake each other: both directions of the
  // futex.
  sem_post(&check.go);
  sem_wait(&check.done);
  void* result = nullptr;
  pthread_join(thread, &result);
  if (!check.user_thread || result != &check)
    return "libc's threads did not become user threads (unknown libc?)";
  if (rt.schedulers[0]->counters().parks == parked)
    return "libc's waits did not reach the runtime (unknown libc?)";
  return "";
}

bool EveryCall(long) { return true; }

const char* TakeOverLibc() {
  // With dispatch on, a site left alone would trap.
  FillPassedDirectly();
  LibcTextReport report = PatchLibcText(runtime().run.dispatch ? &EveryCall : &TableWants);
  if (report.error[0] != '\0') return report.error;
  SiteCheck check;
  ForEachLibcSite(
      [](const SystemCallSite& site, void* argument) {
        auto* seen = static_cast<SiteCheck*>(argument);
        bool patched = site.status == SiteStatus::kPatched;
        if (site.nr == SYS_clone3) seen->clone = patched;
        if (site.nr == SYS_exit) seen->exit = patched;
        if (!patched && (Essential(site.nr) || site.status == SiteStatus::kUnknown))
          seen->missed = true;
      },
      &check);
  if (check.missed || !check.clone || !check.exit)
    return "this libc has system-call sites of unknown shape";
  return SelfCheck();
}

// What each scheduler's kernel thread is to have, at its start and in the child of a fork.
void PrepareKernelThread(Scheduler* scheduler) {
  if (DispatchThisThread(true) < 0)
    Warn("a scheduler runs without dispatch: the machine denies it");
  SetQuantum(scheduler);
}

// Returns: "" when the process runs on user threads, else why not, with everything as before.
const char* TakeOver(const Options& options) {
  Runtime& rt = runtime();
  if (KernelThreads() > 1) return "there are threads already, made before the library was loaded";
  if (!rt.Start(options)) return rt.inactive_reason;
  const char* problem = FindOwnCode();
  if (problem[0] == '\0') {
    StartSignals();
    LearnScheduling(Scheduler::Current()->current());
    problem = TakeOverLibc();
    if (problem[0] == '\0' && rt.run.dispatch) problem = StartDispatch();
    if (problem[0] == '\0') {
      rt.hooks.prepare = &PrepareKernelThread;
      SetQuantum(rt.schedulers[0]);
      return "";
    }
    RestoreLibcText();
    StopSignals();
  }
  rt.Abandon(problem);
  return problem;
}

__attribute__((constructor)) void StartRuntime() {
  MakeRuntime();
  Runtime& rt = runtime();
  Options options;
  const char* bad = OptionsFromEnvironment(&options, &rt.run);
  LeaveEnvironment(rt.run);
  const char* off = getenv("BOBBIN");
  if (off != nullptr && off[0] == 'o' && off[1] == 'f' && off[2] == 'f' && off[3] == '\0') {
    rt.inactive_reason = "BOBBIN=off";
    return;
  }
  if (bad != nullptr) {
    rt.inactive_reason = "a BOBBIN_ variable has a bad value";
    FallBack(rt.run, rt.inactive_reason, bad);
    return;
  }
  // The others join in when libc is known to be ours.
  int schedulers = options.schedulers;
  options.schedulers = 1;
  const size_t mapped = MappedBytes();
  const char* problem = TakeOver(options);
  if (problem[0] != '\0') {
    FallBack(rt.run, problem, nullptr);
    return;
  }
  options.schedulers = schedulers;
  if (schedulers != 1 && rt.Configure(options) != 0)
    Warn("fewer schedulers than asked: no kernel thread to be had");
  rt.reserved_bytes = MappedBytes() - mapped;
  PrepareProgram(rt.run);
}

}  // namespace

}  // namespace bobbin
