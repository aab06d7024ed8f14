#include "wrappers/signal_timers.h"

#include "wrappers/signal_delivery.h"

namespace bobbin {

namespace {

constexpr int kTimers = 1024;

struct ThreadTimer {
  int id = 0;
  int tid = 0;  // of the user thread; 0: free
};

ThreadTimer timers[kTimers];
SpinLock timers_lock;

bool Note(int id, int tid) {
  SpinLockHolder hold(&timers_lock);
  for (ThreadTimer& timer : timers) {
    if (timer.tid != 0) continue;
    timer = {id, tid};
    return true;
  }
  return false;
}

}  // namespace

long TimerCreate(Scheduler* scheduler, int clock, struct sigevent* event, int* id) {
  if (event == nullptr || event->sigev_notify != SIGEV_THREAD_ID) {
    return RawSyscall(SYS_timer_create, clock, event, id);
  }
  struct sigevent changed = *event;
  int tid = changed._sigev_un._tid;
  if (FindThread(scheduler, tid) == nullptr) return -EINVAL;
  if (changed.sigev_signo < 1 || changed.sigev_signo > 64) return -EINVAL;
  changed._sigev_un._tid = runtime().schedulers[0]->kernel_tid();
  RuntimeSection section(scheduler);
  CatchAlways(changed.sigev_signo);
  long result = RawSyscall(SYS_timer_create, clock, &changed, id);
  if (result < 0 || Note(*id, tid)) return result;
  RawSyscall(SYS_timer_delete, *id);
  return -EAGAIN;
}

long TimerDelete(Scheduler* scheduler, int id) {
  long result = RawSyscall(SYS_timer_delete, id);
  if (result < 0) return result;
  RuntimeSection section(scheduler);
  SpinLockHolder hold(&timers_lock);
  for (ThreadTimer& timer : timers) {
    if (timer.tid != 0 && timer.id == id) timer = ThreadTimer();
  }
  return result;
}

Thread* TimerTarget(const siginfo_t& info) {
  if (info.si_code != SI_TIMER) return nullptr;
  int tid = 0;
  {
    SpinLockHolder hold(&timers_lock);
    for (const ThreadTimer& timer : timers) {
      if (timer.tid != 0 && timer.id == info.si_timerid) tid = timer.tid;
    }
  }
  return tid == 0 ? nullptr : runtime().threads.Find(tid);
}

void ForgetTimers() {
  timers_lock.Unlock();
  for (ThreadTimer& timer : timers) timer = ThreadTimer();
}

}  // namespace bobbin
