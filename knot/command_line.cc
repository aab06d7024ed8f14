#include "knot/command_line.h"

#include <algorithm>
#include <map>

#include "absl/flags/reflection.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "knot/repeated.h"

namespace knot {
namespace {

// The values so far of the flags whose values add up.
using AddedUp = std::map<std::string, std::string>;

// Returns: all values of the flag up to `value`, as one that it parses.
std::string AddUp(const absl::CommandLineFlag& flag, const std::string& value, AddedUp* added_up) {
  bool repeated = flag.IsOfType<RepeatedText>();
  if (!repeated && flag.Name() != "listen") return value;
  std::string& all = (*added_up)[std::string(flag.Name())];
  absl::StrAppend(&all, all.empty() ? "" : repeated ? "\n" : ",", value);
  return all;
}

// Splits off and sets one flag, `--name=value`, `--name value`, `--name` or `--noname`; `next` is
// the argument after it, taken when it is the value.
absl::Status SetFlag(absl::string_view argument, const char* next, OwnFlag own, bool* took_next,
                     AddedUp* added_up) {
  *took_next = false;
  absl::string_view body = argument.substr(absl::StartsWith(argument, "--") ? 2 : 1);
  size_t equals = body.find('=');
  bool has_value = equals != absl::string_view::npos;
  absl::string_view name = body.substr(0, equals);
  std::string value(has_value ? body.substr(equals + 1) : "");
  absl::CommandLineFlag* flag = absl::FindCommandLineFlag(name);
  if ((flag == nullptr || !own(*flag)) && !has_value && absl::ConsumePrefix(&name, "no")) {
    flag = absl::FindCommandLineFlag(name);
    if (flag != nullptr && !flag->IsOfType<bool>()) flag = nullptr;
    value = "false";
    has_value = true;
  }
  if (flag == nullptr || !own(*flag)) {
    return absl::InvalidArgumentError(absl::StrCat("unknown flag ", argument, "; see --help"));
  }
  if (!has_value) {
    *took_next = !flag->IsOfType<bool>();
    if (*took_next && next == nullptr) {
      return absl::InvalidArgumentError(absl::StrCat("--", name, " needs a value"));
    }
    value = *took_next ? next : "true";
  }
  std::string error;
  value = AddUp(*flag, value, added_up);
  if (flag->ParseFrom(value, &error)) return absl::OkStatus();
  size_t reason = error.find("; ");  // Abseil: "Illegal value '…' specified for flag '…'; reason"
  return absl::InvalidArgumentError(
      absl::StrCat("--", name, "=", value, ": ",
                   reason == std::string::npos ? "not a valid value" : error.substr(reason + 2)));
}

}  // namespace

std::vector<absl::CommandLineFlag*> FlagsOf(OwnFlag own) {
  std::vector<absl::CommandLineFlag*> flags;
  for (const auto& [name, flag] : absl::GetAllFlags()) {
    if (own(*flag)) flags.push_back(flag);
  }
  std::sort(flags.begin(), flags.end(), [](auto* a, auto* b) { return a->Name() < b->Name(); });
  return flags;
}

std::string FlagsHelp(OwnFlag own) {
  std::string text;
  for (const absl::CommandLineFlag* flag : FlagsOf(own)) {
    absl::StrAppend(&text, "  --", flag->Name(), " (default ", flag->DefaultValue(), ")\n      ",
                    flag->Help(), "\n");
  }
  return text;
}

absl::StatusOr<Arguments> ParseArguments(int argc, char** argv, OwnFlag own) {
  Arguments arguments;
  AddedUp added_up;
  bool only_positional = false;
  for (int i = 1; i < argc; ++i) {
    absl::string_view argument = argv[i];
    if (only_positional || argument.size() < 2 || argument[0] != '-') {
      arguments.positional.emplace_back(argument);
    } else if (argument == "--") {
      only_positional = true;
    } else if (argument == "--help" || argument == "-h" || argument == "--version") {
      (argument == "--version" ? arguments.version : arguments.help) = true;
      return arguments;
    } else {
      bool took_next;
      absl::Status status =
          SetFlag(argument, i + 1 < argc ? argv[i + 1] : nullptr, own, &took_next, &added_up);
      if (!status.ok()) return status;
      if (took_next) ++i;
    }
  }
  return arguments;
}

absl::Status CheckRange(absl::string_view flag, int value, int low, int high) {
  if (value >= low && value <= high) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("--", flag, "=", value, ": must be between ", low, " and ", high));
}

}  // namespace knot
