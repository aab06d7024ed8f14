// Reads flags as Knot does: every mistake is one line that names the flag and what is wrong with
// it.
#ifndef KNOT_COMMAND_LINE_H_
#define KNOT_COMMAND_LINE_H_

#include <string>
#include <vector>

#include "absl/flags/commandlineflag.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace knot {

// Tells whether a flag is one of the program's; libraries define flags too.
using OwnFlag = bool (*)(const absl::CommandLineFlag& flag);

// Returns: the program's flags by name.
std::vector<absl::CommandLineFlag*> FlagsOf(OwnFlag own);

// Returns: for each flag its name, default and help.
std::string FlagsHelp(OwnFlag own);

// What the command line says beside flags.
struct Arguments {
  bool help = false;  // asked for; what came after it was not read
  bool version = false;
  std::vector<std::string> positional;
};

// Sets the program's flags from argv. A flag named "listen", or of type RepeatedText, may be given
// more than once. Errors: InvalidArgument.
absl::StatusOr<Arguments> ParseArguments(int argc, char** argv, OwnFlag own);

// Errors: InvalidArgument where not low <= value <= high.
absl::Status CheckRange(absl::string_view flag, int value, int low, int high);

}  // namespace knot

#endif  // KNOT_COMMAND_LINE_H_
