// Confines a process that serves to what it serves, as the flags ask: --user, --chroot, --sandbox.
#ifndef KNOT_CONFINEMENT_H_
#define KNOT_CONFINEMENT_H_

#include "absl/status/status.h"
#include "knot/options.h"

namespace knot {

// Tells whether a process that serves can do less than is needed to start another one, or to read
// the configuration anew. Then a first process stays outside, even where only one serves.
bool IsConfined(const Options& options);

// Leaves of the file tree what `options` need; `alone` what a process that takes orders itself
// needs, too. Does nothing without --sandbox. To be called before anything is opened. Errors: those
// of RestrictFiles.
absl::Status ConfineFiles(const Options& options, bool alone);

// Goes to --chroot, becomes --user, and gives up calls for --sandbox=on. To be called when
// everything is open that root alone may open, before threads are made.
// Errors: one line for people, that begins with the flag.
absl::Status Confine(const Options& options);

}  // namespace knot

#endif  // KNOT_CONFINEMENT_H_
