#include "knot/command_line.h"

#include <algorithm>
#include <map>
#include <set>

#include "absl/flags/reflection.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "knot/config_file.h"
#include "knot/listen_address.h"
#include "knot/repeated.h"

namespace knot {
namespace {

constexpr absl::string_view kVariables = "KNOT_";
constexpr absl::string_view kInternalVariable = "KNOT_INHERIT";  // see knot/takeover.h

absl::CommandLineFlag* FindOwn(absl::string_view name, OwnFlag own) {
  absl::CommandLineFlag* flag = absl::FindCommandLineFlag(name);
  return flag != nullptr && own(*flag) ? flag : nullptr;
}

// What joins the values of a repeatable flag as its type reads and prints them.
char SeparatorOf(const absl::CommandLineFlag& flag) {
  return flag.IsOfType<ListenAddresses>() ? ',' : kRepeatedSeparator;
}

// Takes one flag from the command line; `next` is the argument after it, taken when it is the
// value.
absl::StatusOr<Setting> ReadFlag(absl::string_view argument, const char* next, OwnFlag own,
                                 bool* took_next) {
  *took_next = false;
  absl::string_view body = argument.substr(absl::StartsWith(argument, "--") ? 2 : 1);
  size_t equals = body.find('=');
  bool has_value = equals != absl::string_view::npos;
  absl::string_view name = body.substr(0, equals);
  Setting setting{std::string(name), std::string(has_value ? body.substr(equals + 1) : ""), ""};
  absl::CommandLineFlag* flag = FindOwn(name, own);
  if (flag == nullptr && !has_value && absl::ConsumePrefix(&name, "no")) {
    flag = FindOwn(name, own);
    if (flag != nullptr && !flag->IsOfType<bool>()) flag = nullptr;
    setting.name = std::string(name);
    setting.value = "false";
    has_value = true;
  }
  if (flag == nullptr) {
    return absl::InvalidArgumentError(absl::StrCat("unknown flag ", argument, "; see --help"));
  }
  if (!has_value) {
    *took_next = !flag->IsOfType<bool>();
    if (*took_next && next == nullptr) {
      return absl::InvalidArgumentError(absl::StrCat("--", name, " needs a value"));
    }
    setting.value = *took_next ? next : "true";
  }
  return setting;
}

absl::Status WrongValue(const Setting& setting, absl::string_view reason) {
  return absl::InvalidArgumentError(
      absl::StrCat("--", setting.name, "=", setting.value, ": ", reason));
}

absl::Status SetFlag(absl::CommandLineFlag& flag, const Setting& setting,
                     const std::string& value) {
  for (char c : setting.value) {
    if (absl::ascii_iscntrl(static_cast<unsigned char>(c)) && c != '\t') {
      return absl::InvalidArgumentError(
          absl::StrCat("--", setting.name, ": there is a control character in the value"));
    }
  }
  std::string error;
  if (flag.ParseFrom(value, &error)) return absl::OkStatus();
  size_t reason = error.find("; ");  // Abseil: "Illegal value '…' specified for flag '…'; reason"
  return WrongValue(setting,
                    reason == std::string::npos ? "not a valid value" : error.substr(reason + 2));
}

// Tells whether `message` is about `flag`, given as it begins: "--flag" and no more of a name.
bool BeginsWithFlag(absl::string_view message, absl::string_view flag) {
  return absl::ConsumePrefix(&message, "--") && absl::ConsumePrefix(&message, flag) &&
         (message.empty() || (!absl::ascii_isalnum(message[0]) && message[0] != '_'));
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

bool IsRepeatable(const absl::CommandLineFlag& flag) {
  return flag.IsOfType<RepeatedText>() || flag.IsOfType<ListenAddresses>();
}

bool IsOnlyOnTheCommandLine(absl::string_view name) {
  for (absl::string_view only :
       {"config", "print_completion", "print_config", "print_manual", "test_config"}) {
    if (name == only) return true;
  }
  return false;
}

std::vector<std::string> ValuesOf(const absl::CommandLineFlag& flag) {
  std::string text = flag.CurrentValue();
  if (!IsRepeatable(flag)) return {text};
  std::vector<std::string> values;
  if (auto addresses = flag.TryGet<ListenAddresses>()) {  // there may be commas within one
    for (const ListenAddress& address : addresses->list) values.push_back(FlagText(address));
    return values;
  }
  return absl::StrSplit(text, SeparatorOf(flag));
}

absl::StatusOr<Arguments> ReadArguments(int argc, char** argv, OwnFlag own) {
  Arguments arguments;
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
      if (argument == "-t") argument = "--test_config";
      bool took_next;
      absl::StatusOr<Setting> setting =
          ReadFlag(argument, i + 1 < argc ? argv[i + 1] : nullptr, own, &took_next);
      if (!setting.ok()) return setting.status();
      arguments.settings.push_back(*std::move(setting));
      if (took_next) ++i;
    }
  }
  return arguments;
}

Environment ReadEnvironment(char** environment, OwnFlag own) {
  Environment result;
  for (; *environment != nullptr; ++environment) {
    absl::string_view name = *environment, value;
    size_t equals = name.find('=');
    if (!absl::StartsWith(name, kVariables) || equals == absl::string_view::npos) continue;
    value = name.substr(equals + 1);
    name = name.substr(0, equals);
    std::string lower = absl::AsciiStrToLower(name.substr(kVariables.size()));
    const absl::CommandLineFlag* flag = FindOwn(lower, own);
    if (flag == nullptr) {
      if (name != kInternalVariable) result.unknown.emplace_back(name);
    } else if (value.empty()) {
      continue;
    } else if (IsRepeatable(*flag)) {
      for (absl::string_view one : absl::StrSplit(absl::StripSuffix(value, "\n"), '\n')) {
        result.settings.push_back({lower, std::string(one), std::string(name)});
      }
    } else {
      result.settings.push_back({lower, std::string(value), std::string(name)});
    }
  }
  return result;
}

absl::StatusOr<std::vector<Setting>> ReadConfigSettings(const std::string& file, OwnFlag own) {
  absl::StatusOr<std::string> text = ReadConfigFile(file);
  if (!text.ok()) return text.status();
  absl::StatusOr<std::vector<ConfigLine>> lines = ParseConfig(*text);
  if (!lines.ok()) {
    return absl::InvalidArgumentError(absl::StrCat(file, ":", lines.status().message()));
  }
  std::vector<Setting> settings;
  std::map<std::string, int> first;
  for (const ConfigLine& line : *lines) {
    std::string place = absl::StrCat(file, ":", line.number);
    const absl::CommandLineFlag* flag = FindOwn(line.name, own);
    if (flag == nullptr) {
      return absl::InvalidArgumentError(absl::StrCat(place, ": unknown name ", line.name));
    }
    if (IsOnlyOnTheCommandLine(line.name)) {
      return absl::InvalidArgumentError(
          absl::StrCat(place, ": ", line.name, " can be given on the command line only"));
    }
    auto [earlier, added] = first.emplace(line.name, line.number);
    if (!added && !IsRepeatable(*flag)) {
      return absl::InvalidArgumentError(absl::StrCat(place, ": ", line.name, " was given in line ",
                                                     earlier->second,
                                                     " already, and can be given once only"));
    }
    settings.push_back({line.name, line.value, std::move(place)});
  }
  return settings;
}

absl::Status Apply(const std::vector<Setting>& settings, OwnFlag own) {
  std::map<std::string, std::string> gathered;  // the values of repeatable flags so far
  for (const Setting& setting : settings) {
    absl::CommandLineFlag* flag = FindOwn(setting.name, own);
    std::string value = setting.value;
    if (IsRepeatable(*flag)) {
      std::string& all = gathered[setting.name];
      if (value.empty() && flag->IsOfType<RepeatedText>()) {
        all.clear();
      } else {
        absl::StrAppend(&all, all.empty() ? "" : std::string(1, SeparatorOf(*flag)), value);
      }
      value = all;
    }
    absl::Status status = SetFlag(*flag, setting, value);
    if (status.ok()) continue;
    if (setting.place.empty()) return status;
    return absl::Status(status.code(), absl::StrCat(setting.place, ": ", status.message()));
  }
  return absl::OkStatus();
}

absl::StatusOr<Arguments> ParseArguments(int argc, char** argv, OwnFlag own) {
  absl::StatusOr<Arguments> arguments = ReadArguments(argc, argv, own);
  if (!arguments.ok()) return arguments;
  absl::Status status = Apply(arguments->settings, own);
  if (!status.ok()) return status;
  return arguments;
}

absl::Status WithPlace(const absl::Status& status, const std::vector<Setting>& settings) {
  const Setting* last = nullptr;
  const Setting* shown = nullptr;  // of several values the one that the message shows
  for (const Setting& setting : settings) {
    if (!BeginsWithFlag(status.message(), setting.name)) continue;
    last = &setting;
    std::string text = absl::StrCat("--", setting.name, "=", setting.value, ":");
    if (absl::StartsWith(status.message(), text)) shown = &setting;
  }
  const Setting* about = shown != nullptr ? shown : last;
  if (about == nullptr || about->place.empty()) return status;
  return absl::Status(status.code(), absl::StrCat(about->place, ": ", status.message()));
}

absl::Status CheckRange(absl::string_view flag, int value, int low, int high) {
  if (value >= low && value <= high) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("--", flag, "=", value, ": must be between ", low, " and ", high));
}

}  // namespace knot
