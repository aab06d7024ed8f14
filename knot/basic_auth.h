// Asks for a name and a password where paths are protected.
//
// Source: RFC 7617 (Basic); RFC 9110, 11.6.1 (WWW-Authenticate). Basic sends the password as it is:
// without TLS anybody on the way can read it.
#ifndef KNOT_BASIC_AUTH_H_
#define KNOT_BASIC_AUTH_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "knot/auth_rule.h"
#include "knot/credentials.h"
#include "knot/password_checker.h"
#include "knot/password_file.h"

namespace knot {

// Callers: any thread.
class BasicAuth {
 public:
  // Reads the files. Requires: `realm` has no quotes and no control characters. Errors: one line,
  // with the file and its line.
  static absl::StatusOr<std::unique_ptr<BasicAuth>> Read(std::vector<AuthRule> rules,
                                                         absl::string_view realm);

  // Starts the thread that checks passwords. Requires: called once, before Judge. Errors:
  // ResourceExhausted no thread could be made.
  absl::Status Start();

  // What is to become of a request.
  enum class Verdict : uint8_t {
    kOpen,     // nothing is asked for this path
    kPass,     // the name and the password are right
    kUnknown,  // 401: nobody, or somebody with another password
    kBusy,     // 503: so many passwords are being checked that this one was not
  };

  // Judges a request for `path`, decoded and relative to the root, by the longest of the prefixes
  // it lies below. `authorization` is the value of the field, or empty. A name that nobody has
  // takes as long as a wrong password.
  //
  // Requires: IsPlainPath(path). Blocks: while the password is checked, after those that came
  // before; not where it was right a short while ago.
  Verdict Judge(absl::string_view path, absl::string_view authorization, uint32_t now);

  // Returns: how many passwords were compared with a hash so far.
  uint64_t computed() const { return checker_->computed(); }

  // Returns: the line, with its CRLF, that asks for a name and a password.
  const std::string& challenge() const { return challenge_; }

 private:
  struct Realm {
    std::string prefix;  // relative to the root: without a slash at either end
    PasswordFile* users;
  };

  BasicAuth() = default;
  const Realm* RealmOf(absl::string_view path) const;
  bool IsRight(const Credentials& credentials, const Users& users, uint32_t now, bool* busy);

  std::vector<std::unique_ptr<PasswordFile>> files_;  // each once
  std::vector<Realm> realms_;                         // the longest prefix first
  std::string challenge_;
  VerifiedCredentials verified_;
  std::unique_ptr<PasswordChecker> checker_;  // null: not started
};

}  // namespace knot

#endif  // KNOT_BASIC_AUTH_H_
