// `bobbin run PROGRAM`: executes a program with libbobbin preloaded.
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <string>

#include "wrappers/launcher/executable.h"
#include "wrappers/launcher/preload.h"
#include "wrappers/launcher/settings.h"

namespace launcher {
namespace {

// Source: env(1).
enum ExitStatus { kUsage = 2, kRefused = 125, kCannotExecute = 126, kNotFound = 127 };

constexpr char kHelp[] =
    "Usage: bobbin run [FLAGS] PROGRAM [ARGUMENTS]\n"
    "       bobbin run --help | --help | --version\n\n"
    "Runs programs that were written for kernel threads on user-level threads.\n";

int Fail(ExitStatus status, const std::string& text) {
  fprintf(stderr, "bobbin: %s\n", text.c_str());
  return status;
}

int FailToExecute(const std::string& name, int error) {
  return Fail(error == ENOENT ? kNotFound : kCannotExecute, name + ": " + strerror(error));
}

// Tells why nothing can be preloaded. Returns: whether to go on without.
bool GoesOnWithout(const std::string& name, const Executable& executable, bool refuse) {
  std::string interpreter =
      executable.loaded == executable.path ? "" : "interpreter " + executable.loaded + " ";
  std::string text;
  if (refuse) {
    text = "refusing to run " + name + ": " + (interpreter.empty() ? "it " : "its " + interpreter) +
           executable.obstacle;
  } else {
    text = name + (interpreter.empty() ? " " : ": its " + interpreter) + executable.obstacle +
           ": it runs on kernel threads";
  }
  Fail(kRefused, text);
  return !refuse;
}

int Run(int count, char** arguments) {
  Settings settings = ReadSettings(count, arguments);
  if (!settings.error.empty()) return Fail(kUsage, settings.error);
  if (settings.help) {
    fputs(RunHelp().c_str(), stdout);
    return 0;
  }
  const std::string& name = settings.command[0];
  Executable executable = FindExecutable(settings.command);
  if (executable.error != 0) return FailToExecute(executable.arguments[0], executable.error);
  if (!executable.obstacle.empty()) {
    if (!GoesOnWithout(name, executable, settings.refuse)) return kRefused;
  } else {
    std::string error;
    std::string library = FindLibrary(&error);
    if (library.empty()) return Fail(kRefused, error);
    SetEnvironment(library, settings.variables);
  }
  return FailToExecute(name, Execute(executable));
}

int Main(int count, char** arguments) {
  std::string command = count > 1 ? arguments[1] : "";
  if (command == "run") return Run(count - 2, arguments + 2);
  if (command == "--help" || command == "-h" || command == "help") {
    fputs(kHelp, stdout);
    return 0;
  }
  if (command == "--version") {
    puts("bobbin " BOBBIN_VERSION);
    return 0;
  }
  if (command.empty()) {
    fputs(kHelp, stderr);
    return kUsage;
  }
  return Fail(kUsage, "unknown command " + command + "; see bobbin --help");
}

}  // namespace
}  // namespace launcher

int main(int argc, char** argv) { return launcher::Main(argc, argv); }
