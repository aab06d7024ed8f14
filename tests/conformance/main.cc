// Runs the conformance tests, and checks after each that it gave its descriptors back.
#include <gtest/gtest.h>

#include "tests/conformance/support.h"

namespace conformance {
namespace {

class DescriptorCheck : public testing::EmptyTestEventListener {
  void OnTestStart(const testing::TestInfo&) override { before_ = OpenDescriptors(); }

  void OnTestEnd(const testing::TestInfo&) override {
    EXPECT_EQ(before_, OpenDescriptors()) << "the test leaked (or closed) a descriptor";
  }

  int before_ = 0;
};

}  // namespace
}  // namespace conformance

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  // pthread_exit of a child's main thread unwinds to here; a catch-all on the way would stop it.
  GTEST_FLAG_SET(catch_exceptions, false);
  // Appended listeners hear of a test's end before those in front of them, the printer among them.
  testing::UnitTest::GetInstance()->listeners().Append(new conformance::DescriptorCheck);
  return RUN_ALL_TESTS();
}
