#include "wrappers/launcher/settings.h"

#include <unistd.h>

#include <cstring>

#include "runtime/environment.h"

namespace launcher {
namespace {

// A flag is a variable's name in lower case.
struct Flag {
  const char* name;
  const char* variable;
  bool is_switch;     // --name, --noname
  const char* value;  // as --help shows it
  const char* help;   // lines of up to 56 characters
};

constexpr Flag kFlags[] = {
    {"schedulers", "BOBBIN_SCHEDULERS", false, "=N|auto",
     "kernel threads that run the program's threads; auto: one\na processor. 1"},
    {"workers", "BOBBIN_WORKERS", false, "=N|auto",
     "kernel threads for calls that block on a disk. auto"},
    {"poller", "BOBBIN_POLLER", false, "=epoll|poll", "how readiness is learnt. epoll"},
    {"quantum", "BOBBIN_QUANTUM", false, "=MS|off",
     "CPU time after which a thread lets others run. 10"},
    {"stack_cap", "BOBBIN_STACK_CAP", false, "=KIB|off",
     "most stack for a thread that asks for no size. off"},
    {"dispatch", "BOBBIN_DISPATCH", true, "=on|off",
     "also catch system calls that are made outside libc. on"},
    {"stats", "BOBBIN_STATS", true, "", "write the counters to standard error at exit"},
    {"audit", "BOBBIN_AUDIT", true, "",
     "write to standard error at exit what was caught, and what\nwas left to the kernel"},
    {"strict", "BOBBIN_STRICT", true, "", "abort at a call that could block a scheduler"},
    {"children", "BOBBIN_CHILDREN", true, "",
     "programs that this one executes run in the same way;\nelse they run on kernel threads"},
    {"otherwise", "BOBBIN_OTHERWISE", false, "=threads|refuse",
     "where user threads cannot be had: run on kernel threads,\nor exit with 125. threads"},
    {"dump_signal", "BOBBIN_DUMP_SIGNAL", false, "=SIG|off",
     "signal at which the threads are listed on standard\nerror. off"},
};

constexpr struct {
  const char* variable;
  const char* value;
} kDefaults[] = {{"BOBBIN_DISPATCH", "on"}, {"BOBBIN_QUANTUM", "10"}};

// Reads a value as the library will. Returns: "", or what it must be.
std::string Check(const char* variable, const std::string& value) {
  bobbin::Options options;
  bobbin::RunOptions run;
  const bobbin::OptionVariable* known = bobbin::FindOptionVariable(variable);
  if (known->read(value.c_str(), &options, &run)) return "";
  return std::string("must be ") + known->accepts;
}

const Flag* FindFlag(const std::string& name, bool* negated) {
  *negated = false;
  for (const Flag& flag : kFlags) {
    if (name == flag.name) return &flag;
    if (flag.is_switch && name == std::string("no") + flag.name) {
      *negated = true;
      return &flag;
    }
  }
  return nullptr;
}

// Reads one flag; `next` is the argument after it, or null. Returns: how many arguments it took.
int ReadFlag(const char* argument, const char* next, Settings* settings) {
  std::string name = argument + 2;
  size_t equals = name.find('=');
  bool has_value = equals != std::string::npos;
  std::string value = has_value ? name.substr(equals + 1) : "";
  name = name.substr(0, equals);
  bool negated;
  const Flag* flag = FindFlag(name, &negated);
  if (flag == nullptr || (negated && has_value)) {
    settings->error = std::string("unknown flag ") + argument + "; see bobbin run --help";
    return 1;
  }
  int taken = 1;
  if (!has_value && flag->is_switch) {
    value = negated ? "off" : "on";
  } else if (!has_value && next == nullptr) {
    settings->error = "--" + name + " needs a value";
    return 1;
  } else if (!has_value) {
    value = next;
    taken = 2;
  }
  std::string problem = Check(flag->variable, value);
  if (!problem.empty()) settings->error = "--" + name + "=" + value + ": " + problem;
  settings->variables[flag->variable] = value;
  return taken;
}

void AddEnvironment(Settings* settings) {
  for (char** place = environ; *place != nullptr; ++place) {
    const char* entry = *place;
    const char* equals = strchr(entry, '=');
    if (equals == nullptr) continue;
    std::string name(entry, equals);
    if (bobbin::FindOptionVariable(name.c_str()) == nullptr ||
        settings->variables.count(name) != 0) {
      continue;
    }
    std::string problem = Check(name.c_str(), equals + 1);
    if (!problem.empty()) settings->error = std::string(entry) + ": " + problem;
    settings->variables[name] = equals + 1;
  }
}

}  // namespace

Settings ReadSettings(int count, char** arguments) {
  Settings settings;
  int at = 0;
  while (at < count && arguments[at][0] == '-') {
    const char* argument = arguments[at];
    if (strcmp(argument, "--") == 0) {
      ++at;
      break;
    }
    if (strcmp(argument, "--help") == 0 || strcmp(argument, "-h") == 0) {
      settings.help = true;
      return settings;
    }
    if (argument[1] != '-') {
      settings.error = std::string("unknown flag ") + argument + "; see bobbin run --help";
      return settings;
    }
    at += ReadFlag(argument, at + 1 < count ? arguments[at + 1] : nullptr, &settings);
    if (!settings.error.empty()) return settings;
  }
  settings.command.assign(arguments + at, arguments + count);
  if (settings.command.empty()) {
    settings.error = "no program to run; see bobbin run --help";
    return settings;
  }
  AddEnvironment(&settings);
  for (const auto& one : kDefaults) settings.variables.emplace(one.variable, one.value);
  settings.refuse = settings.variables["BOBBIN_OTHERWISE"] == "refuse";
  if (!settings.refuse) settings.variables.erase("BOBBIN_OTHERWISE");
  return settings;
}

std::string RunHelp() {
  constexpr size_t kColumn = 30;
  std::string text =
      "Usage: bobbin run [FLAGS] PROGRAM [ARGUMENTS]\n\n"
      "Executes PROGRAM with libbobbin preloaded: its threads are user-level threads, and a\n"
      "call that would block parks one of them. The process keeps its id.\n\n"
      "Flags, before PROGRAM, and what holds without them:\n";
  for (const Flag& flag : kFlags) {
    std::string line = std::string("  --") + flag.name + flag.value;
    for (const char* part = flag.help; part != nullptr;) {
      const char* end = strchr(part, '\n');
      line.resize(line.size() < kColumn ? kColumn : line.size() + 1, ' ');
      text += line + (end == nullptr ? std::string(part) : std::string(part, end)) + "\n";
      line.clear();
      part = end == nullptr ? nullptr : end + 1;
    }
  }
  return text +
         "  --help                      this text\n\n"
         "--stats and the like may be negated: --nostats. Each flag may also be given in the\n"
         "environment, as BOBBIN_SCHEDULERS, BOBBIN_STATS=on and so on; a flag comes first.\n"
         "BOBBIN=off keeps the program on kernel threads.\n\n"
         "A program that is statically linked, setuid, setgid, not for 64-bit x86 or not of\n"
         "glibc runs on kernel threads, and one line says so.\n\n"
         "Exit status: that of PROGRAM; 2: a flag or its value is wrong; 125: user threads\n"
         "cannot be had and --otherwise=refuse, or libbobbin was not found; 126: PROGRAM cannot\n"
         "be executed; 127: PROGRAM was not found.\n";
}

}  // namespace launcher
