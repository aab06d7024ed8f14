#include "runtime/report_descriptor.h"

#include <sys/stat.h>

#include "runtime/high_descriptor.h"

namespace bobbin {

namespace {

int duplicate = -1;
bool opened = false;
struct stat standard_error = {};

bool IsStandardError(int descriptor) {
  struct stat now;
  return RawSyscall(SYS_fstat, descriptor, &now) == 0 && now.st_dev == standard_error.st_dev &&
         now.st_ino == standard_error.st_ino;
}

}  // namespace

void OpenReportDescriptor() {
  if (opened || RawSyscall(SYS_fstat, 2, &standard_error) < 0) return;
  opened = true;
  long copy = RawSyscall(SYS_fcntl, 2, F_DUPFD_CLOEXEC, 3);
  if (copy >= 0) duplicate = MoveDescriptorHigh(static_cast<int>(copy));
}

int ReportDescriptor() {
  if (!opened) return -1;
  if (IsStandardError(duplicate)) return duplicate;
  return IsStandardError(2) ? 2 : -1;
}

void CloseReportDescriptor() {
  if (opened && IsStandardError(duplicate)) RawSyscall(SYS_close, duplicate);
  duplicate = -1;
}

}  // namespace bobbin
