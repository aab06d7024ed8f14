// Switches between stacks, and gives each its own thread pointer.
//
// Built on Boost.Context's fcontext, which also keeps each thread's MXCSR and x87 control words
// apart. The FS base (libc's thread pointer: errno, thread_local, stack guard) is written with
// WRFSBASE; the GS base is the runtime's own per-kernel-thread pointer (invariant S5). Needs
// FSGSBASE for user space: HWCAP2 bit 1.
#ifndef BOBBIN_RUNTIME_CONTEXT_H_
#define BOBBIN_RUNTIME_CONTEXT_H_

#include <boost/context/detail/fcontext.hpp>
#include <cstdint>

namespace bobbin {

using Context = boost::context::detail::fcontext_t;
using Transfer = boost::context::detail::transfer_t;

inline uint64_t ReadFsBase() {
  uint64_t value;
  asm volatile("rdfsbase %0" : "=r"(value));
  return value;
}

// No memory clobber of thread-locals is needed: the runtime has none.
inline void WriteFsBase(uint64_t value) { asm volatile("wrfsbase %0" : : "r"(value) : "memory"); }

// Not volatile: the value never changes on one kernel thread, so one reading serves a whole
// function.
inline uint64_t ReadGsBase() {
  uint64_t value;
  asm("rdgsbase %0" : "=r"(value));
  return value;
}

inline void WriteGsBase(uint64_t value) { asm volatile("wrgsbase %0" : : "r"(value) : "memory"); }

// Tells whether the kernel lets user space use the four instructions above.
bool FsGsBaseAvailable();

}  // namespace bobbin

#endif  // BOBBIN_RUNTIME_CONTEXT_H_
