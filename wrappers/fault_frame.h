// What becomes of a fault that the kernel reports on the scheduler's alternate stack: a line about
// an overflow, and room for a handler of the program.
//
// Callers: the handler of SIGSEGV and SIGBUS. Source: sigaction(2), bits/sigcontext.h.
#ifndef BOBBIN_WRAPPERS_FAULT_FRAME_H_
#define BOBBIN_WRAPPERS_FAULT_FRAME_H_

#include <sys/ucontext.h>

#include "wrappers/signal_delivery.h"

namespace bobbin {

void ReportOverflow(Thread* thread, const StackBlock& block);

// Moves the kernel's frame to where it would be without an alternate stack: a handler may wait, and
// that stack is for whoever faults next. Afterwards the caller's return leads to `handler` there,
// which returns to `restorer`. Returns: false, with nothing changed, where the thread's own stack
// has no room.
bool MoveFrameToOwnStack(int signal, ucontext_t* context, KernelHandler handler,
                         void (*restorer)());

}  // namespace bobbin

#endif  // BOBBIN_WRAPPERS_FAULT_FRAME_H_
