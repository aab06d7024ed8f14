// Answers sendfile(2) to a socket by the policy in force (SendfilePolicy), and to anything else by
// a worker.
//
// All policies send everything asked for, as a blocking sendfile does, short of the file's end, an
// error, SO_SNDTIMEO or a signal. Source: sendfile(2); Pariag et al., EuroSys 2007, section 4.3;
// decision 0022.
#ifndef BOBBIN_WRAPPERS_SENDFILE_H_
#define BOBBIN_WRAPPERS_SENDFILE_H_

#include <sys/types.h>

#include "wrappers/call.h"

namespace bobbin {

long Sendfile(Scheduler* scheduler, int out, int in, off_t* offset, size_t count);

long Splice(Scheduler* scheduler, int in, int64_t* in_offset, int out, int64_t* out_offset,
            size_t count, unsigned flags);
long Tee(Scheduler* scheduler, int in, int out, size_t count, unsigned flags);

}  // namespace bobbin

#endif  // BOBBIN_WRAPPERS_SENDFILE_H_
