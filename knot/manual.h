// Writes what describes Knot's flags to people and to shells, so that nothing there is out of date.
#ifndef KNOT_MANUAL_H_
#define KNOT_MANUAL_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/flags/commandlineflag.h"
#include "absl/strings/string_view.h"

namespace knot {

using Flags = std::vector<absl::CommandLineFlag*>;

// Returns: the manual page, section 8. Source: man(7), roff(7).
std::string ManualPage(const Flags& flags, absl::string_view version);

enum class Shell : uint8_t { kBash, kZsh, kFish };

// Returns: what makes a shell complete Knot's flags, the words they take, and names of files.
// Source: bash(1), Programmable Completion; zshcompsys(1), _arguments; fish's complete(1).
std::string Completion(Shell shell, const Flags& flags);

}  // namespace knot

#endif  // KNOT_MANUAL_H_
