// Where reports that the user of a program asked for go: standard error as it was at the start.
//
// A program may close descriptor 2 or put something else there, a daemon does both. So a duplicate,
// high and close-on-exec, is kept from before its main.
#ifndef BOBBIN_RUNTIME_REPORT_DESCRIPTOR_H_
#define BOBBIN_RUNTIME_REPORT_DESCRIPTOR_H_

namespace bobbin {

// Makes the duplicate, unless there is one. Callers: whoever starts the runtime, where a report is
// wanted.
void OpenReportDescriptor();

// Returns: the duplicate, or 2 where a program that closes descriptors by number closed it; -1
// where neither is what standard error was, or nobody opened it. Callers: anyone.
int ReportDescriptor();

// Gives the duplicate up, so as not to hold somebody's standard error open.
void CloseReportDescriptor();

}  // namespace bobbin

#endif  // BOBBIN_RUNTIME_REPORT_DESCRIPTOR_H_
