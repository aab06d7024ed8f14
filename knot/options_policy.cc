#include "knot/options_policy.h"

#include <algorithm>
#include <utility>

#include "absl/flags/flag.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "knot/command_line.h"
#include "knot/repeated.h"

ABSL_FLAG(knot::RepeatedText, header, {},
          "a field of replies, [GLOB:]Name: value; with a GLOB, such as /assets/* or *.woff2, of "
          "those that send a file whose path it matches; may be given more than once");
ABSL_FLAG(knot::RepeatedText, cache_control, {},
          "GLOB=VALUE: the Cache-Control of files whose path the GLOB matches; the first that does "
          "counts; may be given more than once");
ABSL_FLAG(bool, nosniff, true,
          "send X-Content-Type-Options: nosniff, so that no browser takes a file for what its type "
          "does not say");
ABSL_FLAG(std::string, cors, "",
          "origins whose pages may read what is served, scheme://host[:port] separated by commas, "
          "or *");
ABSL_FLAG(
    std::string, cors_headers, "",
    "fields, separated by commas, that requests of such pages may have beyond the simple ones");
ABSL_FLAG(int, cors_max_age, 600, "seconds a browser may remember what it was told by --cors");
ABSL_FLAG(knot::RepeatedText, auth, {},
          "PREFIX=FILE: what lies below the path PREFIX is for the users of FILE, with lines "
          "user:hash as htpasswd -B makes them; the longest PREFIX counts; may be given more than "
          "once");
ABSL_FLAG(std::string, auth_realm, "restricted", "what --auth calls the part that is protected");
ABSL_FLAG(
    int, client_connections, 0,
    "most connections at a time of one client's address; further ones are closed; 0: no limit");
ABSL_FLAG(int, client_rate, 0,
          "most requests a second of one client's address; further ones get 429; 0: no limit");
ABSL_FLAG(int, client_burst, 0,
          "requests a client may send at once after a pause; 0: as many as --client_rate");
ABSL_FLAG(int, memory_mb, 0,
          "MiB of memory that all processes together stay below; options that could need more are "
          "refused; 0: no bound");

namespace knot {
namespace {

absl::Status Named(absl::string_view flag, absl::string_view text, const absl::Status& status) {
  return absl::Status(status.code(), absl::StrCat("--", flag, "=", text, ": ", status.message()));
}

absl::Status CheckRealm(absl::string_view realm) {
  bool good = realm.size() <= 100 && std::all_of(realm.begin(), realm.end(), [](char c) {
                return c >= 0x20 && c < 0x7f && c != '"' && c != '\\';
              });
  if (good) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      "--auth_realm: must be at most 100 plain characters, without quotes and backslashes"));
}

}  // namespace

PolicyOptions PolicyOptionsFromFlags() {
  PolicyOptions options;
  options.headers = absl::GetFlag(FLAGS_header).values;
  options.cache_controls = absl::GetFlag(FLAGS_cache_control).values;
  options.nosniff = absl::GetFlag(FLAGS_nosniff);
  options.cors = absl::GetFlag(FLAGS_cors);
  options.cors_headers = absl::GetFlag(FLAGS_cors_headers);
  options.cors_max_age = absl::GetFlag(FLAGS_cors_max_age);
  options.auth = absl::GetFlag(FLAGS_auth).values;
  options.auth_realm = absl::GetFlag(FLAGS_auth_realm);
  options.client_connections = absl::GetFlag(FLAGS_client_connections);
  options.client_rate = absl::GetFlag(FLAGS_client_rate);
  options.client_burst = absl::GetFlag(FLAGS_client_burst);
  options.memory_mb = absl::GetFlag(FLAGS_memory_mb);
  return options;
}

absl::Status CheckPolicy(const PolicyOptions& options) {
  absl::Status status = CheckRange("cors_max_age", options.cors_max_age, 0, 86'400);
  status.Update(CheckRange("client_connections", options.client_connections, 0, 100'000));
  status.Update(CheckRange("client_rate", options.client_rate, 0, 1'000'000));
  status.Update(CheckRange("client_burst", options.client_burst, 0, 1'000'000));
  status.Update(CheckRange("memory_mb", options.memory_mb, 0, 1 << 24));
  status.Update(CheckRealm(options.auth_realm));
  if (options.cors.empty() && !options.cors_headers.empty()) {
    status.Update(absl::InvalidArgumentError("--cors_headers means nothing without --cors"));
  }
  if (!options.cors.empty()) status.Update(CorsOf(options).status());
  status.Update(AuthRulesOf(options).status());
  status.Update(HeaderRulesOf(options).status());
  return status;
}

absl::StatusOr<HeaderRules> HeaderRulesOf(const PolicyOptions& options) {
  HeaderRules rules;
  if (options.nosniff) rules.AddToEvery("X-Content-Type-Options: nosniff\r\n");
  if (!options.cors.empty()) {
    absl::StatusOr<Cors> cors = CorsOf(options);
    if (!cors.ok()) return cors.status();
    rules.AddToEvery(cors->Every());
  }
  for (const std::string& text : options.headers) {
    absl::Status status = rules.AddField(text);
    if (!status.ok()) return Named("header", text, status);
    if (!options.cors.empty() &&
        absl::StrContains(absl::AsciiStrToLower(text), "access-control-allow-")) {
      return Named("header", text, absl::InvalidArgumentError("is said by --cors"));
    }
  }
  for (const std::string& text : options.cache_controls) {
    absl::Status status = rules.AddCacheControl(text);
    if (!status.ok()) return Named("cache_control", text, status);
  }
  absl::StatusOr<std::vector<AuthRule>> auth = AuthRulesOf(options);
  if (!auth.ok()) return auth.status();
  for (const AuthRule& rule : *auth) rules.AddPrivate(rule.prefix);
  return rules;
}

absl::StatusOr<Cors> CorsOf(const PolicyOptions& options) {
  absl::StatusOr<Cors> cors = Cors::Parse(options.cors, "", options.cors_max_age);
  if (!cors.ok()) return Named("cors", options.cors, cors.status());
  cors = Cors::Parse(options.cors, options.cors_headers, options.cors_max_age);
  if (!cors.ok()) return Named("cors_headers", options.cors_headers, cors.status());
  return cors;
}

absl::StatusOr<std::vector<AuthRule>> AuthRulesOf(const PolicyOptions& options) {
  std::vector<AuthRule> rules;
  for (const std::string& text : options.auth) {
    absl::StatusOr<AuthRule> rule = ParseAuthRule(text);
    if (!rule.ok()) return Named("auth", text, rule.status());
    rules.push_back(*std::move(rule));
  }
  return rules;
}

}  // namespace knot
