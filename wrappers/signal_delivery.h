// The machinery beneath signal.h: dispositions as the program sees them, pending signals, and the
// kernel's handler.
#ifndef BOBBIN_WRAPPERS_SIGNAL_DELIVERY_H_
#define BOBBIN_WRAPPERS_SIGNAL_DELIVERY_H_

#include <signal.h>
#include <sys/ucontext.h>

#include "wrappers/call.h"
#include "wrappers/pending_signals.h"

namespace bobbin {

// Tells whether the program's disposition makes nothing of `signal`: SIG_IGN, or a default that
// ignores.
bool Ignored(int signal);

// Tells whether `signal`, once delivered, ends the process: its default action, which nothing
// replaces.
bool EndsProcess(int signal);

// Has the kernel hand `signal` to us whatever the program's disposition is: it is for a user thread
// that the kernel does not know. Callers: inside the runtime.
void CatchAlways(int signal);

// Nothing is pending for `survivor` or on its way to a thread, and no lock is held, whatever kernel
// threads of the parent were about: the child after fork(2).
void ResetSignalsAfterFork(Thread* survivor);

// Has the kernel call `handler` for `signal` from now on, whatever the program's disposition is,
// with `flags` besides SA_SIGINFO. What the program asks for is remembered and shown to it.
using KernelHandler = void (*)(int signal, siginfo_t* info, void* context);
void TakeSignal(int signal, KernelHandler handler, unsigned long flags);
// Undoes it.
void GiveSignalBack(int signal);

// The handler of every signal that the program handles: finds the thread it is for.
void OnSignal(int signal, siginfo_t* info, void* context);

// Has the kernel know of the signals that are the runtime's own what the program asked for, as far
// as the program that is about to be executed inherits it: execve(2). Callers: inside the runtime.
void LeaveSignals(Scheduler* scheduler);
// Undoes it, where nothing was executed.
void TakeSignalsBack(Scheduler* scheduler);

// Makes the mask in `frame`, whose handler is about to return, the current thread's, and leaves in
// the frame what the kernel is to restore.
void AdoptMask(Scheduler* scheduler, ucontext_t* frame);

// The same where the program has not seen the frame.
void KeepMask(Scheduler* scheduler, ucontext_t* frame);

// Gives handlers that ask for SA_ONSTACK what they ask for, once threads have alternate stacks of
// their own.
void RefreshActions();

}  // namespace bobbin

#endif  // BOBBIN_WRAPPERS_SIGNAL_DELIVERY_H_
