#include "knot/password_checker.h"

#include <openssl/crypto.h>
#include <sched.h>

#include <cstring>

#include "knot/threads.h"
#include "knot/tuning.h"

namespace knot {

absl::StatusOr<std::unique_ptr<PasswordChecker>> PasswordChecker::Start() {
  std::unique_ptr<PasswordChecker> checker(new PasswordChecker());
  auto body = [](void* self) -> void* {
    static_cast<PasswordChecker*>(self)->WorkUntilStopped();
    return nullptr;
  };
  tuning::PlaceNextThreadApart();
  absl::Status status = StartThread(kServiceStackBytes, body, checker.get());
  if (status.ok()) return checker;
  checker->ended_ = true;
  return status;
}

PasswordChecker::~PasswordChecker() {
  std::unique_lock<std::mutex> lock(mutex_);
  stopping_ = true;
  wake_.notify_one();
  done_.wait(lock, [this] { return ended_; });
}

PasswordChecker::Turn::Turn(PasswordChecker& checker) : checker_(checker) {
  given_ = checker_.waiting_.fetch_add(1) < kMostWaiting;
  if (given_) checker_.turn_.lock();
  checker_.waiting_.fetch_sub(1);
}

PasswordChecker::Turn::~Turn() {
  if (given_) checker_.turn_.unlock();
}

bool PasswordChecker::Turn::Check(const std::string& password, const std::string& hash) {
  std::unique_lock<std::mutex> lock(checker_.mutex_);
  checker_.password_ = &password;
  checker_.hash_ = &hash;
  checker_.wake_.notify_one();
  checker_.done_.wait(lock, [this] { return checker_.password_ == nullptr; });
  return checker_.right_;
}

void PasswordChecker::WorkUntilStopped() {
  std::unique_lock<std::mutex> lock(mutex_);
  for (;;) {
    wake_.wait(lock, [this] { return stopping_ || password_ != nullptr; });
    if (password_ == nullptr) break;
    // Whoever asked waits until it is told, and keeps both.
    const std::string& password = *password_;
    const std::string& hash = *hash_;
    lock.unlock();
    bool right = Compute(password.c_str(), hash);
    lock.lock();
    right_ = right;
    password_ = nullptr;
    done_.notify_one();
    lock.unlock();
    sched_yield();  // others on this kernel thread have waited all the while
    lock.lock();
  }
  ended_ = true;
  done_.notify_one();
}

bool PasswordChecker::Compute(const char* password, const std::string& hash) {
  computed_.fetch_add(1);
  const char* made = crypt_r(password, hash.c_str(), data_.get());
  bool right = made != nullptr && made[0] != '*' && std::strlen(made) == hash.size() &&
               CRYPTO_memcmp(made, hash.data(), hash.size()) == 0;
  OPENSSL_cleanse(data_->output, sizeof data_->output);
  return right;
}

}  // namespace knot
