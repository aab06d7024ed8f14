// What became of a program's system calls: which were trapped, where and how often, and which were
// let through to the kernel, as `bobbin run --audit` shows at the end.
//
// Callers: anyone, also inside the runtime. Blocks: never.
#ifndef BOBBIN_WRAPPERS_AUDIT_H_
#define BOBBIN_WRAPPERS_AUDIT_H_

namespace bobbin {

// Counts a call that the table let through.
void NotePassed(long nr);

// Writes both lists to `fd`, the most frequent first.
void WriteAudit(int fd);

// Writes where the current thread is, return address by return address, as object+offset, to `fd`:
// for what is about to end the process.
void WriteBacktrace(int fd);

}  // namespace bobbin

#endif  // BOBBIN_WRAPPERS_AUDIT_H_
