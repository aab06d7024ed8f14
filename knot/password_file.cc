#include "knot/password_file.h"

#include <crypt.h>
#include <fcntl.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <mutex>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace knot {
namespace {

constexpr size_t kMostUsers = 16'384;
constexpr size_t kMaxName = 255;

// Returns: why the hash cannot be used, or nothing.
absl::string_view WrongHash(const std::string& hash) {
  if (absl::StartsWith(hash, "$apr1$")) return "a hash of Apache's own; make it by htpasswd -B";
  if (absl::StartsWith(hash, "{")) return "a hash without a cost; make it by htpasswd -B";
  // A password as it is could pass for a salt of the old DES hash, which goes by no such mark.
  if (!absl::StartsWith(hash, "$")) return "no hash; make it by htpasswd -B";
  switch (crypt_checksalt(hash.c_str())) {
    case CRYPT_SALT_OK:
      break;
    case CRYPT_SALT_METHOD_LEGACY:
      if (absl::StartsWith(hash, "$5$")) break;  // is called so only beside the stronger $6$
      return "a hash that is too weak today; make it by htpasswd -B";
    default:
      return "a hash that crypt(3) does not take; make it by htpasswd -B";
  }
  // What follows the last $ is salt, where the hash itself is missing: nobody could get in.
  constexpr size_t kBcryptSize = 60;
  bool bcrypt = absl::StartsWith(hash, "$2");
  bool whole = bcrypt ? hash.size() == kBcryptSize : hash.size() - hash.rfind('$') > 40;
  return whole ? "" : "a hash that is cut short";
}

bool IsName(absl::string_view name) {
  return !name.empty() && name.size() <= kMaxName &&
         std::none_of(name.begin(), name.end(), [](char c) { return absl::ascii_iscntrl(c); });
}

bool SameTime(const timespec& a, const timespec& b) {
  return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

// Returns: the contents of a regular file.
absl::StatusOr<std::string> Read(const std::string& path, struct stat* stat) {
  auto failed = [&](int error) {
    return absl::ErrnoToStatus(error, absl::StrCat("cannot read the passwords in ", path));
  };
  int descriptor = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
  if (descriptor < 0) return failed(errno);
  std::string text;
  int error = fstat(descriptor, stat) != 0 ? errno : 0;
  if (error == 0 && !S_ISREG(stat->st_mode)) {
    close(descriptor);
    return absl::InvalidArgumentError(absl::StrCat(path, ", for passwords, is no regular file"));
  }
  while (error == 0) {
    constexpr size_t kStep = 16'384;
    size_t before = text.size();
    text.resize(before + kStep);
    ssize_t n = read(descriptor, &text[before], kStep);
    if (n < 0 && errno != EINTR) error = errno;
    text.resize(before + std::max<ssize_t>(n, 0));
    if (n == 0) break;
    if (static_cast<int64_t>(text.size()) > PasswordFile::kMaxBytes) error = EFBIG;
  }
  close(descriptor);
  if (error != 0) return failed(error);
  return text;
}

}  // namespace

absl::StatusOr<Users> Users::Parse(absl::string_view text) {
  Users users;
  int number = 0;
  auto wrong = [&number](absl::string_view what) {
    return absl::InvalidArgumentError(absl::StrCat("line ", number, ": ", what));
  };
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    ++number;
    if (absl::EndsWith(line, "\r")) line.remove_suffix(1);
    if (line.empty() || line[0] == '#') continue;
    std::vector<absl::string_view> parts = absl::StrSplit(line, ':');
    if (parts.size() < 2 || !IsName(parts[0])) return wrong("must be user:hash");
    std::string hash(parts[1]);
    absl::string_view why = WrongHash(hash);
    if (!why.empty()) return wrong(why);
    users.list_.push_back({std::string(parts[0]), std::move(hash)});
    if (users.list_.size() > kMostUsers) {
      return wrong(absl::StrCat("more than ", kMostUsers, " users"));
    }
  }
  auto by_name = [](const User& a, const User& b) { return a.name < b.name; };
  std::sort(users.list_.begin(), users.list_.end(), by_name);
  auto twice = std::adjacent_find(users.list_.begin(), users.list_.end(),
                                  [](const User& a, const User& b) { return a.name == b.name; });
  if (twice != users.list_.end()) {
    return absl::InvalidArgumentError(absl::StrCat("the user ", twice->name, " is there twice"));
  }
  return users;
}

const std::string* Users::HashOf(absl::string_view name) const {
  auto user = std::lower_bound(list_.begin(), list_.end(), name,
                               [](const User& a, absl::string_view b) { return a.name < b; });
  return user != list_.end() && user->name == name ? &user->hash : nullptr;
}

absl::Status PasswordFile::Load() {
  struct stat stat {};
  absl::StatusOr<std::string> text = Read(path_, &stat);
  if (!text.ok()) return text.status();
  absl::StatusOr<Users> users = Users::Parse(*text);
  if (!users.ok()) {
    return absl::InvalidArgumentError(
        absl::StrCat("the passwords in ", path_, ", ", users.status().message()));
  }
  // Two changes within one tick of the file system's clock carry the same time.
  timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  auto loaded = std::make_shared<const Users>(*std::move(users));
  std::lock_guard<Lock> lock(mutex_);
  users_ = std::move(loaded);
  loaded_ = stat;
  settled_ = now.tv_sec - stat.st_ctim.tv_sec >= 2;
  said_ = false;
  return absl::OkStatus();
}

// Requires: mutex_ held.
bool PasswordFile::Changed(const struct stat& stat) const {
  return !settled_ || stat.st_dev != loaded_.st_dev || stat.st_ino != loaded_.st_ino ||
         stat.st_size != loaded_.st_size || !SameTime(stat.st_mtim, loaded_.st_mtim) ||
         !SameTime(stat.st_ctim, loaded_.st_ctim);
}

std::shared_ptr<const Users> PasswordFile::Get(uint32_t now) {
  {
    std::lock_guard<Lock> lock(mutex_);
    if (checked_ == now) return users_;
    checked_ = now;
  }
  LoadAgain();
  std::lock_guard<Lock> lock(mutex_);
  return users_;
}

void PasswordFile::LoadAgain() {
  std::lock_guard<std::mutex> alone(loading_);
  struct stat stat {};
  absl::Status status;
  if (::stat(path_.c_str(), &stat) != 0) {
    status = absl::ErrnoToStatus(errno, absl::StrCat("cannot look at the passwords in ", path_));
  } else {
    {
      std::lock_guard<Lock> lock(mutex_);
      if (!Changed(stat)) return;
    }
    status = Load();
  }
  if (status.ok()) return;
  bool say;
  {
    std::lock_guard<Lock> lock(mutex_);
    say = !std::exchange(said_, true);
  }
  if (!say) return;
  std::fprintf(stderr, "knot: %s; those of before remain\n", std::string(status.message()).c_str());
}

}  // namespace knot
