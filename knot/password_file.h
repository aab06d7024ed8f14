// Users and the hashes of their passwords, from a file as htpasswd(1) writes it with -B.
//
// A line is `user:hash`; what follows a second colon is a remark. Lines that are empty or begin
// with # are skipped. A hash is what crypt(5) takes and does not call weak: bcrypt ($2b$, $2y$),
// SHA-crypt ($5$, $6$), scrypt, yescrypt.
#ifndef KNOT_PASSWORD_FILE_H_
#define KNOT_PASSWORD_FILE_H_

#include <sys/stat.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "knot/lock.h"

namespace knot {

// Immutable.
class Users {
 public:
  // Errors: InvalidArgument, which names the line.
  static absl::StatusOr<Users> Parse(absl::string_view text);

  // Returns: the hash of `name`'s password; null where there is no such user.
  const std::string* HashOf(absl::string_view name) const;

  // Returns: the hash of one of the users, by `number`, for a name that is none: refusing it must
  // take as long. Null where there are none.
  const std::string* Decoy(uint64_t number) const {
    return list_.empty() ? nullptr : &list_[number % list_.size()].hash;
  }

  size_t size() const { return list_.size(); }

 private:
  struct User {
    std::string name;
    std::string hash;
  };

  std::vector<User> list_;  // by name
};

// Follows a file. Once loaded there are always users: where a changed file cannot be taken, which
// is said once, those of before remain. Callers: any thread.
class PasswordFile {
 public:
  static constexpr int64_t kMaxBytes = 1 << 20;

  explicit PasswordFile(std::string path) : path_(std::move(path)) {}

  // Reads the file. Errors: it cannot be opened, is no regular file, is larger than kMaxBytes, or
  // one of its lines is wrong; with the file's name.
  absl::Status Load();

  // Returns: the users; of a file that was changed those in it now. `now` is a clock in seconds:
  // the file is looked at once in each, by one thread, while others get what there is. Requires:
  // Load has succeeded. Blocks: that thread, on the disk.
  std::shared_ptr<const Users> Get(uint32_t now);

  const std::string& path() const { return path_; }

 private:
  bool Changed(const struct stat& stat) const;
  void LoadAgain();

  const std::string path_;
  std::mutex loading_;  // held while reading
  Lock mutex_;          // for what follows
  std::shared_ptr<const Users> users_;
  struct stat loaded_ {};
  bool settled_ = false;  // it had not changed for a while, so its times will tell of a change
  bool said_ = false;     // that it could not be taken
  uint32_t checked_ = 0;
};

}  // namespace knot

#endif  // KNOT_PASSWORD_FILE_H_
