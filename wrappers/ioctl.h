// Handler of ioctl(2): what it does depends on the device, so requests known to act at once are
// made here, those known to wait by a worker, and those of unknown devices here, for want of better
// (BOBBIN_STRICT ends the process there).
#ifndef BOBBIN_WRAPPERS_IOCTL_H_
#define BOBBIN_WRAPPERS_IOCTL_H_

#include "wrappers/call.h"

namespace bobbin {

long Ioctl(Scheduler* scheduler, Registers* registers);

// Remembers the program's O_NONBLOCK of a descriptor whose mode is ours.
inline void NoteProgramMode(Descriptor* d, bool nonblock) {
  nonblock ? d->Set(Descriptor::kProgramNonblock) : d->Clear(Descriptor::kProgramNonblock);
}

}  // namespace bobbin

#endif  // BOBBIN_WRAPPERS_IOCTL_H_
