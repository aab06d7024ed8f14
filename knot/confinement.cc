#include "knot/confinement.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "knot/auth_rule.h"
#include "knot/file_name.h"
#include "knot/privileges.h"
#include "knot/sandbox.h"
#include "knot/site.h"

namespace knot {
namespace {

// Of a file that another takes the place of, the directory is needed; of a symbolic link both.
void AddDirectories(const std::string& file, std::vector<std::string>* paths) {
  paths->push_back(DirectoryOf(file));
  if (char* real = realpath(file.c_str(), nullptr)) {
    paths->push_back(DirectoryOf(real));
    std::free(real);
  }
}

// A file is made anew beside the old one; a FIFO or device is not.
void AddWritten(const std::string& file, std::vector<std::string>* paths) {
  if (file.empty()) return;
  struct stat status;
  if (stat(file.c_str(), &status) == 0 && !S_ISREG(status.st_mode) && !S_ISSOCK(status.st_mode)) {
    paths->push_back(file);
    return;
  }
  AddDirectories(file, paths);
}

std::vector<std::string> PasswordFiles(const Options& options) {
  std::vector<std::string> files;
  for (const std::string& text : options.policy.auth) {
    absl::StatusOr<AuthRule> rule = ParseAuthRule(text);
    if (rule.ok()) files.push_back(rule->file);
  }
  return files;
}

// They are read again where they change.
absl::Status CheckPasswordFiles(const Options& options) {
  for (const std::string& file : PasswordFiles(options)) {
    if (access(file.c_str(), R_OK) == 0) continue;
    return absl::ErrnoToStatus(errno, absl::StrCat("--auth: cannot read ", file,
                                                   " again, as --user and --chroot have it"));
  }
  return absl::OkStatus();
}

}  // namespace

bool IsConfined(const Options& options) {
  const OperateOptions& operate = options.operate;
  return !operate.user.empty() || !operate.chroot.empty() || operate.sandbox == Sandbox::kOn;
}

absl::Status ConfineFiles(const Options& options, bool alone) {
  const OperateOptions& operate = options.operate;
  Reachable reachable;
  reachable.read = {options.root, "/etc/mime.types"};
  for (const std::string& host : options.site.hosts) {
    absl::StatusOr<HostRule> rule = ParseHostRule(host);
    if (rule.ok()) reachable.read.push_back(rule->directory);
  }
  if (options.site.mime_types != "off") reachable.read.push_back(options.site.mime_types);
  for (const std::string& file : PasswordFiles(options)) AddDirectories(file, &reachable.read);
  for (const TlsFiles& files : options.transport.tls.files) {
    AddDirectories(files.certificate, &reachable.read);
    AddDirectories(files.key, &reachable.read);
  }
  if (options.admin.on) reachable.read.push_back("/proc/self");
  if (!operate.config.empty()) reachable.read.push_back(DirectoryOf(operate.config));
  reachable.write = {"/dev/null"};
  if (options.access_log != "off" && options.access_log != "-") {
    AddWritten(options.access_log, &reachable.write);
  }
  if (alone) {
    AddWritten(operate.pid_file, &reachable.write);
    AddWritten(operate.takeover, &reachable.write);
    for (const ListenAddress& address : options.listen) {
      // One that was passed is not removed, and may have no file.
      if (address.passed_as < 0) AddWritten(address.path, &reachable.write);
    }
  }
  return RestrictFiles(operate.sandbox, reachable);
}

absl::Status Confine(const Options& all) {
  const OperateOptions& options = all.operate;
  absl::StatusOr<Identity> identity = Identity();
  // Its name is looked up while there are the files to look it up in.
  if (!options.user.empty()) identity = FindIdentity(options.user);
  absl::Status status = identity.status();
  if (status.ok() && !options.chroot.empty()) status = ChangeRoot(options.chroot);
  if (status.ok() && !options.user.empty()) status = Become(*identity);
  if (status.ok() && (!options.user.empty() || !options.chroot.empty())) {
    status = CheckPasswordFiles(all);
  }
  if (status.ok() && options.sandbox == Sandbox::kOn) status = RestrictCalls();
  return status;
}

}  // namespace knot
