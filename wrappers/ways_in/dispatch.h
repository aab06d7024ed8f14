// Way in 3: every system call that no name and no patch caught, by Syscall User Dispatch.
//
// The kernel sends each system call that a scheduler's kernel thread makes outside this library's
// own text as SIGSYS, whose handler answers it through the table and patches the site, so that hot
// sites trap once (trapped_sites.h). Calls let through cost some 80 ns more for being looked at.
//
// SIGSYS is never blocked in the kernel and never the program's: what the program asks for is
// remembered and shown to it, and a SIGSYS that somebody sends is delivered as any other signal.
//
// Source: Documentation/admin-guide/syscall-user-dispatch.rst, prctl(2).
#ifndef BOBBIN_WRAPPERS_WAYS_IN_DISPATCH_H_
#define BOBBIN_WRAPPERS_WAYS_IN_DISPATCH_H_

#include <cstddef>
#include <cstdint>

namespace bobbin {

struct TrappedSite;

// Finds this library's own text. Requires: called once before the two below.
// Returns: "" or why dispatch and preemption cannot be had.
const char* FindOwnCode();

// Tells whether `address` is in this library's text. Callers: anyone.
bool IsOwnCode(uintptr_t address);

// Installs the handler. Returns: "" or why the machine denies dispatch.
const char* StartDispatch();

// Takes the handler out again. Requires: no kernel thread has it on.
void StopDispatch();

// Turns dispatch on or off for the calling kernel thread, if StartDispatch succeeded. Returns: 0 or
// -errno of prctl(2).
long DispatchThisThread(bool on);

// Frees the lock of the table of sites: the child after fork(2).
void ResetDispatchAfterFork();

// The place `n` of the table of trapped sites, below TrappedSites::kCapacity. Callers: anyone, for
// a report.
const TrappedSite& TrappedSiteAt(size_t n);

}  // namespace bobbin

#endif  // BOBBIN_WRAPPERS_WAYS_IN_DISPATCH_H_
