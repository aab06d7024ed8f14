#include "wrappers/preemption.h"

#include <atomic>

#include "wrappers/ways_in/dispatch.h"

namespace bobbin {

namespace {

// What the signals carry: addresses that nobody else can send by chance.
const char tick_mark = 0;
const char stop_mark = 0;
const char nudge_mark = 0;

// Odd while others are to stand still. Each scheduler says in its place for which number it does.
std::atomic<uint32_t> stop_number{0};
std::atomic<uint32_t> standing[kMaxSchedulers];

constexpr uint64_t kLongestWait = 50'000'000;  // nanoseconds

void Stand(int index) {
  const uint32_t number = stop_number.load(std::memory_order_acquire);
  if ((number & 1) == 0) return;
  standing[index].store(number, std::memory_order_release);
  // Returning from the signal serializes, so new code is fetched anew.
  while (stop_number.load(std::memory_order_acquire) == number) __builtin_ia32_pause();
}

void Send(const Scheduler* scheduler, const char* mark) {
  siginfo_t info = {};
  info.si_signo = kTick;
  info.si_code = SI_QUEUE;
  info.si_pid = runtime().pid;
  info.si_value.sival_ptr = const_cast<char*>(mark);
  RawSyscall(SYS_rt_tgsigqueueinfo, runtime().pid, scheduler->kernel_tid(), kTick, &info);
}

}  // namespace

void SetQuantum(Scheduler* scheduler) {
  const int quantum_ms = runtime().options.quantum_ms;
  if (scheduler->tick_timer < 0) {
    if (quantum_ms == 0) return;
    struct sigevent event = {};
    event.sigev_notify = SIGEV_THREAD_ID;
    event.sigev_signo = kTick;
    event.sigev_value.sival_ptr = const_cast<char*>(&tick_mark);
    event._sigev_un._tid = static_cast<int>(RawSyscall(SYS_gettid));
    int timer = -1;
    if (RawSyscall(SYS_timer_create, CLOCK_THREAD_CPUTIME_ID, &event, &timer) < 0) {
      Warn("no timer to be had: threads are not preempted");
      return;
    }
    scheduler->tick_timer = timer;
  }
  const struct timespec every = {quantum_ms / 1000, quantum_ms % 1000 * 1'000'000L};
  const struct itimerspec setting = {every, every};
  RawSyscall(SYS_timer_settime, scheduler->tick_timer, 0, &setting, nullptr);
}

bool OnTick(Scheduler* scheduler, const siginfo_t& info, uintptr_t interrupted_at) {
  if (info.si_code == SI_QUEUE && info.si_value.sival_ptr == &stop_mark) {
    Stand(scheduler->index());
    return true;
  }
  if (info.si_code == SI_QUEUE && info.si_value.sival_ptr == &nudge_mark) {
    scheduler->EnterRuntime();
    scheduler->RequestAttention();
    scheduler->LeaveRuntime();
    return true;
  }
  if (info.si_code != SI_TIMER || info.si_value.sival_ptr != &tick_mark) return false;
  if (scheduler->in_runtime() || IsOwnCode(interrupted_at)) {
    scheduler->YieldSoon();
  } else {
    ++scheduler->counters().preemptions;
    const SuspendedFrame suspended(scheduler);
    scheduler->Yield();
  }
  return true;
}

void Nudge(Scheduler* scheduler) { Send(scheduler, &nudge_mark); }

void ResetPreemptionAfterFork() {
  stop_number.store(0, std::memory_order_relaxed);
  for (auto& number : standing) number.store(0, std::memory_order_relaxed);
}

OthersStandStill::OthersStandStill() {
  Runtime& rt = runtime();
  const int count = rt.scheduler_count.load(std::memory_order_acquire);
  if (count == 1) return;
  asked_ = true;
  const uint32_t number = stop_number.fetch_add(1, std::memory_order_acq_rel) + 1;
  const Scheduler* self = Scheduler::Current();
  for (int i = 0; i < count; ++i) {
    if (rt.schedulers[i] != self) Send(rt.schedulers[i], &stop_mark);
  }
  const uint64_t give_up = rt.clock.Now() + kLongestWait;
  for (int i = 0; i < count && all_; ++i) {
    if (rt.schedulers[i] == self) continue;
    while (standing[i].load(std::memory_order_acquire) != number && all_) {
      __builtin_ia32_pause();
      all_ = rt.clock.Now() < give_up;
    }
  }
}

OthersStandStill::~OthersStandStill() {
  if (asked_) stop_number.fetch_add(1, std::memory_order_release);
}

}  // namespace bobbin
