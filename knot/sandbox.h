// Has the kernel refuse what a server has no use for, should somebody else get hold of it.
//
//   off    nothing
//   auto   files can be written, made and removed only where Knot does so; where the kernel has
//          Landlock. Costs nothing: no call on the path of a request is looked at.
//   on     besides, files can be read only where Knot does so, no program can be executed, no
//          connection begun, and calls that a server never makes are refused; the kernel must have
//          both Landlock and seccomp. Each system call costs a little more.
//
// Source: landlock(7), landlock_restrict_self(2), seccomp(2).
#ifndef KNOT_SANDBOX_H_
#define KNOT_SANDBOX_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"

namespace knot {

enum class Sandbox : uint8_t { kAuto, kOn, kOff };

// What may still be reached. Directories stand for all that is below them. What is not there does
// not count.
struct Reachable {
  std::vector<std::string> read;   // files and directories
  std::vector<std::string> write;  // files to be written, and directories where any may be made,
                                   // written and removed
};

// Restricts this thread, and threads and processes made by it, to `reachable`: with kAuto only what
// is written. Requires: ForbidNewPrivileges was called; no threads.
// Errors: with kOn, Unimplemented the kernel has no Landlock; others of it. With kAuto none.
absl::Status RestrictFiles(Sandbox sandbox, const Reachable& reachable);

// Refuses calls that a server never makes, in all threads, with EPERM. Requires:
// ForbidNewPrivileges was called. Errors: Unimplemented the kernel has no seccomp.
absl::Status RestrictCalls();

}  // namespace knot

#endif  // KNOT_SANDBOX_H_
