#include "wrappers/scheduling.h"

#include <linux/capability.h>
#include <sched.h>
#include <sys/resource.h>

namespace bobbin {

namespace {

bool RealTime(int policy) { return policy == SCHED_FIFO || policy == SCHED_RR; }

// Policies that sched_setscheduler(2) takes; SCHED_DEADLINE is sched_setattr's.
bool Known(int policy) {
  return RealTime(policy) || policy == SCHED_OTHER || policy == SCHED_BATCH || policy == SCHED_IDLE;
}

bool MayBeRealTime(int priority) {
  struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
  struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {};
  RawSyscall(SYS_capget, &header, data);
  if ((data[0].effective & 1u << CAP_SYS_NICE) != 0) return true;
  struct rlimit limit = {};
  RawSyscall(SYS_prlimit64, 0, RLIMIT_RTPRIO, 0, &limit);
  return static_cast<uint64_t>(priority) <= limit.rlim_cur;
}

Thread* ThreadOf(Scheduler* scheduler, int tid) {
  return tid == 0 ? scheduler->current() : FindThread(scheduler, tid);
}

// Tells whether the kernel is to be asked, and by which id: not of ours, or the main thread.
bool AskKernel(const Thread* thread, int* tid) {
  if (thread == nullptr) return true;
  if (thread->tid != runtime().pid) return false;
  *tid = thread->tid;
  return true;
}

// A new thread asks its creator's block, not the kernel.
void Remember(Thread* thread, int policy, int priority) {
  thread->policy = policy;
  thread->priority = static_cast<int8_t>(priority);
}

int PolicyOf(const Thread* thread) { return thread->policy & ~SCHED_RESET_ON_FORK; }

long Change(Thread* thread, int policy, int priority) {
  int plain = policy & ~SCHED_RESET_ON_FORK;
  if (!Known(plain)) return -EINVAL;
  if (RealTime(plain) ? priority < 1 || priority > 99 : priority != 0) return -EINVAL;
  bool as_before = plain == PolicyOf(thread) && priority <= thread->priority;
  if (RealTime(plain) && !as_before && !MayBeRealTime(priority)) return -EPERM;
  Remember(thread, policy, priority);
  return 0;
}

}  // namespace

long SchedSetscheduler(Scheduler* scheduler, int tid, int policy, const sched_param* parameters) {
  if (tid < 0 || policy < 0 || parameters == nullptr) return -EINVAL;
  if (!Readable(parameters, sizeof *parameters)) return -EFAULT;
  Thread* thread = ThreadOf(scheduler, tid);
  if (!AskKernel(thread, &tid)) return Change(thread, policy, parameters->sched_priority);
  long result = RawSyscall(SYS_sched_setscheduler, tid, policy, parameters);
  if (result == 0 && thread != nullptr) Remember(thread, policy, parameters->sched_priority);
  return result;
}

long SchedGetscheduler(Scheduler* scheduler, int tid) {
  if (tid < 0) return -EINVAL;
  Thread* thread = ThreadOf(scheduler, tid);
  return AskKernel(thread, &tid) ? RawSyscall(SYS_sched_getscheduler, tid) : thread->policy;
}

long SchedSetparam(Scheduler* scheduler, int tid, const sched_param* parameters) {
  if (tid < 0 || parameters == nullptr) return -EINVAL;
  if (!Readable(parameters, sizeof *parameters)) return -EFAULT;
  Thread* thread = ThreadOf(scheduler, tid);
  if (!AskKernel(thread, &tid)) return Change(thread, thread->policy, parameters->sched_priority);
  long result = RawSyscall(SYS_sched_setparam, tid, parameters);
  if (result == 0 && thread != nullptr)
    Remember(thread, thread->policy, parameters->sched_priority);
  return result;
}

long SchedGetparam(Scheduler* scheduler, int tid, sched_param* parameters) {
  if (tid < 0 || parameters == nullptr) return -EINVAL;
  if (!Writable(parameters, sizeof *parameters)) return -EFAULT;
  Thread* thread = ThreadOf(scheduler, tid);
  if (AskKernel(thread, &tid)) return RawSyscall(SYS_sched_getparam, tid, parameters);
  parameters->sched_priority = thread->priority;
  return 0;
}

void InheritScheduling(Thread* thread, const Thread* creator) {
  bool reset = (creator->policy & SCHED_RESET_ON_FORK) != 0;
  if (reset && RealTime(PolicyOf(creator))) return;
  Remember(thread, PolicyOf(creator), creator->priority);
}

void LearnScheduling(Thread* main) {
  struct sched_param parameters = {};
  RawSyscall(SYS_sched_getparam, 0, &parameters);
  Remember(main, static_cast<int>(RawSyscall(SYS_sched_getscheduler, 0)),
           parameters.sched_priority);
}

}  // namespace bobbin
