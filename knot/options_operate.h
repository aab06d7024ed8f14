// The flags for whoever runs Knot as a service.
#ifndef KNOT_OPTIONS_OPERATE_H_
#define KNOT_OPTIONS_OPERATE_H_

#include <optional>
#include <string>

#include "absl/status/status.h"
#include "knot/log_line.h"
#include "knot/manual.h"
#include "knot/sandbox.h"

namespace knot {

struct OperateOptions {
  std::string root;
  std::string config;  // the file; empty: none
  bool test_config = false;
  bool print_manual = false;
  std::optional<Shell> print_completion;
  LogFormat log_format = LogFormat::kCombined;
  int drain_timeout = 0;  // seconds
  std::string takeover;   // the unix socket; empty: none
  std::string pid_file;   // empty: none
  std::string user;       // NAME[:GROUP]; empty: who started it
  std::string chroot;     // empty: none
  Sandbox sandbox = Sandbox::kAuto;
};

OperateOptions OperateOptionsFromFlags();

// Errors: InvalidArgument, with one line that begins with the flag.
absl::Status CheckOperate(const OperateOptions& options);

// Errors: what they name is not there, or cannot be made where it is to be.
absl::Status CheckPlaces(const OperateOptions& options);

}  // namespace knot

#endif  // KNOT_OPTIONS_OPERATE_H_
