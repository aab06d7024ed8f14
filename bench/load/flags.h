// Sets Abseil flags from the words behind a subcommand, which has only some of them.
#ifndef BOBBIN_BENCH_LOAD_FLAGS_H_
#define BOBBIN_BENCH_LOAD_FLAGS_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace load {

// A subcommand.
struct Command {
  absl::string_view name;
  absl::string_view usage;                                // what follows the name
  absl::string_view what;                                 // it does
  std::vector<absl::string_view> flags;                   // that it has
  int (*run)(const std::vector<std::string>& arguments);  // gets the words that are no flags
  size_t arguments = 0;                                   // so many of them
};

// Sets the flags among `words`: --name=value, --name value, --name, --noname.
//
// Returns: the words that are none.
// Errors:  kInvalidArgument, with one line that names the word.
absl::StatusOr<std::vector<std::string>> SetFlags(const Command& command,
                                                  const std::vector<std::string>& words);

// Tells whether the flag was set by SetFlags.
bool WasSet(absl::string_view flag);

std::string HelpText(const Command& command);

}  // namespace load

#endif  // BOBBIN_BENCH_LOAD_FLAGS_H_
