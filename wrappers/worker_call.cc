#include <signal.h>

#include "wrappers/call.h"

namespace bobbin {

namespace {

constexpr uint64_t kKickAgain = 1'000'000;  // nanoseconds

struct WorkerCall : WorkItem {
  Thread* thread;
  long (*work)(void*);
  void* argument;
  std::atomic<int> worker{0};  // the kernel thread inside `work`, where a signal may end that
};

struct PlainCall {
  long nr, a, b, c, d, e, f;
};

// What waits for the disk is not interrupted, as on Linux.
bool CanBeKicked(const WorkerCall& call) { return call.lane != Lane::kDisk; }

// Takes the call back if no worker has it; else interrupts the worker's system call, whose EINTR
// then ends the park. A kick that comes just before the system call is lost, so it is repeated by
// the thread's timer.
bool WithdrawCall(Thread* thread) {
  auto* call = static_cast<WorkerCall*>(thread->wait_object);
  if (runtime().workers.Cancel(call)) return true;
  if (!CanBeKicked(*call)) return false;
  int worker = call->worker.load(std::memory_order_acquire);
  if (worker != 0) RawSyscall(SYS_tgkill, runtime().pid, worker, WorkerPool::kInterrupt);
  thread->scheduler->timers().Arm(&thread->timer, runtime().clock.Now() + kKickAgain);
  return false;
}

long RunInterruptibly(WorkItem* item) {
  auto* call = static_cast<WorkerCall*>(item);
  call->worker.store(static_cast<int>(RawSyscall(SYS_gettid)), std::memory_order_release);
  long result = call->work(call->argument);
  call->worker.store(0, std::memory_order_release);
  return result;
}

long RunOnce(Scheduler* scheduler, Lane lane, long (*work)(void*), void* argument,
             bool interruptible) {
  WorkerCall call;
  call.lane = lane;
  call.work = work;
  call.argument = argument;
  call.thread = scheduler->current();
  call.run = &RunInterruptibly;
  if (!interruptible || !CanBeKicked(call)) {
    call.run = [](WorkItem* item) {
      auto* self = static_cast<WorkerCall*>(item);
      return self->work(self->argument);
    };
  }
  // The item lies on the parked thread's stack: nothing of it may be touched once the thread is
  // ready.
  call.done = [](WorkItem* item) { Scheduler::MakeReady(static_cast<WorkerCall*>(item)->thread); };
  RuntimeSection section(scheduler);
  if (interruptible && scheduler->TakeInterruption()) return -EINTR;
  ++scheduler->counters().worker_calls;
  if (!runtime().workers.Submit(&call))
    return work(argument);  // no kernel thread to be had: slow beats wrong
  ParkRequest request;
  request.waiting = Waiting::kWorker;
  request.object = &call;
  if (interruptible) request.withdraw = &WithdrawCall;
  request.interruptible = interruptible;
  Wake wake = scheduler->Park(request);
  scheduler->timers().Disarm(&call.thread->timer);
  return wake == Wake::kWoken ? call.result : -EINTR;
}

long MakePlainCall(void* argument) {
  auto* plain = static_cast<PlainCall*>(argument);
  return RawSyscall6(plain->nr, plain->a, plain->b, plain->c, plain->d, plain->e, plain->f);
}

}  // namespace

long RunOnWorker(Scheduler* scheduler, Lane lane, long (*work)(void*), void* argument,
                 SignalEffect on_signal) {
  if (on_signal == SignalEffect::kWait) return RunOnce(scheduler, lane, work, argument, false);
  for (;;) {
    long result = RunOnce(scheduler, lane, work, argument, true);
    if (result != -EINTR) return result;
    bool goes_on = on_signal == SignalEffect::kEnd ? GoesOnUnhandled(scheduler) : GoesOn(scheduler);
    if (!goes_on) return result;
  }
}

long CallOnWorker(Scheduler* scheduler, Lane lane, SignalEffect on_signal, long nr, long a, long b,
                  long c, long d, long e, long f) {
  PlainCall call = {nr, a, b, c, d, e, f};
  return RunOnWorker(scheduler, lane, &MakePlainCall, &call, on_signal);
}

long CallOnWorker(Scheduler* scheduler, Lane lane, long nr, long a, long b, long c, long d, long e,
                  long f) {
  return CallOnWorker(scheduler, lane, SignalEffect::kRestart, nr, a, b, c, d, e, f);
}

long CallOnWorker(Scheduler* scheduler, Lane lane, SignalEffect on_signal, const Registers& r) {
  return CallOnWorker(scheduler, lane, on_signal, static_cast<long>(r.rax),
                      static_cast<long>(r.rdi), static_cast<long>(r.rsi), static_cast<long>(r.rdx),
                      static_cast<long>(r.r10), static_cast<long>(r.r8), static_cast<long>(r.r9));
}

}  // namespace bobbin
