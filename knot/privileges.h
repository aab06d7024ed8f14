// Gives up what a process that serves has no use for: root's rights, and the rest of the file tree.
//
// The order matters, and is kept by Server::Start: what root alone may open is opened, then these
// are called, then the threads are made. A process that stays as it was, and serves nothing, does
// for the others what they no longer can: see knot/processes.h.
#ifndef KNOT_PRIVILEGES_H_
#define KNOT_PRIVILEGES_H_

#include <sys/types.h>

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace knot {

// Who a process runs as.
struct Identity {
  uid_t user = 0;
  gid_t group = 0;
  std::vector<gid_t> groups;  // further ones
};

// Finds `NAME[:GROUP]`, names or numbers. Without a group it is the user's own, and all others it
// is in; with one that alone. Errors: InvalidArgument, beginning with "--user=", there is none of
// that name, or it is root.
absl::StatusOr<Identity> FindIdentity(absl::string_view text);

// Sees to it that no program that this process executes has more rights than it, as setuid programs
// have. Cannot be undone. Requires: no threads. Source: prctl(2), PR_SET_NO_NEW_PRIVS.
void ForbidNewPrivileges();

// Makes `directory` the root of the file tree. Errors: those of chroot(2), with the name.
absl::Status ChangeRoot(const std::string& directory);

// Becomes `identity`, in all threads, and makes sure that there is no way back.
// Errors: PermissionDenied it is somebody else, and this process is not root's.
absl::Status Become(const Identity& identity);

}  // namespace knot

#endif  // KNOT_PRIVILEGES_H_
