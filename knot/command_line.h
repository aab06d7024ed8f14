// Reads flags as Knot does, from wherever they stand: every mistake is one line that names the flag
// and what is wrong with it.
//
// A flag has the value of the first of these that gives one: the command line, the environment
// (KNOT_THREADS for --threads), the config file, its default.
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

// Tells whether a flag may be given more than once, its values adding up.
bool IsRepeatable(const absl::CommandLineFlag& flag);

// Tells whether a flag says what to do once, and so has no place in a config file.
bool IsOnlyOnTheCommandLine(absl::string_view name);

// Returns: the values that are in force, one but for repeatable flags.
std::vector<std::string> ValuesOf(const absl::CommandLineFlag& flag);

// A flag that is given a value.
struct Setting {
  std::string name;
  std::string value;
  std::string place;  // "FILE:LINE" or "KNOT_NAME"; empty: the command line
};

// What a command line says.
struct Arguments {
  bool help = false;  // asked for; what came after it was not read
  bool version = false;
  std::vector<Setting> settings;
  std::vector<std::string> positional;
};

// Takes argv apart: `--name=value`, `--name value`, `--name` and `--noname` of a bool, "-t" for
// --test_config; "--" ends the flags. Sets nothing. Errors: InvalidArgument.
absl::StatusOr<Arguments> ReadArguments(int argc, char** argv, OwnFlag own);

// What the environment says in variables named KNOT_ and a flag's name in capitals. Of a repeatable
// flag each line of the variable is a value. An empty variable says nothing.
struct Environment {
  std::vector<Setting> settings;
  std::vector<std::string> unknown;  // variables that name no flag
};
Environment ReadEnvironment(char** environment, OwnFlag own);

// Returns: what a config file says. Errors: InvalidArgument, as "FILE:LINE: what is wrong": not a
// line of a config file, an unknown name, or one given twice that is not repeatable; those of
// ReadConfigFile.
absl::StatusOr<std::vector<Setting>> ReadConfigSettings(const std::string& file, OwnFlag own);

// Sets the program's flags from one place. Of a repeatable flag the values replace those it had.
// Errors: InvalidArgument, with the setting's place.
absl::Status Apply(const std::vector<Setting>& settings, OwnFlag own);

// Sets the program's flags from argv alone. Errors: InvalidArgument.
absl::StatusOr<Arguments> ParseArguments(int argc, char** argv, OwnFlag own);

// Returns: `status`, whose message begins with the flag it is about, with the place before it where
// that flag was given its value. `settings` are all that were applied, in that order.
absl::Status WithPlace(const absl::Status& status, const std::vector<Setting>& settings);

// Errors: InvalidArgument where not low <= value <= high.
absl::Status CheckRange(absl::string_view flag, int value, int low, int high);

}  // namespace knot

#endif  // KNOT_COMMAND_LINE_H_
