// What the programs that run on patched libc share.
#ifndef BOBBIN_TESTS_WRAPPERS_LIBC_TEXT_PROGRAMS_H_
#define BOBBIN_TESTS_WRAPPERS_LIBC_TEXT_PROGRAMS_H_

#include <gtest/gtest.h>
#include <time.h>

#include "tests/wrappers/pass_through.h"

namespace bobbin {

// False when the programs run on libc as it is.
extern bool patched;

// Checks that calls came through the table while it lived, or that none did on unpatched libc.
class ExpectCalls {
 public:
  explicit ExpectCalls(long nr) : nr_(nr), before_(PassThroughCount(nr)) {}
  ~ExpectCalls() { EXPECT_EQ(PassThroughCount(nr_) > before_, patched) << "call " << nr_; }

 private:
  long nr_, before_;
};

inline timespec InMilliseconds(clockid_t clock, long milliseconds) {
  timespec at;
  clock_gettime(clock, &at);
  at.tv_nsec += milliseconds * 1000000;
  at.tv_sec += at.tv_nsec / 1000000000;
  at.tv_nsec %= 1000000000;
  return at;
}

}  // namespace bobbin

#endif  // BOBBIN_TESTS_WRAPPERS_LIBC_TEXT_PROGRAMS_H_
