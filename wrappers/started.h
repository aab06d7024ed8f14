// What a started program finds, and what is written at its end.
//
// `bobbin run` preloads the library by LD_PRELOAD, names it in BOBBIN_PRELOAD and sets the
// variables of runtime/environment.h. They are for this program: unless run.children, those that it
// executes find neither, as if it had been started without Bobbin.
#ifndef BOBBIN_WRAPPERS_STARTED_H_
#define BOBBIN_WRAPPERS_STARTED_H_

#include "runtime/environment.h"

namespace bobbin {

class Scheduler;

// Takes the library and its variables out of the environment, where `bobbin run` put them there.
// Requires: nobody has kept a pointer into the environment. Callers: the constructor, once all has
// been read.
void LeaveEnvironment(const RunOptions& run);

// Prepares what the options ask of this process: smaller stacks, reports at its end. Requires: user
// threads are active.
void PrepareProgram(const RunOptions& run);

// Says why the process runs on kernel threads; with run.refuse it ends with status 125 instead.
// `detail` may be null.
void FallBack(const RunOptions& run, const char* reason, const char* detail);

// Writes the reports that were asked for, once in a process, to what standard error was at start:
// the program may have closed it or made it something else. Callers: user threads, inside the
// runtime, about to end the process.
void ReportAtExit();

// The child after fork(2) reports nothing, and does not hold its parent's standard error open.
void ForgetReportAfterFork();

long ExitGroup(Scheduler* scheduler, int status);

}  // namespace bobbin

#endif  // BOBBIN_WRAPPERS_STARTED_H_
