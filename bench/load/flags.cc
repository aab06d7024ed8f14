#include "bench/load/flags.h"

#include <algorithm>
#include <set>

#include "absl/flags/commandlineflag.h"
#include "absl/flags/reflection.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

namespace load {
namespace {

std::set<std::string>& FlagsSet() {
  static auto* set = new std::set<std::string>;
  return *set;
}

absl::CommandLineFlag* FindFlag(const Command& command, absl::string_view name) {
  auto& flags = command.flags;
  if (std::find(flags.begin(), flags.end(), name) == flags.end()) return nullptr;
  return absl::FindCommandLineFlag(name);
}

// Sets one flag; `next` is the word behind it, taken where it is the value.
absl::Status SetFlag(const Command& command, absl::string_view word, const std::string* next,
                     bool* took_next) {
  absl::string_view body = absl::StripPrefix(word.substr(1), "-");
  const size_t equals = body.find('=');
  bool has_value = equals != absl::string_view::npos;
  std::string value(has_value ? body.substr(equals + 1) : "");
  absl::string_view name = body.substr(0, equals);
  absl::CommandLineFlag* flag = FindFlag(command, name);
  if (flag == nullptr && !has_value && absl::ConsumePrefix(&name, "no")) {
    flag = FindFlag(command, name);
    if (flag != nullptr && !flag->IsOfType<bool>()) flag = nullptr;
    value = "false";
    has_value = true;
  }
  if (flag == nullptr) {
    return absl::InvalidArgumentError(absl::StrCat("workload ", command.name, " has no flag ", word,
                                                   "; see workload ", command.name, " --help"));
  }
  if (!has_value && flag->IsOfType<bool>()) {
    value = "true";
  } else if (!has_value) {
    if (next == nullptr)
      return absl::InvalidArgumentError(absl::StrCat("--", name, " needs a value"));
    value = *next;
    *took_next = true;
  }
  std::string error;
  if (!flag->ParseFrom(value, &error)) {
    return absl::InvalidArgumentError(absl::StrCat("--", name, "=", value, ": not a valid value"));
  }
  FlagsSet().insert(std::string(name));
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::vector<std::string>> SetFlags(const Command& command,
                                                  const std::vector<std::string>& words) {
  std::vector<std::string> arguments;
  for (size_t i = 0; i < words.size(); ++i) {
    if (words[i].size() < 2 || words[i][0] != '-') {
      arguments.push_back(words[i]);
      continue;
    }
    bool took_next = false;
    absl::Status status =
        SetFlag(command, words[i], i + 1 < words.size() ? &words[i + 1] : nullptr, &took_next);
    if (!status.ok()) return status;
    if (took_next) ++i;
  }
  if (arguments.size() == command.arguments) return arguments;
  return absl::InvalidArgumentError(
      arguments.size() > command.arguments
          ? absl::StrCat("unexpected ", arguments[command.arguments])
          : absl::StrCat("usage: workload ", command.name, " ", command.usage));
}

bool WasSet(absl::string_view flag) { return FlagsSet().count(std::string(flag)) != 0; }

std::string HelpText(const Command& command) {
  std::string text =
      absl::StrCat("workload ", command.name, " ", command.usage, "\n", command.what, "\n\n");
  for (absl::string_view name : command.flags) {
    const absl::CommandLineFlag* flag = absl::FindCommandLineFlag(name);
    if (flag == nullptr || absl::StartsWith(flag->Help(), "(internal)")) continue;
    absl::StrAppend(&text, "  --", name, " (default ", flag->DefaultValue(), ")\n      ",
                    flag->Help(), "\n");
  }
  return text;
}

}  // namespace load
