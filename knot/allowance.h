// Memory that few threads need at a time, and no more than that many may have.
#ifndef KNOT_ALLOWANCE_H_
#define KNOT_ALLOWANCE_H_

#include <atomic>
#include <cstdint>

namespace knot {

// A number of bytes that are lent. Counts only: whoever has a loan allocates for itself. Callers:
// any thread. Never blocks.
//
// B1. What is lent is at most the allowance, or one loan.
class Allowance {
 public:
  explicit Allowance(int64_t bytes) : bytes_(bytes) {}
  Allowance(const Allowance&) = delete;
  Allowance& operator=(const Allowance&) = delete;

  // Borrows for a scope. The first to come always gets what it asks for, however much.
  class Loan {
   public:
    Loan(Allowance& allowance, int64_t bytes)
        : allowance_(allowance), bytes_(bytes), given_(allowance.Take(bytes)) {}
    Loan(const Loan&) = delete;
    Loan& operator=(const Loan&) = delete;
    ~Loan() {
      if (given_) allowance_.lent_.fetch_sub(bytes_);
    }

    bool given() const { return given_; }

   private:
    Allowance& allowance_;
    const int64_t bytes_;
    const bool given_;
  };

  int64_t lent() const { return lent_.load(); }

 private:
  bool Take(int64_t bytes) {
    int64_t lent = lent_.load();
    do {
      if (lent > 0 && lent + bytes > bytes_) return false;
    } while (!lent_.compare_exchange_weak(lent, lent + bytes));
    return true;
  }

  const int64_t bytes_;
  std::atomic<int64_t> lent_{0};
};

}  // namespace knot

#endif  // KNOT_ALLOWANCE_H_
