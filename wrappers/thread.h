// Handlers of the calls by which libc makes, names and ends threads.
//
// A clone that asks for a thread (CLONE_THREAD) becomes a user thread on the stack and thread
// pointer it brings; every other clone goes to the kernel. Source: clone(2), clone3(2), exit(2),
// set_tid_address(2), gettid(2), rseq(2).
#ifndef BOBBIN_WRAPPERS_THREAD_H_
#define BOBBIN_WRAPPERS_THREAD_H_

#include "wrappers/call.h"
#include "wrappers/registers.h"

namespace bobbin {

long Clone3(Scheduler* scheduler, Registers* registers);
long Clone(Scheduler* scheduler, Registers* registers);
// A vfork is answered with a fork: the child would otherwise return over the frames its parent
// still needs.
long Fork(Scheduler* scheduler);

// Ends the current user thread. The last one ends the process.
[[noreturn]] void ExitThread(Scheduler* scheduler, int status);

long SetTidAddress(Scheduler* scheduler, uint32_t* address);
long SetRobustList(Scheduler* scheduler, void* head, size_t size);

}  // namespace bobbin

#endif  // BOBBIN_WRAPPERS_THREAD_H_
