// Answers the calls by which libc gets, guards and returns thread stacks, and has a worker advise
// what reads or writes pages; everything else about memory is the kernel's.
//
// Source: mmap(2) MAP_STACK, mprotect(2), munmap(2), madvise(2); glibc 2.36 allocatestack.c.
#ifndef BOBBIN_WRAPPERS_MEMORY_H_
#define BOBBIN_WRAPPERS_MEMORY_H_

#include "wrappers/call.h"

namespace bobbin {

long Mmap(Scheduler* scheduler, void* address, size_t length, int protection, int flags, int fd,
          int64_t offset);
long Munmap(Scheduler* scheduler, void* address, size_t length);
long Mprotect(Scheduler* scheduler, void* address, size_t length, int protection);
long Madvise(Scheduler* scheduler, Registers* registers);

}  // namespace bobbin

#endif  // BOBBIN_WRAPPERS_MEMORY_H_
