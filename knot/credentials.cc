#include "knot/credentials.h"

#include <crypt.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <sys/random.h>

#include <algorithm>
#include <mutex>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace knot {

bool ParseBasic(absl::string_view value, Credentials* credentials) {
  constexpr absl::string_view kScheme = "Basic ";
  // Of the longest that crypt(3) takes, and as long a name.
  constexpr size_t kMaxSize = kScheme.size() + 8 * CRYPT_MAX_PASSPHRASE_SIZE / 3 + 64;
  if (value.size() > kMaxSize || !absl::StartsWithIgnoreCase(value, kScheme)) return false;
  std::string text;
  if (!absl::Base64Unescape(absl::StripAsciiWhitespace(value.substr(kScheme.size())), &text)) {
    return false;
  }
  size_t colon = text.find(':');
  bool good = colon != std::string::npos && text.size() - colon <= CRYPT_MAX_PASSPHRASE_SIZE &&
              std::none_of(text.begin(), text.end(), [](char c) { return absl::ascii_iscntrl(c); });
  if (good) {
    credentials->user = text.substr(0, colon);
    credentials->password = text.substr(colon + 1);
  }
  OPENSSL_cleanse(text.data(), text.size());
  return good;
}

VerifiedCredentials::VerifiedCredentials() {
  verified_at_.reserve(2 * kMost);  // the table does not survive that it cannot grow
  while (getrandom(key_.data(), key_.size(), 0) != static_cast<ssize_t>(key_.size())) {
  }
  DigestOf({}, "");  // the library reads its configuration now, while its files can be reached
}

VerifiedCredentials::Digest VerifiedCredentials::DigestOf(const Credentials& credentials,
                                                          absl::string_view hash) const {
  // Neither a hash nor a name has a line break in it.
  std::string text = absl::StrCat(hash, "\n", credentials.user, "\n", credentials.password);
  Digest digest{};
  unsigned size = digest.size();
  HMAC(EVP_sha256(), key_.data(), static_cast<int>(key_.size()),
       reinterpret_cast<const unsigned char*>(text.data()), text.size(), digest.data(), &size);
  OPENSSL_cleanse(text.data(), text.size());
  return digest;
}

bool VerifiedCredentials::Has(const Digest& digest, uint32_t now) const {
  std::lock_guard<Lock> lock(mutex_);
  auto found = verified_at_.find(digest);
  return found != verified_at_.end() &&
         static_cast<int32_t>(now - found->second) < static_cast<int32_t>(kSeconds);
}

void VerifiedCredentials::Add(const Digest& digest, uint32_t now) {
  std::lock_guard<Lock> lock(mutex_);
  verified_at_[digest] = now;
  order_.emplace_back(digest, now);
  while (order_.size() > kMost) {
    auto oldest = verified_at_.find(order_.front().first);
    bool again = oldest != verified_at_.end() && oldest->second != order_.front().second;
    if (oldest != verified_at_.end() && !again) verified_at_.erase(oldest);
    order_.pop_front();
  }
}

size_t VerifiedCredentials::size() const {
  std::lock_guard<Lock> lock(mutex_);
  return verified_at_.size();
}

}  // namespace knot
