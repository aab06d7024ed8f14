#include "knot/options_operate.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "absl/flags/flag.h"
#include "absl/strings/str_cat.h"
#include "knot/choice.h"
#include "knot/command_line.h"
#include "knot/file_name.h"
#include "knot/privileges.h"

namespace knot {
template <>
struct Names<LogFormat> {
  static constexpr Name<LogFormat> kList[] = {{LogFormat::kCombined, "combined"},
                                              {LogFormat::kJson, "json"}};
};

template <>
struct Names<Sandbox> {
  static constexpr Name<Sandbox> kList[] = {
      {Sandbox::kAuto, "auto"}, {Sandbox::kOn, "on"}, {Sandbox::kOff, "off"}};
};

namespace {

// A shell, or "none".
struct ShellOrNone {
  std::optional<Shell> shell;
};

constexpr Name<Shell> kShells[] = {
    {Shell::kBash, "bash"}, {Shell::kZsh, "zsh"}, {Shell::kFish, "fish"}};

bool AbslParseFlag(absl::string_view text, ShellOrNone* value, std::string* error) {
  value->shell = std::nullopt;
  for (const Name<Shell>& name : kShells) {
    if (text == name.text) value->shell = name.value;
  }
  if (value->shell.has_value() || text == "none") return true;
  *error = "must be one of none, bash, zsh, fish";
  return false;
}

std::string AbslUnparseFlag(const ShellOrNone& value) {
  for (const Name<Shell>& name : kShells) {
    if (value.shell == name.value) return name.text;
  }
  return "none";
}

}  // namespace
}  // namespace knot

ABSL_FLAG(std::string, config, "",
          "file of lines NAME = VALUE, with the names of these flags; the command line and KNOT_ "
          "variables go before it");
ABSL_FLAG(std::string, root, ".", "directory to serve; the same as DIR");
ABSL_FLAG(bool, test_config, false,
          "check the configuration, and that what it names is there, and exit; -t for short");
ABSL_FLAG(knot::Choice<knot::LogFormat>, log_format, {knot::LogFormat::kCombined},
          "lines of the access log: combined, or json, an object a line, which also tells how long "
          "each request took");
ABSL_FLAG(int, drain_timeout, 10, "seconds that replies under way are given when Knot is stopped");
ABSL_FLAG(std::string, takeover, "",
          "unix socket at which another Knot that is started with the same flag gets the listening "
          "sockets and takes this one's place; empty: none");
ABSL_FLAG(std::string, pid_file, "",
          "file for the id of the process that takes orders; empty: none");
ABSL_FLAG(std::string, user, "",
          "NAME[:GROUP] that processes which serve run as, once they have opened what root alone "
          "may; empty: who started Knot");
ABSL_FLAG(std::string, chroot, "",
          "directory that processes which serve make the root of their file tree, once they have "
          "opened what they need; empty: none");
ABSL_FLAG(knot::Choice<knot::Sandbox>, sandbox, {knot::Sandbox::kAuto},
          "what the kernel is asked to refuse: auto: to write files but the log, where it can; on: "
          "also to read others than are served, to execute programs, and calls that a server never "
          "makes; off: nothing");
ABSL_FLAG(bool, print_manual, false, "print the manual page and exit");
ABSL_FLAG(knot::ShellOrNone, print_completion, {},
          "print what makes a shell complete these flags, for bash, zsh or fish, and exit");

namespace knot {

OperateOptions OperateOptionsFromFlags() {
  OperateOptions options;
  options.root = absl::GetFlag(FLAGS_root);
  options.config = absl::GetFlag(FLAGS_config);
  options.test_config = absl::GetFlag(FLAGS_test_config);
  options.print_manual = absl::GetFlag(FLAGS_print_manual);
  options.print_completion = absl::GetFlag(FLAGS_print_completion).shell;
  options.log_format = absl::GetFlag(FLAGS_log_format).value;
  options.drain_timeout = absl::GetFlag(FLAGS_drain_timeout);
  options.takeover = absl::GetFlag(FLAGS_takeover);
  options.pid_file = absl::GetFlag(FLAGS_pid_file);
  options.user = absl::GetFlag(FLAGS_user);
  options.chroot = absl::GetFlag(FLAGS_chroot);
  options.sandbox = absl::GetFlag(FLAGS_sandbox).value;
  return options;
}

absl::Status CheckOperate(const OperateOptions& options) {
  if (options.root.empty()) return absl::InvalidArgumentError("--root=: must be a directory");
  if (!options.user.empty()) {
    absl::StatusOr<Identity> identity = FindIdentity(options.user);
    if (!identity.ok()) return identity.status();
  }
  return CheckRange("drain_timeout", options.drain_timeout, 1, 86'400);
}

namespace {

absl::Status CheckDirectory(absl::string_view flag, const std::string& name, int access_mode) {
  struct stat there;
  bool other = stat(name.c_str(), &there) == 0 && !S_ISDIR(there.st_mode);
  if (!other && access(name.c_str(), access_mode) == 0) return absl::OkStatus();
  if (other) errno = ENOTDIR;
  return absl::ErrnoToStatus(errno, absl::StrCat("--", flag, ": ", name));
}

}  // namespace

absl::Status CheckPlaces(const OperateOptions& options) {
  absl::Status status;
  if (!options.chroot.empty()) status = CheckDirectory("chroot", options.chroot, X_OK);
  for (auto [flag, file] :
       {std::pair("pid_file", options.pid_file), std::pair("takeover", options.takeover)}) {
    if (file.empty()) continue;
    status.Update(CheckDirectory(flag, DirectoryOf(file), W_OK | X_OK));
  }
  return status;
}

}  // namespace knot
