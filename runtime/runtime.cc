#include "runtime/runtime.h"

#include <errno.h>
#include <signal.h>
#include <sys/prctl.h>

#include <new>

#include "runtime/raw_syscall.h"

namespace bobbin {

namespace {

constexpr size_t kStackSpace = size_t{16} << 40;

size_t Length(const char* text) {
  size_t length = 0;
  while (text[length] != '\0') ++length;
  return length;
}

void WriteLine(const char* text) {
  char line[512];
  size_t size = 0;
  for (const char* part : {"bobbin: ", text, "\n"}) {
    for (size_t i = 0; i < Length(part) && size < sizeof line; ++i) line[size++] = part[i];
  }
  RawSyscall(SYS_write, 2, line, size);
}

int OnlineProcessors() {
  uint64_t set[16] = {};
  long bytes = RawSyscall(SYS_sched_getaffinity, 0, sizeof set, set);
  int count = 0;
  for (long i = 0; i < bytes / 8; ++i) count += __builtin_popcountll(set[i]);
  return count > 0 ? count : 1;
}

bool Valid(const Options& options) {
  return options.schedulers >= 0 && options.schedulers <= kMaxSchedulers && options.workers >= 0 &&
         options.workers <= kMaxWorkers && options.poller <= PollerKind::kPoll &&
         options.sendfile <= SendfilePolicy::kBlocking &&
         options.accept <= AcceptPolicy::kFavorAccepts && options.quantum_ms >= 0 &&
         options.quantum_ms <= kMaxQuantumMs;
}

int EffectiveSchedulers(const Options& options) {
  if (options.schedulers > 0) return options.schedulers;
  int processors = OnlineProcessors();
  return processors < kMaxSchedulers ? processors : kMaxSchedulers;
}

}  // namespace

alignas(64) unsigned char runtime_storage[sizeof(Runtime)];

void MakeRuntime() { new (runtime_storage) Runtime; }

void Warn(const char* text) { WriteLine(text); }

void Die(const char* text) {
  WriteLine(text);
  // Not raise(3): libc's thread ids are ours.
  uint64_t none = 0;
  RawSyscall(SYS_rt_sigprocmask, SIG_SETMASK, &none, nullptr, sizeof none);
  RawSyscall(SYS_tgkill, RawSyscall(SYS_getpid), RawSyscall(SYS_gettid), SIGABRT);
  RawSyscall(SYS_exit_group, 134);
  __builtin_unreachable();
}

namespace {

// What libc told the kernel about the main thread before we came: where its end is announced
// (set_tid_address(2)) and its list of robust mutexes.
void LearnOfMain(Thread* main) {
  uint32_t* word = nullptr;
  if (RawSyscall(SYS_prctl, PR_GET_TID_ADDRESS, &word, 0, 0, 0) < 0) {
    // A kernel without checkpoints does not tell. libc keeps the word near its thread pointer.
    constexpr int kWords = 256;
    auto* block = reinterpret_cast<uint32_t*>(ReadFsBase());
    for (int i = 0; i < kWords && word == nullptr; ++i) {
      if (block[i] == static_cast<uint32_t>(main->tid)) word = &block[i];
    }
  }
  main->clear_tid = word;
  size_t size;
  RawSyscall(SYS_get_robust_list, 0, &main->robust_list, &size);
}

}  // namespace

bool Runtime::Start(const Options& initial) {
  options = initial;
  auto fail = [this](const char* reason) {
    inactive_reason = reason;
    return false;
  };
  if (!Valid(initial)) return fail("an option is out of range");
  if (!FsGsBaseAvailable())
    return fail("the kernel does not offer FSGSBASE (Linux 5.9 and a processor that has it)");
  if (ReadGsBase() != 0) return fail("something else uses the GS base");
  clock.Init();
  if (!threads.Init() || !parking.Init() || !descriptors.Init())
    return fail("no memory for the thread tables");
  stacks.Init(kStackSpace);  // without it threads have the stacks libc maps, which is only slower
  workers.Configure(options.workers);
  pid = static_cast<int>(RawSyscall(SYS_getpid));
  Scheduler* first = new (std::nothrow) Scheduler;
  Thread* main = threads.AllocateMain(pid);
  if (first == nullptr || main == nullptr || first->Init(0, options.poller) < 0) {
    return fail("the first scheduler could not be made (descriptors or memory)");
  }
  schedulers[0] = first;
  scheduler_count.store(1, std::memory_order_release);
  first->Adopt(main);
  RawSyscall(SYS_prctl, PR_GET_NAME, main->name);
  LearnOfMain(main);
  main->signal_mask = first->kernel_mask;
  main->mask_slot = masks.Add(main->signal_mask);
  active = true;
  inactive_reason = "";
  if (AddSchedulers(EffectiveSchedulers(initial)) < 0)
    Warn("fewer schedulers than asked: no kernel thread to be had");
  options.schedulers = scheduler_count.load(std::memory_order_relaxed);
  return true;
}

void Runtime::Abandon(const char* reason) {
  active = false;
  inactive_reason = reason;
  WriteGsBase(0);
}

long Runtime::AddSchedulers(int count) {
  for (int i = scheduler_count.load(std::memory_order_relaxed); i < count; ++i) {
    Scheduler* scheduler = new (std::nothrow) Scheduler;
    if (scheduler == nullptr) return -ENOMEM;
    long result = scheduler->Init(i, options.poller);
    if (result < 0) return result;
    schedulers[i] = scheduler;
    result = scheduler->StartKernelThread();
    if (result < 0) return result;
    scheduler_count.store(i + 1, std::memory_order_release);
  }
  return 0;
}

int Runtime::Configure(const Options& wanted) {
  if (!active) return ENOTSUP;
  if (!Valid(wanted)) return EINVAL;
  int count = EffectiveSchedulers(wanted);
  int now = scheduler_count.load(std::memory_order_relaxed);
  bool alone = threads.alive() == 1;
  // Schedulers once started stay: they may be in use.
  if (count < now && wanted.schedulers != 0) return EBUSY;
  if ((count > now || wanted.poller != options.poller) && !alone) return EBUSY;
  if (wanted.poller != options.poller) {
    if (now > 1) return EBUSY;
    Scheduler* scheduler = schedulers[0];
    scheduler->ForgetViews();
    if (scheduler->SetPoller(wanted.poller) < 0) {
      scheduler->SetPoller(options.poller);
      return EAGAIN;
    }
  }
  workers.Configure(wanted.workers);
  const int quantum_before = options.quantum_ms;
  options = wanted;
  if (wanted.quantum_ms != quantum_before) SetQuantum(wanted.quantum_ms);
  long result = AddSchedulers(count);
  options.schedulers = scheduler_count.load(std::memory_order_relaxed);
  return result < 0 ? EAGAIN : 0;
}

// Each on its own kernel thread, for the timers are theirs.
void Runtime::SetQuantum(int quantum_ms) {
  options.quantum_ms = quantum_ms;
  if (hooks.set_quantum == nullptr) return;
  const int count = scheduler_count.load(std::memory_order_relaxed);
  for (int i = 0; i < count; ++i) {
    Scheduler::Current()->CallOn(
        schedulers[i], [](Scheduler* target, void*) { runtime().hooks.set_quantum(target); },
        nullptr);
  }
}

Scheduler* Runtime::Place(Thread* creator) {
  int wanted = creator->next_placement;
  if (wanted >= 0) {
    creator->next_placement = -1;
    return schedulers[wanted];
  }
  int count = scheduler_count.load(std::memory_order_relaxed);
  if (count == 1) return schedulers[0];
  return schedulers[next_placement.fetch_add(1, std::memory_order_relaxed) %
                    static_cast<unsigned>(count)];
}

void Runtime::ResetAfterFork() {
  Scheduler* scheduler = Scheduler::Current();
  Thread* survivor = scheduler->current();
  pid = static_cast<int>(RawSyscall(SYS_getpid));
  threads.KeepOnly(survivor, pid);
  parking.Clear();
  stacks.ResetAfterFork();
  survivor->mask_slot = masks.Reset(survivor->signal_mask);
  workers.ResetAfterFork();
  schedulers[0] = scheduler;
  scheduler_count.store(1, std::memory_order_release);
  options.schedulers = 1;
  foreign_threads.store(false, std::memory_order_relaxed);
  if (scheduler->ResetAfterFork(survivor, options.poller) < 0)
    Die("no descriptors for the child's scheduler");
  if (hooks.prepare != nullptr) hooks.prepare(scheduler);
}

}  // namespace bobbin
