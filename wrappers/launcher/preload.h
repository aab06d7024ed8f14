// Finds libbobbin and puts it, with the options, into the environment that the program gets.
#ifndef BOBBIN_WRAPPERS_LAUNCHER_PRELOAD_H_
#define BOBBIN_WRAPPERS_LAUNCHER_PRELOAD_H_

#include <map>
#include <string>

namespace launcher {

// Finds the library beside this program: in the tree it was built in, and wherever the two were
// installed. Returns: its absolute path, or "" and in `error` why not.
std::string FindLibrary(std::string* error);

// Puts `library` first in LD_PRELOAD, where what else is there stays, names it in BOBBIN_PRELOAD,
// from which the library knows what to take out again, and sets `variables`.
void SetEnvironment(const std::string& library,
                    const std::map<std::string, std::string>& variables);

}  // namespace launcher

#endif  // BOBBIN_WRAPPERS_LAUNCHER_PRELOAD_H_
