// Answers the calls by which libc gets, guards and returns thread stacks, and has a worker advise
// what reads or writes pages; everything else about memory is the kernel's.
//
// Source: mmap(2) MAP_STACK, mprotect(2), munmap(2), madvise(2); glibc 2.36 allocatestack.c.
#ifndef BOBBIN_WRAPPERS_MEMORY_H_
#define BOBBIN_WRAPPERS_MEMORY_H_

#include <sys/resource.h>

#include "wrappers/call.h"

namespace bobbin {

long Mmap(Scheduler* scheduler, void* address, size_t length, int protection, int flags, int fd,
          int64_t offset);
long Munmap(Scheduler* scheduler, void* address, size_t length);
long Mprotect(Scheduler* scheduler, void* address, size_t length, int protection);
long Madvise(Scheduler* scheduler, Registers* registers);

// Limits: what is reserved for stacks does not count against the program's RLIMIT_AS. Source:
// prlimit(2).
long Prlimit(Scheduler* scheduler, Registers* registers);
long Getrlimit(Scheduler* scheduler, int resource, struct rlimit* limit);
long Setrlimit(Scheduler* scheduler, int resource, const struct rlimit* limit);

}  // namespace bobbin

#endif  // BOBBIN_WRAPPERS_MEMORY_H_
