// What a command would execute: found as execvp(3) finds it, and looked at before it is executed.
//
// Source: execve(2), execvp(3), elf(5), ld.so(8) ("secure-execution mode"), env(1).
#ifndef BOBBIN_WRAPPERS_LAUNCHER_EXECUTABLE_H_
#define BOBBIN_WRAPPERS_LAUNCHER_EXECUTABLE_H_

#include <string>
#include <vector>

namespace launcher {

struct Executable {
  std::string path;                    // what execve(2) is given
  std::vector<std::string> arguments;  // with the program's name first
  int error = 0;                       // errno value: it cannot be executed; ENOENT: not found
  // What its loader will be, in which a library can be preloaded or not: the file itself, or where
  // it is a script, its interpreter.
  std::string loaded;
  std::string obstacle;  // why nothing can be preloaded there, as "is …"; "": something can
};

// Finds the program `command[0]` and looks at its file, following `#!` lines. A script for
// `/usr/bin/env NAME` becomes `NAME SCRIPT …`, as env(1) would make it: the program meant is NAME.
//
// A file that cannot be read, or that no rule knows, has no obstacle: the kernel decides.
Executable FindExecutable(const std::vector<std::string>& command);

// Executes it with the environment of this process; a file that is in no known format is given to
// the shell, as execvp(3) does. Returns only on failure: an errno value.
int Execute(const Executable& executable);

}  // namespace launcher

#endif  // BOBBIN_WRAPPERS_LAUNCHER_EXECUTABLE_H_
