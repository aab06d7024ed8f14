// The system calls without a handler, each with the reason: what the kernel answers as it is, and
// what is refused.
#ifndef BOBBIN_WRAPPERS_PASSED_CALLS_H_
#define BOBBIN_WRAPPERS_PASSED_CALLS_H_

#include "wrappers/table.h"

namespace bobbin {

struct PassedCall {
  int16_t nr;
  Answer answer;  // kPassed, kMayBlock or kRefused
  int16_t error;  // what a refused call fails with
  const char* name;
  const char* note;
};

const PassedCall* PassedBegin();
const PassedCall* PassedEnd();

// Returns: null for a number that is in neither list.
const PassedCall* FindPassed(long nr);

// Makes a call that has no handler, or refuses it.
long Pass(const Registers* registers);

// Lets the entry from text make calls by itself that Pass would make and do nothing else. Callers:
// once, before any text is patched and after the options are known.
void FillPassedDirectly();

// Ends the process because `call` may hold up its scheduler: BOBBIN_STRICT.
[[noreturn]] void DieStrict(const char* call);

// For a handler about to pass a call that may hold up the scheduler.
inline void MayBlock(const char* call) {
  if (__builtin_expect(runtime().run.strict, 0)) DieStrict(call);
}

}  // namespace bobbin

#endif  // BOBBIN_WRAPPERS_PASSED_CALLS_H_
