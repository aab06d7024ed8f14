// The flags of the admin address: where it is, and who may ask there.
#ifndef KNOT_OPTIONS_ADMIN_H_
#define KNOT_OPTIONS_ADMIN_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "knot/listen_address.h"

namespace knot {

struct AdminOptions {
  bool on = false;
  ListenAddress address;
  bool others = false;             // it may be reached from other machines
  std::vector<std::string> hosts;  // names it may be asked by, beside those of this machine
};

// Returns: the values of --admin, --admin_public, --admin_hosts.
AdminOptions AdminOptionsFromFlags();

// Errors: InvalidArgument an address others can reach that is not said to be one; a host that is no
// name or address.
absl::Status CheckAdmin(const AdminOptions& options);

// Tells whether a request that names `host`, as its field Host has it, is one that a page of
// another origin cannot have sent: DNS rebinding gives a name of the attacker's this machine's
// address, but the name stays in the field. So only addresses and names of this machine may be
// asked for, and those given; where others may ask, any address.
bool MayBeAsked(absl::string_view host, const AdminOptions& options);

}  // namespace knot

#endif  // KNOT_OPTIONS_ADMIN_H_
