// Handlers of calls on what Linux keeps for each kernel thread: credentials, capabilities,
// namespaces, filters, scheduling, names by thread id.
//
// A user thread has no kernel thread of its own, so all kernel threads of the process are kept
// alike: what one call changes is changed for every scheduler, and workers that were made before
// leave (WorkerPool::Renew). That is what libc's set*id functions promise for the process; a
// program that changes one thread with the bare system call changes them all. What names a thread
// by its id is asked of the kernel thread that runs it.
//
// Source: credentials(7), setuid(2), capabilities(7), unshare(2), setns(2), seccomp(2),
// arch_prctl(2), getpriority(2), ioprio_set(2), get_robust_list(2).
#ifndef BOBBIN_WRAPPERS_KERNEL_THREAD_H_
#define BOBBIN_WRAPPERS_KERNEL_THREAD_H_

#include "wrappers/call.h"

namespace bobbin {

// Makes the call on the kernel thread of each scheduler, the caller's first, whose answer it is;
// where that is an error, on no other. Aborts where another scheduler's fails: threads of one
// process must not differ in what they may do.
long OnEveryKernelThread(Scheduler* scheduler, Registers* registers);

// Returns: the kernel thread that runs user thread `tid`; `tid` itself where it is none of ours.
int KernelTidOf(Scheduler* scheduler, int tid);

// The id of a thread that `argument` holds is replaced by KernelTidOf.
template <int argument>
long OnKernelThreadOf(Scheduler* scheduler, Registers* registers) {
  uint64_t* const values[] = {&registers->rdi, &registers->rsi, &registers->rdx};
  Registers changed = *registers;
  uint64_t* const copies[] = {&changed.rdi, &changed.rsi, &changed.rdx};
  auto tid = static_cast<int>(*values[argument]);
  *copies[argument] = static_cast<uint64_t>(KernelTidOf(scheduler, tid));
  return CallHere(changed);
}

// getpriority, setpriority, ioprio_get and ioprio_set, whose second argument is a thread where the
// first is `of_a_thread`.
template <int of_a_thread>
long Priority(Scheduler* scheduler, Registers* registers) {
  if (static_cast<int>(registers->rdi) != of_a_thread) return CallHere(*registers);
  return OnKernelThreadOf<1>(scheduler, registers);
}

long Capget(Scheduler* scheduler, uint32_t* header, void* data);
long Capset(Scheduler* scheduler, uint32_t* header, const void* data);
long Personality(Scheduler* scheduler, Registers* registers);
long Unshare(Scheduler* scheduler, Registers* registers);
long Setns(Scheduler* scheduler, Registers* registers);
long Seccomp(Scheduler* scheduler, unsigned operation, unsigned flags, void* arguments);
long ArchPrctl(Scheduler* scheduler, int option, uint64_t address);
long GetRobustList(Scheduler* scheduler, int tid, void** head, size_t* size);
long Kill(Scheduler* scheduler, int process, int signal);

}  // namespace bobbin

#endif  // BOBBIN_WRAPPERS_KERNEL_THREAD_H_
