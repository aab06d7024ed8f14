// Compares passwords with their hashes, one at a time, on a thread made for that.
//
// A hash of a password is slow to compute by design: a tenth of a second is usual. So it is done
// where it holds up no other connection, and no more of it at a time than one processor gives:
// whoever guesses passwords gets no more than that.
//
// State     free --Turn--> taken --Check--> busy --the hash is known--> taken --~Turn--> free
//
// K1. At most one hash is computed at a time.
// K2. At most kMostWaiting threads wait for their turn; further ones are told so at once.
#ifndef KNOT_PASSWORD_CHECKER_H_
#define KNOT_PASSWORD_CHECKER_H_

#include <crypt.h>

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>

#include "absl/status/statusor.h"

namespace knot {

class PasswordChecker {
 public:
  static constexpr int kMostWaiting = 64;

  // Starts the thread. Errors: ResourceExhausted no thread could be made.
  static absl::StatusOr<std::unique_ptr<PasswordChecker>> Start();

  PasswordChecker(const PasswordChecker&) = delete;
  PasswordChecker& operator=(const PasswordChecker&) = delete;

  // Requires: no Turn is left. Blocks: until the thread has ended.
  ~PasswordChecker();

  // Returns: how many hashes were computed so far.
  uint64_t computed() const { return computed_.load(); }

  // The right to have passwords checked, for a scope.
  class Turn {
   public:
    // Blocks: while those before it have theirs.
    explicit Turn(PasswordChecker& checker);
    Turn(const Turn&) = delete;
    Turn& operator=(const Turn&) = delete;
    ~Turn();

    // Tells whether this is a turn, or too many waited.
    bool given() const { return given_; }

    // Tells whether `password` is the one of `hash`. In constant time for hashes of one kind.
    // Requires: given(). Blocks: while the hash is computed.
    bool Check(const std::string& password, const std::string& hash);

   private:
    PasswordChecker& checker_;
    bool given_;
  };

 private:
  PasswordChecker() : data_(std::make_unique<crypt_data>()) {}
  void WorkUntilStopped();
  bool Compute(const char* password, const std::string& hash);

  std::atomic<int> waiting_{0};
  std::atomic<uint64_t> computed_{0};
  std::mutex turn_;

  std::mutex mutex_;  // for what follows
  std::condition_variable wake_, done_;
  const std::string* password_ = nullptr;  // null: nothing to do
  const std::string* hash_ = nullptr;
  bool right_ = false;
  bool stopping_ = false;
  bool ended_ = false;

  const std::unique_ptr<crypt_data> data_;  // 32 KiB, of the thread
};

}  // namespace knot

#endif  // KNOT_PASSWORD_CHECKER_H_
