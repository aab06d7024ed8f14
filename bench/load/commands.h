// The command line of `workload`: subcommands, their flags, and --help.
#ifndef BOBBIN_BENCH_LOAD_COMMANDS_H_
#define BOBBIN_BENCH_LOAD_COMMANDS_H_

#include <string>
#include <vector>

namespace load {

// Does what the words after the program's name ask for. Returns: the exit status: 0, 1 where it
// could not be done, 2 for a mistake in the words. Does not return for one process's part of a run.
int Main(const std::vector<std::string>& words);

}  // namespace load

#endif  // BOBBIN_BENCH_LOAD_COMMANDS_H_
