#include "wrappers/call.h"

namespace bobbin {

namespace {

struct WorkerCall : WorkItem {
  Thread* thread;
  long (*work)(void*);
  void* argument;
};

struct PlainCall {
  long nr, a, b, c, d, e, f;
};

}  // namespace

long RunOnWorker(Scheduler* scheduler, Lane lane, long (*work)(void*), void* argument) {
  WorkerCall call;
  call.lane = lane;
  call.work = work;
  call.argument = argument;
  call.thread = scheduler->current();
  call.run = [](WorkItem* item) {
    auto* self = static_cast<WorkerCall*>(item);
    return self->work(self->argument);
  };
  // The item lies on the parked thread's stack: nothing of it may be touched once the thread is ready.
  call.done = [](WorkItem* item) { Scheduler::MakeReady(static_cast<WorkerCall*>(item)->thread); };
  RuntimeSection section(scheduler);
  if (scheduler->TakeInterruption()) return -EINTR;
  ++scheduler->counters().worker_calls;
  if (!runtime().workers.Submit(&call)) return work(argument);  // no kernel thread to be had: slow beats wrong
  ParkRequest request;
  request.waiting = Waiting::kWorker;
  request.object = &call;
  request.withdraw = [](Thread* thread) {
    return runtime().workers.Cancel(static_cast<WorkerCall*>(thread->wait_object));
  };
  request.interruptible = true;
  return scheduler->Park(request) == Wake::kWoken ? call.result : -EINTR;
}

long CallOnWorker(Scheduler* scheduler, Lane lane, long nr, long a, long b, long c, long d, long e, long f) {
  PlainCall call = {nr, a, b, c, d, e, f};
  return RunOnWorker(
      scheduler, lane,
      [](void* argument) {
        auto* plain = static_cast<PlainCall*>(argument);
        return RawSyscall6(plain->nr, plain->a, plain->b, plain->c, plain->d, plain->e, plain->f);
      },
      &call);
}

}  // namespace bobbin
