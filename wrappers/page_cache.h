// Tells what of a file is in the page cache, and brings in what is not without a worker.
//
// A worker that reads for a thread costs it four context switches, and, as long as it exists, every
// call on a descriptor of the process a little (decision 0020). Where readahead(2) begins a read
// and returns, the thread parks for about as long as a disk takes and looks again.
//
// Source: readahead(2), cachestat(2), mincore(2), preadv2(2), RWF_NOWAIT.
#ifndef BOBBIN_WRAPPERS_PAGE_CACHE_H_
#define BOBBIN_WRAPPERS_PAGE_CACHE_H_

#include <sys/types.h>

#include <cstddef>

#include "wrappers/call.h"

namespace bobbin {

// Tells whether the pages of [offset, offset+length) of regular file `fd` are in the page cache
// now, as far as the file goes. Never blocks.
bool Resident(int fd, off_t offset, size_t length);

// Has [offset, offset+length) of regular file `fd` read, and parks until it is in the page cache.
// A read that is under way already is waited for.
//
// Returns: false where it did not come in time, cannot be had this way (file systems that do not
// know RWF_NOWAIT), or too many reads are under way: a worker must do it. Whoever acts on true may
// still have to wait for the disk, where memory is so short that the pages are gone again.
// Blocks: this user thread, up to kPatience. Not to be interrupted, like any wait for a disk.
bool BringIn(Scheduler* scheduler, int fd, off_t offset, size_t length);

}  // namespace bobbin

#endif  // BOBBIN_WRAPPERS_PAGE_CACHE_H_
