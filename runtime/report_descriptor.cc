#include "runtime/report_descriptor.h"

#include "runtime/high_descriptor.h"

namespace bobbin {

namespace {

int report_descriptor = -1;

}  // namespace

void OpenReportDescriptor() {
  if (report_descriptor >= 0) return;
  long copy = RawSyscall(SYS_fcntl, 2, F_DUPFD_CLOEXEC, 3);
  if (copy >= 0) report_descriptor = MoveDescriptorHigh(static_cast<int>(copy));
}

int ReportDescriptor() { return report_descriptor; }

}  // namespace bobbin
