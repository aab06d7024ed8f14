// What the environment asks of the runtime: BOBBIN_* variables, which `bobbin run` sets.
//
// Callers: whoever starts the runtime, before the program's main; `bobbin run`, which tells of a
// bad value before the program is started.
#ifndef BOBBIN_RUNTIME_ENVIRONMENT_H_
#define BOBBIN_RUNTIME_ENVIRONMENT_H_

#include <cstddef>
#include <cstdint>

#include "bobbin/bobbin.h"

namespace bobbin {

// What is decided when a process starts and stays.
struct RunOptions {
  bool dispatch = false;    // BOBBIN_DISPATCH=on|off: trap the system calls that no patch caught
  bool statistics = false;  // BOBBIN_STATS=on|off: write the statistics to standard error at exit
  bool audit = false;       // BOBBIN_AUDIT=on|off: write what was trapped, and what passed, at exit
  bool strict = false;      // BOBBIN_STRICT=on|off: abort at a call that could block a scheduler
  bool children = false;    // BOBBIN_CHILDREN=on|off: programs that this one executes run likewise
  bool refuse = false;   // BOBBIN_OTHERWISE=refuse|threads: end rather than run on kernel threads
  int dump_signal = 0;   // BOBBIN_DUMP_SIGNAL=name|number|off: dumps the threads; 0: none
  size_t stack_cap = 0;  // BOBBIN_STACK_CAP=KiB|off: most that a thread gets that asks for no
                         // size; in bytes, 0: what libc gives
};

// One of the variables: what may stand in it, and how that is read.
struct OptionVariable {
  const char* name;
  const char* accepts;  // in words, for whoever gave it something else
  // Reads `value` into `options` or `run`. Returns: false where it is none that is accepted.
  bool (*read)(const char* value, Options* options, RunOptions* run);
};

// Returns: the variable of that name, or null.
const OptionVariable* FindOptionVariable(const char* name);

// Reads BOBBIN_* into `options` and `run`. Returns: the name of a variable with a bad value, or
// null. The other variables have been read then too, except those after it.
const char* OptionsFromEnvironment(Options* options, RunOptions* run);

}  // namespace bobbin

#endif  // BOBBIN_RUNTIME_ENVIRONMENT_H_
