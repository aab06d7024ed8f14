// A client's name and password: how they are sent, and which were right a short while ago.
//
// Source: RFC 7617; RFC 9110, 11.4.
#ifndef KNOT_CREDENTIALS_H_
#define KNOT_CREDENTIALS_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <string>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"
#include "knot/lock.h"

namespace knot {

struct Credentials {
  std::string user;
  std::string password;
};

// Reads the value of an Authorization field of the scheme Basic. Returns: false where it is another
// scheme, or malformed: not base64, without a colon, with control characters, or longer than
// crypt(3) takes.
bool ParseBasic(absl::string_view value, Credentials* credentials);

// Credentials found right, so that not every request costs a hash.
//
// They are kept as a digest, which depends on a key of this object alone: whoever reads the memory
// of the process finds no password in it, and nobody can choose two that collide.
//
// V1. At most kMost are kept: those verified last.
// V2. None counts for longer than kSeconds after it was verified.
class VerifiedCredentials {
 public:
  static constexpr size_t kMost = 4096;
  static constexpr uint32_t kSeconds = 300;

  using Digest = std::array<unsigned char, 32>;

  VerifiedCredentials();

  // Returns: what stands for a name, a password, and the hash the password was, or is to be,
  // compared with; once the hash is another, so is the digest. Never blocks.
  Digest DigestOf(const Credentials& credentials, absl::string_view hash) const;

  // `now` is a clock in seconds, never less than before by much.
  bool Has(const Digest& digest, uint32_t now) const;
  void Add(const Digest& digest, uint32_t now);

  size_t size() const;

 private:
  std::array<unsigned char, 32> key_;
  mutable Lock mutex_;
  absl::flat_hash_map<Digest, uint32_t> verified_at_;
  std::deque<std::pair<Digest, uint32_t>> order_;  // may hold more than one time of a digest
};

}  // namespace knot

#endif  // KNOT_CREDENTIALS_H_
