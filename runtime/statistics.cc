// The public API (bobbin/bobbin.h) over the runtime.
#include <errno.h>
#include <time.h>

#include "bobbin/bobbin.h"
#include "runtime/raw_syscall.h"
#include "runtime/runtime.h"
#include "runtime/text.h"

#define EXPORT __attribute__((visibility("default")))

namespace bobbin {

namespace {

// The runtime, where the caller is on a scheduler: who holds a lock of ours must not be interrupted
// by somebody on the same kernel thread who wants it.
class SectionIfScheduled {
 public:
  SectionIfScheduled() : scheduler_(runtime().active ? Scheduler::Current() : nullptr) {
    if (scheduler_ != nullptr) scheduler_->EnterRuntime();
  }
  ~SectionIfScheduled() noexcept(false) {
    if (scheduler_ != nullptr) scheduler_->LeaveRuntime();
  }
  SectionIfScheduled(const SectionIfScheduled&) = delete;
  SectionIfScheduled& operator=(const SectionIfScheduled&) = delete;

 private:
  Scheduler* scheduler_;
};

// CPU time of one of our kernel threads, as nanoseconds.
uint64_t KernelThreadTime(int kernel_tid) {
  // The clock of a thread's total CPU time: clock_getcpuclockid(3) for threads, as the kernel
  // encodes it.
  auto clock = static_cast<clockid_t>((~static_cast<unsigned>(kernel_tid) << 3) | 6u);
  return ReadKernelClock(clock);
}

void AddScheduler(Scheduler* scheduler, const Clock& clock, Statistics* out) {
  const Counters& c = scheduler->counters();
  uint64_t cpu =
      clock.Cycles(KernelThreadTime(scheduler->kernel_tid()) - scheduler->cpu_time_at_start());
  uint64_t busy = BusyPolling(c, cpu, clock.Cycles(c.polling_time));
  uint64_t idle = c.polling_cycles > busy ? c.polling_cycles - busy : 0;
  out->application_cycles += c.application_cycles;
  out->threading_cycles += c.threading_cycles;
  Shares shares = scheduler->shares.Split(c.event_cycles + c.polling_cycles, c.event_cycles, idle);
  out->event_cycles += shares.event;
  out->idle_cycles += shares.idle;
  out->switches += c.switches;
  out->parks += c.parks;
  out->polls += c.polls;
  out->poll_events += c.poll_events;
  out->poll_set += scheduler->poller()->size();
  out->accepts += c.accepts;
  out->futex_waits += c.futex_waits;
  out->futex_wakes += c.futex_wakes;
  out->try_again += c.try_again;
  out->worker_calls += c.worker_calls;
  out->inline_sendfiles += c.inline_sendfiles;
  out->worker_sendfiles += c.worker_sendfiles;
  out->timers_expired += c.timers_expired;
  out->signals_delivered += c.signals_delivered;
  out->preemptions += c.preemptions;
  out->traps += c.traps;
}

uint64_t* FieldOf(const Thread* thread, ThreadStates* states) {
  // In the order of Waiting.
  static constexpr uint64_t ThreadStates::*kParked[] = {
      &ThreadStates::other,  &ThreadStates::readable, &ThreadStates::writable, &ThreadStates::poll,
      &ThreadStates::accept, &ThreadStates::address,  &ThreadStates::worker,   &ThreadStates::time,
      &ThreadStates::signal, &ThreadStates::disk};
  switch (thread->state) {
    case ThreadState::kRunning:
      return &states->running;
    case ThreadState::kReady:
      return &states->ready;
    case ThreadState::kParked:
      return &(states->*kParked[static_cast<int>(thread->waiting)]);
    default:
      return nullptr;  // it has ended since the table was asked
  }
}

void PutShares(Text* text, const Statistics& s) {
  uint64_t busy = s.application_cycles + s.threading_cycles + s.event_cycles;
  uint64_t all = busy + s.idle_cycles;
  text->Put("share of CPU: threading ").Percent(s.threading_cycles, busy);
  text->Put(" event ").Percent(s.event_cycles, busy);
  text->Put(" application ").Percent(s.application_cycles, busy);
  text->Put("; idle ").Percent(s.idle_cycles, all).Put(" of the time\n");
}

void DumpOne(const Thread* thread, Text* text) {
  static constexpr const char* kStates[] = {"free", "ready", "running", "parked", "done"};
  text->Number(static_cast<uint64_t>(thread->tid)).Put(" '").Put(thread->name).Put("' ");
  text->Put(kStates[static_cast<int>(thread->state)]);
  if (thread->state == ThreadState::kParked) {
    text->Put(" on ").Put(WaitingName(thread->waiting));
    bool descriptor = thread->waiting == Waiting::kReadable ||
                      thread->waiting == Waiting::kWritable ||
                      thread->waiting == Waiting::kAccept || thread->waiting == Waiting::kPoll ||
                      thread->waiting == Waiting::kDisk;
    if (descriptor) text->Put(" descriptor ").Number(thread->wait_argument);
    if (thread->waiting == Waiting::kAddress) text->Put(" 0x").Hex(thread->wait_argument);
    text->Put(" for ").Number(runtime().clock.Since(thread->parked_at) / 1'000'000).Put(" ms");
  }
  StackBlock block;
  if (thread->stack_top != 0 &&
      runtime().stacks.FindBlock(reinterpret_cast<void*>(thread->stack_top - 1), &block)) {
    text->Put(", stack ").Number((block.size - block.guard) / 1024).Put(" KiB, ");
    text->Number(StackArena::ResidentBytes(block) / 1024).Put(" KiB used");
  }
  // A thread just made has none yet.
  if (const Scheduler* scheduler = thread->scheduler) {
    text->Put(", scheduler ").Number(static_cast<uint64_t>(scheduler->index()));
  }
  text->Put(", parks ").Number(thread->parks).Put("\n");
}

}  // namespace

EXPORT bool Active() { return runtime().active; }
EXPORT const char* InactiveReason() { return runtime().inactive_reason; }
EXPORT Options CurrentOptions() { return runtime().options; }
EXPORT int Configure(const Options& options) { return runtime().Configure(options); }

EXPORT int PlaceNextThread(int index) {
  Scheduler* scheduler = Scheduler::Current();
  if (!runtime().active || scheduler == nullptr) return ENOTSUP;
  if (index < 0 || index >= runtime().scheduler_count.load(std::memory_order_relaxed))
    return EINVAL;
  scheduler->current()->next_placement = index;
  return 0;
}

EXPORT void GetStatistics(Statistics* out) {
  *out = Statistics();
  Runtime& rt = runtime();
  if (!rt.active) return;
  SectionIfScheduled section;
  int count = rt.scheduler_count.load(std::memory_order_acquire);
  for (int i = 0; i < count; ++i) AddScheduler(rt.schedulers[i], rt.clock, out);
  out->threads_created = rt.threads.created();
  out->threads = rt.threads.alive();
  out->worker_queue = rt.workers.queued();
  out->workers = rt.workers.workers();
  out->workers_busy = rt.workers.busy();
  out->stacks = rt.stacks.blocks();
  out->cycles_per_second = rt.clock.Cycles(1'000'000'000);
}

EXPORT void GetThreadStates(ThreadStates* out) {
  *out = ThreadStates();
  if (!runtime().active) return;
  SectionIfScheduled section;
  size_t slot = 0;
  while (const Thread* thread = runtime().threads.Next(&slot)) {
    if (uint64_t* field = FieldOf(thread, out)) ++*field;
  }
}

EXPORT int WriteStatistics(int fd) {
  Statistics s;
  GetStatistics(&s);
  Text text(fd);
  if (!runtime().active) {
    text.Put("running on kernel threads: ").Put(runtime().inactive_reason).Put("\n");
    return text.Flush();
  }
  PutShares(&text, s);
  struct Line {
    const char* name;
    uint64_t value;
  };
  const Line lines[] = {{"switches", s.switches},
                        {"parks", s.parks},
                        {"threads", s.threads},
                        {"threads_created", s.threads_created},
                        {"stacks", s.stacks},
                        {"polls", s.polls},
                        {"poll_events", s.poll_events},
                        {"poll_set", s.poll_set},
                        {"accepts", s.accepts},
                        {"try_again", s.try_again},
                        {"futex_waits", s.futex_waits},
                        {"futex_wakes", s.futex_wakes},
                        {"worker_calls", s.worker_calls},
                        {"worker_queue", s.worker_queue},
                        {"workers", s.workers},
                        {"workers_busy", s.workers_busy},
                        {"inline_sendfiles", s.inline_sendfiles},
                        {"worker_sendfiles", s.worker_sendfiles},
                        {"timers_expired", s.timers_expired},
                        {"signals_delivered", s.signals_delivered},
                        {"preemptions", s.preemptions},
                        {"traps", s.traps}};
  for (const Line& line : lines) text.Put(line.name).Put(" ").Number(line.value).Put("\n");
  return text.Flush();
}

EXPORT int DumpThreads(int fd) {
  Text text(fd);
  if (!runtime().active) {
    text.Put("running on kernel threads: ").Put(runtime().inactive_reason).Put("\n");
    return text.Flush();
  }
  SectionIfScheduled section;
  size_t slot = 0;
  while (Thread* thread = runtime().threads.Next(&slot)) DumpOne(thread, &text);
  return text.Flush();
}

}  // namespace bobbin
