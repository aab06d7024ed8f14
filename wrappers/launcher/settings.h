// What `bobbin run` was asked: its flags, the BOBBIN_ variables that they stand for, the command.
#ifndef BOBBIN_WRAPPERS_LAUNCHER_SETTINGS_H_
#define BOBBIN_WRAPPERS_LAUNCHER_SETTINGS_H_

#include <map>
#include <string>
#include <vector>

namespace launcher {

struct Settings {
  std::string error;  // "": none; else what is wrong, in one line
  bool help = false;
  std::map<std::string, std::string> variables;  // of runtime/environment.h, all with good values
  bool refuse = false;                           // --otherwise=refuse
  std::vector<std::string> command;              // the program and its arguments
};

// Reads the arguments behind `run`. A BOBBIN_ variable of this process's environment is what holds
// where its flag is not given; where neither is, programs that were built for kernel threads get
// dispatch and a quantum of 10 ms.
Settings ReadSettings(int count, char** arguments);

// What `bobbin run --help` writes.
std::string RunHelp();

}  // namespace launcher

#endif  // BOBBIN_WRAPPERS_LAUNCHER_SETTINGS_H_
