// A bobbin_enter_from_text for tests: hands every call to Linux, counts them, and lets a test look.
#ifndef BOBBIN_TESTS_WRAPPERS_PASS_THROUGH_H_
#define BOBBIN_TESTS_WRAPPERS_PASS_THROUGH_H_

#include "wrappers/registers.h"

namespace bobbin {

// How often call `nr` came in.
long PassThroughCount(long nr);

// Called, if not null, with the registers of every call,
// before it is handed on. May call libc; its own calls do not come to it.
void SetPassThroughHook(void (*hook)(Registers*));

}  // namespace bobbin

#endif  // BOBBIN_TESTS_WRAPPERS_PASS_THROUGH_H_
