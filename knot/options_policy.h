// The flags of the rules for requests and replies: fields, origins, passwords, limits of clients,
// memory.
#ifndef KNOT_OPTIONS_POLICY_H_
#define KNOT_OPTIONS_POLICY_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "knot/auth_rule.h"
#include "knot/cors.h"
#include "knot/header_rules.h"

namespace knot {

struct PolicyOptions {
  std::vector<std::string> headers;         // [GLOB:]Name: value
  std::vector<std::string> cache_controls;  // GLOB=VALUE
  bool nosniff = true;
  std::string cors;  // "*" or a list; empty: off
  std::string cors_headers;
  int cors_max_age = 0;           // seconds
  std::vector<std::string> auth;  // PREFIX=FILE
  std::string auth_realm;
  int client_connections = 0;  // 0: no limit, as the next
  int client_rate = 0;         // requests a second
  int client_burst = 0;        // 0: as many as a second's
  int memory_mb = 0;           // 0: no bound
};

PolicyOptions PolicyOptionsFromFlags();

// Errors: InvalidArgument, with one line that names the flag and what is wrong with it.
absl::Status CheckPolicy(const PolicyOptions& options);

// Each makes of the options what they stand for, with the errors of CheckPolicy.
absl::StatusOr<HeaderRules> HeaderRulesOf(const PolicyOptions& options);
absl::StatusOr<Cors> CorsOf(const PolicyOptions& options);  // Requires: options.cors is not empty
absl::StatusOr<std::vector<AuthRule>> AuthRulesOf(const PolicyOptions& options);

}  // namespace knot

#endif  // KNOT_OPTIONS_POLICY_H_
