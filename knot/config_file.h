// Reads and writes the config file: flags, one a line.
//
//   # what stands behind a '#' is a comment, at the start of a line or after a space
//   threads = 4096
//   header = "X-Note: spaces at the ends, \"quotes\" and # signs need quotes  "
//
// A value is what stands between the '=' and the end of the line, without the spaces around it. In
// quotes it is what stands between them, where \" and \\ are a quote and a backslash.
#ifndef KNOT_CONFIG_FILE_H_
#define KNOT_CONFIG_FILE_H_

#include <cstddef>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace knot {

inline constexpr size_t kMaxConfigBytes = 1 << 20;

struct ConfigLine {
  int number = 0;  // from 1
  std::string name;
  std::string value;  // one line of text, without control characters but the tab
};

// Returns: the lines of `text` that are not empty and no comments, in order; names are not checked.
// Errors:  InvalidArgument, "NUMBER: what is wrong with the first bad line".
absl::StatusOr<std::vector<ConfigLine>> ParseConfig(absl::string_view text);

// Returns: the contents of a file. Blocks: this thread, on the disk; never on a FIFO or a device.
// Errors:  those of open(2) and read(2); InvalidArgument where it is no regular file, or longer
// than kMaxConfigBytes; each with the name.
absl::StatusOr<std::string> ReadConfigFile(const std::string& name);

// Returns: the line, with its end, that ParseConfig reads as `name` and `value`. Requires: `value`
// is as in ConfigLine.
std::string FormatConfigLine(absl::string_view name, absl::string_view value);

}  // namespace knot

#endif  // KNOT_CONFIG_FILE_H_
