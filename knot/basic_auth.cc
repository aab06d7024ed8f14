#include "knot/basic_auth.h"

#include <openssl/crypto.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace knot {
namespace {

// Tells whether `path` is `prefix` or lies below it; both relative to the root.
bool LiesBelow(absl::string_view path, absl::string_view prefix) {
  if (prefix.empty()) return true;
  return absl::StartsWith(path, prefix) &&
         (path.size() == prefix.size() || path[prefix.size()] == '/');
}

}  // namespace

absl::StatusOr<std::unique_ptr<BasicAuth>> BasicAuth::Read(std::vector<AuthRule> rules,
                                                           absl::string_view realm) {
  std::unique_ptr<BasicAuth> auth(new BasicAuth());
  for (const AuthRule& rule : rules) {
    auto known = std::find_if(auth->files_.begin(), auth->files_.end(),
                              [&](const auto& file) { return file->path() == rule.file; });
    if (known == auth->files_.end()) {
      auto file = std::make_unique<PasswordFile>(rule.file);
      absl::Status status = file->Load();
      if (!status.ok()) return status;
      known = auth->files_.insert(known, std::move(file));
    }
    auth->realms_.push_back({rule.prefix.substr(1), known->get()});
  }
  std::stable_sort(auth->realms_.begin(), auth->realms_.end(), [](const Realm& a, const Realm& b) {
    return a.prefix.size() > b.prefix.size();
  });
  auth->challenge_ =
      absl::StrCat("WWW-Authenticate: Basic realm=\"", realm, "\", charset=\"UTF-8\"\r\n");
  return auth;
}

absl::Status BasicAuth::Start() {
  absl::StatusOr<std::unique_ptr<PasswordChecker>> checker = PasswordChecker::Start();
  if (checker.ok()) checker_ = *std::move(checker);
  return checker.status();
}

const BasicAuth::Realm* BasicAuth::RealmOf(absl::string_view path) const {
  for (const Realm& realm : realms_) {
    if (LiesBelow(path, realm.prefix)) return &realm;
  }
  return nullptr;
}

BasicAuth::Verdict BasicAuth::Judge(absl::string_view path, absl::string_view authorization,
                                    uint32_t now) {
  const Realm* realm = RealmOf(path);
  if (realm == nullptr) return Verdict::kOpen;
  Credentials credentials;
  if (!ParseBasic(authorization, &credentials)) return Verdict::kUnknown;
  std::shared_ptr<const Users> users = realm->users->Get(now);
  bool busy = false;
  bool right = IsRight(credentials, *users, now, &busy);
  OPENSSL_cleanse(credentials.password.data(), credentials.password.size());
  if (busy) return Verdict::kBusy;
  return right ? Verdict::kPass : Verdict::kUnknown;
}

bool BasicAuth::IsRight(const Credentials& credentials, const Users& users, uint32_t now,
                        bool* busy) {
  const std::string* hash = users.HashOf(credentials.user);
  const bool known = hash != nullptr;
  VerifiedCredentials::Digest digest = verified_.DigestOf(credentials, known ? *hash : "");
  if (known && verified_.Has(digest, now)) return true;
  if (!known) {
    // The same name finds the same hash each time, as if it were its own.
    uint64_t number;
    VerifiedCredentials::Digest of_name = verified_.DigestOf({credentials.user, ""}, "");
    std::memcpy(&number, of_name.data(), sizeof number);
    hash = users.Decoy(number);
    if (hash == nullptr) return false;  // there is no name at all to be found out
  }
  PasswordChecker::Turn turn(*checker_);
  if (!turn.given()) {
    *busy = true;
    return false;
  }
  // A browser asks for several files at once: those that waited need not compute the same again.
  if (known && verified_.Has(digest, now)) return true;
  bool right = turn.Check(credentials.password, *hash) && known;
  if (right) verified_.Add(digest, now);
  return right;
}

}  // namespace knot
