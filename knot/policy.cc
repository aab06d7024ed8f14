#include "knot/policy.h"

#include <stdlib.h>

#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "knot/clock.h"
#include "knot/monotonic.h"

namespace knot {
namespace {

constexpr int64_t kSecondNs = 1'000'000'000;

// Returns: the path without symbolic links, or "" where there is no such file.
std::string RealPath(const std::string& path) {
  char* real = realpath(path.c_str(), nullptr);
  std::string result = real != nullptr ? real : "";
  free(real);
  return result;
}

absl::Status CheckNotServed(const std::string& file, const std::string& root) {
  std::string directory = RealPath(root), real = RealPath(file);
  if (directory != "/") directory += '/';
  if (!absl::StartsWith(real, directory)) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("the passwords in ", file, " lie below ", root, ", which is served"));
}

}  // namespace

absl::StatusOr<std::unique_ptr<Policy>> Policy::Make(const PolicyOptions& options,
                                                     const Sites& sites, const Policy* before) {
  std::unique_ptr<Policy> policy(new Policy());
  if (options.client_connections > 0 || options.client_rate > 0) {
    int burst = options.client_burst > 0 ? options.client_burst : options.client_rate;
    ClientLimits::Limits limits{options.client_connections, options.client_rate, burst};
    if (before != nullptr && before->limits_ != nullptr && before->limits_->limits() == limits) {
      policy->limits_ = before->limits_;
    } else {
      policy->limits_ = std::make_shared<ClientLimits>(limits);
    }
  }
  if (!options.cors.empty()) {
    absl::StatusOr<Cors> cors = CorsOf(options);
    if (!cors.ok()) return cors.status();
    policy->cors_ = std::make_unique<Cors>(*std::move(cors));
  }
  if (!options.auth.empty()) {
    absl::StatusOr<std::vector<AuthRule>> rules = AuthRulesOf(options);
    if (!rules.ok()) return rules.status();
    for (const AuthRule& rule : *rules) {
      for (const auto& site : sites.list()) {
        absl::Status status = CheckNotServed(rule.file, site->directory);
        if (!status.ok()) return status;
      }
    }
    absl::StatusOr<std::unique_ptr<BasicAuth>> auth =
        BasicAuth::Read(*std::move(rules), options.auth_realm);
    if (!auth.ok()) return auth.status();
    policy->auth_ = *std::move(auth);
  }
  bool rules = policy->limits_ != nullptr || policy->cors_ != nullptr || policy->auth_ != nullptr;
  if (!rules) policy = nullptr;
  return policy;
}

absl::Status Policy::Start() { return auth_ != nullptr ? auth_->Start() : absl::OkStatus(); }

Policy::Ruling Policy::Admit(const PeerAddress& peer) {
  if (limits_ == nullptr) return {};
  std::optional<ClientKey> key = ClientOf(peer);
  if (!key.has_value()) return {};
  int64_t wait = limits_->TakeRequest(*key, MonotonicNs());
  if (wait == 0) return {};
  return {429, absl::StrCat("Retry-After: ", (wait + kSecondNs - 1) / kSecondNs, "\r\n"), false};
}

Policy::Ruling Policy::Judge(const Request& request, absl::string_view path) {
  // First: a browser asks by it without a password.
  if (cors_ != nullptr && request.method == Method::kOptions && request.preflight &&
      !request.origin.empty()) {
    return {204, std::string(cors_->PreflightFields(request.origin)), false};
  }
  if (auth_ == nullptr) return {};
  if (!IsPlainPath(path)) return {404, "", false};
  switch (auth_->Judge(path, request.authorization, SecondsNow())) {
    case BasicAuth::Verdict::kUnknown:
      return {401, auth_->challenge(), true};
    case BasicAuth::Verdict::kBusy:
      return {503, "Retry-After: 1\r\n", true};
    case BasicAuth::Verdict::kPass:
      return {0, "", true};
    case BasicAuth::Verdict::kOpen:
      break;
  }
  return {};
}

absl::string_view Policy::OriginField(const Request& request) const {
  return cors_ == nullptr ? absl::string_view() : cors_->FieldOf(request.origin);
}

std::string Policy::UserOf(const Request& request) const {
  Credentials credentials;
  ParseBasic(request.authorization, &credentials);
  return credentials.user;
}

void Policy::Place::Take(const std::shared_ptr<ClientLimits>& limits, const PeerAddress& peer) {
  std::optional<ClientKey> key = ClientOf(peer);
  if (!key.has_value()) return;
  given_ = limits->Enter(*key);
  if (!given_) return;
  limits_ = limits;
  key_ = *key;
}

}  // namespace knot
